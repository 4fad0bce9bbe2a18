"""The cases that kernels are tried on are distributions, each what its name says, and depend on the
text as they say.

Protects: what a table holds for which prefix; a table that is off would be judged right, since the
expected distribution is worked out from it too.
"""

import itertools
from dataclasses import FrozenInstanceError

import pytest
import torch
from specref.judge import cases
from specref.judge.cases import Tables
from torch import Tensor

EVERY = [
    *cases.pairs(),
    cases.chains(),
    cases.chains(2, ragged=True),
    cases.chains(2, equal=True),
    cases.near_equal_pairs(),
    cases.long_sum(),
    cases.wide(64),
    cases.weighed(),
    cases.turned(3, 2, cases.TWOS),
    cases.chosen(("zeros", "ties")),
]


def distribution(weights: cases.CaseRow) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def near(table: Tensor, expected: list) -> bool:
    return torch.allclose(table, torch.tensor(expected, dtype=torch.float64), atol=1e-15)


@pytest.mark.parametrize("tables", EVERY, ids=lambda tables: tables.names[0])
def test_tables_hold_a_distribution_for_every_prefix(tables: Tables) -> None:
    """C cases, V tokens: [C,V^i,V] after i tokens, one more for the target than for the draft."""
    cases_, size, count = len(tables.names), tables.vocabulary, tables.draft_tokens
    assert [table.shape for table in tables.p] == [
        (cases_, size**i, size) for i in range(count + 1)
    ]
    assert [table.shape for table in tables.q] == [(cases_, size**i, size) for i in range(count)]
    assert tables.lengths.shape == (cases_,)
    assert len(set(tables.names)) == cases_
    for table in (*tables.p, *tables.q):
        assert table.dtype == torch.float64
        assert float((table.sum(-1) - 1).abs().max()) < 2e-7
        assert bool((table >= 0).all())


def test_a_prefix_is_a_number_in_base_v() -> None:
    tables = cases.chains(3)
    tokens = torch.tensor(list(itertools.product(range(3), repeat=3)))
    assert tables.prefixes(tokens).tolist() == list(range(27))
    assert tables.prefixes(tokens[:, :0]).tolist() == [0] * 27
    rows = tables.rows(tables.p, torch.tensor([4, 0]), torch.tensor([[0, 1, 2], [2, 2, 1]]))
    assert rows.shape == (2, 4, 3)
    for i, (first, second) in enumerate(((0, 0), (0, 2), (1, 8), (5, 25))):
        assert torch.equal(rows[:, i], torch.stack([tables.p[i][4, first], tables.p[i][0, second]]))


def test_chains_turn_by_the_last_two_tokens_and_the_length() -> None:
    """So a rule that reads the distribution of another place, or of another text, reads another
    distribution. Both tokens count: a first token alone changes what comes after the second."""
    tables = cases.chains(3)
    for number, (target, draft) in enumerate(cases.CHAINS.values()):
        for side, weights in ((tables.p, target), (tables.q, draft)):
            base = distribution(weights)
            for i, table in enumerate(side):
                for prefix, row in zip(itertools.product(range(3), repeat=i), table[number]):
                    turn = sum(prefix[-2:]) + i
                    assert near(row, [base[(token - turn) % 3] for token in range(3)])


def test_chains_may_be_equal_or_ragged() -> None:
    plain, equal, ragged = (
        cases.chains(2),
        cases.chains(2, equal=True),
        cases.chains(2, ragged=True),
    )
    assert cases.chains() is cases.chains()
    assert cases.chains().draft_tokens == 3
    assert plain.names == tuple(f"{name}, 2 draft tokens" for name in cases.CHAINS)
    assert plain.lengths.tolist() == [2] * 5
    assert all(torch.equal(p, q) for p, q in zip(equal.p, equal.q))
    assert all(torch.equal(a, b) for a, b in zip(equal.p, plain.p))
    assert not any(torch.equal(p, q) for p, q in zip(plain.p, plain.q))
    assert ragged.names == tuple(
        f"{name}, {length} draft tokens" for name in cases.CHAINS for length in (0, 1, 2)
    )
    assert ragged.lengths.tolist() == [0, 1, 2] * 5
    assert all(torch.equal(ragged.p[i][2::3], plain.p[i]) for i in range(3))
    assert all(torch.equal(ragged.q[i][0::3], plain.q[i]) for i in range(2))


def test_pairs_stand_by_size_and_go_on_with_another_distribution() -> None:
    """After the draft token the target's distribution is turned by one place, whatever the token
    was.
    """
    groups = cases.pairs()
    assert sorted(name for tables in groups for name in tables.names) == sorted(cases.PAIRS)
    for tables in (*groups, cases.chosen(("zeros", "opposed"))):
        assert tables.lengths.tolist() == [1] * len(tables.names)
        for number, name in enumerate(tables.names):
            p, q = cases.PAIRS[name]
            assert near(tables.p[0][number, 0], distribution(p))
            assert near(tables.q[0][number, 0], distribution(q))
            assert near(
                tables.p[1][number],
                [[*distribution(p)[-1:], *distribution(p)[:-1]]] * tables.vocabulary,
            )
    assert cases.chosen(("zeros", "opposed")).names == ("zeros", "opposed")
    assert cases.chosen(("likely",), cases.TWOS).vocabulary == 2


