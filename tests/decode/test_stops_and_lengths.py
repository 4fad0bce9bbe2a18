"""A text ends exactly where it must: at a stop inside an accepted run, at the last wished token, at
the context's end.

Protects: stops at every offset of a block, stop sequences that span cycles, max_new_tokens and
min_tokens to the token, the reason given, and the rows beside the one that ends.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.data import SamplingParams
from specref.decode import generate
from specref.verify import RULES

from tests.decode.players import drafters
from tests.stub import Scripted, Told, generate_with, greedy_text, parrot, tiny

SCRIPT = [1, 2, 3, 1, 4, 2, 1, 1, 3, 2, 4, 1, 3, 3, 2, 1]
PROMPT = [9, 9]
STOP = 5


def decode(script: list[int], drafted: str, gamma: int, **settings):
    """The scripted target writes `script`; the draft is right, wrong, right for one token, or not
    there.
    """
    target = Scripted(10, parrot(10, script, len(PROMPT)))

    def tell(text: list[int], most: int) -> list[int]:
        start = len(text) - len(PROMPT)
        right = (script + [script[-1]] * (start + most))[start : start + most]
        return {
            "right": right,
            "wrong": [8] * most,
            "nothing": [],
            "one right": right[:1] + [8] * (len(right) - 1),
        }[drafted]

    params = SamplingParams(temperature=0, **({"max_new_tokens": 30} | settings))
    return generate(
        target,  # type: ignore[arg-type]
        Told(tell),
        RULES["rejection"],
        [PROMPT],
        params,
        gamma=gamma,
    )[0]


DRAFTS = pytest.mark.parametrize("drafted", ["right", "wrong", "nothing", "one right"])


@DRAFTS
@pytest.mark.parametrize("gamma", [1, 4])
@pytest.mark.parametrize("offset", range(11))
def test_a_stop_token_ends_the_text_at_every_offset_of_a_block(offset, gamma, drafted):
    done = decode([*SCRIPT[:offset], STOP, *SCRIPT[offset:]], drafted, gamma, stop_ids=(7, STOP))
    assert done.tokens == [*SCRIPT[:offset], STOP], "the stop is the last token"
    assert done.finish_reason == "stop"


@pytest.mark.parametrize("offset", range(8))
def test_what_stands_behind_a_stop_is_not_counted_as_accepted(offset):
    done = decode([*SCRIPT[:offset], STOP, *SCRIPT[offset:]], "right", 4, stop_ids=(STOP,))
    assert done.target_steps == offset // 5 + 1
    assert done.drafted == 4 * done.target_steps
    assert done.accepted == offset + 1 - (offset + 1) // 5, "every fifth token was the target's own"


@DRAFTS
@pytest.mark.parametrize("gamma", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 6])
@pytest.mark.parametrize("offset", range(7))
def test_a_stop_sequence_ends_the_text_at_every_offset_within_and_across_cycles(
    offset, length, gamma, drafted
):
    sequence = tuple(range(3, 3 + length))  # 3 4 5 ...: begins with a token that also stands alone
    script = [token if token != 4 else 2 for token in SCRIPT]
    done = decode(
        script[:offset] + list(sequence) + script[offset:],
        drafted,
        gamma,
        stop_sequences=((0, 0), sequence),
    )
    first = next(
        end
        for end in range(99)
        if tuple((script[:offset] + list(sequence))[:end][-length:]) == sequence
    )
    assert done.tokens == (script[:offset] + list(sequence))[:first]
    assert done.finish_reason == "stop"


def test_a_stop_sequence_may_overlap_its_own_beginning():
    done = decode([1, 1, 1, 2, 1, 1], "right", 2, stop_sequences=((1, 1, 2),))
    assert done.tokens == [1, 1, 1, 2]


def test_a_stop_sequence_that_began_in_the_prompt_does_not_count():
    done = decode([9, 1, 2], "right", 4, stop_sequences=((9, 9), (9, 9, 9)), max_new_tokens=4)
    assert done.tokens == [9, 1, 2, 2]
    assert done.finish_reason == "length"


@DRAFTS
@pytest.mark.parametrize("gamma", [1, 4])
@pytest.mark.parametrize("count", range(8))
def test_max_new_tokens_is_met_to_the_token(count, gamma, drafted):
    done = decode(SCRIPT, drafted, gamma, max_new_tokens=count)
    assert done.tokens == SCRIPT[:count]
    assert done.finish_reason == "length"
    assert done.drafted <= max(0, count - 1) * gamma
    assert done.accepted <= done.drafted


@pytest.mark.parametrize("count", range(1, 8))
def test_no_draft_reaches_beyond_what_is_left(count):
    seen = []
    target = Scripted(10, parrot(10, SCRIPT, 2))
    generate_with(
        target,
        Told(lambda text, most: [8] * most),
        RULES["greedy"],
        [PROMPT],
        SamplingParams(temperature=0, max_new_tokens=count),
        gamma=4,
        watch=lambda c: seen.append(int(c.draft.lengths)),
    )
    assert seen == [min(4, left - 1) for left in range(count, 0, -1)], (
        "the target itself always gives one token"
    )


def test_a_stop_on_the_last_token_is_a_stop():
    assert (
        decode([1, 2, STOP], "right", 4, stop_ids=(STOP,), max_new_tokens=3).finish_reason == "stop"
    )
    assert (
        decode([1, 2, STOP], "right", 4, stop_ids=(STOP,), max_new_tokens=2).finish_reason
        == "length"
    )


@DRAFTS
@pytest.mark.parametrize("rule", ["rejection", "block", "matching", "greedy"])
@pytest.mark.parametrize("least", range(8))
def test_no_stop_token_comes_before_min_tokens_and_none_later_than_it_wants(least, rule, drafted):
    """The target always wants to stop; its second choice is token 1."""
    target = Scripted(10, lambda text: [0, 5, 0, 0, 0, 9, 0, 0, 0, 0])
    say = {"right": [1] * 4, "wrong": [8] * 4, "nothing": [], "one right": [1, 8, 8, 8]}[drafted]
    params = SamplingParams(temperature=0, min_tokens=least, max_new_tokens=20, stop_ids=(STOP,))
    done = generate(
        target,  # type: ignore[arg-type]
        Told(lambda text, most: say[:most]),
        RULES[rule],
        [PROMPT],
        params,
        gamma=4,
    )[0]
    assert done.tokens == [1] * least + [STOP]
    assert done.finish_reason == "stop"


@pytest.mark.parametrize("gamma", [1, 4])
@pytest.mark.parametrize("least", range(7))
def test_no_stop_sequence_counts_before_min_tokens(least, gamma):
    done = decode([1, 2] * 6, "right", gamma, stop_sequences=((1, 2),), min_tokens=least)
    assert len(done.tokens) == max(2, least + least % 2)
    assert done.finish_reason == "stop"


MODEL = tiny(context=16)


def prompt_of(row, length):
    return [(7 * i + row) % 11 for i in range(length)]


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 15), min_size=1, max_size=3),
    st.integers(0, 6),
    st.sampled_from(list(drafters(MODEL))),
)
def test_the_contexts_end_is_reached_and_never_passed(lengths, gamma, name):
    prompts = [prompt_of(row, length) for row, length in enumerate(lengths)]
    params = SamplingParams(temperature=0, max_new_tokens=40)
    for prompt, done in zip(
        prompts,
        generate(MODEL, drafters(MODEL)[name](), RULES["rejection"], prompts, params, gamma=gamma),
        strict=True,
    ):
        assert done.tokens == greedy_text(MODEL, prompt, 16 - len(prompt))
        assert done.finish_reason == "length"


@pytest.mark.parametrize("drafted", ["right", "wrong"])
def test_rows_that_go_on_do_not_notice_those_that_stop(drafted):
    scripts = [[*SCRIPT[:n], STOP] for n in (7, 0, 12, 3)]

    def script(text: tuple[int, ...]) -> list[float]:
        return parrot(10, scripts[text[0]], 2)(text)

    def tell(text: list[int], most: int) -> list[int]:
        start = len(text) - 2
        return (
            (scripts[text[0]][start:] + [STOP] * most)[:most] if drafted == "right" else [8] * most
        )

    params = [
        SamplingParams(temperature=0, stop_ids=(STOP,), max_new_tokens=n) for n in (30, 30, 9, 30)
    ]
    done = generate(
        Scripted(10, script),  # type: ignore[arg-type]
        Told(tell),
        RULES["rejection"],
        [[row, 9] for row in range(4)],
        params,
        gamma=3,
    )
    assert [one.tokens for one in done] == [scripts[0], scripts[1], scripts[2][:9], scripts[3]]
    assert [one.finish_reason for one in done] == ["stop", "stop", "length", "stop"]
