(* T9: block verification. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics loops chains.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Blocks.
Variables (R : realFieldType) (V : finType).
Implicit Types (p q : seq V -> V -> R) (c xs : seq V) (h : seq V -> R) (d e : V -> R) (w z : R).

(* The value of an outcome: f of the text, z when no prefix was kept. *)
Definition value (f : seq V -> R) z (found : option (seq V)) : R := if found is Some c' then f c' else z.

Definition kept w d e : R := \sum_x Num.min (w * d x) (e x).

Section Step.
Variables (w : R) (d e : V -> R).
Hypotheses (w0 : 0 <= w) (w1 : w <= 1) (ld : is_law d) (le : is_law e).

Let wd0 x : 0 <= w * d x. Proof. by rewrite mulr_ge0 ?(proj1 ld). Qed.

Lemma weight_min x : e x * block_weight w d e x = Num.min (w * d x) (e x).
Proof. by rewrite /block_weight capped_min ?(proj1 le). Qed.

Lemma weight_ge0 x : 0 <= block_weight w d e x. Proof. exact: capped_ge0 (wd0 x) (proj1 le x). Qed.
Lemma weight_le1 x : block_weight w d e x <= 1. Proof. exact: capped_le1 (wd0 x). Qed.

Lemma rest_sum : \sum_x block_rest w d e x = w - kept w d e.
Proof.
rewrite -[X in _ = X - _]mulr1 -[X in _ = _ * X - _](proj2 ld) mulr_sumr -sumrB.
by apply: eq_bigr => x _; exact: positive_partE.
Qed.

Lemma weight_sum : \sum_x e x * (1 - block_weight w d e x) = 1 - kept w d e.
Proof.
rewrite -[X in _ = X - _](proj2 le) -sumrB; apply: eq_bigr => x _.
by rewrite mulrBr mulr1 weight_min.
Qed.

(* The probability of not being kept, times the chance of stopping, is the mass of the rest. *)
Lemma stop_mass : (1 - kept w d e) * block_stop w d e = w - kept w d e.
Proof.
have rest0 : 0 <= w - kept w d e by rewrite -rest_sum sumr_ge0 // => x _; exact: positive_part_ge0.
have le1 : w - kept w d e <= 1 - kept w d e by rewrite ler_sub.
rewrite /block_stop /= totalE rest_sum addrAC [w - _]addrC addrK [_ + 1]addrC.
by rewrite [- _ + w]addrC capped_min ?(le_trans rest0) // min_l.
Qed.

(* What is kept and what is left share out w. *)
Lemma kept_and_rest (F : V -> R) z :
  \sum_x e x * (block_weight w d e x * F x + (1 - block_weight w d e x) *
    (block_stop w d e * (\sum_y block_residual w d e y * F y) + (1 - block_stop w d e) * z))
  = w * (\sum_x d x * F x) + (1 - w) * z.
Proof.
under eq_bigr do rewrite mulrDr !mulrA weight_min.
rewrite big_split /= -mulr_suml weight_sum mulrDr !mulrA mulrBr mulr1 stop_mass.
rewrite [_ - (w - _)](_ : _ = 1 - w); last by rewrite opprB addrA subrK.
rewrite addrA; congr (_ + _).
rewrite -rest_sum !mulr_sumr -big_split; apply: eq_bigr => x _ /=.
rewrite !mulrA normalised_mass => [|y]; last exact: positive_part_ge0.
by rewrite -mulrDl /block_rest positive_partE addrC subrK.
Qed.

End Step.

Lemma stop_one (d e : V -> R) : block_stop 1 d e = 1.
Proof. by rewrite /block_stop addrK /capped lexx. Qed.

(* ---- Losslessness ---- *)

Lemma E_keep_found (m : prog R (seq V)) f z : E (keep_found m) (value f z) = E m f.
Proof. by rewrite /keep_found E_bind. Qed.

Lemma E_ask_nil p q w c f z : E (block_ask p q w c [::]) (value f z) = w * (\sum_y p c y * f (rcons c y)) + (1 - w) * z.
Proof.
have := E_coin w (keep_found (emit c (p c))) (Ret None) (value f z).
by rewrite E_keep_found E_emit.
Qed.

Lemma E_ask_cons p q w c x xs f z :
  E (block_ask p q w c (x :: xs)) (value f z)
  = E (block_ask p q (block_weight w (p c) (q c) x) (rcons c x) xs) (value f
      (block_stop w (p c) (q c) * (\sum_y block_residual w (p c) (q c) y * f (rcons c y))
       + (1 - block_stop w (p c) (q c)) * z)).
Proof.
rewrite [block_ask _ _ _ _ (_ :: _)]/= E_bind; apply: E_ext => -[//|].
have := E_coin (block_stop w (p c) (q c)) (keep_found (emit c (block_residual w (p c) (q c)))) (Ret None) (value f z).
by rewrite E_keep_found E_emit.
Qed.

Lemma ask_harmonic p q gamma w c h z : laws p -> laws q -> harmonic p h -> 0 <= w -> w <= 1 ->
  E (bind (draft q gamma c) (block_ask p q w c)) (value h z) = w * h c + (1 - w) * z.
Proof.
move=> lp lq hh; elim: gamma w c z => [|gamma IH] w c z w0 w1; first by rewrite -hh -(E_ask_nil p q).
rewrite E_draft -[in RHS]hh -(kept_and_rest w0 w1 (lp c) (lq c)); apply: eq_bigr => x _; congr (_ * _).
rewrite -IH ?weight_ge0 ?weight_le1 // !E_bind; apply: E_ext => xs; exact: E_ask_cons.
Qed.

Lemma extends_kept c (d : V -> R) (Q : Prop) :
  always (keep_found (emit c d)) (fun found => if found is Some c' then extends c c' else Q).
Proof. by apply: always_bind; exact: extends_emit. Qed.

Lemma extends_ask p q w c xs :
  always (block_ask p q w c xs) (fun found => if found is Some c' then extends c c' else w != 1).
Proof.
elim: xs w c => [|x xs IH] w c.
  by case=> [_|]; [exact: (@extends_kept c _ (w != 1))|rewrite /= subr_eq0 eq_sym].
apply: always_bind; apply: always_imp (IH _ (rcons c x)) => -[c'|_] /=; first exact: extends_trans.
case=> [_|]; first exact: (@extends_kept c _ (w != 1)).
by apply: contraNneq => ->; rewrite stop_one subrr.
Qed.

Theorem T9_block_lossless : statement_T9_block_lossless R V.
Proof.
move=> p q gamma lp lq blocks; suff sp : sound p blocks by split=> //; exact: loop_lossless.
split=> [h hh c|c].
  have := @ask_harmonic p (q c) (gamma c) 1 c h (h c) lp (lq c) hh ler01 (lexx 1).
  rewrite subrr mul0r addr0 mul1r => <-; rewrite !E_bind; apply: E_ext => xs.
  by rewrite /block_verify E_bind; apply: E_ext => -[].
apply: always_drafter => xs; apply: always_bind; apply: always_imp (extends_ask p (q c) 1 c xs) => -[//|].
by rewrite eqxx.
Qed.

(* ---- Advantage ---- *)

(* What the block adds to c, counting zero when no prefix was kept. *)
Definition block_growth p q gamma w c : R :=
  E (bind (draft q gamma c) (block_ask p q w c)) (value (fun c' => (size c' - size c)%N%:R) 0).

Lemma block_growth_cons p q gamma w c : laws p -> laws q -> 0 <= w -> w <= 1 ->
  block_growth p q gamma.+1 w c
  = w + \sum_x q c x * block_growth p q gamma (block_weight w (p c) (q c) x) (rcons c x).
Proof.
move=> lp lq w0 w1; have one : harmonic p (fun _ => 1) by move=> c'; rewrite -mulr_suml mulr1 (proj2 (lp c')).
have K := kept_and_rest w0 w1 (lp c) (lq c) (fun _ => 1) 0.
rewrite [RHS](_ : _ = w) in K; last by rewrite (one c) mulr1 mulr0 addr0.
rewrite -[X in _ = X + _]K -big_split /block_growth E_draft; apply: eq_bigr => x _ /=.
rewrite -mulrDr; congr (_ * _).
rewrite -(ask_harmonic gamma (rcons c x) _ lp lq one) ?weight_ge0 ?weight_le1 // -E_add !E_bind.
apply: E_ext => xs; rewrite E_ask_cons; apply: E_always.
apply: always_imp (extends_ask p q _ (rcons c x) xs) => -[c' /andP[lt _]|_] /=.
  by rewrite size_rcons in lt *; rewrite addrC -mulrSr subnS prednK // subn_gt0 ltnW.
rewrite mulr0 !addr0; congr (_ * _); apply: eq_bigr => y _.
by rewrite size_rcons subSnn.
Qed.

Lemma weight_ge w P (a b : R) : 0 <= a -> 0 <= b -> 0 <= P -> P <= w -> w <= 1 -> P * capped a b <= capped (w * a) b.
Proof.
move=> a0 b0 P0 Pw w1; rewrite {2}/capped; case: (leP b (w * a)) => [_|wab].
  by apply: mulr_ile1; rewrite ?capped_ge0 ?capped_le1 // (le_trans Pw).
have bpos : 0 < b by apply: le_lt_trans wab; rewrite mulr_ge0 // (le_trans P0).
rewrite ler_pdivl_mulr // -mulrA [_ * b]mulrC capped_min // (le_trans (ler_wpmul2r _ Pw)) ?le_minr ?a0 //.
by rewrite ler_wpmul2l ?le_minl ?lexx // (le_trans P0).
Qed.

Lemma growth_le p q gamma w P c : laws p -> laws q -> 0 <= P -> P <= w -> w <= 1 ->
  P * expected_growth (cycle p q gamma) c <= block_growth p q gamma w c.
Proof.
move=> lp lq; elim: gamma w P c => [|gamma IH] w P c P0 Pw w1.
  have -> : expected_growth (cycle p q 0) c = 1 by exact: growth_emit.
  have -> : block_growth p q 0 w c = w; last by rewrite mulr1.
  apply: etrans (E_ask_nil p q w c _ 0) _; rewrite one_more // mulr0 addr0 mulr1 //.
rewrite growth_cycle // block_growth_cons ?(le_trans P0) // mulrDr mulr1 ler_add // mulr_sumr.
apply: ler_sum => x _; rewrite mulrCA ler_wpmul2l ?(proj1 (lq c)) // mulrA.
have [[p0 _] [q0 _]] := (lp c, lq c).
by apply: IH; [rewrite mulr_ge0 ?capped_ge0|exact: weight_ge|exact: capped_le1 (mulr_ge0 (le_trans P0 Pw) _)].
Qed.

Theorem T9_block_accepts_more : statement_T9_block_accepts_more R V.
Proof.
move=> p q gamma c lp lq; rewrite -[X in X <= _]mul1r.
apply: le_trans (growth_le gamma c lp lq ler01 (lexx 1) (lexx 1)) _.
rewrite /block_growth /expected_growth /block_cycle !E_bind le_eqVlt; apply/orP; left; apply/eqP.
by apply: E_ext => xs; rewrite /block_verify E_bind; apply: E_ext => -[//|]; rewrite /= subnn.
Qed.

End Blocks.
