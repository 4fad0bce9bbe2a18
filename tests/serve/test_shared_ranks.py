"""What every rank does, seen in one process: which weights are cut and how, what a rank's config
says, and that a rank's answers are rank 0's.

Protects: a target that cannot be shared out evenly, and ranks that draw for themselves. Two real
ranks are in test_parallel.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from specref.chance import Streams
from specref.errors import SpecrefError
from specref.serve import parallel
from specref.serve.parallel import Shared, split
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

from tests.stub import tiny


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What would be cut; nothing is."""
    seen: list[tuple] = []
    monkeypatch.setattr(parallel, "parallelize_module", lambda *words: seen.append(words))
    return seen


def mesh(ranks: int) -> SimpleNamespace:
    return SimpleNamespace(size=lambda: ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_block_is_cut_and_the_heads_are_shared_out(cut: list[tuple], ranks: int) -> None:
    target = tiny(heads=4, groups=2)
    blocks, over = list(target.blocks), mesh(ranks)
    made = split(target, over)  # type: ignore[arg-type]
    assert made is target
    assert (made.config.num_attention_heads, made.config.num_key_value_heads) == (
        4 // ranks,
        2 // ranks,
    )
    assert [block for block, _, _ in cut] == blocks
    for _, on, plan in cut:
        assert on is over
        kinds = {name: type(style) for name, style in plan.items()}
        assert {name for name, kind in kinds.items() if kind is RowwiseParallel} == {
            "self_attn.o_proj",
            "mlp.down_proj",
        }
        assert sum(kind is ColwiseParallel for kind in kinds.values()) == 5
    assert not any(weight.requires_grad for weight in made.parameters())


@pytest.mark.parametrize(
    ("groups", "ranks"), [(1, 2), (4, 3), (2, 4)], ids=["heads", "both", "more ranks than heads"]
)
def test_heads_that_cannot_be_shared_evenly_are_refused(
    cut: list[tuple], groups: int, ranks: int
) -> None:
    """24 channels can be shared by 2, 3 and 4 ranks; the heads cannot."""
    with pytest.raises(SpecrefError, match=f"cannot be shared by {ranks} ranks"):
        split(tiny(heads=4, groups=groups), mesh(ranks))  # type: ignore[arg-type]
    assert cut == []


def test_channels_that_cannot_be_shared_evenly_are_refused(cut: list[tuple]) -> None:
    """Five key heads can be shared by five ranks; 24 channels cannot."""
    with pytest.raises(SpecrefError, match="24 channels cannot be shared by 5 ranks"):
        split(tiny(heads=5, groups=5), mesh(5))  # type: ignore[arg-type]
    assert cut == []


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(), reason="torch was built without gloo"
)
@pytest.mark.usefixtures("alone")
def test_a_group_of_one_gets_the_answers_of_its_own_chance() -> None:
    asked = torch.tensor([[True, False, True], [True, True, False]])
    p = torch.tensor([[0.5, 0.5, 0.5], [0.1, 0.9, 0.5]])
    q = torch.tensor([[0.2, 0.8], [0.5, 0.5]])
    shared, own = Shared(Streams([1, 2])), Streams([1, 2])
    for _ in range(20):
        assert torch.equal(shared.accept(p, asked), own.accept(p, asked))
        assert torch.equal(shared.draw(q), own.draw(q))
    later, wanted = shared.rows([1]), own.rows([1])
    assert isinstance(later, Shared)
    assert torch.equal(later.draw(q[1:]), wanted.draw(q[1:]))


class Answers:
    """Chance whose answers are given."""

    def __init__(self, accept: list[bool], draw: list[int]):
        self.answers = torch.tensor([accept]), torch.tensor(draw)

    def accept(self, probability, asked=None):
        return self.answers[0]

    def draw(self, distribution, asked=None):
        return self.answers[1]


def test_another_ranks_answers_are_replaced_by_those_of_rank_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What rank 0 sends overwrites what was drawn here."""
    sent = {torch.uint8: torch.tensor([[1, 0]]), torch.int64: torch.tensor([4, 2])}
    sources: list[int] = []

    def broadcast(answer: torch.Tensor, source: int) -> None:
        sources.append(source)
        answer.copy_(sent[answer.dtype])

    monkeypatch.setattr(dist, "broadcast", broadcast)
    shared = Shared(Answers([False, True], [0, 1]))  # type: ignore[arg-type]
    coins = shared.accept(torch.tensor([[0.5, 0.5]]))
    assert (coins.dtype, coins.tolist()) == (torch.bool, [[True, False]])
    assert shared.draw(torch.tensor([[1.0]])).tolist() == [4, 2]
    assert sources == [0, 0]
