"""Measure plain against speculative decoding, side by side in one run: interleaved, medians, one
thread.

Calibrates the speed model on prompts of its own (acceptance by position, the verify curve
T(k)/T(1), the cost of a draft step), picks the drafter and the draft length that it predicts to be
fastest, measures, and says what share of the prediction was reached. `sampled` is block
verification at temperature 1 with that drafter, `sampled tokenwise` the rule of Leviathan et al.;
`draft model` is the token-wise rule with the small draft model. `sampled bf16` has a target whose
weights are bfloat16, computed in float32 or in bfloat16, whichever is predicted to be faster;
`sampled bf16 arithmetic` is computed in bfloat16.

Example:
  specref bench --json bench.json
  specref bench --rounds 4 --new-tokens 64     (a quick look)
  specref bench --serving --json serving.json --plot serving.png
"""

import argparse
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..data import Completion, SamplingParams, SpecrefError
from ..draft.base import Drafter
from ..draft.model import ModelDrafter
from ..draft.mtp import MTPDrafter, MTPModule
from ..draft.ngram import NGramDrafter
from ..measure import hugging_face, timing
from ..measure.cost import best_gamma
from ..measure.methods import Method, calibrate
from ..measure.precision import block_costs, costs_by_width
from ..measure.workload import (
    acceptance_by_position,
    decode_way,
    held_out_prompts,
    in_plain_steps,
    plain_way,
    step_costs,
    tokens_per_step,
)
from ..model.checkpoint import load
from ..model.transformer import Transformer
from ..verify import RULES
from . import bench_serving
from .bench_tables import show
from .common import BUNDLED, add_json, add_models, load_models, say, writable, write_result

WIDEST = 16  # draft lengths up to one less are considered
SURE = 0.1  # where an MTP draft is given up, if that is predicted to be faster


def add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument(
        "--mtp", type=Path, default=BUNDLED / "mtp", metavar="DIR", help="MTP module of the target"
    )
    parser.add_argument(
        "--drafter",
        choices=("draft", "mtp"),
        default=None,
        help="who drafts (default: the one that is predicted to be faster)",
    )
    parser.add_argument(
        "--rounds", type=int, default=48, help="prompts to decode in every way (default: 48)"
    )
    parser.add_argument(
        "--prompt-length", type=int, default=96, help="bytes of each prompt (default: 96)"
    )
    parser.add_argument(
        "--new-tokens", type=int, default=192, help="tokens to write after each (default: 192)"
    )
    parser.add_argument(
        "--gamma", type=int, default=None, help="draft length (default: the predicted best)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="processor threads (default: 1, fastest for small models)",
    )
    parser.add_argument(
        "--serving",
        action="store_true",
        help="measure many requests at once instead, see docs: serve",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="with --serving: draw the result here"
    )
    add_json(parser)


@dataclass(frozen=True)
class Guess:
    """One drafter as the speed model sees it."""

    gamma: int  # draft length at most
    sure: float  # where a draft is given up, 0 where it never is
    predicted: float
    by_position: list[float]
    cost: float  # of a draft step, in plain steps
    nodes: float  # of a draft, mean over the cycles
    verify: float  # the forward that judges it, in plain steps


def run(args: argparse.Namespace) -> int:
    if args.serving:
        return bench_serving.run(args)
    _refuse(args)
    torch.set_num_threads(args.threads)
    target, draft = load_models(args)
    if draft is None:
        raise SpecrefError("a bench needs a draft: give --draft DIR")
    params = SamplingParams(max_new_tokens=args.new_tokens)
    module = _module(args, target)
    say("measuring the verify curve ...")
    widths = range(1, WIDEST + 1)
    context = args.prompt_length + args.new_tokens // 2
    costs = step_costs(target, draft, params, context, widths, module=module)
    steps = in_plain_steps(costs)
    drafters: dict[str, Drafter] = {"draft": ModelDrafter(draft)}
    if module is not None:
        drafters["mtp"] = MTPDrafter(module, target)
    guesses = {
        name: _guess(args, target, drafter, params, steps, costs[name] / costs["plain"])
        for name, drafter in drafters.items()
    }
    chosen = args.drafter or max(guesses, key=lambda name: guesses[name].predicted)
    if chosen not in guesses:
        raise SpecrefError(
            f"there is no MTP module in {args.mtp}: give --mtp DIR, or --drafter draft"
        )
    rounded = _rounded(args)
    in_bf16 = (
        step_costs(rounded["bf16 arithmetic"], draft, SamplingParams(), context, widths)
        if rounded
        else {}
    )
    forwards = {"bf16 weights": steps, "bf16 arithmetic": in_plain_steps(in_bf16, costs)}
    guesses |= {
        name: _guess(
            args, model, drafters[chosen], params, forwards[name], costs[chosen] / costs["plain"]
        )
        for name, model in rounded.items()
    }
    ways, kept = _ways(args, target, draft, rounded, drafters, guesses, chosen)
    timed = timing.in_turn(
        ways, args.rounds, report=lambda done: say(f"round {done} of {args.rounds}")
    )
    result = _result(timed, kept, guesses[chosen].predicted) | {
        "drafter": chosen,
        "gamma": guesses[chosen].gamma,
        "drafters": {n: asdict(g) for n, g in guesses.items()},
        "verify_curve": {str(k): costs[f"verify {k}"] / costs["verify 1"] for k in widths},
        "microseconds": costs,
        **_account(target, kept, guesses, chosen, context),
        "bf16": _quicker(guesses) if rounded else None,
        "verify_curve_bf16": {
            str(k): in_bf16[f"verify {k}"] / costs["verify 1"] for k in widths if rounded
        },
        "settings": {
            "rounds": args.rounds,
            "prompt_length": args.prompt_length,
            "new_tokens": args.new_tokens,
            "temperature": 1.0,
            "threads": args.threads,
            "dtype": args.dtype,
            "device": args.device,
            "clock": timing.WorkClock(target.device).name,
        },
    }
    write_result(args.json, "bench", result)
    show(result)
    return 0


