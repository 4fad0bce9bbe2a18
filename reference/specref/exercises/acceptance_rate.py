"""Exercise of part 5: the acceptance rate from a log.

Each cycle of the log is (drafted, accepted): of so many draft tokens, the first so many were
accepted. Return the accepted tokens over the judged ones. A token behind a rejection was never
judged: nobody knows whether it would have been accepted.
"""

from fractions import Fraction

from .grading.exercise import Numbers

Log = list[tuple[int, int]]

LOGS: list[Log] = [
    [(4, 4), (4, 0), (4, 2), (4, 1)],
    [(5, 3), (5, 5), (3, 3), (1, 0), (2, 1)],
    [(1, 1), (1, 0), (1, 1)],
    [(8, 0), (8, 1), (8, 8)],
    [(3, 3), (0, 0), (3, 1)],
]

EXERCISE = Numbers(
    id="acceptance-rate",
    part=5,
    cases=[{"cycles": log} for log in LOGS],
    right="In every case this is accepted over judged tokens.",
)


def attempt(cycles: Log) -> Fraction:
    """cycles: (drafted, accepted) of each cycle. Returns the acceptance rate."""
    drafted_tokens = sum(drafted for drafted, accepted in cycles)  # judged or not
    accepted_tokens = sum(accepted for drafted, accepted in cycles)
    return Fraction(accepted_tokens, drafted_tokens)


@EXERCISE.solution
def solution(cycles: Log) -> Fraction:
    accepted_tokens = sum(accepted for drafted, accepted in cycles)
    judged = sum(min(drafted, accepted + 1) for drafted, accepted in cycles)
    return Fraction(accepted_tokens, judged)


@EXERCISE.also_right
def accepted_and_rejected(cycles: Log) -> Fraction:
    """It counts rejections: one in each cycle that was cut."""
    accepted_tokens = rejected = 0
    for drafted, accepted in cycles:
        accepted_tokens += accepted
        rejected += accepted < drafted
    return Fraction(accepted_tokens, accepted_tokens + rejected)


@EXERCISE.also_right
def coin_by_coin(cycles: Log) -> Fraction:
    """It writes down each judgement."""
    coins = []
    for drafted, accepted in cycles:
        coins += [1] * accepted + [0] * (accepted < drafted)
    return Fraction(sum(coins), len(coins))


@EXERCISE.wrong("you divide by all drafted tokens")
def over_drafted(cycles: Log) -> Fraction:
    """Tokens behind a rejection were never judged. Counted as rejected, they make the rate too low,
    and lower the longer the draft is.
    """
    accepted_tokens = sum(accepted for drafted, accepted in cycles)
    judged = sum(drafted for drafted, accepted in cycles)
    return Fraction(accepted_tokens, judged)


@EXERCISE.wrong("you count the token that the target adds as accepted")
def bonus_is_accepted(cycles: Log) -> Fraction:
    """It is emitted, and was not drafted."""
    accepted_tokens = sum(accepted + 1 for drafted, accepted in cycles)
    judged = sum(min(drafted, accepted + 1) for drafted, accepted in cycles)
    return Fraction(accepted_tokens, judged)


@EXERCISE.wrong("you count a judged token behind a draft that was accepted whole")
def always_one_more_judged(cycles: Log) -> Fraction:
    """Behind the last draft token there is nothing to judge."""
    accepted_tokens = sum(accepted for drafted, accepted in cycles)
    judged = sum(accepted + 1 for drafted, accepted in cycles)
    return Fraction(accepted_tokens, judged)


@EXERCISE.wrong("you average the rates of the cycles")
def mean_of_cycles(cycles: Log) -> Fraction:
    """A cycle with one judged token then counts as much as one with eight."""
    rates = []
    for drafted, accepted in cycles:
        if drafted:
            rates.append(Fraction(accepted, min(drafted, accepted + 1)))
    return sum(rates, Fraction(0)) / len(rates)


@EXERCISE.wrong("you average accepted over drafted, cycle by cycle")
def mean_of_drafted_shares(cycles: Log) -> Fraction:
    """Unjudged tokens count as rejected, and short drafts as much as long ones."""
    shares = [Fraction(accepted, drafted) for drafted, accepted in cycles if drafted]
    return sum(shares, Fraction(0)) / len(shares)


@EXERCISE.wrong("you return accepted tokens a cycle")
def accepted_a_cycle(cycles: Log) -> Fraction:
    """That is a length. Divide by the judged tokens for a rate."""
    accepted_tokens = sum(accepted for drafted, accepted in cycles)
    judged = len(cycles)
    return Fraction(accepted_tokens, judged)


@EXERCISE.wrong("you return the share of drafts that were accepted whole")
def whole_drafts(cycles: Log) -> Fraction:
    """That falls with the length of the draft; the rate is for each token."""
    accepted_tokens = sum(1 for drafted, accepted in cycles if drafted and accepted == drafted)
    judged = sum(1 for drafted, accepted in cycles if drafted)
    return Fraction(accepted_tokens, judged)
