(* Sums, expectations and the one-token algebra that every theorem uses. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Expectation.
Variable R : realFieldType.

Lemma totalE (W : finType) (f : W -> R) : total f = \sum_w f w.
Proof.
rewrite /total /tokens [index_enum W]unlock Finite.EnumDef.enumDef.
by rewrite unlock; elim: (Finite.mixin_enum _) => //= w s ->.
Qed.

Lemma tokens_mem (W : finType) (w : W) : w \in tokens W.
Proof. by move: (mem_index_enum w); rewrite [index_enum W]unlock Finite.EnumDef.enumDef. Qed.

Lemma E_Draw A (W : finType) (d : W -> R) (k : W -> prog R A) h : E (Draw d k) h = \sum_w d w * E (k w) h.
Proof. exact: totalE. Qed.

Lemma E_coin A (a : R) (m n : prog R A) h : E (coin a m n) h = a * E m h + (1 - a) * E n h.
Proof. by rewrite E_Draw big_bool. Qed.

Lemma E_bind A B (m : prog R A) (f : A -> prog R B) h : E (bind m f) h = E m (fun a => E (f a) h).
Proof. by elim: m => [//|W d k IH]; rewrite [bind _ _]/= !E_Draw; apply: eq_bigr => w _; rewrite IH. Qed.

Lemma E_draw (W : finType) (d : W -> R) h : E (draw d) h = \sum_w d w * h w.
Proof. exact: totalE. Qed.

Lemma E_ext A (m : prog R A) h1 h2 : (forall a, h1 a = h2 a) -> E m h1 = E m h2.
Proof. by move=> h12; elim: m => [a|W d k IH]; [exact: h12|rewrite !E_Draw; apply: eq_bigr => w _; rewrite IH]. Qed.

Lemma E_always A (m : prog R A) h1 h2 : always m (fun a => h1 a = h2 a) -> E m h1 = E m h2.
Proof.
elim: m => [//|W d k IH] H; rewrite !E_Draw; apply: eq_bigr => w _.
by have [->|/H/IH->] := eqVneq (d w) 0; rewrite ?mul0r.
Qed.

Lemma E_add A (m : prog R A) h1 h2 : E m (fun a => h1 a + h2 a) = E m h1 + E m h2.
Proof.
elim: m => [//|W d k IH]; rewrite !E_Draw -big_split; apply: eq_bigr => w _ /=.
by rewrite IH mulrDr.
Qed.

Lemma E_scale A (m : prog R A) x h : E m (fun a => x * h a) = x * E m h.
Proof.
elim: m => [//|W d k IH]; rewrite !E_Draw mulr_sumr; apply: eq_bigr => w _.
by rewrite IH mulrCA.
Qed.

Lemma E_const A (m : prog R A) x : E m (fun _ => 1) = 1 -> E m (fun _ => x) = x.
Proof. by move=> m1; rewrite -[RHS]mulr1 -m1 -E_scale; apply: E_ext => a; rewrite mulr1. Qed.

Lemma always_imp A (m : prog R A) (P Q : A -> Prop) : (forall a, P a -> Q a) -> always m P -> always m Q.
Proof. by move=> PQ; elim: m => [a|W d k IH] /=; [exact: PQ|move=> H w /H; exact: IH]. Qed.

Lemma always_bind A B (m : prog R A) (f : A -> prog R B) P :
  always m (fun a => always (f a) P) -> always (bind m f) P.
Proof. by elim: m => [//|W d k IH] /= H w /H; exact: IH. Qed.

Lemma always_all A (m : prog R A) (P : A -> Prop) : (forall a, P a) -> always m P.
Proof. by move=> H; elim: m => [a|W d k IH] //=. Qed.

End Expectation.

Section OneToken.
Variables (R : realFieldType) (V : finType).
Implicit Types (d e : V -> R) (F : V -> R).

Lemma capped_min (a b : R) : 0 <= a -> 0 <= b -> b * capped a b = Num.min a b.
Proof.
move=> a0 b0; rewrite /capped; case: (leP b a) => [ba|ab]; first by rewrite mulr1.
by rewrite mulrCA mulfV ?mulr1 // gt_eqF // (le_lt_trans a0 ab).
Qed.

Lemma capped_ge0 (a b : R) : 0 <= a -> 0 <= b -> 0 <= capped a b.
Proof. by move=> a0 b0; rewrite /capped; case: ifP => _; rewrite ?ler01 ?divr_ge0. Qed.

Lemma capped_le1 (a b : R) : 0 <= a -> capped a b <= 1.
Proof.
move=> a0; rewrite /capped; case: (leP b a) => // ab.
by rewrite ler_pdivr_mulr ?mul1r ?ltW // (le_lt_trans a0 ab).
Qed.

Lemma positive_partE d e x : positive_part d e x = d x - Num.min (d x) (e x).
Proof.
rewrite /positive_part; have [de|ed] := leP (d x) (e x); first by rewrite subrr max_r // subr_le0.
by rewrite max_l // subr_ge0 ltW.
Qed.

Lemma positive_part_ge0 d e x : 0 <= positive_part d e x.
Proof. by rewrite /positive_part le_maxr lexx orbT. Qed.

(* Weights are their mass times the normalised weights, whatever stands in for the zero mass. *)
Lemma normalised_mass (f g : V -> R) x : (forall y, 0 <= f y) -> (\sum_y f y) * normalised f g x = f x.
Proof.
move=> f0; rewrite /normalised totalE; have [m0|m0] := eqVneq (\sum_y f y) 0; last by rewrite mulrCA mulfV ?mulr1.
by rewrite m0 mul0r; apply/esym/(psumr_eq0P _ m0).
Qed.

Lemma normalised_law (f g : V -> R) : (forall y, 0 <= f y) -> is_law g -> is_law (normalised f g).
Proof.
move=> f0 lg; rewrite /normalised totalE; have [//|m0] := eqVneq (\sum_y f y) 0.
by split=> [x|]; [rewrite divr_ge0 ?sumr_ge0|rewrite -mulr_suml mulfV].
Qed.

Lemma residual_law d e : is_law d -> is_law (residual d e).
Proof. by move=> ld; apply: normalised_law => // y; exact: positive_part_ge0. Qed.

Lemma positive_part_sum d e : is_law d -> \sum_x positive_part d e x = 1 - alpha d e.
Proof. by move=> [_ d1]; rewrite -d1 /alpha -sumrB; apply: eq_bigr => x _; exact: positive_partE. Qed.

Lemma accept_min d e x : is_law d -> is_law e -> e x * accept d e x = Num.min (d x) (e x).
Proof. by move=> [d0 _] [e0 _]; rewrite /accept capped_min. Qed.

Lemma accept_sum d e : is_law d -> is_law e -> \sum_x e x * accept d e x = alpha d e.
Proof. by move=> ld le; apply: eq_bigr => x _; exact: accept_min. Qed.

Lemma reject_sum d e : is_law d -> is_law e -> \sum_x e x * (1 - accept d e x) = 1 - alpha d e.
Proof.
move=> ld le; rewrite -[in RHS](proj2 le) -(accept_sum ld le) -sumrB.
by apply: eq_bigr => x _; rewrite mulrBr mulr1.
Qed.

(* The heart of everything: go on with F where the draft is accepted, and with F after the residual elsewhere. *)
Lemma one_token d e F : is_law d -> is_law e ->
  \sum_x e x * (accept d e x * F x + (1 - accept d e x) * \sum_y residual d e y * F y) = \sum_y d y * F y.
Proof.
move=> ld le; under eq_bigr do rewrite mulrDr !mulrA.
rewrite big_split /= -mulr_suml reject_sum // -positive_part_sum // mulr_sumr -big_split /=.
apply: eq_bigr => x _; rewrite accept_min // mulrA normalised_mass ?positive_partE; last exact: positive_part_ge0.
by rewrite -mulrDl addrC subrK.
Qed.

Lemma point_mass_law x : is_law (@point_mass R V x).
Proof.
split=> [y|]; first exact: ler0n.
by rewrite (bigD1 x) //= /point_mass eqxx big1 ?addr0 // => y /negPf->.
Qed.

Lemma law_le1 d x : is_law d -> d x <= 1.
Proof. by move=> [d0 d1]; rewrite -d1 (bigD1 x) //= ler_addl sumr_ge0. Qed.

Lemma sum_point x F : \sum_y @point_mass R V x y * F y = F x.
Proof.
rewrite (bigD1 x) //= /point_mass eqxx mul1r big1 ?addr0 // => y /negPf->.
by rewrite mul0r.
Qed.

End OneToken.
