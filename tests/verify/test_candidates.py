"""Rules for several candidates: lossless on trees, never above the bound of any rule, and as far
below it as their papers say.

Protects: the shared walk, rho and the residual of k-sequential selection, the weights of the
canonical decomposition, the bookkeeping of traversal verification, and what each refuses.
"""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from specref.chance import Injected, Streams
from specref.data import Draft, SpecrefError
from specref.exact.enumerate import total_variation
from specref.exact.transport import smallest_cut, with_replacement, without_replacement
from specref.verify import RESEARCH_RULES, RULES
from specref.verify.pair_weights import pair_weights

from tests.distributions import World, a_pair, continued, target_distribution
from tests.tree.trees import CERTAIN, WITH, WITHOUT, outcomes, shapes, tree_worlds

EXACT = 1e-12
ALL = RULES | RESEARCH_RULES
# how siblings may be drawn for each rule
TAKES = {
    "tree": (WITH, WITHOUT, CERTAIN),
    "naive": (WITH, WITHOUT, CERTAIN),
    "traversal": (WITH, WITHOUT, CERTAIN),
    "k_sequential": (WITH,),
    "canonical": (WITH,),
}
CASES = [(rule, how) for rule, ways in TAKES.items() for how in ways if rule != "tree"]


def runs(distribution):
    result: dict[tuple[int, ...], float] = {}
    for (run, _), weight in distribution.items():
        result[run] = result.get(run, 0.0) + weight
    return result


def mean_accepted(distribution) -> float:
    return sum(weight * count for (_, count), weight in distribution.items())


def fan(p, q, k: int, how: str, rule: str) -> float:
    """P(one of k candidates for one place is accepted)."""
    pool = [(p, q)]
    world = World(len(p), 1, [1, 1], False, [pool, pool])
    distribution = outcomes(world, [-1] * k, how, ALL[rule])[0]
    first: dict[int, float] = {}
    for run, weight in runs(distribution).items():
        first[run[0]] = first.get(run[0], 0.0) + weight
    assert total_variation(first, dict(enumerate(p))) < EXACT
    return mean_accepted(distribution)


@pytest.mark.parametrize(("rule", "how"), CASES)
@settings(max_examples=25)
@given(world=tree_worlds(), parents=shapes())
def test_what_a_tree_emits_has_the_targets_distribution(rule, how, world, parents):
    if rule == "canonical":
        assume(max(map(parents.count, parents)) <= 2)
    for root, distribution in enumerate(outcomes(world, parents, how, ALL[rule])):
        joint = continued(world, root, runs(distribution), 4)
        assert abs(sum(joint.values()) - 1) < EXACT
        assert total_variation(joint, target_distribution(world, root, 4)) < EXACT


@pytest.mark.parametrize(("rule", "how"), [("tree", WITH), ("tree", WITHOUT), *CASES])
@settings(max_examples=25)
@given(pair=st.integers(2, 4).flatmap(a_pair), k=st.integers(1, 3))
def test_no_rule_accepts_more_than_the_bound(rule, how, pair, k):
    p, q = pair
    assume(how == WITH or sum(weight > 0 for weight in q) >= k)
    assume(rule != "canonical" or k <= 2)
    if how != CERTAIN:
        drawn = with_replacement(q, k) if how == WITH else without_replacement(q, k)
        assert fan(p, q, k, how, rule) <= smallest_cut(p, drawn) + EXACT


@settings(max_examples=60, deadline=None)
@given(pair=st.integers(2, 7).flatmap(a_pair))
def test_the_canonical_decomposition_reaches_the_bound_for_two_candidates(pair):
    """Khisti et al. 2025: the picked token's distribution p_I, and sum min(p, p_I)."""
    p, q = (torch.tensor([row], dtype=torch.float64) for row in pair)
    win = pair_weights(p, q)[0]
    assert bool(((win + win.T - 1).abs() < EXACT).all() and (win >= 0).all())
    picked = 2 * q[0] * (win @ q[0])
    assert abs(float(picked.sum()) - 1) < EXACT
    best = smallest_cut(pair[0], with_replacement(pair[1], 2))
    assert abs(float(torch.minimum(p[0], picked).sum()) - best) < EXACT


@settings(max_examples=30)
@given(pair=st.integers(2, 4).flatmap(a_pair), k=st.integers(1, 2))
def test_the_canonical_rule_accepts_what_its_weights_allow(pair, k):
    p, q = pair
    best = smallest_cut(p, with_replacement(q, k))
    assert abs(fan(p, q, k, WITH, "canonical") - best) < EXACT


