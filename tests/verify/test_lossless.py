"""Every lossless rule emits the target's distribution, exactly: all outcomes of all its draws,
summed and compared.

Protects: the acceptance probability, the residual, the bonus, ragged rows, proposals made with
certainty, and what the papers say about how much is accepted. Tolerance 1e-12, in float64.
"""

from collections.abc import Hashable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from specref.exact.enumerate import total_variation
from specref.verify import RESEARCH_RULES, RULES

from tests.distributions import Outcome, World, continued, outcomes, target_distribution, worlds

ALL = RULES | RESEARCH_RULES
LOSSLESS = sorted(ALL.keys() - {"greedy"})
# of which these accept what another rule accepts when the draft is a chain
LIKE = {"naive": "matching", "traversal": "block", "k_sequential": "rejection", "canonical": "tree"}
EXACT = 1e-12


def accepted_distribution(distribution: dict[Outcome, float], count: int) -> list[float]:
    """P(accepted >= i) for i = 0..count."""
    at_least = [0.0] * (count + 1)
    for (_, accepted), weight in distribution.items():
        for i in range(min(accepted, count) + 1):
            at_least[i] += weight
    return at_least


def prefixes(
    world: World, root: int, depth: int
) -> list[tuple[tuple[int, ...], list[float], list[float]]]:
    """Every run of `depth` tokens, with p and q of each of its tokens."""
    p, q = world.p[root].tolist(), world.q[root].tolist()
    runs = []
    for run in product(range(world.vocabulary), repeat=depth):
        node, ps, qs = 0, [], []
        for token in run:
            ps.append(p[node][token])
            qs.append(q[node][token])
            node = world.vocabulary * node + 1 + token
        runs.append((run, ps, qs))
    return runs


def expected_survival(rule: str, world: World, root: int, depth: int) -> float:
    """P(accepted >= depth), by the papers' own formulas, over all prefixes of that depth."""
    rule, total = LIKE.get(rule, rule), 0.0
    for _, ps, qs in prefixes(world, root, depth):
        weight = 1.0
        for p, q in zip(ps, qs):
            if rule == "matching":  # drawn from q, then drawn again from p
                weight *= p * q
            # Sun et al. 2024, Algorithm 2: the run is kept with probability p_i
            elif rule == "block":
                weight = min(1.0, weight * p / q) if q else 0.0
            else:  # Leviathan et al. 2023, Corollary 3.6, place by place
                weight *= min(p, q)
        if rule == "block":
            for q in qs:
                weight *= q
        total += weight
    return total


@pytest.mark.parametrize("rule", LOSSLESS)
@given(world=worlds())
@settings(max_examples=60)
def test_emitted_tokens_have_the_targets_distribution(rule: str, world: World) -> None:
    """First token and whole block: a wrong ratio, residual or bonus changes one of them."""
    for root, distribution in enumerate(outcomes(world, ALL[rule])):
        runs: dict[tuple[int, ...], float] = {}
        for (emitted, accepted), weight in distribution.items():
            assert len(emitted) == accepted + 1 <= world.lengths[root] + 1
            runs[emitted] = runs.get(emitted, 0.0) + weight
        first: dict[Hashable, float] = {}
        for run, weight in runs.items():
            first[run[:1]] = first.get(run[:1], 0.0) + weight
        assert abs(sum(runs.values()) - 1) < EXACT
        assert total_variation(first, target_distribution(world, root, 1)) < EXACT
        longest = world.count + 1
        assert (
            total_variation(
                continued(world, root, runs, longest), target_distribution(world, root, longest)
            )
            < EXACT
        )


@pytest.mark.parametrize("rule", sorted({*LOSSLESS} - {"gumbel"}))
@given(world=worlds())
@settings(max_examples=40)
def test_accepted_count_has_the_papers_distribution(rule: str, world: World) -> None:
    """Lossless alone is not enough: a rule that accepts too rarely is right and slow."""
    for root, distribution in enumerate(outcomes(world, ALL[rule])):
        length = world.lengths[root]
        survival = accepted_distribution(distribution, length)
        for depth in range(length + 1):
            assert abs(survival[depth] - expected_survival(rule, world, root, depth)) < EXACT


