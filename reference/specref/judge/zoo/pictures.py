"""The wrong distributions of bugs that real engines had: p against what is emitted, exactly."""

from typing import Any

from .run import BUGS, Conviction, convict

_MOST = 6  # outcomes of a picture; the others are summed


def pictures() -> list[dict[str, Any]]:
    """Each bug with an issue for a source whose emitted distribution differs from the target's: the
    case that is furthest off, and its outcomes, the furthest off first.
    """
    found = []
    for bug in BUGS.values():
        if "#" in bug.source:
            picture = _picture(convict(bug))
            if picture is not None:
                found.append(picture)
    return found


def _picture(done: Conviction) -> dict[str, Any] | None:
    seen = [one for one in done.findings if one.tv > 0 and one.expected is not None]
    worst = max(seen, key=lambda one: one.tv, default=None)
    if worst is None or worst.emitted is None or worst.expected is None:
        return None
    emitted, expected = worst.emitted, worst.expected
    order = sorted(
        emitted.keys() | expected.keys(),
        key=lambda key: (-abs(emitted.get(key, 0.0) - expected.get(key, 0.0)), str(key)),
    )
    rows: list[dict[str, Any]] = [
        {"outcome": _name(key), "p": expected.get(key, 0.0), "emitted": emitted.get(key, 0.0)}
        for key in order[:_MOST]
    ]
    rest = order[_MOST:]
    if rest:
        sums = {"p": expected, "emitted": emitted}
        left: dict[str, Any] = {
            name: sum(one.get(key, 0.0) for key in rest) for name, one in sums.items()
        }
        rows.append({"outcome": f"{len(rest)} others"} | left)
    bug = done.bug
    return {
        "name": bug.name,
        "source": bug.source,
        "symptom": bug.symptom,
        "caught_by": bug.caught_by,
        "convicted": done.convicted,
        "case": worst.case,
        "tv": worst.tv,
        "outcomes": rows,
    }


def _name(outcome: object) -> str:
    """A token, the tokens of a text with spaces between, or a text and how it ended."""
    if not isinstance(outcome, tuple):
        return str(outcome)
    apart = ", " if any(isinstance(part, tuple) for part in outcome) else " "
    return apart.join(map(_name, outcome))
