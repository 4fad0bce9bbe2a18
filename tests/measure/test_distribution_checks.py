"""The demo's three checks, on targets whose answers are known.

Protects: the cell of impossible tokens, the order by q/p, which tokens of a padded batch count; the
difference between a tie and a mismatch; the exact comparison from always agreeing.
"""

import math
from types import SimpleNamespace

import pytest
import torch
from specref.data import SamplingParams
from specref.draft.none import NoDrafter
from specref.errors import SpecrefError
from specref.measure import distribution_checks as module
from specref.measure.distribution_checks import (
    SampledCase,
    _count_ranks,
    _margin,
    exact_small_case,
    greedy_parity,
    sampled_distribution,
)
from specref.verify import RULES


class Fixed:
    """A model that gives one distribution after every text."""

    device = torch.device("cpu")

    def __init__(self, p: list[float]):
        self.logits = torch.tensor(p, dtype=torch.float64).log()

    def __call__(self, rows: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits.expand(*rows.shape, -1))


def count(written: list[list[int]], q: list[float]) -> list[int]:
    target, draft = Fixed([0.5, 0.25, 0.25, 0.0]), Fixed(q)
    case = SampledCase(
        target,  # type: ignore[arg-type]
        draft,  # type: ignore[arg-type]
        NoDrafter(),
        RULES["rejection"],
        [],
        SamplingParams(),
        1,
    )
    prompts = [[0] * (1 + 2 * row) for row in range(len(written))]
    counts = _count_ranks(case, prompts, written, torch.Generator().manual_seed(0))
    assert counts.shape == (17,)
    return counts.int().tolist()


def test_a_token_of_probability_zero_has_a_cell_of_its_own() -> None:
    counts = count([[3, 0, 3], [3]], [0.25, 0.25, 0.25, 0.25])
    assert counts[16] == 3
    assert sum(counts) == 4


def test_what_the_draft_prefers_is_at_the_upper_end() -> None:
    """q/p orders the tokens 2, 0, 1: 2 has the first four cells, 0 the next eight, 1 the last."""
    q = [0.5, 0.4, 0.1, 0.0]
    for token, cells in ((2, range(4)), (0, range(4, 12)), (1, range(12, 16))):
        counts = count([[token] * 200], q)
        assert sum(counts[cell] for cell in cells) == 200
        assert all(counts[cell] > 0 for cell in cells)


def test_only_written_tokens_of_ragged_texts_count() -> None:
    assert sum(count([[0], [1, 2], [0, 0, 0]], [0.25] * 4)) == 6


