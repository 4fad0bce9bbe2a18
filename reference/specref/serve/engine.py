"""Continuous batching: requests join and leave at every step, over one paged cache.

A step is one `decode_step` of all rows that decode. Its forward also reads the next chunks of the
prompts that are not in the cache yet (`chunked_prefill`). The scheduler chooses the rows. What a
row writes does not depend on the choice: each request has its own random stream, and everything
that has rows (text, cache, drafter, chance) is reordered by the same list of indices.

That is also why a request that fails, fails alone. When a step raises, its rows give up their
cache and draft state and take their random numbers back. Then each of them makes a step alone, and
the one that raises again is the one that fails.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch.nn.utils.rnn import pad_sequence

from ..chance import Chance, Stream, Streams
from ..data import Completion, SamplingParams, SpecrefError
from ..decode import Batch, Cycle, Request, decode_step, new_requests, prefill
from ..draft.base import Drafter, Text
from ..errors import first_line
from ..model.transformer import Transformer
from ..probs import history, probs
from ..verify import Rule
from .chunked_prefill import ChunkedPrefill
from .scheduler import Plan, Seen, State, schedule
from .sequence import Event, Served
from .settings import ServingSettings


class ServingEngine:
    """Serves many requests at once.

    Args:
        chance_of: numbers of requests -> the chance of their rows; None: each request's own seeded
            stream.
    """

    def __init__(
        self,
        target: Transformer,
        drafter: Drafter,
        rule: Rule,
        settings: ServingSettings | None = None,
        chance_of: Callable[[list[int]], Chance] | None = None,
    ):
        self.settings = ServingSettings() if settings is None else settings
        self.target, self.drafter, self.rule = target, drafter, rule
        self.depth_policy = self.settings.depth_policy
        self.chance_of = self._streams if chance_of is None else chance_of
        self.pool = target.new_pool(
            self.settings.blocks, self.settings.block_size, drafter.reads_states
        )
        self.cache = self.settings.pages(self.pool)
        self.context = target.config.max_position_embeddings
        self.vocabulary = target.config.vocab_size
        deepest = min(self.settings.gamma, self.context)
        capacity = self.context + drafter.nodes(deepest) + 1
        drafter.begin(Text([], [], [], self.vocabulary), capacity)
        self.arrivals, self.served = itertools.count(), 0
        self.by_number: dict[int, Served] = {}  # in order of arrival
        self.running: list[Served] = []  # the cache's rows, those that decode first
        self.drafting: list[Served] = []  # the drafter's rows
        self.ended: list[Event] = []  # events of the next step
        self.suspects: list[int] = []  # numbers of those that step alone, since a step raised
        # prompt tokens found in the cache, and looked for; preempted requests; steps
        self.hits = self.looked = self.preemptions = self.steps = 0

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self.by_number or self.ended)

    def add(self, prompt: Sequence[int], params: SamplingParams, name: str | None = None) -> str:
        """A new request; it waits until the scheduler admits it. Returns its name.

        Errors:
            SpecrefError for what can never be served: a prompt that does not fit, parameters that
            leave no token, a name that is in use.
        """
        request = new_requests(self.target, [prompt], params)[0]
        self._check_blocks(request)
        probs(  # refuses parameters that leave no token
            torch.zeros(1, 1, self.vocabulary),
            [params],
            history([prompt], [len(prompt)], self.vocabulary),
        )
        number = next(self.arrivals)
        name = f"request-{number}" if name is None else name
        if any(one.name == name for one in self.by_number.values()):
            raise SpecrefError(f"a request named {name!r} is being served: choose another name")
        one = Served(name, number, request, list(prompt), Stream(params.seed))
        if request.reason:
            self.ended.append(Event(name, one.completion()))
        else:
            self.by_number[number] = one
        return name

    def _check_blocks(self, request: Request) -> None:
        """Refuse a request that needs more blocks than there are."""
        length, limit = len(request.prompt), request.limit
        depth = max(0, min(self.settings.gamma, limit - 1))
        longest = length + max(0, limit - 1 - depth) + self.drafter.nodes(depth)
        needed = self.pool.needed(longest)
        if needed > self.pool.blocks:
            raise SpecrefError(
                f"{length} prompt and {limit} new tokens need {needed} blocks and the cache"
                f" has {self.pool.blocks}: shorten the request, or give the cache more blocks"
            )

    def cancel(self, name: str) -> None:
        """Forget a request and free what it holds; unknown names are ignored."""
        for one in [one for one in self.by_number.values() if one.name == name]:
            del self.by_number[one.number]
            self._remove_ended()

    def generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams | Sequence[SamplingParams]
    ) -> list[Completion]:
        """Serve these requests to their end; completions in the order of the prompts.

        Errors:
            SpecrefError as `add`, before anything is served, and what a step raised for a prompt.
        """
        requests = new_requests(self.target, prompts, params)
        order: list[str] = []
        done: dict[str, Completion] = {}
        try:
            for request in requests:
                order.append(self.add(request.prompt, request.params))
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
        """At most one forward of the target; returns what it did for each request."""
        events, self.ended = self.ended, []
        plan = schedule(self._state(), self.drafter.nodes)
        if not plan.decode and not plan.read:
            return events
        self.steps += 1
        taken = {number: self.by_number[number].stream.taken for number in plan.numbers}
        try:
            decoding, cycle = self._cycle(plan)
        except Exception as error:  # whatever it is, it must not reach the other requests
            return events + self._isolate(taken, error)
        if self.settings.share:
            for row, one in enumerate(self.running):
                self.cache.publish(row, one.tokens)
        if cycle is not None:
            events += self._events(decoding, cycle)
            if self.suspects:
                del self.suspects[0]
                self._forget_rows()
        self._remove_ended()
        return events

    def _cycle(self, plan: Plan) -> tuple[list[Served], Cycle | None]:
        """The requests that decode, and what the forward did for them."""
        decoding = self._arrange(plan)
        chunks = []
        for row, one in enumerate(self.running[len(decoding) :], len(decoding)):
            unread = one.tokens[int(self.cache.lengths[row]) : -1]
            chunks.append(unread[: plan.read[one.number]])
        return decoding, self._forward(decoding, plan, chunks)

    def _isolate(self, taken: dict[int, int], error: Exception) -> list[Event]:
        """After a step that raised. A request that was alone in it ends with the error. Of several
        it is unknown which one it was: each makes its next step alone.

        Args:
            taken: number of each request in the step -> uniforms that it had taken before.
        """
        self._forget_rows()
        events = []
        for number, count in taken.items():
            self.by_number[number].stream.rewind(count)
        if len(taken) > 1:
            self.suspects = sorted(taken)
        else:
            one = self.by_number.pop(*taken)
            said = str(error)
            if not isinstance(error, SpecrefError):
                said = f"the server failed ({first_line(error)})"
            events.append(Event(one.name, one.completion(), error=said))
        return events

    def _forget_rows(self) -> None:
        """Nobody runs: the cache's blocks are free, and the drafter begins every row anew."""
        self.cache = self.cache.rows([])
        self.running, self.drafting = [], []

    @property
    def memory(self) -> tuple[int, int]:
        """Tokens that the held blocks have room for, and tokens that they hold; shared blocks count
        once.
        """
        size = self.pool.size
        filled: dict[int, int] = {}  # block -> tokens in it
        for table, length in zip(self.cache.tables, self.cache.lengths.tolist(), strict=True):
            for place, block in enumerate(table):
                tokens = min(size, length - place * size)
                filled[block] = max(filled.get(block, 0), tokens)
        return len(filled) * size, sum(filled.values())

    def _streams(self, numbers: list[int]) -> Chance:
        """Each request's own stream."""
        return Streams(streams=[self.by_number[number].stream for number in numbers])

    def _state(self) -> State:
        """What the scheduler sees: the oldest requests, as many as may run."""
        size, rows = self.pool.size, self.settings.rows
        row_of = {one.number: row for row, one in enumerate(self.running)}
        lengths = self.cache.lengths.tolist()
        seen = []
        for one in self._candidates():
            if one.number in row_of:
                row = row_of[one.number]
                blocks = tuple(self.cache.tables[row])
                cached = lengths[row]
            elif self.settings.share:
                blocks = tuple(self.pool.find(one.names(size)))
                cached = len(blocks) * size
            else:
                blocks, cached = (), 0
            seen.append(Seen(one.number, len(one.tokens), cached, blocks))
        depths = self._depths([one.number for one in seen if not one.unread])
        seen = [replace(one, draft=depths.get(one.number, 0)) for one in seen]
        count = len(self.running)
        return State(
            running=seen[:count],
            waiting=seen[count:],
            free=self.pool.free,
            size=size,
            rows=rows,
            chunk=self.settings.chunk,
        )

    def _candidates(self) -> list[Served]:
        """The oldest requests, as many as may run; the first suspect alone while there is one."""
        self.suspects = [number for number in self.suspects if number in self.by_number]
        if self.suspects:
            return [self.by_number[self.suspects[0]]]
        return list(itertools.islice(self.by_number.values(), self.settings.rows))

    def _depths(self, ready: list[int]) -> dict[int, int]:
        """Number -> draft depth. It is chosen before the draft, from finished cycles alone."""
        gamma = self.settings.gamma
        if self.depth_policy is None:
            depths = dict.fromkeys(ready, gamma)
        else:
            histories = {number: self.by_number[number].acceptance for number in ready}
            depths = self.depth_policy.depths(histories, gamma)
        budgets = {}
        for number, depth in depths.items():
            budgets[number] = max(0, self.by_number[number].request.budget(depth))
        return budgets

    def _arrange(self, plan: Plan) -> list[Served]:
        """Rows leave and join: first those that decode, which are returned, then those that read
        their prompts.
        """
        self.preemptions += len(plan.preempt)
        decoding = [self.by_number[number] for number in plan.decode]
        now = decoding + [self.by_number[number] for number in plan.read]
        if now != self.running:
            before = _places(now, self.running)
            self.cache = self.cache.rows(before)
            self.running = now
            for row, one in enumerate(now):
                if before[row] < 0 and self.settings.share:
                    self.looked += len(one.tokens) - 1
                    self.hits += self.cache.adopt(row, one.names(self.pool.size))
        if decoding != self.drafting:
            before = _places(decoding, self.drafting)
            self.drafter.rows(before)
            self.drafting = decoding
            for row, one in enumerate(decoding):
                if before[row] < 0 and self.drafter.reads_states:
                    one.states = self.cache.states(row)  # [n,E]
        return decoding

    def _forward(self, decoding: list[Served], plan: Plan, chunks: list[list[int]]) -> Cycle | None:
        """A decode step whose forward also reads the chunks; where no row decodes, the chunks
        alone.
        """
        if not decoding:
            prefill(self.target, self.cache, chunks)
            return None
        numbers = [one.number for one in decoding]
        text = self._text(decoding)
        batch = Batch(text, [one.request for one in decoding], self.cache, self.chance_of(numbers))
        budget = torch.tensor([plan.decode[number] for number in numbers])  # [B]
        forward = ChunkedPrefill(self.target, chunks)
        cycle = decode_step(forward, self.drafter, self.rule, batch, budget)
        if self.drafter.reads_states and text.states is not None and text.fresh is not None:
            for row, one in enumerate(decoding):
                one.states = text.states[row, : int(text.fresh[row])]  # [n,E]
        return cycle

    def _text(self, decoding: list[Served]) -> Text:
        """The rows that decode, as the drafter sees them."""
        text = Text(
            [one.tokens for one in decoding],
            [len(one.request.prompt) for one in decoding],
            [one.request.params for one in decoding],
            self.vocabulary,
        )
        if self.drafter.reads_states:
            states = [one.states for one in decoding if one.states is not None]
            fresh = torch.tensor([len(state) for state in states])  # [B]
            if int(fresh.max()):
                text.states = pad_sequence(states, batch_first=True)  # [B,M,E]
                text.fresh = fresh
        return text

    def _events(self, decoding: list[Served], cycle: Cycle) -> list[Event]:
        events = []
        drafted = cycle.draft.lengths.tolist()  # [B]
        accepted = cycle.verdict.accepted.tolist()  # [B]
        distributions = cycle.distributions()
        for row, one in enumerate(decoding):
            tokens = cycle.emitted[row]
            p = distributions[row]  # [n,V]
            one.acceptance.add(drafted[row], accepted[row])
            one.logprobs += p[range(len(tokens)), tokens].log().tolist()
            event = Event(
                one.name,
                one.completion(),
                tokens,
                kept=min(len(tokens), accepted[row]),
                distributions=p,
            )
            events.append(event)
            if one.request.reason:
                self.served += 1
                del self.by_number[one.number]
        return events

    def _remove_ended(self) -> None:
        """Rows of requests that are no longer served give their blocks back."""
        kept = [one for one in self.running if one.number in self.by_number]
        if len(kept) < len(self.running):
            self.cache = self.cache.rows(_places(kept, self.running))
            self.running = kept


def _places(now: list[Served], before: list[Served]) -> list[int]:
    """Row of each of `now` in `before`; -1: it was not there."""
    row_of = {one: row for row, one in enumerate(before)}
    return [row_of.get(one, -1) for one in now]
