"""The explorables compute what the library computes, and their stills are what their scripts draw.

Protects: arithmetic in JavaScript that would teach something false; a still that is older than its
script or its result file; a page in which no control appears.
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from specref.data import Draft
from specref.exact.enumerate import distribution
from specref.exercises import bytes_and_operations, rejection_step
from specref.exercises.grading.grade import known_finding
from specref.measure.speed.candidate_tree import expected_tree_tokens
from specref.measure.speed.cost import (
    best_gamma,
    break_even_alpha,
    expected_tokens,
    predicted_speedup,
)
from specref.model.tree import ancestors, depths
from specref.verify.block import block
from specref.verify.rejection import rejection

from docs import explore, predict
from docs.browser import Browser, browser_path

CHROMIUM = browser_path()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install one, or name it by CHROMIUM"
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        explore.load_scripts(opened)
        yield opened


def asked(browser: Browser, name: str, call: str, *values: object) -> Any:
    """The value of one of an explorable's functions."""
    given = ", ".join(json.dumps(value) for value in values)
    return browser.evaluate(f"specrefExplore.{name}.{call}({given})")


@pytest.mark.parametrize("name", explore.NAMES)
def test_the_still_is_what_the_script_draws(name: str, browser: Browser) -> None:
    still = explore.still_file(name).read_text(encoding="utf-8")
    assert still == explore.rendered(browser, name), "run python -m docs.explore"


@pytest.mark.parametrize("rule", ["residual", "p"])
@pytest.mark.parametrize("p", [(5, 3, 2), (1, 0, 8), (1, 1, 1)])
@pytest.mark.parametrize("q", [(1, 3, 6), (0, 9, 1), (1, 1, 1)])
def test_coin(p: tuple[int, ...], q: tuple[int, ...], rule: str, browser: Browser) -> None:
    """By fractions, for the right rule and for the one that redraws from p."""
    found = asked(browser, "coin", "numbers", p, q, rule)
    a, b = [Fraction(x, sum(p)) for x in p], [Fraction(x, sum(q)) for x in q]
    kept = [min(x, y) for x, y in zip(a, b, strict=True)]
    owed = [max(x - y, Fraction(0)) for x, y in zip(a, b, strict=True)]
    again = [x + (1 - sum(kept)) * y for x, y in zip(kept, a, strict=True)]
    wanted = again if rule == "p" else a
    assert [Fraction(x, found["emittedOver"]) for x in found["emitted"]] == wanted
    assert [Fraction(x, found["over"]) for x in found["kept"]] == kept
    assert [Fraction(x, found["over"]) for x in found["owed"]] == owed
    off = sum((abs(x - y) for x, y in zip(wanted, a, strict=True)), Fraction(0)) / 2
    assert Fraction(found["off"], found["emittedOver"]) == off


def test_coin_has_the_distribution_that_the_grader_computes(browser: Browser) -> None:
    exercise = rejection_step.EXERCISE
    finding = known_finding(exercise, rejection_step.redraw_from_p, 0)
    wanted = [Fraction(0)] * 3
    for outcome, share in finding.outcomes.items():
        _, token = cast(tuple[int, int], outcome)
        wanted[token] += share
    found = asked(browser, "coin", "numbers", (5, 3, 2), (1, 3, 6), "p")
    assert [Fraction(x, found["emittedOver"]) for x in found["emitted"]] == wanted


@pytest.mark.parametrize("gamma", [1, 2, 3])
@pytest.mark.parametrize(("p", "q"), [(0.35, 0.65), (0.7, 0.4), (0.5, 0.5), (0.05, 0.95)])
def test_chain(p: float, q: float, gamma: int, browser: Browser) -> None:
    """Both rules, run over every outcome of draft and coins."""
    row = torch.tensor([q, 1 - q], dtype=torch.float64)
    target = torch.tensor([p, 1 - p], dtype=torch.float64).expand(1, gamma + 1, 2)
    for name, rule in (("token", rejection), ("block", block)):

        def program(chance: Any, rule: Any = rule) -> int:
            tokens = torch.stack([chance.draw(row[None]) for _ in range(gamma)], 1)
            draft = Draft.chain(tokens, row.expand(1, gamma, 2))
            return int(rule(draft, target, chance).accepted[0])

        wanted = distribution(program)
        found = asked(browser, "chain", "enumerate", p, q, gamma, name)["lengths"]
        assert found == pytest.approx([wanted.get(k, 0.0) for k in range(gamma + 1)], abs=1e-12)


