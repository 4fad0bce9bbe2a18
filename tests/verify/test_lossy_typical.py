"""Typical acceptance keeps the deepest path all of whose tokens are typical, and says it is lossy.

Protects: the criterion of the paper's section 2.3.1 with its edges, the choice among paths, the row
that the last token is drawn from.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.chance import Injected
from specref.data import Draft
from specref.verify import LossyTypical


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    """(parents, tokens, how many nodes are real, a seed for p) over three tokens."""
    count = draw(st.integers(0, 6))
    parents = [draw(st.integers(-1, i - 1)) for i in range(count)]
    tokens = [draw(st.integers(0, 2)) for _ in range(count)]
    return parents, tokens, draw(st.integers(0, count)), draw(st.integers(0, 50))


def by_hand(parents, tokens, real, p, epsilon, delta) -> list[int]:
    """The kept path: of the deepest ones the first."""
    best: list[int] = []
    for node in range(real):
        path = [node]
        while parents[path[0]] >= 0:
            path.insert(0, parents[path[0]])
        above = [0, *(i + 1 for i in path)]
        typical = []
        for i, row in zip(path, above, strict=False):
            entropy = -sum(x * math.log(x) for x in p[row] if x)
            typical.append(p[row][tokens[i]] > min(epsilon, delta * math.exp(-entropy)))
        if all(typical) and len(path) > len(best):
            best = path
    return best


@given(tree=trees(), epsilon=st.sampled_from([0.05, 0.3, 1.0]), delta=st.sampled_from([0.3, 0.8]))
def test_the_deepest_typical_path_is_kept_and_the_next_token_is_drawn_behind_it(
    tree, epsilon, delta
):
    parents, tokens, real, seed = tree
    random = torch.Generator().manual_seed(seed)
    p = torch.rand(1, len(tokens) + 1, 3, generator=random, dtype=torch.float64)
    p = (p * (p > 0.2) + 1e-3) ** 2
    p = p / p.sum(-1, keepdim=True)
    draft = Draft(
        torch.tensor([tokens], dtype=torch.int64),
        torch.tensor([parents], dtype=torch.int64),
        None,
        torch.tensor([real]),
    )
    want = by_hand(parents, tokens, real, p[0].tolist(), epsilon, delta)
    row = p[0, want[-1] + 1 if want else 0]
    for u in (0.05, 0.5, 0.95):
        chance = Injected(torch.tensor([[u]], dtype=torch.float64))
        verdict = LossyTypical(epsilon, delta)(draft, p, chance)
        assert verdict.path[0, : int(verdict.accepted)].tolist() == want
        assert int(verdict.next_token) == int((row.cumsum(0) > u).int().argmax())


@pytest.mark.parametrize(("epsilon", "kept"), [(0.25, 0), (0.2499, 1)])
def test_a_token_at_the_bar_itself_is_refused(epsilon, kept):
    """p(x) > epsilon, not >=; with so large a delta the other bar is out of reach."""
    p = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]], dtype=torch.float64)
    draft = Draft.chain(torch.tensor([[0]]))
    chance = Injected(torch.tensor([[0.5]], dtype=torch.float64))
    assert int(LossyTypical(epsilon, 10.0)(draft, p, chance).accepted) == kept


def test_a_lossy_rule_says_so_in_its_name_and_its_type():
    assert not LossyTypical.lossless
    assert LossyTypical(0.1, 0.2).__name__ == "lossy_typical(epsilon=0.1, delta=0.2)"
