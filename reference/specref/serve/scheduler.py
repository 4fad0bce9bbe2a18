"""What the next step does: a function of what is running, waiting and free, without side effects.

One rule: older requests go first, and where blocks are short the youngest running request is
preempted. In every step the oldest request therefore gains a token or has a part of its prompt
read. A request ends after at most as many steps as it and the older ones have prompt and output
tokens. No request overtakes an older one, even where the older one waits for room.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """A request as the scheduler sees it."""

    number: int  # in order of arrival
    length: int  # tokens of its text, the pending one included
    cached: int  # tokens in the cache; for a waiting one, those that it will find there
    blocks: tuple[int, ...]  # which it holds; for a waiting one, which it will find
    draft: int = 0  # depth of its next draft

    @property
    def unread(self) -> int:
        """Tokens to read before its next token can be drawn, without the pending one."""
        return self.length - 1 - self.cached


@dataclass(frozen=True)
class State:
    """What the plan of a step depends on."""

    running: Sequence[Seen]  # in order of arrival, all older than those waiting
    waiting: Sequence[Seen]  # in order of arrival
    free: int  # blocks that no running request holds
    size: int  # tokens a block
    rows: int  # requests that may run at once
    chunk: int  # prompt tokens a step may read


@dataclass(frozen=True)
class Plan:
    """What a step does, by the numbers of the requests."""

    decode: dict[int, int]  # number -> depth of its draft
    read: dict[int, int]  # number -> tokens of its prompt, maybe 0
    preempt: tuple[int, ...]  # youngest first
    admit: tuple[int, ...]

    @property
    def numbers(self) -> list[int]:
        """Of all requests that take part in the step."""
        return [*self.decode, *self.read]


def schedule(state: State, nodes: Callable[[int], int] = lambda depth: depth) -> Plan:
    """The plan of one step.

    Running requests first, oldest first: each gets its draft, or the next chunk of its prompt; for
    the blocks that it lacks the youngest are preempted. A draft is never cut for want of blocks: a
    request must use its random stream as it does when it is served alone. Waiting requests are
    admitted while there is room for their whole text and for one more block of each that runs.

    Args:
        nodes: depth of a draft -> the most nodes that it has.
    """
    step = _Step(state, nodes)
    going = list(state.running)
    preempted: list[int] = []
    for one in state.running:
        while one in going and step.lacks(one):
            preempted.append(going[-1].number)
            step.drop(going.pop())
        if one in going:
            step.serve(one)
    promised = sum(1 + step.later(one) for one in going)  # blocks
    admitted: list[int] = []
    room = 0 if preempted else state.rows - len(going)
    for one in state.waiting[:room]:
        needed = step.missing(one, step.most(one)) + step.revived(one)
        if needed + promised > step.free or (one.unread and not step.chunk):
            break
        step.hold(one)
        step.serve(one)
        promised += 1 + step.later(one)
        admitted.append(one.number)
    return Plan(step.decode, step.read, tuple(preempted), tuple(admitted))


class _Step:
    """A plan while it is made: the free blocks, how many requests hold each, the prompt tokens that
    may still be read.
    """

    def __init__(self, state: State, nodes: Callable[[int], int]):
        self.free, self.size, self.chunk, self.nodes = state.free, state.size, state.chunk, nodes
        self.users = Counter(block for one in state.running for block in one.blocks)
        self.decode: dict[int, int] = {}
        self.read: dict[int, int] = {}

    def most(self, one: Seen) -> int:
        """Tokens in the cache when its text is read and its draft is verified."""
        return one.length + self.nodes(one.draft)

    def after(self, one: Seen) -> int:
        """Tokens in the cache at the end of this step's forward."""
        if not one.unread:
            return self.most(one)
        return one.cached + min(self.chunk, one.unread)

    def missing(self, one: Seen, tokens: int) -> int:
        """Blocks that it lacks for that many tokens."""
        return max(0, -(-tokens // self.size) - len(one.blocks))

    def lacks(self, one: Seen) -> bool:
        """Whether this step needs more blocks for it than are free."""
        return self.missing(one, self.after(one)) > self.free

    def serve(self, one: Seen) -> None:
        """Let it draft, or read the next chunk of its prompt."""
        self.free -= self.missing(one, self.after(one))
        if one.unread:
            self.read[one.number] = min(self.chunk, one.unread)
            self.chunk -= self.read[one.number]
        else:
            self.decode[one.number] = one.draft

    def later(self, one: Seen) -> int:
        """Blocks that it will need for the rest of its prompt and its first draft."""
        if one.number not in self.read:
            return 0
        now = self.missing(one, one.cached + self.read[one.number])
        return self.missing(one, self.most(one)) - now

    def revived(self, one: Seen) -> int:
        """Its blocks that no running request holds: they count as free."""
        return sum(not self.users[block] for block in one.blocks)

    def hold(self, one: Seen) -> None:
        """Its blocks are no longer free."""
        self.free -= self.revived(one)
        self.users.update(one.blocks)

    def drop(self, one: Seen) -> None:
        """It gives its blocks back."""
        self.users.subtract(one.blocks)
        self.free += self.revived(one)