@pytest.mark.parametrize("layer", bytes_and_operations.LAYERS)
def test_roofline(layer: tuple[int, ...], browser: Browser) -> None:
    rows, _, bytes_each, tokens, bandwidth, speed = layer
    found = asked(browser, "roofline", "times", rows, bytes_each, tokens, bandwidth, speed)
    wanted = bytes_and_operations.solution(rows, rows, bytes_each, tokens, bandwidth, speed)
    assert max(found["memory"], found["compute"]) == pytest.approx(float(wanted))


def test_speed(browser: Browser) -> None:
    given = explore.data("speed")
    steps = asked(browser, "speed", "steps", "measured", given, 1)
    assert steps == given["curve"]
    for alpha, c, gamma in product((0.0, 0.3, 0.6, 0.95), (0.0, 0.1, 0.5), (0, 1, 4, 15)):
        wanted = predicted_speedup(alpha, gamma, steps, c)
        assert asked(browser, "speed", "speedup", alpha, gamma, steps, c) == pytest.approx(wanted)
        assert asked(browser, "speed", "expected", alpha, gamma) == pytest.approx(
            expected_tokens(alpha, gamma)
        )
        best = asked(browser, "speed", "best", alpha, steps, c)
        assert best["gamma"] == best_gamma(alpha, steps, c)
        even = asked(browser, "speed", "even", gamma, steps, c)
        assert even == pytest.approx(break_even_alpha(gamma, steps, c))


def test_speed_of_a_batch_by_the_roofline(browser: Browser) -> None:
    """Flat below the ridge; every token at its full price where the batch alone fills it."""
    given = explore.data("speed")
    assert asked(browser, "speed", "steps", "roofline", given, 1) == [1.0] * len(given["curve"])
    full = asked(browser, "speed", "steps", "roofline", given, 256)
    assert full == [k + 1 for k in range(len(given["curve"]))]


@pytest.mark.parametrize("parents", [[-1, 0, 1, 2], [-1, -1, -1, 0, 0, 1, 3], [-1, 0, 0, 1, 1]])
def test_tree(parents: list[int], browser: Browser) -> None:
    given = explore.data("tree")
    nodes: list[tuple[int, ...]] = []
    for i, parent in enumerate(parents):
        above = () if parent < 0 else nodes[parent]
        nodes.append((*above, parents[:i].count(parent)))
    row = torch.tensor([parents])
    assert asked(browser, "tree", "depths", parents) == depths(row)[0].tolist()
    assert asked(browser, "tree", "mask", parents) == ancestors(row)[0].tolist()
    wanted = expected_tree_tokens(nodes, given["accuracy"])
    assert asked(browser, "tree", "tokens", parents, given["accuracy"]) == pytest.approx(wanted)


def test_tree_without_a_node_has_lost_what_followed_it(browser: Browser) -> None:
    assert asked(browser, "tree", "removed", [-1, -1, 0, 0, 1, 2], 0) == [-1, 0]
    assert asked(browser, "tree", "removed", [-1, -1, 0, 0, 1, 2], 1) == [-1, 0, 0, 1]


def test_trace_keeps_what_was_recorded(browser: Browser) -> None:
    """Before each cycle: the text so far, and all but its last token in the cache."""
    recorded = json.loads((ROOT / "docs" / "results" / "trace.json").read_text())
    text = list(recorded["prompt"])
    for number, cycle in enumerate(recorded["cycles"]):
        found = asked(browser, "trace", "before", explore.data("trace"), number)
        assert found == {"text": text, "cached": len(text) - 1, "pending": text[-1]}
        text += cycle["emitted"]
    assert text[len(recorded["prompt"]) :] == recorded["tokens"]


