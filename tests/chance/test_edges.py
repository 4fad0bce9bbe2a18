"""No impossible token is ever drawn and no certain question is ever lost, at the edges of the
uniforms either.

Protects: u = 0 and the largest uniforms below 1, where `u <= ratio` accepts what p excludes and a
running sum falls short of 1. Sampling would need 10^8 draws to see them; injected uniforms need
one.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.chance import Injected, Streams
from specref.data import SpecrefError
from specref.exact.enumerate import Forking, distribution

EDGES = [0.0, 2.0**-53, 2.0**-24, 0.5, 1 - 2.0**-24, 1 - 2.0**-53]


@st.composite
def weights(draw: st.DrawFn) -> torch.Tensor:
    """Unnormalised distributions with zeros at the front, in the middle and at the end; tiny and
    huge ones; both precisions.
    """
    size = draw(st.integers(1, 12))
    one = st.one_of(st.just(0.0), st.floats(0.01, 1), st.sampled_from([1e-30, 1e-8, 1.0, 1e8]))
    row = draw(st.lists(one, min_size=size, max_size=size).filter(any))
    return torch.tensor([row], dtype=draw(st.sampled_from([torch.float32, torch.float64])))


@given(
    distribution=weights(), u=st.one_of(st.sampled_from(EDGES), st.floats(0, 1, exclude_max=True))
)
def test_a_drawn_token_is_possible(distribution: torch.Tensor, u: float) -> None:
    token = int(Injected(torch.tensor([[u]], dtype=torch.float64)).draw(distribution))
    assert 0 <= token < distribution.shape[1]
    assert distribution[0, token] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", EDGES)
def test_a_long_tail_of_zeros_is_never_reached(dtype: torch.dtype, u: float) -> None:
    """8193 tokens whose running sum misses 1 by rounding; the last 100 are impossible."""
    table = torch.rand(1, 8193, generator=torch.Generator().manual_seed(0)).softmax(-1).to(dtype)
    table[:, :3] = 0
    table[:, -100:] = 0
    token = int(Injected(torch.tensor([[u]], dtype=torch.float64)).draw(table))
    assert table[0, token] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", EDGES)
def test_a_coin_of_probability_0_never_falls_and_one_of_1_always_does(
    dtype: torch.dtype, u: float
) -> None:
    fell = Injected(torch.full((1, 2), u, dtype=torch.float64)).accept(
        torch.tensor([[0.0, 1.0]], dtype=dtype)
    )
    assert fell.tolist() == [[False, True]]


@given(probability=st.floats(0, 1), u=st.floats(0, 1, exclude_max=True))
def test_a_coin_falls_exactly_below_its_probability(probability: float, u: float) -> None:
    """So its chance is the probability itself, to the last bit of the uniform."""
    injected = Injected(torch.tensor([[u]], dtype=torch.float64))
    assert bool(injected.accept(torch.tensor([[probability]], dtype=torch.float64))) == (
        u < probability
    )


@given(distribution=weights())
def test_draws_invert_the_running_sum(distribution: torch.Tensor) -> None:
    """Each token answers to an interval of uniforms as long as its probability: looked up at the
    middle of each.
    """
    share = distribution[0].double() / distribution[0].double().sum()
    for token in range(len(share)):
        if share[token] > 1e-6:
            u = float(share[:token].sum() + share[token] / 2)
            assert (
                int(Injected(torch.tensor([[u]], dtype=torch.float64)).draw(distribution)) == token
            )


def test_injected_uniforms_are_refused_where_they_are_none() -> None:
    for bad in (1.0, -0.1, float("nan")):
        with pytest.raises(SpecrefError, match=r"must lie in \[0,1\)"):
            Injected(torch.tensor([[bad]]))
    short = Injected(torch.tensor([[0.5]]))
    short.draw(torch.tensor([[1.0]]))
    with pytest.raises(SpecrefError, match="row 0 asks for uniform 2 and has 1"):
        short.draw(torch.tensor([[1.0]]))


def test_certain_questions_do_not_fork() -> None:
    """The enumerator and the sampler agree on what is certain: p = 0, p = 1 and one-hot
    distributions have one outcome.
    """

    def program(chance: Forking) -> tuple[object, ...]:
        coins = chance.accept(torch.tensor([[0.0, 1.0]], dtype=torch.float64))
        return (*coins[0].tolist(), int(chance.draw(torch.tensor([[0.0, 2.0, 0.0]]))))

    assert distribution(program) == {(False, True, 1): 1.0}
    streams = Streams([0])
    assert streams.accept(torch.tensor([[0.0, 1.0]])).tolist() == [[False, True]]
    assert int(streams.draw(torch.tensor([[0.0, 2.0, 0.0]]))) == 1


def test_a_question_without_answers_is_an_error() -> None:
    with pytest.raises(SpecrefError, match="no possible answer"):
        distribution(lambda chance: int(chance.draw(torch.zeros(1, 3))))
