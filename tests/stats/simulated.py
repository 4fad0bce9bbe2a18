"""A small speculative engine, all rows at once, with planted faults: what the tests by betting are
tried on.

Without a fault each token has exactly the distribution `Answers.p`: a drafted token is kept with
probability min(1, p/q) and replaced from the residual, and after GAMMA kept ones a token comes from
p itself. A fault changes the target (`TARGET`), the random numbers (`RANDOM`) or the rule (`RULE`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from specref.stats.texts import TextBatch, TextShape
from torch import Tensor

GAMMA = 3
TEMPERATURES = (1.0, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35, 1.5)
RARE = 11  # a token that the model seldom says
LATE = 18  # the place from which late faults are there


class Model:
    """Random logits that follow the last two tokens and the place, and a draft that is near."""

    def __init__(self, vocabulary: int, seed: int):
        g = torch.Generator().manual_seed(seed)

        def table(*size: int) -> Tensor:
            return torch.randn(*size, generator=g, dtype=torch.float64)

        self.vocabulary = vocabulary
        self.last, self.second = table(vocabulary, vocabulary), table(vocabulary, vocabulary)
        self.place, self.other = table(6, vocabulary), table(vocabulary, vocabulary)
        if vocabulary > RARE:
            self.last[:, RARE] -= 2.5

    def target(self, before: Tensor, place: int) -> Tensor:
        """[R,3] the last tokens, the nearest last -> [R,V] logits."""
        near = 1.2 * self.last[before[:, 2]] + 0.8 * self.second[before[:, 1]]
        return near + 0.5 * self.place[place % 6]

    def draft(self, logits: Tensor, before: Tensor) -> Tensor:
        return 0.7 * logits + 0.8 * self.other[before[:, 2]]


class Narrow(Model):
    """Nearly certain but for one real choice in 16 places: prefixes recur."""

    def target(self, before: Tensor, place: int) -> Tensor:
        return super().target(before, place) * (1.0 if place % 16 == 4 else 16.0)

    def draft(self, logits: Tensor, before: Tensor) -> Tensor:
        return 0.9 * logits + 0.3 * self.other[before[:, 2]]


@dataclass
class Step:
    """What a fault of the target may look at: one place of all rows."""

    place: int
    logits: Tensor  # [R,V]
    temperature: Tensor  # [R,1]
    p: Tensor  # [R,V]
    q: Tensor  # [R,V]
    before: Tensor  # [R,3]
    prefix: Tensor  # [R] a hash of all tokens before
    setting: Tensor  # [R]
    rejected: Tensor  # [R] whether the last token replaced a rejected one


@dataclass
class Answers:
    """[R,T] tokens with the distributions p, q and the faulty target's [R,T,V], and texts' ends."""

    tokens: Tensor
    p: Tensor
    q: Tensor
    faulty: Tensor
    prefix: Tensor
    prompt: Tensor
    setting: Tensor
    lengths: Tensor

    def tv(self) -> float:
        """Mean total variation of the faulty target."""
        return float((self.faulty - self.p).abs().sum(-1).mean() / 2)

    def texts(self, context: dict[str, Tensor] | None = None, seed: int | None = None) -> TextBatch:
        return TextBatch(
            self.p,
            self.q,
            self.tokens,
            self.lengths,
            self.prompt,
            self.setting,
            seed=seed,
            context=context,
        )


def hashed(*parts: Tensor | int) -> Tensor:
    """A hash of whole numbers, elementwise."""
    key = torch.zeros((), dtype=torch.int64)
    for part in parts:
        mixed = (key * 6_364_136_223_846_793_005 + torch.as_tensor(part) + 1_442_695_041) ^ (
            key >> 29
        )
        key = mixed * 2_862_933_555_777_941_757 + 3_037_000_493
        key = key ^ (key >> 31)
    return key


def swapped(p: Tensor, key: Tensor, share: float) -> Tensor:
    """Mass moved between neighbours in rank, with signs by a hash of `key` [R]."""
    order = p.argsort(dim=1, descending=True)
    ranked = p.gather(1, order)
    for j, a in enumerate(range(1, p.shape[1] - 1, 2)):
        sign = ((hashed(key, j) >> 7) & 1) * 2 - 1
        moved = sign * share * ranked[:, a + 1]
        ranked[:, a] += moved
        ranked[:, a + 1] -= moved
    return torch.zeros_like(p).scatter(1, order, ranked)


def _normalised(p: Tensor) -> Tensor:
    return p / p.sum(1, keepdim=True)


def _at(s: Step, temperature: float) -> Tensor:
    return (s.logits / s.temperature / temperature).softmax(1)


def _tail_dropped(s: Step) -> Tensor:
    return _normalised(s.p * (s.p >= 0.01))


def _late(s: Step, key: Tensor, share: float) -> Tensor:
    return swapped(s.p, key, share) if s.place >= LATE else s.p


def _by_place(s: Step) -> Tensor:
    return hashed(s.before[:, 2], s.place)


def _last_row(s: Step) -> Tensor:
    p = s.p.clone()
    p[-1] = _at(s, 0.6)[-1]
    return p


def _banned(s: Step) -> Tensor:
    p = s.p.clone()
    p[:, 3] = 0
    return _normalised(p)


def _doubled(s: Step) -> Tensor:
    p = s.p.clone()
    p[:, RARE] *= 2
    return _normalised(p)


def _repeated(s: Step) -> Tensor:
    return 0.98 * s.p + 0.02 * torch.nn.functional.one_hot(s.before[:, 2], s.p.shape[1])


TARGET: dict[str, Callable[[Step], Tensor]] = {
    "temperature .95": lambda s: _at(s, 0.95),
    "tail dropped (p < .01)": _tail_dropped,
    "after a rejection, temperature .8": lambda s: torch.where(
        s.rejected[:, None], _at(s, 0.8), s.p
    ),
    "late, by previous token and place, .9": lambda s: _late(s, _by_place(s), 0.9),
    "late, by previous token and place, .5": lambda s: _late(s, _by_place(s), 0.5),
    "last row of the batch, temperature .6": _last_row,
    "one setting of 8, temperature .85": lambda s: torch.where(
        (s.setting == 5)[:, None], _at(s, 0.85), s.p
    ),
    "token 3 banned": _banned,
    "rare token doubled": _doubled,
    "previous token repeated, +.02": _repeated,
    "by last two tokens, .5": lambda s: swapped(s.p, hashed(s.before[:, 2], s.before[:, 1]), 0.5),
    "by last three tokens, .9": lambda s: swapped(
        s.p, hashed(s.before[:, 2], s.before[:, 1], s.before[:, 0]), 0.9
    ),
    "by the whole prefix, .9": lambda s: swapped(s.p, s.prefix, 0.9),
    "late, by the whole prefix, .9": lambda s: _late(s, s.prefix, 0.9),
}


def _copied_neighbour(u: Tensor, past: Tensor, call: int) -> Tensor:
    u[1::2] = u[::2]
    return u


def _copied_half(u: Tensor, past: Tensor, call: int) -> Tensor:
    u[len(u) // 2 :] = u[: len(u) // 2]
    return u


def _mirrored_half(u: Tensor, past: Tensor, call: int) -> Tensor:
    u[len(u) // 2 :] = 1 - u[: len(u) // 2]
    return u


def _copied_acceptance(u: Tensor, past: Tensor, call: int) -> Tensor:
    u[1::2, :, 1] = u[::2, :, 1]
    return u


def _next_call(u: Tensor, past: Tensor, call: int) -> Tensor:
    return past if call % 2 else u


def _next_call_next_row(u: Tensor, past: Tensor, call: int) -> Tensor:
    return past.roll(1, 0) if call % 2 else u


def _seed_plus_step(u: Tensor, past: Tensor, call: int) -> Tensor:
    """Row r draws at place t what row r + 1 draws at place t - 1."""
    diagonal = torch.cat((u[:, 0], u[-1, 1:]))  # [R+T,3]
    rows, places = torch.arange(u.shape[0]), torch.arange(u.shape[1])
    return diagonal[rows[:, None] + places]


RANDOM: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "neighbour's random numbers": _copied_neighbour,
    "random numbers of 32 rows before": _copied_half,
    "1 - u of 32 rows before": _mirrored_half,
    "neighbour's random numbers, acceptance only": _copied_acceptance,
    "the next call's random numbers": _next_call,
    "the next call's, one row on": _next_call_next_row,
    "seed + step": _seed_plus_step,
}
RULE = (
    "resample from p",
    "residual not normalised",
    "bonus from q",
    "residual's number = acceptance's",
    "residual's number = next acceptance's",
)
FAULTS = (*RULE, *TARGET, *RANDOM)
RIGHT = ""


def pick(p: Tensor, u: Tensor) -> Tensor:
    """[R,V] weights, [R] uniforms -> [R] int64 by the inverse distribution function."""
    upto = p.cumsum(1)
    drawn = (upto < (u * upto[:, -1])[:, None]).sum(1)
    return drawn.clamp(max=p.shape[1] - 1)


class Simulated:
    """The engine. end: a token that ends a text, None for texts of full length."""

    def __init__(self, model: Model, fault: str, seed: int, end: int | None = None):
        if fault not in (RIGHT, *FAULTS):
            raise KeyError(f"no fault is called {fault!r}")
        self.model, self.fault, self.end = model, fault, end
        self.g = torch.Generator().manual_seed(seed)
        self.call, self.past = 0, torch.zeros(0)
        self.temperatures = torch.tensor(TEMPERATURES, dtype=torch.float64)
        # a fault of the target that a test plants itself
        self.tilt: Callable[[Step], Tensor] | None = None

    def run(self, rows: int, places: int, prompt: Tensor | None = None) -> Answers:
        """[rows] texts of `places` tokens at most; prompt: [rows,3], random by default."""
        V = self.model.vocabulary
        setting = torch.randint(len(TEMPERATURES), (rows,), generator=self.g)
        if prompt is None:
            prompt = torch.randint(V, (rows, 3), generator=self.g)
        u = self._uniforms(rows, places)
        state = _State(rows, prompt, setting)
        kept: list[tuple[Tensor, ...]] = []
        for place in range(places):
            kept.append(self._step(state, place, u[:, place]))
        tokens, p, q, faulty, prefix = (torch.stack(part, 1) for part in zip(*kept))
        lengths = torch.full((rows,), places)
        if self.end is not None:
            ends = tokens == self.end
            lengths = torch.where(ends.any(1), ends.long().argmax(1) + 1, places)
        return Answers(tokens, p, q, faulty, prefix, prompt, setting, lengths)

    def _uniforms(self, rows: int, places: int) -> Tensor:
        """[R,T+1,3]: to draft, to accept, to draw."""
        u = torch.rand(rows, places + 1, 3, generator=self.g, dtype=torch.float64)
        if self.fault in RANDOM:
            u = RANDOM[self.fault](u, self.past, self.call)
        self.past, self.call = u, self.call + 1
        return u

    def _step(self, s: "_State", place: int, u: Tensor) -> tuple[Tensor, ...]:
        here, temperature = s.rows, self.temperatures[s.setting][:, None]
        logits = self.model.target(s.before, place)
        p = (logits / temperature).softmax(1)
        q = (self.model.draft(logits, s.before) / temperature).softmax(1)
        seen = Step(place, logits, temperature, p, q, s.before, s.prefix, s.setting, s.rejected)
        faulty = TARGET[self.fault](seen) if self.fault in TARGET else p
        if self.tilt is not None:
            faulty = self.tilt(seen)
        drafted, accept, draw = pick(q, u[:, 0]), u[:, 1], u[:, 2]
        if self.fault == "residual's number = next acceptance's":
            accept = torch.where(s.carried.isnan(), accept, s.carried)
        bonus = s.accepted == GAMMA
        keep = (accept * q[here, drafted] < faulty[here, drafted]) & ~bonus
        if self.fault == "residual's number = acceptance's":
            draw = torch.where(bonus, draw, accept)
        token = torch.where(keep, drafted, self._replacement(faulty, q, draw))
        token = torch.where(bonus, pick(q if self.fault == "bonus from q" else faulty, draw), token)
        kept = token, p, q, faulty, s.prefix
        s.advance(token, keep, bonus, draw)
        return kept

    def _replacement(self, p: Tensor, q: Tensor, draw: Tensor) -> Tensor:
        left = p if self.fault == "resample from p" else (p - q).clamp(min=0)
        left = torch.where(left.sum(1, keepdim=True) > 1e-12, left, p)
        if self.fault == "residual not normalised":
            return (left.cumsum(1) < draw[:, None]).sum(1).clamp(max=p.shape[1] - 1)
        return pick(left, draw)


class _State:
    """Where the rows of a call are."""

    def __init__(self, rows: int, prompt: Tensor, setting: Tensor):
        self.rows, self.before, self.setting = torch.arange(rows), prompt.clone(), setting
        self.prefix = hashed(*prompt.T)
        self.accepted = torch.zeros(rows, dtype=torch.int64)
        self.rejected = torch.zeros(rows, dtype=torch.bool)
        self.carried = torch.full((rows,), torch.nan, dtype=torch.float64)

    def advance(self, token: Tensor, keep: Tensor, bonus: Tensor, draw: Tensor) -> None:
        self.rejected = ~keep & ~bonus
        self.carried = torch.where(self.rejected, draw, torch.nan)
        self.accepted = torch.where(keep, self.accepted + 1, 0)
        self.before = torch.cat((self.before[:, 1:], token[:, None]), 1)
        self.prefix = hashed(self.prefix, token)


def shape_of(model: Model, rows: int, places: int) -> TextShape:
    return TextShape(model.vocabulary, rows, places, len(TEMPERATURES))
