(* Definitions: what the theorems speak about.  No proof is in this file.

   R is any ordered field (realFieldType), V any finite vocabulary (finType).  A law on W is a function W -> R.
   p is the target, q the draft: functions from a text (a list of tokens, oldest first) to a law on V.
   proofs/exact defines the same names over fractions.Fraction; the generated bridge.v checks that the two agree. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* ---- Programs -------------------------------------------------------------------------------------------------- *)

(* A program returns a value, or draws from a law and goes on. *)
Inductive prog (R : Type) (A : Type) : Type :=
| Ret of A
| Draw (W : finType) (d : W -> R) (k : W -> prog R A).
Arguments Ret {R A} _.
Arguments Draw {R A W} _ _.

(* The values of W as a list, and the sum over it, in a form that computes.  Lemma totalE: total f = \sum_w f w. *)
Definition tokens (W : finType) : seq W := Finite.mixin_enum (Finite.class W).
Definition total (R : realFieldType) (W : finType) (f : W -> R) : R := foldr (fun w s => f w + s) 0 (tokens W).

Section Programs.
Variable R : realFieldType.

(* The expectation of h over the outcomes of m. *)
Fixpoint E A (m : prog R A) (h : A -> R) : R :=
  match m with
  | Ret a => h a
  | Draw W d k => total (fun w => d w * E (k w) h)
  end.

(* P holds for every outcome of non-zero probability. *)
Fixpoint always A (m : prog R A) (P : A -> Prop) : Prop :=
  match m with
  | Ret a => P a
  | Draw W d k => forall w, d w != 0 -> always (k w) P
  end.

Fixpoint bind A B (m : prog R A) (f : A -> prog R B) : prog R B :=
  match m with
  | Ret a => f a
  | Draw W d k => Draw d (fun w => bind (k w) f)
  end.

Definition draw (W : finType) (d : W -> R) : prog R W := Draw d Ret.

(* Heads with probability a. *)
Definition coin A (a : R) (heads tails : prog R A) : prog R A :=
  Draw (fun b : bool => if b then a else 1 - a) (fun b => if b then heads else tails).

Definition is_law (W : finType) (d : W -> R) : Prop := (forall w, 0 <= d w) /\ \sum_w d w = 1.

Section Tokens.
Variable V : finType.

(* ---- One token ------------------------------------------------------------------------------------------------- *)

Section OneToken.
Implicit Types (p q : V -> R) (x y : V).

(* The law of a token proposed with certainty. *)
Definition point_mass x : V -> R := fun y => (y == x)%:R.

(* min(1, a / b) for a, b >= 0.  It divides only where b > a >= 0: nothing rests on a / 0. *)
Definition capped (a b : R) : R := if b <= a then 1 else a / b.

(* weights over their sum, and otherwise where that sum is zero. *)
Definition normalised (weights otherwise : V -> R) : V -> R :=
  let mass := total weights in if mass == 0 then otherwise else fun x => weights x / mass.

Definition positive_part p q : V -> R := fun x => Num.max (p x - q x) 0.

(* The probability of accepting the drafted x: min(1, p x / q x). *)
Definition accept p q x : R := capped (p x) (q x).

(* The law after a rejection: (p - q)+ normalised; p itself where nothing is left, which is p = q. *)
Definition residual p q : V -> R := normalised (positive_part p q) p.

(* The token emitted where x was drafted. *)
Definition judge p q x : prog R V := coin (accept p q x) (Ret x) (draw (residual p q)).

(* Draft one token and judge it; the same with the draft kept: (drafted, emitted); and whether it was accepted. *)
Definition step p q : prog R V := bind (draw q) (judge p q).
Definition coupled_step p q : prog R (V * V) := bind (draw q) (fun x => bind (judge p q x) (fun y => Ret (x, y))).
Definition step_accepts p q : prog R bool := bind (draw q) (fun x => coin (accept p q x) (Ret true) (Ret false)).

