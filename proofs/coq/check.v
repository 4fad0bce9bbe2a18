(* Every main theorem has the statement it is named after, and rests on no axiom: build.py reads what this prints. *)
From mathcomp Require Import all_ssreflect all_algebra.
From specref Require Import definitions statements loops one_token chains greedy blocks trees own_sampler traversal typical.
From specref Require Import counterexamples rationals computing.

Check loop_lossless : forall R V, statement_loop_lossless R V.
Print Assumptions loop_lossless.
Check T1_lossless_step : forall R V, statement_T1_lossless_step R V.
Print Assumptions T1_lossless_step.
Check T2_acceptance : forall R V, statement_T2_acceptance R V.
Print Assumptions T2_acceptance.
Check T3_no_coupling_accepts_more : forall R V, statement_T3_no_coupling_accepts_more R V.
Print Assumptions T3_no_coupling_accepts_more.
Check T4_chain : forall R V, statement_T4_chain R V.
Print Assumptions T4_chain.
Check T5_recursive_rejection : forall R V, statement_T5_recursive_rejection R V.
Print Assumptions T5_recursive_rejection.
Check T5_with_replacement : forall R V, statement_T5_with_replacement R V.
Print Assumptions T5_with_replacement.
Check T5_without_replacement : forall R V, statement_T5_without_replacement R V.
Print Assumptions T5_without_replacement.
Check T6_greedy : forall R V, statement_T6_greedy R V.
Print Assumptions T6_greedy.
Check T7_tokens_per_cycle : forall R V, statement_T7_tokens_per_cycle R V.
Print Assumptions T7_tokens_per_cycle.
Check T9_block_lossless : forall R V, statement_T9_block_lossless R V.
Print Assumptions T9_block_lossless.
Check T9_block_accepts_more : forall R V, statement_T9_block_accepts_more R V.
Print Assumptions T9_block_accepts_more.
Check T10_trees : forall R V, statement_T10_trees R V.
Print Assumptions T10_trees.
Check T10_chain_is_a_tree : forall R V, statement_T10_chain_is_a_tree R V.
Print Assumptions T10_chain_is_a_tree.
Check T10_candidates_are_a_tree : forall R V, statement_T10_candidates_are_a_tree R V.
Print Assumptions T10_candidates_are_a_tree.
Check T11_matching : forall R V, statement_T11_matching R V.
Print Assumptions T11_matching.
Check T11_target_only : forall R V, statement_T11_target_only R V.
Print Assumptions T11_target_only.
Check T11_target_only_trees : forall R V, statement_T11_target_only_trees R V.
Print Assumptions T11_target_only_trees.
Check T16_traversal : forall R V, statement_T16_traversal R V.
Print Assumptions T16_traversal.
Check C1_resample_from_p : statement_C1_resample_from_p.
Print Assumptions C1_resample_from_p.
Check C2_unnormalised_residual : statement_C2_unnormalised_residual.
Print Assumptions C2_unnormalised_residual.
Check C3_wrong_q : statement_C3_wrong_q.
Print Assumptions C3_wrong_q.
Check C4_typical : statement_C4_typical.
Print Assumptions C4_typical.
Check C4_typical_bound : forall R V, statement_C4_typical_bound R V.
Print Assumptions C4_typical_bound.
Check laws_of_the_examples : statement_laws_of_the_examples.
Print Assumptions laws_of_the_examples.

(* What the bridge computes with. *)
Print Assumptions qc_realFieldType.
Print Assumptions law_correct.
