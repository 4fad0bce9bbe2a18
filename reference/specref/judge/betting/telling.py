"""What a test by betting saw, in one sentence and a picture."""

import torch

from ...stats.betting import Table, Winner
from ...stats.questions import EVERYWHERE
from ..verdict import Picture
from .surroundings import FOLDED, PLAIN_WORDS
from .text_bet import TextBet

_DRAWN = 16  # outcomes of a picture
# What it means when the tokens that a direction prefers come too often, or too seldom.
_LEANS = {
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
_RANKS = {"rank": "by p", "ratio rank": "by q/p"}


def told(bet: TextBet, winner: Winner) -> str:
    """What is wrong and where."""
    say = {"table": _table, "score": _score, "lag": _lag}.get(winner.kind)
    return say(bet, winner) if say else winner.words


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
    said = f"{_cell_words(outcome, cell)} came {came:.0f} times in {of} where {due:.1f} were due"
    off = int((table.gain.amax(0) > 0).sum())
    used = int((table.expected.sum(1) > 0).sum())
    among = f"; {off} of {used} such places are off" if used > 1 else ""
    return f"{said} {where}".rstrip() + among


def _score(bet: TextBet, winner: Winner) -> str:
    direction, context = winner.about
    scores, group = bet.bettor.scores[direction, context], winner.at[0]
    often, seldom = _LEANS[direction]
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
        parts.append(f"{abs(row)} rows {'later' if row > 0 else 'earlier'}")
    if place:
        parts.append(f"{abs(place)} places {'later' if place > 0 else 'earlier'}")
    return " and ".join(parts)


def _where(bet: TextBet, context: str, group: int) -> str:
    return "" if context == EVERYWHERE else bet.surroundings.where(context, group)


def _cell_words(outcome: str, cell: int) -> str:
    if outcome in _RANKS:
        return f"the token of rank {cell + 1} {_RANKS[outcome]}"
    return f"token {cell} (modulo {FOLDED})"


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
