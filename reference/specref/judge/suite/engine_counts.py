"""What engines report beside their text: counts, log probabilities; and drafts that must be
accepted or refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ..contract import Completion, Engine, Metrics
from ..engine_handle import EngineHandle, asked, engine_check
from ..session import Session
from ..toys import written
from ..verdict import Verdict
from . import check
from .engine_text import greedy

_LENGTH = 40  # of the text whose cycles are looked at
_NEAR = 1e-3  # log probability
_DRAWN = Verdict(
    "UNSUPPORTED", "none", "drafts are drawn at temperature 0 too, so that acceptance varies"
)


def _metrics_of(done: Completion) -> Metrics:
    assert done.metrics is not None  # asked for, and looked at by `asking`
    return done.metrics


@dataclass(frozen=True)
class Cycles:
    """What the cycles of a greedy text did."""

    gained: list[int]  # tokens, each
    wasted: int  # drafted tokens that were not accepted, the fewest that it can have been
    accepted: int
    drafted: int


def _cycles(one: EngineHandle, prompt: Sequence[int]) -> Cycles | None:
    """None where the same text is drafted in another way each time.

    From texts of every length up to _LENGTH: one of n tokens takes as many target steps as it takes
    to reach n. A draft that is cut by the text's end is no waste, so the fewest of the last 16
    lengths count; nor are the other branches of a tree, of which a cycle that gains as much leaves
    as many.
    """
    longest = (prompt, greedy(one.toy, _LENGTH))
    done = one.answers(
        [*[(prompt, greedy(one.toy, most)) for most in range(1, _LENGTH)], *[longest] * 4]
    )
    counts = [_metrics_of(completion) for completion in done]
    if len({count.accepted for count in counts[-4:]}) > 1:
        return None
    steps = [count.target_steps for count in counts if count.target_steps is not None]
    # the last may be cut short
    gained = [steps.count(step) for step in range(1, max(steps, default=0))]
    left = [count.drafted - count.accepted for count in counts]
    # 0: the prefill's token
    behind = [left[end - 1] if end else 0 for end in accumulate(gained, initial=steps.count(0))]
    branches = {
        gain: min(
            max(0, later - before)
            for (before, later), own in zip(pairwise(behind), gained, strict=True)
            if own == gain
        )
        for gain in gained
        if gain > 1
    }
    wasted = min(left[-16:]) - sum(branches.get(gain, 0) for gain in gained)
    return Cycles(gained, max(0, wasted), counts[-1].accepted, counts[-1].drafted)


def _other_drafts(engine: type[Engine]) -> str:
    """Why drafts need not be those of the draft model."""
    if getattr(engine, "own_draft", False):
        return "the engine takes no draft model"
    return (
        "the engine mixes drafts of several sources"
        if getattr(engine, "mixes_drafts", False)
        else ""
    )


@engine_check("engine.draft-is-target", needs=("metrics",))
def draft_is_target(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """When the draft is the target, is every draft accepted, cycle after cycle?

    At temperature 0 and after other calls of the same engine. A draft whose cache lacks a token, or
    that stands at a wrong position, still gives the right text: acceptance alone shows it. FAIL
    where no drafted token is ever accepted, or where some go to waste and a cycle gains fewer
    tokens than an earlier one. The other branches of trees are no waste; a draft that is always as
    much too short is not noticed. An engine that mixes drafts of several sources says
    `mixes_drafts`.
    """
    if why := _other_drafts(engine):
        yield Verdict("UNSUPPORTED", "none", why)
        return
    one = asked(engine, session, "wide-same")
    prompts = [found.prompt for found in written("wide-same", 48)[:2]]
    for number, prompt in enumerate(prompts, 1):
        looked = _cycles(one, prompt)
        if looked is None:
            yield _DRAWN
            return
        shrinks = any(later < earlier for earlier, later in pairwise(looked.gained[1:]))
        never = bool(looked.drafted and not looked.accepted)
        if never or (looked.wasted and (shrinks or not looked.gained)):
            yield Verdict(
                "FAIL",
                what=(
                    "of the target's own drafts at least"
                    f" {looked.drafted if never else looked.wasted} tokens are rejected; the cycles"
                    f" gain {looked.gained} tokens: text is right, speed is lost"
                ),
                case=f"prompt {list(prompt)}, draft = target",
                n=number * _LENGTH,
            )
            return
        told = (
            f"{looked.accepted} of {looked.drafted} drafted tokens accepted; the cycles gain"
            f" {looked.gained[:6]} tokens"
        )
    yield Verdict("PASS", what=told, n=len(prompts) * _LENGTH)


@engine_check("engine.after-reject", needs=("metrics",))
def after_reject(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """After a rejected token, is every later draft accepted again?

    The draft model disagrees with the target in one place of a greedy text of 40 tokens. A draft
    that keeps the rejected token in its cache, or loses its place, is rejected from there on,
    though the text is right.
    """
    if why := _other_drafts(engine):
        yield Verdict("UNSUPPORTED", "none", why)
        return
    one = asked(engine, session, "wide-near")
    once = [
        found
        for found in written("wide-near", 48)
        if sum(place < _LENGTH for place in found.missed) == 1 and 2 <= found.missed[0] <= 16
    ]
    for number, found in enumerate(once[:4], 1):
        looked = _cycles(one, found.prompt)
        if looked is None:
            yield _DRAWN
            return
        gained, longest = looked.gained, max(looked.gained, default=0)
        # one that is rejected, one that the prefill's token begins
        short = sum(count < longest for count in gained)
        if looked.wasted > (longest + 1 if gained else 16) and (short > 2 or not gained):
            yield Verdict(
                "FAIL",
                what=(
                    "a draft that is wrong once is rejected again and again: the cycles gain"
                    f" {gained} tokens, at least {looked.wasted} drafted tokens are wasted: text is"
                    " right, speed is lost"
                ),
                case=f"prompt {list(found.prompt)}, draft wrong after {found.missed[0]} tokens",
                n=number * _LENGTH,
            )
            return
    yield Verdict(
        "PASS",
        what=f"drafts accepted again; the cycles gain {gained[:8]} tokens",
        n=len(once[:4]) * _LENGTH,
    )


@check("engine.vocabulary", needs=("generate",))
def vocabulary(engine: type[Engine], session: Session) -> Iterator[Verdict]:
    """Is a draft with another vocabulary refused?

    The target has 32 tokens and the draft 256, too many more to be padding. Making the engine, or
    the first call, must raise: ids that mean something else are no draft.
    """
    if getattr(engine, "own_draft", False):
        yield Verdict("UNSUPPORTED", "none", "the engine takes no draft model")
        return
    asked(engine, session, "wide")
    prompt = written("wide", 48)[0].prompt
    try:
        one = asked(engine, session, "foreign")
        (done,) = one.answers([(prompt, greedy(one.toy, 12))])
    except Exception as error:
        yield Verdict("PASS", what=f"refused: {' '.join(str(error).split())[:160]}", n=1)
        return
    yield Verdict(
        "FAIL",
        what=(
            "a draft of 256 tokens is taken for a target of 32: compare the vocabularies and raise"
        ),
        case=f"prompt {list(prompt)}, text {done.tokens}",
        n=1,
    )
