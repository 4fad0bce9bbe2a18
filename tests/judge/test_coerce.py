"""What an adapter hands over: integers of any kind are taken, everything else is refused in one
line.
"""

import numpy as np
import pytest
import torch
from specref.judge.coerce import numbers, whole
from specref.judge.session import MisbehavedError


@pytest.mark.parametrize(
    "given",
    [
        [[3, 1], [2, -1]],
        ((3, 1), (2, -1)),
        [np.array([3, 1]), np.array([2, -1])],
        [torch.tensor([3, 1]), (2, -1)],
        np.array([[3, 1], [2, -1]], dtype=np.int32),
        torch.tensor([[3, 1], [2, -1]], dtype=torch.int16),
        [[torch.tensor(3), np.int64(1)], [2, np.int8(-1)]],
    ],
)
def test_whole_numbers_of_any_kind_are_one_tensor(given: object) -> None:
    taken = whole(given, "verify returns", "int64 tokens [2, 2]")
    assert taken.dtype == torch.int64
    assert taken.tolist() == [[3, 1], [2, -1]]


@pytest.mark.parametrize("given", [[], (), np.array([]), torch.tensor([])])
def test_nothing_is_no_float(given: object) -> None:
    assert whole(given, "", "").tolist() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "a NoneType"),
        ("12", "a str"),
        ({1: 2}, "a dict"),
        (True, "a bool"),
        ([1, True], "a bool"),
        ([1, None], "a NoneType"),
        (np.array([1.0]), "float64"),
        (torch.tensor([1.0]), "float32"),
        ([1, 2.0], "float64"),
        (np.array([True]), "bool"),
        ([[1, 2], [3]], "rows of several lengths"),
        ([1, [2]], "rows of several lengths"),
        (np.array(["a"]), "a ndarray that is none of numbers"),
        ([1 << 70], "a list that is none of numbers"),
    ],
)
def test_anything_else_is_refused_in_one_line(given: object, said: str) -> None:
    with pytest.raises(MisbehavedError) as error:
        whole(given, "verify returns", "int64 tokens [1, 2]")
    assert str(error.value).startswith(f"verify returns {said}")
    assert "return int64 tokens [1, 2]" in str(error.value)
    assert "\n" not in str(error.value)


def test_floats_keep_their_digits() -> None:
    assert numbers([0.1, -1], "", "").tolist() == [0.1, -1.0]