def test_a_tokens_cell_is_where_its_rank_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the uniform 1/2 a rank is the middle of its token's stretch of [0, 1): of 2 it is 1/8,
    of 0 it is 1/2, of 1 it is 7/8, so cells 2, 8 and 14 of 16."""
    monkeypatch.setattr(torch, "rand", lambda count, **_: torch.full((count,), 0.5).double())
    counts = count([[2], [0], [1]], [0.5, 0.4, 0.1, 0.0])
    assert [cell for cell, n in enumerate(counts) if n] == [2, 8, 14]


class Rounding:
    """A target whose logits are off by a known amount for each width of a forward behind a cache;
    without a cache, and in float64, they are exact."""

    device = torch.device("cpu")
    exact = torch.tensor([1.0, 4.0, 3.5, -2.0], dtype=torch.float64)
    off = {1: 0.25, 2: -0.5, 3: 0.125, 4: 8.0}  # noqa: RUF012

    def __init__(self) -> None:
        self.forwards: list[tuple[int, int]] = []  # tokens in the cache, and behind it

    def double(self) -> "Rounding":
        return Rounding()

    def new_cache(self, batch: int, capacity: int) -> SimpleNamespace:
        return SimpleNamespace(lengths=torch.zeros(batch, dtype=torch.int64), capacity=capacity)

    def states(self, tokens: torch.Tensor, cache: SimpleNamespace) -> None:
        cache.read = tokens.shape[1]

    def __call__(self, tokens: torch.Tensor, cache=None) -> SimpleNamespace:
        width, logits = tokens.shape[1], self.exact.clone()
        if cache is not None:
            assert cache.read == int(cache.lengths)
            assert cache.read + width <= cache.capacity
            self.forwards.append((cache.read, width))
            logits[3] += self.off[width]
        return SimpleNamespace(logits=logits.expand(1, width, 4))


@pytest.mark.parametrize(
    ("length", "gamma", "widths", "error"),
    [(9, 0, [1], 1.0), (9, 1, [1, 2], 2.0), (9, 2, [1, 2, 3], 2.0), (3, 5, [1, 2], 2.0)],
)
def test_rounding_explains_four_times_the_largest_error_of_any_forward(
    length: int, gamma: int, widths: list[int], error: float
) -> None:
    """Forwards of 1 to gamma + 1 tokens, behind one token at least. The worse of tokens 1 and 2 is
    0.5 from the top, of 0 and 1 it is 3."""
    target = Rounding()
    text = [0] * length
    assert _margin(target, text, 1, 2, gamma) == (0.5, error)  # type: ignore[arg-type]
    assert target.forwards == [(length - width, width) for width in widths]
    assert _margin(target, text, 0, 1, gamma)[0] == 3  # type: ignore[arg-type]


@pytest.fixture
def margins(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Margin 0.5, and error 0.5 behind texts of three tokens, else 0.25; what was asked is kept."""
    asked: list[tuple] = []

    def margin(target, text, a, b, gamma):
        asked.append((text, a, b, gamma))
        return 0.5, (0.5 if len(text) == 3 else 0.25)

    monkeypatch.setattr(module, "_margin", margin)
    return asked


def parity(alone: list[list[int]], ours: list[list[int]]):
    return greedy_parity(Fixed([1.0]), [[9, 9]] * len(alone), alone, ours, 4)  # type: ignore[arg-type]


def test_a_text_counts_up_to_its_first_difference(margins: list[tuple]) -> None:
    """The first text is the same; the second differs at its second token by as much as rounding
    explains, the third at its third by more."""
    seen = parity([[1, 2, 3], [1, 2, 3], [1, 2, 3]], [[1, 2, 3], [1, 5, 3], [1, 2, 6]])
    assert (seen.texts, seen.tokens, seen.mismatches, seen.ties) == (3, 3 + 1 + 2, 1, 1)
    assert margins == [([9, 9, 1], 2, 5, 4), ([9, 9, 1, 2], 3, 6, 4)]
    assert (seen.margins, seen.errors) == ([0.5, 0.5], [0.5, 0.25])


@pytest.mark.parametrize("texts", [([[1, 2]], [[1, 2, 3]]), ([[1, 2, 3]], [[1, 2]])])
def test_a_text_that_ends_early_is_no_tie(texts: tuple, margins: list[tuple]) -> None:
    seen = parity(*texts)
    assert (seen.tokens, seen.mismatches, seen.ties) == (2, 1, 0)
    assert (seen.margins, seen.errors) == ([math.inf], [0.0])
    assert margins == []


def test_texts_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        parity([[1], [2]], [[1]])


def always(draft, p, chance):
    """A rule that accepts whatever is drafted."""
    return RULES["rejection"](draft, draft_as_target(draft, p), chance)


def draft_as_target(draft, p: torch.Tensor) -> torch.Tensor:
    """p with the draft's own distributions in place of the target's."""
    p = p.clone()
    p[:, : draft.q.shape[1]] = draft.q
    return p


