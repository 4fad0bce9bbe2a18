"""Decode held-out text five ways with the bundled checkpoints, and say whether the distribution of
the output is the target's.

The text is source files of the Python standard library that the models never learned from. Every
way continues the same
prompts, in turn, so that the speeds compare. The distribution is then checked three ways: greedy
text token for token, a small case exactly, and what the real models write by a sequential test.

Example:
  specref demo
  specref demo --early-exit 6 --json demo.json
"""

import argparse
import os
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from ..data import SamplingParams, SpecrefError
from ..draft.base import Drafter
from ..draft.medusa import MedusaDrafter, MedusaHeads, best_first
from ..draft.model import ModelDrafter
from ..draft.mtp import MTPDrafter, MTPModule
from ..measure import timing
from ..measure.verdict import exact_small_case, greedy_parity, sampled_distribution
from ..measure.workload import held_out_prompts
from ..model.transformer import Transformer
from ..stats.finding import bonferroni
from ..verify import RULES
from .common import BUNDLED, add_json, add_models, interactive, load_models, writable, write_result
from .ways import Way, distinct, measured, ways

PROMPT = 96  # bytes
FALSE_ALARM = 1e-6  # of the whole demo
SAMPLED = ("rejection", "block")
HEADINGS = (
    "way",
    "tokens per\ntarget\nforward",
    "accepted",
    "speedup",
    "decode\nonly",
    "distinct\n8-grams",
)
NEXT = (
    ("trace --rule block", "watch every coin of one generation"),
    ("generate --prompt 'class Point:'", "go on from a text of your own"),
    ("bench", "measure the speed, and predict it"),
    ("validate --init kernel my_adapter.py", "begin to judge an engine of yours"),
)


