(* The loop theorem: a sound cycle, repeated, is lossless. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Loops.
Variables (R : realFieldType) (V : finType).
Implicit Types (p q : seq V -> V -> R) (c xs : seq V) (cycle : seq V -> prog R (seq V)) (g h : seq V -> R).

Lemma E_emit c (d : V -> R) h : E (emit c d) h = \sum_y d y * h (rcons c y).
Proof. by rewrite /emit E_bind E_draw. Qed.

Lemma extends_rcons c x : extends c (rcons c x).
Proof. by rewrite /extends size_rcons ltnSn -cats1 take_size_cat //=. Qed.

Lemma extends_trans c x c' : extends (rcons c x) c' -> extends c c'.
Proof.
rewrite /extends size_rcons => /andP[lt /eqP pre]; rewrite (ltn_trans (ltnSn _) lt) /=.
by rewrite -(take_take (leqnSn (size c))) pre -cats1 take_size_cat.
Qed.

Lemma always_emit c (d : V -> R) (P : seq V -> Prop) : (forall y, P (rcons c y)) -> always (emit c d) P.
Proof. by move=> H; apply: always_bind => y _; exact: H. Qed.

Lemma extends_emit c (d : V -> R) : always (emit c d) (extends c).
Proof. by apply: always_emit => y; exact: extends_rcons. Qed.

(* Past the length n nothing depends on what follows. *)
Lemma repeat_done cycle fuel n c : (n <= size c)%N -> repeat_cycle cycle fuel n c = Ret (take n c).
Proof. by case: fuel => //= f ->. Qed.

Lemma repeat_more cycle fuel n c : (size c < n)%N ->
  repeat_cycle cycle fuel.+1 n c = bind (cycle c) (repeat_cycle cycle fuel n).
Proof. by rewrite ltnNge /= => /negPf->. Qed.

Lemma plain_harmonic p n g : laws p -> harmonic p (fun c => E (loop (plain_cycle p) n c) g).
Proof.
move=> lp c; rewrite /loop; have [nc|cn] := leqP n (size c).
  under eq_bigr => x _ do rewrite repeat_done ?size_rcons ?leqW //= -cats1 takel_cat //.
  by rewrite repeat_done //= -mulr_suml (proj2 (lp c)) mul1r.
case n_c : (n - size c)%N => [|f]; first by move/eqP: n_c; rewrite subn_eq0 leqNgt cn.
rewrite repeat_more // E_bind E_emit; apply: eq_bigr => x _.
by rewrite size_rcons subnS n_c.
Qed.

(* More fuel than tokens to come, and the loop's own end, do not matter. *)
Lemma repeat_harmonic p cycle n g fuel c : laws p -> sound p cycle -> (n <= fuel + size c)%N ->
  E (repeat_cycle cycle fuel n c) g = E (loop (plain_cycle p) n c) g.
Proof.
move=> lp [keeps grows]; elim: fuel c => [|fuel IH] c enough.
  by rewrite /loop repeat_done // repeat_done.
have [nc|cn] := leqP n (size c); first by rewrite /loop !repeat_done.
rewrite repeat_more // E_bind -(keeps _ (plain_harmonic n g lp) c); apply: E_always.
apply: always_imp (grows c) => c' /andP[longer _]; apply: IH.
by rewrite (leq_trans enough) // addSnnS leq_add2l.
Qed.

(* Plain decoding yields the text c ++ xs by the chain rule. *)
Lemma plain_text_from p c s1 s2 : size s1 = size c ->
  E (repeat_cycle (plain_cycle p) (size s2) (size c + size s2) c) (fun c' => (c' == s1 ++ s2)%:R)
  = (s1 == c)%:R * text_probability p c s2.
Proof.
elim: s2 s1 c => [|z s2 IH] s1 c s1c; first by rewrite /= addn0 take_size cats0 mulr1 eq_sym.
rewrite [size (_ :: _)]/= repeat_more ?addnS ?ltnS ?leq_addr // E_bind E_emit.
rewrite (eq_bigr (fun y => p c y * ((s1 == c)%:R * (y == z)%:R) * text_probability p (rcons c y) s2)) => [|y _].
  rewrite (bigD1 z) //= eqxx mulr1 big1 => [|y /negPf->]; last by rewrite !mulr0 mul0r.
  by rewrite addr0 -mulrA mulrCA.
rewrite -cat_rcons -mulrA -(addSn (size c)) -(size_rcons c y) IH ?size_rcons ?s1c //.
by rewrite eqseq_rcons -mulnb natrM [z == y]eq_sym.
Qed.

Theorem loop_lossless : statement_loop_lossless R V.
Proof.
move=> p cycle lp sp; have same n c g : E (loop cycle n c) g = E (loop (plain_cycle p) n c) g.
  by rewrite (repeat_harmonic g lp sp) // addnC -leq_subLR.
by split=> // c xs; rewrite same /loop addKn plain_text_from // eqxx mul1r.
Qed.

End Loops.