def _refuse(args: argparse.Namespace) -> None:
    writable(args.json)
    for name in ("rounds", "prompt_length", "new_tokens", "threads"):
        if getattr(args, name) < 1:
            raise SpecrefError(
                f"--{name.replace('_', '-')} {getattr(args, name)} is not possible: give 1 or more"
            )
    if args.gamma is not None and not 1 <= args.gamma < WIDEST:
        raise SpecrefError(f"--gamma {args.gamma} is not possible: give 1 to {WIDEST - 1}")


def _module(args: argparse.Namespace, target: Transformer) -> MTPModule | None:
    """The MTP module, if this target has one: the bundled one belongs to the bundled target."""
    own = args.mtp != BUNDLED / "mtp"
    if not own and (args.target != BUNDLED / "target" or not args.mtp.exists()):
        return None
    return MTPModule.load(args.mtp, target.dtype, target.device)


def _rounded(args: argparse.Namespace) -> dict[str, Transformer]:
    """The target with bfloat16 weights, computed in float32 and in bfloat16."""
    if args.dtype != "float32":
        return {}
    return {
        "bf16 weights": load(args.target, torch.bfloat16, args.device).float(),
        "bf16 arithmetic": load(args.target, torch.bfloat16, args.device),
    }


def _quicker(guesses: dict[str, Guess]) -> str:
    """How a bfloat16 target is predicted to be decoded fastest."""
    return max(("bf16 weights", "bf16 arithmetic"), key=lambda name: guesses[name].predicted)


def _guess(
    args: argparse.Namespace,
    target: Transformer,
    drafter: Drafter,
    params: SamplingParams,
    steps: list[float],
    cost: float,
) -> Guess:
    """Calibrate the speed model on prompts of its own, and choose the draft length that it predicts
    to be fastest.

    The length comes from the token-wise acceptance, which does not depend on it; the prediction
    from block verification at that length."""
    say("calibrating the speed model ...")
    prompts = held_out_prompts(16, args.prompt_length, skip=1)
    rates = (
        [] if args.gamma else acceptance_by_position(target, drafter, prompts, params, WIDEST - 1)
    )
    gamma = args.gamma or max(1, best_gamma(rates, steps, cost))
    guesses = [_calibrated(target, drafter, gamma, prompts, params, steps, cost)]
    # one that gives up a lost draft may go further with the others
    if isinstance(drafter, MTPDrafter):
        quitter = MTPDrafter(drafter.module, drafter.target, SURE)
        guesses.append(
            _calibrated(target, quitter, args.gamma or WIDEST - 1, prompts, params, steps, cost)
        )
    return max(guesses, key=lambda guess: guess.predicted)


def _calibrated(
    target: Transformer,
    drafter: Drafter,
    gamma: int,
    prompts: list[list[int]],
    params: SamplingParams,
    steps: list[float],
    cost: float,
) -> Guess:
    seen = calibrate(target, Method("", drafter, "block", gamma), prompts, params)
    return Guess(
        gamma,
        getattr(drafter, "sure", 0.0),
        seen.tokens_per_cycle / (seen.cost(steps) + seen.nodes * cost),
        seen.by_depth(),
        cost,
        seen.nodes,
        seen.cost(steps),
    )