def add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument(
        "--prompts", type=int, default=12, help="prompts to continue in every way (default: 12)"
    )
    parser.add_argument(
        "--new-tokens", type=int, default=128, help="tokens to write after each (default: 128)"
    )
    parser.add_argument("--gamma", type=int, default=5, help="draft length (default: 5)")
    parser.add_argument(
        "--draws",
        type=int,
        default=16000,
        help="tokens a sequential test looks at (default: 16000)",
    )
    parser.add_argument(
        "--early-exit",
        type=int,
        default=None,
        metavar="LAYERS",
        help="one more way: the target's first LAYERS layers draft",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sequential tests")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    for name, least in (("prompts", 2), ("new_tokens", 2), ("gamma", 1), ("draws", 1)):
        if getattr(args, name) < least:
            raise SpecrefError(
                f"--{name.replace('_', '-')} {getattr(args, name)} is not possible: give {least} or"
                " more"
            )
    torch.set_num_threads(1)
    target, draft = load_models(args)
    if draft is None:
        raise SpecrefError("there is no draft for this target: give --draft DIR")
    if target.config.vocab_size != 256:
        raise SpecrefError(
            f"the demo reads bytes and this target has {target.config.vocab_size} tokens: give one"
            " of 256, or use specref generate"
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
    )
    with Progress(
        *columns, console=Console(stderr=True), disable=not interactive(), transient=True
    ) as bar:
        result = demonstrate(args, target, draft, bar)
    write_result(args.json, "demo", result)
    show(Console(highlight=False), result)
    return 0 if result["distribution"]["holds"] else 1


def demonstrate(
    args: argparse.Namespace, target: Transformer, draft: Transformer, bar: Progress
) -> dict[str, Any]:
    """The whole result, as --json writes it."""
    originals = held_out_prompts(args.prompts, PROMPT + args.new_tokens)
    prompts = [text[:PROMPT] for text in originals]
    more = bundled_addons(target) if args.target == BUNDLED / "target" else {}
    found = ways(target, draft, prompts, args.new_tokens, args.gamma, args.early_exit, more)
    task = bar.add_task("decoding, every way in turn", total=args.prompts + 1)
    timed = timing.in_turn(
        found, args.prompts, report=lambda done: bar.update(task, completed=done + 1)
    )
    middle = args.prompts // 2
    return {
        "ways": measured(found, timed),
        "held_out_distinct_8grams": distinct([text[PROMPT:] for text in originals]),
        "sample": {
            "prompt": bytes(prompts[middle]).decode(errors="replace"),
            "text": bytes(found["sampled speculation"].texts[middle]).decode(errors="replace"),
        },
        "distribution": distribution(args, target, draft, prompts, found, bar),
        "settings": {
            "prompts": args.prompts,
            "prompt_length": PROMPT,
            "new_tokens": args.new_tokens,
            "gamma": args.gamma,
            "draws": args.draws,
            "seed": args.seed,
            "dtype": args.dtype,
            "device": args.device,
            "temperature": 1.0,
        },
    }


def bundled_addons(target: Transformer) -> dict[str, tuple[str, Drafter]]:
    """What else was trained for the bundled target: its Medusa heads, as a tree of best guesses,
    and its MTP module.
    """
    heads = MedusaHeads.load(BUNDLED / "medusa", target.dtype, target.device)
    module = MTPModule.load(BUNDLED / "mtp", target.dtype, target.device)
    return {
        "Medusa tree": ("tree", MedusaDrafter(heads, best_first(2, 2))),
        "MTP, block": ("block", MTPDrafter(module, target)),
    }


def distribution(
    args: argparse.Namespace,
    target: Transformer,
    draft: Transformer,
    prompts: list[list[int]],
    found: dict[str, Way],
    bar: Progress,
) -> dict[str, Any]:
    """The three checks and whether all of them hold."""
    count = range(args.prompts)
    parity = greedy_parity(
        target,
        prompts,
        [found["target alone, greedy"].texts[i] for i in count],
        [found["greedy speculation"].texts[i] for i in count],
        args.gamma,
    )
    exact = {name: exact_small_case(RULES[name]) for name in SAMPLED}
    alpha = bonferroni(FALSE_ALARM, SAMPLED)
    params = SamplingParams(max_new_tokens=96, seed=args.seed)
    tests = {}
    for name in SAMPLED:
        report = partial(_advance, bar, bar.add_task(f"sequential test, {name}", total=args.draws))
        tests[name] = sampled_distribution(
            target,
            ModelDrafter(draft),
            draft,
            RULES[name],
            held_out_prompts(64, 32, skip=1),
            params,
            args.draws,
            alpha[name],
            min(args.gamma, 4),
            args.seed,
            report=report,
        )
    holds = (
        not parity.mismatches
        and all(e.equal for e in exact.values())
        and not any(t.rejected for t in tests.values())
    )
    return {
        "holds": holds,
        "greedy": asdict(parity),
        "exact": {name: asdict(e) | {"equal": e.equal} for name, e in exact.items()},
        "sequential": {name: t.as_dict() for name, t in tests.items()},
    }


def _advance(bar: Progress, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)


def show(console: Console, result: dict[str, Any]) -> None:
    """A sample of the text, the table, the verdict, and what to try next."""
    settings, sample = result["settings"], result["sample"]
    console.print(
        Text("a held-out file, and how sampled speculation goes on with it", style="bold")
    )
    before = "\n".join(sample["prompt"].split("\n")[-2:])
    lines = (before + sample["text"]).split("\n")[:8]
    excerpt = Text("\n".join(lines))
    excerpt.stylize("dim", 0, len(before))
    console.print(excerpt)
    console.print()
    console.print(_table(result, "-" if console.options.ascii_only else "–"))
    console.print(
        Text(
            f"{settings['prompts']} prompts and {settings['new_tokens']} tokens after each, at"
            f" temperature 1 (greedy: 0), up to {settings['gamma']} drafted a cycle. Accepted:"
            " share of the drafted tokens that were judged, with its 95 % interval over the"
            " prompts. Speedup: against the plain loop with the same sampling, median of runs in"
            " turn, prefill included. Distinct 8-grams: low where text loops; the held-out files"
            f" themselves have {result['held_out_distinct_8grams']:.2f}.",
            style="dim",
        )
    )
    console.print()
    _verdict(console, result["distribution"])
    console.print()
    console.print(Text("what to try next", style="bold"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for words, why in NEXT:
        grid.add_row(Text(f"  {_program()} {words}", style="cyan"), why)
    console.print(grid)


def _table(result: dict[str, Any], dash: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in HEADINGS:
        table.add_column(
            heading,
            justify="left" if heading == "way" else "right",
            no_wrap=True,
            vertical="bottom",
        )
    for name, row in result["ways"].items():
        accepted = (
            "-"
            if row["acceptance"] is None
            else f"{row['acceptance']:.2f} ({row['interval'][0]:.2f}{dash}{row['interval'][1]:.2f})"
        )
        share = "-" if row["distinct_8grams"] is None else f"{row['distinct_8grams']:.2f}"
        table.add_row(
            name,
            f"{row['tokens_per_target_forward']:.2f}",
            accepted,
            f"{row['speedup_total']:.2f}x",
            f"{row['speedup_decode_only']:.2f}x",
            share,
        )
    return table


def _verdict(console: Console, distribution: dict[str, Any]) -> None:
    greedy = distribution["greedy"]
    said = (
        f"{greedy['tokens']:,} tokens of {greedy['texts']} texts, each the one that the target"
        " alone writes"
    )
    if greedy["mismatches"]:
        said = (
            f"{greedy['mismatches']} of {greedy['texts']} texts differ from what the target alone"
            " writes"
        )
    if greedy["ties"]:
        said += f" ({greedy['ties']} part at a tie: two tokens closer than float error)"
    lines = [(not greedy["mismatches"], "greedy", said)]
    for name, one in distribution["exact"].items():
        equal = "the target's own" if one["equal"] else "not the target's"
        lines.append(
            (
                one["equal"],
                f"exact, {name}",
                (
                    f"the distribution of a small case, all {one['worlds']:,} outcomes of chance "
                    f"enumerated, is {equal} (TV {one['tv']:.0e})"
                ),
            )
        )
    for name, one in distribution["sequential"].items():
        seen = (
            "the distribution differs from the target's"
            if one["rejected"]
            else "no difference seen"
        )
        low, high = one["interval"]
        lines.append(
            (
                not one["rejected"],
                f"sampled, {name}",
                (
                    f"{seen} in {one['n']:,} tokens: TV {one['tv']:.3f}, 95 % interval {low:.3f} to"
                    f" {high:.3f}; one of {one['mde']:.3f} would be found with power"
                    f" {one['power']}; false alarm {one['alpha']:.0e}"
                ),
            )
        )
    good, bad = ("v", "x") if console.options.ascii_only else ("✓", "✗")
    said = (
        "the distribution holds: the output is the target's own"
        if distribution["holds"]
        else "THE DISTRIBUTION IS BROKEN: the output is not the target's"
    )
    console.print(Text(said, style="bold green" if distribution["holds"] else "bold red"))
    grid = Table.grid(padding=(0, 1))
    for passed, name, text in lines:
        style = "green" if passed else "bold red"
        grid.add_row(
            Text(f"  {good if passed else bad}", style=style), Text(name, style=style), Text(text)
        )
    console.print(grid)


def _program() -> str:
    """How this command was reached, for commands to copy."""
    if shutil.which("specref"):
        return "specref"
    own = Path(sys.argv[0])
    return os.path.relpath(own) if own.name == "specref" else "python -m reference"
