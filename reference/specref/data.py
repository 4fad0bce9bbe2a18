"""The data that flows through one cycle.

Shapes: B rows (requests), N draft nodes, D path length, V vocabulary. p is the target's
distribution, q the draft's, as in Leviathan et al. 2023 (arXiv:2211.17192).
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from .errors import SpecrefError


@dataclass(frozen=True)
class SamplingParams:
    """How one request wants its tokens drawn, and where it stops. `probs.py` gives the order of the
    first eight.

    temperature 0 is greedy. top_k 0, top_p 1, min_p 0, repetition_penalty 1, presence_penalty 0 and
    frequency_penalty 0 are off. seed None takes a fresh one. min_tokens: no stop before that many
    output tokens. stop_ids end a text and are kept as its last token; so do stop_sequences, as its
    last tokens.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int | None = None
    max_new_tokens: int = 64
    min_tokens: int = 0
    stop_ids: tuple[int, ...] = ()
    stop_sequences: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def alters(self) -> bool:
        """Whether anything here makes the distribution another one than the softmax of the
        logits.
        """
        return self != SamplingParams(
            seed=self.seed,
            max_new_tokens=self.max_new_tokens,
            stop_ids=self.stop_ids,
            stop_sequences=self.stop_sequences,
        )

    def __post_init__(self) -> None:
        rules: tuple[tuple[str, bool, str], ...] = (
            ("temperature", 0 <= self.temperature < float("inf"), "0 (greedy) or more"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0, and 1 (off) at most"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 (off) and 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < float("inf"), "above 0; 1 is off"),
            ("presence_penalty", abs(self.presence_penalty) < float("inf"), "a finite number"),
            ("frequency_penalty", abs(self.frequency_penalty) < float("inf"), "a finite number"),
            (
                "logit_bias",
                all(bias < float("inf") for bias in self.logit_bias.values()),
                "finite, or -inf to ban",
            ),
            ("max_new_tokens", self.max_new_tokens >= 0, "0 or more"),
            (
                "min_tokens",
                0 <= self.min_tokens <= self.max_new_tokens,
                "between 0 and max_new_tokens",
            ),
            (
                "stop_sequences",
                all(len(stop) > 0 for stop in self.stop_sequences),
                "sequences of at least one token",
            ),
        )
        for name, good, wanted in rules:
            if not good:
                raise SpecrefError(f"{name} = {getattr(self, name)} is not possible: give {wanted}")


@dataclass(frozen=True)
class Draft:
    """What a drafter proposes: for every row a tree of tokens, of which a chain is the simplest.

    Node i of row b exists when i < lengths[b]; what stands behind that is padding and is never
    read.
    """

    tokens: Tensor  # [B,N] int64
    parents: Tensor  # [B,N] int64: index of the node before, -1 for a child of the context
    # [B,N,V]: the distribution that tokens[b,i] was drawn from; None: proposed with certainty
    q: Tensor | None
    lengths: Tensor  # [B] int64

    @staticmethod
    def chain(tokens: Tensor, q: Tensor | None = None, lengths: Tensor | None = None) -> "Draft":
        """A draft without branches: node i follows node i - 1. tokens [B,N], q [B,N,V], lengths [B]
        (default N).
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
    """What a rule decides: the accepted path through the draft, and the one token that follows
    it.
    """

    path: Tensor  # [B,D] int64 draft indices; the first accepted[b] of them count
    accepted: Tensor  # [B] int64
    next_token: Tensor  # [B] int64: the replacement after a rejection, else the bonus token

    def emitted(self, draft: Draft) -> list[list[int]]:
        """The tokens that each row gains: the accepted ones, then the next token."""
        rows = draft.tokens.gather(1, self.path).tolist()
        return [
            [*row[:count], last]
            for row, count, last in zip(
                rows, self.accepted.tolist(), self.next_token.tolist(), strict=True
            )
        ]


@dataclass
class Completion:
    """What one request got. finish_reason: "stop" or "length"."""

    tokens: list[int]
    finish_reason: str
    target_steps: int = 0  # target forwards, the prefill not counted
    drafted: int = 0  # tokens proposed
    accepted: int = 0  # proposed tokens that were kept in the text
    # of each token, in nats, under the distribution it was drawn from; where somebody asked
    logprobs: list[float] | None = None
