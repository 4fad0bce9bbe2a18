"""The page of all checks of the judge, from their docstrings: no check without its page, no page
without its check.
"""

from specref.judge.suite import LEVELS, Check, checks

WHAT = {
    "kernel": "One verification step, called directly.",
    "scheduler": "A policy that decides how much of a draft is verified, called directly.",
    "engine": "Whole generation on toy checkpoints, in one process.",
    "http": "A server, beside one of the same target without speculation.",
}


def page() -> str:
    """Markdown: a table of each level, then every check under its id, which is its anchor."""
    parts = [
        "# Checks of the judge",
        "",
        (
            "Every check has a permanent id, one question, and the version since which it stands."
            " Reports name checks by"
        ),
        (
            "these ids. Which of them an engine is asked depends on what it has: the rest is"
            " reported as UNSUPPORTED, and"
        ),
        "counted. How to have an engine judged stands on [its own page](validate.md).",
    ]
    for level in LEVELS:
        found = checks(level)
        parts += [
            "",
            f"## Level {level} {{ #{level} }}",
            "",
            f"{WHAT[level]} Checks: {len(found)}.",
            "",
            "| check | question |",
            "|---|---|",
        ]
        parts += [
            f"| [`{item.id}`](#{item.id}) | {item.question.replace('|', chr(92) + '|')} |"
            for item in found
        ]
        parts += [line for item in found for line in _one(item)]
    return "\n".join(parts) + "\n"


def _one(item: Check) -> list[str]:
    """One check: its question, how it is decided, what it needs, and the rest of its docstring."""
    how = (
        "A sequential test, with a share of the run's false-alarm rate."
        if item.statistical
        else "Decided without chance."
    )
    asked = (
        " It asks for the target's distribution, from which a rule that is lossy by design is"
        " excused."
        if item.distribution
        else ""
    )
    needs = f" Needs {', '.join(f'`{need}`' for need in sorted(item.needs))}." if item.needs else ""
    return [
        "",
        f"### `{item.id}` {{ #{item.id} }}",
        "",
        f"**{item.question}**",
        "",
        *(line.strip() for line in item.about.splitlines()),
        "",
        f"{how}{asked}{needs} Since version {item.since}.",
    ]
