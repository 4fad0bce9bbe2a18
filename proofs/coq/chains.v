(* T4 and T7: chains. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics loops.
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

Lemma drafter_harmonic A (drafter : prog R A) (f : A -> prog R (seq V)) h c :
  E drafter (fun _ => 1) = 1 -> (forall a, E (f a) h = h c) -> E (bind drafter f) h = h c.
Proof. by move=> d1 H; rewrite E_bind (E_ext _ H) E_const. Qed.

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
move=> lp lq; rewrite /expected_growth cycle_cons // -[X in _ = X + _](proj2 (lq c)) -big_split.
apply: eq_bigr => x _ /=; rewrite (growth_later (extends_cycle _ _ _ _)) ?cycle_mass // one_more; last exact: residual_law.
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

End Chains.
