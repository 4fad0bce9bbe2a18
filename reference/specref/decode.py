"""The one flow: propose, one target forward, probs(), rule, commit, trim at stops, emit.

`decode_step` is one cycle of it, `decode_loop` repeats the cycle until every request has ended,
`generate` starts requests and returns their completions. Every method of this project is this flow
with another drafter, another rule or another depth.

The newest token of a text is pending: emitted, but not yet in the cache. The forward that verifies
a draft writes it there. A row that has finished leaves the batch, so no rule ever sees it.

Shapes: B rows, N draft nodes, D path length, V vocabulary, E hidden size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .chance import Chance, Streams
from .checks import check_prompts, check_readable
from .data import Completion, Draft, SamplingParams, SpecrefError, Verdict
from .draft.base import Drafter, Text
from .model.cache import Cache
from .model.transformer import Output, Transformer
from .probs import History, history, needs_history, probs
from .stops import finish_reason
from .verify import Rule


@dataclass
class Request:
    """One text: its prompt, what it may become, what it is so far."""

    prompt: list[int]
    params: SamplingParams
    limit: int  # output tokens at most: max_new_tokens, or what the context has room for
    tokens: list[int] = field(default_factory=list)  # the output
    reason: str | None = None  # why it ended: "stop" or "length"; None: it goes on
    target_steps: int = 0
    drafted: int = 0
    accepted: int = 0

    def budget(self, gamma: int) -> int:
        """The depth of the next draft: at most gamma, and one token less than may be written."""
        return min(gamma, self.limit - len(self.tokens) - 1)

    def take(self, tokens: Sequence[int]) -> int:
        """Append tokens until the text ends; returns how many were appended."""
        for count, token in enumerate(tokens, 1):
            self.tokens.append(token)
            self.reason = finish_reason(self.tokens, self.params, self.limit)
            if self.reason:
                return count
        return len(tokens)

    def emit(self, tokens: list[int], drafted: int) -> list[int]:
        """One step's tokens, cut where the text ends; counts the step and its `drafted` tokens."""
        taken = self.take(tokens)
        self.target_steps += 1
        self.drafted += drafted
        self.accepted += min(taken, len(tokens) - 1)
        return tokens[:taken]

    def completion(self) -> Completion:
        """The result; finish_reason "" while the text goes on."""
        return Completion(
            list(self.tokens), self.reason or "", self.target_steps, self.drafted, self.accepted
        )


@dataclass
class Batch:
    """The rows that are decoded together: everything that has one entry for each of them."""

    text: Text
    requests: list[Request]
    cache: Cache
    chance: Chance

    def rows(self, index: list[int]) -> "Batch":
        """The batch of these rows alone."""
        requests = [self.requests[row] for row in index]
        return Batch(
            self.text.rows(index), requests, self.cache.rows(index), self.chance.rows(index)
        )


@dataclass
class Cycle:
    """What one decode step did."""

    rows: list[int]  # indices of the requests
    draft: Draft
    p: Tensor  # [B,N+1,V]
    verdict: Verdict
    emitted: list[list[int]]  # after trimming at stops and lengths

    def distributions(self) -> list[Tensor]:
        """For every row the distributions p of the n tokens that it emitted, [n,V]."""
        result = []
        for row, tokens in enumerate(self.emitted):
            path = self.verdict.path[row, : len(tokens) - 1]  # [n-1]
            after = [0, *(path + 1).tolist()]
            result.append(self.p[row, after[: len(tokens)]])
        return result


class Forward(Protocol):
    """The target as `decode_step` calls it: the transformer itself, or what stands in for it."""

    @property
    def device(self) -> torch.device: ...

    def __call__(
        self, tokens: Tensor, cache: Cache, parents: Tensor | None, counts: Tensor
    ) -> Output:
        """As Transformer.forward: tokens [B,N] -> logits [B,N,V], hidden [B,N,E]."""
        ...


def decode_step(
    target: Forward, drafter: Drafter, rule: Rule, batch: Batch, budget: Tensor
) -> Cycle:
    """One cycle of all rows, for one target forward.

    Args:
        batch: B rows; its text, requests and cache are extended. budget: [B] depth of each draft.
    """
    text = batch.text
    # propose
    draft = drafter.propose(text, budget, batch.chance).to(target.device)  # tokens [B,N]
    check_readable(draft, len(text.tokens), text.vocabulary)
    draft = draft.cleared()
    # one target forward: the pending token stands before the draft
    pending = torch.tensor([[tokens[-1]] for tokens in text.tokens], device=target.device)  # [B,1]
    tokens = torch.cat((pending, draft.tokens), 1)  # [B,N+1]
    output = target(tokens, batch.cache, _rooted(draft), draft.lengths.cpu() + 1)
    # probs: row 0 judges the first token of the draft
    p = probs(output.logits, text.params, _past(text, draft))  # [B,N+1,V]
    # rule
    verdict = rule(draft, p, batch.chance)
    path, accepted = verdict.path.cpu(), verdict.accepted.cpu()  # [B,D], [B]
    # commit
    batch.cache.commit(path, accepted)
    drafter.commit(accepted)
    read = F.pad(path + 1, (1, 0))  # [B,D+1]: forward positions of the pending token and the path
    text.states = output.hidden[torch.arange(len(read))[:, None], read]  # [B,D+1,E]
    text.fresh = accepted + 1  # [B]
    # trim at stops, emit
    emitted = []
    for row, gained in enumerate(verdict.emitted(draft)):
        emitted.append(batch.requests[row].emit(gained, int(draft.lengths[row])))
        text.tokens[row].extend(emitted[row])
    return Cycle(list(range(len(emitted))), draft, p, verdict, emitted)


