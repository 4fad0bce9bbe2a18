"""A timed run decodes the prompt and the seed of its round, and counts what it wrote.

Protects: speedups from runs that decode something else than they are compared with, and the counts
that a time is divided by.
"""

from collections.abc import Sequence

import pytest
from specref.chance import Streams
from specref.data import Completion, SamplingParams
from specref.decode import decode_loop, new_requests
from specref.draft.none import NoDrafter
from specref.measure.acceptance.positions import acceptance_by_position
from specref.measure.completions import run_to_end
from specref.measure.speed import decoding_runs
from specref.measure.speed.decoding_runs import (
    DraftingMethod,
    SpeculativeRun,
    plain_run,
    tokens_per_step,
)
from specref.measure.speed.plain import decode_plain
from specref.verify import RULES

from tests.stub import Scripted, Told, own_logits, parrot, tiny

TARGET = tiny(seed=3, vocabulary=11)
PROMPTS = [[1, 2, 3], [4, 5]]
PARAMS = SamplingParams(max_new_tokens=6)
WORDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def one_by_one(prompt: Sequence[int], number: int, count: int) -> list[int]:
    """The target's own tokens with the seed `number`, each from a forward from scratch."""
    text, chance = list(prompt), Streams([number])
    for _ in range(count):
        distribution = own_logits(TARGET, text).softmax(-1)[None]
        text.append(int(chance.draw(distribution)))
    return text[len(prompt) :]


@pytest.mark.parametrize("number", range(4))
def test_the_plain_loop_writes_the_targets_tokens(number: int) -> None:
    written = decode_plain(TARGET, PROMPTS[0], PARAMS, Streams([number]))
    assert written == one_by_one(PROMPTS[0], number, 6)


def test_the_first_token_is_told_once_when_it_is_known() -> None:
    """What came before it is the prefill: one forward, over the whole prompt."""
    forwards: list[int] = []
    told: list[int] = []

    class Counting(Scripted):
        def states(self, tokens, *rest):
            forwards.append(tokens.shape[1])
            return super().states(tokens, *rest)

    target = Counting(11, parrot(11, WORDS, 2))
    written = decode_plain(
        target,  # type: ignore[arg-type]
        [0, 0],
        PARAMS,
        Streams([0]),
        lambda: told.append(len(forwards)),
    )
    assert written == WORDS[:6]
    assert told == [1]
    assert forwards == [2, 1, 1, 1, 1, 1]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The texts that plain runs write, which they throw away."""
    texts: list[list[int]] = []

    def note(*words) -> list[int]:
        texts.append(decode_plain(*words))
        return texts[-1]

    monkeypatch.setattr(decoding_runs, "decode_plain", note)
    return texts


def test_a_plain_run_takes_prompt_and_seed_from_the_round(written: list[list[int]]) -> None:
    run = plain_run(TARGET, PROMPTS, PARAMS)
    timed = [run(number) for number in range(4)]
    assert written == [one_by_one(PROMPTS[number % 2], number, 6) for number in range(4)]
    assert len({tuple(text) for text in written}) == 4
    assert [(one.tokens, one.decoded) for one in timed] == [(6, 5)] * 4


def test_a_speculative_run_takes_them_from_the_round_too() -> None:
    """Without a draft its text is the plain loop's; everything that it wrote is kept, in order."""
    method = DraftingMethod("nothing", NoDrafter(), RULES["rejection"], 3)
    run = SpeculativeRun(TARGET, method, PROMPTS, PARAMS)
    timed = [run(number) for number in range(4)]
    texts = [one.tokens for one in run.completions]
    assert texts == [one_by_one(PROMPTS[number % 2], number, 6) for number in range(4)]
    assert [(one.tokens, one.decoded) for one in timed] == [(6, 5)] * 4


def test_all_tokens_of_the_first_cycle_are_its_first_tokens() -> None:
    """Two guesses in three are right: cycles of 3, 3 and 2 tokens, so five come after the first
    emission."""

    def tell(text: list[int], budget: int) -> list[int]:
        begin = len(text) - 1
        return [*WORDS[begin : begin + 2], 0][:budget]

    method = DraftingMethod("told", Told(tell), RULES["rejection"], 3)
    target = Scripted(11, parrot(11, WORDS, 1))
    run = SpeculativeRun(target, method, [[0]], SamplingParams(max_new_tokens=8))  # type: ignore[arg-type]
    timed = run(0)
    assert (timed.tokens, timed.decoded) == (8, 5)
    assert run.completions[0].tokens == WORDS[:8]


def done(tokens: int, steps: int) -> Completion:
    return Completion([0] * tokens, "length", steps, 0, 0)


def test_tokens_per_step_are_all_tokens_over_all_forwards() -> None:
    assert tokens_per_step([done(3, 1), done(5, 3)]) == 2
    assert tokens_per_step([done(3, 1)]) == 3
    assert tokens_per_step([done(0, 0)]) == tokens_per_step([]) == 0


def guessing(right: Sequence[int]) -> Told:
    """In its n-th cycle of a text the first right[n] guesses of three are right. The text is known:
    it says how far it came."""
    begins = [0]
    for count in right:
        begins.append(begins[-1] + count + 1)

    def tell(text: list[int], budget: int) -> list[int]:
        begin = len(text) - 1
        count = right[begins.index(begin)]
        return [*WORDS[begin : begin + count], *[0] * (3 - count)][:budget]

    return Told(tell)


def positions(right: Sequence[int], gamma: int, prompts: int = 1, tokens: int = 10) -> list[float]:
    params = SamplingParams(max_new_tokens=tokens)
    target = Scripted(11, parrot(11, WORDS, 1))
    return acceptance_by_position(target, guessing(right), [[0]] * prompts, params, gamma)  # type: ignore[arg-type]


def test_a_position_counts_where_all_before_it_were_accepted() -> None:
    """2, 0 and 3 of three guesses are right, and the last token is the target's: place 1 is right
    in 2 of 3 cycles, place 2 in both that reach it, place 3 in one of these two."""
    assert positions([2, 0, 3, 0], 3, tokens=9) == pytest.approx([2 / 3, 1, 1 / 2])


def test_a_position_without_drafts_has_rate_0() -> None:
    assert positions([3], 5, tokens=4) == [1, 1, 1, 0, 0]


def test_prompts_are_counted_together() -> None:
    one, three = (positions([1, 0, 2, 1], 3, count, 8) for count in (1, 3))
    assert one == three
    assert 0 < one[0] < 1


def test_requests_that_are_run_to_their_end_are_told_in_order() -> None:
    requests = new_requests(TARGET, PROMPTS, PARAMS)
    cycles = decode_loop(TARGET, NoDrafter(), RULES["rejection"], requests, 2, Streams([0, 1]))
    completions = run_to_end(requests, cycles)
    assert [one.tokens for one in completions] == [one_by_one(PROMPTS[n], n, 6) for n in (0, 1)]
