"""Exercise of part 8: how much must be looked at.

A fault shows up in a share of all answers, fault. Answers are independent. Return the least number
of answers after which the probability of having seen no faulty one is at most miss.
"""

from fractions import Fraction

from .grading.exercise import Numbers

PLANS = [
    (Fraction(1, 10), Fraction(1, 20)),
    (Fraction(1, 2), Fraction(1, 100)),
    (Fraction(1, 50), Fraction(1, 20)),
    (Fraction(3, 10), Fraction(1, 1000)),
    (Fraction(1, 2), Fraction(1, 4)),
    (Fraction(1), Fraction(1, 100)),
]

EXERCISE = Numbers(
    id="judge-plan",
    part=8,
    cases=[{"fault": fault, "miss": miss} for fault, miss in PLANS],
    right="In every case this is the least number of answers.",
)


def attempt(fault: Fraction, miss: Fraction) -> int:
    """fault, miss: probabilities above 0. Returns a number of answers."""
    count = 1
    while count * fault < 1:  # one faulty answer is expected among so many
        count += 1
    return count


@EXERCISE.solution
def solution(fault: Fraction, miss: Fraction) -> int:
    count, unseen = 0, Fraction(1)
    while unseen > miss:
        count += 1
        unseen *= 1 - fault
    return count


@EXERCISE.also_right
def by_doubling(fault: Fraction, miss: Fraction) -> int:
    """It doubles, and then halves the gap."""
    high = 1
    while (1 - fault) ** high > miss:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if (1 - fault) ** middle > miss:
            low = middle
        else:
            high = middle
    return high


@EXERCISE.also_right
def by_powers(fault: Fraction, miss: Fraction) -> int:
    """It asks for each number in turn."""
    return next(n for n in range(1, 10**6) if (1 - fault) ** n <= miss)


@EXERCISE.wrong("you look until one faulty answer is expected: 1 / fault")
def one_expected(fault: Fraction, miss: Fraction) -> int:
    """At that number the fault is still missed in about 37 of 100 runs."""
    return -int(-1 // fault)


@EXERCISE.wrong("you add up the shares: fault times n")
def linear(fault: Fraction, miss: Fraction) -> int:
    """The chance to see it is 1 - (1 - fault)^n. It does not grow in proportion."""
    return -int(-(1 - miss) // fault)


@EXERCISE.wrong("your number is one short")
def one_short(fault: Fraction, miss: Fraction) -> int:
    """The last number whose chance of a miss is still above the limit is not enough."""
    count, unseen = 0, Fraction(1)
    while unseen * (1 - fault) > miss:
        count += 1
        unseen *= 1 - fault
    return count


@EXERCISE.wrong("your number is one too many where the limit is met exactly, or at once")
def one_too_many(fault: Fraction, miss: Fraction) -> int:
    """At most miss: equal is enough."""
    count, unseen = 0, Fraction(1)
    while unseen >= miss:
        count += 1
        unseen *= 1 - fault
    return count + (unseen == 0)


@EXERCISE.wrong("you take fault to the power n")
def power_of_fault(fault: Fraction, miss: Fraction) -> int:
    """That is the chance that every answer is faulty. No faulty one is (1 - fault)^n."""
    count, seen = 0, Fraction(1)
    while seen > miss and count < 1000:
        count += 1
        seen *= fault
    return count


@EXERCISE.wrong("you plan for the frequency of something: 1 / fault^2")
def as_a_frequency(fault: Fraction, miss: Fraction) -> int:
    """To tell a frequency from one that is fault away takes so many. Here one faulty answer
    decides, and 1 / fault times a factor is enough.
    """
    return -int(-1 // fault**2)


@EXERCISE.wrong(
    "you take miss for the confidence: you stop when the chance of a miss is at most 1 - miss"
)
def confidence_for_miss(fault: Fraction, miss: Fraction) -> int:
    """miss is the chance of seeing nothing."""
    count, unseen = 0, Fraction(1)
    while unseen > 1 - miss:
        count += 1
        unseen *= 1 - fault
    return count
