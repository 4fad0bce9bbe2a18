(* T11: verification with the target's own sampler. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics loops chains.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section OwnSampler.
Variables (R : realFieldType) (V : finType).
Implicit Types (p q : seq V -> V -> R) (c xs : seq V) (h : seq V -> R).

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

End OwnSampler.
