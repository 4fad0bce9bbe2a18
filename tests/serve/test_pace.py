"""Adaptive draft depth: it follows acceptance and load, and it leaves the distribution alone.

Protects: the distribution from a depth that is chosen by the draft itself, which is the natural
thing to write and is wrong.
"""

import pytest
from specref.data import SamplingParams
from specref.draft.none import NoDrafter
from specref.exact.enumerate import distribution, distributions, total_variation
from specref.judge.zoo.pace import LateCut
from specref.serve import ServingEngine, ServingSettings
from specref.serve.depth_policy import AcceptanceHistory, DepthPolicy
from specref.verify import RULES

from tests.decode.players import lopsided
from tests.stub import Drawn, generate_with, tiny

MODEL = tiny(seed=3, vocabulary=2, layers=1, sharp=0.9)


def tracks(*alphas) -> dict[int, AcceptanceHistory]:
    return {row: AcceptanceHistory(start=alpha) for row, alpha in enumerate(alphas)}


def test_nearly_free_tokens_are_all_taken():
    assert DepthPolicy(lambda rows, tokens: 1 + 0.01 * tokens).depths(tracks(0.9, 0.9), 5) == {
        0: 5,
        1: 5,
    }


def test_a_large_batch_stops_drafting_by_itself():
    """The forward costs 1 until 64 tokens, and from there on in proportion: what one request may
    have, 64 may not.
    """
    pace = DepthPolicy(lambda rows, tokens: max(1.0, tokens / 64))
    assert pace.depths(tracks(0.7), 5) == {0: 5}
    assert set(pace.depths(tracks(*[0.7] * 16), 5).values()) == {3}
    assert set(pace.depths(tracks(*[0.7] * 64), 5).values()) == {0}


def test_a_draft_that_brings_as_much_as_it_costs_is_left_out():
    """Certain tokens at the price of plain ones: every depth gives one token a time."""
    pace = DepthPolicy(lambda rows, tokens: float(tokens))
    assert pace.depths(tracks(1.0, 1.0), 3) == {0: 0, 1: 0}


def test_what_is_accepted_more_often_is_drafted_deeper():
    depths = DepthPolicy(lambda rows, tokens: 10 + tokens).depths(tracks(0.95, 0.6, 0.05), 6)
    assert depths[0] > depths[1] > depths[2] == 0


def test_draft_steps_cost_too():
    free, dear = (
        DepthPolicy(lambda rows, tokens: 1.0),
        DepthPolicy(lambda rows, tokens: 1.0, lambda rows: 0.6),
    )
    assert free.depths(tracks(0.5), 4)[0] == 4
    assert dear.depths(tracks(0.5), 4)[0] == 0


def test_a_track_follows_and_forgets():
    track = AcceptanceHistory()
    for _ in range(60):
        track.add(4, 0)
    assert track.alpha < 0.15
    for _ in range(120):
        track.add(0, 0)
    assert track.alpha > 0.65, "one that was given up on is tried again"
    for _ in range(60):
        track.add(4, 4)
    assert track.alpha > 0.9


def test_only_judged_tokens_count():
    """Of four drafted tokens one was accepted and one rejected; the other two were not judged."""
    track = AcceptanceHistory(start=0.5, weight=2.0, fade=0.5)
    track.add(4, 1)
    assert (track.kept, track.judged) == (1, 2)
    assert track.alpha == pytest.approx((1 + 1) / (2 + 2))
    track.add(3, 3)
    assert (track.kept, track.judged) == (0.5 + 3, 1 + 3), "nothing was rejected"
    track.add(0, 0)
    assert (track.kept, track.judged) == (1.75, 2), "nothing was drafted"


def drafter():
    return Drawn(lambda text: lopsided(text, 5, 2), lambda text, most: most)


class Watched(DepthPolicy):
    """Remembers what it chose."""

    seen: set[int]

    def depths(self, tracks, most):
        chosen = super().depths(tracks, most)
        self.seen.update(chosen.values())
        return chosen


def target_distribution(prompt, count) -> dict:
    def program(chance, root):
        done = generate_with(
            MODEL,
            NoDrafter(),
            RULES["rejection"],
            [prompt] * len(root),
            SamplingParams(max_new_tokens=count),
            chance=chance,
        )
        return [tuple(one.tokens) for one in done]

    return distributions(program, 1)[0]


@pytest.mark.parametrize("rule", ["rejection", "block"])
def test_two_requests_that_set_each_others_depth_keep_their_joint_distribution(rule):
    """Every outcome of all coins of both: together they have the product of the target's
    distributions.
    """
    pace = Watched(lambda rows, tokens: 1 + 0.35 * tokens)
    object.__setattr__(pace, "seen", set())
    prompts, counts = [[1, 0], [0]], [3, 2]

    def program(chance):
        engine = ServingEngine(
            MODEL,
            drafter(),
            RULES[rule],
            ServingSettings(gamma=2, depth_policy=pace, blocks=20, block_size=4),
            chance_of=lambda numbers: chance.rows([0] * len(numbers)),
        )
        done = engine.generate(prompts, [SamplingParams(max_new_tokens=count) for count in counts])
        return tuple(tuple(one.tokens) for one in done)

    got = distribution(program)
    alone = [
        target_distribution(prompt, count) for prompt, count in zip(prompts, counts, strict=True)
    ]
    wanted = {(a, b): p * q for a, p in alone[0].items() for b, q in alone[1].items()}
    assert total_variation(got, wanted) < 1e-12
    assert len(pace.seen) > 1, "the depth must have varied"


def test_a_depth_chosen_by_the_drafts_own_tokens_changes_the_distribution():
    """Dropping a token because its q is small: the tokens that stay have another distribution than
    the q they are reported with.
    """

    def program(chance, root):
        done = generate_with(
            MODEL,
            LateCut(drafter()),
            RULES["rejection"],
            [[1, 0]] * len(root),
            SamplingParams(max_new_tokens=3),
            gamma=2,
            chance=chance,
        )
        return [tuple(one.tokens) for one in done]

    assert total_variation(distributions(program, 1)[0], target_distribution([1, 0], 3)) > 0.01
