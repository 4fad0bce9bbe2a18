"""`specref profile thresholds`: the frontier of typical acceptance, as a table and a plot."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..data import SpecrefError
from ..draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ..draft.none import NoDrafter
from ..measure.frontier import Point, contexts, exact_distributions, exact_tv, point, toy
from ..measure.workload import held_out_prompts
from ..model.transformer import Transformer
from ..verify import RULES, LossyTypical
from .common import say, write_result

SETTINGS = [
    (epsilon, delta) for epsilon in (0.02, 0.05, 0.09, 0.2, 0.4) for delta in (0.1, 0.3, 1.0)
]


def thresholds(args: argparse.Namespace, target: Transformer, heads: MedusaHeads) -> int:
    """Sweep epsilon and delta; the lossless tree rule is the point at distance 0."""
    if args.plot is not None:
        if args.plot.suffix not in (".png", ".svg"):
            raise SpecrefError(
                f"--plot {args.plot} is neither PNG nor SVG: give a name that ends in .png or .svg"
            )
        _plotting()
    depth = len(heads.block)
    drafter = MedusaDrafter(heads, best_first(depth, 2))
    prompts = held_out_prompts(args.rounds, args.prompt_length)
    small, small_heads = toy()
    places = contexts(small.config.vocab_size)
    alone = exact_distributions(RULES["rejection"], small, NoDrafter(), places)
    points: list[Point] = []
    for epsilon, delta in SETTINGS:
        rule = LossyTypical(epsilon, delta)
        say(rule.__name__)
        points.append(
            point(
                rule,
                epsilon,
                delta,
                target,
                drafter,
                depth,
                prompts,
                args.new_tokens,
                exact_tv(rule, small, small_heads, places, alone),
            )
        )
    lossless = point(
        RULES["tree"],
        0,
        0,
        target,
        drafter,
        depth,
        prompts,
        args.new_tokens,
        exact_tv(RULES["tree"], small, small_heads, places, alone),
    )
    write_result(
        args.json,
        "profile thresholds",
        {
            "lossless": asdict(lossless),
            "points": [asdict(p) for p in points],
            "settings": {
                "prompts": args.rounds,
                "new_tokens": args.new_tokens,
                "temperature": 1.0,
                "toy_contexts": len(places),
            },
        },
    )
    _print(points, lossless)
    if args.plot is not None:
        _plot(args.plot, points, lossless)
        print(f"wrote {args.plot}")
    return 0


def _print(points: list[Point], lossless: Point) -> None:
    table = Table(title="typical acceptance (LOSSY): what a threshold gains and what it costs")
    for column in (
        "epsilon",
        "delta",
        "tokens per cycle",
        "distance from the target, a cycle's first token",
        "exact TV on a toy, 3 tokens",
    ):
        table.add_column(column, justify="right")
    table.add_row(
        "lossless",
        "tree",
        f"{lossless.tokens_per_cycle:.2f}",
        "0 by theorem",
        f"{lossless.exact:.1e}",
    )
    for p in sorted(points, key=lambda p: p.tv):
        table.add_row(
            f"{p.epsilon:g}",
            f"{p.delta:g}",
            f"{p.tokens_per_cycle:.2f}",
            f"{p.tv:.3f} ± {2 * p.error:.3f}",
            f"{p.exact:.3f}",
        )
    console = Console()
    console.print(table)
    console.print(
        "Every gain over the lossless row is bought with text that the target would not have"
        " written."
    )


def _plotting() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise SpecrefError("--plot needs matplotlib: pip install 'specref[plot]'") from None
    return pyplot


def _plot(path: Path, points: list[Point], lossless: Point) -> None:
    pyplot = _plotting()
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for delta in sorted({p.delta for p in points}):
        line = sorted((p for p in points if p.delta == delta), key=lambda p: p.epsilon)
        axes.errorbar(
            [p.tv for p in line],
            [p.tokens_per_cycle for p in line],
            xerr=[2 * p.error for p in line],
            marker="o",
            capsize=2,
            label=f"typical, delta {delta:g}",
        )
    axes.plot([0], [lossless.tokens_per_cycle], "k*", markersize=14, label="lossless tree rule")
    axes.set_xlabel("distance from the target's distribution (TV of a cycle's first token)")
    axes.set_ylabel("tokens per cycle")
    axes.set_xlim(left=-0.01)
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise SpecrefError(
            f"cannot write {path} ({error}): give a .png or .svg in a folder you may write"
        ) from None
    pyplot.close(figure)
