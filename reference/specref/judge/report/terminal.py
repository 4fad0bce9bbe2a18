"""The summary on the terminal: the verdict in one sentence, what failed and how to see it again,
and every check.
"""

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ..verdict import Report, Verdict
from . import words

COLOUR = {
    "PASS": "green",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "UNVERIFIED": "yellow",
    "UNSUPPORTED": "dim",
    "LOSSY-BY-DESIGN": "magenta",
    "NOT-SPECULATION": "yellow",
    "CRASHED": "bold red",
}
_WIDE = 110  # columns from which a table has room for words
_TOLD = 4  # failures told in full: the summary has to fit a screen
_NOISE = 12  # lines of what the engine printed, when it crashed


def show(report: Report, console: Console) -> None:
    """Print it all, the sentence first and the counts last."""
    said = words.sentence(report)
    outcome, _, rest = said.partition(": ")
    console.print(f"[{COLOUR[outcome]}]{outcome}[/]: {escape(rest)}", highlight=False)
    for verdict in [*words.failures(report)[:_TOLD], *words.elsewhere(report)[:_TOLD]]:
        console.print()
        _failure(report, verdict, console)
    if len(report.failed) > _TOLD:
        console.print(
            f"\n{len(report.failed) - _TOLD} more failed: they stand in the table, and --report DIR"
            " tells all",
            highlight=False,
        )
    if report.crashed and report.noise.strip():
        console.print("\nthe last that the engine printed:", highlight=False)
        lines = report.noise.strip().splitlines()[-_NOISE:]
        console.print(
            Padding(escape("\n".join(line[:400] for line in lines)), (0, 0, 0, 2), expand=False),
            style="dim",
            highlight=False,
        )
    if report.checks:
        console.print()
        console.print(_table(report, console.width >= _WIDE))
        console.print(f"[dim]{words.LEGEND}[/]", highlight=False)
    for note in report.notes:
        console.print(f"note: {escape(note)}", highlight=False)
    if report.expected:
        console.print()
        rate = (
            ""
            if report.alpha is None
            else f"; false alarms of the whole run: {report.alpha:g} at most"
        )
        console.print(
            f"[{COLOUR[outcome]}]{outcome}[/] · {words.counts(report)} ·"
            f" {escape(report.name or report.engine)}, {report.level} level, seed {report.seed},"
            f" {report.seconds:.0f} s{rate}",
            highlight=False,
        )


def _failure(report: Report, verdict: Verdict, console: Console) -> None:
    """One failure: what, where, why, and how to see it again."""
    console.print(
        f"[{COLOUR[verdict.verdict]}]{words.known(report, verdict)}[/] [bold]{verdict.id}[/]  "
        f"[dim]{escape(report.questions.get(verdict.id, ''))}[/]",
        highlight=False,
    )
    parts = [
        ("what", verdict.what),
        ("case", verdict.case),
        ("smallest scenario", verdict.scenario),
        ("without speculation", words.control(verdict)),
        ("likely cause", "" if verdict.cause in verdict.what else verdict.cause),  # said once
        ("TV", words.tv_words(verdict) if verdict.tv is not None else ""),
    ]
    for name, text in parts:
        if text:
            console.print(
                Padding(f"{name}: {escape(text)}", (0, 0, 0, 2), expand=False), highlight=False
            )
    console.print(f"  again: [cyan]{escape(verdict.repro)}[/]", highlight=False, soft_wrap=True)


def _table(report: Report, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("verdict", "check", "method", "n", "MDE", "TV"):
        table.add_column(
            name,
            justify="right" if name in ("n", "MDE", "TV") else "left",
            no_wrap=name != "check",
            overflow="fold",
        )
    if wide:
        table.add_column("what was seen")
    for verdict in words.ordered(report):
        row = [
            f"[{COLOUR[verdict.verdict]}]{words.known(report, verdict)}[/]",
            verdict.id,
            words.method(verdict),
            f"{verdict.n:,}" if verdict.n else "-",
            words.number(verdict.mde),
            words.number(verdict.tv),
        ]
        table.add_row(*row, *([escape(verdict.what)] if wide else []))
    return table
