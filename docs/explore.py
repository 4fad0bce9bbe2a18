"""Explorables of the course: a still picture with its sentences, what it is computed from, and the
script that makes it move.

docs/pages/assets/explore/NAME.js draws both the still and what moves. `python -m docs.explore`
renders the stills into docs/figures/stills with Chromium; run it when a script or a result file has
changed. The test of the explorables compares them.
"""

import json
import posixpath
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from specref.exercises import rejection_step
from specref.exercises.grading.exercise import KnownAnswer
from specref.exercises.grading.forks import Forks, exact_distance, exact_distribution, written
from specref.measure.speed.step_costs import in_plain_steps
from specref.stats.power import samples

from docs.browser import Browser, browser_path
from docs.hooks import results

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "docs" / "pages" / "assets" / "explore"
STILLS = ROOT / "docs" / "figures" / "stills"
SHARED = "explore"  # the script that all others need

# Name -> what a screen reader calls it
NAMES = {
    "roofline": "Roofline: the time of a layer over several tokens",
    "trace": "Recorded cycles, step by step",
    "coin": "p and q, and what is emitted",
    "chain": "Every draft of a chain",
    "speed": "Speed calculator",
    "tree": "Tree builder",
    "pages": "Pages of a cache",
    "power": "How many draws show a fault",
    "zoo": "Which mistake is it?",
}

# Name -> the result file that it is mostly about
SOURCES = {
    "roofline": "bench",
    "trace": "trace",
    "speed": "bench",
    "tree": "medusa",
    "pages": "trace",
}

_BLOCK = """\
<figure class="explore" data-explore="{name}" {source} aria-label="{label}">
<div class="explore-view">{still}</div>
<script type="application/json">{data}</script>
</figure>
<script src="{shared}" defer></script>
<script src="{script}" defer></script>
"""

Data = dict[str, Any]


def block(name: str, here: str = "") -> str:
    """An explorable in a page of the site. here: the page's folder in the site.

    Errors:
        LookupError for an unknown one.
    """
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise LookupError(f"a page has the explorable {name!r}, which is not one of {known}")
    folder = posixpath.relpath("assets/explore", here or ".")
    return _BLOCK.format(
        name=name,
        label=escape(NAMES[name]),
        source=f'data-result="{SOURCES[name]}"' if name in SOURCES else "",
        still=still_file(name).read_text(encoding="utf-8").strip(),
        data=json.dumps(data(name)).replace("<", "\\u003c"),
        shared=f"{folder}/{SHARED}.js",
        script=f"{folder}/{name}.js",
    )


def still_file(name: str) -> Path:
    return STILLS / f"{name}.html"


def data(name: str) -> Data:
    """What an explorable gets to know."""
    return _DATA[name]() if name in _DATA else {}


def _loaded(command: str) -> results.Result:
    result = results.load(ROOT, command)
    if result is None:
        raise LookupError(f"an explorable needs a result file: {results.wanting(command)}")
    return result


def _curve(result: results.Result) -> list[float]:
    """The verify curve, from one token on without a gap."""
    curve = result["verify_curve"]
    return [curve[str(k)] for k in range(1, len(curve) + 1)]


def _roofline() -> Data:
    return {"curve": _curve(_loaded("bench"))}


def _speed() -> Data:
    serving = _loaded("bench --serving")
    batches = [
        {"size": batch["size"], "ratio": batch["speculative"] / batch["plain"]}
        for batch in serving["batches"]
    ]
    curve = in_plain_steps(_loaded("bench")["microseconds"])
    return {"curve": curve, "batches": batches, "gamma": serving["gamma"]}


def _trace() -> Data:
    trace = _loaded("trace")
    return {"prompt": trace["prompt"], "cycles": [_cycle(cycle) for cycle in trace["cycles"]]}


def _part(entry: Mapping[str, Any], *keys: str) -> Data:
    return {key: entry[key] for key in keys}


def _cycle(cycle: Mapping[str, Any]) -> Data:
    following = _part(cycle["next"], "token", "kind")
    return {
        "draft": [_part(token, "token", "q", "p", "fate", "coin") for token in cycle["draft"]],
        "accepted": cycle["accepted"],
        "next": following,
        "emitted": cycle["emitted"],
    }


def _tree() -> Data:
    """Accuracy of each rank of each head: what the first r guesses hold, less what r - 1 hold."""
    profile = _loaded("profile medusa")
    accuracy = []
    for head in profile["heads"]:
        within = [0.0, *(head[f"top{rank}"] for rank in range(1, 6))]
        accuracy.append([b - a for a, b in pairwise(within)])
    return {
        "accuracy": accuracy,
        "curve": _curve(profile),
        "heads_cost": profile["heads_cost"],
    }


