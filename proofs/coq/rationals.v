(* A field to compute in: the canonical rationals Qc of Coq's standard library, with binary numbers, are an ordered
   field in MathComp's sense.  So every definition and every theorem applies to them, and bridge.v can evaluate.
   (MathComp's own rat is built on unary numbers, too slow for denominators of more than a few digits.) *)
From Coq Require Import ZArith QArith Qcanon Qcabs.
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.

(* ---- Equality and choice ---- *)

Definition qc_eqb (x y : Qc) : bool := Qeq_bool x y.
Lemma qc_eqP : Equality.axiom qc_eqb.
Proof.
move=> x y; apply: (iffP idP) => [/Qeq_bool_iff|->]; first exact: Qc_is_canon.
by apply/Qeq_bool_iff; exact: Qeq_refl.
Qed.
Definition qc_eqMixin := EqMixin qc_eqP.
Canonical qc_eqType := Eval hnf in EqType Qc qc_eqMixin.

Definition qc_code (x : Qc) : bool * nat * nat := (Z.ltb (Qnum x) 0, Z.abs_nat (Qnum x), Pos.to_nat (Qden x)).
Definition qc_decode (t : bool * nat * nat) : Qc :=
  let: (negative, n, d) := t in let z := Z.of_nat n in Q2Qc (Qmake (if negative then Z.opp z else z) (Pos.of_nat d)).
Lemma qc_codeK : cancel qc_code qc_decode.
Proof.
move=> [[n d] canon]; rewrite /qc_code /qc_decode /= Pos2Nat.id Zabs2Nat.id_abs; apply: Qc_is_canon.
apply: Qeq_trans (Qred_correct _) _.
rewrite (_ : (if Z.ltb n 0 then Z.opp (Z.abs n) else Z.abs n) = n); first exact: Qeq_refl.
case: Z.ltb_spec0 => [neg|/Z.nlt_ge pos]; last by rewrite Z.abs_eq.
by rewrite Z.abs_neq ?Z.opp_involutive //; exact: Z.lt_le_incl.
Qed.
Definition qc_choiceMixin := CanChoiceMixin qc_codeK.
Canonical qc_choiceType := Eval hnf in ChoiceType Qc qc_choiceMixin.

(* ---- Field ---- *)

Definition qc0 := Q2Qc 0.
Definition qc1 := Q2Qc 1.
Definition qc_zmodMixin := @ZmodMixin Qc qc0 Qcopp Qcplus Qcplus_assoc Qcplus_comm Qcplus_0_l
  (fun x => eq_trans (Qcplus_comm _ _) (Qcplus_opp_r x)).
Canonical qc_zmodType := Eval hnf in ZmodType Qc qc_zmodMixin.
Lemma qc_nonzero1 : qc1 != qc0. Proof. by []. Qed.
Definition qc_comRingMixin := @ComRingMixin qc_zmodType qc1 Qcmult Qcmult_assoc Qcmult_comm Qcmult_1_l
  Qcmult_plus_distr_l qc_nonzero1.
Canonical qc_ringType := Eval hnf in RingType Qc qc_comRingMixin.
Canonical qc_comRingType := Eval hnf in ComRingType Qc Qcmult_comm.
Lemma qc_mulV (x : qc_ringType) : x != 0%R -> Qcmult (Qcinv x) x = 1%R.
Proof. by move/eqP => x0; exact: Qcmult_inv_l. Qed.
Lemma qc_inv0 : Qcinv 0%R = 0%R :> qc_ringType. Proof. exact/eqP. Qed.
Definition qc_unitMixin := FieldUnitMixin qc_mulV qc_inv0.
Canonical qc_unitRingType := Eval hnf in UnitRingType Qc qc_unitMixin.
Canonical qc_comUnitRingType := Eval hnf in [comUnitRingType of Qc].
Fact qc_field_axiom : GRing.Field.mixin_of qc_unitRingType. Proof. exact. Qed.
Canonical qc_idomainType := Eval hnf in IdomainType Qc (FieldIdomainMixin qc_field_axiom).
Canonical qc_fieldType := FieldType Qc qc_field_axiom.

(* ---- Order ---- *)

Definition qc_le (x y : Qc) : bool := Qle_bool x y.
Definition qc_lt (x y : Qc) : bool := ~~ Qle_bool y x.
Definition qc_norm (x : Qc) : Qc := if qc_le qc0 x then x else Qcopp x.

Lemma qc_leP (x y : Qc) : reflect (Qcle x y) (qc_le x y).
Proof. by apply: (iffP idP) => /Qle_bool_iff. Qed.
Lemma qc_le_add (x y : qc_idomainType) : qc_le 0%R x -> qc_le 0%R y -> qc_le 0%R (x + y)%R.
Proof.
move=> /qc_leP x0 /qc_leP y0; apply/qc_leP; rewrite -[X in Qcle X _]addr0; exact: Qcplus_le_compat x0 y0.
Qed.
Lemma qc_le_mul (x y : qc_idomainType) : qc_le 0%R x -> qc_le 0%R y -> qc_le 0%R (x * y)%R.
Proof.
move=> /qc_leP x0 /qc_leP y0; apply/qc_leP; rewrite -[X in Qcle X _](mul0r y); exact: Qcmult_le_compat_r x0 y0.
Qed.
Lemma qc_le_anti (x : qc_idomainType) : qc_le 0%R x -> qc_le x 0%R -> x = 0%R.
Proof. by move=> /qc_leP x0 /qc_leP xle; exact: (Qcle_antisym _ _ xle x0). Qed.
Lemma qc_sub_ge0 (x y : qc_idomainType) : qc_le 0%R (y - x)%R = qc_le x y.
Proof.
have [to from] := Qcle_minus_iff x y.
by apply/idP/idP => /qc_leP H; apply/qc_leP; [exact: from H|exact: to H].
Qed.
Lemma qc_total (x : qc_idomainType) : qc_le 0%R x || qc_le x 0%R.
Proof. by apply/orP; case: (Qclt_le_dec 0%R x) => [/Qclt_le_weak/qc_leP|/qc_leP]; [left|right]. Qed.
Lemma qc_opp_ge0 (x : qc_idomainType) : qc_le 0%R (- x)%R = qc_le x 0%R.
Proof. by rewrite -sub0r qc_sub_ge0. Qed.
Lemma qc_normN (x : qc_idomainType) : qc_norm (- x)%R = qc_norm x.
Proof.
have := qc_total x; rewrite /qc_norm -[qc0]/(0%R : qc_idomainType) qc_opp_ge0.
case x0: (qc_le 0%R x); case xle: (qc_le x 0%R) => // _.
  by rewrite (qc_le_anti x0 xle); exact: oppr0.
exact: (opprK x).
Qed.
Lemma qc_ge0_norm (x : qc_idomainType) : qc_le 0%R x -> qc_norm x = x.
Proof. by rewrite /qc_norm => ->. Qed.
Lemma qc_lt_def (x y : qc_idomainType) : qc_lt x y = (y != x) && qc_le x y.
Proof.
rewrite /qc_lt -/(qc_le y x); apply/negP/andP => [yx|[/eqP ne /qc_leP xy] /qc_leP yx]; last exact/ne/Qcle_antisym.
have xy : Qcle x y by case: (Qclt_le_dec y x) => [/Qclt_le_weak/qc_leP|].
by split; [apply/eqP => e; apply: yx; rewrite e; apply/qc_leP; exact: Qcle_refl|exact/qc_leP].
Qed.

Definition qc_leMixin : realLeMixin qc_idomainType :=
  RealLeMixin qc_le_add qc_le_mul qc_le_anti qc_sub_ge0 qc_total qc_normN qc_ge0_norm qc_lt_def.
Lemma qc_le_total : total (qc_le : rel Qc). Proof. exact: (@Num.RealLeMixin.le_total _ qc_leMixin). Qed.

Canonical qc_porderType := POrderType ring_display Qc qc_leMixin.
Canonical qc_latticeType := LatticeType Qc qc_leMixin.
Canonical qc_distrLatticeType := DistrLatticeType Qc qc_leMixin.
Canonical qc_orderType := OrderType Qc qc_le_total.
Canonical qc_numDomainType := NumDomainType Qc qc_leMixin.
Canonical qc_normedZmodType := NormedZmodType Qc Qc qc_leMixin.
Canonical qc_numFieldType := [numFieldType of Qc].
Canonical qc_realDomainType := [realDomainType of Qc].
Canonical qc_realFieldType := [realFieldType of Qc].
