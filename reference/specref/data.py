"""The data that flows through one cycle, and the error that every part raises.

Shapes: B rows (requests), N draft nodes, D path length, V vocabulary. p is the target's
distribution, q the draft's, as in Leviathan et al. 2023 (arXiv:2211.17192).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from .errors import SpecrefError, shortened


@dataclass(frozen=True)
class SamplingParams:
    """How the tokens of one request are drawn, and where its text ends.

    `probs.py` gives the order in which the parameters act. stop_ids and stop_sequences end a text
    and stay in it, as its last tokens.

    Errors:
        SpecrefError for a value that is not possible.
    """

    temperature: float = 1.0  # 0: greedy
    top_k: int = 0  # 0: off
    top_p: float = 1.0  # 1: off
    min_p: float = 0.0  # 0: off
    repetition_penalty: float = 1.0  # 1: off
    presence_penalty: float = 0.0  # 0: off
    frequency_penalty: float = 0.0  # 0: off
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int | None = None  # None: a fresh one
    max_new_tokens: int = 64
    min_tokens: int = 0  # output tokens before which no stop counts
    stop_ids: tuple[int, ...] = ()
    stop_sequences: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def alters(self) -> bool:
        """Whether the distribution is another one than the softmax of the logits."""
        neutral = SamplingParams(
            seed=self.seed,
            max_new_tokens=self.max_new_tokens,
            stop_ids=self.stop_ids,
            stop_sequences=self.stop_sequences,
        )
        return self != neutral

    @cached_property
    def looks_back(self) -> bool:
        """Whether the distribution depends on the tokens before, other than through the logits."""
        penalties = (self.presence_penalty, self.frequency_penalty, self.min_tokens)
        return self.repetition_penalty != 1 or any(penalties)

    def __post_init__(self) -> None:
        """Refuse a value that is of another type, or that float32 or int64 cannot hold."""
        reals: tuple[tuple[str, Callable[[float], bool], str], ...] = (
            ("temperature", lambda value: value >= 0, "0 (greedy) or more"),
            ("top_p", lambda value: 0 < value <= 1, "above 0, and 1 (off) at most"),
            ("min_p", lambda value: 0 <= value <= 1, "between 0 (off) and 1"),
            ("repetition_penalty", lambda value: value > 0, "above 0; 1 is off"),
            ("presence_penalty", lambda value: True, "a finite number"),
            ("frequency_penalty", lambda value: True, "a finite number"),
        )
        for name, possible, wanted in reals:
            value = getattr(self, name)
            _require(name, value, _is_real(value) and possible(value), wanted)
        for name, wanted in (("top_k", "0 (off) or more"), ("max_new_tokens", "0 or more")):
            _require(name, getattr(self, name), _is_count(getattr(self, name)), wanted)
        few = _is_count(self.min_tokens) and self.min_tokens <= self.max_new_tokens
        _require("min_tokens", self.min_tokens, few, "between 0 and max_new_tokens")
        known = self.seed is None or (_is_integer(self.seed) and -(2**63) <= self.seed < 2**64)
        _require("seed", self.seed, known, "one of 64 bits")
        for token, bias in self.logit_bias.items():
            _require("logit_bias", token, _is_count(token), "token ids, 0 or more")
            finite = _is_real(bias) or bias == -float("inf")
            _require("logit_bias", bias, finite, "finite numbers, or -inf to ban")
        for token in self.stop_ids:
            _require("stop_ids", token, _is_count(token), "token ids, 0 or more")
        for stop in self.stop_sequences:
            filled = len(stop) > 0 and all(_is_count(token) for token in stop)
            _require("stop_sequences", stop, filled, "sequences of at least one token id")


def _is_real(value: Any) -> bool:
    """Whether it is a number that float32 holds. NaN is none."""
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    return numeric and abs(value) <= torch.finfo(torch.float32).max


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    """Whether it is an integer from 0 that int64 holds."""
    return _is_integer(value) and 0 <= value < 2**63


def _require(name: str, value: object, good: bool, wanted: str) -> None:
    if not good:
        raise SpecrefError(f"{name} = {shortened(value)} is not possible: give {wanted}")


@dataclass(frozen=True)
class Draft:
    """What a drafter proposes: for every row a tree of tokens. A chain is a tree without branches.

    Node i of row b exists when i < lengths[b]. The nodes behind that are padding, which is never
    looked at.
    """

    tokens: Tensor  # [B,N] int64
    parents: Tensor  # [B,N] int64: index of the node before, -1 for a child of the context
    # [B,N,V]: the distribution that tokens[b,i] was drawn from; None: proposed with certainty
    q: Tensor | None
    lengths: Tensor  # [B] int64

    @staticmethod
    def chain(tokens: Tensor, q: Tensor | None = None, lengths: Tensor | None = None) -> "Draft":
        """A draft without branches: node i follows node i - 1.

        Args:
            tokens: [B,N]. q: [B,N,V]; None: proposed with certainty. lengths: [B]; None: all N.
        """
        batch, count = tokens.shape
        parents = torch.arange(-1, count - 1, device=tokens.device).expand(batch, count)
        if lengths is None:
            lengths = torch.full((batch,), count, device=tokens.device)
        return Draft(tokens, parents, q, lengths)

    @cached_property
    def valid(self) -> Tensor:
        """[B,N] bool: which nodes exist."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]

    @cached_property
    def index(self) -> Tensor:
        """[B,N,1] the tokens to gather with: 0 in the padding, whatever stands there."""
        return self.tokens.masked_fill(~self.valid, 0)[..., None]

    @cached_property
    def branches(self) -> bool:
        """Whether some node follows another than the one before it."""
        before = torch.arange(-1, self.tokens.shape[1] - 1, device=self.parents.device)
        return bool(((self.parents != before) & self.valid).any())

    def cleared(self) -> "Draft":
        """The same draft with token 0 and a chain's parents in the padding, so that a model can
        read the padding too; itself where there is none.
        """
        if bool(self.valid.all()):
            return self
        before = torch.arange(-1, self.tokens.shape[1] - 1, device=self.parents.device)  # [N]
        tokens = torch.where(self.valid, self.tokens, 0)  # [B,N]
        parents = torch.where(self.valid, self.parents, before)  # [B,N]
        return Draft(tokens, parents, self.q, self.lengths)

    def to(self, device: torch.device) -> "Draft":
        """The same draft on another device; itself where it is there already."""
        if self.tokens.device == device:
            return self
        return Draft(
            self.tokens.to(device),
            self.parents.to(device),
            None if self.q is None else self.q.to(device),
            self.lengths.to(device),
        )

    def rows(self, index: Tensor) -> "Draft":
        """The draft of the rows in index [W], in that order, repeats allowed."""
        return Draft(
            self.tokens[index],
            self.parents[index],
            None if self.q is None else self.q[index],
            self.lengths[index],
        )


@dataclass(frozen=True)
class Verdict:
    """What a rule decides: the accepted path through the draft, and the token that follows it."""

    path: Tensor  # [B,D] int64 draft indices; the first accepted[b] of them count
    accepted: Tensor  # [B] int64
    next_token: Tensor  # [B] int64: the replacement after a rejection, else the bonus token

    def emitted(self, draft: Draft) -> list[list[int]]:
        """The tokens that each row gains: the accepted ones, then the next token."""
        accepted, next_token = self.accepted.tolist(), self.next_token.tolist()
        emitted = []
        for row, tokens in enumerate(draft.tokens.gather(1, self.path).tolist()):
            emitted.append([*tokens[: accepted[row]], next_token[row]])
        return emitted


@dataclass
class Completion:
    """What one request got. finish_reason: "stop" or "length"."""

    tokens: list[int]
    finish_reason: str
    target_steps: int = 0  # target forwards, the prefill not counted
    drafted: int = 0  # tokens proposed
    accepted: int = 0  # proposed tokens that were kept in the text
    # of each token, in nats, under the distribution it was drawn from; None: not asked for
    logprobs: list[float] | None = None
