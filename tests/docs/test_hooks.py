"""Calls in pages, formulas, the glossary, results and examples, as plain functions."""

import json
from pathlib import Path
from typing import Any

import pytest

from docs.hooks import fences, glossary, macros, maths, results

ROOT = Path(__file__).parents[2]


def test_calls_are_expanded_outside_code_only() -> None:
    functions = {"say": lambda word, times=1: word * times}
    page = 'a {{ say("x", 3) }} b\n\n```python\n{{ say("y") }}\n```\n{{say("z")}}'
    assert macros.expand(page, functions) == 'a xxx b\n\n```python\n{{ say("y") }}\n```\nz'


@pytest.mark.parametrize("call", ['{{ other("x") }}', "{{ say(open) }}", '{{ say(word="x") }}'])
def test_other_calls_are_refused(call: str) -> None:
    with pytest.raises(ValueError, match=r"other|malformed|not possible"):
        macros.expand(call, {"say": str})


def test_formulas_are_converted_with_their_display() -> None:
    page = (
        '<p><span class="arithmatex">\\(a &lt; b\\)</span></p>'
        '<div class="arithmatex">\\[\n\\frac{p}{q}\n\\]</div>'
    )
    asked: list[tuple[str, str]] = []

    def convert(tex: str, display: str) -> str:
        asked.append((tex, display))
        return "<math ><mi>x</mi></math>"

    made = maths.to_mathml(page, convert)
    assert asked == [("a < b", "inline"), (r"\frac{p}{q}", "block")]
    assert 'alttext="a &lt; b"' in made
    assert made.count('<div class="formula">') == 1
    assert "arithmatex" not in made


def test_a_formula_that_cannot_be_read_is_named() -> None:
    def convert(tex: str, display: str) -> str:
        raise RuntimeError("no")

    with pytest.raises(ValueError, match="frac"):
        maths.to_mathml('<span class="arithmatex">\\(\\frac{\\)</span>', convert)


def test_glossary_of_the_site_reads() -> None:
    known = glossary.terms(ROOT / "docs" / "glossary.txt")
    page, hover = glossary.page(known), glossary.abbreviations(known)
    assert len(known) > 20
    for name, term in known.items():
        assert f"`{name}`\n:   {term.meaning}" in page
        assert (f"*[{name}]: " in hover) == term.hover
    assert not known["p"].hover, "one letter would be underlined everywhere"


@pytest.mark.parametrize("text", ["*[a]: one\n*[a]: two\n", "no entry\n", "*[a] missing colon\n"])
def test_a_bad_glossary_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "terms.txt").write_text(text)
    with pytest.raises(ValueError, match="line"):
        glossary.terms(tmp_path / "terms.txt")


BENCH: dict[str, Any] = {
    "command": "bench",
    "commit": "0123456789abcdef",
    "machine": {"cpu": "a cpu", "gpu": None, "threads": 1},
    "versions": {"python": "3.11"},
    "speedup": {"sampled": 1.25, "sampled_bf16": 1.5, "greedy": 1.75},
    "interval": {"sampled": [1.0, 1.5]},
    "share_of_prediction": 0.875,
    "verify_curve": {"1": 1.0, "2": 1.125},
    "vs_transformers": {"plain": 1.5, "speculative": 1.25},
    "drafter": "mtp",
    "gamma": 1,
    "drafters": {"mtp": {"cost": 0.25, "nodes": 1.0}, "bf16 weights": {"cost": 0.25, "nodes": 2.0}},
    "bf16": "bf16 weights",
    "tokens_per_step": {"sampled": 1.75, "sampled_bf16": 1.5},
    "verify_curve_bf16": {"1": 1.25, "2": 1.375},
    "at_most": {"sampled": 1.625, "sampled_bf16": 1.0},
    "block": {"float32 1": {"norms": 1.0, "all": 1.0}, "bfloat16 1": {"norms": 1.5, "all": 1.5}},
    "widths": {
        "128": {"float32 1": 1.0, "bfloat16 1": 1.5},
        "256": {"float32 1": 1.0, "bfloat16 1": 1.25},
    },
}
ZOO: dict[str, Any] = {
    "command": "zoo",
    "commit": None,
    "machine": {"cpu": "a cpu", "gpu": None},
    "versions": {},
    "bugs": 3,
    "killed": 2,
    "controls": 4,
    "false_alarms": 1,
    "control_runs": 4000,
    "complete": False,
    "by_tv": [
        {"tv": ".1 and more", "bugs": 3, "killed": 2},
        {"tv": "no distribution", "bugs": 0, "killed": 0},
    ],
    "seconds": {"median": 0.5, "p95": 2.0},
    "survivors": ["always-accept"],
    "bug_table": [
        {
            "name": "tiny",
            "symptom": "a|b <c>",
            "source": "x #1",
            "caught_by": "rule.joint",
            "caught": True,
            "tv": 0.00001,
            "seconds": 0.5,
        },
        {
            "name": "loose",
            "symptom": "s",
            "source": "y",
            "caught_by": "rule.joint",
            "caught": False,
            "tv": 0.25,
            "seconds": 30.04,
        },
    ],
    "control_table": [
        {"name": "sampler match", "why": "draws from p", "convicted_by": {}, "seeds": 4000}
    ],
}


