"""One generation as a timed run: the plain loop, or speculation with a drafter and a rule.

A run takes the number of the round, which chooses the prompt and the seed, and returns its time.
`timing.in_turn` interleaves runs, so that what drifts on a machine meets all of them alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...chance import Streams
from ...data import Completion, SamplingParams
from ...decode import decode_loop, new_requests
from ...draft.base import Drafter
from ...model.transformer import Transformer
from ...verify import Rule
from .plain import decode_plain
from .timing import Stopwatch, Timed

TimedRun = Callable[[int], Timed]


@dataclass(frozen=True)
class DraftingMethod:
    """Who drafts, who decides, and how far. gamma: depth of a draft at most."""

    name: str
    drafter: Drafter
    rule: Rule
    gamma: int


def plain_run(
    target: Transformer, prompts: Sequence[list[int]], params: SamplingParams
) -> TimedRun:
    """The best plain loop: what a speedup is measured against."""

    def run(number: int) -> Timed:
        watch = Stopwatch(target.device)
        prompt, chance = prompts[number % len(prompts)], Streams([number])
        tokens = decode_plain(target, prompt, params, chance, lambda: watch.emitted(1))
        return watch.stop(len(tokens))

    return run


@dataclass
class SpeculativeRun:
    """The speculative loop with one method. completions: everything it wrote, in order."""

    target: Transformer
    method: DraftingMethod
    prompts: Sequence[list[int]]
    params: SamplingParams
    completions: list[Completion] = field(default_factory=list)

    def __call__(self, number: int) -> Timed:
        method, chance = self.method, Streams([number])
        watch = Stopwatch(self.target.device)
        prompt = self.prompts[number % len(self.prompts)]
        requests = new_requests(self.target, [prompt], self.params)
        cycles = decode_loop(
            self.target, method.drafter, method.rule, requests, method.gamma, chance
        )
        for cycle in cycles:
            watch.emitted(len(cycle.emitted[0]))
        done = requests[0].completion()
        self.completions.append(done)
        return watch.stop(len(done.tokens))


def tokens_per_step(completions: Sequence[Completion]) -> float:
    """Tokens per target forward, prefill not counted."""
    tokens = sum(len(one.tokens) for one in completions)
    return tokens / max(1, sum(one.target_steps for one in completions))
