"""The one flow: propose, one target forward, probs(), rule, commit, trim at stops, emit.

Every method of this project is this loop with another drafter and another rule. The newest token of
a text is pending: emitted, but not yet in the cache; the forward that verifies a draft takes it in.
A row that has finished leaves the batch, so no rule ever sees it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .chance import Chance, Streams
from .checks import check_prompts
from .data import Completion, Draft, SamplingParams, SpecrefError, Verdict
from .draft.base import Drafter, Text
from .model.cache import Cache
from .model.transformer import Transformer
from .probs import history, needs_history, probs
from .verify import Rule


@dataclass
class Cycle:
    """One turn of the loop, as a trace sees it."""

    rows: list[int]  # which requests
    draft: Draft
    p: Tensor  # [B,N+1,V]
    verdict: Verdict
    emitted: list[list[int]]  # after trimming at stops and lengths

    def distributions(self) -> list[Tensor]:
        """For every row, the distribution p of each token that it emitted, [n,V]."""
        return [
            self.p[
                row, [0, *(self.verdict.path[row, : len(tokens) - 1] + 1).tolist()][: len(tokens)]
            ]
            for row, tokens in enumerate(self.emitted)
        ]


@dataclass
class Request:
    """One row's own count of its output, and where it ends."""

    params: SamplingParams
    limit: int  # output tokens at most: its own wish, or the context's end
    tokens: list[int] = field(default_factory=list)
    reason: str | None = None
    target_steps: int = 0
    drafted: int = 0
    accepted: int = 0

    def budget(self, gamma: int) -> int:
        """How deep a draft may be: what comes after it is one token more."""
        return min(gamma, self.limit - len(self.tokens) - 1)

    def take(self, tokens: Sequence[int]) -> int:
        """Append until a stop or the limit; returns how many were taken."""
        for count, token in enumerate(tokens, 1):
            self.tokens.append(token)
            if self._stops():
                self.reason = "stop"
            elif len(self.tokens) == self.limit:
                self.reason = "length"
            if self.reason:
                return count
        return len(tokens)

    def _stops(self) -> bool:
        params, text = self.params, self.tokens
        if len(text) < params.min_tokens:
            return False
        return text[-1] in params.stop_ids or any(
            tuple(text[-len(s) :]) == tuple(s) for s in params.stop_sequences
        )


@torch.inference_mode()
def cycles(
    target: Transformer,
    drafter: Drafter,
    rule: Rule,
    prompts: Sequence[Sequence[int]],
    params: Sequence[SamplingParams],
    requests: list[Request],
    chance: Chance,
    gamma: int,
) -> Iterator[Cycle]:
    """The loop itself. It fills `requests` and yields every cycle."""
    active = [i for i, request in enumerate(requests) if not request.reason]
    if not active:
        return
    text = Text(
        [list(prompts[i]) for i in active],
        [len(prompts[i]) for i in active],
        [params[i] for i in active],
        target.config.vocab_size,
    )
    capacity = max(len(prompts[i]) + requests[i].limit for i in active) + drafter.nodes(gamma) + 1
    cache = target.new_cache(len(active), capacity)
    chunks = [tokens[:-1] for tokens in text.tokens]
    if any(chunks):
        text.states, text.fresh = (
            read(target, cache, chunks),
            torch.tensor([len(chunk) for chunk in chunks]),
        )
    drafter.begin(text, capacity)
    chance = chance.rows(active)
    while active:
        budget = torch.tensor([requests[i].budget(gamma) for i in active])
        cycle = turn(
            target, drafter, rule, text, [requests[i] for i in active], cache, budget, chance
        )
        yield replace(cycle, rows=active)
        going = [row for row, i in enumerate(active) if not requests[i].reason]
        if not going:
            return
        if len(going) < len(active):
            active = [active[row] for row in going]
            text, cache, chance = text.rows(going), cache.rows(going), chance.rows(going)
            drafter.rows(going)


def turn(
    target: Transformer,
    drafter: Drafter,
    rule: Rule,
    text: Text,
    requests: Sequence[Request],
    cache: Cache,
    budget: Tensor,
    chance: Chance,
    chunks: Sequence[Sequence[int]] = (),
) -> Cycle:
    """One cycle of the rows of `text`, from the draft to the tokens that each request takes.

    Args:
        text, requests, budget [B], chance: B rows. cache: the same rows; behind them one for every
            chunk.
        chunks: prompt tokens that the same forward reads into the cache: drafts, so to speak, that
            nobody has to judge.
    """
    batch = len(requests)
    draft = _readable(
        drafter.propose(text, budget, chance).to(target.device), batch, text.vocabulary
    )
    verdict, p, states = _verify(target, cache, rule, text, draft, chance, chunks)
    path, accepted = verdict.path.cpu(), verdict.accepted.cpu()
    if chunks:
        more = torch.tensor([len(chunk) - 1 for chunk in chunks], dtype=torch.int64)
        cache.commit(
            torch.cat((path, torch.arange(path.shape[1]).expand(len(chunks), -1))),
            torch.cat((accepted, more)),
        )
    else:
        cache.commit(path, accepted)
    drafter.commit(accepted)
    kept = (
        torch.cat((torch.zeros_like(path[:, :1]), path + 1), 1)
        if path.shape[1]
        else accepted[:, None] * 0
    )
    text.states, text.fresh = states[torch.arange(batch)[:, None], kept], accepted + 1
    emitted = verdict.emitted(draft)
    for row, (request, tokens) in enumerate(zip(requests, emitted, strict=True)):
        taken = request.take(tokens)
        emitted[row] = tokens[:taken]
        text.tokens[row].extend(emitted[row])
        request.target_steps += 1
        request.drafted += int(draft.lengths[row])
        request.accepted += min(taken, len(tokens) - 1)
    return Cycle(list(range(batch)), draft, p, verdict, emitted)