MUTATION: dict[str, Any] = {
    "command": "mutation",
    "commit": None,
    "machine": {"cpu": "a cpu"},
    "versions": {},
    "possible": 1200,
    "tried": 60,
    "killed": 57,
    "files": [
        {"file": "distribution/a.py", "possible": 1100, "tried": 40, "killed": 39},
        {"file": "distribution/b.py", "possible": 100, "tried": 20, "killed": 18},
    ],
    "survivors": [
        {
            "file": "distribution/b.py",
            "line": 7,
            "was": "x = a | b",
            "becomes": "x = a & b",
            "why": "a is b",
        },
        {"file": "distribution/a.py", "line": 9, "was": "n > 0", "becomes": "n >= 0", "why": ""},
    ],
}


def put(root: Path, command: str, content: str) -> None:
    path = results.path_of(root, command)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_results_come_from_the_file(tmp_path: Path) -> None:
    put(tmp_path, "bench", json.dumps(BENCH))
    put(tmp_path, "zoo", json.dumps(ZOO))
    page = results.table(tmp_path, "bench")
    for shown in (
        "| sampled | 1.25× | 1.00 to 1.50 |",
        "| sampled bf16 | 1.50× |",
        "88 %",
        "1.12",
        "0123456789ab",
        "a cpu",
    ):
        assert shown in page
    limits = results.table(tmp_path, "bench", "limits")
    assert "| float32 | 1.75 | 1.08 | 1.0 | 0.25 | 1.62× | 1.25× |" in limits
    assert "| bfloat16, the quicker way | 1.50 | 1.50 | 2.0 | 0.50 | 1.00× | 1.50× |" in limits
    assert "| bfloat16 1 | 1.50 | 1.50 |" in results.table(tmp_path, "bench", "block")
    assert "| 256 | 1.00 | 1.25 |" in results.table(tmp_path, "bench", "widths")
    assert "| not caught | `always-accept` |" in results.table(tmp_path, "zoo")
    bugs = results.table(tmp_path, "zoo", "bugs")
    assert r"| `tiny` | a\|b &lt;c&gt; | x #1 | `rule.joint` | 1e-05 |" in bugs
    assert "| `loose` | s | y | **nothing** | 0.250 |" in bugs
    kills = results.table(tmp_path, "zoo", "by_tv")
    assert "| .1 and more | 3 | 2 |" in kills
    assert "no distribution" not in kills
    assert "median 0.50, 95 % within 2.00. 1 false alarms in 4,000 runs" in kills
    assert "| sampler match | draws from p | nothing |" in results.table(
        tmp_path, "zoo", "controls"
    )
    put(tmp_path, "zoo --level engine", json.dumps(ZOO | {"command": "zoo --level engine"}))
    assert (tmp_path / "docs" / "results" / "zoo-engine.json").exists()
    assert "| `loose` | s | **nothing** | 0.250 | 30.0 |" in results.table(
        tmp_path, "zoo --level engine", "seconds"
    )
    put(tmp_path, "zoo --level kernel", json.dumps(ZOO | {"command": "zoo --level kernel"}))
    runs = results.table(tmp_path, "zoo --level kernel", "runs")
    assert "| sampler match | 4,000 | 0 |" in runs
    assert "stopped before its end" in runs
    assert results.number(tmp_path, "bench", "speedup.greedy", "{:.2f}") == "1.75"
    with pytest.raises(KeyError, match=r"speedup\.nothing"):
        results.number(tmp_path, "bench", "speedup.nothing")


def test_mutants_are_counted_by_file_and_those_that_live_are_listed(tmp_path: Path) -> None:
    assert "`python -m tests.mutation --json docs/results/mutation.json`" in results.table(
        tmp_path, "mutation"
    )
    put(tmp_path, "mutation", json.dumps(MUTATION))
    page = results.table(tmp_path, "mutation")
    assert "| `distribution/a.py` | 1,100 | 40 | 39 | 97.5 % |" in page
    assert "| **together** | 1,200 | 60 | 57 | 95.0 % |" in page
    assert "Written by `python -m tests.mutation`" in page
    left = results.table(tmp_path, "mutation", "left")
    assert "| `b.py` | `x = a | b` → `x = a & b` | a is b |" in left
    assert left.index("| `a.py` | `n > 0` → `n >= 0` | **none** |") < left.index("`b.py`")


