"""Everything that `specref demo` measures and checks."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from rich.progress import Progress, TaskID

from ...data import SamplingParams
from ...draft.medusa import MedusaDrafter, best_first
from ...draft.model import ModelDrafter
from ...draft.mtp import MTPDrafter
from ...measure.distribution_checks import (
    SampledCase,
    exact_small_case,
    greedy_parity,
    sampled_distribution,
)
from ...measure.held_out import held_out_prompts
from ...measure.speed.timing import in_turn
from ...model.transformer import Transformer
from ...stats.finding import Finding, bonferroni
from ...train.auxiliary import load_medusa_heads, load_mtp_module
from ...verify import RULES
from ..arguments import BUNDLED
from .decoding_modes import ALONE_GREEDY, DecodingModes, distinct_ngrams, table_rows

_PROMPT_LENGTH = 96  # bytes
_FALSE_ALARM = 1e-6  # of the whole demo
_CHECKED_RULES = ("rejection", "block")


@dataclass(frozen=True)
class DemoSettings:
    """draws: tokens that each sequential test looks at. early_exit: layers of one more mode."""

    prompts: int
    new_tokens: int
    gamma: int
    draws: int
    seed: int
    early_exit: int | None
    bundled: bool  # whether the target is the bundled one, which has heads and an MTP module


def demonstrate(
    settings: DemoSettings, target: Transformer, draft: Transformer, bar: Progress
) -> dict[str, Any]:
    """Decode in every mode, and check the distribution: what `specref demo --json` writes."""
    originals = held_out_prompts(settings.prompts, _PROMPT_LENGTH + settings.new_tokens)
    prompts = [text[:_PROMPT_LENGTH] for text in originals]
    modes = DecodingModes(target, prompts, settings.new_tokens, settings.gamma)
    modes.add_standard(draft)
    if settings.bundled:
        _add_bundled(modes)
    if settings.early_exit is not None:
        modes.add_early_exit(settings.early_exit)
    task = bar.add_task("decoding, all modes in turn", total=settings.prompts + 1)
    timed = in_turn(
        modes, settings.prompts, report=lambda done: bar.update(task, completed=done + 1)
    )
    middle = settings.prompts // 2
    sample = modes["sampled speculation"].texts[middle]
    return {
        "modes": table_rows(modes, timed),
        "held_out_distinct_8grams": distinct_ngrams([text[_PROMPT_LENGTH:] for text in originals]),
        "sample": {
            "prompt": bytes(prompts[middle]).decode(errors="replace"),
            "text": bytes(sample).decode(errors="replace"),
        },
        "distribution": _check_distribution(settings, modes, draft, bar),
        "settings": asdict(settings) | {"prompt_length": _PROMPT_LENGTH, "temperature": 1.0},
    }


def _add_bundled(modes: DecodingModes) -> None:
    """What else was trained for the bundled target: Medusa heads and an MTP module."""
    target = modes.target
    heads = load_medusa_heads(BUNDLED / "medusa", target.dtype, target.device)
    module = load_mtp_module(BUNDLED / "mtp", target.dtype, target.device)
    modes.add_speculative("Medusa tree", "tree", MedusaDrafter(heads, best_first(2, 2)))
    modes.add_speculative("MTP, block", "block", MTPDrafter(module, target))


def _check_distribution(
    settings: DemoSettings, modes: DecodingModes, draft: Transformer, bar: Progress
) -> dict[str, Any]:
    """The three checks, and whether all of them pass."""
    count = range(settings.prompts)
    parity = greedy_parity(
        modes.target,
        modes.prompts,
        [modes[ALONE_GREEDY].texts[i] for i in count],
        [modes["greedy speculation"].texts[i] for i in count],
        settings.gamma,
    )
    exact = {name: exact_small_case(RULES[name]) for name in _CHECKED_RULES}
    tests = _sequential_tests(settings, modes.target, draft, bar)
    passed = [
        not parity.mismatches,
        *(one.equal for one in exact.values()),
        *(not one.rejected for one in tests.values()),
    ]
    return {
        "holds": all(passed),
        "greedy": asdict(parity),
        "exact": {name: asdict(one) | {"equal": one.equal} for name, one in exact.items()},
        "sequential": {name: one.as_dict() for name, one in tests.items()},
    }


def _sequential_tests(
    settings: DemoSettings, target: Transformer, draft: Transformer, bar: Progress
) -> dict[str, Finding]:
    alpha = bonferroni(_FALSE_ALARM, _CHECKED_RULES)
    prompts = held_out_prompts(64, 32, skip=1)
    params = SamplingParams(max_new_tokens=96, seed=settings.seed)
    tests = {}
    for name in _CHECKED_RULES:
        task = bar.add_task(f"sequential test, {name}", total=settings.draws)
        drafter, gamma = ModelDrafter(draft), min(settings.gamma, 4)
        case = SampledCase(target, draft, drafter, RULES[name], prompts, params, gamma)
        tests[name] = sampled_distribution(
            case,
            settings.draws,
            alpha[name],
            settings.seed,
            report=partial(_advance, bar, task),
        )
    return tests


def _advance(bar: Progress, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)