def read(target: Transformer, cache: Cache, chunks: Sequence[Sequence[int]]) -> Tensor:
    """Tokens go into the cache without a cycle, one chunk a row, ragged; the target's states of
    them, [B,N,E].
    """
    counts = torch.tensor([len(chunk) for chunk in chunks])
    states = target.states(_padded(chunks, int(counts.max()), target.device), cache, None, counts)
    cache.lengths += counts
    return states


def _padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> Tensor:
    """Ragged token lists as [B,width], 0 in the padding."""
    return torch.tensor(
        [[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64, device=device
    )


def _readable(draft: Draft, batch: int, vocabulary: int) -> Draft:
    """The draft with 0 in its padding, which the target reads but nobody heeds; refuses what no
    model can read.
    """
    count, lengths = draft.tokens.shape[1], draft.lengths.tolist()
    if (
        draft.tokens.shape[0] != batch
        or len(lengths) != batch
        or draft.parents.shape != (batch, count)
        or not all(0 <= length <= count for length in lengths)
    ):
        raise SpecrefError(
            f"the draft has tokens {list(draft.tokens.shape)}, parents {list(draft.parents.shape)}"
            f" and lengths {lengths[:8]}: give [{batch}, N], [{batch}, N] and {batch} lengths from"
            " 0 to N"
        )
    if not draft.tokens.numel():
        return draft
    low, high = draft.tokens.aminmax()
    if low >= 0 and high < vocabulary and not draft.branches:
        return draft
    ahead, valid = torch.arange(count, device=draft.tokens.device), draft.valid
    known = (draft.tokens >= 0) & (draft.tokens < vocabulary)
    good = known & (draft.parents >= -1) & (draft.parents < ahead)
    if bool((good & valid).all()):
        return draft
    if bool((valid & ~known).any()):
        raise SpecrefError(
            f"the draft holds token {int(draft.tokens[valid & ~known][0])}, outside"
            f" 0..{vocabulary - 1}: draft and target must share one vocabulary"
        )
    if bool((valid & ~good).any()):
        raise SpecrefError(
            "a draft node stands before its parent: give -1 or the index of an earlier node"
        )
    return replace(
        draft,
        tokens=draft.tokens.masked_fill(~valid, 0),
        parents=torch.where(valid, draft.parents, ahead - 1),
    )


def _verify(
    target: Transformer,
    cache: Cache,
    rule: Rule,
    text: Text,
    draft: Draft,
    chance: Chance,
    chunks: Sequence[Sequence[int]],
) -> tuple[Verdict, Tensor, Tensor]:
    """One target forward over the pending tokens, the drafts and the chunks, then the rule."""
    batch, nodes = draft.tokens.shape
    pending = torch.tensor([[tokens[-1]] for tokens in text.tokens], device=target.device)
    tokens, parents, counts = (
        torch.cat((pending, draft.tokens), 1),
        _rooted(draft),
        draft.lengths.cpu() + 1,
    )
    if chunks:
        width = max(nodes + 1, *map(len, chunks))
        below = _padded(chunks, width, target.device)
        tokens = torch.cat((torch.nn.functional.pad(tokens, (0, width - nodes - 1)), below))
        counts = torch.cat((counts, torch.tensor([len(chunk) for chunk in chunks])))
        if parents is not None:
            wider = torch.arange(-1, width - 1, device=target.device).repeat(len(tokens), 1)
            wider[:batch, : nodes + 1] = parents
            parents = wider
    output = target(tokens, cache, parents, counts)
    past = (
        history(text.tokens, text.prompts, text.vocabulary, draft, target.device)
        if needs_history(text.params)
        else None
    )
    p = probs(output.logits[:batch, : nodes + 1], text.params, past)
    return rule(draft, p, chance), p, output.hidden[:batch, : nodes + 1]


def _rooted(draft: Draft) -> Tensor | None:
    """Parents with the pending token as node 0; None for a chain, which needs no tree mask."""
    if not draft.branches:
        return None
    root = torch.full_like(draft.parents[:, :1], -1)
    return torch.cat((root, draft.parents + 1), 1)


def generate(
    target: Transformer,
    drafter: Drafter,
    rule: Rule,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
    *,
    gamma: int = 5,
    chance: Chance | None = None,
    watch: Callable[[Cycle], None] | None = None,
) -> list[Completion]:
    """Decode a batch of prompts.

    Args:
        prompts: B token lists, ragged. params: one for all rows, or B of them. gamma: tokens
            proposed a cycle at most.
        chance: default one seeded stream a row. watch: called with every cycle.
    Returns:
        B completions in the order of the prompts.
    Errors:
        SpecrefError for prompts that do not fit, and for whatever `probs` and `check` refuse.
    """
    every = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
    if len(every) != len(prompts):
        raise SpecrefError(
            f"{len(prompts)} prompts and {len(every)} sampling parameters: give one for all, or one"
            " each"
        )
    if gamma < 0:
        raise SpecrefError(f"gamma = {gamma} is not possible: give 0 (no draft) or more")
    context = target.config.max_position_embeddings
    check_prompts(prompts, target.config.vocab_size, context)
    requests = [
        Request(
            s,
            min(s.max_new_tokens, context - len(prompt)),
            reason=None if s.max_new_tokens else "length",
        )
        for prompt, s in zip(prompts, every, strict=True)
    ]
    answers = Streams([s.seed for s in every]) if chance is None else chance
    for cycle in cycles(target, drafter, rule, prompts, every, requests, answers, gamma):
        if watch:
            watch(cycle)
    return [
        Completion(r.tokens, r.reason or "length", r.target_steps, r.drafted, r.accepted)
        for r in requests
    ]
