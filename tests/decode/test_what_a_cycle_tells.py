"""What a decode step hands on: the target's states for a drafter that reads them, and the
distributions of what was emitted for whoever watches.

Protects: which forward positions belong to the accepted path, in chains and in trees. The text is
right even where these are wrong: heads then draft badly, and log probabilities are those of another
place. Held against one forward over the whole text, without a cache.
"""

from collections.abc import Callable

import pytest
import torch
from specref.chance import Chance
from specref.data import Draft, SamplingParams
from specref.decode import decode_loop, new_requests
from specref.draft.base import Drafter, Text
from specref.verify import RULES
from torch import Tensor

from tests.decode.players import Bushy, drafters
from tests.stub import tiny

MODEL = tiny(seed=2)
PROMPTS = [[3, 1, 4, 1, 5], [2], [7, 7, 2]]
MAKERS: dict[str, Callable[[], Drafter]] = {
    "chain": drafters(MODEL)["half right"],
    "the target itself": drafters(MODEL)["the target itself"],
    "tree": lambda: Bushy(MODEL),
}


class Reading(Drafter):
    """Another drafter, and a look at the states that it is handed."""

    reads_states = True

    def __init__(self, inner: Drafter):
        self.inner = inner
        self.looked = 0

    def nodes(self, gamma: int) -> int:
        return self.inner.nodes(gamma)

    def begin(self, text: Text, capacity: int) -> None:
        self.inner.begin(text, capacity)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        for row, tokens in enumerate(text.tokens):
            fresh = 0 if text.fresh is None else int(text.fresh[row])
            if fresh:
                assert text.states is not None
                whole = MODEL.states(torch.tensor([tokens]))[0]  # [n,E]
                right = whole[len(tokens) - 1 - fresh : -1]  # the last token is pending
                assert torch.allclose(text.states[row, :fresh], right, atol=1e-9)
                self.looked += fresh
        return self.inner.propose(text, budget, chance)

    def commit(self, accepted: Tensor) -> None:
        self.inner.commit(accepted)

    def rows(self, index: list[int]) -> None:
        self.inner.rows(index)


@pytest.mark.parametrize("name", MAKERS)
def test_states_and_distributions_are_those_of_the_emitted_tokens(name: str) -> None:
    drafter = Reading(MAKERS[name]())
    params = [SamplingParams(temperature=0, max_new_tokens=size) for size in (17, 9, 13)]
    requests = new_requests(MODEL, PROMPTS, params)
    rule = RULES["tree" if name == "tree" else "rejection"]
    told = 0
    for cycle in decode_loop(MODEL, drafter, rule, requests, gamma=4):
        for row, given in zip(cycle.rows, cycle.distributions(), strict=True):
            one = requests[row]
            new = len(cycle.emitted[cycle.rows.index(row)])
            text = [*one.prompt, *one.tokens]
            logits = MODEL(torch.tensor([text])).logits[0, len(text) - new - 1 : -1]  # [n,V]
            right = torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])
            assert given.shape == logits.shape
            assert bool((given == right).all())
            told += new > 1
    assert told
    assert drafter.looked > sum(len(one.tokens) for one in requests) // 2