def test_pages_follow_the_rule_of_the_cache(browser: Browser) -> None:
    """A cycle keeps what was there, the pending token and what was accepted; the forward writes the
    pending token and the draft.
    """
    given = explore.data("pages")
    for cycle, phase in product((0, 2, 5), (0, 1)):
        state = {"cycle": cycle, "phase": phase, "size": "8", "gamma": given["gamma"]}
        found = asked(browser, "pages", "rows", state, given)
        for row, seen in zip(given["rows"], found, strict=True):
            length = row["prompt"] - 1
            for accepted in row["accepted"][:cycle]:
                length = length + 1 + accepted
            assert seen["length"] == length
            assert seen["draft"] == phase * (given["gamma"] + 1)
    assert [asked(browser, "pages", "pages", n, 8) for n in (0, 1, 8, 9)] == [0, 1, 1, 2]


def test_suspects_can_be_told_apart() -> None:
    emitted = [tuple(case["emitted"]) for case in explore.data("zoo")["cases"]]
    assert len(set(emitted)) == len(explore.SUSPECTS)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All explorables and a prediction in one page, beside the scripts."""
    folder = tmp_path_factory.mktemp("explore")
    (folder / "assets").symlink_to(ROOT / "docs" / "pages" / "assets")
    blocks = [explore.block(name) for name in explore.NAMES]
    blocks += [predict.ask("one", "Which?", "less", "more"), predict.show("one")]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>All</title>'
    (folder / "index.html").write_text(head + "\n".join(blocks), encoding="utf-8")
    return folder / "index.html"


def test_every_control_changes_something_by_keyboard(page: Path) -> None:
    """In a real page: Tab and the arrow keys reach the sliders, and the sentences follow."""
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        opened.open(page)
        for name in explore.NAMES:
            figure = f"document.querySelector('[data-explore={name}]')"
            assert opened.evaluate(f"{figure}.classList.contains('explore-alive')")
            unnamed = "input => !input.labels || !input.labels.length"
            assert not opened.evaluate(
                f"[...{figure}.querySelectorAll('input, select')].filter({unnamed}).length"
            )
            counted = f"{figure}.querySelectorAll('input[type=range]').length"
            for number in range(opened.evaluate(counted)):
                assert _moved(opened, figure, number), (name, number)


# Sliders whose effect another control has to let in
UNSEEN = {("speed", 3)}


def _moved(opened: Browser, figure: str, number: int) -> bool:
    """Whether an arrow key on a slider changes its picture, in one direction or the other."""
    slider = f"{figure}.querySelectorAll('input[type=range]')[{number}]"
    view = f"{figure}.querySelector('.explore-view').innerHTML"
    name = opened.evaluate(f"{figure}.dataset.explore")
    before = opened.evaluate(view)
    opened.evaluate(f"{slider}.focus()")
    for key, code in (("ArrowRight", 39), ("ArrowRight", 39), ("ArrowLeft", 37)):
        opened.press(key, code)
        if opened.evaluate(view) != before:
            return True
    return (name, number) in UNSEEN


def test_a_prediction_is_kept_and_shown(page: Path) -> None:
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        opened.open(page)
        shown = "document.querySelector('.predicted').textContent"
        assert opened.evaluate(shown) == "Compare it with your prediction."
        opened.evaluate("document.querySelector('.predict input[value=more]').click()")
        assert opened.evaluate(shown) == "You predicted: more."
        opened.open(page)
        assert opened.evaluate(shown) == "You predicted: more."
        assert opened.evaluate("localStorage.getItem('specref.predict.one')") == "more"


def test_a_page_that_asks_for_what_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match="nothing"):
        explore.block("nothing")
    with pytest.raises(ValueError, match="two options"):
        predict.ask("one", "Which?", "only this")


def test_a_page_can_be_read_without_javascript() -> None:
    """Every explorable has its picture and its sentence in the page itself."""
    for name in explore.NAMES:
        block = explore.block(name, "course")
        assert "<svg" in block.split("<script")[0]
        assert '<div class="explore-said"><p>' in block.split("<script")[0]
        assert f'src="../assets/explore/{name}.js"' in block
