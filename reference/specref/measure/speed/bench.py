"""The bench: calibrate the speed model, choose the fastest drafter, measure it beside others."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ...data import Completion, SamplingParams
from ...draft.base import Drafter
from ...draft.model import ModelDrafter
from ...draft.mtp import MTPDrafter, MTPModule
from ...draft.ngram import NGramDrafter
from ...draft.suffix import SuffixDrafter
from ...errors import SpecrefError
from ...model.checkpoint import load
from ...model.transformer import Transformer
from ...train.auxiliary import load_mtp_module
from ...verify import RULES
from ..acceptance.positions import acceptance_by_position
from ..held_out import held_out_prompts
from .calibration import calibrate_method
from .cost import best_gamma
from .decoding_runs import (
    DraftingMethod,
    SpeculativeRun,
    TimedRun,
    plain_run,
    tokens_per_step,
)
from .hugging_face import has_transformers, transformers_runs
from .precision import block_costs, costs_by_width
from .step_costs import TimedModels, in_plain_steps, step_costs
from .timing import Timed, WorkClock, in_turn, speedup, speedup_interval

_GIVE_UP = 0.1  # probability below which an MTP draft ends, where that is predicted to be faster
_LOOKUP_GAMMA = 6
_WEIGHTS, _ARITHMETIC = "bf16 weights", "bf16 arithmetic"


@dataclass(frozen=True)
class BenchSettings:
    """Folders of the models, and what is measured. None: not there, or chosen by prediction."""

    target: Path
    draft: Path | None
    module: Path | None
    drafter: str | None
    gamma: int | None
    longest: int  # draft length that is considered
    rounds: int
    prompt_length: int
    new_tokens: int
    dtype: str
    device: str


@dataclass(frozen=True)
class DraftingGuess:
    """One drafter as the speed model sees it."""

    gamma: int  # draft length at most
    sure: float  # probability below which a draft ends; 0: never
    predicted: float
    by_position: list[float]
    cost: float  # of a draft step, in plain steps
    nodes: float  # of a draft, mean over the cycles
    verify: float  # the forward that judges a draft, in plain steps


class Bench:
    """One bench of a target, its drafters and the plain loop."""

    def __init__(
        self,
        settings: BenchSettings,
        target: Transformer,
        draft: Transformer,
        report: Callable[[str], None] = lambda line: None,
    ):
        self.settings, self.target, self.draft, self.report = settings, target, draft, report
        self.params = SamplingParams(max_new_tokens=settings.new_tokens)
        self.greedy = SamplingParams(temperature=0, max_new_tokens=settings.new_tokens)
        self.prompts = held_out_prompts(settings.rounds, settings.prompt_length)
        self.drafters: dict[str, Drafter] = {"draft": ModelDrafter(draft)}
        self.module: MTPModule | None = None
        if settings.module is not None:
            self.module = load_mtp_module(settings.module, target.dtype, target.device)
            self.drafters["mtp"] = MTPDrafter(self.module, target)
        if settings.drafter is not None and settings.drafter not in self.drafters:
            raise SpecrefError(
                "there is no MTP module for this target: give --mtp DIR, or --drafter draft"
            )
        self.context = settings.prompt_length + settings.new_tokens // 2
        self.rounded = self._rounded()
        self.guesses: dict[str, DraftingGuess] = {}
        self.runs: dict[str, TimedRun] = {}
        self.kept: dict[str, list[Completion]] = {}

    def run(self) -> dict[str, Any]:
        """Everything that `specref bench --json` writes but the threads."""
        self.report("measuring the verify curve ...")
        costs, costs_bf16 = self._costs()
        chosen = self._choose(costs, costs_bf16)
        self._prepare_runs(chosen)
        timed = in_turn(self.runs, self.settings.rounds, report=self._report_round)
        result = self._speedups(timed) | self._limits(chosen)
        predicted = self.guesses[chosen].predicted
        curve, curve_bf16 = _verify_curve(costs, costs), _verify_curve(costs_bf16, costs)
        return result | {
            "predicted": predicted,
            "share_of_prediction": result["speedup_decode_only"]["sampled"] / predicted,
            "drafter": chosen,
            "gamma": self.guesses[chosen].gamma,
            "drafters": {name: asdict(guess) for name, guess in self.guesses.items()},
            "verify_curve": curve,
            "microseconds": costs,
            "bf16": self._faster_bf16() if self.rounded else None,
            "verify_curve_bf16": curve_bf16,
            "settings": self._settings(),
        }

    def _report_round(self, done: int) -> None:
        self.report(f"round {done} of {self.settings.rounds}")

    def _settings(self) -> dict[str, Any]:
        s = self.settings
        return {
            "rounds": s.rounds,
            "prompt_length": s.prompt_length,
            "new_tokens": s.new_tokens,
            "temperature": 1.0,
            "dtype": s.dtype,
            "device": s.device,
            "clock": WorkClock(self.target.device).name,
        }

    def _rounded(self) -> dict[str, Transformer]:
        """The target with bfloat16 weights, computed in float32 and in bfloat16."""
        if self.settings.dtype != "float32":
            return {}
        folder, device = self.settings.target, self.settings.device
        return {
            _WEIGHTS: load(folder, torch.bfloat16, device).float(),
            _ARITHMETIC: load(folder, torch.bfloat16, device),
        }

    def _costs(self) -> tuple[dict[str, float], dict[str, float]]:
        """Microseconds of every step; and in bfloat16, where that is measured."""
        widths = range(1, self.settings.longest + 2)
        models = TimedModels(self.target, self.draft, self.module)
        costs = step_costs(models, self.params, self.context, widths)
        if not self.rounded:
            return costs, {}
        models = TimedModels(self.rounded[_ARITHMETIC], self.draft)
        return costs, step_costs(models, SamplingParams(), self.context, widths)

    def _choose(self, costs: dict[str, float], costs_bf16: dict[str, float]) -> str:
        """Calibrate every drafter; return the one that is asked for, else the one that is predicted
        to be fastest.
        """
        steps = in_plain_steps(costs)
        for name in self.drafters:
            drafting = costs["mtp" if name == "mtp" else "draft"] / costs["plain"]
            self.guesses[name] = self._guess(self.target, name, steps, drafting)
        chosen = self.settings.drafter or max(self.guesses, key=self._predicted)
        drafting = self.guesses[chosen].cost
        forwards = {_WEIGHTS: steps, _ARITHMETIC: in_plain_steps(costs_bf16, costs)}
        for name, model in self.rounded.items():
            self.guesses[name] = self._guess(model, chosen, forwards[name], drafting)
        return chosen

    def _predicted(self, name: str) -> float:
        return self.guesses[name].predicted

    def _faster_bf16(self) -> str:
        """How a bfloat16 target is predicted to be decoded fastest."""
        return max((_WEIGHTS, _ARITHMETIC), key=self._predicted)

    def _guess(
        self, target: Transformer, name: str, steps: list[float], cost: float
    ) -> DraftingGuess:
        """Calibrate the speed model on prompts of its own, and choose the draft length that it
        predicts to be fastest.

        The length comes from the token-wise acceptance, which does not depend on it; the prediction
        comes from block verification at that length.
        """
        self.report("calibrating the speed model ...")
        drafter, asked, longest = self.drafters[name], self.settings.gamma, self.settings.longest
        prompts = held_out_prompts(16, self.settings.prompt_length, skip=1)
        gamma = asked
        if gamma is None:
            rates = acceptance_by_position(target, drafter, prompts, self.params, longest)
            gamma = max(1, best_gamma(rates, steps, cost))

        def calibrated(drafter: Drafter, gamma: int) -> DraftingGuess:
            method = DraftingMethod(name, drafter, RULES["block"], gamma)
            seen = calibrate_method(target, method, prompts, self.params)
            verify = seen.cost(steps)
            predicted = seen.tokens_per_cycle / (verify + seen.nodes * cost)
            sure = getattr(drafter, "sure", 0.0)
            return DraftingGuess(gamma, sure, predicted, seen.by_depth(), cost, seen.nodes, verify)

        guess = calibrated(drafter, gamma)
        if not isinstance(drafter, MTPDrafter):
            return guess
        # A drafter that gives up a lost draft may go further with the others.
        careful = MTPDrafter(drafter.module, drafter.target, _GIVE_UP)
        other = calibrated(careful, asked or longest)
        return max(guess, other, key=lambda one: one.predicted)

    def _prepare_runs(self, chosen: str) -> None:
        """Every way to decode the prompts, by name."""
        best, gamma = self._tuned(chosen, chosen), self.guesses[chosen].gamma
        self.runs["plain"] = plain_run(self.target, self.prompts, self.params)
        self.runs["plain greedy"] = plain_run(self.target, self.prompts, self.greedy)
        self._add_run("sampled", "block", best, gamma)
        self._add_run("sampled tokenwise", "rejection", best, gamma)
        self._add_run("greedy", "greedy", best, gamma)
        draft_gamma = self.guesses["draft"].gamma
        self._add_run("draft model", "rejection", self.drafters["draft"], draft_gamma)
        self._add_run("ngram", "rejection", NGramDrafter(), _LOOKUP_GAMMA)
        self._add_run("suffix", "rejection", SuffixDrafter(), _LOOKUP_GAMMA)
        if self.rounded:
            model = self.rounded[_ARITHMETIC]
            self.runs["plain bf16"] = plain_run(model, self.prompts, self.params)
            for name, guess in self._bf16_guesses().items():
                tuned = self._tuned(chosen, guess)
                gamma = self.guesses[guess].gamma
                self._add_run(name, "block", tuned, gamma, self.rounded[guess])
        self._add_transformers(draft_gamma)

    def _bf16_guesses(self) -> dict[str, str]:
        return {"sampled bf16": self._faster_bf16(), "sampled bf16 arithmetic": _ARITHMETIC}

    def _add_run(
        self,
        name: str,
        rule: str,
        drafter: Drafter,
        gamma: int,
        target: Transformer | None = None,
    ) -> None:
        method = DraftingMethod(name, drafter, RULES[rule], gamma)
        params = self.greedy if rule == "greedy" else self.params
        run = SpeculativeRun(target or self.target, method, self.prompts, params)
        self.runs[name], self.kept[name] = run, run.completions

    def _add_transformers(self, gamma: int) -> None:
        s = self.settings
        if not has_transformers() or s.device != "cpu" or s.dtype != "float32":
            return
        assert s.draft is not None
        self.runs |= transformers_runs(s.target, s.draft, self.prompts, s.new_tokens, gamma)

    def _tuned(self, chosen: str, guess: str) -> Drafter:
        """The chosen drafter, ending its drafts as the guess says; in float32, where its steps are
        cheapest.
        """
        drafter = self.drafters[chosen]
        if isinstance(drafter, MTPDrafter):
            return MTPDrafter(drafter.module, self.target, self.guesses[guess].sure)
        return drafter

    def _limits(self, chosen: str) -> dict[str, Any]:
        """The speedup that the target's forward would allow if drafts and bookkeeping cost nothing;
        and what bfloat16 does to a step.
        """
        guesses = {"sampled": chosen}
        if self.rounded:
            guesses |= self._bf16_guesses()
        at_most = {}
        for name, guess in guesses.items():
            at_most[_key(name)] = tokens_per_step(self.kept[name]) / self.guesses[guess].verify
        if not self.rounded or self.target.device.type != "cpu":
            return {"at_most": at_most}
        config, types = self.target.config, (torch.float32, torch.bfloat16)
        rows = 1, 1 + round(self.guesses[chosen].nodes)
        return {
            "at_most": at_most,
            "block": block_costs(config, types, rows, self.context),
            "widths": costs_by_width(config, types, rows, self.context),
        }

    def _speedups(self, timed: Mapping[str, list[Timed]]) -> dict[str, Any]:
        result: dict[str, Any] = {
            "speedup": {},
            "speedup_decode_only": {},
            "interval": {},
            "tokens_per_step": {},
            "plain_milliseconds_per_token": {},
        }
        for name, done in self.kept.items():
            base = timed["plain greedy" if name == "greedy" else "plain"]
            key, own = _key(name), timed[name]
            result["speedup"][key] = speedup(base, own)
            result["speedup_decode_only"][key] = speedup(base, own, decode_only=True)
            result["interval"][key] = list(speedup_interval(base, own))
            result["tokens_per_step"][key] = tokens_per_step(done)
        for name, times in timed.items():
            if name.startswith("plain"):
                milliseconds = 1e3 * median(one.per_token for one in times)
                result["plain_milliseconds_per_token"][name] = milliseconds
        if "transformers plain" in timed:
            result["vs_transformers"] = {
                "plain": speedup(timed["transformers plain"], timed["plain"]),
                "speculative": speedup(timed["transformers assisted"], timed["draft model"]),
            }
        return result


def _verify_curve(costs: Mapping[str, float], unit: Mapping[str, float]) -> dict[str, float]:
    """T(k)/T(1) by k, where T(1) is that of `unit`."""
    verify = {name: cost for name, cost in costs.items() if name.startswith("verify ")}
    return {name.split()[1]: cost / unit["verify 1"] for name, cost in verify.items()}


def _key(name: str) -> str:
    return name.replace(" ", "_")
