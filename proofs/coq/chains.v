(* T4, T6, T7, T11: chains. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specdec Require Import definitions statements basics loops.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Chains.
Variables (R : realFieldType) (V : finType).
Implicit Types (p q : seq V -> V -> R) (c xs : seq V) (h : seq V -> R).

(* Draft one more token in front. *)
Lemma E_draft A q gamma c (f : seq V -> prog R A) (h : A -> R) :
  E (bind (draft q gamma.+1 c) f) h
  = \sum_x q c x * E (bind (draft q gamma (rcons c x)) (fun xs => f (x :: xs))) h.
Proof. by rewrite !E_bind E_Draw; apply: eq_bigr => x _; rewrite !E_bind. Qed.

Lemma draft_ok q gamma c : laws q -> E (draft q gamma c) (fun _ => 1) = 1.
Proof.
move=> lq; elim: gamma c => [//|gamma IH] c; rewrite E_Draw -[RHS](proj2 (lq c)).
by apply: eq_bigr => x _; rewrite E_bind [E _ _](IH (rcons c x)) mulr1.
Qed.

Lemma always_drafter A (drafter : prog R A) (f : A -> prog R (seq V)) c :
  (forall a, always (f a) (extends c)) -> always (bind drafter f) (extends c).
Proof. by move=> H; apply: always_bind; apply: always_all. Qed.

(* ---- T4 ---- *)

Lemma verify_cons p q c x xs h :
  E (verify p q c (x :: xs)) h = accept (p c) (q c) x * E (verify p q (rcons c x) xs) h
    + (1 - accept (p c) (q c) x) * \sum_y residual (p c) (q c) y * h (rcons c y).
Proof. by rewrite -E_emit; exact: E_coin. Qed.

Lemma cycle_cons p q gamma c h : laws q ->
  E (cycle p q gamma.+1 c) h = \sum_x q c x *
    (accept (p c) (q c) x * E (cycle p q gamma (rcons c x)) h
     + (1 - accept (p c) (q c) x) * \sum_y residual (p c) (q c) y * h (rcons c y)).
Proof.
move=> lq; rewrite /cycle E_draft; apply: eq_bigr => x _; congr (_ * _).
rewrite !E_bind -E_scale -[X in _ + X](@E_const _ _ (draft q gamma (rcons c x))) ?draft_ok // -E_add.
by apply: E_ext => xs; rewrite verify_cons.
Qed.

Lemma cycle_harmonic p q gamma c h : laws p -> laws q -> harmonic p h -> E (cycle p q gamma c) h = h c.
Proof.
move=> lp lq hh; elim: gamma c => [|gamma IH] c; first exact: etrans (E_emit _ _ _) (hh c).
rewrite cycle_cons //; under eq_bigr do rewrite IH.
by rewrite (one_token (fun x => h (rcons c x)) (lp c) (lq c)) hh.
Qed.

Lemma extends_verify p q c xs : always (verify p q c xs) (extends c).
Proof.
elim: xs c => [|x xs IH] c; first exact: extends_emit.
case=> _ /=; last exact: extends_emit.
by apply: always_imp (IH (rcons c x)) => c'; exact: extends_trans.
Qed.

Theorem T4_chain : statement_T4_chain R V.
Proof.
move=> p q gamma lp lq chain; suff sp : sound p chain by split=> //; exact: loop_lossless.
split=> [h hh c|c]; first exact: cycle_harmonic.
by apply: always_drafter => xs; exact: extends_verify.
Qed.

(* ---- T7 ---- *)

Lemma cycle_mass p q gamma c : laws p -> laws q -> E (cycle p q gamma c) (fun _ => 1) = 1.
Proof. by move=> lp lq; apply: (@cycle_harmonic p q) => // c'; rewrite -mulr_suml mulr1 (proj2 (lp c')). Qed.

(* A program that goes on from c with the token x adds x, and what it adds to that. *)
Lemma growth_later (m : prog R (seq V)) c x : always m (extends (rcons c x)) -> E m (fun _ => 1) = 1 ->
  E m (fun c' => (size c' - size c)%N%:R) = 1 + E m (fun c' => (size c' - size (rcons c x))%N%:R).
Proof.
move=> ext m1; rewrite -{2}m1 -E_add; apply: E_always; apply: always_imp ext => c' /andP[lt _].
by rewrite size_rcons in lt *; rewrite addrC -mulrSr subnS prednK // subn_gt0 ltnW.
Qed.

Lemma one_more (d : V -> R) c : is_law d -> \sum_y d y * (size (rcons c y) - size c)%N%:R = 1.
Proof. by move=> [_ d1]; rewrite -[RHS]d1; apply: eq_bigr => y _; rewrite size_rcons subSnn mulr1. Qed.

Lemma growth_emit c (d : V -> R) : is_law d -> E (emit c d) (fun c' => (size c' - size c)%N%:R) = 1.
Proof. by rewrite E_emit; exact: one_more. Qed.

Lemma extends_cycle p q gamma c : always (cycle p q gamma c) (extends c).
Proof. by apply: always_drafter => xs; exact: extends_verify. Qed.

