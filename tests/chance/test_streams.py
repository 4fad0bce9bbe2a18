"""One stream a request: a row's randomness depends on its seed and its own questions, and on
nothing else.

Protects: reproducibility by seed, independence of the batch and of the questions other rows are
asked, and the distributions themselves, by sequential tests at a family-wise false-alarm rate of
1e-7.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specref.chance import Chance, Injected, Stream, Streams, Uniforms
from specref.data import SpecrefError
from specref.stats.finding import bonferroni
from specref.stats.sequential import OneSample
from torch import Tensor

ALPHA = bonferroni(
    1e-7, ["draw", "coin", "across seeds", "coin and draw", "two rows", "fresh seeds"]
)
DISTRIBUTION = torch.tensor([0.05, 0.3, 0.0, 0.25, 0.4], dtype=torch.float64)


def answers(
    chance: Chance, questions: list[tuple[str, list[list[bool]], float]]
) -> list[list[list[int]]]:
    """Ask in turn; per question and row, the answers at the places that were asked."""
    result = []
    for kind, asked, probability in questions:
        where = torch.tensor(asked)
        if kind == "coin":
            fell = chance.accept(torch.full(where.shape, probability), where)
            assert not fell[~where].any()
            result.append([row[mask].int().tolist() for row, mask in zip(fell, where)])
        else:
            drawn = chance.draw(DISTRIBUTION.expand(len(where), -1), where[:, 0])
            assert not drawn[~where[:, 0]].any()
            result.append([[int(x)] if mask else [] for x, mask in zip(drawn, where[:, 0])])
    return result


@given(data=st.data(), seeds=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_a_row_does_not_depend_on_its_batch(data: st.DataObject, seeds: list[int]) -> None:
    """Any questions to any rows: each row answers as it would alone, asked only its own, in a batch
    as narrow as it.
    """
    mask = st.lists(
        st.lists(st.booleans(), min_size=2, max_size=2), min_size=len(seeds), max_size=len(seeds)
    )
    question = st.tuples(st.sampled_from(["coin", "draw"]), mask, st.sampled_from([0.25, 0.9]))
    questions = data.draw(st.lists(question, min_size=1, max_size=5))
    together = answers(Streams(seeds), questions)
    for row, seed in enumerate(seeds):
        own = [
            (
                kind,
                [[True] * (sum(asked[row]) if kind == "coin" else int(asked[row][0]))],
                probability,
            )
            for kind, asked, probability in questions
        ]
        alone = answers(Streams([seed]), [question for question in own if question[1][0]])
        assert [answer[row] for answer in together if answer[row]] == [
            answer[0] for answer in alone
        ]


def test_a_row_does_not_depend_on_how_its_uniforms_are_fetched() -> None:
    """Singly, or across the edges of the blocks drawn ahead: the same stream."""
    whole = Streams([3]).take(0, 1000)
    pieces = Streams([3])
    assert torch.equal(
        torch.cat([pieces.take(0, count) for count in (1, 255, 1, 300, 43, 400)]), whole
    )
    assert len(set(whole.tolist())) == 1000


def test_asking_no_one_uses_no_randomness() -> None:
    streams = Streams([4])
    streams.draw(DISTRIBUTION[None], torch.tensor([False]))
    streams.accept(torch.tensor([[0.5, 0.5]]), torch.tensor([[False, False]]))
    assert torch.equal(streams.take(0, 5), Streams([4]).take(0, 5))


@pytest.mark.parametrize(
    "make", [lambda: Streams([5, 6, 7]), lambda: Injected(torch.rand(3, 9).double())]
)
def test_rows_keep_their_streams(make: Callable[[], Uniforms]) -> None:
    """Dropping and reordering rows goes on where each stream was."""
    torch.manual_seed(1)
    whole = make()
    torch.manual_seed(1)
    other = make()
    for chance in (whole, other):
        chance.draw(DISTRIBUTION.expand(3, -1))
    part = other.rows([2, 0])  # type: ignore[attr-defined]
    expected = [whole.take(row, 4) for row in range(3)]
    assert torch.equal(part.take(0, 4), expected[2])
    assert torch.equal(part.take(1, 4), expected[0])


def test_the_seed_fixes_the_stream_and_another_seed_changes_it() -> None:
    assert torch.equal(Streams([8]).take(0, 20), Streams([8]).take(0, 20))
    assert not torch.equal(Streams([8]).take(0, 20), Streams([9]).take(0, 20))


def test_rows_of_equal_seed_answer_alike_and_without_a_seed_they_do_not() -> None:
    same = Streams([8, 8])
    assert torch.equal(same.take(0, 20), same.take(1, 20))
    fresh = Streams([None, None])
    assert not torch.equal(fresh.take(0, 20), fresh.take(1, 20))
    assert not torch.equal(Streams([None]).take(0, 20), Streams([None]).take(0, 20))
    assert fresh.streams[0].seed != fresh.streams[1].seed  # known afterwards, to run it again


def test_the_global_generator_is_left_alone() -> None:
    """torch.manual_seed elsewhere in a program changes nothing here, nor the other way round."""
    torch.manual_seed(0)
    first = Streams([8]).take(0, 20)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(Streams([8]).take(0, 20), first)
    Streams([None]).take(0, 20)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


def check_sample(name: str, sample: Tensor, distribution: Tensor) -> None:
    """The sample follows the distribution, or the sequential test says otherwise; what it would
    have seen is at most TV .05.
    """
    test = OneSample(distribution, ALPHA[name], plan=0.02)
    for part in sample.split(5000):
        test.update(torch.bincount(part, minlength=len(distribution)))
    finding = test.finding()
    assert not finding.rejected, str(finding)
    assert finding.mde < 0.05


def test_draws_have_their_distribution() -> None:
    streams = Streams([11])
    check_sample(
        "draw", torch.cat([streams.draw(DISTRIBUTION[None]) for _ in range(20_000)]), DISTRIBUTION
    )


def test_coins_have_their_probability() -> None:
    fell = Streams([12]).accept(torch.full((1, 100_000), 0.3, dtype=torch.float64))[0]
    check_sample("coin", fell.long(), torch.tensor([0.7, 0.3]))


def test_first_draws_of_neighbouring_seeds_have_the_distribution() -> None:
    """Requests are seeded 0, 1, 2 ..: their first tokens must not be alike."""
    check_sample(
        "across seeds", Streams(range(20_000)).draw(DISTRIBUTION.expand(20_000, -1)), DISTRIBUTION
    )


def test_a_coin_tells_nothing_of_the_draw_after_it() -> None:
    """The noise of an acceptance, used again for the residual, would shift the distribution where
    both are rare.
    """
    streams, rows = Streams(range(20, 40)), 20
    pairs = []
    for _ in range(1500):
        fell = streams.accept(torch.full((rows, 1), 0.4))[:, 0]
        pairs.append(5 * fell.long() + streams.draw(DISTRIBUTION.expand(rows, -1)))
    check_sample(
        "coin and draw", torch.cat(pairs), torch.cat((0.6 * DISTRIBUTION, 0.4 * DISTRIBUTION))
    )


@pytest.mark.parametrize(("name", "seeds"), [("two rows", [50, 51]), ("fresh seeds", [None, None])])
def test_rows_tell_nothing_of_each_other(name: str, seeds: list[int | None]) -> None:
    """A stream shared by rows has the right distribution in each of them: only their joint
    distribution shows it.
    """
    streams = Streams(seeds)
    drawn = torch.stack([streams.draw(DISTRIBUTION.expand(2, -1)) for _ in range(20_000)])
    check_sample(
        name, 5 * drawn[:, 0] + drawn[:, 1], torch.outer(DISTRIBUTION, DISTRIBUTION).flatten()
    )


def test_uniforms_without_a_source_say_so() -> None:
    with pytest.raises(SpecrefError, match="define take"):
        Uniforms().draw(DISTRIBUTION[None])


def test_every_bit_of_a_seed_counts() -> None:
    """torch's generator on the CPU reads the low 32 bits: of 63-bit seeds drawn at random two of
    77,000 would then be one with a probability of a half.
    """
    seeds = [0, *(1 << bit for bit in range(63))]
    drawn = {tuple(Stream(seed).take(4).tolist()) for seed in seeds}
    assert len(drawn) == 64
