"""Six drafters for one target, each beside the estimate of its speed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...data import SamplingParams
from ...draft.base import Drafter
from ...draft.medusa import MedusaDrafter, MedusaHeads, chain
from ...draft.model import ModelDrafter
from ...draft.mtp import MTPDrafter, MTPModule
from ...draft.ngram import NGramDrafter
from ...draft.suffix import SuffixDrafter
from ...model.auxiliary import size_in_bytes
from ...model.transformer import Transformer
from ...train.corpus import held_out, held_out_rows
from ...verify import RULES
from ..acceptance.heads import top_accuracy
from ..acceptance.positions import acceptance_by_position
from ..held_out import held_out_prompts
from .calibration import Calibration, calibrate_method
from .candidate_tree import best_budget, best_tree, head_accuracy
from .cost import best_gamma
from .decoding_runs import DraftingMethod, SpeculativeRun, plain_run
from .step_costs import TimedModels, in_plain_steps, step_costs
from .timing import Timed, in_turn, speedup

_WIDEST = 33  # tokens of the largest verify forward that is timed
_LONGEST = 10  # draft length that is considered
_LOOKUP_GAMMA = 6
_FLOAT16 = 2  # bytes of a number


@dataclass(frozen=True)
class ProfiledModels:
    """A target and everything that drafts for it."""

    target: Transformer
    draft: Transformer
    heads: MedusaHeads
    module: MTPModule


@dataclass(frozen=True)
class ProfileSettings:
    """rounds: prompts that every method decodes. Lengths in bytes and tokens."""

    rounds: int
    prompt_length: int
    new_tokens: int


class DrafterProfile:
    """One profile: what the heads predict, what each drafter costs, and how fast it is."""

    def __init__(
        self,
        models: ProfiledModels,
        settings: ProfileSettings,
        report: Callable[[str], None] = lambda line: None,
    ):
        self.models, self.settings, self.report = models, settings, report
        self.params = SamplingParams(max_new_tokens=settings.new_tokens)

    def run(self) -> dict[str, Any]:
        """What `specref profile medusa --json` writes."""
        models, s = self.models, self.settings
        target, heads, held = models.target, models.heads, held_out()
        context = min(256, target.config.max_position_embeddings - 1)
        accuracy = top_accuracy(heads, target, held, context)
        ranks = head_accuracy(heads, target, held_out_rows(held, context, 64))
        self.report("measuring the verify curve ...")
        timed_models = TimedModels(target, models.draft, models.module, heads)
        middle = s.prompt_length + s.new_tokens // 2
        costs = step_costs(timed_models, self.params, middle, range(1, _WIDEST + 1))
        curve = {}
        for k in range(1, _WIDEST + 1):
            curve[str(k)] = costs[f"verify {k}"] / costs["verify 1"]
        return {
            "methods": self._measure(self._methods(ranks, costs), costs),
            "heads": accuracy,
            "heads_cost": costs["heads"] / costs["plain"],
            "head_parameters": sum(p.numel() for p in heads.parameters()),
            "verify_curve": curve,
        } | self._sizes()

    def _sizes(self) -> dict[str, int]:
        """Bytes of each model in float16."""
        models = self.models
        stored = models.target.norm.weight.element_size()
        head_bytes = size_in_bytes(models.heads) // models.heads.out.element_size()
        return {
            "head_bytes": head_bytes * _FLOAT16,
            "mtp_bytes": size_in_bytes(models.module) // stored * _FLOAT16,
            "draft_bytes": size_in_bytes(models.draft) // stored * _FLOAT16,
            "target_bytes": size_in_bytes(models.target) // stored * _FLOAT16,
        }

    def _methods(
        self, ranks: list[list[float]], costs: Mapping[str, float]
    ) -> list[DraftingMethod]:
        """The six methods, each with the draft length or tree that its own measurements predict to
        be fastest.
        """
        target, heads, steps = self.models.target, self.models.heads, in_plain_steps(costs)
        prompts = held_out_prompts(6, self.settings.prompt_length, skip=2)
        params = SamplingParams(max_new_tokens=min(96, self.settings.new_tokens))

        def longest(drafter: Drafter, name: str) -> int:
            rates = acceptance_by_position(target, drafter, prompts, params, _LONGEST)
            return max(1, best_gamma(rates, steps, costs[name] / costs["plain"]))

        model, mtp = ModelDrafter(self.models.draft), MTPDrafter(self.models.module, target)
        depth = len(heads.block)
        budget, _ = best_budget(ranks, steps, costs["heads"] / costs["plain"])
        chained = MedusaDrafter(heads, chain(depth), draws=True)
        tree = MedusaDrafter(heads, best_tree(ranks, max(1, budget)))
        rejection = RULES["rejection"]
        return [
            DraftingMethod("draft", model, rejection, longest(model, "draft")),
            DraftingMethod("ngram", NGramDrafter(), rejection, _LOOKUP_GAMMA),
            DraftingMethod("suffix", SuffixDrafter(), rejection, _LOOKUP_GAMMA),
            DraftingMethod("medusa_chain", chained, rejection, depth),
            DraftingMethod("medusa_tree", tree, RULES["tree"], depth),
            DraftingMethod("mtp", mtp, rejection, longest(mtp, "mtp")),
        ]

    def _measure(
        self, methods: list[DraftingMethod], costs: Mapping[str, float]
    ) -> dict[str, dict[str, Any]]:
        target, s = self.models.target, self.settings
        calibration = {}
        for method in methods:
            self.report(f"calibrating {method.name} ...")
            prompts = held_out_prompts(12, s.prompt_length, skip=1)
            calibration[method.name] = calibrate_method(target, method, prompts, self.params)
        prompts = held_out_prompts(s.rounds, s.prompt_length)
        runs = {m.name: SpeculativeRun(target, m, prompts, self.params) for m in methods}
        plain = {"plain": plain_run(target, prompts, self.params)}
        timed = in_turn(plain | runs, s.rounds, report=self._report_round)
        rows = {}
        for name, run in runs.items():
            times = timed["plain"], timed[name]
            rows[name] = _method_row(run, times, calibration[name], costs)
        return rows

    def _report_round(self, done: int) -> None:
        self.report(f"round {done} of {self.settings.rounds}")


def _method_row(
    run: SpeculativeRun,
    times: tuple[list[Timed], list[Timed]],
    seen: Calibration,
    costs: Mapping[str, float],
) -> dict[str, Any]:
    """One method. times: of the plain loop, and of the method."""
    method, plain = run.method, costs["plain"] / 1e6
    cycles = sum(one.target_steps for one in run.completions)
    tokens = sum(len(one.tokens) for one in run.completions)
    return {
        "speedup": speedup(*times),
        "speedup_decode_only": speedup(*times, decode_only=True),
        "predicted": seen.predicted(in_plain_steps(costs), plain),
        "tokens_per_cycle": tokens / cycles,
        "gamma": method.gamma,
        "nodes": method.drafter.nodes(method.gamma),
        "rule": method.rule.__name__,
        "acceptance_by_depth": seen.by_depth(),
        "cycle": seen.account(plain),
    }