BETTING: dict[str, Any] = {
    "command": "betting",
    "commit": None,
    "machine": {"cpu": "a cpu"},
    "versions": {},
    "validity": {
        "alpha": 0.05,
        "streams": 5000,
        "tokens": 700000,
        "false_alarms": 12,
        "interval": [0.001, 0.004],
        "level": 0.95,
        "kinds": [{"kind": "tied", "streams": 5000, "false_alarms": 12}],
    },
    "detection": [
        {"fault": "none", "tv": 0.0, "median": None, "words": "w"},
        {"fault": "bonus from q", "tv": "rule", "median": 3072, "words": "token 3 came"},
    ],
}


def test_a_test_by_betting_shows_its_parts_and_says_which_are_not_run(tmp_path: Path) -> None:
    assert "`python -m tests.stats.betting_run --json" in results.table(tmp_path, "betting", "mde")
    put(tmp_path, "betting", json.dumps(BETTING))
    validity = results.table(tmp_path, "betting", "validity")
    assert "| tied | 5,000 | 12 |" in validity
    assert "between 0.10 % and 0.40 %" in validity
    found = results.table(tmp_path, "betting", "detection")
    assert "| none | – | 0.000 | not found |" in found
    assert "| bonus from q | token 3 came | rule | 3,072 |" in found
    missing = results.table(tmp_path, "betting", "mde")
    assert "run `python -m tests.stats.betting_run mde --json docs/results/betting.json`" in missing


@pytest.mark.parametrize(
    ("was", "becomes", "shown"),
    [
        ("x = 1", "x = 2", "`x = 1` → `x = 2`"),
        ("n > 0", "n >= 0", "`n > 0` → `n >= 0`"),
        ("while True:", "while False:", "`…ile True:` → `…ile False:`"),
        ("a + aa", "a + aaa", "`…+ aa` → `…+ aaa`"),
        ("abcdefghij + klmnopqrst", "abcdefghij - klmnopqrst", "`…hij + klm…` → `…hij - klm…`"),
        ("a <= bcdef", "a < bcdef", "`a <= bcd…` → `a < bcd…`"),
    ],
)
def test_an_edit_is_shown_by_what_differs(was: str, becomes: str, shown: str) -> None:
    assert results.edit(was, becomes, 4) == shown


def test_a_missing_result_names_its_command(tmp_path: Path) -> None:
    line = results.table(tmp_path, "bench")
    assert "specref bench --json docs/results/bench.json" in line
    assert "\n" not in line
    assert "specref zoo" in results.number(tmp_path, "zoo", "bugs")


@pytest.mark.parametrize("content", ["{", json.dumps({"command": "zoo"})])
def test_a_wrong_result_file_is_refused(tmp_path: Path, content: str) -> None:
    put(tmp_path, "bench", content)
    with pytest.raises(ValueError, match=r"bench\.json"):
        results.table(tmp_path, "bench")


def test_results_in_the_repository_render() -> None:
    for command, part in results.TABLES:
        assert results.table(ROOT, command, part)


def test_examples_run_in_order_and_show_what_they_print() -> None:
    page = "```python\nx = 2\n```\ntext\n```python\nprint(x + 1)\n```\n```sh\nmake demo\n```\n"
    made = fences.with_output(page, "page.md")
    assert made.count('```text title="prints"\n3\n```') == 1
    assert "```sh\nmake demo\n```" in made


def test_an_example_that_fails_names_its_page() -> None:
    with pytest.raises(RuntimeError, match=r"page\.md.*ZeroDivisionError"):
        fences.with_output("```python\n1 / 0\n```\n", "page.md")


def test_every_example_of_the_pages_and_the_readme_runs() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
    made = {page.name: fences.with_output(page.read_text(), page.name) for page in pages}
    assert sum(page.count('title="prints"') for page in made.values()) > 8
    assert "token 0: emitted 0.500000000000, target 0.5" in made["index.md"]
    assert "rejection: total variation from the target 0.0000" in made["verify.md"]
    assert "redraw_from_p: total variation from the target 0.0000" not in made["verify.md"]
    assert "the same text: True" in made["decode.md"]


def test_commands_that_nobody_could_give(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("demo: x\n\techo\n")
    page = (
        "```sh\nmake demo  # fine\nmake cake\nspecref train target --out x\nspecref train target\n"
        "specref bench --no-such-option 1\n```\n"
    )
    wrong = fences.impossible(page, tmp_path / "Makefile")
    assert [line.split(":")[0] for line in wrong] == [
        "make cake",
        "specref train target",
        "specref bench --no-such-option 1",
    ]
