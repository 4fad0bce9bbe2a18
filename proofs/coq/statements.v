(* Statements: the theorems, as propositions.  No proof is in this file.  The theorem NAME of the proof files has the
   type statement_NAME R V, for every ordered field R and every finite vocabulary V. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* m draws from d: every expectation agrees.  (With h an indicator: every probability agrees.) *)
Definition has_law (R : realFieldType) (W : finType) (m : prog R W) (d : W -> R) : Prop :=
  forall h, E m h = \sum_w d w * h w.

Section Statements.
Variables (R : realFieldType) (V : finType).
Implicit Types (p q : seq V -> V -> R) (d e : V -> R) (c xs : seq V) (cycle : seq V -> prog R (seq V)).

Definition laws p : Prop := forall c, is_law (p c).

(* Texts made by repeating the cycle have the law of texts made without a draft: any length n, any text c to start from,
   any observation g.  The second half says the same with the chain rule. *)
Definition lossless p cycle : Prop :=
  (forall n c g, E (loop cycle n c) g = E (loop (plain_cycle p) n c) g) /\
  (forall c xs, E (loop cycle (size c + size xs) c) (fun c' => (c' == c ++ xs)%:R) = text_probability p c xs).

(* The expected number of tokens that one cycle adds. *)
Definition expected_growth cycle c : R := E (cycle c) (fun c' => (size c' - size c)%N%:R).

(* The loop theorem: soundness of one cycle is enough. *)
Definition statement_loop_lossless : Prop := forall p cycle, laws p -> sound p cycle -> lossless p cycle.

(* T1. One step emits y with probability p y.  q x = 0 and p = q are included. *)
Definition statement_T1_lossless_step : Prop := forall d e, is_law d -> is_law e -> has_law (step d e) d.

