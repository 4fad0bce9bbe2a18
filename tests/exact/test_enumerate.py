"""The enumerator: a distribution worked out over every outcome of a program's own randomness is
that program's distribution.

Protects: the products of probabilities, that only what is asked forks, the limit, and that no mass
is lost; everything that is called exact in this project rests on it.
"""

from collections.abc import Hashable

import pytest
import torch
from specref.data import SpecrefError
from specref.exact.enumerate import Forking, distribution, distributions, total_variation
from torch import Tensor


def coin(chance: Forking, heads: float) -> bool:
    return bool(chance.accept(torch.tensor([[heads]], dtype=torch.float64)))


def test_a_distribution_is_a_sum_of_products() -> None:
    """Heads in 3 of 10, then one of three tokens with weights 1, 2, 5; tails, then a fair coin for
    tokens 1 and 2.
    """

    def program(chance: Forking) -> int:
        if coin(chance, 0.3):
            return int(chance.draw(torch.tensor([[1.0, 2.0, 5.0]])))
        return 1 + coin(chance, 0.5)

    assert distribution(program) == pytest.approx(
        {0: 0.3 / 8, 1: 0.6 / 8 + 0.35, 2: 1.5 / 8 + 0.35}, abs=1e-12
    )


def test_a_program_runs_once_for_every_outcome_of_its_coins() -> None:
    runs: list[bool] = []

    def program(chance: Forking) -> bool:
        runs.append(coin(chance, 0.3) and coin(chance, 0.5))
        return runs[-1]

    assert distribution(program) == pytest.approx({True: 0.15, False: 0.85})
    assert len(runs) == 3


def test_answers_have_the_types_of_a_sampler() -> None:
    def program(chance: Forking) -> tuple[object, ...]:
        flips, token = (
            chance.accept(torch.tensor([[0.5, 1.0]])),
            chance.draw(torch.tensor([[0.0, 1.0]])),
        )
        return flips.dtype, tuple(flips.shape), token.dtype, tuple(token.shape)

    assert distribution(program) == {(torch.bool, (1, 2), torch.int64, (1,)): 1.0}


def test_every_row_is_a_program_of_its_own() -> None:
    """Three programs as rows of one batch: each gets its own distributions, and the answers to its
    own questions.
    """
    heads = torch.tensor([0.25, 1.0, 0.5], dtype=torch.float64)
    weights = torch.tensor([[1.0, 3.0], [0.0, 2.0], [1.0, 1.0]])

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        flips, tokens = chance.accept(heads[root][:, None]), chance.draw(weights[root])
        return [(int(r), bool(flip), int(token)) for r, flip, token in zip(root, flips, tokens)]

    first, second, third = distributions(program, 3)
    assert first == {
        (0, True, 0): 0.0625,
        (0, True, 1): 0.1875,
        (0, False, 0): 0.1875,
        (0, False, 1): 0.5625,
    }
    assert second == {(1, True, 1): 1.0}
    assert third == {(2, flip, token): 0.25 for flip in (True, False) for token in (0, 1)}


def test_what_is_not_asked_does_not_fork() -> None:
    """Unasked coins are tails and unasked tokens are 0, whatever their distribution is, even none
    at all.
    """
    asked = torch.tensor([[True, False], [False, False]])

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        flips = chance.accept(torch.tensor([[0.5, 0.5], [0.5, torch.nan]])[root], asked[root])
        tokens = chance.draw(torch.tensor([[1.0, 1.0], [0.0, 0.0]])[root], root == 0)
        return [(*flip, token) for flip, token in zip(flips.tolist(), tokens.tolist())]

    first, second = distributions(program, 2)
    assert first == {(flip, False, token): 0.25 for flip in (True, False) for token in (0, 1)}
    assert second == {(False, False, 0): 1.0}


def test_some_rows_of_a_chance_are_a_chance() -> None:
    """Asked in another order, or one at a time, the questions are still those of their rows."""
    weights = torch.tensor([[1.0, 3.0, 0.0], [1.0, 1.0, 2.0]])

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        order = list(reversed(range(len(root))))
        backwards = chance.rows(order).draw(weights[root[order]])
        again = [int(chance.rows([row]).draw(weights[root[row]][None])) for row in range(len(root))]
        return list(zip(reversed(backwards.tolist()), again))

    for found, row in zip(
        distributions(program, 2), (weights / weights.sum(1, keepdim=True)).tolist()
    ):
        assert found == pytest.approx(
            {(i, j): a * b for i, a in enumerate(row) for j, b in enumerate(row) if a and b}
        )


def test_batches_are_of_chunk_rows_and_do_not_matter() -> None:
    """Three draws of 3 tokens: 27 worlds, found in as many rounds as there are questions, 8,192
    rows at a time.
    """
    sizes: list[int] = []

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        sizes.append(len(root))
        third = torch.full((len(root), 3), 1 / 3, dtype=torch.float64)
        return list(zip(*(chance.draw(third).tolist() for _ in range(3))))

    whole = distributions(program, 1)[0]
    assert whole == pytest.approx(dict.fromkeys(whole, 1 / 27))
    assert len(whole) == sum(sizes) == 27
    assert sizes == [1, 6, 12, 8]
    for chunk in (1, 4):
        sizes.clear()
        assert distributions(program, 1, chunk=chunk)[0] == pytest.approx(whole)
        assert max(sizes) == chunk


def test_a_program_may_have_as_many_worlds_as_the_limit_and_no_more() -> None:
    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        return list(chance.draw(torch.ones(len(root), 5)).tolist())

    assert len(distributions(program, 1, limit=5)[0]) == 5
    assert len(distributions(program, 2, limit=10)) == 2
    for limit, chunk in ((4, 8192), (4, 1), (0, 1)):
        with pytest.raises(SpecrefError, match=f"more than {limit} outcomes"):
            distributions(program, 1, limit, chunk)


def test_a_probability_counts_as_it_was_when_first_met() -> None:
    """A rule may compute 0/0 otherwise in another batch; the worlds of one question still add up to
    1.
    """

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        return list(
            chance.draw(
                torch.tensor([[1.0, 1.0, 2.0] if len(root) == 1 else [9.0, 1.0, 0.0]] * len(root))
            ).tolist()
        )

    assert distributions(program, 1)[0] == {0: 0.25, 1: 0.25, 2: 0.5}


def test_a_program_that_forgets_a_row_is_an_error() -> None:
    """Its worlds would be missing from the distribution."""
    with pytest.raises(ValueError, match="shorter"):
        distributions(lambda chance, root: chance.draw(torch.ones(len(root), 2)).tolist()[:-1], 1)


def test_total_variation_is_half_of_the_differences() -> None:
    """Outcomes that one distribution lacks have probability 0 there."""
    a, b = {"x": 0.5, "y": 0.5}, {"y": 0.25, "z": 0.75}
    assert total_variation(a, b) == total_variation(b, a) == 0.75
    assert total_variation(a, a) == 0
    assert total_variation({"x": 1.0}, {"y": 1.0}) == 1
