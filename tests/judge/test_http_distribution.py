"""Two sources of texts compared without HTTP: false alarms at the stated rate, small faults found,
rare tokens too.
"""

import math
import random

import pytest
from specref.judge.dialect import Ask
from specref.judge.prefixes import TEXT_END, JoinedProcesses, Known, Prefixes, frequent
from specref.judge.session import Session
from specref.judge.suite.http_distribution import verdict

LENGTH = 3


class Source:
    """Texts of three tokens over V; `turned` mixes the distribution of place `at` with another
    one.
    """

    def __init__(
        self, vocabulary: int, seed: int, share: float = 0.0, at: int = 0, ends: float = 0.0
    ):
        made = random.Random(vocabulary)

        def weights() -> list[float]:
            return [made.gammavariate(0.5, 1) for _ in range(vocabulary)]

        self.distributions = [weights() for _ in range(LENGTH)]
        self.other = weights()
        self.rng, self.share, self.at, self.ends = random.Random(seed), share, at, ends

    def text(self) -> tuple:
        out: list = []
        for place, distribution in enumerate(self.distributions):
            if self.rng.random() < self.ends:
                return (*out, TEXT_END)
            wrong = place == self.at and self.rng.random() < self.share
            out += self.rng.choices(range(len(distribution)), self.other if wrong else distribution)
        return tuple(out)

    def texts(self, count: int) -> list[tuple]:
        return [self.text() for _ in range(count)]


def evidence(
    first: Source, second: Source, batches: int, size: int = 128, alpha: float = 1e-6
) -> Prefixes:
    test = Prefixes(first.texts(96), second.texts(96), alpha, plan=0.05)
    for _ in range(batches):
        if test.update(first.texts(size), second.texts(size)):
            break
    return test


@pytest.mark.parametrize("vocabulary", [8, 500])
def test_equal_distributions_are_not_convicted(vocabulary: int) -> None:
    """60 runs that look after every batch: an evidence of 20 at any time in 5 % of them at most;
    more than 10 of 60 has a chance below 3e-4 even at the bound itself."""
    largest = [
        evidence(
            Source(vocabulary, 2 * seed, ends=0.05), Source(vocabulary, 2 * seed + 1, ends=0.05), 4
        ).largest
        for seed in range(60)
    ]
    assert sum(value >= math.log(20) for value in largest) <= 10


@pytest.mark.parametrize(
    ("vocabulary", "share", "at", "most"),
    [(8, 0.3, 0, 40), (8, 0.5, 2, 40), (500, 0.3, 0, 40), (500, 0.5, 1, 40)],
)
def test_another_distribution_is_convicted(
    vocabulary: int, share: float, at: int, most: int
) -> None:
    """At the first token or a later one, over few tokens or many, TV about .7 of `share`; in `most`
    batches of 128.
    """
    test = evidence(Source(vocabulary, 1, share, at), Source(vocabulary, 2), most)
    assert test.rejected


def test_early_ends_are_outcomes() -> None:
    assert evidence(Source(8, 1, ends=0.1), Source(8, 2, ends=0.25), 30).rejected


def test_the_failing_place_is_named_and_drawn() -> None:
    test = evidence(Source(8, 1, 0.6, 1), Source(8, 2), 60)
    said = verdict(test, "case", Ask("a"))
    assert said.verdict == "FAIL"
    assert said.what.startswith("token 2 after")
    assert "later ones wrong" in said.cause
    (picture,) = said.pictures
    assert len(picture.outcomes) == len(picture.expected) == len(picture.observed)
    assert sum(picture.expected) == pytest.approx(1)


def test_a_known_distribution_is_tested_with_all_other_tokens_as_one() -> None:
    source, right = Source(8, 1), Source(8, 2)
    total = sum(right.distributions[0])
    distribution = {
        token: weight / total for token, weight in enumerate(right.distributions[0]) if token < 6
    }
    best, least = (
        max(distribution, key=distribution.__getitem__),
        min(distribution, key=distribution.__getitem__),
    )
    wrong = {
        **distribution,
        best: distribution[best] * 0.8,
        least: distribution[least] + distribution[best] * 0.2,
    }
    fair, off = (JoinedProcesses({(): Known((), shares)}, 1e-6) for shares in (distribution, wrong))
    for _ in range(20):
        texts = source.texts(200)
        fair.update(texts)
        off.update(texts)
    assert not fair.rejected
    assert off.rejected


def test_prefixes_are_the_frequent_ones_with_the_empty_one_first() -> None:
    texts = [(1, 2, 3)] * 50 + [(1, 4, 3)] * 49 + [(5, 5, 5)]
    assert frequent(texts) == [(), (1,), (1, 2), (1, 4)]
    assert frequent([]) == [()]
    assert Session("x", "http").enough == 0.1