def _account(
    target: Transformer,
    kept: dict[str, list[Completion]],
    guesses: dict[str, Guess],
    chosen: str,
    context: int,
) -> dict[str, Any]:
    """What the target alone allows: the speedup if drafts and bookkeeping cost nothing; and what
    bfloat16 does to a step.
    """
    of = {"sampled": chosen}
    if "bf16 weights" in guesses:
        of |= {"sampled bf16": _quicker(guesses), "sampled bf16 arithmetic": "bf16 arithmetic"}
    result: dict[str, Any] = {
        "at_most": {
            name.replace(" ", "_"): tokens_per_step(kept[name]) / guesses[guess].verify
            for name, guess in of.items()
        }
    }
    if "bf16 weights" in guesses and target.device.type == "cpu":
        several = 1 + round(guesses[chosen].nodes)
        types = (torch.float32, torch.bfloat16)
        result["block"] = block_costs(target.config, types, (1, several), context)
        result["widths"] = costs_by_width(target.config, types, (1, several), context)
    return result


def _ways(
    args: argparse.Namespace,
    target: Transformer,
    draft: Transformer,
    rounded: dict[str, Transformer],
    drafters: dict[str, Drafter],
    guesses: dict[str, Guess],
    chosen: str,
) -> tuple[dict[str, Any], dict[str, list[Completion]]]:
    """Every way to decode the same prompts, by name; completions of the speculative ones are
    kept.
    """
    prompts = held_out_prompts(args.rounds, args.prompt_length)
    params = SamplingParams(max_new_tokens=args.new_tokens)
    greedy = SamplingParams(temperature=0, max_new_tokens=args.new_tokens)
    kept: dict[str, list[Completion]] = {}

    def way(
        name: str,
        rule: str,
        drafter: Drafter,
        gamma: int,
        how: SamplingParams = params,
        model: Transformer = target,
    ) -> None:
        kept[name] = []
        ways[name] = decode_way(model, drafter, RULES[rule], prompts, how, gamma, kept[name])

    ways: dict[str, Any] = {
        "plain": plain_way(target, prompts, params),
        "plain greedy": plain_way(target, prompts, greedy),
    }

    def tuned(name: str) -> Drafter:
        """The chosen drafter, as far as a guess wants it to go; in float32, where its steps are
        cheapest.
        """
        best = drafters[chosen]
        return (
            MTPDrafter(best.module, target, guesses[name].sure)
            if isinstance(best, MTPDrafter)
            else best
        )

    best, gamma = tuned(chosen), guesses[chosen].gamma
    way("sampled", "block", best, gamma)
    way("sampled tokenwise", "rejection", best, gamma)
    way("greedy", "greedy", best, gamma, greedy)
    way("draft model", "rejection", drafters["draft"], guesses["draft"].gamma)
    way("ngram", "rejection", NGramDrafter(), 6)
    if rounded:
        ways["plain bf16"] = plain_way(rounded["bf16 arithmetic"], prompts, params)
        for name, guess in (
            ("sampled bf16", _quicker(guesses)),
            ("sampled bf16 arithmetic", "bf16 arithmetic"),
        ):
            way(name, "block", tuned(guess), guesses[guess].gamma, model=rounded[guess])
    if hugging_face.available() and args.device == "cpu" and args.dtype == "float32":
        ways |= hugging_face.ways(
            args.target,
            args.draft or BUNDLED / "draft",
            prompts,
            args.new_tokens,
            guesses["draft"].gamma,
        )
    return ways, kept


def _result(
    timed: dict[str, list[timing.Timed]], kept: dict[str, list[Completion]], predicted: float
) -> dict[str, Any]:
    base = {name: "plain greedy" if name == "greedy" else "plain" for name in kept}
    total = {name: timing.speedup(timed[base[name]], timed[name]) for name in kept}
    decode = {
        name: timing.speedup(timed[base[name]], timed[name], decode_only=True) for name in kept
    }
    result: dict[str, Any] = {
        "speedup": {name.replace(" ", "_"): value for name, value in total.items()},
        "speedup_decode_only": {name.replace(" ", "_"): value for name, value in decode.items()},
        "interval": {
            name.replace(" ", "_"): bootstrap(timed[base[name]], timed[name]) for name in kept
        },
        "tokens_per_step": {
            name.replace(" ", "_"): tokens_per_step(done) for name, done in kept.items()
        },
        "plain_milliseconds_per_token": {
            name: 1e3 * median(t.per_token for t in times)
            for name, times in timed.items()
            if name.startswith("plain")
        },
        "predicted": predicted,
        "share_of_prediction": decode["sampled"] / predicted,
    }
    if "transformers plain" in timed:
        result["vs_transformers"] = {
            "plain": timing.speedup(timed["transformers plain"], timed["plain"]),
            "speculative": timing.speedup(timed["transformers assisted"], timed["draft model"]),
        }
    return result


def bootstrap(
    baseline: list[timing.Timed], other: list[timing.Timed], draws: int = 2000
) -> list[float]:
    """95 % percentile interval of the median ratio over the prompts."""
    ratios = [a.per_token / b.per_token for a, b in zip(baseline, other, strict=True)]
    source = random.Random(0)
    medians = sorted(median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return [medians[int(0.025 * draws)], medians[int(0.975 * draws) - 1]]