(* T2. P(accept) = sum min(p, q) = 1 - TV(p, q), and TV is the largest difference over events. *)
Definition statement_T2_acceptance : Prop := forall d e, is_law d -> is_law e ->
  [/\ E (step_accepts d e) (fun accepted => accepted%:R) = alpha d e,
      alpha d e = 1 - total_variation d e,
      forall A : pred V, `|\sum_(x | A x) d x - \sum_(x | A x) e x| <= total_variation d e
    & exists A : pred V, \sum_(x | A x) d x - \sum_(x | A x) e x = total_variation d e].

(* T3. No coupling J of q (drafted, x) and p (emitted, y) has the two equal more often; the step attains the bound. *)
Definition coupling (J : V -> V -> R) e d : Prop :=
  [/\ forall x y, 0 <= J x y, forall x, \sum_y J x y = e x & forall y, \sum_x J x y = d y].
Definition statement_T3_no_coupling_accepts_more : Prop := forall d e, is_law d -> is_law e ->
  let J := fun x y => E (coupled_step d e) (fun xy => (xy == (x, y))%:R) in
  [/\ forall J', coupling J' e d -> \sum_x J' x x <= alpha d e, coupling J e d & \sum_x J x x = alpha d e].

(* T4. Draft gamma tokens, verify, repeat.  Each cycle may choose its drafter and its gamma anew from its text. *)
Definition statement_T4_chain : Prop :=
  forall p (q : seq V -> seq V -> V -> R) (gamma : seq V -> nat), laws p -> (forall c, laws (q c)) ->
    let chain := fun c => definitions.cycle p (q c) (gamma c) c in sound p chain /\ lossless p chain.

(* T5. k candidates.  Only those that can be drawn need a law; without replacement k may exceed what q can give. *)
Fixpoint proposals_ok (q : seq V -> option (V -> R)) (k : nat) (rejected : seq V) : Prop :=
  match k, q rejected with
  | k'.+1, Some row => is_law row /\ (forall x, row x != 0 -> proposals_ok q k' (rcons rejected x))
  | _, _ => True
  end.
Definition statement_T5_recursive_rejection : Prop := forall d (q : seq V -> option (V -> R)) k rejected,
  is_law d -> proposals_ok q k rejected -> has_law (recursive_rejection d q k rejected) d.
Definition statement_T5_with_replacement : Prop := forall d e k,
  is_law d -> is_law e -> has_law (recursive_rejection d (with_replacement e) k [::]) d.
Definition statement_T5_without_replacement : Prop := forall d e k,
  is_law d -> is_law e -> has_law (recursive_rejection d (without_replacement e) k [::]) d.

(* T6. Greedy verification emits the target's greedy text for any drafter (even one that is not a law); argmax is a most
   likely token; and a draft that agrees is kept whole and followed by one more token. *)
Definition statement_T6_greedy : Prop := forall (x0 : V) p (drafter : seq V -> prog R (seq V)) n c, (size c <= n)%N ->
  [/\ always (loop (fun c => bind (drafter c) (fun xs => greedy_cycle x0 p xs c)) n c)
             (fun c' => c' = greedy_text x0 p n c),
      forall x, p c x <= p c (argmax x0 (p c))
    & greedy_cycle x0 p (drop (size c) (greedy_text x0 p n c)) c = Ret (greedy_text x0 p n.+1 c)].

(* T7. With the same alpha in every context a cycle emits 1 + alpha + ... + alpha^gamma tokens on average. *)
Definition statement_T7_tokens_per_cycle : Prop :=
  forall p q (a : R) gamma c, laws p -> laws q -> (forall c', alpha (p c') (q c') = a) ->
    expected_growth (definitions.cycle p q gamma) c = \sum_(i < gamma.+1) a ^+ i /\
    (a != 1 -> expected_growth (definitions.cycle p q gamma) c = (1 - a ^+ gamma.+1) / (1 - a)).

(* T9. Block verification is lossless, and adds at least as many tokens on average as judging token by token. *)
Definition statement_T9_block_lossless : Prop :=
  forall p (q : seq V -> seq V -> V -> R) (gamma : seq V -> nat), laws p -> (forall c, laws (q c)) ->
    let blocks := fun c => block_cycle p (q c) (gamma c) c in sound p blocks /\ lossless p blocks.
Definition statement_T9_block_accepts_more : Prop := forall p q gamma c, laws p -> laws q ->
  expected_growth (definitions.cycle p q gamma) c <= expected_growth (block_cycle p q gamma) c.

(* T10. Trees, drawn as needed or drawn whole.  Only nodes that can be drawn need a law. *)
Fixpoint tree_ok (q : seq V -> seq V -> option (V -> R)) (s : shape) c earlier : Prop :=
  match s, q c earlier with
  | Fork below next, Some row =>
      is_law row /\ (forall x, row x != 0 -> tree_ok q below (rcons c x) [::] /\ tree_ok q next c (rcons earlier x))
  | _, _ => True
  end.
Definition statement_T10_trees : Prop :=
  forall p (q : seq V -> seq V -> seq V -> option (V -> R)) (s : seq V -> shape), laws p ->
    (forall c, tree_ok (q c) (s c) c [::]) ->
    let lazily := fun c => tree_cycle p (q c) (s c) c in
    let eagerly := fun c => eager_tree_cycle p (q c) (s c) c in
    [/\ sound p lazily, lossless p lazily, sound p eagerly & lossless p eagerly].
(* A chain is a tree whose every node has one child; several candidates are the siblings of a tree of depth one. *)
Definition statement_T10_chain_is_a_tree : Prop := forall p q gamma c h, laws q ->
  E (tree_cycle p (fun c' _ => Some (q c')) (chain_shape gamma) c) h = E (definitions.cycle p q gamma c) h.
(* The first token after c; where a candidate is accepted, a bonus token follows it.  (x0 is never looked at.) *)
Definition statement_T10_candidates_are_a_tree : Prop :=
  forall p (q : seq V -> option (V -> R)) k c (x0 : V) h, laws p ->
  E (tree_cycle p (fun _ => q) (fan_shape k) c) (fun c' => h (nth x0 c' (size c)))
  = E (recursive_rejection (p c) q k [::]) h.

(* T11. Any drafter at all, even one whose law is unknown, as long as its probabilities sum to one. *)
Definition drafter_ok (A : Type) (drafter : seq V -> prog R A) : Prop := forall c, E (drafter c) (fun _ => 1) = 1.
Definition statement_T11_matching : Prop := forall p drafter, laws p -> drafter_ok drafter ->
  let matched := fun c => bind (drafter c) (matching_verify p c) in sound p matched /\ lossless p matched.
Definition statement_T11_target_only : Prop := forall p drafter, laws p -> drafter_ok drafter ->
  let judged := fun c => bind (drafter c) (target_only_verify p c) in
  [/\ sound p judged, lossless p judged
    & forall c x, accept (p c) (point_mass R x) x = p c x].
Definition statement_T11_target_only_trees : Prop := forall p drafter, laws p -> drafter_ok drafter ->
  let judged := fun c => bind (drafter c) (fun t => tree_verify p (certain t) c (p c)) in
  sound p judged /\ lossless p judged.

(* T16. Traversal verification, for any tree. *)
Definition statement_T16_traversal : Prop :=
  forall p (q : seq V -> seq V -> seq V -> option (V -> R)) (s : seq V -> shape), laws p ->
    (forall c, tree_ok (q c) (s c) c [::]) ->
    let judged := fun c => traversal_cycle p (q c) (s c) c in sound p judged /\ lossless p judged.

(* C4. Typical acceptance with the criterion p x >= tau moves the law of the token after a text by at most
   q(what passes) (1 - tau).  That it does move it is shown in counterexamples.v. *)
Definition first_token (typical : (V -> R) -> V -> bool) d e : V -> R := fun y =>
  E (typical_cycle typical (fun _ => d) (fun _ => e) 1 [::]) (fun c' => (ohead c' == Some y)%:R).
Definition statement_C4_typical_bound : Prop := forall d e tau, is_law d -> is_law e ->
  total_variation (first_token (fun d x => tau <= d x) d e) d <= (\sum_(x | tau <= d x) e x) * (1 - tau).

End Statements.
