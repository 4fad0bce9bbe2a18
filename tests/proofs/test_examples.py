"""Numbers worked out by hand or printed in the papers, and proof that the checkers can say no."""

from fractions import Fraction as F  # noqa: N817
from itertools import product

import pytest

from proofs.exact.chain import argmax, block_cycle, cycle, greedy_cycle, verify
from proofs.exact.claims import (
    Refuted,
    T1_lossless_step,
    T4_chain,
    T5_without_replacement,
    T8_speed_model,
)
from proofs.exact.counterexamples import C4_typical
from proofs.exact.couplings import agreement, extreme_couplings
from proofs.exact.lossy import (
    at_least,
    medusa,
    resample_from_p,
    typical_cycle,
    unnormalised_residual,
    wrong_q,
)
from proofs.exact.program import Context, Prog, Ret, bind, law
from proofs.exact.speed import best_gamma, linear, speedup
from proofs.exact.step import (
    accept,
    point_mass,
    residual,
    step,
    total_variation,
    without_replacement,
)
from proofs.exact.text import (
    begins_with,
    emit,
    expected_growth,
    harmonic,
    lossless,
    plain_cycle,
    sound,
    text_probability,
)
from proofs.exact.tree import Leaf, Node, Tree, fan_shape, tree_draft, tree_verify

LOW, HIGH = (F(1, 4), F(3, 4)), (F(3, 4), F(1, 4))
EVEN = (F(1, 2), F(1, 2))


def test_block_verification_example_of_the_paper() -> None:
    """Sun et al. 2024, section 3: p = (1/3, 2/3) and q = (2/3, 1/3), gamma 2: 10/9 kept one by one,
    11/9 as a block.
    """

    def p(c: Context) -> tuple[F, ...]:
        return (F(1, 3), F(2, 3))

    def q(c: Context) -> tuple[F, ...]:
        return (F(2, 3), F(1, 3))

    assert expected_growth(lambda c: cycle(p, q, 2, c), ()) - 1 == F(10, 9)
    assert expected_growth(lambda c: block_cycle(p, q, 2, c), ()) - 1 == F(11, 9)


def test_one_step_by_hand() -> None:
    assert accept(LOW, HIGH, 0) == F(1, 3)
    assert accept(LOW, HIGH, 1) == 1
    assert accept(LOW, point_mass(1, 2), 0) == 1, "a token that is never drafted is never rejected"
    assert residual(LOW, HIGH) == point_mass(1, 2)
    assert residual(LOW, LOW) == LOW
    assert law(step(LOW, HIGH)) == {0: F(1, 4), 1: F(3, 4)}


def test_wrong_rules_by_hand() -> None:
    assert law(resample_from_p(LOW, HIGH)) == {0: F(3, 8), 1: F(5, 8)}, "3/8 where 1/4 is right"
    short = law(unnormalised_residual(LOW, HIGH))
    assert short == {0: F(1, 4), 1: F(1, 2)}, "a quarter of the mass is missing"
    assert law(wrong_q(LOW, HIGH, point_mass(0, 2))) == {0: F(1, 3), 1: F(2, 3)}, (
        "argmax draft judged by the softmax"
    )


def test_siblings_drawn_without_replacement_but_judged_as_if_with() -> None:
    """wrong_q in a tree. Token 0 or 2 is drafted first, then the other one; 2 is always among them,
    and judging it by q(2) = 1/3 where it was certain accepts it always: 1 where 2/3 is right."""
    p, q = (F(0), F(1, 3), F(2, 3)), (F(2, 3), F(0), F(1, 3))

    def believed(t: Tree) -> Tree:
        return Node(t.x, q, believed(t.below), believed(t.next)) if t else Leaf

    drafted = tree_draft(lambda c, siblings: without_replacement(q)(siblings), fan_shape(2), ())
    judged = bind(drafted, lambda t: tree_verify(lambda c: p, believed(t), (), p))
    assert law(bind(judged, lambda text: Ret(text[0]))) == {2: F(1)}
    T5_without_replacement(p, q, 2)


