(* C1 to C4: rules that are not lossless, by computation over the rationals on a vocabulary of two tokens. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* ---- Statements ---- *)

(* The law that gives a to the token true. *)
Definition two (a : rat) : bool -> rat := fun y => if y then a else 1 - a.
Definition target := two (1%:Q / 4%:Q).
Definition drafted := two (3%:Q / 4%:Q).
Definition is_true_token (y : bool) : rat := y%:R.

(* Redrawing from p emits true with probability 3/8, where 1/4 is right. *)
Definition statement_C1_resample_from_p : Prop :=
  E (resample_from_p target drafted) is_true_token = 3%:Q / 8%:Q
  /\ ~ has_law (resample_from_p target drafted) target.
(* The probabilities sum to 3/4. *)
Definition statement_C2_unnormalised_residual : Prop :=
  E (unnormalised_residual target drafted) (fun _ => 1) = 3%:Q / 4%:Q
  /\ ~ has_law (unnormalised_residual target drafted) target.
(* The draft is always true, but judged as if drawn from q: true comes with probability 1/3. *)
Definition statement_C3_wrong_q : Prop :=
  E (wrong_q target drafted (point_mass rat_realFieldType true)) is_true_token = 1%:Q / 3%:Q
  /\ ~ has_law (wrong_q target drafted (point_mass rat_realFieldType true)) target.
(* Typical acceptance with the criterion p x >= 1/4: the draft always passes, and the token has the draft's law. *)
Definition starts_true (c : seq bool) : rat := (ohead c == Some true)%:R.
Definition at_least (tau : rat) (p : bool -> rat) (x : bool) : bool := tau <= p x.
Definition typical_example : seq bool -> prog rat (seq bool) :=
  typical_cycle (at_least (1%:Q / 4%:Q)) (fun _ => target) (fun _ => drafted) 1.
Definition statement_C4_typical : Prop :=
  E (typical_example [::]) starts_true = 3%:Q / 4%:Q /\ ~ sound (fun _ => target) typical_example.
(* The laws of the examples are laws. *)
Definition statement_laws_of_the_examples : Prop := is_law target /\ is_law drafted.

(* ---- Proofs ---- *)

Theorem laws_of_the_examples : statement_laws_of_the_examples.
Proof. by split; (split; [case; vm_compute|rewrite big_bool; apply/eqP; vm_compute]). Qed.

Lemma target_true : \sum_y target y * is_true_token y = 1%:Q / 4%:Q.
Proof. by rewrite big_bool; apply/eqP; vm_compute. Qed.

Theorem C1_resample_from_p : statement_C1_resample_from_p.
Proof.
have e : E (resample_from_p target drafted) is_true_token = 3%:Q / 8%:Q by apply/eqP; vm_compute.
split; first exact: e.
by move=> H; move: (H is_true_token); rewrite e target_true => /eqP; vm_compute.
Qed.

Theorem C2_unnormalised_residual : statement_C2_unnormalised_residual.
Proof.
have e : E (unnormalised_residual target drafted) (fun _ => 1) = 3%:Q / 4%:Q by apply/eqP; vm_compute.
split; first exact: e.
move=> H; move: (H (fun _ => 1)); rewrite e -mulr_suml mulr1 (proj2 (proj1 laws_of_the_examples)) => /eqP.
by vm_compute.
Qed.

Theorem C3_wrong_q : statement_C3_wrong_q.
Proof.
have e : E (wrong_q target drafted (point_mass rat_realFieldType true)) is_true_token = 1%:Q / 3%:Q.
  by apply/eqP; vm_compute.
split; first exact: e.
by move=> H; move: (H is_true_token); rewrite e target_true => /eqP; vm_compute.
Qed.

Theorem C4_typical : statement_C4_typical.
Proof.
have e : E (typical_example [::]) starts_true = 3%:Q / 4%:Q by apply/eqP; vm_compute.
split; first exact: e.
move=> -[keeps _].
pose h (c : seq bool) : rat := if c is y :: _ then is_true_token y else 1%:Q / 4%:Q.
have hh : harmonic (fun _ => target) h.
  case=> [|y c]; first exact: target_true.
  by rewrite -mulr_suml (proj2 (proj1 laws_of_the_examples)) mul1r.
have := keeps h hh [::].
have -> : E (typical_example [::]) h = E (typical_example [::]) starts_true by apply/eqP; vm_compute.
by rewrite e => /eqP; vm_compute.
Qed.
