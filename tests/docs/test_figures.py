"""Figures show what was computed: each is checked against a second way to the same number."""

import xml.etree.ElementTree as ET

import pytest
import torch

from docs.figures import geometry, house, lengths, letters, tree


@pytest.mark.parametrize("figure", [geometry, house, lengths, tree])
def test_figures_are_wellformed_and_inside_their_frame(figure: object) -> None:
    drawing = ET.fromstring(figure.draw())  # type: ignore[attr-defined]
    assert drawing.get("aria-label")
    _, _, width, height = map(float, drawing.get("viewBox", "").split())
    for shape in drawing.iter():
        x, y = float(shape.get("x", 0)), float(shape.get("y", 0))
        right, below = x + float(shape.get("width", 0)), y + float(shape.get("height", 0))
        assert 0 <= x <= right <= width, shape.attrib
        assert 0 <= y <= below <= height, shape.attrib
    assert "url(" not in figure.draw()  # type: ignore[attr-defined]
    assert figure.caption()  # type: ignore[attr-defined]


def test_the_pair_of_distributions_counts_the_licence() -> None:
    symbols, p, q = geometry.pair()
    text = letters.letters()
    after = [text[i + 2] for i in range(len(text) - 2) if text[i : i + 2] == geometry.CONTEXT]
    assert float(p[symbols.index("d")]) == pytest.approx(after.count("d") / len(after))
    assert float(p.sum()) == pytest.approx(1)
    assert float(q.sum()) == pytest.approx(1)
    assert f"{float(torch.minimum(p, q).sum()):.3f}" in geometry.caption()


def test_bars_have_the_heights_of_the_distributions() -> None:
    _, p, q = geometry.pair()
    bars = [r for r in ET.fromstring(geometry.draw()).iter() if r.tag.endswith("rect") and len(r)]
    shared = sum(float(r.get("height", 0)) for r in bars if r.get("class") == "shared")
    assert shared / geometry.SCALE == pytest.approx(float(torch.minimum(p, q).sum()), abs=1e-3)


def test_accepted_lengths_are_distributions_and_agree_with_closed_forms() -> None:
    """First acceptance is sum min(p, q) for rejection and sum p q for matching; block accepts most
    on average.
    """
    found = lengths.counts()
    text = letters.kinds(letters.letters())
    p = letters.table(text, lengths.ALPHABET, 2)[lengths.START]
    q = letters.table(text, lengths.ALPHABET, 0)[""]
    for distribution in found.values():
        assert sum(distribution) == pytest.approx(1, abs=1e-12)
    assert 1 - found["rejection"][0] == pytest.approx(float(torch.minimum(p, q).sum()), abs=1e-12)
    assert 1 - found["matching"][0] == pytest.approx(float((p * q).sum()), abs=1e-12)
    assert (
        lengths.mean(found["matching"])
        < lengths.mean(found["rejection"])
        < lengths.mean(found["block"])
    )


def test_the_house_refuses_a_file_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "STEPS", (("propose", "", "", "reference/gone.py"),))
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        house.draw()
