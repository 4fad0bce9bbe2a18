"""Counts of acceptance from a log, from counters and from cycles: one meaning whatever the source.

Protects: readers from a rate over drafted tokens, from an interval without a spread, and from a
damaged file that is half read.
"""

import json
from pathlib import Path

import pytest
from specref.errors import SpecrefError
from specref.measure.acceptance.counts import UnitCounts, merged, table
from specref.measure.acceptance.records import read_counters, read_log

LINES = [
    {"accepted": [3, 0, 4], "drafted": 4, "text": "a", "domain": "code", "temperature": 1},
    {"accepted": [1, 0, 2], "drafted": [4, 4, 2], "text": "b", "domain": "prose"},
    {"accepted": [2], "drafted": 4, "text": "a", "domain": "code", "temperature": 0},
]


def log(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    return path


def metrics(tmp_path: Path, name: str, drafts: int, drafted: int, kept: list[int]) -> Path:
    lines = [
        f'vllm:spec_decode_num_drafts_total{{engine="0"}} {drafts}.0',
        f'vllm:spec_decode_num_draft_tokens_total{{engine="0"}} {drafted}.0',
        f'vllm:spec_decode_num_accepted_tokens_total{{engine="0"}} {sum(kept)}.0',
    ]
    for position, count in enumerate(kept):
        label = f'{{engine="0",position="{position}"}}'
        lines.append(f"vllm:spec_decode_num_accepted_tokens_per_pos_total{label} {count}.0")
    path = tmp_path / name
    path.write_text("# HELP something\n" + "\n".join(lines) + "\n")
    return path


def test_judged_tokens_are_counted_by_position(tmp_path: Path) -> None:
    units = read_log(log(tmp_path, *LINES))
    assert units[0].judged == (3, 2, 2, 2)
    assert units[0].accepted == (2, 2, 2, 1)
    assert units[1].judged == (3, 2, 0, 0)  # the last draft has two tokens, both accepted
    assert units[1].accepted == (2, 1, 0, 0)
    assert units[1].drafted == 10


def test_the_table_groups_and_keeps_a_text_together(tmp_path: Path) -> None:
    units = read_log(log(tmp_path, *LINES))
    result = table(units)
    assert result["cycles"] == 7
    assert result["accepted"] == 12
    assert result["tokens_per_cycle"] == 1 + 12 / 7
    assert result["alpha"]["estimate"] == 12 / 17
    assert result["alpha"]["units"] == 2  # two lines are of one text
    assert [row["name"] for row in result["by_domain"]] == ["code", "prose"]
    assert [row["name"] for row in result["by_temperature"]] == [0, 1]
    assert result["by_temperature"][0]["interval"] == [None, None]
    accepted, judged = merged(units)
    assert (accepted.tolist(), judged.tolist()) == ([9, 3], [12, 5])


def test_counters_say_the_same_as_the_cycles(tmp_path: Path) -> None:
    cycles = [3, 0, 1, 3, 2, 2]
    unit = UnitCounts.of_cycles("x", cycles, [3] * 6)
    file = metrics(tmp_path, "m.txt", 6, 18, list(unit.accepted))
    units, equal = read_counters([file])
    assert equal
    assert (units[0].judged, units[0].accepted) == (unit.judged, unit.accepted)
    plain = tmp_path / "m.json"
    kept = {"num_drafts": 6, "num_draft_tokens": 18}
    plain.write_text(json.dumps(kept | {"num_accepted_tokens_per_pos": list(unit.accepted)}))
    again, _ = read_counters([plain])
    assert again == units


def test_readings_make_windows_and_shorter_drafts_are_said(tmp_path: Path) -> None:
    files = [
        metrics(tmp_path, "a.txt", 10, 30, [8, 6, 4]),
        metrics(tmp_path, "b.txt", 20, 60, [15, 11, 6]),
        metrics(tmp_path, "c.txt", 40, 110, [31, 20, 10]),
    ]
    units, equal = read_counters(files)
    assert [unit.accepted for unit in units] == [(7, 5, 2), (16, 9, 4)]
    assert not equal


BAD = {
    "no JSON": ("{", "is no JSON"),
    "a list": ("[1]", "braces"),
    "no lengths": ({"drafted": 4}, "accepted as a list"),
    "too many": ({"accepted": [5], "drafted": 4}, "more than it drafted"),
    "other count": ({"accepted": [1, 2], "drafted": [4]}, "one of each"),
    "negative": ({"accepted": [-1], "drafted": 4}, "accepted as a list"),
    "temperature": ({"accepted": [1], "drafted": 4, "temperature": "hot"}, "no number"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_line_is_named(case: str, tmp_path: Path) -> None:
    line, mend = BAD[case]
    with pytest.raises(SpecrefError, match="line 2") as error:
        read_log(log(tmp_path, LINES[0], line))
    assert mend in str(error.value)


def test_wrong_counters_are_refused(tmp_path: Path) -> None:
    early, late = (metrics(tmp_path, name, n, 3 * n, [n]) for name, n in (("a", 5), ("b", 9)))
    with pytest.raises(SpecrefError, match="oldest first"):
        read_counters([late, early])
    with pytest.raises(SpecrefError, match="more often"):
        read_counters([metrics(tmp_path, "c", 3, 9, [1, 2])])
    empty = tmp_path / "d"
    empty.write_text("up 1\n")
    with pytest.raises(SpecrefError, match="num_drafts"):
        read_counters([empty])
    with pytest.raises(SpecrefError, match="cannot read"):
        read_counters([tmp_path / "nowhere"])


def test_nothing_judged_is_refused() -> None:
    with pytest.raises(SpecrefError, match="switched on"):
        table([UnitCounts.of_cycles("x", [0], [0])])
