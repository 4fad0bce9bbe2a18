"""Measure plain against speculative decoding, side by side in one run: interleaved, medians, one thread.

Calibrates the speed model on prompts of its own (acceptance by position, the verify curve T(k)/T(1), the cost of a draft
step), picks the draft length that it predicts to be fastest, measures, and says what share of the prediction was reached.

Example:
  specdec bench --json bench.json
  specdec bench --rounds 4 --new-tokens 64     (a quick look)
"""

import argparse
import random
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..draft.model import ModelDrafter
from ..draft.ngram import NGramDrafter
from ..measure import hugging_face, timing
from ..measure.cost import best_gamma, predicted_speedup
from ..measure.workload import (
    acceptance_by_position,
    decode_way,
    held_out_prompts,
    plain_way,
    step_costs,
    tokens_per_step,
)
from ..types import Completion, SamplingParams, SpecdecError
from ..verify import RULES
from .common import BUNDLED, add_json, add_models, load_models, say, writable, write_result

WIDEST = 12  # draft lengths up to one less are considered


def add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument("--rounds", type=int, default=24, help="prompts to decode in every way (default: 24)")
    parser.add_argument("--prompt-length", type=int, default=96, help="bytes of each prompt (default: 96)")
    parser.add_argument("--new-tokens", type=int, default=192, help="tokens to write after each (default: 192)")
    parser.add_argument("--gamma", type=int, default=None, help="draft length (default: the predicted best)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1, fastest for small models)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    for name in ("rounds", "prompt_length", "new_tokens", "threads"):
        if getattr(args, name) < 1:
            raise SpecdecError(f"--{name.replace('_', '-')} {getattr(args, name)} is not possible: give 1 or more")
    if args.gamma is not None and not 1 <= args.gamma < WIDEST:
        raise SpecdecError(f"--gamma {args.gamma} is not possible: give 1 to {WIDEST - 1}")
    torch.set_num_threads(args.threads)
    target, draft = load_models(args)
    if draft is None:
        raise SpecdecError("a bench needs a draft: give --draft DIR")
    params = SamplingParams(max_new_tokens=args.new_tokens)
    say("calibrating the speed model ...")
    drafter = ModelDrafter(draft)
    by_position = acceptance_by_position(target, drafter, held_out_prompts(16, args.prompt_length, skip=1), params,
                                         WIDEST - 1)
    widths = range(1, WIDEST + 1)
    context = args.prompt_length + args.new_tokens // 2
    costs = step_costs(target, draft, params, context, widths)
    curve = {k: costs[f"verify {k}"] / costs["verify 1"] for k in widths}
    steps = [costs[f"verify {k}"] / costs["plain"] for k in widths]
    c = costs["draft"] / costs["plain"]
    gamma = args.gamma or best_gamma(by_position, steps, c)
    predicted = predicted_speedup(by_position, gamma, steps, c)
    ways, kept = _ways(args, target, draft, params, gamma)
    timed = timing.in_turn(ways, args.rounds, report=lambda done: say(f"round {done} of {args.rounds}"))
    result = _result(timed, kept, predicted) | {
        "gamma": gamma, "acceptance_by_position": by_position, "verify_curve": {str(k): v for k, v in curve.items()},
        "draft_cost": c, "microseconds": costs,
        "settings": {"rounds": args.rounds, "prompt_length": args.prompt_length, "new_tokens": args.new_tokens,
                     "temperature": 1.0, "threads": args.threads, "dtype": args.dtype, "device": args.device}}
    _print(result)
    write_result(args.json, "bench", result)
    return 0


def _ways(args: argparse.Namespace, target: Any, draft: Any, params: SamplingParams,
          gamma: int) -> tuple[dict[str, Any], dict[str, list[Completion]]]:
    """Every way to decode the same prompts, by name; completions of the speculative ones are kept."""
    prompts = held_out_prompts(args.rounds, args.prompt_length)
    greedy = SamplingParams(temperature=0, max_new_tokens=args.new_tokens)
    kept: dict[str, list[Completion]] = {}

    def way(name: str, rule: str, drafter: Any, how: SamplingParams = params, model: Any = target) -> None:
        kept[name] = []
        ways[name] = decode_way(model, drafter, RULES[rule], prompts, how, gamma, kept[name])

    ways: dict[str, Any] = {"plain": plain_way(target, prompts, params), "plain greedy": plain_way(target, prompts, greedy)}
    way("sampled", "rejection", ModelDrafter(draft))
    way("sampled block", "block", ModelDrafter(draft))
    way("greedy", "greedy", ModelDrafter(draft), greedy)
    way("n-gram", "rejection", NGramDrafter())
    if args.dtype == "float32":
        from ..model.checkpoint import load
        narrow = load(args.target, torch.bfloat16, args.device)
        ways["plain bf16"] = plain_way(narrow, prompts, params)
        way("sampled bf16", "rejection", ModelDrafter(draft), model=narrow)
    if hugging_face.available() and args.device == "cpu" and args.dtype == "float32":
        ways |= hugging_face.ways(args.target, args.draft or BUNDLED / "draft", prompts, args.new_tokens, gamma)
    return ways, kept


def _result(timed: dict[str, list[timing.Timed]], kept: dict[str, list[Completion]],
            predicted: float) -> dict[str, Any]:
    base = {name: "plain greedy" if name == "greedy" else "plain" for name in kept}
    total = {name: timing.speedup(timed[base[name]], timed[name]) for name in kept}
    decode = {name: timing.speedup(timed[base[name]], timed[name], decode_only=True) for name in kept}
    result: dict[str, Any] = {
        "speedup": {name.replace(" ", "_"): value for name, value in total.items()},
        "speedup_decode_only": {name.replace(" ", "_"): value for name, value in decode.items()},
        "interval": {name.replace(" ", "_"): bootstrap(timed[base[name]], timed[name]) for name in kept},
        "tokens_per_step": {name.replace(" ", "_"): tokens_per_step(done) for name, done in kept.items()},
        "plain_milliseconds_per_token": 1e3 * median(t.per_token for t in timed["plain"]),
        "predicted": predicted, "share_of_prediction": decode["sampled"] / predicted}
    if "transformers plain" in timed:
        result["vs_transformers"] = {
            "plain": timing.speedup(timed["transformers plain"], timed["plain"]),
            "speculative": timing.speedup(timed["transformers assisted"], timed["sampled"])}
    return result


def bootstrap(baseline: list[timing.Timed], other: list[timing.Timed], draws: int = 2000) -> list[float]:
    """95 % percentile interval of the median ratio over the prompts."""
    ratios = [a.per_token / b.per_token for a, b in zip(baseline, other, strict=True)]
    source = random.Random(0)
    medians = sorted(median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return [medians[int(0.025 * draws)], medians[int(0.975 * draws) - 1]]


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"speedup against the best plain float32 loop, draft length {result['gamma']}")
    for column in ("way", "total", "95 % of prompts' median", "decode only", "tokens per target forward"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, value in result["speedup"].items():
        low, high = result["interval"][name]
        table.add_row(name.replace("_", " "), f"{value:.2f}x", f"{low:.2f} to {high:.2f}",
                      f"{result['speedup_decode_only'][name]:.2f}x", f"{result['tokens_per_step'][name]:.2f}")
    console = Console()
    console.print(table)
    curve = "  ".join(f"{k}: {v:.2f}" for k, v in result["verify_curve"].items())
    console.print(f"verify curve T(k)/T(1)   {curve}")
    console.print(f"a draft step costs {result['draft_cost']:.3f} plain steps; the model predicts "
                  f"{result['predicted']:.2f}x, measured is {100 * result['share_of_prediction']:.0f} % of that")
    if "vs_transformers" in result:
        versus = result["vs_transformers"]
        console.print(f"against transformers with the same weights: plain {versus['plain']:.2f}x its generate, "
                      f"speculative {versus['speculative']:.2f}x its assisted generation")
