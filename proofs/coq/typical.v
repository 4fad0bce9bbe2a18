(* C4, the bound: how far typical acceptance moves the law of one token. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements basics one_token loops chains.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Typical.
Variables (R : realFieldType) (V : finType).

Section OneLaw.
Variables (typical : (V -> R) -> V -> bool) (d e : V -> R).
Hypotheses (ld : is_law d) (le : is_law e).
Let passed y : R := if typical d y then e y else 0.
Let share : R := \sum_(x | typical d x) e x.

Lemma passed_sum : \sum_y passed y = share. Proof. by rewrite /share [RHS]big_mkcond. Qed.

Lemma first_tokenE y : first_token typical d e y = passed y + (1 - share) * d y.
Proof.
have step x : E (typical_verify typical (fun _ => d) [::] [:: x]) (fun c' => (ohead c' == Some y)%:R)
    = if typical d x then (x == y)%:R else d y.
  rewrite [typical_verify _ _ _ _]/=; case: ifP => _; rewrite E_emit /=.
    by rewrite -mulr_suml (proj2 ld) mul1r.
  by rewrite -[RHS](sum_indicator d); apply: eq_bigr => z _.
rewrite /first_token /typical_cycle E_draft.
rewrite (eq_bigr (fun x => e x * (if typical d x then (x == y)%:R else d y))) => [|x _]; last by rewrite -step.
have -> : 1 - share = \sum_(x | ~~ typical d x) e x
  by rewrite -(proj2 le) [X in X - _](bigID (typical d)) /= addrC addKr.
rewrite (bigID (typical d)) /= mulr_suml; congr (_ + _); last by apply: eq_bigr => x /negPf->.
rewrite -[RHS](sum_indicator passed) big_mkcond; apply: eq_bigr => x _; rewrite /passed.
by case: (typical d x); rewrite ?mul0r.
Qed.

Lemma typical_distance : total_variation (first_token typical d e) d
  = share - \sum_y Num.min (passed y) (share * d y).
Proof.
apply: (@mulIf _ 2%:R); first by rewrite pnatr_eq0.
have two : share * 2%:R = \sum_y (passed y + share * d y).
  by rewrite big_split /= passed_sum -mulr_sumr (proj2 ld) mulr1 mulr_natr mulr2n.
rewrite /total_variation divfK ?pnatr_eq0 // mulrBl two mulr_suml -sumrB; apply: eq_bigr => y _.
rewrite first_tokenE mulrBl mul1r -addrA [d y - _ - _]addrAC subrr sub0r mulr_natr mulr2n.
case: (leP (passed y) (share * d y)) => order.
  by rewrite ler0_norm ?subr_le0 // opprB opprD [RHS]addrACA subrr add0r.
by rewrite gtr0_norm ?subr_gt0 // opprD [RHS]addrACA subrr addr0.
Qed.
End OneLaw.

Theorem C4_typical_bound : statement_C4_typical_bound R V.
Proof.
move=> d e tau ld le; have [d0 _] := ld; have [e0 _] := le.
rewrite typical_distance //; set share := \sum_(x | _) e x; rewrite mulrBr mulr1 ler_add2l ler_opp2.
have share0 : 0 <= share by apply: sumr_ge0.
pose f y := Num.min (if tau <= d y then e y else 0) (share * d y).
rewrite -[X in _ <= X]/(\sum_y f y); have f0 y : 0 <= f y.
  by rewrite /f le_minr mulr_ge0 // andbT; case: ifP.
have [/existsP[y /andP[pass large]]|none] := boolP [exists y, (tau <= d y) && (share * tau <= e y)].
  rewrite (bigD1 y) //=; apply: (@le_trans _ _ (f y)); last by rewrite ler_addl sumr_ge0.
  by rewrite /f pass le_minr large ler_wpmul2l.
have small y : tau <= d y -> e y <= share * d y.
  move=> pass; apply: (@le_trans _ _ (share * tau)); last by rewrite ler_wpmul2l.
  apply: ltW; rewrite ltNge; apply: contra none => large; apply/existsP.
  by exists y; rewrite pass.
have -> : \sum_y f y = share.
  rewrite /share [RHS]big_mkcond; apply: eq_bigr => y _; rewrite /f; case: ifP => [/small|_]; first by move/min_l.
  by rewrite min_l // mulr_ge0.
have [tau1|tau1] := leP tau 1; first by rewrite -[X in _ <= X]mulr1 ler_wpmul2l.
suff -> : share = 0 by rewrite mul0r.
by rewrite /share big_pred0 // => y; apply/negbTE; rewrite -ltNge (le_lt_trans (law_le1 y ld)).
Qed.

End Typical.