def test_turned_takes_the_distributions_of_one_size() -> None:
    mixed = {
        "two": cases.TWOS["opposed"],
        "three": cases.CHAINS["zeros"],
        "more": cases.TWOS["likely"],
    }
    tables = cases.turned(4, 2, mixed)
    assert tables.names == ("two", "more")
    assert tables.draft_tokens == 4
    assert tables.lengths.tolist() == [4, 4]
    assert near(tables.p[1][0], [[0.3, 0.7], [0.7, 0.3]])
    assert near(tables.q[1][1], [[0.4, 0.6], [0.6, 0.4]])
    three, chains = cases.turned(2, 3, mixed), cases.chains(2)
    assert all(
        torch.equal(a[0], b[2]) for a, b in zip((*three.p, *three.q), (*chains.p, *chains.q))
    )
    equal = cases.turned(4, 2, mixed, equal=True)
    assert all(torch.equal(p, q) for p, q in zip(equal.p, equal.q))
    assert all(torch.equal(a, b) for a, b in zip(equal.p, tables.p))


def test_near_equal_distributions_differ_by_what_float32_cannot_hold() -> None:
    """By less than the last bit of a float32 near 1, and by more than half of it: p / q is then 1
    or next to it.
    """
    tables, last = cases.near_equal_pairs(), 2.0**-23
    p, q = (dict(zip(tables.names, table[:, 0])) for table in (tables.p[0], tables.q[0]))
    base = torch.tensor(distribution((4, 3, 2, 1)), dtype=torch.float64)
    for name in tables.names[:-1]:
        assert torch.equal(p[name], base)
    assert torch.equal(q["equal"], base)
    above, below = (q[f"{name} everywhere"] / base - 1 for name in ("q above p", "p above q"))
    assert bool(((above > last / 2) & (above < last)).all())
    assert bool(((below < -last / 2) & (below > -last)).all())
    moved = (q["1e-7 moved"] - base).tolist()
    assert moved == pytest.approx([1e-7, -1e-7, 0, 0], rel=1e-6, abs=1e-15)
    assert moved[2:] == [0, 0]
    ulp = (q["one ulp"] / base - 1).tolist()
    assert min(ulp) > 0
    assert max(ulp) <= 2.0**-51
    certain, almost = (
        p["certain and almost certain"].tolist(),
        q["certain and almost certain"].tolist(),
    )
    assert certain == [0, 1, 0, 0]
    assert almost == pytest.approx([0, 1, 0, 0], abs=1e-11)
    assert (almost[0], almost[3]) == (0, 0)
    assert 0 < almost[2] < 1e-11


def test_a_draft_above_the_target_everywhere_is_still_a_distribution_within_the_tolerance() -> None:
    """The contract lets a distribution's sum be off by 1e-4, as those of half precision are; this
    one uses most of that up.
    """
    tables = cases.off_by_rounding()
    p, q = tables.p[0][:, 0], tables.q[0][:, 0]
    assert tables.names == ("q above p everywhere", "equal", "one token certain")
    assert p.tolist() == [[0.75, 0.25], [0.75, 0.25], [1, 0]]
    assert (q[0] / p[0]).tolist() == pytest.approx([float(q[0].sum())] * 2)
    assert 1 + 5e-5 < float(q[0].sum()) < 1 + 1e-4
    assert torch.equal(q[1], p[1])
    assert float(q[2].sum()) == pytest.approx(1, abs=1e-15)
    assert 0 < float(q[2, 1]) < 1e-5


def test_a_float32_running_sum_of_the_long_sum_misses_1_before_the_zeros() -> None:
    """The fewest equal tokens of which this is so; the draft may propose the last one, a zero of
    the target.
    """
    tables = cases.long_sum()
    p, q, count = tables.p[0][0, 0], tables.q[0][0, 0], tables.vocabulary - 2
    assert near(p, [1 / count] * count + [0.0] * 2)
    assert near(q, [0.0] + [1 / count] * count + [0.0])
    assert float(p.float().cumsum(0)[-1]) < 1
    assert all(float(torch.full((n,), 1 / n).cumsum(0)[-1]) == 1 for n in range(1, count))
    assert tables.names == (f"{count} equal tokens, then zeros",)


def test_wide_distributions_rise_and_fall() -> None:
    tables = cases.wide(5)
    assert near(tables.q[0][0, 0], [i / 15 for i in (1, 2, 3, 4, 5)])
    assert near(tables.p[0][0, 0], [i / 15 for i in (5, 4, 3, 2, 1)])


def test_the_weighed_case_is_its_table() -> None:
    """And the target's third distribution is that of a chain, so that what follows depends on both
    tokens.
    """
    tables, (target, draft, last) = cases.weighed(), cases.WEIGHED
    assert tables.lengths.tolist() == [tables.draft_tokens] == [2]
    for table, rows in zip((*tables.p, *tables.q), (*target, None, *draft)):
        if rows:
            assert near(table[0], [distribution(row) for row in rows])
    for (x, y), row in zip(itertools.product(range(3), repeat=2), tables.p[2][0]):
        assert near(row, [distribution(last)[(token - x - y - 2) % 3] for token in range(3)])


def test_joined_tables_hold_the_cases_of_all() -> None:
    first, second = cases.chosen(("zeros",)), cases.chosen(("opposed", "ties"))
    both = cases.joined(first, second)
    assert both.names == ("zeros", "opposed", "ties")
    assert both.lengths.tolist() == [1, 1, 1]
    for mine, a, b in zip((*both.p, *both.q), (*first.p, *first.q), (*second.p, *second.q)):
        assert torch.equal(mine, torch.cat((a, b)))


def test_tables_stay_as_they_are_and_are_told_apart_as_objects() -> None:
    """Many tests share them; comparing their tensors would be no answer."""
    tables = cases.chosen(("zeros",))
    with pytest.raises(FrozenInstanceError):
        tables.names = ()  # type: ignore[misc]
    assert tables != cases.chosen(("zeros",))
    assert tables in {tables}


def test_tables_of_several_lengths_are_not_joined() -> None:
    with pytest.raises(ValueError, match="zip"):
        cases.joined(cases.chains(1), cases.chains(2))
