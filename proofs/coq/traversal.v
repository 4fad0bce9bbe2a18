(* T16: traversal verification. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics loops chains blocks trees.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Traversal.
Variables (R : realFieldType) (V : finType).
Implicit Types (c earlier : seq V) (h : seq V -> R) (s : shape) (left : V -> R) (t : tree R V) (w z : R).

(* What an outcome without a kept text is worth enters linearly. *)
Lemma E_value (m : prog R (option (seq V))) f z :
  E m (value f z) = E m (value f 0) + z * E m (value (fun _ => 0) 1).
Proof. by rewrite -E_scale -E_add; apply: E_ext => -[c'|] /=; rewrite ?mulr0 ?addr0 ?mulr1 ?add0r. Qed.

Lemma E_traversal_leaf p w c left f z :
  E (traversal_ask p w Leaf c left) (value f z) = w * (\sum_y left y * f (rcons c y)) + (1 - w) * z.
Proof.
have := E_coin w (keep_found (emit c left)) (Ret None) (value f z).
by rewrite E_keep_found E_emit.
Qed.

Lemma E_traversal_node p w x row below next c left f z :
  E (traversal_ask p w (Node x row below next) c left) (value f z)
  = E (traversal_ask p (block_weight w left row x) below (rcons c x) (p (rcons c x)))
      (value f (E (traversal_ask p (block_stop w left row) next c (block_residual w left row)) (value f z))).
Proof. by rewrite [traversal_ask _ _ _ _ _]/= E_bind; apply: E_ext => -[]. Qed.

Lemma block_residual_law w left row : is_law left -> is_law (block_residual w left row).
Proof. by move=> ll; apply: normalised_law => // y; exact: positive_part_ge0. Qed.

Lemma block_stop_ge0 w left row : w <= 1 -> 0 <= block_stop w left row.
Proof.
move=> w1; have rest0 : 0 <= total (block_rest w left row).
  by rewrite totalE sumr_ge0 // => y _; exact: positive_part_ge0.
by rewrite /block_stop /= capped_ge0 // -addrA addr_ge0 // subr_ge0.
Qed.

Lemma block_stop_le1 w left row : block_stop w left row <= 1.
Proof.
apply: capped_le1; rewrite totalE sumr_ge0 // => y _; exact: positive_part_ge0.
Qed.

Lemma traversal_harmonic p q s w c earlier left h z : laws p -> harmonic p h -> is_law left ->
  0 <= w -> w <= 1 -> tree_ok q s c earlier ->
  E (bind (tree_draft q s c earlier) (fun t => traversal_ask p w t c left)) (value h z)
  = w * (\sum_y left y * h (rcons c y)) + (1 - w) * z.
Proof.
move=> lp hh; elim: s w c earlier left z => [|below IHb next IHn] w c earlier left z ll w0 w1.
  by move=> _; exact: E_traversal_leaf.
case qc : (q c earlier) => [row|]; last by rewrite /= qc => _; exact: E_traversal_leaf.
rewrite (E_tree_draft _ _ _ _ qc) [tree_ok _ _ _ _]/= qc => -[lr ok].
rewrite -(kept_and_rest w0 w1 ll lr (fun y => h (rcons c y))); apply: eq_bigr => x _.
have [->|/ok[okb okn]] := eqVneq (row x) 0; first by rewrite !mul0r.
congr (_ * _).
pose rest := block_residual w left row; pose stop := block_stop w left row.
pose later := fun u => E (traversal_ask p stop u c rest) (value h z).
have G : E (tree_draft q next c (rcons earlier x)) later = stop * (\sum_y rest y * h (rcons c y)) + (1 - stop) * z.
  rewrite -(IHn stop c (rcons earlier x) rest z (block_residual_law _ _ ll)) ?E_bind //.
    exact: block_stop_ge0.
  exact: block_stop_le1.
rewrite -/rest -/stop -G -hh -(IHb _ _ [::]) ?weight_ge0 ?weight_le1 // E_bind; apply: E_ext => t.
rewrite E_value -[X in X + _](E_const _ (tree_draft_mass okn)).
rewrite mulrC -E_scale -E_add; apply: E_ext => u.
by rewrite E_traversal_node E_value mulrC.
Qed.

Lemma extends_traversal p w t c left :
  always (traversal_ask p w t c left) (fun found => if found is Some c' then extends c c' else w != 1).
Proof.
elim: t w c left => [|x row below IHb next IHn] w c left.
  by case=> [_|]; [exact: (@extends_kept _ _ c left (w != 1))|rewrite /= subr_eq0 eq_sym].
apply: always_bind; apply: always_imp (IHb _ (rcons c x) _) => -[c'|_] /=; first exact: extends_trans.
apply: always_imp (IHn _ c _) => -[//|].
by apply: contraNneq => ->; rewrite stop_one.
Qed.

Theorem T16_traversal : statement_T16_traversal R V.
Proof.
move=> p q s lp ok judged; suff sp : sound p judged by split=> //; exact: loop_lossless.
split=> [h hh c|c].
  have := @traversal_harmonic p (q c) (s c) 1 c [::] (p c) h (h c) lp hh (lp c) ler01 (lexx 1) (ok c).
  rewrite subrr mul0r addr0 mul1r hh => <-; rewrite !E_bind; apply: E_ext => t.
  by rewrite /traversal_verify E_bind; apply: E_ext => -[].
apply: always_drafter => t; apply: always_bind; apply: always_imp (extends_traversal p 1 t c (p c)) => -[//|].
by rewrite eqxx.
Qed.

End Traversal.