Definition alpha p q : R := \sum_x Num.min (p x) (q x).
Definition total_variation p q : R := (\sum_x `|p x - q x|) / 2%:R.

(* Several candidates, tried in turn.  q rejected is the law of the next candidate given those already rejected
   (oldest first), None when there is no other; each rejection replaces the target by the residual. *)
Fixpoint recursive_rejection p (q : seq V -> option (V -> R)) (k : nat) (rejected : seq V) : prog R V :=
  if k is k'.+1 then
    if q rejected is Some row then
      Draw row (fun x => coin (accept p row x) (Ret x) (recursive_rejection (residual p row) q k' (rcons rejected x)))
    else draw p
  else draw p.

Definition with_replacement q : seq V -> option (V -> R) := fun _ => Some q.
(* q restricted to the tokens not drawn yet, normalised; None when q has no other token. *)
Definition without_replacement q : seq V -> option (V -> R) := fun earlier =>
  let left x := if x \in earlier then 0 else q x in
  if total left == 0 then None else Some (normalised left left).

End OneToken.

(* ---- Texts and cycles ------------------------------------------------------------------------------------------ *)

Implicit Types (p q : seq V -> V -> R) (c xs : seq V) (cycle : seq V -> prog R (seq V)).

(* The target's chain rule: the probability that xs follows c. *)
Fixpoint text_probability p c xs : R := if xs is x :: xs' then p c x * text_probability p (rcons c x) xs' else 1.

(* What h promises at c is what it pays on average one token later. *)
Definition harmonic p (h : seq V -> R) : Prop := forall c, \sum_x p c x * h (rcons c x) = h c.

Definition extends c c' : bool := (size c < size c')%N && (take (size c) c' == c).

(* A cycle takes a text to a longer text.  It is sound when it keeps the expectation of every harmonic function. *)
Definition sound p cycle : Prop :=
  (forall h, harmonic p h -> forall c, E (cycle c) h = h c) /\ (forall c, always (cycle c) (extends c)).

(* Repeat the cycle until the text has n tokens, and keep the first n.  Each cycle emits, so n - size c are enough. *)
Fixpoint repeat_cycle cycle (fuel n : nat) c : prog R (seq V) :=
  if fuel is fuel'.+1 then if (n <= size c)%N then Ret (take n c) else bind (cycle c) (repeat_cycle cycle fuel' n)
  else Ret (take n c).
Definition loop cycle (n : nat) c : prog R (seq V) := repeat_cycle cycle (n - size c) n c.

(* One token from d after c. *)
Definition emit c (d : V -> R) : prog R (seq V) := bind (draw d) (fun y => Ret (rcons c y)).

(* Decoding without a draft. *)
Definition plain_cycle p c : prog R (seq V) := emit c (p c).

(* ---- Chains ---------------------------------------------------------------------------------------------------- *)

(* gamma tokens, each from q after those before it. *)
Fixpoint draft q (gamma : nat) c : prog R (seq V) :=
  if gamma is gamma'.+1 then Draw (q c) (fun x => bind (draft q gamma' (rcons c x)) (fun xs => Ret (x :: xs)))
  else Ret [::].

(* Judge the drafted xs from left to right.  The first rejected token is replaced by a draw from the residual, and the
   rest is dropped; after the last accepted token one more comes from the target: the bonus. *)
Fixpoint verify p q c xs : prog R (seq V) :=
  if xs is x :: xs' then coin (accept (p c) (q c) x) (verify p q (rcons c x) xs') (emit c (residual (p c) (q c)))
  else emit c (p c).

Definition cycle p q (gamma : nat) c : prog R (seq V) := bind (draft q gamma c) (verify p q c).

(* ---- Greedy ---------------------------------------------------------------------------------------------------- *)

(* The likeliest token, ties to the first (x0 only serves the empty vocabulary). *)
Definition argmax (x0 : V) (d : V -> R) : V :=
  if tokens V is x :: xs then foldl (fun best y => if d best < d y then y else best) x xs else x0.

(* Keep xs while it says what the target's argmax says, then add that argmax. *)
Fixpoint greedy_cycle (x0 : V) p xs c : prog R (seq V) :=
  let best := argmax x0 (p c) in
  if xs is x :: xs' then if x == best then greedy_cycle x0 p xs' (rcons c best) else Ret (rcons c best)
  else Ret (rcons c best).

(* The target's own greedy text, with k more tokens; and with n tokens in all. *)
Fixpoint greedy_more (x0 : V) p (k : nat) c : seq V :=
  if k is k'.+1 then greedy_more x0 p k' (rcons c (argmax x0 (p c))) else c.
Definition greedy_text (x0 : V) p (n : nat) c : seq V := greedy_more x0 p (n - size c) c.

(* ---- Verification with the target's own sampler ----------------------------------------------------------------- *)

(* Sampler match: draw y from the target, emit it, and go on while y equals the draft. *)
Fixpoint matching_verify p c xs : prog R (seq V) :=
  Draw (p c) (fun y =>
    if xs is x :: xs' then if x == y then matching_verify p (rcons c y) xs' else Ret (rcons c y) else Ret (rcons c y)).
Definition matching_cycle p q (gamma : nat) c : prog R (seq V) := bind (draft q gamma c) (matching_verify p c).

(* Target only: verify as if each drafted token had been proposed with certainty, whatever law it was drawn from. *)
Fixpoint target_only_verify p c xs : prog R (seq V) :=
  if xs is x :: xs' then
    coin (accept (p c) (point_mass x) x) (target_only_verify p (rcons c x) xs') (emit c (residual (p c) (point_mass x)))
  else emit c (p c).
Definition target_only_cycle p q (gamma : nat) c : prog R (seq V) := bind (draft q gamma c) (target_only_verify p c).

(* ---- Block verification (Sun et al. 2024) ------------------------------------------------------------------------ *)

Section Block.
Variables (w : R) (d e : V -> R).   (* the running product; target and draft at one text *)

(* The next running product: w' = min(1, w p(x) / q(x)). *)
Definition block_weight x : R := capped (w * d x) (e x).
(* max(w p - q, 0): what the tokens after a kept prefix still lack; and the law of the token after that prefix. *)
Definition block_rest : V -> R := positive_part (fun x => w * d x) e.
Definition block_residual : V -> R := normalised block_rest d.
(* The probability of stopping here when no longer prefix was kept. *)
Definition block_stop : R := let rest := total block_rest in capped rest (rest + 1 - w).
End Block.

Definition keep_found (m : prog R (seq V)) : prog R (option (seq V)) := bind m (fun c' => Ret (Some c')).

(* The longest kept prefix wins, so it is asked from the longest down.  w is the running product at c; None: neither
   this prefix nor a longer one is kept. *)
Fixpoint block_ask p q (w : R) c xs : prog R (option (seq V)) :=
  if xs is x :: xs' then
    bind (block_ask p q (block_weight w (p c) (q c) x) (rcons c x) xs') (fun found =>
      if found is Some c' then Ret (Some c')
      else coin (block_stop w (p c) (q c)) (keep_found (emit c (block_residual w (p c) (q c)))) (Ret None))
  else coin w (keep_found (emit c (p c))) (Ret None).

(* With w = 1 at the start None has probability zero. *)
Definition block_verify p q c xs : prog R (seq V) := bind (block_ask p q 1 c xs) (fun found => Ret (odflt c found)).
Definition block_cycle p q (gamma : nat) c : prog R (seq V) := bind (draft q gamma c) (block_verify p q c).

(* ---- Trees ----------------------------------------------------------------------------------------------------- *)

(* First child, next sibling.  Fork below next: a node, the shape of its children, and its later siblings. *)
Inductive shape := Tip | Fork (below next : shape).
(* A drafted token x with the law row it was drawn from, given its earlier siblings. *)
Inductive tree := Leaf | Node (x : V) (row : V -> R) (below next : tree).

Section Trees.
Variable p : seq V -> V -> R.
Variable q : seq V -> seq V -> option (V -> R).   (* at a text, given the earlier siblings; None: no more *)

(* Siblings drawn when they are needed.  left is what the rejected siblings have left of p c, p c itself at first. *)
Fixpoint tree_ask (s : shape) c rejected (left : V -> R) : prog R (seq V) :=
  if s is Fork below next then
    if q c rejected is Some row then
      Draw row (fun x => coin (accept left row x)
        (tree_ask below (rcons c x) [::] (p (rcons c x)))
        (tree_ask next c (rcons rejected x) (residual left row)))
    else emit c left
  else emit c left.
Definition tree_cycle (s : shape) c : prog R (seq V) := tree_ask s c [::] (p c).

(* The whole tree drawn before anything is judged. *)
Fixpoint tree_draft (s : shape) c earlier : prog R tree :=
  if s is Fork below next then
    if q c earlier is Some row then
      Draw row (fun x =>
        bind (tree_draft below (rcons c x) [::]) (fun t =>
        bind (tree_draft next c (rcons earlier x)) (fun u => Ret (Node x row t u))))
    else Ret Leaf
  else Ret Leaf.
Fixpoint tree_verify (t : tree) c (left : V -> R) : prog R (seq V) :=
  if t is Node x row below next then
    coin (accept left row x) (tree_verify below (rcons c x) (p (rcons c x))) (tree_verify next c (residual left row))
  else emit c left.
Definition eager_tree_cycle (s : shape) c : prog R (seq V) :=
  bind (tree_draft s c [::]) (fun t => tree_verify t c (p c)).
End Trees.

(* Traversal verification (Weng et al. 2025): a tree judged from its leaves up.  c is reached with weight w, and left is
   what the siblings before t have left of p c; None: neither c nor anything below it is kept. *)
Fixpoint traversal_ask p (w : R) (t : tree) c (left : V -> R) : prog R (option (seq V)) :=
  if t is Node x row below next then
    bind (traversal_ask p (block_weight w left row x) below (rcons c x) (p (rcons c x))) (fun found =>
      if found is Some c' then Ret (Some c')
      else traversal_ask p (block_stop w left row) next c (block_residual w left row))
  else coin w (keep_found (emit c left)) (Ret None).

(* With w = 1 at the start None has probability zero. *)
Definition traversal_verify p (t : tree) c : prog R (seq V) :=
  bind (traversal_ask p 1 t c (p c)) (fun found => Ret (odflt c found)).
Definition traversal_cycle p (q : seq V -> seq V -> option (V -> R)) (s : shape) c : prog R (seq V) :=
  bind (tree_draft q s c [::]) (fun t => traversal_verify p t c).

(* The same tokens, as if each had been proposed with certainty: for target-only verification of a tree. *)
Fixpoint certain (t : tree) : tree :=
  if t is Node x row below next then Node x (point_mass x) (certain below) (certain next) else Leaf.

(* A chain of gamma nodes, and k siblings. *)
Fixpoint chain_shape (gamma : nat) : shape := if gamma is gamma'.+1 then Fork (chain_shape gamma') Tip else Tip.
Fixpoint fan_shape (k : nat) : shape := if k is k'.+1 then Fork Tip (fan_shape k') else Tip.

(* ---- Rules that are not lossless --------------------------------------------------------------------------------- *)

Section Lossy.
Implicit Types d e r : V -> R.   (* target, draft, the law really drawn from *)
Definition resample_from_p d e : prog R V := bind (draw e) (fun x => coin (accept d e x) (Ret x) (draw d)).
Definition unnormalised_residual d e : prog R V :=
  bind (draw e) (fun x => coin (accept d e x) (Ret x) (draw (positive_part d e))).
Definition wrong_q d e r : prog R V := bind (draw r) (judge d e).

(* Typical acceptance: keep xs while each token is typical of the target (any criterion), then draw from the target. *)
Fixpoint typical_verify (typical : (V -> R) -> V -> bool) p c xs : prog R (seq V) :=
  if xs is x :: xs' then if typical (p c) x then typical_verify typical p (rcons c x) xs' else emit c (p c)
  else emit c (p c).
Definition typical_cycle (typical : (V -> R) -> V -> bool) p q (gamma : nat) c : prog R (seq V) :=
  bind (draft q gamma c) (typical_verify typical p c).
End Lossy.

End Tokens.
End Programs.
Arguments Leaf {R V}.
