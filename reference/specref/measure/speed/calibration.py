"""An estimate of a method's speed, made on texts of its own.

The estimate: tokens a cycle, over what a cycle costs. The cost is the drafter's own time and the
target's verify curve at the sizes of its drafts, all measured on the calibration texts. It leaves
out the rule, the commit and the loop's bookkeeping.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from ...chance import Chance, Streams
from ...data import Draft, SamplingParams
from ...decode import Cycle, decode_loop, new_requests
from ...draft.base import Drafter, Text
from ...model.transformer import Output, Transformer
from .decoding_runs import DraftingMethod
from .timing import WorkClock

_SEED = 20_000  # of the first prompt; away from the seeds of timed runs


class ClockedDrafter(Drafter):
    """A drafter with a clock: `seconds` is the time that it has worked."""

    def __init__(self, inner: Drafter, device: torch.device):
        self.inner, self.seconds, self.clock = inner, 0.0, WorkClock(device)
        self.cycle_began = 0.0

    def nodes(self, gamma: int) -> int:
        return self.inner.nodes(gamma)

    def begin(self, text: Text, capacity: int) -> None:
        self.inner.begin(text, capacity)
        self.cycle_began = self.clock.now()

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
    """A target with a clock on its cycles' forwards. Prefill uses another method, and is not
    counted.
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
    """What a method did on the calibration texts; every list has one entry a cycle."""

    seconds: float = 0.0  # spent drafting
    forwards: float = 0.0  # seconds of the target's forwards, as they are in the loop
    loop: float = 0.0  # seconds of all cycles
    widths: list[int] = field(default_factory=list)  # nodes of the draft
    accepted: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)  # levels of the draft that were judged
    texts: list[int] = field(default_factory=list)  # number of the text

    def add(self, cycle: Cycle, text: int) -> None:
        """Count one cycle of a text."""
        self.widths.extend(cycle.draft.lengths.tolist())
        self.accepted.extend(cycle.verdict.accepted.tolist())
        self.judged.extend(levels_judged(cycle))
        self.texts.append(text)

    @property
    def tokens_per_cycle(self) -> float:
        return 1 + sum(self.accepted) / max(1, len(self.accepted))

    @property
    def nodes(self) -> float:
        """Nodes of a draft, mean over the cycles."""
        return sum(self.widths) / len(self.widths)

    def predicted(self, steps: Sequence[float], plain: float) -> float:
        """Speedup against a plain loop.

        Args:
            steps: steps[k-1] is a forward over k tokens, in plain steps. plain: seconds of one.
        """
        drafting = self.seconds / len(self.widths) / plain
        return self.tokens_per_cycle / (self.cost(steps) + drafting)

    def cost(self, steps: Sequence[float]) -> float:
        """The target's forward over a draft and the pending token, mean over the cycles, in plain
        steps.
        """
        return sum(steps[width] for width in self.widths) / len(self.widths)

    def account(self, plain: float) -> dict[str, float]:
        """Where a cycle's time went, in plain steps of `plain` seconds: drafting, the target's
        forward, and the rest (the rule, the commit and the bookkeeping).
        """
        rest = self.loop - self.seconds - self.forwards
        parts = {"draft": self.seconds, "forward": self.forwards, "rest": rest}
        return {name: seconds / len(self.widths) / plain for name, seconds in parts.items()}

    def by_depth(self) -> list[float]:
        """How often depth d is accepted, given that depth d - 1 was and that the draft goes
        there.
        """
        rates = []
        for depth in range(max(self.judged, default=0)):
            accepted = sum(one > depth for one in self.accepted)
            rates.append(accepted / sum(one > depth for one in self.judged))
        return rates


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


def calibrate_method(
    target: Transformer,
    method: DraftingMethod,
    prompts: Sequence[list[int]],
    params: SamplingParams,
) -> Calibration:
    """Decode every prompt once, one at a time."""
    seen = Calibration()
    drafter, clocked = ClockedDrafter(method.drafter, target.device), ClockedTarget(target)

    model = cast(Transformer, clocked)
    for number, prompt in enumerate(prompts):
        requests, chance = new_requests(model, [prompt], params), Streams([_SEED + number])
        for cycle in decode_loop(model, drafter, method.rule, requests, method.gamma, chance):
            seen.add(cycle, number)
            now = drafter.clock.now()
            seen.loop, drafter.cycle_began = seen.loop + now - drafter.cycle_began, now
    seen.seconds, seen.forwards = drafter.seconds, clocked.seconds
    return seen
