"""One test for every question about a stream of tokens whose distributions are known: bet against
the distributions, and multiply what the bets pay.

**The test.** Before token t is shown, its distribution p_t is known, and so is everything before
it. A bettor names a payment f_t(x) >= 0 for every token x, with sum_x p_t(x) f_t(x) <= 1, and
receives f_t of the token that comes. His wealth is the product of the payments. `Bettor` is a fixed
mixture of many such bettors, here called experts; it rejects when the wealth reaches 1/alpha.

**Why it is valid.** Let F_t be all that is known before token t. Under the null hypothesis token t
has distribution p_t given F_t, so the expected payment given F_t is at most 1 and the wealth is a
nonnegative supermartingale that starts at 1. By Ville's inequality (Ville 1939; Shafer and Vovk
2019, "Game-Theoretic Foundations for Probability and Finance", chapter 2) the probability that it
ever reaches 1/alpha is at most alpha. Nothing was assumed about how long texts are, when one stops,
which prompts are chosen after which answers, or how f_t was learned, as long as f_t, p_t, contexts
and directions depend on F_t alone. A mixture with fixed shares is a supermartingale as well. The
proof is written out in proofs/written/S1_betting_is_valid.md.

**The experts.**

    table     f = r(x) / sum_y p(y) r(y), r = (a + observed)/(a + expected) of outcome x in the
              token's context, counted in earlier slices of the stream. a says how slowly to
              believe. Wealth multiplies over the contexts of a class: M = prod_c M_c. A second
              form, prod_c (1 - rho + rho M_c), finds the one context of thousands that is off.
    score     sums of a direction's centred score, in each context alone (wealth.py)
    lag       products of two tokens' scores, at each distance (lags.py)
    surprise  one token alone that is next to impossible: f = p^(-1/2) / sum_y p(y)^(1/2)

**The null hypothesis includes independence**: p_t must be the distribution given *all* tokens
before t in the order in which they are given, those of other rows and calls too. Rows that are
equal by right (the same seed and request) are not independent: give one of them.

**Rounding.** Probabilities that are only known up to |p - p'| <= tol, cell by cell, need a slack. A
payment f is divided by 1 + sum tol |f - 1|: since p and p' both sum to 1, the mean of f under p' is
1 + sum (p' - p)(f - 1) at most. With tol, a token whose p is reported as 0 is no proof. Without
tol, p is taken as exact; a relative error of eps in every cell (1e-7 for float32) raises the
expected wealth to (1 + eps)^n at most, a factor of 1.1 after a million tokens.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import SpecrefError
from .lags import Lags, centred
from .questions import EVERYWHERE, Context, Observed, OutcomeCells, Questions
from .wealth import log_wealth_of_sums

DOUBTS = (1.0, 16.0, 256.0)  # a of the tables: expected counts that the prior is worth
RARITIES = (1.0, 0.1, 0.01)  # rho of the tables: the share of contexts that is off
SHARES = {"table": 0.38, "score": 0.3, "lag": 0.3, "surprise": 0.02}  # of the first unit of wealth
SLICE = (128, 4096)  # tokens bet on with one state of the tables: at least, at most
LEARN = 8  # a slice is at most this part of all tokens before it
LOOK = 1.1  # the wealth is computed when the stream has grown by this factor


class Table:
    """Observed and expected counts of an outcome in each context of a class.

    observed, expected: [C,M]. gain: [A,C] log wealth of each context under each of DOUBTS.
    """

    def __init__(self, contexts: int, cells: int):
        self.observed = torch.zeros(contexts, cells, dtype=torch.float64)
        self.expected = torch.zeros_like(self.observed)
        self.gain = torch.zeros(len(DOUBTS), contexts, dtype=torch.float64)

    def update(self, p: Tensor, cell: Tensor, context: Tensor, tol: Tensor | None) -> None:
        """Bet on a slice with what was learned before it, then learn from it.

        Args:
            p: [n,M]. cell, context: [n] int64. tol: [n,M] or None.
        """
        seen, due = self.observed, self.expected  # [C,M]
        one_context = len(seen) == 1
        if not one_context:
            seen, due = seen[context], due[context]  # [n,M]
        for i, doubt in enumerate(DOUBTS):
            raised = (doubt + seen) / (doubt + due)  # [n,M], or [1,M] of the one context
            mean = (p * raised).sum(1)  # [n]
            mine = raised[0][cell] if one_context else raised.gather(1, cell[:, None])[:, 0]
            gain = (mine / mean).log()
            if tol is not None:
                gain -= (tol * (raised / mean[:, None] - 1).abs()).sum(1).log1p()
            self.gain[i] += torch.bincount(context, gain, len(self.gain[i]))
        cells = self.observed.shape[1]
        counts = torch.bincount(context * cells + cell, minlength=self.observed.numel())
        self.observed += counts.reshape(self.observed.shape)
        self.expected.index_add_(0, context, p)

    def log_wealth(self) -> Tensor:
        """[A,R] log wealth over all contexts, for each of DOUBTS and of RARITIES."""
        columns = []
        for rarity in RARITIES:
            each = self.gain
            if rarity < 1:
                idle = torch.full_like(self.gain, math.log1p(-rarity))
                each = torch.logaddexp(idle, math.log(rarity) + self.gain)
            columns.append(each.sum(1))
        return torch.stack(columns, 1)


class Scores:
    """Sums of a direction's centred scores, in each context of a class alone: [C] each."""

    def __init__(self, contexts: int):
        self.total = torch.zeros(contexts, dtype=torch.float64)
        self.squares, self.slack = torch.zeros_like(self.total), torch.zeros_like(self.total)

    def update(self, score: Tensor, slack: Tensor | None, context: Tensor) -> None:
        size = len(self.total)
        self.total += torch.bincount(context, score, size)
        self.squares += torch.bincount(context, score.square(), size)
        if slack is not None:
            self.slack += torch.bincount(context, slack, size)

    def log_wealth(self) -> Tensor:
        """[C]"""
        return log_wealth_of_sums(self.total, self.squares, self.slack)


