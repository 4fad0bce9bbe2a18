(* What bridge.v needs to evaluate a program: a vocabulary of n tokens, models given as tables, and the law of a program
   as a list.  law_correct ties that list to E. *)
From Coq Require Import ZArith QArith Qcanon.
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions basics rationals.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.

(* ---- The law of a program, as a list of outcomes with their probabilities ---- *)

Section Law.
Variables (R : realFieldType) (A : eqType).
Local Open Scope ring_scope.
Implicit Types (m : prog R A) (l : seq (A * R)).

Fixpoint add (a : A) (x : R) l : seq (A * R) :=
  if l is o :: l' then if o.1 == a then (a, x + o.2) :: l' else o :: add a x l' else [:: (a, x)].

Fixpoint law_onto m (weight : R) l : seq (A * R) :=
  match m with
  | Ret a => add a weight l
  | Draw W d k => foldr (fun w l' => if d w == 0 then l' else law_onto (k w) (weight * d w) l') l (tokens W)
  end.
Definition law m : seq (A * R) := law_onto m 1 [::].

Lemma add_sum a x l h : \sum_(o <- add a x l) o.2 * h o.1 = x * h a + \sum_(o <- l) o.2 * h o.1.
Proof.
elim: l => [|[b y] l IH] /=; first by rewrite big_seq1 big_nil addr0.
case: eqP => [->|_]; rewrite !big_cons /=; first by rewrite mulrDl addrA.
by rewrite IH addrCA.
Qed.

Theorem law_correct m h : E m h = \sum_(o <- law m) o.2 * h o.1.
Proof.
suff onto weight l : \sum_(o <- law_onto m weight l) o.2 * h o.1 = weight * E m h + \sum_(o <- l) o.2 * h o.1.
  by rewrite /law onto mul1r big_nil addr0.
elim: m weight l => [a|W d k IH] weight l /=; first exact: add_sum.
rewrite /total; elim: (tokens W) => [|w s IHs] /=; first by rewrite mulr0 add0r.
have [->|_] := eqVneq (d w) 0; first by rewrite mul0r add0r.
by rewrite IH IHs mulrDr mulrA addrA.
Qed.
End Law.

(* m has exactly the listed outcomes, each with the listed probability. *)
Definition agrees (R : realFieldType) (A : eqType) (m : prog R A) (listed : seq (A * R)) : bool :=
  perm_eq (law m) listed.

(* ---- A vocabulary of n tokens whose enumeration computes (MathComp's 'I_n does not) ---- *)

Section Vocabulary.
Variable n : nat.
Record tok := Tok { id_of : nat; _ : (id_of < n)%N }.
Canonical tok_subType := [subType for id_of].
Definition tok_eqMixin := Eval hnf in [eqMixin of tok by <:].
Canonical tok_eqType := Eval hnf in EqType tok tok_eqMixin.
Definition tok_choiceMixin := [choiceMixin of tok by <:].
Canonical tok_choiceType := Eval hnf in ChoiceType tok tok_choiceMixin.
Definition tok_countMixin := [countMixin of tok by <:].
Canonical tok_countType := Eval hnf in CountType tok tok_countMixin.

Definition tok_of (i : nat) : option tok :=
  match Bool.bool_dec (i < n)%N true with left in_range => Some (Tok in_range) | right _ => None end.
Definition tok_enum : seq tok := pmap tok_of (iota 0 n).

Lemma tok_ofK : ocancel tok_of id_of.
Proof. by move=> i; rewrite /tok_of; case: Bool.bool_dec. Qed.
Lemma id_ofK (x : tok) : tok_of (id_of x) = Some x.
Proof.
case: x => i lt; rewrite /tok_of /=; case: Bool.bool_dec => [lt'|//].
by congr (Some (Tok _)); exact: bool_irrelevance.
Qed.
Lemma tok_enum_uniq : uniq tok_enum. Proof. by apply: (pmap_uniq tok_ofK); exact: iota_uniq. Qed.
Lemma tok_enum_mem : tok_enum =i {: tok}.
Proof.
move=> x; rewrite inE /= mem_pmap; apply/mapP; exists (id_of x); last by rewrite id_ofK.
by rewrite mem_iota; case: x.
Qed.
Definition tok_finMixin := Eval hnf in UniqFinMixin tok_enum_uniq tok_enum_mem.
Canonical tok_finType := Eval hnf in FinType tok tok_finMixin.
End Vocabulary.

(* ---- Notation of the generated cases ---- *)

Definition frac (a : Z) (b : positive) : Qc := Q2Qc (Qmake a b).
Definition text (n : nat) (ids : seq nat) : seq (tok n) := pmap (@tok_of n) ids.
Definition ids (n : nat) (c : seq (tok n)) : seq nat := map (@id_of n) c.
Definition row (n : nat) (weights : seq Qc) : tok n -> Qc := fun x => nth (frac 0 1) weights (id_of x).
Arguments row : clear implicits.

Fixpoint find_row (K : eqType) (B : Type) (rows : seq (K * B)) (key : K) (otherwise : B) : B :=
  if rows is r :: rows' then if r.1 == key then r.2 else find_row rows' key otherwise else otherwise.
(* A model: the weights after each text that is asked for.  A text that is missing has no law, and the case fails. *)
Definition model (n : nat) (rows : seq (seq nat * seq Qc)) : seq (tok n) -> tok n -> Qc :=
  fun c => row n (find_row rows (ids c) [::]).
Arguments model : clear implicits.
(* The same for the candidates of recursive_rejection, and for the nodes of a tree; None: no more. *)
Definition candidates (n : nat) (rows : seq (seq nat * option (seq Qc))) : seq (tok n) -> option (tok n -> Qc) :=
  fun rejected => omap (row n) (find_row rows (ids rejected) (Some [::])).
Arguments candidates : clear implicits.
Definition node_law (n : nat) (rows : seq (seq nat * seq nat * option (seq Qc))) :
    seq (tok n) -> seq (tok n) -> option (tok n -> Qc) :=
  fun c siblings => omap (row n) (find_row rows (ids c, ids siblings) (Some [::])).
Arguments node_law : clear implicits.

Definition as_text (n : nat) (m : prog Qc (seq (tok n))) : prog Qc (seq nat) := bind m (fun c => Ret (ids c)).
Definition as_id (n : nat) (m : prog Qc (tok n)) : prog Qc nat := bind m (fun x => Ret (id_of x)).
Definition as_ids (n : nat) (m : prog Qc (tok n * tok n)) : prog Qc (seq nat) :=
  bind m (fun xy => Ret [:: id_of xy.1; id_of xy.2]).
Definition zero (n : nat) : tok n.+1 := Tok (ltn0Sn n).
