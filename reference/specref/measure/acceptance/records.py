"""What engines leave behind: a log of accepted lengths, or counters.

A log has one request a line, as JSON: `{"accepted": [3, 0, 4], "drafted": 4}`. `drafted` is one
length, or one for each cycle. `text`, `domain` and `temperature` are optional; lines with the same
text are one sampled unit.

Counters are read from the Prometheus text that vLLM serves at /metrics, under the names in
`_NAMES`, or from a JSON object with the same names without prefix and suffix. Several readings,
oldest first, make windows.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...errors import SpecrefError
from .counts import UnitCounts

_NAMES = {
    "num_drafts": "cycles",
    "num_draft_tokens": "drafted",
    "num_accepted_tokens_per_pos": "positions",
}
_LINE = re.compile(r"^(?:\w+:)?spec_decode_(\w+?)(?:_total)?(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$")
_POSITION = re.compile(r'position="(\d+)"')
CounterReading = dict[str, Any]


def text_of(path: Path) -> str:
    """A file as text.

    Errors:
        SpecrefError where it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise SpecrefError(f"cannot read {path} ({reason}): give another file") from None


def read_log(path: Path) -> list[UnitCounts]:
    """One unit a request.

    Errors:
        SpecrefError names the line that is wrong.
    """
    units = []
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            units.append(_request(line, f"{path}, line {number}"))
    return units


def _request(line: str, place: str) -> UnitCounts:
    entry = _object(line, place)
    accepted, drafted = entry.get("accepted"), entry.get("drafted")
    if _is_count(drafted) and isinstance(accepted, list):
        drafted = [drafted] * len(accepted)
    if accepted is None or drafted is None or not (_are_counts(accepted) and _are_counts(drafted)):
        raise SpecrefError(
            f"{place}: give accepted as a list of lengths, and drafted as a length or a list, as in"
            ' {"accepted": [3, 0, 4], "drafted": 4}'
        )
    temperature, domain = entry.get("temperature"), entry.get("domain")
    if temperature is not None and not _is_number(temperature):
        raise SpecrefError(f"{place}: temperature {temperature!r} is no number: give one, or none")
    unit = UnitCounts.of_cycles(
        place,
        accepted,
        drafted,
        domain=None if domain is None else str(domain),
        temperature=None if temperature is None else float(temperature),
    )
    named = entry.get("text")
    return unit if named is None else replace(unit, name=str(named))


def read_counters(paths: Sequence[Path]) -> tuple[list[UnitCounts], bool]:
    """One unit a window between two readings, or one unit in all from a single reading; and whether
    all drafts were equally long. Where they were not, the judged tokens of later positions are too
    many, and their rates too low.

    Errors:
        SpecrefError for missing counters, and for counters that run backwards.
    """
    readings = [_reading(path) for path in paths]
    if len(readings) == 1:
        windows = readings
    else:
        windows = [_difference(*pair) for pair in pairwise(readings)]
    units = []
    for number, window in enumerate(windows, 1):
        kept = [window["positions"][i] for i in sorted(window["positions"])]
        judged = [window["cycles"], *kept[:-1]]
        if any(after > before for before, after in zip(judged, kept, strict=True)):
            raise SpecrefError(
                f"window {number}: a position was accepted more often than the one before: give"
                " readings of one engine, oldest first"
            )
        counts = window["cycles"], window["drafted"], tuple(judged), tuple(kept)
        units.append(UnitCounts(f"window {number}", *counts))
    equal = all(unit.drafted == unit.cycles * len(unit.judged) for unit in units)
    return units, equal


def _reading(path: Path) -> CounterReading:
    text = text_of(path)
    read = _from_json(text, str(path)) if text.lstrip().startswith("{") else _from_metrics(text)
    missing = [name for name, key in _NAMES.items() if not read.get(key)]
    if missing:
        raise SpecrefError(
            f"{path} has no {', '.join(missing)}: give what vLLM serves at /metrics, or JSON with"
            f" {', '.join(_NAMES)}"
        )
    return read


def _from_json(text: str, place: str) -> CounterReading:
    entry = _object(text, place)
    kept = entry.get("num_accepted_tokens_per_pos", [])
    counts = [entry.get("num_drafts", 0), entry.get("num_draft_tokens", 0)]
    if not (_are_counts(kept) and _are_counts(counts)):
        raise SpecrefError(f"{place}: a counter is no whole number of 0 or more: give counts")
    return {"cycles": counts[0], "drafted": counts[1], "positions": dict(enumerate(kept))}


def _from_metrics(text: str) -> CounterReading:
    """Sums over label sets, so that several engines or models count together."""
    read: CounterReading = {"cycles": 0, "drafted": 0, "positions": {}}
    for line in text.splitlines():
        found = _LINE.match(line.strip())
        if found is None or found[1] not in _NAMES:
            continue
        key, value = _NAMES[found[1]], _counter(found[3])
        place = _POSITION.search(found[2] or "")
        if key != "positions":
            read[key] += value
        elif place is not None:
            position = int(place[1])
            read[key][position] = read[key].get(position, 0) + value
    return read


def _counter(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SpecrefError(f"the counter {text!r} is no count: give what the engine serves")
    return int(value)


def _difference(before: CounterReading, after: CounterReading) -> CounterReading:
    old = before["positions"]
    kept = {i: count - old.get(i, 0) for i, count in after["positions"].items()}
    cycles, drafted = (after[key] - before[key] for key in ("cycles", "drafted"))
    if min(cycles, drafted, *kept.values()) < 0:
        raise SpecrefError(
            "a counter runs backwards: give readings of one run of the engine, oldest first"
        )
    return {"cycles": cycles, "drafted": drafted, "positions": kept}


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise SpecrefError(f"{place} is no JSON ({error}): write one object") from None
    if not isinstance(entry, dict):
        raise SpecrefError(f"{place} is no JSON object: write one in braces")
    return entry


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))
