"""report.html: everything in one file that asks for nothing from anywhere."""

from html import escape
from pathlib import Path

from ..verdict import Report, Verdict
from . import words
from .drawing import draw_figure

_PICTURES = 4  # of one check


def page(report: Report) -> str:
    """The whole page: the verdict, what failed, all checks, the distributions of the others, what
    the engine printed.
    """
    said = words.sentence(report)
    outcome, _, rest = said.partition(": ")
    failed = {verdict.id for verdict in report.failed}
    told = words.failures(report)
    failed |= {verdict.id for verdict in words.elsewhere(report)}
    drawn = [v for v in words.ordered(report) if v.id not in failed and (v.pictures or v.reach)]
    parts = [
        (
            f'<p class="run">{escape(report.name or report.engine)} · {report.level} level · seed'
            f' {report.seed} · {report.seconds:.0f} s</p><h1><span class="verdict'
            f' {outcome}">{outcome}</span> {escape(rest)}</h1>'
        ),
        f"<p>{escape(words.counts(report))}.</p>" if report.expected else "",
        _section("What failed", "".join(_check(report, v) for v in told)),
        _section(
            "What is wrong without speculation too",
            "".join(_check(report, v) for v in words.elsewhere(report)),
        ),
        _section("All checks", _table(report) if report.checks else ""),
        _section(
            "Distributions, and what would have been found",
            "".join(_check(report, v) for v in drawn),
        ),
        _section(
            "What the engine printed",
            (
                f"<details><summary>{len(report.noise.splitlines())} lines</summary>"
                f"<pre>{escape(report.noise)}</pre></details>"
                if report.noise.strip()
                else ""
            ),
        ),
        _footer(report),
    ]
    style = (Path(__file__).parent / "page.css").read_text()
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '
        'content="width=device-width,'
        f' initial-scale=1">\n<title>{escape(said[:80])}</title>\n<style>\n{style}</style>\n'
        f"</head>\n<body>\n{''.join(parts)}\n</body>\n</html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>{content}\n" if content else ""


def _check(report: Report, verdict: Verdict) -> str:
    """One check in full."""
    facts = [
        ("What", verdict.what),
        ("Case", verdict.case),
        ("Smallest scenario", verdict.scenario),
        ("Without speculation", words.control(verdict)),
        ("Likely cause", verdict.cause),
        ("TV", words.tv_words(verdict) if verdict.tv is not None else ""),
        ("Evidence", _evidence(verdict)),
        ("Reach", words.reach(verdict)),
    ]
    lines = "".join(
        f'<p><span class="soft">{name}:</span> {escape(text)}</p>' for name, text in facts if text
    )
    pictures = "".join(draw_figure(picture) for picture in verdict.pictures[:_PICTURES])
    more = len(verdict.pictures) - _PICTURES
    left_out = f'<p class="soft">{more} more pictures are in report.json.</p>' if more > 0 else ""
    return (
        f'<section class="check {verdict.verdict}" id="{escape(verdict.id)}"><h3>'
        f'<span class="verdict {verdict.verdict}">'
        f"{escape(words.known(report, verdict))}</span> {escape(verdict.id)}</h3>"
        f'<p class="soft">{escape(report.questions.get(verdict.id, ""))}</p>{lines}{pictures}{left_out}'
        f"<pre>{escape(verdict.repro)}</pre></section>"
    )


def _evidence(verdict: Verdict) -> str:
    parts = [words.method(verdict)] if verdict.method != "none" else []
    parts += [f"n = {verdict.n:,}"] if verdict.n else []
    parts += [f"false alarm {verdict.alpha:.1e}"] if verdict.alpha is not None else []
    parts += (
        [f"a TV of {words.number(verdict.mde)} would have been found"]
        if verdict.mde is not None
        else []
    )
    return ", ".join(parts)


def _table(report: Report) -> str:
    told = {verdict.id for verdict in report.failed} | {
        v.id for v in report.checks if v.pictures or v.reach
    }
    rows = ""
    for v in words.ordered(report):
        name = f'<a href="#{escape(v.id)}">{escape(v.id)}</a>' if v.id in told else escape(v.id)
        rows += (
            f'<tr><td class="verdict {v.verdict}">{escape(words.known(report, v))}</td><td'
            ' class="id"'
            f' title="{escape(report.questions.get(v.id, ""), quote=True)}">{name}</td><td>{escape(words.method(v))}</td><td'
            f' class="number">{f"{v.n:,}" if v.n else "-"}</td><td'
            f' class="number">{words.number(v.mde)}</td><td'
            f' class="number">{words.number(v.tv)}</td><td>{escape(v.what)}</td></tr>'
        )
    return (
        '<div class="scroll"><table><thead><tr><th>verdict</th><th>check</th><th>method</th><th'
        ' class="number">n</th><th class="number">MDE</th><th class="number">TV</th><th>what was'
        f" seen</th></tr></thead><tbody>{rows}</tbody></table></div><p"
        f' class="note">{escape(words.LEGEND)}</p>'
    )


def _footer(report: Report) -> str:
    state = "complete" if report.complete else "incomplete"
    rate = (
        "" if report.alpha is None else f" False alarms of the whole run: {report.alpha:g} at most."
    )
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in report.notes)
    return (
        f"<footer>{notes}<p>{len(report.checks)} of {len(report.expected)} checks have a verdict:"
        f" this report is {state}.{rate} Every check is described on the page “Checks of the judge”"
        " of the documentation, under its id.</p></footer>"
    )
