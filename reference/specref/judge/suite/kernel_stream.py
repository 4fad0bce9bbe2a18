"""What the statistical checks of a kernel share: one set of draws, which every check reads in an
order of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..contract import Kernel
from ..session import Session
from ..verdict import Verdict
from .kernel_group import CALL, Group, Slice

# rows of a first slice, of a large one; where calls are small, a first slice is four of them
_FIRST, _MOST = 2_000, 131_072


@dataclass
class SampleStream:
    """The groups of one run. Every group is a stream of slices that does not depend on who asks for
    them, so that a test sees the same draws whichever other checks run."""

    kernel: Kernel
    session: Session
    groups: dict[str, Group]

    def more(self, names: Sequence[str]) -> Group:
        """The next slice of the group of these that has had the fewest draws a case: as many again
        as it has, within bounds."""
        group = min((self.groups[name] for name in names), key=lambda g: g.drawn / g.cases)
        self._draw(group)
        return group

    def reach(self, name: str, number: int) -> Slice:
        """A slice of a group, drawn now unless another check had it drawn."""
        group = self.groups[name]
        while len(group.slices) <= number:
            self._draw(group)
        return group.slices[number]

    def _draw(self, group: Group) -> None:
        most = self.session.fit(group.call)
        rows = min(max(min(_FIRST, 4 * most), group.drawn), _MOST * group.call // CALL, 8 * most)
        number = len(group.slices)
        generator = self.session.generator("draws", group.name, number)
        # two calls at least: what one leaves behind shows in the next
        size = min(most, -(-rows // 2))
        for call, begin in enumerate(range(0, rows, size)):
            n = max(min(size, rows - begin) - (number + call) % 7, 1)  # batches of many sizes
            chosen = group.rows(n, generator)
            seed = self.session.seed_for("kernel", group.name, number, call)
            group.take(chosen, group.ask(self.kernel, self.session, chosen, seed), generator)
            group.drawn += n
        group.slices.append(group.fresh)
        group.fresh = group.empty()


class StreamReader:
    """The slices as one check takes them: in an order of its own, so that it says the same
    whichever other checks run.
    """

    def __init__(self, found: SampleStream, names: Sequence[str]):
        self.found = found
        self.read = dict.fromkeys(names, 0)  # slices
        self.rows = dict.fromkeys(names, 0.0)

    def _name(self, behind: Sequence[str]) -> str:
        """Of these groups, the one that this check has read least of, a case."""
        return min(behind, key=lambda name: self.rows[name] / self.found.groups[name].cases)

    def ready(self, behind: Sequence[str]) -> bool:
        """Whether the next slice of these groups was drawn for another check already."""
        return bool(behind) and self.read[name := self._name(behind)] < len(
            self.found.groups[name].slices
        )

    def next(self, behind: Sequence[str]) -> tuple[Group, Slice]:
        """The next slice of these groups."""
        name = self._name(behind)
        part = self.found.reach(name, self.read[name])
        self.read[name] += 1
        self.rows[name] += float(part.accepted.sum())
        return self.found.groups[name], part


def watched(found: SampleStream, marks: Sequence[str], good: str) -> Iterator[Verdict]:
    """Draw from every group once, then look at what others draw, as long as they do: has one of
    these marks been set on any group?"""
    seen: int | None = None
    while True:
        waiting = [name for name, group in found.groups.items() if not group.slices]
        if waiting:
            found.reach(waiting[0], 0)
        drawn = sum(group.drawn for group in found.groups.values())
        bad = next(
            (
                str(text)
                for group in found.groups.values()
                for mark in marks
                if (text := getattr(group, mark))
            ),
            "",
        )
        if bad:
            # another check may have drawn it
            yield Verdict("FAIL", what=bad, n=drawn, repro=found.session.reproduction())
        if bad or (drawn == seen and not found.session.testing):
            return
        yield Verdict("INCONCLUSIVE" if waiting[1:] else "PASS", what=good.format(n=drawn), n=drawn)
        seen = drawn
