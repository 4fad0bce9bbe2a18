"""Continuous batching: requests join and leave at every step, over one paged cache, in the one flow
of `decode.py`.

A step is one cycle of all rows that decode and, in the same forward, the next chunk of the prompts
that are being read. Which rows these are is the scheduler's choice; what a row writes does not
depend on it: each has its own stream of coins, and all that has rows (text, cache, drafter, chance)
is told in the same words which of them go on.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch.nn.utils.rnn import pad_sequence

from ..chance import Chance, Stream, Streams
from ..checks import check_prompts
from ..data import Completion, SamplingParams, SpecrefError
from ..decode import Cycle, Request, read, turn
from ..draft.base import Drafter, Text
from ..model.paged import PagedCache
from ..model.transformer import Transformer
from ..probs import history, probs
from ..verify import Rule
from .depth_policy import DepthPolicy
from .scheduler import Plan, Seen, State, schedule
from .sequence import Event, Served


class ServingEngine:
    """Serves many requests at once.

    Args:
        gamma: tokens proposed a cycle at most. rows: requests that run at once. blocks, size: the
            cache, in blocks of `size` tokens. chunk: prompt tokens that one step reads. pace:
                chooses draft depths; None: always gamma.
            share: take up blocks of equal prompt beginnings. pages: how attention reads them.
            coins: numbers of requests -> their chance; None: each its own seeded stream.
    """

    def __init__(
        self,
        target: Transformer,
        drafter: Drafter,
        rule: Rule,
        *,
        gamma: int = 5,
        rows: int = 32,
        blocks: int = 512,
        size: int = 16,
        chunk: int = 64,
        pace: DepthPolicy | None = None,
        share: bool = True,
        pages: type[PagedCache] = PagedCache,
        coins: Callable[[list[int]], Chance] | None = None,
    ):
        for name, value, least in (("gamma", gamma, 0), ("rows", rows, 1), ("chunk", chunk, 1)):
            if value < least:
                raise SpecrefError(f"{name} = {value} is not possible: give {least} or more")
        self.target, self.drafter, self.rule, self.gamma = target, drafter, rule, gamma
        self.rows, self.chunk, self.pace, self.share = rows, chunk, pace, share
        self.pool = target.new_pool(blocks, size, drafter.reads_states)
        self.cache = pages(self.pool)
        self.context, self.vocabulary = (
            target.config.max_position_embeddings,
            target.config.vocab_size,
        )
        drafter.begin(Text([], [], [], self.vocabulary), self.context + drafter.nodes(gamma) + 1)
        self.coins = coins or (
            lambda numbers: Streams(streams=[self.by_number[i].stream for i in numbers])
        )
        self.arrivals, self.served = itertools.count(), 0
        self.by_number: dict[int, Served] = {}  # in order of arrival
        self.running: list[Served] = []  # the cache's rows, those that decode first
        self.drafting: list[Served] = []  # the drafter's rows
        self.ended: list[Event] = []  # to be told with the next step
        self.hits = self.looked = self.preemptions = self.steps = 0

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self.by_number or self.ended)

    def add(self, prompt: Sequence[int], params: SamplingParams, name: str | None = None) -> str:
        """A new request; it waits for its turn. The name it goes by.

        Errors:
            SpecrefError for what can never be served: a prompt that does not fit, parameters that
            leave no token, a name that is in use.
        """
        check_prompts([prompt], self.vocabulary, self.context)
        limit = min(params.max_new_tokens, self.context - len(prompt))
        depth = max(0, min(self.gamma, limit - 1))
        needed = self.pool.needed(
            len(prompt) + max(0, limit - 1 - depth) + self.drafter.nodes(depth)
        )
        if needed > self.pool.blocks:
            raise SpecrefError(
                f"{len(prompt)} prompt and {limit} new tokens need {needed} blocks and the cache"
                f" has {self.pool.blocks}: shorten the request, or give the cache more blocks"
            )
        probs(
            torch.zeros(1, 1, self.vocabulary),
            [params],
            history([prompt], [len(prompt)], self.vocabulary),
        )
        number = next(self.arrivals)
        name = f"request-{number}" if name is None else name
        if any(one.name == name for one in self.by_number.values()):
            raise SpecrefError(f"a request named {name!r} is being served: choose another name")
        request = Request(params, limit, reason=None if limit else "length")
        one = Served(name, number, request, list(prompt), len(prompt), Stream(params.seed))
        if limit:
            self.by_number[number] = one
        else:
            self.ended.append(Event(name, one.completion()))
        return name

    def cancel(self, name: str) -> None:
        """Forget a request, and free what it holds; unknown names are ignored."""
        for one in [one for one in self.by_number.values() if one.name == name]:
            del self.by_number[one.number]
            self._leave()

    def generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> list[Completion]:
        """Serve these requests to their end; completions in the order of the prompts.

        Errors:
            SpecrefError as `add`, before anything is served, and whatever a step cannot go on from.
        """
        every = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
        if len(every) != len(prompts):
            raise SpecrefError(
                f"{len(prompts)} prompts and {len(every)} sampling parameters: give one for all, or"
                " one each"
            )
        check_prompts(prompts, self.vocabulary, self.context)
        order: list[str] = []
        done: dict[str, Completion] = {}
        try:
            for prompt, one in zip(prompts, every, strict=True):
                order.append(self.add(prompt, one))
            while len(done) < len(order):
                for event in self.step():
                    if event.error:
                        raise SpecrefError(event.error)
                    if event.ended and event.name in order:
                        done[event.name] = event.so_far
        finally:
            for name in order:
                self.cancel(name)
        return [done[name] for name in order]

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """One forward at most; what it brought."""
        events, self.ended = self.ended, []
        plan = schedule(self._state(), self.drafter.nodes)
        if not plan.decode and not plan.read:
            return events
        decoding = self._arrange(plan)
        chunks = [
            self._unread(row)[: plan.read[one.number]]
            for row, one in enumerate(self.running)
            if one not in decoding
        ]
        self.steps += 1
        try:
            cycle = self._turn(decoding, plan, chunks)
        except SpecrefError as error:
            return events + self.abandon(str(error))
        if self.share:
            for row, one in enumerate(self.running):
                self.cache.publish(row, one.tokens)
        if cycle is not None:
            events += self._events(decoding, cycle)
        self._leave()
        return events

    @property
    def memory(self) -> tuple[int, int]:
        """Tokens that the blocks held now have room for, and tokens that they hold; what is shared
        counts once.
        """
        filled: dict[int, int] = {}
        for table, length in zip(self.cache.tables, self.cache.lengths.tolist(), strict=True):
            for place, block in enumerate(table):
                filled[block] = max(
                    filled.get(block, 0), min(self.pool.size, length - place * self.pool.size)
                )
        return len(filled) * self.pool.size, sum(filled.values())

    def abandon(self, error: str) -> list[Event]:
        """All that run end with this error: nobody knows which row is to blame, or what state the
        drafter is in.
        """
        events = [Event(one.name, one.completion(), error=error) for one in self.running]
        for one in self.running:
            del self.by_number[one.number]
        self._leave()
        self.drafter.rows([])
        self.drafting = []
        return events

    def _state(self) -> State:
        """What the scheduler sees."""
        cached = dict(
            zip((one.number for one in self.running), self.cache.lengths.tolist(), strict=True)
        )
        blocks = {one.number: tuple(self.cache.tables[row]) for row, one in enumerate(self.running)}
        seen: list[Seen] = []
        # those that run are the oldest
        for one in itertools.islice(self.by_number.values(), self.rows):
            if one.number not in cached:
                blocks[one.number] = tuple(
                    self.pool.find(one.names(self.pool.size)) if self.share else ()
                )
                cached[one.number] = len(blocks[one.number]) * self.pool.size
            seen.append(Seen(one.number, len(one.tokens), cached[one.number], blocks[one.number]))
        depths = self._depths([one.number for one in seen if not one.unread])
        seen = [replace(one, draft=depths.get(one.number, 0)) for one in seen]
        count = len(self.running)
        return State(
            seen[:count], seen[count:], self.pool.free, self.pool.size, self.rows, self.chunk
        )

    def _depths(self, ready: list[int]) -> dict[int, int]:
        """How deep to draft for each: chosen here, before the draft, and by finished cycles
        alone.
        """
        depths = (
            dict.fromkeys(ready, self.gamma)
            if self.pace is None
            else self.pace.depths(
                {number: self.by_number[number].track for number in ready}, self.gamma
            )
        )
        return {
            number: max(0, self.by_number[number].request.budget(depth))
            for number, depth in depths.items()
        }

    def _arrange(self, plan: Plan) -> list[Served]:
        """Rows leave and join: first those that decode, which are returned, then those whose
        prompts are read.
        """
        self.preemptions += len(plan.preempt)
        decoding = [self.by_number[number] for number in plan.decode]
        now = decoding + [self.by_number[number] for number in plan.read]
        if now != self.running:
            old = {one: row for row, one in enumerate(self.running)}
            self.cache = self.cache.rows([old.get(one, -1) for one in now])
            for row, one in enumerate(now):
                if one not in old and self.share:
                    self.looked += len(one.tokens) - 1
                    self.hits += self.cache.adopt(row, one.names(self.pool.size))
            self.running = now
        if decoding != self.drafting:
            old = {one: row for row, one in enumerate(self.drafting)}
            self.drafter.rows([old.get(one, -1) for one in decoding])
            if self.drafter.reads_states:
                for row, one in enumerate(decoding):
                    if one not in old:
                        one.states = self.cache.states(row)
            self.drafting = decoding
        return decoding

    def _unread(self, row: int) -> list[int]:
        return self.running[row].tokens[int(self.cache.lengths[row]) : -1]

    def _turn(self, decoding: list[Served], plan: Plan, chunks: list[list[int]]) -> Cycle | None:
        """The forward: a cycle where anybody decodes, else chunks alone."""
        if not decoding:
            read(self.target, self.cache, chunks)
            return None
        text = Text(
            [one.tokens for one in decoding],
            [one.prompt for one in decoding],
            [one.request.params for one in decoding],
            self.vocabulary,
        )
        if self.drafter.reads_states:
            states = [one.states for one in decoding if one.states is not None]
            fresh = torch.tensor([len(state) for state in states])
            if int(fresh.max()):
                text.states, text.fresh = pad_sequence(states, batch_first=True), fresh
        budget = torch.tensor([plan.decode[one.number] for one in decoding])
        cycle = turn(
            self.target,
            self.drafter,
            self.rule,
            text,
            [one.request for one in decoding],
            self.cache,
            budget,
            self.coins([one.number for one in decoding]),
            chunks,
        )
        if self.drafter.reads_states and text.states is not None and text.fresh is not None:
            for row, one in enumerate(decoding):
                one.states = text.states[row, : int(text.fresh[row])]
        return cycle

    def _events(self, decoding: list[Served], cycle: Cycle) -> list[Event]:
        events = []
        drafted, accepted = cycle.draft.lengths.tolist(), cycle.verdict.accepted.tolist()
        for row, (one, tokens, distributions) in enumerate(
            zip(decoding, cycle.emitted, cycle.distributions(), strict=True)
        ):
            one.track.add(drafted[row], accepted[row])
            one.logprobs += distributions[range(len(tokens)), tokens].log().tolist()
            events.append(
                Event(
                    one.name,
                    one.completion(),
                    tokens,
                    min(len(tokens), accepted[row]),
                    distributions,
                )
            )
            if one.request.reason:
                self.served += 1
                del self.by_number[one.number]
        return events

    def _leave(self) -> None:
        """Rows of requests that are no more give their blocks back."""
        kept = [row for row, one in enumerate(self.running) if one.number in self.by_number]
        if len(kept) < len(self.running):
            self.cache, self.running = self.cache.rows(kept), [self.running[row] for row in kept]
