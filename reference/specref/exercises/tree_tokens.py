"""Exercise of part 6: how many tokens a tree gives.

parents[i] is the node before node i, or -1 for a child of the context. accept[i] is the probability
that node i is accepted once its parent is (the context always is). At most one child of a node is
accepted. Return the expected tokens of a cycle: the accepted path, and the one that the target
adds.
"""

from fractions import Fraction

from .grading.exercise import Numbers

Shares = list[Fraction]


def shares(*texts: str) -> Shares:
    return [Fraction(text) for text in texts]


TREES = [
    ([-1, 0, 1], shares("4/5", "3/5", "1/2")),
    ([-1, -1, 0, 0, 1], shares("1/2", "1/4", "2/5", "1/5", "1/2")),
    ([-1, -1, -1], shares("1/2", "1/4", "1/8")),
    ([-1, 0, 0, 1, 1, 2, 5], shares("9/10", "1/2", "3/10", "2/5", "1/5", "1/2", "1/3")),
    ([], shares()),
]

EXERCISE = Numbers(
    id="tree-tokens",
    part=6,
    cases=[{"parents": parents, "accept": accept} for parents, accept in TREES],
    right="In every case these are the expected tokens of a cycle.",
)


def attempt(parents: list[int], accept: Shares) -> Fraction:
    """parents, accept: of N nodes. Returns the expected tokens of a cycle."""
    return 1 + sum(accept, Fraction(0))  # as if a node could be accepted without its parent


@EXERCISE.solution
def solution(parents: list[int], accept: Shares) -> Fraction:
    reached: list[Fraction] = []
    for parent, share in zip(parents, accept):
        reached.append(reached[parent] * share if parent >= 0 else share)
    return 1 + sum(reached, Fraction(0))


@EXERCISE.also_right
def from_the_leaves(parents: list[int], accept: Shares) -> Fraction:
    """It adds up from the leaves."""
    below = [Fraction(0) for _ in parents]
    total = Fraction(1)
    for i in reversed(range(len(parents))):
        value = accept[i] * (1 + below[i])
        if parents[i] >= 0:
            below[parents[i]] += value
        else:
            total += value
    return total


@EXERCISE.also_right
def by_walking_up(parents: list[int], accept: Shares) -> Fraction:
    """It multiplies along each path."""
    total = Fraction(1)
    for i in range(len(parents)):
        share, node = Fraction(1), i
        while node >= 0:
            share *= accept[node]
            node = parents[node]
        total += share
    return total


@EXERCISE.wrong("you add the nodes' own probabilities")
def no_paths(parents: list[int], accept: Shares) -> Fraction:
    """A node counts only if all its ancestors were accepted: multiply along the path."""
    return 1 + sum(accept, Fraction(0))


@EXERCISE.wrong("you forget the token that the target adds")
def no_extra_token(parents: list[int], accept: Shares) -> Fraction:
    """Behind the accepted path the target's own token comes for free."""
    reached: list[Fraction] = []
    for parent, share in zip(parents, accept):
        reached.append(reached[parent] * share if parent >= 0 else share)
    return sum(reached, Fraction(0))


@EXERCISE.wrong("you count the best path only")
def best_path_only(parents: list[int], accept: Shares) -> Fraction:
    """The other branches are there for when it fails: add every node."""
    totals: list[Fraction] = []
    reached: list[Fraction] = []
    for parent, share in zip(parents, accept):
        reached.append(reached[parent] * share if parent >= 0 else share)
        totals.append((totals[parent] if parent >= 0 else 0) + reached[-1])
    return 1 + max(totals, default=Fraction(0))


@EXERCISE.wrong("you multiply with the parent's own probability only")
def parent_once(parents: list[int], accept: Shares) -> Fraction:
    """The grandparents must have been accepted too."""
    reached: list[Fraction] = []
    for parent, share in zip(parents, accept):
        reached.append(accept[parent] * share if parent >= 0 else share)
    return 1 + sum(reached, Fraction(0))


@EXERCISE.wrong("you count whole paths only: the leaves times their depth")
def leaves_only(parents: list[int], accept: Shares) -> Fraction:
    """A path that is accepted in part counts with that part."""
    reached: list[Fraction] = []
    depths: list[int] = []
    for parent, share in zip(parents, accept):
        reached.append(reached[parent] * share if parent >= 0 else share)
        depths.append(depths[parent] + 1 if parent >= 0 else 1)
    leaves = [i for i in range(len(parents)) if i not in parents]
    return 1 + sum((reached[i] * depths[i] for i in leaves), Fraction(0))


@EXERCISE.wrong("you take off the siblings before a node, though accept has done so already")
def siblings_in_turn(parents: list[int], accept: Shares) -> Fraction:
    """accept[i] is the probability that node i is the accepted child. It is not the chance of one
    coin after others said no.
    """
    reached: list[Fraction] = []
    total = Fraction(1)
    for i, share in enumerate(accept):
        before = [accept[j] for j in range(i) if parents[j] == parents[i]]
        own = share
        for other in before:
            own *= 1 - other
        reached.append(reached[parents[i]] * own if parents[i] >= 0 else own)
        total += reached[-1]
    return total
