(* T1, T2, T3, T5: one token. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section OneToken.
Variables (R : realFieldType) (V : finType).
Implicit Types d e : V -> R.

Lemma E_judge d e x h : E (judge d e x) h = accept d e x * h x + (1 - accept d e x) * \sum_y residual d e y * h y.
Proof. by rewrite /judge E_coin E_draw. Qed.

Theorem T1_lossless_step : statement_T1_lossless_step R V.
Proof.
move=> d e ld le h; rewrite /step E_bind E_draw.
by under eq_bigr do rewrite E_judge; exact: one_token.
Qed.

Lemma step_accepts_alpha d e : is_law d -> is_law e -> E (step_accepts d e) (fun accepted => accepted%:R) = alpha d e.
Proof.
move=> ld le; rewrite /step_accepts E_bind E_draw -(accept_sum ld le).
by apply: eq_bigr => x _; rewrite E_coin /= mulr1 mulr0 addr0.
Qed.

Lemma alpha_TV d e : is_law d -> is_law e -> alpha d e = 1 - total_variation d e.
Proof.
move=> [_ d1] [_ e1]; rewrite /alpha /total_variation.
apply: (@mulIf _ 2%:R); first by rewrite pnatr_eq0.
have two : 2%:R = \sum_x (d x + e x) by rewrite big_split /= d1 e1.
rewrite mulrBl mul1r divfK ?pnatr_eq0 // [X in X - _]two -sumrB mulr_suml.
apply: eq_bigr => x _; rewrite mulr_natr mulr2n; case: (leP (d x) (e x)) => de.
  by rewrite ler0_norm ?subr_le0 // !opprB [RHS]addrCA addrK.
by rewrite gtr0_norm ?subr_gt0 // opprB [RHS]addrC addrA subrK.
Qed.

(* The difference of the laws over an event, counted once as a gain and once as a loss. *)
Lemma event_difference d e (A : pred V) : is_law d -> is_law e ->
  (\sum_(x | A x) d x - \sum_(x | A x) e x) * 2%:R = \sum_x (if A x then d x - e x else e x - d x).
Proof.
move=> [_ d1] [_ e1]; rewrite -sumrB [RHS](bigID A) /= mulr_natr mulr2n.
have d_e : \sum_x (d x - e x) = 0 by rewrite sumrB d1 e1 subrr.
congr (_ + _); first by apply: eq_bigr => x ->.
move: d_e; rewrite (bigID A) /= => /eqP; rewrite addr_eq0 => /eqP->; rewrite -sumrN; apply: eq_bigr => x /negPf->.
by rewrite opprB.
Qed.

Lemma event_le_TV d e (A : pred V) : is_law d -> is_law e ->
  `|\sum_(x | A x) d x - \sum_(x | A x) e x| <= total_variation d e.
Proof.
move=> ld le; rewrite /total_variation ler_pdivl_mulr ?ltr0n // -[X in _ * X]ger0_norm ?ler0n // -normrM.
rewrite event_difference //; apply: (le_trans (ler_norm_sum _ _ _)); apply: ler_sum => x _.
by case: (A x); rewrite // distrC.
Qed.

Lemma event_attains_TV d e : is_law d -> is_law e ->
  \sum_(x | e x <= d x) d x - \sum_(x | e x <= d x) e x = total_variation d e.
Proof.
move=> ld le; apply: (@mulIf _ 2%:R); first by rewrite pnatr_eq0.
rewrite (event_difference (fun x => e x <= d x)) // /total_variation divfK ?pnatr_eq0 //.
apply: eq_bigr => x _; case: (leP (e x) (d x)) => ed; first by rewrite ger0_norm // subr_ge0.
by rewrite ltr0_norm ?opprB // subr_lt0.
Qed.

Theorem T2_acceptance : statement_T2_acceptance R V.
Proof.
move=> d e ld le; split; [exact: step_accepts_alpha|exact: alpha_TV|by move=> A; exact: event_le_TV|].
by exists (fun x => e x <= d x); exact: event_attains_TV.
Qed.

Lemma E_coupled d e h : is_law d -> is_law e ->
  E (coupled_step d e) h =
  \sum_x e x * (accept d e x * h (x, x) + (1 - accept d e x) * \sum_y residual d e y * h (x, y)).
Proof.
move=> ld le; rewrite /coupled_step E_bind E_draw; apply: eq_bigr => x _.
by rewrite E_bind E_judge.
Qed.

Lemma sum_indicator (W : finType) (F : W -> R) w : \sum_v F v * (v == w)%:R = F w.
Proof. by rewrite (bigD1 w) //= eqxx mulr1 big1 ?addr0 // => v /negPf->; rewrite mulr0. Qed.

Lemma E_sum A (W : finType) (m : prog R A) (h : W -> A -> R) : E m (fun a => \sum_w h w a) = \sum_w E m (h w).
Proof.
elim: m => [//|T d k IH]; rewrite E_Draw; under eq_bigr do rewrite IH mulr_sumr.
by rewrite exchange_big; apply: eq_bigr => w _; rewrite E_Draw.
Qed.

(* After a rejection the emitted token is another one. *)
Lemma reject_other d e x : is_law d -> is_law e -> e x * (1 - accept d e x) * residual d e x = 0.
Proof.
move=> ld le; rewrite /accept /capped; case: (leP (e x) (d x)) => ed; first by rewrite subrr mulr0 mul0r.
have z : positive_part d e x = 0 by rewrite /positive_part max_r // subr_le0 ltW.
have := normalised_mass d x (@positive_part_ge0 _ _ d e); rewrite z positive_part_sum // => /eqP.
rewrite mulf_eq0 => /orP [/eqP a1|/eqP]; last by rewrite /residual => ->; rewrite mulr0.
have : \sum_y (e y - Num.min (d y) (e y)) = 0 by rewrite sumrB (proj2 le) a1.
move/psumr_eq0P => /(_ _ x isT); rewrite min_l ?ltW // => /(_ _)/eqP; rewrite subr_eq0 => E0.
have: e x == d x; last by move/eqP => ex; rewrite ex ltxx in ed.
by apply: E0 => y _; rewrite subr_ge0 le_minl lexx orbT.
Qed.

Theorem T3_no_coupling_accepts_more : statement_T3_no_coupling_accepts_more R V.
Proof.
move=> d e ld le J.
have Jrow x : \sum_y J x y = e x.
  rewrite -E_sum (E_ext _ (h2 := fun xy => (xy.1 == x)%:R)) => [|[a b]].
    rewrite E_coupled //= -[RHS](sum_indicator e); apply: eq_bigr => y _; congr (_ * _).
    by rewrite -mulr_suml (proj2 (residual_law e ld)) mul1r -mulrDl addrC subrK mul1r.
  rewrite (eq_bigr (fun y => (a == x)%:R * (y == b)%:R)) => [|y _].
    by rewrite sum_indicator.
  by rewrite xpair_eqE -mulnb natrM [b == y]eq_sym.
have Jcol y : \sum_x J x y = d y.
  rewrite -E_sum (E_ext _ (h2 := fun xy => (xy.2 == y)%:R)) => [|[a b]].
    by rewrite E_coupled //= (one_token (fun z => (z == y)%:R) ld le) sum_indicator.
  rewrite (eq_bigr (fun x => (b == y)%:R * (x == a)%:R)) => [|x _].
    by rewrite sum_indicator.
  by rewrite xpair_eqE mulrC -mulnb natrM [a == x]eq_sym mulrC.
split.
- move=> J' [J0 Je Jd]; apply: ler_sum => x _; rewrite le_minr; apply/andP; split.
    by rewrite -Jd (bigD1 x) //= ler_addl sumr_ge0.
  by rewrite -Je (bigD1 x) //= ler_addl sumr_ge0.
- split=> // x y; rewrite /J E_coupled //; apply: sumr_ge0 => z _; have [d0 _] := ld; have [e0 _] := le.
  rewrite mulr_ge0 // addr_ge0 // mulr_ge0 ?ler0n ?capped_ge0 ?subr_ge0 ?capped_le1 //.
  by apply: sumr_ge0 => t _; rewrite mulr_ge0 ?ler0n //; exact: (proj1 (residual_law e ld)).
rewrite -E_sum (E_ext _ (h2 := fun xy => (xy.1 == xy.2)%:R)) => [|[a b] /=]; last first.
  rewrite -[RHS](sum_indicator (fun x => (x == b)%:R) a); apply: eq_bigr => x _.
  by rewrite xpair_eqE -mulnb natrM mulrC [b == x]eq_sym [a == x]eq_sym.
rewrite E_coupled //= -(accept_sum ld le); apply: eq_bigr => x _; rewrite eqxx mulr1 mulrDr.
rewrite (eq_bigr (fun y => residual d e y * (y == x)%:R)) => [|y _]; last by rewrite eq_sym.
by rewrite sum_indicator mulrA reject_other // addr0.
Qed.

(* ---- T5 ---- *)

Theorem T5_recursive_rejection : statement_T5_recursive_rejection R V.
Proof.
move=> d q k rejected; elim: k d rejected => [|k IH] d rejected ld; first by move=> _ h; exact: E_draw.
rewrite /=; case: (q rejected) => [row|]; last by move=> _ h; exact: E_draw.
move=> [lrow ok] h; rewrite E_Draw -(one_token h ld lrow); apply: eq_bigr => x _.
have [->|rx] := eqVneq (row x) 0; first by rewrite !mul0r.
by rewrite E_coin (IH _ _ (residual_law _ ld) (ok x rx)).
Qed.

Lemma with_replacement_ok e k rejected : is_law e -> proposals_ok (with_replacement e) k rejected.
Proof. by move=> le; elim: k rejected => //= k IH rejected; split=> // x _; exact: IH. Qed.

Theorem T5_with_replacement : statement_T5_with_replacement R V.
Proof. by move=> d e k ld le; apply: T5_recursive_rejection => //; exact: with_replacement_ok. Qed.

Lemma without_replacement_ok e k rejected : is_law e -> proposals_ok (without_replacement e) k rejected.
Proof.
move=> le; elim: k rejected => //= k IH rejected; rewrite /without_replacement; set left := (fun x => _).
case: eqP => // /eqP m0; split=> [|x _]; last exact: IH.
rewrite /normalised (negPf m0); move: m0; rewrite totalE => m0.
split=> [x|]; last by rewrite -mulr_suml mulfV.
have left0 y : 0 <= left y by rewrite /left; case: ifP => // _; exact: (proj1 le).
by rewrite divr_ge0 ?sumr_ge0.
Qed.

Theorem T5_without_replacement : statement_T5_without_replacement R V.
Proof. by move=> d e k ld le; apply: T5_recursive_rejection => //; exact: without_replacement_ok. Qed.

End OneToken.