(* One drafted token more: a cycle adds one token, and what follows when that one is accepted. *)
Lemma growth_cycle p q gamma c : laws p -> laws q ->
  expected_growth (cycle p q gamma.+1) c =
  1 + \sum_x q c x * (accept (p c) (q c) x * expected_growth (cycle p q gamma) (rcons c x)).
Proof.
move=> lp lq; rewrite /expected_growth cycle_cons // -[X in _ = X + _](proj2 (lq c)) -big_split; apply: eq_bigr => x _ /=.
rewrite (growth_later (extends_cycle _ _ _ _)) ?cycle_mass // one_more; last exact: residual_law.
by rewrite mulr1 [_ * (1 + _)]mulrDr mulr1 addrAC addrCA subrr addr0 mulrDr mulr1.
Qed.

Theorem T7_tokens_per_cycle : statement_T7_tokens_per_cycle R V.
Proof.
move=> p q a gamma c lp lq same.
have G : expected_growth (cycle p q gamma) c = \sum_(i < gamma.+1) a ^+ i.
  elim: gamma c => [|gamma IH] c.
    by rewrite big_ord1; exact: growth_emit.
  rewrite growth_cycle // big_ord_recl expr0; congr (_ + _).
  under eq_bigr do rewrite IH mulrA; rewrite -mulr_suml accept_sum // same mulr_sumr.
  by apply: eq_bigr => i _; rewrite -exprS.
split=> // a1; rewrite G -[in RHS]opprB -[1 - a]opprB subrX1 mulNr invrN mulrN opprK mulrAC mulfV ?mul1r //.
by rewrite subr_eq0.
Qed.

(* ---- T6 ---- *)

