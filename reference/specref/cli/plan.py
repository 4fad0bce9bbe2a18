"""Plan before you measure or deploy: which draft length or tree is fastest here, and how many
tokens to judge.

`--tree` measures this machine's verify curve and the bundled Medusa heads, and picks the tree size
that is predicted to be fastest; it says so when a chain or no tree at all wins. Without it: from an
acceptance rate you know, the draft length that pays and the break-even; with `--half-width`, the
sample size that an acceptance measurement needs.

Example:
  specref plan --tree --json plan.json
  specref plan --alpha 0.8 --draft-cost 0.08
  specref plan --alpha 0.8 --half-width 0.01
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..data import SamplingParams, SpecrefError
from ..draft.medusa import Node, chain
from ..measure.acceptance import sample_size
from ..measure.cost import best_gamma, break_even_alpha, predicted_speedup
from ..measure.tree import best_tree, cartesian, expected_tokens, head_accuracy
from ..measure.workload import in_plain_steps, step_costs
from ..train.corpus import held_out, held_out_rows
from .addons import load_heads
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

BUDGETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument(
        "--tree", action="store_true", help="choose a candidate tree for the Medusa heads"
    )
    parser.add_argument(
        "--medusa", type=Path, default=BUNDLED / "medusa", metavar="DIR", help="Medusa heads"
    )
    parser.add_argument(
        "--alpha", type=float, default=None, help="acceptance per token, if you know it"
    )
    parser.add_argument(
        "--draft-cost",
        type=float,
        default=0.05,
        metavar="C",
        help="one draft step in plain steps (default: 0.05)",
    )
    parser.add_argument(
        "--half-width",
        type=float,
        default=None,
        metavar="W",
        help="half the width of the 95 %% interval that acceptance shall get",
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    if not args.tree and args.alpha is None:
        raise SpecrefError("nothing to plan from: give --tree, or --alpha with an acceptance rate")
    if args.threads < 1:
        raise SpecrefError(f"--threads {args.threads} is not possible: give 1 or more")
    result = _tree(args) if args.tree else _lengths(args)
    write_result(args.json, "plan", result)
    return 0


def _lengths(args: argparse.Namespace) -> dict[str, Any]:
    if not 0 <= args.alpha <= 1:
        raise SpecrefError(f"--alpha {args.alpha} is not possible: give a rate between 0 and 1")
    gamma = best_gamma(args.alpha, c=args.draft_cost)
    speed = predicted_speedup(args.alpha, gamma, c=args.draft_cost)
    result: dict[str, Any] = {
        "gamma": gamma,
        "predicted": speed,
        "break_even_alpha": break_even_alpha(max(1, gamma), c=args.draft_cost),
    }
    if args.half_width is not None:
        result["sample_size"] = sample_size(args.half_width, args.alpha)
    if gamma:
        print(
            f"draft {gamma} tokens a cycle: {speed:.2f}x if verification is free; "
            f"below acceptance {result['break_even_alpha']:.3f} that length loses"
        )
    else:
        print("do not draft: no length pays at this acceptance and cost")
    if args.half_width is not None:
        print(
            f"judge {result['sample_size']:,} independent tokens for an interval of ±"
            f" {args.half_width:g}; tokens of one text count for less, so measure over many texts"
        )
    return result


def _tree(args: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(args.threads)
    target, draft = load_models(args)
    bytes_only(target, "plan --tree")
    heads = load_heads(args.medusa, target)
    say("measuring head accuracies ...")
    held = held_out()
    accuracy = head_accuracy(
        heads, target, held_out_rows(held, min(256, target.config.max_position_embeddings - 1), 64)
    )
    say("measuring the verify curve ...")
    costs = step_costs(
        target, draft or target, SamplingParams(), 192, range(1, BUDGETS[-1] + 2), heads=heads
    )
    steps, own = in_plain_steps(costs), costs["heads"] / costs["plain"]
    depth = len(accuracy)
    shapes: list[tuple[str, list[Node]]] = [("no tree", [])]
    shapes += [(f"chain of {n}", chain(n)) for n in range(1, depth + 1)]
    shapes += [(f"best tree of {n}", best_tree(accuracy, n)) for n in BUDGETS if n > 1]
    shapes += [
        ("full tree " + "x".join(map(str, w)), cartesian(w))
        for w in ((2, 2), (2, 2, 2), (3, 3), (4, 2), (4, 4))
        if len(w) <= depth
    ]
    rows: list[dict[str, Any]] = []
    for name, tree in shapes:
        if len(tree) < len(steps):
            tokens, cost = expected_tokens(tree, accuracy), steps[len(tree)] + (own if tree else 0)
            rows.append(
                {
                    "shape": name,
                    "nodes": len(tree),
                    "tokens_per_cycle": tokens,
                    "cost": cost,
                    "predicted": tokens / cost,
                    "tree": [list(node) for node in tree],
                }
            )
    best = max(rows, key=lambda row: row["predicted"])
    _print(rows, best, own)
    return {"rows": rows, "best": best, "accuracy": accuracy, "steps": steps, "heads_cost": own}


def _print(rows: list[dict[str, Any]], best: dict[str, Any], own: float) -> None:
    table = Table(
        title=f"candidate trees on this machine; the heads' own work is {own:.3f} plain steps"
    )
    for column in ("shape", "nodes", "tokens per cycle", "cost in plain steps", "predicted"):
        table.add_column(column, justify="left" if column == "shape" else "right")
    for row in rows:
        mark = "bold" if row is best else None
        table.add_row(
            row["shape"],
            str(row["nodes"]),
            f"{row['tokens_per_cycle']:.2f}",
            f"{row['cost']:.2f}",
            f"{row['predicted']:.2f}x",
            style=mark,
        )
    console = Console()
    console.print(table)
    chain_wins = best["shape"].startswith("chain") or (
        best["nodes"] == max((len(n) for n in best["tree"]), default=0)
    )
    if not best["nodes"]:
        console.print("no tree wins: plain decoding is fastest here")
    elif chain_wins:
        console.print(
            f"a chain wins: {best['shape']}, predicted {best['predicted']:.2f}x; "
            "siblings cost more than they bring"
        )
    else:
        console.print(f"{best['shape']} wins, predicted {best['predicted']:.2f}x")
