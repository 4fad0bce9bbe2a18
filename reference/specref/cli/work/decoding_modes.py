"""The modes in which `specref demo` decodes the same held-out prompts, and what its table says of
each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...chance import Streams
from ...data import Completion, SamplingParams
from ...draft.base import Drafter
from ...draft.early_exit import EarlyExitDrafter
from ...draft.model import ModelDrafter
from ...draft.ngram import NGramDrafter
from ...draft.suffix import SuffixDrafter
from ...measure.acceptance.rates import rate_by_text
from ...measure.speed.decoding_runs import DraftingMethod, SpeculativeRun, tokens_per_step
from ...measure.speed.plain import decode_plain
from ...measure.speed.timing import Stopwatch, Timed, speedup
from ...model.transformer import Transformer
from ...verify import RULES
from .recording import WatchedRule

ALONE, ALONE_GREEDY = "target alone", "target alone, greedy"


@dataclass
class DecodingMode:
    """A row of the table. texts: what it wrote after each prompt, by number."""

    name: str
    baseline: str  # name of the plain mode with the same sampling
    texts: dict[int, list[int]] = field(default_factory=dict)

    def __call__(self, number: int) -> Timed:
        raise NotImplementedError


@dataclass
class PlainMode(DecodingMode):
    """The target alone."""

    target: Transformer = field(kw_only=True)
    prompts: Sequence[list[int]] = field(kw_only=True)
    params: SamplingParams = field(kw_only=True)

    def __call__(self, number: int) -> Timed:
        watch, chance = Stopwatch(self.target.device), Streams([number])
        prompt = self.prompts[number]
        tokens = decode_plain(self.target, prompt, self.params, chance, lambda: watch.emitted(1))
        self.texts[number] = tokens
        return watch.stop(len(tokens))


@dataclass
class SpeculativeMode(DecodingMode):
    """A drafter and a rule. counts: accepted and judged tokens of each text."""

    run: SpeculativeRun = field(kw_only=True)
    rule: WatchedRule = field(kw_only=True)
    done: dict[int, Completion] = field(default_factory=dict)
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __call__(self, number: int) -> Timed:
        self.rule.accepted = self.rule.judged = 0
        timed = self.run(number)
        self.done[number] = self.run.completions[-1]
        self.texts[number] = self.done[number].tokens
        self.counts[number] = self.rule.accepted, self.rule.judged
        return timed


class DecodingModes(dict[str, DecodingMode]):
    """Modes by name, all of which decode the same prompts."""

    def __init__(
        self, target: Transformer, prompts: Sequence[list[int]], new_tokens: int, gamma: int
    ):
        super().__init__()
        self.target, self.prompts, self.gamma = target, prompts, gamma
        self.sampled = SamplingParams(max_new_tokens=new_tokens)
        self.greedy = SamplingParams(max_new_tokens=new_tokens, temperature=0)

    def add_plain(self, name: str, greedy: bool = False) -> None:
        params = self.greedy if greedy else self.sampled
        self[name] = PlainMode(name, name, target=self.target, prompts=self.prompts, params=params)

    def add_speculative(self, name: str, rule: str, drafter: Drafter, greedy: bool = False) -> None:
        watched = WatchedRule(RULES[rule])
        method = DraftingMethod(name, drafter, watched, self.gamma)
        params = self.greedy if greedy else self.sampled
        run = SpeculativeRun(self.target, method, self.prompts, params)
        baseline = ALONE_GREEDY if greedy else ALONE
        self[name] = SpeculativeMode(name, baseline, run=run, rule=watched)

    def add_standard(self, draft: Transformer) -> None:
        """The target alone, and the modes that need a draft model at most."""
        self.add_plain(ALONE)
        self.add_plain(ALONE_GREEDY, greedy=True)
        self.add_speculative("greedy speculation", "greedy", ModelDrafter(draft), greedy=True)
        self.add_speculative("sampled speculation", "rejection", ModelDrafter(draft))
        self.add_speculative("block verification", "block", ModelDrafter(draft))
        self.add_speculative("n-gram", "rejection", NGramDrafter())
        self.add_speculative("suffix decoding", "rejection", SuffixDrafter())

    def add_early_exit(self, layers: int) -> None:
        drafter = EarlyExitDrafter(self.target, layers)
        self.add_speculative(f"early exit after {layers}", "rejection", drafter)


def table_rows(modes: DecodingModes, timed: dict[str, list[Timed]]) -> dict[str, dict[str, Any]]:
    """The table's figures, by mode. The greedy plain loop is a baseline, not a row."""
    rows: dict[str, dict[str, Any]] = {}
    for name, mode in modes.items():
        if name == ALONE_GREEDY:
            continue
        base, own = timed[mode.baseline], timed[name]
        rows[name] = {
            "tokens_per_target_forward": 1.0,
            "acceptance": None,
            "interval": None,
            "judged": 0,
            "speedup_total": speedup(base, own),
            "speedup_decode_only": speedup(base, own, decode_only=True),
            "distinct_8grams": distinct_ngrams(list(mode.texts.values())),
            "baseline": mode.baseline,
        }
        if isinstance(mode, SpeculativeMode):
            rows[name] |= _acceptance(mode)
    return rows


def _acceptance(mode: SpeculativeMode) -> dict[str, Any]:
    row: dict[str, Any] = {"tokens_per_target_forward": tokens_per_step(list(mode.done.values()))}
    accepted = [count for count, _ in mode.counts.values()]
    judged = [count for _, count in mode.counts.values()]
    if sum(count > 0 for count in judged) < 2:  # one text has no spread, so no interval
        return row
    rate = rate_by_text(accepted, judged)
    interval = [rate.low, rate.high]
    return row | {"acceptance": rate.estimate, "interval": interval, "judged": rate.judged}


def distinct_ngrams(texts: Sequence[Sequence[int]], n: int = 8) -> float | None:
    """The share of distinct n-grams within each text, all texts together: low for text that loops.
    None where no text is that long.
    """
    count = distinct = 0
    for text in texts:
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        count += len(grams)
        distinct += len(set(grams))
    return distinct / count if count else None
