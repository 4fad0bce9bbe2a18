"""A draft with another vocabulary: the whole loop emits the target's distribution, exactly, and the
map is refused where it cannot be one.

Protects: the map in both directions, unknown tokens, q over the target's tokens, and that a q laid
on wrong ids is seen.
"""

from itertools import product

import pytest
import torch
from specref.chance import Streams
from specref.data import SamplingParams, SpecrefError
from specref.decode import decode_loop, generate, new_requests
from specref.draft.base import Text
from specref.draft.model import ModelDrafter
from specref.draft.vocabulary import MappedDrafter, token_intersection
from specref.exact.enumerate import distributions, total_variation
from specref.measure.completions import run_to_end
from specref.probs import probs
from specref.verify import block, rejection

from tests.stub import tiny

EXACT = 1e-12
TARGET = tiny(vocabulary=4, layers=1, seed=1)
DRAFT = tiny(vocabulary=5, layers=1, seed=2)
SHORT = tiny(vocabulary=2, layers=1, seed=3)
MAPS = {
    "TLI, other order": (DRAFT, [2, -1, 0, -1, 3]),
    "TLI, one token": (DRAFT, [-1, -1, 1, -1, -1]),
    "d2t": (SHORT, [1, 3]),
}
PARAMS = {
    "plain": SamplingParams(max_new_tokens=3),
    "filtered": SamplingParams(max_new_tokens=3, temperature=0.7, top_k=3),
}


class Misplaced(MappedDrafter):
    """q is told with two of its columns exchanged, as from a map that is not the one drawn with."""

    def propose(self, text, budget, chance):
        draft = super().propose(text, budget, chance)
        if draft.q is not None:
            a, b = self.targets[:2].tolist()
            draft.q[..., [a, b]] = draft.q[..., [b, a]].clone()
        return draft


def texts(drafter, rule, params) -> dict:
    """The exact distribution of 3 tokens after [0, 2]."""

    def program(chance, root):
        requests = new_requests(TARGET, [[0, 2]] * len(root), params)
        done = run_to_end(requests, decode_loop(TARGET, drafter, rule, requests, 2, chance))
        return [tuple(one.tokens) for one in done]

    return distributions(program, 1)[0]


def alone(params) -> dict:
    """The same by the chain rule over the target's forwards."""
    every = [*product(range(4), repeat=3)]
    rows = torch.tensor([[0, 2, *text] for text in every])
    with torch.inference_mode():
        p = probs(TARGET(rows[:, :-1]).logits, [params] * len(rows))[:, 1:]
    each = p.gather(2, rows[:, 2:, None])[..., 0].prod(1)
    return dict(zip(every, each.tolist()))


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("rule", [rejection, block], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", MAPS)
def test_the_loop_emits_the_targets_distribution(name, rule, params):
    model, writes = MAPS[name]
    found = texts(MappedDrafter(model, writes), rule, PARAMS[params])
    assert total_variation(found, alone(PARAMS[params])) < EXACT


def test_a_q_laid_on_wrong_ids_is_seen():
    model, writes = MAPS["TLI, other order"]
    found = texts(Misplaced(model, writes), rejection, PARAMS["plain"])
    assert total_variation(found, alone(PARAMS["plain"])) > 1e-3


def test_q_is_the_drafts_distribution_cut_to_the_common_tokens():
    model, writes = MAPS["TLI, other order"]
    drafter = MappedDrafter(model, writes)
    # target tokens 0, 2, 3 are the draft's 2, 0, 4; target token 1 is read as the draft's 3
    drafter.unknown = 3
    text = Text([[0, 1, 3]], [3], [SamplingParams()], 4)
    drafter.begin(text, 8)
    q = drafter.propose(text, torch.tensor([1]), Streams([0])).q
    assert q is not None
    with torch.inference_mode():
        own = model(torch.tensor([[2, 3, 4]])).logits[0, -1]
    want = torch.zeros(4, dtype=torch.float64)
    want[[2, 0, 3]] = own[[0, 2, 4]].softmax(0)
    assert torch.allclose(q[0, 0], want, atol=1e-12)


def test_the_same_vocabulary_is_the_plain_drafter():
    draft = tiny(vocabulary=4, layers=1, seed=2)
    params = SamplingParams(max_new_tokens=12, seed=3)
    mine, plain = (
        generate(TARGET, drafter, rejection, [[0, 2], [1]], params)
        for drafter in (MappedDrafter(draft, [0, 1, 2, 3]), ModelDrafter(draft))
    )
    assert [one.tokens for one in mine] == [one.tokens for one in plain]


def test_the_intersection_is_by_token_and_each_target_token_is_used_once():
    assert token_intersection([b"a", b"ab", b"c", b"a"], [b"c", b"b", b"a"]) == [2, -1, 0, -1]
    assert token_intersection(["x"], ["y", "x", "x"]) == [1]


@pytest.mark.parametrize(
    ("writes", "told"),
    [
        ([0, 1], "give one entry a draft token"),
        ([-1] * 5, "the map has 0 target tokens for 5 draft tokens"),
        ([0, 0, -1, -1, -1], "two draft tokens have the same target token"),
    ],
)
def test_a_map_that_is_none_is_refused(writes, told):
    with pytest.raises(SpecrefError, match=told):
        MappedDrafter(DRAFT, writes)


def test_a_map_for_another_target_is_refused():
    with pytest.raises(SpecrefError, match="leads to token 9 and the target has 4 tokens"):
        MappedDrafter(DRAFT, [9, -1, 0, -1, -1]).begin(Text([[0]], [1], [SamplingParams()], 4), 8)