def test_typical_acceptance_by_hand() -> None:
    """p = (1/2, 1/4, 1/4) and a drafter that always says 0: all mass on 0, distance 1/2, which is
    the bound 1 - tau.
    """
    p = (F(1, 2), F(1, 4), F(1, 4))
    first = typical_cycle(at_least(F(1, 2)), lambda c: p, lambda c: point_mass(0, 3), 1, ())
    assert law(bind(first, lambda text: Ret(text[0]))) == {0: F(1)}
    assert total_variation(point_mass(0, 3), p) == F(1, 2)
    C4_typical(p, point_mass(0, 3), F(1, 2))


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        ((F(1, 4),) * 4, [True] * 4),  # exp(-H) = 1/4; .3/4 = .075 < 1/4
        ((F(1, 2), F(1, 4), F(1, 4)), [True] * 3),  # exp(-H) = 2^-1.5 = .354, .3 of it .106
        (
            (F(9, 10), F(1, 20), F(1, 20)),
            [True, False, False],
        ),  # exp(-H) = .674, and .202 is above epsilon = .09
        ((F(89, 100), F(1, 10), F(1, 100)), [True, True, False]),
    ],
)
def test_medusas_criterion(p: tuple[F, ...], kept: list[bool]) -> None:
    keep = medusa(F(9, 100), F(3, 10))
    assert [keep(p, x) for x in range(len(p))] == kept


def test_medusas_criterion_at_the_border_is_strict() -> None:
    keep = medusa(F(1), F(1))
    assert not any(keep((F(1, 3),) * 3, x) for x in range(3)), "p(x) = exp(-H) is not above it"


def test_speed_by_hand() -> None:
    assert speedup(F(4, 5), 1, F(1, 10), linear(F(0))) == F(18, 11)
    assert speedup(F(1, 2), 1, F(1, 4), linear(F(1, 4))) == 1, "break-even: alpha = b + c"
    assert best_gamma(F(4, 5), F(1, 20), F(0)) == 8
    T8_speed_model(F(4, 5), F(1, 20), F(1, 20), 40)


def test_without_replacement_by_hand() -> None:
    q = (F(1, 2), F(1, 3), F(1, 6))
    assert without_replacement(q)((0,)) == (F(0), F(2, 3), F(1, 3))
    assert without_replacement(q)((0, 1)) == point_mass(2, 3)
    assert without_replacement(q)((0, 1, 2)) is None


def test_couplings_of_two_tokens() -> None:
    assert sorted(map(agreement, extreme_couplings(HIGH, LOW))) == [0, F(1, 2)]
    assert len(extreme_couplings((F(1, 3),) * 3, (F(1, 3),) * 3)) == 6, (
        "the permutations of three (Birkhoff)"
    )


def test_begins_with_is_harmonic_and_a_bet_on_parity_is_not() -> None:
    def p(c: Context) -> tuple[F, ...]:
        return LOW if sum(c) % 2 else EVEN

    contexts = [c for n in range(5) for c in product(range(2), repeat=n)]
    for s in contexts:
        assert harmonic(p, begins_with(p, s), contexts)
        assert begins_with(p, s)(()) == text_probability(p, (), s)
    assert not harmonic(p, lambda c: F(sum(c) % 2), contexts)


def test_sound_and_lossless_say_no() -> None:
    def p(c: Context) -> tuple[F, ...]:
        return LOW

    def biased(c: Context) -> Prog[Context]:
        return bind(resample_from_p(LOW, HIGH), lambda x: Ret((*c, x)))

    def lazy(c: Context) -> Prog[Context]:
        return Ret(c)

    def elsewhere(c: Context) -> Prog[Context]:
        return emit((1 - c[0],) if c else (), LOW)

    def short(c: Context) -> Prog[Context]:
        return bind(unnormalised_residual(LOW, HIGH), lambda x: Ret((*c, x)))

    assert sound(p, lambda c: plain_cycle(p, c), ())
    assert lossless(p, lambda c: cycle(p, p, 2, c), 3, ())
    assert not sound(p, lambda c: verify(p, p, c, (0,)), ()), (
        "a sure draft judged as if it came from p"
    )
    assert not sound(p, biased, ())
    assert not lossless(p, biased, 2, ())
    assert not sound(p, short, ())
    assert not lossless(p, short, 1, ())
    assert not sound(p, lazy, ())
    assert not lossless(p, lazy, 1, ())
    assert not sound(p, elsewhere, (0,)), "a cycle must not change what is already written"


def test_claims_say_no() -> None:
    with pytest.raises(Refuted, match="not p"):
        T1_lossless_step(LOW, (F(1, 2), F(1, 4)))  # q that is no law
    with pytest.raises(Refuted, match="harmonic"):
        T4_chain(lambda c: LOW, lambda root: lambda c: (F(1, 2), F(1, 4)), lambda root: 1, 1, ())


def test_greedy_ties_go_to_the_lowest_id() -> None:
    assert argmax((F(1, 5), F(2, 5), F(2, 5))) == 1
    assert greedy_cycle(lambda c: EVEN, (0, 1, 0), ()) == Ret((0, 0))
