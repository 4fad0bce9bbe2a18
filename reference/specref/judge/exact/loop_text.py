"""The loop at temperature 0, where every text is known: parity, stops, lengths, counts; and drafts
that are the target.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from ...chance import Streams
from ...data import Completion, SamplingParams
from ...model.transformer import Transformer
from .. import oracle
from ..subjects import Loop
from . import ExactFinding, exact_check

GAMMA = 4
GREEDY = SamplingParams(temperature=0, max_new_tokens=12)
LOOP_PROMPTS = ((3, 1, 4, 1, 5), (9, 2), (6,), (5, 3, 5))


def text_models() -> tuple[Transformer, Transformer, Transformer]:
    """A target of 16 tokens, a draft that is often right, and one that likes what the target likes
    least.
    """
    return (
        oracle.model(16, 103, peak=3.0),
        oracle.model(16, 103, peak=3.0, noise=0.07),
        oracle.model(16, 103, peak=-3.0),
    )


@cache
def right(prompt: tuple[int, ...], length: int = GREEDY.max_new_tokens) -> tuple[int, ...]:
    return oracle.greedy_text(text_models()[0], prompt, replace(GREEDY, max_new_tokens=length))[0]


def _differences(
    done: Sequence[Completion], expected: Sequence[tuple[str, tuple[int, ...], str]]
) -> Iterator[ExactFinding]:
    """expected: (case, tokens, finish reason)."""
    for completion, (case, tokens, reason) in zip(done, expected, strict=True):
        if tuple(completion.tokens) != tokens:
            yield ExactFinding(case, f"writes {completion.tokens} instead of {list(tokens)}", 1.0)
        elif completion.finish_reason != reason:
            yield ExactFinding(
                case,
                f"says that {completion.finish_reason!r} ended the text and not {reason!r}",
                1.0,
            )


@exact_check("loop.greedy")
def loop_greedy(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Is greedy text the target's own, also where drafts are rejected?"""
    target, draft, opposed = text_models()
    for name, other in (
        ("some drafts rejected", draft),
        ("every draft rejected", opposed),
        ("none rejected", target),
    ):
        for gamma in (1, GAMMA):
            done = loop(target, other, gamma).generate(LOOP_PROMPTS, [GREEDY] * len(LOOP_PROMPTS))
            yield from _differences(
                done,
                [(f"{name}, prompt {prompt}", right(prompt), "length") for prompt in LOOP_PROMPTS],
            )


@exact_check("loop.draft-is-target")
def loop_draft_is_target(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Is every draft accepted when the draft is the target, cycle after cycle, also after cycles
    without a draft?
    """
    if not loop.distribution:
        return
    target = text_models()[0]
    for temperature in (0.0, 1.0) if loop.distribution in ("rejection", "block") else (0.0,):
        params = [
            replace(GREEDY, temperature=temperature, max_new_tokens=24, seed=i)
            for i in range(len(LOOP_PROMPTS))
        ]
        for rests in (False, True):
            for prompt, done in zip(
                LOOP_PROMPTS,
                loop(target, target, 3, rests).generate(LOOP_PROMPTS, params),
                strict=True,
            ):
                case = (
                    f"temperature {temperature:g}, prompt {prompt}"
                    + ", every second cycle without a draft" * rests
                )
                if done.accepted != done.drafted:
                    yield ExactFinding(
                        case,
                        f"accepts {done.accepted} of {done.drafted} tokens drafted by the target"
                        " itself",
                    )
                elif not done.drafted:
                    yield ExactFinding(case, "never drafts a token")


def _stops() -> list[tuple[str, tuple[int, ...], SamplingParams]]:
    """Every text with a stop after each of its first tokens, so that stops fall at every offset of
    a draft.
    """
    cases: list[tuple[str, tuple[int, ...], SamplingParams]] = []
    for prompt in LOOP_PROMPTS:
        text = right(prompt)
        for i in range(2 * GAMMA + 2):
            cases.append(
                (f"stop token {text[i]} after {i}", prompt, replace(GREEDY, stop_ids=(text[i],)))
            )
            cases.append(
                (
                    f"stop sequence {text[i : i + 2]} after {i}",
                    prompt,
                    replace(GREEDY, stop_sequences=(text[i : i + 2],)),
                )
            )
    return cases


@cache
def _stopped() -> list[tuple[str, tuple[int, ...], str]]:
    return [
        (f"{name}, prompt {prompt}", *oracle.greedy_text(text_models()[0], prompt, params))
        for name, prompt, params in _stops()
    ]


@exact_check("loop.stop")
def loop_stop(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Does a text end with its stop, at every offset inside an accepted draft and across two?"""
    target, draft, _ = text_models()
    prompts, params = [prompt for _, prompt, _ in _stops()], [s for _, _, s in _stops()]
    for other in (target, draft):
        yield from _differences(loop(target, other, GAMMA).generate(prompts, params), _stopped())


@exact_check("loop.length")
def loop_length(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Do texts end at max_new_tokens and at the context's end, to the token?"""
    target, draft, _ = text_models()
    prompt = LOOP_PROMPTS[0]
    lengths = range(1, 2 * GAMMA + 3)
    whole = tuple(i % 16 for i in range(oracle.TINY_CONTEXT))
    long = [whole[: oracle.TINY_CONTEXT - room] for room in range(1, GAMMA + 3)]
    expected = [(f"max_new_tokens {n}", right(prompt)[:n], "length") for n in lengths]
    expected += [
        (
            f"{oracle.TINY_CONTEXT - len(text)} tokens before the context's end",
            right(text),
            "length",
        )
        for text in long
    ]
    prompts, params = (
        [prompt] * len(lengths) + long,
        [replace(GREEDY, max_new_tokens=n) for n in lengths],
    )
    params += [GREEDY] * len(long)
    for other in (target, draft):
        yield from _differences(loop(target, other, GAMMA).generate(prompts, params), expected)


@exact_check("loop.metrics")
def loop_metrics(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Do the counts of target steps, drafted and accepted tokens agree with the text, also when a
    stop cuts it?
    """
    target, draft, _ = text_models()
    prompts, params = [prompt for _, prompt, _ in _stops()], [s for _, _, s in _stops()]
    for other in (target, draft):
        expected = _recount(other)
        for (case, *_), done, count in zip(
            _stopped(), loop(target, other, GAMMA).generate(prompts, params), expected, strict=True
        ):
            seen = (done.target_steps, done.drafted, done.accepted)
            # 1 when the last token was a drafted one
            whole = done.target_steps + done.accepted - len(done.tokens)
            if loop.distribution and seen != count:
                yield ExactFinding(
                    case, f"counts (steps, drafted, accepted) {seen} instead of {count}"
                )
            elif (
                whole not in ((0,) if done.finish_reason == "length" else (0, 1))
                or done.accepted > done.drafted
            ):
                yield ExactFinding(
                    case, f"counts (steps, drafted, accepted) {seen} for {len(done.tokens)} tokens"
                )


@cache
def _recount(draft: Transformer) -> list[tuple[int, int, int]]:
    """The counts of the same texts worked out without a cache."""
    prompts, params = [prompt for _, prompt, _ in _stops()], [s for _, _, s in _stops()]
    return [
        (done.target_steps, done.drafted, done.accepted)
        for done in oracle.speculated_rows(
            text_models()[0], draft, "greedy", prompts, params, GAMMA, Streams([0] * len(prompts))
        )
    ]