class Surprise:
    """A bet that one token, whichever, is next to impossible.

    Token t = 0, 1, .. gets the stake 1/((t + 1)(t + 2)); what is not staked yet is kept. So the
    wealth is 1/(n + 1) + sum_t f_t/((t + 1)(t + 2)), with a mean of at most 1.
    """

    def __init__(self) -> None:
        self.n, self.log_won = 0, -math.inf
        self.largest, self.at, self.p = -math.inf, -1, 1.0  # the best payment, its token and p

    def update(self, p: Tensor, cell: Tensor, tol: Tensor | None) -> None:
        """[n,M], [n], [n,M]. With tol, p + tol bounds the true probabilities from above."""
        most = p if tol is None else p + tol
        mine = most.gather(1, cell[:, None])[:, 0]
        payment = -mine.log() / 2 - most.sqrt().sum(1).log()  # [n] log f; +inf where p is 0
        time = self.n + torch.arange(len(cell), dtype=torch.float64)
        stake = -torch.log1p(time) - torch.log(time + 2)
        self.log_won = _log_add(self.log_won, float(torch.logsumexp(payment + stake, 0)))
        best = int(payment.argmax())
        if float(payment[best]) > self.largest:
            self.largest, self.at = float(payment[best]), self.n + best
            self.p = float(mine[best])
        self.n += len(cell)

    def log_wealth(self) -> Tensor:
        """[1]"""
        return torch.tensor([_log_add(-math.log1p(self.n), self.log_won)], dtype=torch.float64)


@dataclass(frozen=True)
class Expert:
    """A family of experts. kind: a key of SHARES; about: what it bets on; log_wealth: of each
    member, its share of the first unit of wealth included."""

    kind: str
    about: tuple[str, ...]
    log_wealth: Tensor


@dataclass(frozen=True)
class Winner:
    """The richest expert of a kind, in words. convicts: its wealth alone is enough. at: of a table
    the context and the cell that are most off, of a score its context, of a lag its index."""

    kind: str
    about: tuple[str, ...]
    words: str
    log_wealth: float
    convicts: bool
    at: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.words} (log wealth {self.log_wealth:.1f})"


