"""What the next step does: a pure function of what is running, waiting and free.

One rule: the older request goes first, and where blocks are short the youngest gives way. So the
oldest request gains a token, or has a part of its prompt read, in every step, whatever else
happens; a request has its answer after at most as many steps as it and the older ones have prompt
and output tokens. Nobody overtakes, not even a small request a large one that waits for room.
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
    draft: int = 0  # how deep a draft it would like

    @property
    def unread(self) -> int:
        """Tokens to read before its next token can be drawn; the pending one is read by the cycle
        itself.
        """
        return self.length - 1 - self.cached


@dataclass(frozen=True)
class State:
    running: Sequence[Seen]  # in order of arrival, all older than those waiting
    waiting: Sequence[Seen]  # in order of arrival
    free: int  # blocks that nobody holds
    size: int  # tokens a block
    rows: int  # requests that may run at once
    chunk: int  # prompt tokens a step may read


@dataclass(frozen=True)
class Plan:
    decode: dict[int, int]  # number -> depth of its draft
    read: dict[int, int]  # number -> tokens of its prompt, maybe 0
    preempt: tuple[int, ...]  # youngest first
    admit: tuple[int, ...]


def schedule(state: State, nodes: Callable[[int], int] = lambda depth: depth) -> Plan:
    """The plan of one step. nodes: the most nodes that a draft of some depth has.

    Running requests first, oldest first: each gets its draft, or the next chunk of its prompt. A
    draft is never cut for want of blocks, since then a request's coins would fall otherwise than
    when it is served alone. Those that wait are let in while there is room for their whole text,
    and for a block more for each that runs.
    """
    books, chunk = _Books(state, nodes), state.chunk
    going, preempted = list(state.running), list[int]()
    decode: dict[int, int] = {}
    read: dict[int, int] = {}

    def serve(one: Seen) -> int:
        """Its part of the step; the tokens of a prompt that this reads."""
        count = min(chunk, one.unread)
        books.free -= books.missing(one, one.cached + count if one.unread else books.most(one))
        if one.unread:
            read[one.number] = count
        else:
            decode[one.number] = one.draft
        return count

    for one in state.running:
        if one not in going:
            continue
        while (
            books.missing(
                one, one.cached + min(chunk, one.unread) if one.unread else books.most(one)
            )
            > books.free
        ):
            preempted.append(going[-1].number)
            books.drop(going.pop())
            if one not in going:
                break
        else:
            chunk -= serve(one)
    promised = len(going) + sum(
        books.missing(one, books.most(one)) - books.missing(one, one.cached + read[one.number])
        for one in going
        if one.number in read
    )
    admitted: list[int] = []
    for one in state.waiting[: 0 if preempted else state.rows - len(going)]:
        if books.missing(one, books.most(one)) + books.revived(one) + promised > books.free or (
            one.unread and not chunk
        ):
            break
        books.hold(one)
        before = books.free
        chunk -= serve(one)
        promised += 1 + books.missing(one, books.most(one)) - (before - books.free)
        admitted.append(one.number)
    return Plan(decode, read, tuple(preempted), tuple(admitted))


class _Books:
    """Blocks while a plan is made: how many are free, and how many hold each."""

    def __init__(self, state: State, nodes: Callable[[int], int]):
        self.free, self.size, self.nodes = state.free, state.size, nodes
        self.users = Counter(block for one in state.running for block in one.blocks)

    def most(self, one: Seen) -> int:
        """Tokens that it has in the cache when its text is read and its draft is there."""
        return one.length + self.nodes(one.draft)

    def missing(self, one: Seen, tokens: int) -> int:
        """Blocks that it lacks for that many tokens."""
        return max(0, -(-tokens // self.size) - len(one.blocks))

    def revived(self, one: Seen) -> int:
        """Its blocks that nobody holds: they count as free."""
        return sum(not self.users[block] for block in one.blocks)

    def hold(self, one: Seen) -> None:
        self.free -= self.revived(one)
        self.users.update(one.blocks)

    def drop(self, one: Seen) -> None:
        self.users.subtract(one.blocks)
        self.free += self.revived(one)
