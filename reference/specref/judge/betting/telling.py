"""What a test by betting saw, in one sentence and a picture."""

from collections.abc import Sequence

import torch

from ...stats.betting import Table, Winner
from ...stats.questions import EVERYWHERE, rank_starts
from ..verdict import Picture
from .surroundings import PLAIN_WORDS, toy_of
from .text_bet import TextBet

_DRAWN = 16  # outcomes of a picture
# What it means when the tokens that a direction prefers come too often, or too seldom.
LEANS = {
    "draft": (
        "tokens that the draft likes come out too often",
        "tokens that the draft likes come out too seldom",
    ),
    "likely": (
        "likely tokens come out too often, as at a lower temperature",
        "unlikely tokens come out too often, as at a higher temperature or without a filter",
    ),
    "token before": (
        "the token before is repeated too often",
        "the token before is repeated too seldom",
    ),
    "distribution before": (
        "tokens come out by the distribution of the place before",
        "tokens shun what the place before liked",
    ),
    "plain": (f"{PLAIN_WORDS} come out too often", f"{PLAIN_WORDS} come out too seldom"),
}
_SHARED = "random numbers are used again: tokens depend on each other"
_RANKS = {"rank": "by p", "ratio rank": "by q/p"}


def told(bet: TextBet, winner: Winner) -> str:
    """What is wrong and where."""
    say = {"table": _table, "score": _score, "lag": _lag}.get(winner.kind)
    return say(bet, winner) if say else winner.words


def cause(bet: TextBet, winners: Sequence[Winner]) -> str:
    """What the fault may come from, where that shows: the direction that convicts by itself, or
    that requests share random numbers; "" for none."""
    if winners[0].kind == "lag":
        return _SHARED
    leans = [winner for winner in winners if winner.kind == "score" and winner.convicts]
    return _score(bet, leans[0]) if leans else ""


def picture(bet: TextBet, winner: Winner) -> Picture | None:
    """Of a table the tokens that differ most, in the context that is most off; of a score the
    table of its outcome there; none of a lag."""
    outcome, context, group = _shown(bet, winner)
    table = bet.bettor.tables.get((outcome, context))
    if table is None or group is None:
        return None
    due, came = table.expected[group], table.observed[group]
    if not float(due.sum()):
        return None
    chosen = _most_off(table, group)
    where = _where(bet, context, group)
    title = f"{_ordered(outcome)} {where}".rstrip() + f", {int(came.sum())} draws"
    return Picture(
        title,
        tuple(_cell(outcome, cell) for cell in chosen),
        tuple((due[chosen] / due.sum()).tolist()),
        tuple((came[chosen] / came.sum()).tolist()),
    )


def _shown(bet: TextBet, winner: Winner) -> tuple[str, str, int | None]:
    """Outcome, context class and group that a picture shows."""
    if winner.kind == "table":
        return winner.about[0], winner.about[1], winner.at[0]
    if winner.kind == "score":
        order = "ratio rank" if winner.about[0] == "draft" else "rank"
        context = winner.about[1]
        if (order, context) in bet.bettor.tables:
            return order, context, winner.at[0]
        return order, EVERYWHERE, 0
    return "", "", None


def _table(bet: TextBet, winner: Winner) -> str:
    (outcome, context), (group, cell) = winner.about, winner.at
    table = bet.bettor.tables[outcome, context]
    came, due = float(table.observed[group, cell]), float(table.expected[group, cell])
    of = int(table.observed[group].sum())
    where = _where(bet, context, group)
    said = (
        f"{_cell_words(bet, outcome, cell)} came {came:.0f} times in {of} where {due:.1f} were due"
    )
    off = int((table.gain.amax(0) > 0).sum())
    used = int((table.expected.sum(1) > 0).sum())
    among = f"; {off} of {used} such places are off" if used > 1 else ""
    return f"{said} {where}".rstrip() + among


def _score(bet: TextBet, winner: Winner) -> str:
    direction, context = winner.about
    scores, group = bet.bettor.scores[direction, context], winner.at[0]
    often, seldom = LEANS[direction]
    said = often if float(scores.total[group]) > 0 else seldom
    return f"{said} {_where(bet, context, group)}".rstrip()


def _lag(bet: TextBet, winner: Winner) -> str:
    assert bet.bettor.lags is not None
    kind, score, row, place = winner.at
    lag = bet.bettor.lags.lag(kind, score, row, place)
    here = {(0, 0): "the same row and place"}.get(
        (lag.row, lag.place), _distance(lag.row, lag.place)
    )
    how = "go together" if lag.alike else "go opposite ways"
    call = "of the same call" if lag.kind == "same call" else f"of {lag.kind}"
    rows = "in one text" if lag.kind == "same call" and lag.row == 0 else "of different requests"
    return f"tokens {rows} depend on each other: a token and that at {here} {call} {how}"


def _distance(row: int, place: int) -> str:
    parts = []
    if row:
        parts.append(f"{_counted(row, 'row')} {'later' if row > 0 else 'earlier'}")
    if place:
        parts.append(f"{_counted(place, 'place')} {'later' if place > 0 else 'earlier'}")
    return " and ".join(parts)


def _counted(distance: int, name: str) -> str:
    return f"{abs(distance)} {name}" + "s" * (abs(distance) != 1)


def _where(bet: TextBet, context: str, group: int) -> str:
    return "" if context == EVERYWHERE else bet.surroundings.where(context, group)


def _cell_words(bet: TextBet, outcome: str, cell: int) -> str:
    around = bet.surroundings
    largest = max(toy_of(name).vocabulary for name in around.worlds)
    if outcome not in _RANKS:
        folded = largest > around.folded
        return f"token {cell} (modulo {around.folded})" if folded else f"token {cell}"
    said = f"the token of rank {cell + 1} {_RANKS[outcome]}"
    starts = [*rank_starts(largest, around.folded).tolist(), largest]
    if starts[cell + 1] - starts[cell] == 1:
        return said
    return f"{said} (of {largest} tokens, ranks {starts[cell] + 1} to {starts[cell + 1]})"


def _cell(outcome: str, cell: int) -> str:
    return f"{cell + 1}" if outcome in _RANKS else str(cell)


def _ordered(outcome: str) -> str:
    return f"tokens ranked {_RANKS[outcome]}" if outcome in _RANKS else "tokens"


def _most_off(table: Table, group: int) -> list[int]:
    """The cells that differ most, in their order."""
    due, came = table.expected[group], table.observed[group]
    off = (came - due).abs() / (due + 1).sqrt()
    count = min(_DRAWN, int((due > 0).sum()))
    return sorted(torch.topk(off, max(count, 1)).indices.tolist())