Lemma argmax_max (x0 : V) (d : V -> R) x : d x <= d (argmax x0 d).
Proof.
rewrite /argmax; have := tokens_mem x; case: (tokens V) => [//|y xs].
have fold_ge z s : d z <= d (foldl (fun best y => if d best < d y then y else best) z s).
  by elim: s z => //= t s IH z; apply: le_trans (IH _); case: ifP => // /ltW.
elim: xs y => [|u s IH] y; first by rewrite inE => /eqP->.
rewrite !inE => /or3P[/eqP->|/eqP->|xs].
- exact: (fold_ge y (u :: s)).
- by rewrite /=; apply: le_trans (fold_ge _ s); case: ifP => // /negbT; rewrite -leNgt.
by apply: IH; rewrite inE xs orbT.
Qed.

Section Greedy.
Variables (x0 : V) (p : seq V -> V -> R).
Let best c := argmax x0 (p c).

Lemma greedy_moreS k c : greedy_more x0 p k.+1 c = rcons (greedy_more x0 p k c) (best (greedy_more x0 p k c)).
Proof. by elim: k c => //= k IH c; rewrite -IH. Qed.

Lemma greedy_moreD j k c : greedy_more x0 p (j + k) c = greedy_more x0 p k (greedy_more x0 p j c).
Proof. by elim: j c => //= j IH c; rewrite IH. Qed.

Lemma size_greedy_more k c : size (greedy_more x0 p k c) = (size c + k)%N.
Proof. by elim: k c => [|k IH] c /=; rewrite ?addn0 // IH size_rcons addSnnS. Qed.

Lemma take_greedy_more k c : take (size c) (greedy_more x0 p k c) = c.
Proof.
elim: k => [|k IH]; first exact: take_size.
by rewrite greedy_moreS -cats1 takel_cat // size_greedy_more leq_addr.
Qed.

(* A greedy cycle returns the greedy text with some more tokens, at least one. *)
Lemma greedy_cycle_more xs c : exists k, greedy_cycle x0 p xs c = Ret (greedy_more x0 p k.+1 c).
Proof.
elim: xs c => [|x xs IH] c /=; first by exists 0%N.
by case: ifP => _; [have [k ->] := IH (rcons c (best c)); exists k.+1|exists 0%N].
Qed.

Lemma greedy_cycle_agrees k c :
  greedy_cycle x0 p (drop (size c) (greedy_more x0 p k c)) c = Ret (greedy_more x0 p k.+1 c).
Proof.
elim: k c => [|k IH] c; first by rewrite /= drop_size.
set c1 := rcons c (best c); have -> : greedy_more x0 p k.+1 c = greedy_more x0 p k c1 by [].
have := IH c1; rewrite -(cat_take_drop (size c1) (greedy_more x0 p k c1)) take_greedy_more drop_size_cat //.
by rewrite /c1 cat_rcons drop_size_cat //= eqxx => ->.
Qed.

Lemma take_greedy_text n m c : (size c <= n)%N -> (n - size c <= m)%N ->
  take n (greedy_more x0 p m c) = greedy_text x0 p n c.
Proof.
move=> cn /subnKC <-; rewrite greedy_moreD -/(greedy_text x0 p n c).
have st : size (greedy_text x0 p n c) = n by rewrite size_greedy_more subnKC.
by rewrite -{1}st take_greedy_more.
Qed.

Lemma greedy_loop (drafter : seq V -> prog R (seq V)) n fuel c : (size c <= n)%N -> (n <= fuel + size c)%N ->
  always (repeat_cycle (fun c => bind (drafter c) (fun xs => greedy_cycle x0 p xs c)) fuel n c)
         (fun c' => c' = greedy_text x0 p n c).
Proof.
elim: fuel c => [|fuel IH] c cn enough.
  by rewrite repeat_done //=; apply: (@take_greedy_text _ 0); rewrite // leqn0 subn_eq0.
have [nc|{}cn] := leqP n (size c).
  by rewrite repeat_done //=; apply: (@take_greedy_text _ 0); rewrite // leqn0 subn_eq0.
rewrite repeat_more //; apply: always_bind; apply: always_bind; apply: always_all => xs.
have [k ->] := greedy_cycle_more xs c; set c1 := greedy_more x0 p k.+1 c; rewrite [always (Ret _) _]/=.
have s1 : size c1 = (size c + k.+1)%N by exact: size_greedy_more.
have [n1|c1n] := leqP n (size c1).
  by rewrite repeat_done //=; apply: take_greedy_text; [exact: ltnW|rewrite leq_subLR -s1].
have -> : greedy_text x0 p n c = greedy_text x0 p n c1.
  rewrite /greedy_text s1 /c1 -greedy_moreD subnDA subnKC // leq_subRL ?(ltnW cn) //.
  by rewrite -s1 ltnW.
by apply: IH; first exact: ltnW; rewrite (leq_trans enough) // s1 addSnnS leq_add2l -addn1 leq_add2l.
Qed.

End Greedy.

Theorem T6_greedy : statement_T6_greedy R V.
Proof.
move=> x0 p drafter n c cn; split.
- by apply: greedy_loop; rewrite // addnC -leq_subLR.
- by move=> x; exact: argmax_max.
by rewrite greedy_cycle_agrees /greedy_text subSn.
Qed.

(* ---- T11 ---- *)

Lemma drafter_harmonic A (drafter : prog R A) (f : A -> prog R (seq V)) h c :
  E drafter (fun _ => 1) = 1 -> (forall a, E (f a) h = h c) -> E (bind drafter f) h = h c.
Proof. by move=> d1 H; rewrite E_bind (E_ext _ H) E_const. Qed.

Lemma matching_harmonic p c xs h : harmonic p h -> E (matching_verify p c xs) h = h c.
Proof.
move=> hh; elim: xs c => [|x xs IH] c; rewrite [matching_verify _ _ _]/= E_Draw -[RHS]hh //.
by apply: eq_bigr => y _; case: ifP => // _; rewrite IH.
Qed.

Lemma extends_matching p c xs : always (matching_verify p c xs) (extends c).
Proof.
elim: xs c => [|x xs IH] c y _; first exact: extends_rcons.
rewrite /=; case: ifP => _; last exact: extends_rcons.
by apply: always_imp (IH (rcons c y)) => c'; exact: extends_trans.
Qed.

Theorem T11_matching : statement_T11_matching R V.
Proof.
move=> p drafter lp ok matched; suff sp : sound p matched by split=> //; exact: loop_lossless.
split=> [h hh c|c]; first by apply: drafter_harmonic => // xs; exact: matching_harmonic.
by apply: always_drafter => xs; exact: extends_matching.
Qed.

Lemma accept_point (d : V -> R) x : is_law d -> accept d (point_mass R x) x = d x.
Proof.
move=> ld; have [d0 _] := ld; rewrite /accept /capped /point_mass eqxx.
by case: leP => [d1|_]; [apply/eqP; rewrite eq_le d1 law_le1|rewrite divr1].
Qed.

Lemma target_only_harmonic p c xs h : laws p -> harmonic p h -> E (target_only_verify p c xs) h = h c.
Proof.
move=> lp hh; elim: xs c => [|x xs IH] c; first exact: etrans (E_emit _ _ _) (hh c).
apply: etrans (E_coin _ _ _ _) _; rewrite E_emit IH -[RHS]hh.
rewrite -(one_token (fun y => h (rcons c y)) (lp c) (point_mass_law R x)).
by rewrite (sum_point x (fun y => accept (p c) (point_mass R x) y * h (rcons c y)
  + (1 - accept (p c) (point_mass R x) y) * _)).
Qed.

Lemma extends_target_only p c xs : always (target_only_verify p c xs) (extends c).
Proof.
elim: xs c => [|x xs IH] c; first exact: extends_emit.
case=> _ /=; last exact: extends_emit.
by apply: always_imp (IH (rcons c x)) => c'; exact: extends_trans.
Qed.

Theorem T11_target_only : statement_T11_target_only R V.
Proof.
move=> p drafter lp ok judged; suff sp : sound p judged.
  by split=> // [|c x]; [exact: loop_lossless|exact: accept_point].
split=> [h hh c|c]; first by apply: drafter_harmonic => // xs; exact: target_only_harmonic.
by apply: always_drafter => xs; exact: extends_target_only.
Qed.

End Chains.