class Bettor:
    """The test: one stream, all questions, one alpha.

    Args:
        questions: what is asked. alpha: the chance of a false alarm over the whole stream, whenever
            one stops.
    """

    def __init__(self, questions: Questions, alpha: float):
        if not 0 < alpha < 1:
            raise SpecrefError(
                f"alpha = {alpha} is not a false-alarm rate: give one between 0 and 1"
            )
        self.questions, self.alpha = questions, alpha
        outcomes, contexts = questions.outcome, context_sizes(questions)
        self.tables = {
            (outcome, context): Table(contexts[context], outcomes[outcome].cells)
            for outcome, context in questions.tables
        }
        self.scores = {
            (direction, context): Scores(contexts[context])
            for direction, context in questions.scores
        }
        self.lags = None if questions.lags is None else Lags(questions)
        self.surprise = Surprise()
        self.shares = log_shares(questions)
        self.n = self.looked_at = 0
        self.latest = self.largest = 0.0  # log wealth when last looked at, and at its largest
        self.convicted_at: int | None = None  # tokens when the wealth was first seen to be enough

    @property
    def rejected(self) -> bool:
        return self.convicted_at is not None

    def update(self, call: Observed, look: bool = True) -> bool:
        """Bet on one call's tokens; returns whether the stream is known to be wrong by now.

        look: False leaves it to the caller to `look`, after many small calls.

        Errors:
            SpecrefError for tokens that do not fit the questions; nothing is then bet on.
        """
        call = call.checked(self.questions)
        if not call.n:
            return self.rejected
        first = self.questions.outcomes[0].name
        tol = None if call.tol is None else call.tol[first]
        self.surprise.update(call.p[first], call.token[first], tol)
        for part in betting_slices(call, self.n):
            self._bet_on_tables(part)
        self._bet_on_scores(call)
        if self.lags is not None:
            self.lags.update(call)
        self.n += call.n
        if (look and self.n >= LOOK * self.looked_at) or math.isinf(self.surprise.log_won):
            self.look()
        return self.rejected

    def look(self) -> float:
        """log of the wealth now. `update` looks when the stream has grown by a tenth."""
        self.looked_at = self.n
        every = torch.cat([family.log_wealth.flatten() for family in self.experts()])
        self.latest = float(torch.logsumexp(every, 0))
        self.largest = max(self.largest, self.latest)
        if self.convicted_at is None and self.largest >= -math.log(self.alpha):
            self.convicted_at = self.n
        return self.latest

    def experts(self) -> list[Expert]:
        """Every expert with its wealth. The mixture's wealth is the sum over all of them."""
        families = [
            Expert("table", key, self.shares["table"] + table.log_wealth())
            for key, table in self.tables.items()
        ]
        for key, scores in self.scores.items():
            share = self.shares["score"] - math.log(len(scores.total))
            families.append(Expert("score", key, share + scores.log_wealth()))
        if self.lags is not None:
            wealth = self.shares["lag"] + self.lags.log_share + self.lags.log_wealth()
            families.append(Expert("lag", (), wealth))
        wealth = self.shares["surprise"] + self.surprise.log_wealth()
        families.append(Expert("surprise", (), wealth))
        return families

    def winners(self) -> list[Winner]:
        """The richest expert of each kind, the richest first; behind the first only those that
        convict alone."""
        best: dict[str, Expert] = {}
        for family in self.experts():
            rival = best.get(family.kind)
            if rival is None or family.log_wealth.max() > rival.log_wealth.max():
                best[family.kind] = family
        order = sorted((self._winner(family) for family in best.values()), key=_poverty)
        return [order[0], *(one for one in order[1:] if one.convicts)]

    def _bet_on_tables(self, part: Observed) -> None:
        for (outcome, context), table in self.tables.items():
            tol = None if part.tol is None else part.tol[outcome]
            table.update(part.p[outcome], part.token[outcome], part.context[context], tol)

    def _bet_on_scores(self, call: Observed) -> None:
        score: dict[str, Tensor] = {}
        slack: dict[str, Tensor | None] = {}
        for one in self.questions.directions:
            g, p = call.direction[one.name], call.p[one.outcome]
            score[one.name] = centred(g, p, call.token[one.outcome])
            tol = None if call.tol is None else call.tol[one.outcome]
            slack[one.name] = None if tol is None else mean_slack(g, p, tol)
        for (direction, context), scores in self.scores.items():
            scores.update(score[direction], slack[direction], call.context[context])

    def _winner(self, family: Expert) -> Winner:
        wealth = float(family.log_wealth.max())
        at = torch.unravel_index(family.log_wealth.argmax(), family.log_wealth.shape)
        index = [int(i) for i in at]
        if family.kind == "table":
            index = self._most_off(family.about, index)
        said = {
            "table": self._say_table,
            "score": self._say_score,
            "lag": self._say_lag,
            "surprise": self._say_surprise,
        }[family.kind](family.about, index)
        convicts = wealth >= -math.log(self.alpha)
        return Winner(family.kind, family.about, said, wealth, convicts, tuple(index))

    def _most_off(self, about: tuple[str, ...], index: list[int]) -> list[int]:
        """The context and the cell of a table that are most off."""
        table = self.tables[about[0], about[1]]
        gain = table.gain[index[0]]  # [C]
        c = int(gain.argmax())
        off = (table.observed[c] - table.expected[c]).abs() / (table.expected[c] + 1).sqrt()
        return [c, int(off.argmax())]

    def _say_table(self, about: tuple[str, ...], index: list[int]) -> str:
        table, outcome = self.tables[about[0], about[1]], self.questions.outcome[about[0]]
        return said_of_table(table, outcome, _context(self.questions, about[1]), *index)

    def _say_score(self, about: tuple[str, ...], index: list[int]) -> str:
        scores, context = self.scores[about[0], about[1]], _context(self.questions, about[1])
        often = "too often" if scores.total[index[0]] > 0 else "too seldom"
        what = self.questions.direction[about[0]].words
        return f"{what} come {often}{_where(context, index[0])}"

    def _say_lag(self, about: tuple[str, ...], index: list[int]) -> str:
        assert self.lags is not None
        return str(self.lags.lag(*index))

    def _say_surprise(self, about: tuple[str, ...], index: list[int]) -> str:
        p = self.surprise.p
        how = "impossible" if p == 0 else f"of probability {p:.1e}"
        return f"a token came that is {how} (token {self.surprise.at} of the stream)"


