"""What `specref demo` prints: a sample of the text, the modes, the verdict, next steps."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_HEADINGS = (
    "tokens per\ntarget\nforward",
    "accepted",
    "speedup",
    "decode\nonly",
    "distinct\n8-grams",
)
_NEXT = (
    ("trace --rule block", "watch every coin of one generation"),
    ("generate --prompt 'class Point:'", "continue a text of your own"),
    ("bench", "measure the speed, and predict it"),
    ("validate --init kernel my_adapter.py", "start to validate your own engine"),
)


def show_demo(console: Console, result: dict[str, Any]) -> None:
    """A sample of the text, the table, the verdict, and what to try next."""
    _print_sample(console, result["sample"])
    console.print(_modes_table(result, "-" if console.options.ascii_only else "–"))
    console.print(Text(_about_table(result), style="dim"))
    console.print()
    _print_verdict(console, result["distribution"])
    console.print()
    console.print(Text("what to try next", style="bold"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for words, why in _NEXT:
        grid.add_row(Text(f"  {_program()} {words}", style="cyan"), why)
    console.print(grid)


def _print_sample(console: Console, sample: dict[str, str]) -> None:
    console.print(Text("a held-out file (dim), continued by sampled speculation", style="bold"))
    before = "\n".join(sample["prompt"].split("\n")[-2:])
    lines = (before + sample["text"]).split("\n")[:8]
    excerpt = Text("\n".join(lines))
    excerpt.stylize("dim", 0, len(before))
    console.print(excerpt)
    console.print()


def _about_table(result: dict[str, Any]) -> str:
    settings = result["settings"]
    return (
        f"{settings['prompts']} prompts, {settings['new_tokens']} new tokens each, temperature 1"
        f" (greedy: 0), at most {settings['gamma']} drafted tokens a cycle. Accepted: share of the"
        " judged draft tokens, with a 95 % interval over the prompts. Speedup: against the plain"
        " loop with the same sampling, median over interleaved runs, prefill included. Distinct"
        " 8-grams: low where a text loops; the held-out files themselves have"
        f" {result['held_out_distinct_8grams']:.2f}."
    )


def _modes_table(result: dict[str, Any], dash: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("mode", no_wrap=True, vertical="bottom")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    for name, row in result["modes"].items():
        accepted = "-"
        if row["acceptance"] is not None:
            low, high = row["interval"]
            accepted = f"{row['acceptance']:.2f} ({low:.2f}{dash}{high:.2f})"
        share = row["distinct_8grams"]
        table.add_row(
            name,
            f"{row['tokens_per_target_forward']:.2f}",
            accepted,
            f"{row['speedup_total']:.2f}x",
            f"{row['speedup_decode_only']:.2f}x",
            "-" if share is None else f"{share:.2f}",
        )
    return table


def _print_verdict(console: Console, checks: dict[str, Any]) -> None:
    good, bad = ("v", "x") if console.options.ascii_only else ("✓", "✗")
    said, style = "FAIL: the output does not have the target's distribution", "bold red"
    if checks["holds"]:
        said, style = "PASS: the output has the target's distribution", "bold green"
    console.print(Text(said, style=style))
    grid = Table.grid(padding=(0, 1))
    for passed, name, text in _check_lines(checks):
        style = "green" if passed else "bold red"
        mark = good if passed else bad
        grid.add_row(Text(f"  {mark}", style=style), Text(name, style=style), Text(text))
    console.print(grid)


def _check_lines(checks: dict[str, Any]) -> list[tuple[bool, str, str]]:
    """Of each check: whether it passed, its name, and what it found."""
    lines = [(not checks["greedy"]["mismatches"], "greedy", _greedy_line(checks["greedy"]))]
    for name, one in checks["exact"].items():
        lines.append((one["equal"], f"exact, {name}", _exact_line(one)))
    for name, one in checks["sequential"].items():
        lines.append((not one["rejected"], f"sampled, {name}", _sequential_line(one)))
    return lines


def _greedy_line(greedy: dict[str, Any]) -> str:
    said = (
        f"all {greedy['tokens']:,} tokens of {greedy['texts']} texts are those that the target"
        " alone writes"
    )
    if greedy["mismatches"]:
        said = (
            f"{greedy['mismatches']} of {greedy['texts']} texts differ from what the target alone"
            " writes"
        )
    if greedy["ties"]:
        said += f" ({greedy['ties']} differ at a tie: two tokens closer than float error)"
    return said


def _exact_line(exact: dict[str, Any]) -> str:
    equal = "equals" if exact["equal"] else "differs from"
    return (
        f"small case, all {exact['worlds']:,} outcomes of chance enumerated: the distribution"
        f" {equal} the target's (TV {exact['tv']:.0e})"
    )


def _sequential_line(test: dict[str, Any]) -> str:
    found = "no difference found"
    if test["rejected"]:
        found = "the distribution differs from the target's"
    low, high = test["interval"]
    return (
        f"{found} in {test['n']:,} tokens: TV {test['tv']:.3f} (95 % interval {low:.3f} to"
        f" {high:.3f}); TV {test['mde']:.3f} would be found with power {test['power']};"
        f" false-alarm rate {test['alpha']:.0e}"
    )


def _program() -> str:
    """How this command was started, for commands to copy."""
    if shutil.which("specref"):
        return "specref"
    own = Path(sys.argv[0])
    return os.path.relpath(own) if own.name == "specref" else "python -m specref"
