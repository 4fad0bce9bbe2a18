(* T6: greedy verification. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics loops chains.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section GreedyText.
Variables (R : realFieldType) (V : finType).
Implicit Types (p q : seq V -> V -> R) (c xs : seq V) (h : seq V -> R).

Lemma argmax_max (x0 : V) (d : V -> R) x : d x <= d (argmax x0 d).
Proof.
rewrite /argmax; have := tokens_mem x; case: (tokens V) => [//|y xs].
have fold_ge z s : d z <= d (foldl (fun best y => if d best < d y then y else best) z s).
  by elim: s z => //= t s IH z; apply: le_trans (IH _); case: ifP => // /ltW.
elim: xs y => [|u s IH] y; first by rewrite inE => /eqP->.
rewrite !inE => /or3P[/eqP->|/eqP->|xs].
- exact: (fold_ge y (u :: s)).
- by rewrite /=; apply: le_trans (fold_ge _ s); case: ifP => // /negbT; rewrite -leNgt.
by apply: IH; rewrite inE xs orbT.
Qed.

Section Greedy.
Variables (x0 : V) (p : seq V -> V -> R).
Let best c := argmax x0 (p c).

Lemma greedy_moreS k c : greedy_more x0 p k.+1 c = rcons (greedy_more x0 p k c) (best (greedy_more x0 p k c)).
Proof. by elim: k c => //= k IH c; rewrite -IH. Qed.

Lemma greedy_moreD j k c : greedy_more x0 p (j + k) c = greedy_more x0 p k (greedy_more x0 p j c).
Proof. by elim: j c => //= j IH c; rewrite IH. Qed.

Lemma size_greedy_more k c : size (greedy_more x0 p k c) = (size c + k)%N.
Proof. by elim: k c => [|k IH] c /=; rewrite ?addn0 // IH size_rcons addSnnS. Qed.

Lemma take_greedy_more k c : take (size c) (greedy_more x0 p k c) = c.
Proof.
elim: k => [|k IH]; first exact: take_size.
by rewrite greedy_moreS -cats1 takel_cat // size_greedy_more leq_addr.
Qed.

(* A greedy cycle returns the greedy text with some more tokens, at least one. *)
Lemma greedy_cycle_more xs c : exists k, greedy_cycle x0 p xs c = Ret (greedy_more x0 p k.+1 c).
Proof.
elim: xs c => [|x xs IH] c /=; first by exists 0%N.
by case: ifP => _; [have [k ->] := IH (rcons c (best c)); exists k.+1|exists 0%N].
Qed.

Lemma greedy_cycle_agrees k c :
  greedy_cycle x0 p (drop (size c) (greedy_more x0 p k c)) c = Ret (greedy_more x0 p k.+1 c).
Proof.
elim: k c => [|k IH] c; first by rewrite /= drop_size.
set c1 := rcons c (best c); have -> : greedy_more x0 p k.+1 c = greedy_more x0 p k c1 by [].
have := IH c1; rewrite -(cat_take_drop (size c1) (greedy_more x0 p k c1)) take_greedy_more drop_size_cat //.
by rewrite /c1 cat_rcons drop_size_cat //= eqxx => ->.
Qed.

Lemma take_greedy_text n m c : (size c <= n)%N -> (n - size c <= m)%N ->
  take n (greedy_more x0 p m c) = greedy_text x0 p n c.
Proof.
move=> cn /subnKC <-; rewrite greedy_moreD -/(greedy_text x0 p n c).
have st : size (greedy_text x0 p n c) = n by rewrite size_greedy_more subnKC.
by rewrite -{1}st take_greedy_more.
Qed.

Lemma greedy_loop (drafter : seq V -> prog R (seq V)) n fuel c : (size c <= n)%N -> (n <= fuel + size c)%N ->
  always (repeat_cycle (fun c => bind (drafter c) (fun xs => greedy_cycle x0 p xs c)) fuel n c)
         (fun c' => c' = greedy_text x0 p n c).
Proof.
elim: fuel c => [|fuel IH] c cn enough.
  by rewrite repeat_done //=; apply: (@take_greedy_text _ 0); rewrite // leqn0 subn_eq0.
have [nc|{}cn] := leqP n (size c).
  by rewrite repeat_done //=; apply: (@take_greedy_text _ 0); rewrite // leqn0 subn_eq0.
rewrite repeat_more //; apply: always_bind; apply: always_bind; apply: always_all => xs.
have [k ->] := greedy_cycle_more xs c; set c1 := greedy_more x0 p k.+1 c; rewrite [always (Ret _) _]/=.
have s1 : size c1 = (size c + k.+1)%N by exact: size_greedy_more.
have [n1|c1n] := leqP n (size c1).
  by rewrite repeat_done //=; apply: take_greedy_text; [exact: ltnW|rewrite leq_subLR -s1].
have -> : greedy_text x0 p n c = greedy_text x0 p n c1.
  rewrite /greedy_text s1 /c1 -greedy_moreD subnDA subnKC // leq_subRL ?(ltnW cn) //.
  by rewrite -s1 ltnW.
by apply: IH; first exact: ltnW; rewrite (leq_trans enough) // s1 addSnnS leq_add2l -addn1 leq_add2l.
Qed.

End Greedy.

Theorem T6_greedy : statement_T6_greedy R V.
Proof.
move=> x0 p drafter n c cn; split.
- by apply: greedy_loop; rewrite // addnC -leq_subLR.
- by move=> x; exact: argmax_max.
by rewrite greedy_cycle_agrees /greedy_text subSn.
Qed.

End GreedyText.
