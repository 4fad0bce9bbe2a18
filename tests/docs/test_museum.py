"""The museum's pictures are of the result file, and the file is of exact distributions.

Protects: readers from a picture that shows another distribution than the TV beside it.
"""

from pathlib import Path

import pytest
from specref.judge.zoo.pictures import _picture
from specref.judge.zoo.run import BUGS, convict

from docs import museum
from docs.hooks import results

ROOT = Path(__file__).parents[2]


def pictures() -> list[dict]:
    result = results.load(ROOT, "zoo --pictures")
    assert result is not None
    return result["pictures"]


def test_the_bars_give_the_tv() -> None:
    """Outcomes that are summed can only take away from it."""
    for one in pictures():
        half = sum(abs(row["p"] - row["emitted"]) for row in one["outcomes"]) / 2
        assert half <= one["tv"] + 1e-9
        whole = not any(row["outcome"].endswith("others") for row in one["outcomes"])
        if whole:
            assert half == pytest.approx(one["tv"])
        for key in ("p", "emitted"):
            assert sum(row[key] for row in one["outcomes"]) == pytest.approx(1, abs=1e-6)


def test_a_picture_is_made_again_as_it_is_published() -> None:
    published = {one["name"]: one for one in pictures()}
    again = _picture(convict(BUGS["residual-softmax"]))
    assert again == published["residual-softmax"]


def test_every_source_has_a_link_or_no_repository() -> None:
    for one in pictures():
        project = one["source"].rsplit(" #", 1)[0]
        assert ("](https://github.com/" in museum.issue(one["source"])) == (
            project in museum.REPOSITORIES
        )


def test_an_entry_draws_both_distributions() -> None:
    one = pictures()[0]
    said = museum.entry(one)
    assert said.count("<rect") >= 2 + sum(row["p"] > 0 for row in one["outcomes"])
    assert one["caught_by"] in said