def _rooted(draft: Draft) -> Tensor | None:
    """Parents [B,N+1] with the pending token as node 0; None for a chain, which needs no mask."""
    if not draft.branches:
        return None
    return F.pad(draft.parents + 1, (1, 0), value=-1)  # [B,N+1]


def _past(text: Text, draft: Draft) -> History | None:
    """The tokens before each of the N+1 positions, where some parameter looks at them."""
    if not needs_history(text.params):
        return None
    return history(text.tokens, text.prompts, text.vocabulary, draft, draft.tokens.device)


def prefill(target: Transformer, cache: Cache, chunks: Sequence[Sequence[int]]) -> Tensor:
    """Write prompt tokens to the cache: chunk b behind the text of row b, ragged.

    Returns:
        the target's states of them, [B,N,E], N the longest chunk.
    """
    counts = torch.tensor([len(chunk) for chunk in chunks])  # [B]
    tokens = padded(chunks, int(counts.max()), target.device)  # [B,N]
    states = target.states(tokens, cache, None, counts)  # [B,N,E]
    cache.lengths += counts
    return states


def padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> Tensor:
    """Ragged token lists as [B,width] int64, 0 in the padding."""
    filled = [[*row, *[0] * (width - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.int64, device=device)


@torch.inference_mode()
def decode_loop(
    target: Transformer,
    drafter: Drafter,
    rule: Rule,
    requests: list[Request],
    gamma: int = 5,
    chance: Chance | None = None,
) -> Iterator[Cycle]:
    """Decode steps until every request has ended; fills `requests` and yields every cycle.

    Args:
        requests: as `new_requests` makes them; those that have ended are left out. gamma: tokens
            that a cycle proposes at most. chance: one row a request; None: one seeded stream each.
    Errors:
        SpecrefError for a negative gamma, and for whatever `probs` and the checks refuse.
    """
    if gamma < 0:
        raise SpecrefError(f"gamma = {gamma} is not possible: give 0 (no draft) or more")
    active = [i for i, request in enumerate(requests) if not request.reason]
    if not active:
        return
    if chance is None:
        chance = Streams([request.params.seed for request in requests])
    batch = _start(target, drafter, [requests[i] for i in active], gamma, chance.rows(active))
    while active:
        budget = torch.tensor([request.budget(gamma) for request in batch.requests])  # [B]
        cycle = decode_step(target, drafter, rule, batch, budget)
        yield replace(cycle, rows=active)
        going = [row for row, request in enumerate(batch.requests) if not request.reason]
        if going and len(going) < len(active):
            batch = batch.rows(going)
            drafter.rows(going)
        active = [active[row] for row in going]


def _start(
    target: Transformer, drafter: Drafter, requests: list[Request], gamma: int, chance: Chance
) -> Batch:
    """The batch of new requests: all prompt tokens but the last, which is pending, are cached."""
    text = Text(
        [list(request.prompt) for request in requests],
        [len(request.prompt) for request in requests],
        [request.params for request in requests],
        target.config.vocab_size,
    )
    longest = max(len(request.prompt) + request.limit for request in requests)
    deepest = max(request.budget(gamma) for request in requests)
    capacity = longest + drafter.nodes(deepest) + 1
    cache = target.new_cache(len(requests), capacity)
    chunks = [request.prompt[:-1] for request in requests]
    if any(chunks):
        text.states = prefill(target, cache, chunks)  # [B,M,E]
        text.fresh = torch.tensor([len(chunk) for chunk in chunks])  # [B]
    drafter.begin(text, capacity)
    return Batch(text, requests, cache, chance)


def new_requests(
    target: Transformer,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
) -> list[Request]:
    """B requests that have no output yet.

    Args:
        prompts: B token lists, ragged. params: one for all of them, or B.
    Errors:
        SpecrefError for prompts that do not fit the target, and for another number of params.
    """
    every = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
    if len(every) != len(prompts):
        raise SpecrefError(
            f"{len(prompts)} prompts and {len(every)} sampling parameters: give one for all, or one"
            " each"
        )
    context = target.config.max_position_embeddings
    check_prompts(prompts, target.config.vocab_size, context)
    requests = []
    for prompt, one in zip(prompts, every, strict=True):
        limit = min(one.max_new_tokens, context - len(prompt))
        reason = None if one.max_new_tokens else "length"
        requests.append(Request(list(prompt), one, limit, reason=reason))
    return requests


def generate(
    target: Transformer,
    drafter: Drafter,
    rule: Rule,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
    gamma: int = 5,
) -> list[Completion]:
    """Decode a batch of prompts, each row with its own seeded stream of random numbers.

    Args:
        prompts: B token lists, ragged. params: one for all rows, or B of them. gamma: tokens that
            a cycle proposes at most.
    Returns:
        B completions in the order of the prompts.
    Errors:
        SpecrefError for prompts that do not fit, and for whatever `probs` and the checks refuse.
    """
    requests = new_requests(target, prompts, params)
    for _ in decode_loop(target, drafter, rule, requests, gamma):
        pass
    return [request.completion() for request in requests]