def test_an_exact_comparison_tells_a_lossless_rule_from_one_that_accepts_everything() -> None:
    """Three tokens to the fourth power of texts, unless said otherwise."""
    right = exact_small_case(RULES["rejection"])
    assert (right.vocabulary, right.tokens, right.gamma, right.outcomes) == (3, 4, 2, 81)
    assert right.equal
    assert right.tv < 1e-12
    wrong = exact_small_case(always, vocabulary=2, tokens=2, gamma=1)
    assert (wrong.vocabulary, wrong.tokens, wrong.gamma, wrong.outcomes) == (2, 2, 1, 4)
    assert wrong.tv > 1e-3
    assert not wrong.equal


def test_outcomes_of_chance_are_counted() -> None:
    """The last token has no draft: one draw of three."""
    assert exact_small_case(RULES["rejection"], tokens=1).worlds == 3


def test_another_seed_is_another_pair_of_models() -> None:
    found = [
        exact_small_case(always, vocabulary=2, tokens=2, gamma=1, seed=seed).tv for seed in (0, 1)
    ]
    assert exact_small_case(always, vocabulary=2, tokens=2, gamma=1).tv == found[0] != found[1]


class Written:
    """Texts and counts are given; what was asked for is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cell: int | None = None):
        self.cell = cell  # where all ranks fall; None: evenly
        self.batches: list[tuple[list[list[int]], list[int]]] = []
        self.scored: list[int] = []
        monkeypatch.setattr(module, "_write", self.write)
        monkeypatch.setattr(module, "_count_ranks", self.ranks)

    def write(self, case, prompts, seeds):
        self.batches.append((prompts, seeds))
        return [[0] * 16 for _ in prompts]

    def ranks(self, case, prompts, written, uniforms):
        assert len(prompts) == len(written)
        self.scored.append(len(prompts))
        counts = torch.zeros(17)
        if self.cell is None:
            counts[:16] = len(written)
        else:
            counts[self.cell] = 16.0 * len(written)
        return counts


def sampled(draws: int, rows: int, **params):
    model = Fixed([1.0])
    case = SampledCase(
        model,  # type: ignore[arg-type]
        model,  # type: ignore[arg-type]
        NoDrafter(),
        RULES["rejection"],
        [[1], [2], [3]],
        SamplingParams(max_new_tokens=16, **params),
        2,
    )
    reported: list[int] = []
    return sampled_distribution(case, draws, 1e-6, 5, rows, reported.append), reported


def test_texts_are_drawn_in_batches_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,600 tokens are a hundred texts of 16; of 40 at most: three batches of 34. Prompts are used
    in turn, each text has a seed of its own, and a forward scores 32 texts at most."""
    written = Written(monkeypatch)
    finding, reported = sampled(1600, 40)
    assert [len(prompts) for prompts, _ in written.batches] == [34] * 3
    prompts = [prompt for batch, _ in written.batches for prompt in batch]
    assert prompts == [[1 + number % 3] for number in range(102)]
    seeds = [seed for _, batch in written.batches for seed in batch]
    assert seeds == [5 * 2**32 + number for number in range(102)]
    assert written.scored == [32, 2] * 3
    assert reported == [544, 1088, 1632]
    assert not finding.rejected


def test_as_many_draws_as_were_asked_for_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(monkeypatch)
    assert sampled(1600, 50)[1] == [800, 1600]
    assert len(written.batches) == 2


@pytest.mark.parametrize("cell", [0, 16])
def test_a_difference_that_is_found_ends_the_test(
    cell: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ranks in one cell; or one token of probability 0, which cannot be drawn."""
    Written(monkeypatch, cell)
    finding, reported = sampled(16000, 10)
    assert finding.rejected
    assert reported[-1] < 16000


@pytest.mark.parametrize(
    "params", [{"temperature": 0.9}, {"top_k": 3}, {"top_p": 0.9}, {"presence_penalty": 1.0}]
)
def test_filtered_sampling_is_refused(params: dict) -> None:
    with pytest.raises(SpecrefError, match="temperature 1 without filters"):
        sampled(100, 10, **params)


def test_stops_and_seeds_are_no_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    Written(monkeypatch)
    assert not sampled(100, 10, seed=3, stop_ids=(1,))[0].rejected