# Tokens of the prompt of each row, and the cycle of the recorded trace at which it begins.
_PAGED_ROWS = ((31, 0), (9, 3), (52, 6), (17, 1))


def _pages() -> Data:
    """Four rows that accept what the recorded trace accepted, each from another cycle on."""
    trace = _loaded("trace")
    accepted = [cycle["accepted"] for cycle in trace["cycles"]]
    rows: list[Data] = []
    for number, (prompt, first) in enumerate(_PAGED_ROWS):
        count = len(accepted) - 4 + number  # the rows end one after the other
        kept = [accepted[(first + i) % len(accepted)] for i in range(count)]
        rows.append({"prompt": prompt, "accepted": kept})
    longest = max(map(_length_at_end, rows))
    return {"rows": rows, "gamma": trace["gamma"], "longest": longest}


def _length_at_end(row: Data) -> int:
    """Tokens in the cache: a cycle adds what is accepted, and the token that was pending."""
    accepted: list[int] = row["accepted"]
    return int(row["prompt"]) - 1 + sum(accepted) + len(accepted)


TVS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
CELLS = (8, 256, 32_768)
ALPHA, POWER = 1e-6, 0.999


def _power() -> Data:
    def needed(arms: int) -> list[list[int]]:
        counts = []
        for cells in CELLS:
            counts.append([samples(tv, cells, ALPHA, POWER, arms) for tv in TVS])
        return counts

    tests = {"known": needed(1), "pairs": needed(2)}
    return {"tv": TVS, "cells": CELLS, "alpha": ALPHA, "power": POWER, "tests": tests}


SUSPECTS = (
    "redraw_from_p",
    "always_accept",
    "redraw_from_q",
    "absolute_difference",
    "p_without_x",
    "smoothed_residual",
)
CASE = 1  # of the exercise: there each of the suspects emits a distribution of its own


def _zoo() -> Data:
    exercise = rejection_step.EXERCISE
    case = exercise.cases[CASE]
    known = {one.rule.__name__: one for one in exercise.mistakes}
    cases = [_suspect(exercise, case, known[name]) for name in SUSPECTS]
    p, q = case["p"], case["q"]
    overlap = sum(min(a, b) for a, b in zip(p, q, strict=True))
    return {
        "p": [float(share) for share in p],
        "q": [float(share) for share in q],
        "overlap": float(overlap),
        "cases": cases,
    }


def _suspect(
    exercise: rejection_step.OneToken, case: Mapping[str, Any], known: KnownAnswer
) -> Data:
    """One mistake as a detective meets it: what it emits, exactly, and what strikes one first."""

    def program(chance: Forks) -> Any:
        return exercise.run(known.rule, case, chance)

    emitted = [Fraction(0)] * len(case["p"])
    kept = Fraction(0)
    for outcome, share in exact_distribution(program).items():
        x, token = cast(tuple[int, int], outcome)
        emitted[token] += share
        kept += share * (x == token)
    gaps = [a - b for a, b in zip(emitted, case["p"], strict=True)]
    often, seldom = gaps.index(max(gaps)), gaps.index(min(gaps))
    off = exact_distance(dict(enumerate(emitted)), dict(enumerate(case["p"])))
    return {
        "id": known.id,
        "name": known.name,
        "why": known.why,
        "symptom": f"{'ABC'[often]} comes out too often, {'ABC'[seldom]} too seldom.",
        "emitted": [float(share) for share in emitted],
        "kept": float(kept),
        "tv": written(off),
    }


_DATA: dict[str, Callable[[], Data]] = {
    "roofline": _roofline,
    "trace": _trace,
    "speed": _speed,
    "tree": _tree,
    "pages": _pages,
    "power": _power,
    "zoo": _zoo,
}


def load_scripts(browser: Browser, names: list[str] | None = None) -> None:
    """Put the explorables into the open page."""
    for name in [SHARED, *(names or NAMES)]:
        browser.evaluate((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") + "\n; 0")


def rendered(browser: Browser, name: str) -> str:
    """The still of an explorable whose script is in the page."""
    given = json.dumps(data(name))
    one = f"specrefExplore[{json.dumps(name)}]"
    draw = f"(data => specrefExplore.html({one}.view({one}.start(data), data)))({given})"
    return str(browser.evaluate(draw)) + "\n"


def main() -> int:
    path = browser_path()
    if path is None:
        print("no Chromium here: install one, or name it by CHROMIUM", file=sys.stderr)
        return 2
    STILLS.mkdir(exist_ok=True)
    with Browser(path) as browser:
        load_scripts(browser)
        for name in NAMES:
            still_file(name).write_text(rendered(browser, name), encoding="utf-8")
    print(f"{len(NAMES)} stills in {STILLS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
