"""A block's pieces are its work in its shapes, and the table of their costs is arithmetic on times.

Protects: what the bench says bfloat16 costs, piece by piece and by width.
"""

from collections.abc import Callable, Mapping

import pytest
import torch
from specref.measure.speed import precision
from specref.measure.speed.precision import block_costs, block_pieces, costs_by_width
from specref.model.config import Config

# 16 channels, 24 units, four query heads on two key heads of 6
CONFIG = Config(11, 16, 24, 1, 4, 2, 6, 64)
BOTH = (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_the_pieces_are_the_work_of_one_block(dtype: torch.dtype) -> None:
    """Three tokens behind five others: every product, norm, rotation once, in the type, and no
    gradient is kept."""
    pieces = block_pieces(CONFIG, dtype, 3, 5)
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for name, work in pieces.items():
        done = work()
        made = done if isinstance(done, tuple) else (done,)
        assert all(one.dtype == dtype and not one.requires_grad for one in made)
        shapes[name] = [tuple(one.shape) for one in made]
    wide, narrow = (1, 3, 24), (1, 3, 12)  # queries of all heads; keys of two
    assert shapes == {
        "products": [wide, narrow, narrow, (1, 3, 16), (1, 3, 24), (1, 3, 24), (1, 3, 16)],
        "norms": [(1, 3, 16), (1, 3, 16)],
        "attention": [(1, 4, 3, 6)],
        "rotation": [(1, 4, 3, 6), (1, 2, 3, 6)],
        "gate": [(1, 3, 24)],
    }


def test_attention_reads_the_context_and_the_new_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[tuple[int, ...]]] = []
    monkeypatch.setattr(
        precision, "attend", lambda *all: seen.append([tuple(one.shape) for one in all])
    )
    block_pieces(CONFIG, torch.float32, 3, 5)["attention"]()
    assert seen == [[(1, 4, 3, 6), (1, 2, 8, 6), (1, 2, 8, 6), (1, 1, 3, 8)]]


def test_the_gate_multiplies_what_it_lets_through() -> None:
    """y * y * sigmoid(y): never negative, and larger than any sigmoid somewhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gate = block_pieces(CONFIG, torch.float32, 8, 5)["gate"]()
    assert isinstance(gate, torch.Tensor)
    assert float(gate.min()) >= 0
    assert float(gate.max()) > 2


Works = Mapping[str, Callable[[], object]]


def test_costs_are_in_units_of_the_first_type_on_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its five pieces take 1, 2, 3, 4 and 10 microseconds, 20 in all; on four rows twice as much,
    and in bfloat16 three times."""
    rounds: list[int] = []

    def timed(works: Works, device: torch.device, count: int) -> dict[str, float]:
        rounds.append(count)
        assert device.type == "cpu"
        each = {"products": 1, "norms": 2, "attention": 3, "rotation": 4, "gate": 10}
        factor = {"float32 1": 1, "float32 4": 2, "bfloat16 1": 3, "bfloat16 4": 6}
        costs = {}
        for name in works:
            kind, piece = name.rsplit(" ", 1)
            costs[name] = float(factor[kind] * each[piece])
        return costs

    monkeypatch.setattr(precision, "microseconds", timed)
    table = block_costs(CONFIG, BOTH, (1, 4), 5, rounds=7)
    assert rounds == [7]
    plain = {
        "products": 0.05,
        "norms": 0.1,
        "attention": 0.15,
        "rotation": 0.2,
        "gate": 0.5,
        "all": 1.0,
    }
    assert list(table) == ["float32 1", "float32 4", "bfloat16 1", "bfloat16 4"]
    for row, factor in zip(table.values(), (1, 2, 3, 6), strict=True):
        assert row == pytest.approx({name: factor * cost for name, cost in plain.items()})


def test_wider_models_are_wider_in_everything_but_the_heads_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At each width the unit is that width's own."""
    shapes = []

    def costs(config, dtypes, rows, context, rounds):
        shapes.append(
            (
                config.hidden_size,
                config.intermediate_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                config.head_dim,
            )
        )
        assert (dtypes, rows, context) == (BOTH, (1, 9), 77)
        return {"float32 1": {"norms": 0.5, "all": 1.0}, "bfloat16 9": {"norms": 1, "all": 3.0}}

    monkeypatch.setattr(precision, "block_costs", costs)
    table = costs_by_width(CONFIG, BOTH, (1, 9), 77)
    assert shapes == [
        (16, 24, 4, 2, 6),
        (32, 48, 8, 4, 6),
        (64, 96, 16, 8, 6),
        (128, 192, 32, 16, 6),
    ]
    assert table == {
        width: {"float32 1": 1.0, "bfloat16 9": 3.0} for width in ("16", "32", "64", "128")
    }
