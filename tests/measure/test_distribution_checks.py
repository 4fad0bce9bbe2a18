"""The counts that the demo's sequential test is fed with, on a target whose distribution is known.

Protects: the cell of impossible tokens, the order by q/p, which tokens of a padded batch count.
"""

from types import SimpleNamespace

import torch
from specref.data import SamplingParams
from specref.draft.none import NoDrafter
from specref.measure.distribution_checks import SampledCase, _count_ranks
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
    return _count_ranks(case, prompts, written, torch.Generator().manual_seed(0)).int().tolist()


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
