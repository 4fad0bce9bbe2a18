"""The ways in which `demo` decodes the same held-out prompts, run in turn, and what its table says
of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..chance import Streams
from ..data import Completion, SamplingParams
from ..draft.base import Drafter
from ..draft.early_exit import EarlyExitDrafter
from ..draft.model import ModelDrafter
from ..draft.ngram import NGramDrafter
from ..measure import timing
from ..measure.acceptance import by_text
from ..measure.plain import plain
from ..measure.workload import decode_way, tokens_per_step
from ..model.transformer import Transformer
from ..verify import RULES
from .record import Watched


@dataclass
class Way:
    """One row of the table; what it wrote after each prompt."""

    name: str
    baseline: str  # the plain loop with the same sampling
    run: Callable[[int], timing.Timed]
    rule: Watched | None = None  # None: target alone
    keep: list[Completion] = field(default_factory=list)  # decode_way's own
    texts: dict[int, list[int]] = field(default_factory=dict)
    done: dict[int, Completion] = field(default_factory=dict)
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)  # accepted, judged

    def __call__(self, number: int) -> timing.Timed:
        if self.rule is None:
            return self.run(number)
        self.rule.accepted = self.rule.judged = 0
        timed = self.run(number)
        self.done[number] = self.keep[-1]
        self.texts[number] = self.keep[-1].tokens
        self.counts[number] = self.rule.accepted, self.rule.judged
        return timed


def ways(
    target: Transformer,
    draft: Transformer,
    prompts: Sequence[list[int]],
    new_tokens: int,
    gamma: int,
    layers: int | None,
    more: Mapping[str, tuple[str, Drafter]] | None = None,
) -> dict[str, Way]:
    """Target alone (sampled and greedy), greedy and sampled speculation, block verification,
    n-gram, by name; then
    `more`: name -> rule and drafter, sampled."""
    sampled = SamplingParams(max_new_tokens=new_tokens)
    greedy = SamplingParams(max_new_tokens=new_tokens, temperature=0)
    result: dict[str, Way] = {}

    def alone(name: str, params: SamplingParams) -> None:
        def run(number: int) -> timing.Timed:
            watch = timing.Stopwatch(target.device)
            tokens = plain(
                target, prompts[number], params, Streams([number]), lambda: watch.emitted(1)
            )
            way.texts[number] = tokens
            return watch.stop(len(tokens))

        way = result[name] = Way(name, name, run)

    def speculative(
        name: str, rule: str, drafter: Drafter, params: SamplingParams = sampled
    ) -> None:
        watched, keep = Watched(RULES[rule]), list[Completion]()
        run = decode_way(target, drafter, watched, prompts, params, gamma, keep)
        result[name] = Way(
            name,
            "target alone" if params is sampled else "target alone, greedy",
            run,
            watched,
            keep,
        )

    alone("target alone", sampled)
    alone("target alone, greedy", greedy)
    speculative("greedy speculation", "greedy", ModelDrafter(draft), greedy)
    speculative("sampled speculation", "rejection", ModelDrafter(draft))
    speculative("block verification", "block", ModelDrafter(draft))
    speculative("n-gram", "rejection", NGramDrafter())
    for name, (rule, drafter) in (more or {}).items():
        speculative(name, rule, drafter)
    if layers is not None:
        speculative(f"early exit after {layers}", "rejection", EarlyExitDrafter(target, layers))
    return result


def measured(
    found: dict[str, Way], timed: dict[str, list[timing.Timed]]
) -> dict[str, dict[str, Any]]:
    """The table's figures, by way; the greedy plain loop is a baseline, no row."""
    result: dict[str, dict[str, Any]] = {}
    for name, way in found.items():
        if name == "target alone, greedy":
            continue
        base, own = timed[way.baseline], timed[name]
        row: dict[str, Any] = {
            "tokens_per_target_forward": (
                tokens_per_step(list(way.done.values())) if way.rule else 1.0
            ),
            "acceptance": None,
            "interval": None,
            "judged": 0,
            "speedup_total": timing.speedup(base, own),
            "speedup_decode_only": timing.speedup(base, own, decode_only=True),
            "distinct_8grams": distinct(list(way.texts.values())),
            "baseline": way.baseline,
        }
        if sum(judged > 0 for _, judged in way.counts.values()) >= 2:
            rate = by_text(
                [accepted for accepted, _ in way.counts.values()],
                [n for _, n in way.counts.values()],
            )
            row |= {
                "acceptance": rate.estimate,
                "interval": [rate.low, rate.high],
                "judged": rate.judged,
            }
        result[name] = row
    return result


def distinct(texts: Sequence[Sequence[int]], n: int = 8) -> float | None:
    """The share of each text's n-grams that are distinct, all texts together: low for text that
    loops.
    """
    every = [[tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in texts]
    count = sum(map(len, every))
    return sum(len(set(grams)) for grams in every) / count if count else None
