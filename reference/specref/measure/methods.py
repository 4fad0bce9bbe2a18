"""Several ways to draft for one target, each with an estimate of its speed made on texts of its
own.

The estimate: tokens a cycle, over what a cycle costs: the drafter's own time and the target's
verify curve at the sizes of its drafts, all measured on the calibration texts; it leaves out the
rule, the commit and the loop's bookkeeping.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from ..chance import Chance, Streams
from ..data import Draft, SamplingParams
from ..decode import Cycle, decode_loop, new_requests
from ..draft.base import Drafter, Text
from ..model.transformer import Output, Transformer
from ..verify import RULES
from .timing import WorkClock


@dataclass(frozen=True)
class Method:
    name: str
    drafter: Drafter
    rule: str
    gamma: int  # depth of a draft at most


class Clocked(Drafter):
    """A drafter with a clock on it."""

    def __init__(self, inner: Drafter, device: torch.device):
        self.inner, self.seconds, self.clock = inner, 0.0, WorkClock(device)
        self.turned = 0.0  # when the last cycle ended

    def nodes(self, gamma: int) -> int:
        return self.inner.nodes(gamma)

    def begin(self, text: Text, capacity: int) -> None:
        self.inner.begin(text, capacity)
        self.turned = self.clock.now()

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        begin = self.clock.now()
        draft = self.inner.propose(text, budget, chance)
        self.seconds += self.clock.now() - begin
        return draft

    def commit(self, accepted: Tensor) -> None:
        begin = self.clock.now()
        self.inner.commit(accepted)
        self.seconds += self.clock.now() - begin

    def rows(self, index: list[int]) -> None:
        self.inner.rows(index)


class ClockedTarget:
    """A target with a clock on the forwards of its cycles; the prompt is read by another method,
    and not counted.
    """

    def __init__(self, inner: Transformer):
        self.inner, self.seconds, self.clock = inner, 0.0, WorkClock(inner.device)

    def __call__(self, *args: Any) -> Output:
        begin = self.clock.now()
        output = self.inner(*args)
        self.seconds += self.clock.now() - begin
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class Calibration:
    """What a method did on the calibration texts."""

    seconds: float = 0.0  # spent drafting
    forwards: float = 0.0  # seconds of the target's forwards, as they are in the loop
    loop: float = 0.0  # seconds of all cycles
    widths: list[int] = field(default_factory=list)  # nodes of each cycle's draft
    accepted: list[int] = field(default_factory=list)  # of each cycle
    # levels of each cycle's draft at which a guess was judged
    judged: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)  # which text each cycle belongs to

    @property
    def tokens_per_cycle(self) -> float:
        return 1 + sum(self.accepted) / max(1, len(self.accepted))

    def predicted(self, steps: Sequence[float], plain: float) -> float:
        """Speedup against a plain loop. steps[k-1]: a forward over k tokens in plain steps; plain:
        seconds of one.
        """
        return self.tokens_per_cycle / (self.cost(steps) + self.seconds / len(self.widths) / plain)

    def account(self, plain: float) -> dict[str, float]:
        """Where a cycle's time went, in plain steps of `plain` seconds: drafting, the target's
        forward, and the rest, which is the rule, the commit and the bookkeeping."""
        parts = {
            "draft": self.seconds,
            "forward": self.forwards,
            "rest": self.loop - self.seconds - self.forwards,
        }
        return {name: seconds / len(self.widths) / plain for name, seconds in parts.items()}

    def cost(self, steps: Sequence[float]) -> float:
        """The target's forward over a draft and the pending token, mean over the cycles, in plain
        steps.
        """
        return sum(steps[width] for width in self.widths) / len(self.widths)

    @property
    def nodes(self) -> float:
        return sum(self.widths) / len(self.widths)

    def by_depth(self) -> list[float]:
        """How often depth d is accepted, given that depth d - 1 was and that the draft goes
        there.
        """
        return [
            sum(a > d for a in self.accepted) / sum(j > d for j in self.judged)
            for d in range(max(self.judged, default=0))
        ]


def levels_judged(cycle: Cycle) -> list[int]:
    """The accepted levels of each row, and one more where the draft goes on below the last accepted
    node.
    """
    draft, verdict = cycle.draft, cycle.verdict
    judged = []
    for row, accepted in enumerate(verdict.accepted.tolist()):
        end = int(verdict.path[row, accepted - 1]) if accepted else -1
        below = draft.parents[row, : int(draft.lengths[row])] == end
        judged.append(accepted + int(below.any()))
    return judged


def calibrate(
    target: Transformer, method: Method, prompts: Sequence[list[int]], params: SamplingParams
) -> Calibration:
    """Decode every prompt once, one at a time."""
    seen, clock = Calibration(), Clocked(method.drafter, target.device)
    judge = ClockedTarget(target)
    for number, prompt in enumerate(prompts):

        def watch(cycle: Cycle, number: int = number) -> None:
            seen.widths.extend(cycle.draft.lengths.tolist())
            seen.accepted.extend(cycle.verdict.accepted.tolist())
            seen.judged.extend(levels_judged(cycle))
            seen.texts.append(number)
            now = clock.clock.now()
            seen.loop, clock.turned = seen.loop + now - clock.turned, now

        requests = new_requests(cast(Transformer, judge), [prompt], params)
        for cycle in decode_loop(
            cast(Transformer, judge),
            clock,
            RULES[method.rule],
            requests,
            method.gamma,
            Streams([20_000 + number]),
        ):
            watch(cycle)
    seen.seconds, seen.forwards = clock.seconds, judge.seconds
    return seen
