"""What cannot be decoded is refused in one line that names the mend, before it can do harm.

Protects: users from tracebacks deep in a forward, and the distribution from drafters that lie about
theirs.
"""

from functools import partial

import pytest
import torch
from specref.data import Draft, SamplingParams, SpecrefError
from specref.decode import generate
from specref.draft.base import Drafter
from specref.draft.model import ModelDrafter
from specref.draft.none import NoDrafter
from specref.verify import RULES

from tests.stub import Told, tiny

MODEL = tiny(context=16)
PARAMS = SamplingParams(max_new_tokens=6, seed=1)
EVERY_RULE = pytest.mark.parametrize("rule", sorted(RULES))


def refused(
    message: str,
    target=MODEL,
    drafter=None,
    prompts=((1, 2), (3,)),
    params=PARAMS,
    rule="rejection",
) -> None:
    with pytest.raises(SpecrefError, match=message) as caught:
        generate(target, drafter or NoDrafter(), RULES[rule], prompts, params, gamma=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "there is no prompt"),
        ([[1], []], "prompt 1 is empty: give at least one token"),
        ([[1, 11]], r"prompt 0 holds token 11, outside 0\.\.10"),
        ([[-1]], r"prompt 0 holds token -1, outside 0\.\.10"),
        ([[1], [1] * 16], "prompt 1 has 16 tokens and the context 16: shorten it to 15"),
        ([[1] * 99], "shorten it to 15"),
    ],
)
def test_prompts_that_no_model_can_start_from(prompts, message):
    refused(message, prompts=prompts)


def test_a_longest_possible_prompt_gets_its_one_token():
    assert len(generate(MODEL, NoDrafter(), RULES["rejection"], [[1] * 15], PARAMS)[0].tokens) == 1


@EVERY_RULE
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value, rule):
    sick = tiny()
    sick.get_parameter("blocks.1.mlp.down_proj.weight").data[0, 0] = value
    refused("the logits hold NaN .*check the model's weights", target=sick, rule=rule)
    refused(
        "the logits hold NaN .*check the model's weights", drafter=ModelDrafter(sick), rule=rule
    )


class Says(Drafter):
    """Returns one draft, whatever it is asked."""

    def __init__(self, tokens, q=None, lengths=None, parents=None):
        tokens = torch.tensor(tokens, dtype=torch.int64)
        chain = Draft.chain(tokens, q, None if lengths is None else torch.tensor(lengths))
        self.draft = (
            chain if parents is None else Draft(tokens, torch.tensor(parents), q, chain.lengths)
        )

    def propose(self, text, budget, chance):
        return self.draft

    def rows(self, index):
        self.draft = self.draft.rows(torch.tensor(index))


@EVERY_RULE
@pytest.mark.parametrize("token", [-1, 11, 10**9])
def test_a_drafted_token_outside_the_vocabulary(token, rule):
    refused(
        r"the draft holds token -?\d+, outside 0\.\.10",
        drafter=Says([[1, token], [1, 1]]),
        rule=rule,
    )


def test_padding_may_hold_anything():
    done = generate(
        MODEL,
        Says([[1, -1, 99], [-5, 11, 10**9]], lengths=[1, 0]),
        RULES["greedy"],
        [[1, 2], [3]],
        SamplingParams(temperature=0, max_new_tokens=3, repetition_penalty=1.2),
    )
    plain = generate(
        MODEL,
        NoDrafter(),
        RULES["greedy"],
        [[1, 2], [3]],
        SamplingParams(temperature=0, max_new_tokens=3, repetition_penalty=1.2),
    )
    assert [one.tokens for one in done] == [one.tokens for one in plain]


def too_many(more: int, text: list[int], most: int) -> list[int]:
    """A draft of `more` tokens beyond its budget."""
    return [1] * (most + more)


def distribution(**changes: float) -> torch.Tensor:
    """q [2,2,11]: 1/11 everywhere but where `changes` says otherwise, as t3=0.5 for token 3 of row
    1, node 0.
    """
    q = torch.full((2, 2, 11), 1 / 11, dtype=torch.float64)
    for name, value in changes.items():
        q[1, 0, int(name[1:])] = value
    return q


@EVERY_RULE
@pytest.mark.parametrize(
    ("q", "message"),
    [
        (distribution(t4=0.0, t5=2 / 11), "a proposed token has q = 0"),
        (distribution(t5=0.5), r"q\[1,0\] is no distribution, it has the sum"),
        (
            distribution(t5=-1 / 11, t6=3 / 11),
            r"q\[1,0\] is no distribution, it has a negative probability",
        ),
        (distribution(t5=float("nan")), r"q\[1,0\] is no distribution, it has NaN"),
        (distribution(t5=float("inf")), r"q\[1,0\] is no distribution"),
        (distribution()[:, :, :10], "must share one vocabulary"),
        (distribution()[:, :1], "must share one vocabulary"),
    ],
)
def test_a_q_that_the_token_cannot_have_been_drawn_from(q, message, rule):
    refused(message, drafter=Says([[4, 4], [4, 4]], q), rule=rule)


@EVERY_RULE
@pytest.mark.parametrize(
    "drafter",
    [
        Says([[1, 2]]),
        Says([[1], [2], [3]]),
        Says([[1], [2]], lengths=[1, 2]),
        Says([[1], [2]], lengths=[-1, 1]),
        Says([[1], [2]], lengths=[1]),
        Says([[1, 1], [2, 2]], parents=[[-1], [-1]]),
    ],
)
def test_a_draft_of_another_shape(drafter, rule):
    refused(r"the draft has tokens .*give \[2, N\]", drafter=drafter, rule=rule)


@pytest.mark.parametrize("parents", [[[-1, 1], [-1, 0]], [[0, 0], [-1, 0]], [[-2, 0], [-1, 0]]])
def test_a_draft_node_before_its_parent(parents):
    refused(
        "a draft node stands before its parent", drafter=Says([[1, 2], [3, 4]], parents=parents)
    )


def test_a_draft_longer_than_was_asked_for_is_refused_or_cut():
    """Never emitted beyond the limit: a little more is verified and cut, what the cache cannot hold
    is refused.
    """
    for more in (1, 2, 3):
        drafter = Told(partial(too_many, more))
        assert (
            len(generate(MODEL, drafter, RULES["rejection"], [[1, 2]], PARAMS, gamma=3)[0].tokens)
            == 6
        )
    for more in (9, 40):
        refused(
            "the cache holds",
            drafter=Told(partial(too_many, more)),
            prompts=[[1, 2]],
        )


def test_a_bias_that_bans_every_token():
    params = SamplingParams(logit_bias=dict.fromkeys(range(11), -torch.inf))
    refused("only -inf .*the bias that bans every token", params=params)
    refused(
        r"logit_bias names token 11, outside 0\.\.10", params=SamplingParams(logit_bias={11: 1.0})
    )