@settings(max_examples=30)
@given(pair=st.integers(2, 4).flatmap(a_pair), k=st.integers(1, 3))
def test_k_sequential_selection_has_its_papers_guarantee(pair, k):
    """SpecTr, Theorem 3: at least 1 - (1 - 1/k)^k >= 1 - 1/e of the bound."""
    p, q = pair
    share = 1 - (1 - 1 / k) ** k
    assert share >= 1 - 1 / math.e
    found = fan(p, q, k, WITH, "k_sequential")
    assert found >= share * smallest_cut(p, with_replacement(q, k)) - EXACT


@settings(max_examples=30)
@given(pair=st.integers(2, 4).flatmap(a_pair), k=st.integers(1, 3))
def test_naive_sampling_accepts_what_the_target_draws_and_no_more_than_recursion(pair, k):
    """SpecInfer, Theorem 4.3: recursive rejection rejects less."""
    p, q = pair
    drawn = sum(weight * (1 - (1 - q[x]) ** k) for x, weight in enumerate(p))
    found = fan(p, q, k, WITH, "naive")
    assert abs(found - drawn) < EXACT
    assert found <= fan(p, q, k, WITH, "tree") + EXACT


@pytest.mark.parametrize("how", [WITH, WITHOUT, CERTAIN])
@settings(max_examples=20)
@given(world=tree_worlds(), parents=shapes())
def test_traversal_accepts_at_least_as_much_as_the_walk_down(how, world, parents):
    """Weng et al. 2025; no counterexample is known to us."""
    up, down = (outcomes(world, parents, how, ALL[rule]) for rule in ("traversal", "tree"))
    for mine, other in zip(up, down):
        assert mean_accepted(mine) >= mean_accepted(other) - EXACT


def test_traversal_gains_on_a_known_example():
    """Without it, the comparison above would hold for a rule that is `tree`."""
    pool = [([1 / 3, 2 / 3], [2 / 3, 1 / 3])]
    world = World(2, 3, [3, 3], False, [pool, pool])
    shape = [-1, -1, 0, 1]
    up, down = (outcomes(world, shape, WITH, ALL[rule])[0] for rule in ("traversal", "tree"))
    assert mean_accepted(up) > mean_accepted(down) + 0.05


def pair_of(q: torch.Tensor | None, tokens=(0, 1)) -> Draft:
    return Draft(torch.tensor([tokens]), torch.tensor([[-1, -1]]), q, torch.tensor([2]))


P = torch.tensor([[[0.5, 0.25, 0.25]] * 3], dtype=torch.float64)


@pytest.mark.parametrize("rule", ["k_sequential", "canonical"])
def test_siblings_of_different_q_are_refused(rule):
    q = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]], dtype=torch.float64)
    for draft in (pair_of(q), pair_of(None)):
        with pytest.raises(SpecrefError, match="siblings have different q: this rule needs"):
            ALL[rule](draft, P, Streams([0]))


def test_canonical_refuses_a_third_child():
    q = torch.full((1, 3, 3), 1 / 3, dtype=torch.float64)
    draft = Draft(torch.tensor([[0, 1, 2]]), torch.full((1, 3), -1), q, torch.tensor([3]))
    with pytest.raises(SpecrefError, match="a node has a third child: canonical judges two"):
        ALL["canonical"](draft, torch.cat((P, P[:, :1]), 1), Streams([0]))


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24, 1 - 2**-53])
@pytest.mark.parametrize("rule", sorted(TAKES.keys() | {"gumbel"}))
def test_no_token_of_probability_zero_comes_out_at_the_ends_of_the_uniforms(rule, u):
    """Tokens 0 and 3 have p = 0; token 0 is what the draft likes best."""
    row = torch.tensor([0.0, 0.25, 0.75, 0.0])
    p = row.expand(1, 3, 4)
    q = torch.tensor([0.7, 0.2, 0.1, 0.0]).expand(1, 2, 4)
    for tokens in ((0, 0), (0, 1), (1, 2), (2, 0)):
        draft = Draft.chain(torch.tensor([tokens]), q) if rule == "gumbel" else pair_of(q, tokens)
        for dtype in (torch.float32, torch.float64):
            cast = Draft(draft.tokens, draft.parents, q.to(dtype), draft.lengths)
            verdict = ALL[rule](
                cast, p.to(dtype), Injected(torch.full((1, 20), u, dtype=torch.float64))
            )
            assert {1, 2}.issuperset(verdict.emitted(cast)[0])
