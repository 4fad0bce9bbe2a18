(* T10: trees. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics loops chains.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Trees.
Variables (R : realFieldType) (V : finType).
Implicit Types (c xs earlier : seq V) (h : seq V -> R) (s : shape) (left : V -> R).

Section Cycles.
Variables (p : seq V -> V -> R) (q : seq V -> seq V -> option (V -> R)).

Lemma E_tree_ask below next c rejected left row h : q c rejected = Some row ->
  E (tree_ask p q (Fork below next) c rejected left) h = \sum_x row x *
    (accept left row x * E (tree_cycle p q below (rcons c x)) h
     + (1 - accept left row x) * E (tree_ask p q next c (rcons rejected x) (residual left row)) h).
Proof.
move=> qc; rewrite [tree_ask _ _ _ _ _ _]/= qc E_Draw.
by apply: eq_bigr => x _; congr (_ * _); exact: E_coin.
Qed.

(* The law left for the next token is served exactly, whatever the tree below. *)
Lemma ask_harmonic s c rejected left h : laws p -> harmonic p h -> is_law left -> tree_ok q s c rejected ->
  E (tree_ask p q s c rejected left) h = \sum_y left y * h (rcons c y).
Proof.
move=> lp hh; elim: s c rejected left => [|below IHb next IHn] c rejected left ll; first by move=> _; exact: E_emit.
case qc : (q c rejected) => [row|]; last by rewrite /= qc => _; exact: E_emit.
rewrite (E_tree_ask _ _ _ _ qc) /= qc => -[lr ok].
rewrite -(one_token (fun y => h (rcons c y)) ll lr); apply: eq_bigr => x _.
have [->|/ok[okb okn]] := eqVneq (row x) 0; first by rewrite !mul0r.
by rewrite IHb // hh IHn //; exact: residual_law.
Qed.

Lemma extends_ask s c rejected left : always (tree_ask p q s c rejected left) (extends c).
Proof.
elim: s c rejected left => [|below IHb next IHn] c rejected left; first exact: extends_emit.
rewrite /=; case: (q c rejected) => [row|]; last exact: extends_emit.
move=> x _ [] _; last exact: IHn.
by apply: always_imp (IHb (rcons c x) _ _) => c'; exact: extends_trans.
Qed.

(* ---- Drawn whole ---- *)

Lemma E_tree_draft A below next c earlier row (f : tree R V -> prog R A) (h : A -> R) : q c earlier = Some row ->
  E (bind (tree_draft q (Fork below next) c earlier) f) h = \sum_x row x *
    E (tree_draft q below (rcons c x) [::]) (fun t =>
      E (tree_draft q next c (rcons earlier x)) (fun u => E (f (Node x row t u)) h)).
Proof.
move=> qc; rewrite E_bind [tree_draft _ _ _ _]/= qc E_Draw; apply: eq_bigr => x _; congr (_ * _).
by rewrite E_bind; apply: E_ext => t; rewrite E_bind.
Qed.

Lemma tree_draft_mass s c earlier : tree_ok q s c earlier -> E (tree_draft q s c earlier) (fun _ => 1) = 1.
Proof.
elim: s c earlier => [//|below IHb next IHn] c earlier.
case qc : (q c earlier) => [row|]; last by rewrite /= qc.
rewrite [tree_ok _ _ _ _]/= [tree_draft _ _ _ _]/= qc => -[[_ r1] ok].
rewrite E_Draw -[RHS]r1; apply: eq_bigr => x _.
have [->|/ok[okb okn]] := eqVneq (row x) 0; first by rewrite mul0r.
rewrite E_bind (E_ext _ (h2 := fun _ => 1)) ?IHb ?mulr1 // => t.
by rewrite E_bind [E _ _](IHn c (rcons earlier x) okn).
Qed.

(* Drawing the whole tree first gives the same as drawing each sibling when it is needed. *)
Lemma eager_lazy s c earlier left h : tree_ok q s c earlier ->
  E (bind (tree_draft q s c earlier) (fun t => tree_verify p t c left)) h = E (tree_ask p q s c earlier left) h.
Proof.
elim: s c earlier left => [//|below IHb next IHn] c earlier left.
case qc : (q c earlier) => [row|]; last by rewrite /= qc.
rewrite (E_tree_ask _ _ _ _ qc) (E_tree_draft _ _ _ _ qc) [tree_ok _ _ _ _]/= qc => -[_ ok].
apply: eq_bigr => x _; have [->|/ok[okb okn]] := eqVneq (row x) 0; first by rewrite !mul0r.
congr (_ * _); rewrite -IHn // -IHb // !E_bind -!E_scale -[X in _ + X](E_const _ (tree_draft_mass okb)) -E_add.
apply: E_ext => t; rewrite -[X in X + _](E_const _ (tree_draft_mass okn)) -E_add.
by apply: E_ext => u; exact: E_coin.
Qed.

Lemma extends_tree_verify (t : tree R V) c left : always (tree_verify p t c left) (extends c).
Proof.
elim: t c left => [|x row below IHb next IHn] c left; first exact: extends_emit.
move=> [] _; last exact: IHn.
by apply: always_imp (IHb (rcons c x) _) => c'; exact: extends_trans.
Qed.

End Cycles.

Theorem T10_trees : statement_T10_trees R V.
Proof.
move=> p q s lp ok lazily eagerly.
have lazy_keeps h c : harmonic p h -> E (lazily c) h = h c by move=> hh; rewrite /lazily /tree_cycle ask_harmonic // hh.
have sl : sound p lazily by split=> [h hh c|c]; [exact: lazy_keeps|exact: extends_ask].
have se : sound p eagerly.
  split=> [h hh c|c]; first by rewrite -lazy_keeps //; exact: eager_lazy.
  by apply: always_drafter => t; exact: extends_tree_verify.
by split=> //; exact: loop_lossless.
Qed.

Theorem T10_chain_is_a_tree : statement_T10_chain_is_a_tree R V.
Proof.
move=> p q gamma c h lq; rewrite /tree_cycle; elim: gamma c => [//|gamma IH] c.
rewrite [chain_shape _]/= (E_tree_ask _ _ _ _ _ (erefl _)) cycle_cons //; apply: eq_bigr => x _.
by rewrite /tree_cycle IH; congr (_ * (_ + _ * _)); exact: E_emit.
Qed.

Theorem T10_candidates_are_a_tree : statement_T10_candidates_are_a_tree R V.
Proof.
move=> p q k c x0 h lp; rewrite /tree_cycle; move: (p c) [::] => left rejected.
have first (d : V -> R) : E (emit c d) (fun c' => h (nth x0 c' (size c))) = E (draw d) h.
  by rewrite E_emit E_draw; apply: eq_bigr => y _; rewrite nth_rcons ltnn eqxx.
elim: k left rejected => [|k IH] left rejected; first exact: first.
case qc : (q rejected) => [row|]; last by rewrite /= qc; exact: first.
rewrite [fan_shape _]/= (@E_tree_ask p (fun _ => q) _ _ _ _ _ row) // [recursive_rejection _ _ _ _]/= qc E_Draw.
apply: eq_bigr => x _; rewrite IH E_coin; congr (_ * (_ * _ + _)).
rewrite [tree_cycle _ _ _ _]/(emit _ _) E_emit -[RHS]mul1r -(proj2 (lp (rcons c x))) mulr_suml.
by apply: eq_bigr => y _; rewrite !nth_rcons size_rcons ltnSn ltnn eqxx.
Qed.

(* ---- T11 for trees ---- *)

Lemma certain_harmonic p (t : tree R V) c left h : laws p -> harmonic p h -> is_law left ->
  E (tree_verify p (certain t) c left) h = \sum_y left y * h (rcons c y).
Proof.
move=> lp hh; elim: t c left => [|x row below IHb next IHn] c left ll; first exact: E_emit.
apply: etrans (E_coin _ _ _ _) _; rewrite IHb // hh IHn; last exact: residual_law.
rewrite -(one_token (fun y => h (rcons c y)) ll (point_mass_law R x)).
by rewrite (sum_point x (fun y => accept left (point_mass R x) y * h (rcons c y)
  + (1 - accept left (point_mass R x) y) * _)).
Qed.

Theorem T11_target_only_trees : statement_T11_target_only_trees R V.
Proof.
move=> p drafter lp ok judged; suff sp : sound p judged by split=> //; exact: loop_lossless.
split=> [h hh c|c]; last by apply: always_drafter => t; exact: extends_tree_verify.
by apply: drafter_harmonic => // t; rewrite certain_harmonic // hh.
Qed.

End Trees.
