"""Claimed and computed: every rule on every world, its distance, its acceptance and the bound."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from statistics import mean
from typing import Any

from ...exact.cycle_bound import most_accepted
from ...exact.enumerate import total_variation
from ...exact.transport import best_acceptance, with_replacement, without_replacement
from .claims import LOSSLESS, ClaimedRule
from .cycles import drawn_texts, rule_cycle, texts_to_length
from .worlds import CHAIN, RULE_WORLDS, DraftShape, RuleWorld

EXACT = 1e-12  # TV that rounding explains
FINEST = 6  # fractions of the grid on which counterexamples are looked for


@dataclass(frozen=True)
class ComparedWorld:
    """One rule in one world. tv: of depth + 1 tokens, one cycle and then the target, against the
    target alone. acceptance: P(a draft token is accepted at the first place). bound: the most that
    any lossless rule could accept there. tokens: emitted in a cycle, and most_tokens the most that
    any lossless rule could emit.
    """

    world: str
    tv: float
    acceptance: float
    bound: float
    tokens: float
    most_tokens: float


@cache
def most_tokens(world: RuleWorld, shape: DraftShape, greedy: bool) -> float:
    """Tokens a cycle of the best lossless rule for this draft."""
    drafts = drawn_texts(world, shape)
    return 1 + most_accepted(lambda text: world.target(text, greedy), drafts)


def compare_in(claimed: ClaimedRule, world: RuleWorld) -> ComparedWorld:
    """Enumerate one cycle of a rule in one world."""
    shape, greedy = claimed.shape, claimed.greedy
    outcome = rule_cycle(claimed.rule, world, shape)
    length = shape.depth + 1
    found = texts_to_length(world, outcome.texts, length, greedy)
    target = texts_to_length(world, {(): 1.0}, length, greedy)
    draw = with_replacement if shape.replacement else without_replacement
    bound = best_acceptance(world.target((), greedy), draw(world.q, shape.candidates))
    tv = total_variation(found, target)
    most = most_tokens(world, shape, greedy)
    return ComparedWorld(world.name, tv, outcome.first, bound, outcome.tokens, most)


def compare_rule(claimed: ClaimedRule, worlds: Sequence[RuleWorld] = RULE_WORLDS) -> dict[str, Any]:
    """A row of the table, in plain types; means over the worlds. share: of the bound."""
    found = [compare_in(claimed, world) for world in worlds]
    tv = [one.tv for one in found]
    accepted, bound = mean(one.acceptance for one in found), mean(one.bound for one in found)
    tokens, most = mean(one.tokens for one in found), mean(one.most_tokens for one in found)
    holds = claimed.claim != LOSSLESS or max(tv) <= EXACT
    return {
        "name": claimed.name,
        "claim": claimed.claim,
        "source": claimed.source,
        "draft": claimed.shape.name,
        "against": "greedy text" if claimed.greedy else "p",
        "tv_max": max(tv),
        "tv_mean": mean(tv),
        "acceptance": accepted,
        "bound": bound,
        "share": accepted / bound,
        "tokens": tokens,
        "most_tokens": most,
        "share_of_tokens": tokens / most,
        "holds": holds,
        "counterexample": None if holds else smallest_counterexample(claimed),
        "worlds": [vars(one) for one in found],
    }


def compare_rules(
    lossless: Iterable[ClaimedRule],
    lossy: Iterable[ClaimedRule],
    report: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """What `specref rules --json` writes. report: called with the name of each rule before it."""

    def rows(rules: Iterable[ClaimedRule]) -> list[dict[str, Any]]:
        found = []
        for claimed in rules:
            report(claimed.name)
            found.append(compare_rule(claimed))
        return found

    kept, given_up = rows(lossless), rows(lossy)
    return {
        "worlds": [vars(world) for world in RULE_WORLDS],
        "rules": kept,
        "lossy": given_up,
        "frontier": frontier([row for row in (*kept, *given_up) if _comparable(row)]),
    }


def _comparable(row: Mapping[str, Any]) -> bool:
    """Whether a row belongs on the plot: one draft, one target, and a claim that stands."""
    return row["draft"] == CHAIN.name and row["against"] == "p" and row["holds"]


def frontier(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the rows that no other is both nearer than and at least as fast as."""
    best, names = 0.0, []
    for row in sorted(rows, key=lambda row: (round(row["tv_mean"], 9), -row["tokens"])):
        if row["tokens"] > best:
            best = row["tokens"]
            names.append(row["name"])
    return names


def smallest_counterexample(claimed: ClaimedRule, finest: int = FINEST) -> dict[str, Any] | None:
    """The first world, by vocabulary and then by the size of the fractions, and the first draft,
    from one node up, where the claim fails; None where none is on the grid.
    """
    shape = claimed.shape
    prefixes = [shape.parents[:count] for count in range(1, len(shape.parents) + 1)]
    for size in (2, 3):
        for parts, parents in product(range(1, finest + 1), prefixes):
            cut = DraftShape(f"{len(parents)} of {shape.name}", parents, shape.replacement)
            smaller = ClaimedRule(
                claimed.name, claimed.rule, cut, claimed.claim, claimed.source, claimed.greedy
            )
            for p, q in product(list(_grid(size, parts)), repeat=2):
                world = RuleWorld("", _floats(p), _floats(q))
                found = compare_in(smaller, world)
                if found.tv > EXACT:
                    told = {"p": [*map(str, p)], "q": [*map(str, q)]}
                    return told | {"parents": [*parents], "tv": found.tv}
    return None


def _grid(size: int, parts: int) -> Iterator[tuple[Fraction, ...]]:
    """All distributions over `size` tokens in multiples of 1/parts."""
    for counts in product(range(parts + 1), repeat=size):
        if sum(counts) == parts:
            yield tuple(Fraction(count, parts) for count in counts)


def _floats(row: Sequence[Fraction]) -> tuple[float, ...]:
    return tuple(map(float, row))