@given(world=worlds())
@settings(max_examples=40)
def test_the_gumbel_coupling_accepts_what_the_race_does(world: World) -> None:
    """Daliri et al. 2024, Theorem 4: P(X = Y = x) = 1 / sum max(q_i / q_x, p_i / p_x), between
    (1 - TV) / (1 + TV) and 1 - TV.
    """
    for root, distribution in enumerate(outcomes(world, ALL["gumbel"])):
        if world.lengths[root] == 0:
            continue
        p, q = world.p[root, 0], world.q[root, 0]
        both = ((p > 0) & (q > 0)).nonzero()[:, 0].tolist()
        race = sum(1 / float(torch.maximum(q / q[x], p / p[x]).sum()) for x in both)
        found = accepted_distribution(distribution, 1)[1]
        tv = float((p - q).abs().sum()) / 2
        assert abs(found - race) < EXACT
        assert (1 - tv) / (1 + tv) - EXACT <= found <= 1 - tv + EXACT


@pytest.mark.parametrize("rule", ["rejection", "block", "tree"])
@given(world=worlds())
@settings(max_examples=30)
def test_first_token_is_accepted_with_one_minus_total_variation(rule: str, world: World) -> None:
    """P(accept) = sum min(p, q) = 1 - TV(p, q), the most that any coupling of p and q can reach."""
    for root, distribution in enumerate(outcomes(world, RULES[rule])):
        if world.lengths[root] > 0:
            p, q = world.p[root, 0], world.q[root, 0]
            shared = float(torch.minimum(p, q).sum())
            assert abs(accepted_distribution(distribution, 1)[1] - shared) < EXACT
            assert abs(shared - (1 - float((p - q).abs().sum()) / 2)) < EXACT


@given(world=worlds())
def test_block_accepts_at_least_as_many_as_rejection(world: World) -> None:
    """Sun et al. 2024, Theorem 2: the reason to verify a block."""
    both = [outcomes(world, RULES[rule]) for rule in ("block", "rejection")]
    for root, (block, rejection) in enumerate(zip(*both)):
        length = world.lengths[root]
        assert (
            sum(accepted_distribution(block, length))
            >= sum(accepted_distribution(rejection, length)) - EXACT
        )


def test_block_gains_on_a_known_example() -> None:
    """Sun et al. 2024, section 2: p = (1/3, 2/3), q = (2/3, 1/3), two tokens: 10/9 accepted by
    token, 11/9 by block.

    Without it, the comparison above would hold for a block rule that is the token-wise rule.
    """
    world = World(2, 2, [2], False, [[([1 / 3, 2 / 3], [2 / 3, 1 / 3])]])
    mean = {
        rule: sum(accepted_distribution(outcomes(world, RULES[rule])[0], 2)[1:])
        for rule in ("rejection", "block")
    }
    assert mean == pytest.approx({"rejection": 10 / 9, "block": 11 / 9}, abs=EXACT)


@given(world=worlds())
@settings(max_examples=30)
def test_greedy_emits_the_targets_argmax_text(world: World) -> None:
    """Whatever was drafted: accepted tokens and the next one are the target's own choices, and the
    draft stops there.
    """
    for root, distribution in enumerate(outcomes(world, RULES["greedy"])):
        for (emitted, accepted), _ in distribution.items():
            node = 0
            for token in emitted:
                assert token == int(world.p[root, node].argmax())
                node = world.vocabulary * node + 1 + token
            assert len(emitted) == accepted + 1
        node, certain = 0, []
        for _ in range(world.lengths[root]):
            best = int(world.p[root, node].argmax())
            certain.append(float(world.q[root, node, best]))
            node = world.vocabulary * node + 1 + best
        drafted = 1.0
        for depth, weight in enumerate(certain, 1):
            drafted *= weight
            assert abs(accepted_distribution(distribution, depth)[depth] - drafted) < EXACT