def context_sizes(questions: Questions) -> dict[str, int]:
    """Context class -> the number of its contexts."""
    return {EVERYWHERE: 1} | {one.name: one.size for one in questions.contexts}


def log_shares(questions: Questions) -> dict[str, float]:
    """Kind -> log of the share of one of its experts. What a kind does not ask is the others'."""
    lags = int(questions.lags is not None)
    count = {
        "table": len(questions.tables),
        "score": len(questions.scores),
        "lag": lags,
        "surprise": 1,
    }
    asked = sum(SHARES[kind] for kind, number in count.items() if number)
    members = {"table": len(DOUBTS) * len(RARITIES)}
    return {
        kind: math.log(SHARES[kind] / asked / number / members.get(kind, 1))
        for kind, number in count.items()
        if number
    }


def betting_slices(call: Observed, before: int) -> list[Observed]:
    """A call in parts that are bet on with one state of the tables, `before` tokens being known."""
    parts, first = [], 0
    while first < call.n:
        size = min(max(SLICE[0], (before + first) // LEARN), SLICE[1])
        parts.append(call.part(first, min(first + size, call.n)))
        first += size
    return parts


def mean_slack(g: Tensor, p: Tensor, tol: Tensor) -> Tensor:
    """[n]: by how much the mean of a centred score may be off, sum tol |g - mean of g|."""
    return (tol * (g - (p * g).sum(1, keepdim=True)).abs()).sum(1)


def said_of_table(table: Table, outcome: OutcomeCells, context: Context, c: int, cell: int) -> str:
    """What a table saw in context c, of one cell, in words."""
    came, due = float(table.observed[c, cell]), float(table.expected[c, cell])
    said = f"{outcome.words.format(cell)} came {came:.0f} times where {due:.1f} were expected"
    if context.size == 1:
        return said
    good = int((table.gain.amax(0) > 0).sum())
    used = int((table.expected.sum(1) > 0).sum())
    return f"{said}{_where(context, c)}; {good} of {used} such contexts are off"


def _context(questions: Questions, name: str) -> Context:
    return questions.context.get(name, Context(EVERYWHERE, 1, "", ""))


def _where(context: Context, c: int) -> str:
    return "" if context.size == 1 else " " + context.said(c)


def _log_add(a: float, b: float) -> float:
    """log(e^a + e^b)"""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf or high == math.inf else high + math.log1p(math.exp(low - high))


def _poverty(winner: Winner) -> float:
    return -winner.log_wealth
