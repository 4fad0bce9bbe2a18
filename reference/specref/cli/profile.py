"""Profile what drafts for the bundled target.

`medusa`: accuracy of each head on held-out text, what the heads cost in bytes, and the speed of
draft model, n-gram, Medusa chain, Medusa tree and MTP against the same target in one run, each
beside its estimate.
`thresholds`: what tuning typical acceptance (lossy) gains in tokens per cycle and costs in distance
from the target.

Example:
  specref profile medusa --json medusa.json
  specref profile thresholds --json thresholds.json --plot thresholds.svg
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..data import Completion, SamplingParams, SpecrefError
from ..draft.base import Drafter
from ..draft.medusa import MedusaDrafter, MedusaHeads, chain
from ..draft.model import ModelDrafter
from ..draft.mtp import MTPDrafter, MTPModule
from ..draft.ngram import NGramDrafter
from ..measure import timing
from ..measure.cost import best_gamma
from ..measure.heads import top_accuracy
from ..measure.methods import Calibration, Method, calibrate
from ..measure.tree import best_budget, best_tree, head_accuracy
from ..measure.workload import (
    acceptance_by_position,
    decode_way,
    held_out_prompts,
    in_plain_steps,
    plain_way,
    step_costs,
)
from ..model.auxiliary import size_in_bytes
from ..model.transformer import Transformer
from ..train.corpus import held_out, held_out_rows
from ..verify import RULES
from .addons import load_heads, load_module
from .common import (
    BUNDLED,
    add_json,
    add_models,
    bytes_only,
    load_models,
    say,
    writable,
    write_result,
)
from .thresholds import thresholds

WIDEST = 33  # tokens of the largest verify forward that is timed


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("medusa", "thresholds"))
    add_models(parser)
    parser.add_argument(
        "--medusa", type=Path, default=BUNDLED / "medusa", metavar="DIR", help="Medusa heads"
    )
    parser.add_argument(
        "--mtp", type=Path, default=BUNDLED / "mtp", metavar="DIR", help="MTP module"
    )
    parser.add_argument(
        "--rounds", type=int, default=16, help="prompts to decode in every way (default: 16)"
    )
    parser.add_argument(
        "--prompt-length", type=int, default=96, help="bytes of each prompt (default: 96)"
    )
    parser.add_argument(
        "--new-tokens", type=int, default=128, help="tokens to write after each (default: 128)"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="thresholds: draw the frontier here, PNG or SVG"
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    writable(args.plot)
    if min(args.rounds, args.prompt_length, args.new_tokens, args.threads) < 1:
        raise SpecrefError(
            "--rounds, --prompt-length, --new-tokens and --threads must each be 1 or more"
        )
    torch.set_num_threads(args.threads)
    target, draft = load_models(args)
    bytes_only(target, "profile")
    heads = load_heads(args.medusa, target)
    if args.what == "thresholds":
        return thresholds(args, target, heads)
    if draft is None:
        raise SpecrefError("a profile compares with a draft model: give --draft DIR")
    return medusa(args, target, draft, heads, load_module(args.mtp, target))


def medusa(
    args: argparse.Namespace,
    target: Transformer,
    draft: Transformer,
    heads: MedusaHeads,
    module: MTPModule,
) -> int:
    """The profile of the heads, and every method beside its estimate."""
    params = SamplingParams(max_new_tokens=args.new_tokens)
    held = held_out()
    context = min(256, target.config.max_position_embeddings - 1)
    accuracy = top_accuracy(heads, target, held, context)
    rank = head_accuracy(heads, target, held_out_rows(held, context, 64))
    say("measuring the verify curve ...")
    costs = step_costs(
        target,
        draft,
        params,
        args.prompt_length + args.new_tokens // 2,
        range(1, WIDEST + 1),
        module=module,
        heads=heads,
    )
    steps = in_plain_steps(costs)
    ours = methods(
        target,
        draft,
        heads,
        module,
        rank,
        steps,
        {name: costs[name] / costs["plain"] for name in costs},
        args.prompt_length,
        min(96, args.new_tokens),
    )
    calibration = {}
    for method in ours:
        say(f"calibrating {method.name} ...")
        calibration[method.name] = calibrate(
            target, method, held_out_prompts(12, args.prompt_length, skip=1), params
        )
    prompts = held_out_prompts(args.rounds, args.prompt_length)
    kept: dict[str, list[Completion]] = {method.name: [] for method in ours}
    ways = {"plain": plain_way(target, prompts, params)} | {
        method.name: decode_way(
            target,
            method.drafter,
            RULES[method.rule],
            prompts,
            params,
            method.gamma,
            kept[method.name],
        )
        for method in ours
    }
    timed = timing.in_turn(
        ways, args.rounds, report=lambda done: say(f"round {done} of {args.rounds}")
    )
    result = {
        "methods": {
            m.name: _row(m, timed, kept[m.name], calibration[m.name], steps, costs["plain"] / 1e6)
            for m in ours
        },
        "heads": accuracy,
        "head_bytes": size_in_bytes(heads) // heads.out.element_size() * 2,
        "heads_cost": costs["heads"] / costs["plain"],
        "head_parameters": sum(p.numel() for p in heads.parameters()),
        "mtp_bytes": size_in_bytes(module) // target.norm.weight.element_size() * 2,
        "draft_bytes": size_in_bytes(draft) // target.norm.weight.element_size() * 2,
        "target_bytes": size_in_bytes(target) // target.norm.weight.element_size() * 2,
        "verify_curve": {
            str(k): costs[f"verify {k}"] / costs["verify 1"] for k in range(1, WIDEST + 1)
        },
    }
    write_result(args.json, "profile medusa", result)
    _print(result)
    return 0


def methods(
    target: Transformer,
    draft: Transformer,
    heads: MedusaHeads,
    module: MTPModule,
    rank: list[list[float]],
    steps: list[float],
    costs: dict[str, float],
    prompt_length: int,
    new_tokens: int,
) -> list[Method]:
    """The five methods, each with the draft length or tree that its own measurements predict to be
    fastest.
    """
    prompts, params = (
        held_out_prompts(6, prompt_length, skip=2),
        SamplingParams(max_new_tokens=new_tokens),
    )
    model, mtp = ModelDrafter(draft), MTPDrafter(module, target)

    def longest(drafter: Drafter, cost: float) -> int:
        rates = acceptance_by_position(target, drafter, prompts, params, 10)
        return max(1, best_gamma(rates, steps, cost))

    budget, _ = best_budget(rank, steps, costs["heads"])
    depth = len(heads.block)
    return [
        Method("draft", model, "rejection", longest(model, costs["draft"])),
        Method("ngram", NGramDrafter(), "rejection", 6),
        Method("medusa_chain", MedusaDrafter(heads, chain(depth), draws=True), "rejection", depth),
        Method("medusa_tree", MedusaDrafter(heads, best_tree(rank, max(1, budget))), "tree", depth),
        Method("mtp", mtp, "rejection", longest(mtp, costs["mtp"])),
    ]


def _row(
    method: Method,
    timed: dict[str, list[timing.Timed]],
    done: list[Completion],
    seen: Calibration,
    steps: list[float],
    plain: float,
) -> dict[str, Any]:
    cycles = sum(c.target_steps for c in done)
    return {
        "speedup": timing.speedup(timed["plain"], timed[method.name]),
        "speedup_decode_only": timing.speedup(timed["plain"], timed[method.name], decode_only=True),
        "predicted": seen.predicted(steps, plain),
        "tokens_per_cycle": sum(len(c.tokens) for c in done) / cycles,
        "gamma": method.gamma,
        "nodes": method.drafter.nodes(method.gamma),
        "rule": method.rule,
        "acceptance_by_depth": seen.by_depth(),
        "cycle": seen.account(plain),
    }


def _print(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="heads on held-out text")
    for column in ("head", "top-1", "95 % interval", "top-5"):
        table.add_column(column, justify="right")
    for number, head in enumerate(result["heads"], 1):
        low, high = head["interval"]
        table.add_row(
            str(number), f"{head['top1']:.3f}", f"{low:.3f} to {high:.3f}", f"{head['top5']:.3f}"
        )
    console.print(table)
    console.print(
        f"the heads add {result['head_parameters']:,} parameters, {result['head_bytes']:,} bytes in"
        f" float16: {100 * result['head_bytes'] / result['target_bytes']:.1f} % of the target"
        f" (draft model {result['draft_bytes']:,}, MTP {result['mtp_bytes']:,})"
    )
    table = Table(title="speed against the best plain loop, temperature 1, lossless")
    for column in (
        "method",
        "speedup",
        "decode\nonly",
        "estimate",
        "tokens\nper cycle",
        "depth",
        "nodes",
    ):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for name, row in result["methods"].items():
        table.add_row(
            name,
            f"{row['speedup']:.2f}x",
            f"{row['speedup_decode_only']:.2f}x",
            f"{row['predicted']:.2f}x",
            f"{row['tokens_per_cycle']:.2f}",
            str(row["gamma"]),
            str(row["nodes"]),
        )
    console.print(table)
    table = Table(title="a cycle: its time, in plain steps, and what it accepts by depth")
    for column in ("method", "drafting", "target's\nforward", "rule and\nthe rest", "accepted"):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for name, row in result["methods"].items():
        table.add_row(
            name,
            *(f"{row['cycle'][part]:.2f}" for part in ("draft", "forward", "rest")),
            " ".join(f"{rate:.2f}" for rate in row["acceptance_by_depth"][:5]),
        )
    console.print(table)
