"""A kernel whose coins the judge may choose: its distribution, exactly.

For fixed distributions and a fixed draft the answer is a function of K + 1 uniforms. Nothing is
assumed of their order or direction but this: the cube of the uniforms falls into boxes of one
answer each. The walls of the boxes are found line by line, by bisection to 2^-40; every box is then
asked once, in its middle, and weighed by its volume. Random points check that the boxes are right,
and where they are not, lines through those points find the walls that were missed.
"""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..contract import InjectableKernel
from ..session import Session
from .kernel_call import asked
from .kernel_group import Group

_STEPS, _FINE = 32, 36  # points of a line's first grid; bisections
# points a row, times that walls may be missing, lines to find them
_PROBES, _ROUNDS, _LINES = 256, 6, 64
_END = 2.0**-40  # how near to 0 and to 1 a line begins and ends
MOST = 32_768  # rows of a call


class NoCellsError(Exception):
    """The answer does not fall into boxes."""


def ask(
    kernel: InjectableKernel, session: Session, group: Group, rows: Tensor, u: Tensor
) -> Tensor:
    """The answers [n,K+1] for rows [n] at uniforms u [n,K+1]."""
    p, q, draft = group.inputs(rows)
    inputs = {"p": p, "q": q, "draft": draft, "accept_u": u[:, :-1], "final_u": u[:, -1]}
    return group.inside(
        asked(
            session,
            "verify_with",
            inputs,
            (group.K + 1, group.size or group.V),
            lambda _, *given: kernel.verify_with(*given),
            0,
        )
    )


@dataclass
class Cube:
    """A kernel's answers, as numbers, for rows of a group."""

    kernel: InjectableKernel
    session: Session
    group: Group

    def ask(self, rows: Tensor, u: Tensor) -> Tensor:
        """[n] the number of the answer's prefix of K + 1 places, 0 for none."""
        most = self.session.fit(MOST)
        said = torch.cat(
            [
                ask(self.kernel, self.session, self.group, r, v)
                for r, v in zip(rows.split(most), u.split(most))
            ]
        )
        return ((said + 1) * (self.group.V + 1) ** torch.arange(self.group.K, -1, -1)).sum(1)

    def boundaries(self, rows: Tensor, base: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Where the answer changes along one axis on the lines through base [n,K+1]: lines [m] and
        places in (0,1) [m].

        Between two points of a grid that differ, bisection finds the end of the first one's answer,
        then goes on from there.
        """
        inner = (torch.arange(_STEPS) + 0.5) / _STEPS
        grid = torch.tensor([_END, *inner.tolist(), 1 - _END], dtype=torch.float64)
        u = base.repeat_interleave(len(grid), 0)
        u[:, axis] = grid.repeat(len(rows))
        said = self.ask(rows.repeat_interleave(len(grid)), u).view(len(rows), -1)
        line, place = (said[:, :-1] != said[:, 1:]).nonzero(as_tuple=True)
        low, high, first, last = (
            grid[place],
            grid[place + 1],
            said[line, place],
            said[line, place + 1],
        )
        lines, places = [line[:0]], [grid[:0]]
        for _ in range(2 * self.group.V + 2):
            if not len(line):
                return torch.cat(lines), torch.cat(places)
            end, behind = self._end(rows[line], base[line], axis, low, high, first, last)
            lines.append(line)
            places.append(end)
            on = behind != last
            line, low, high, first, last = line[on], end[on], high[on], behind[on], last[on]
        raise NoCellsError("more walls on one line than there are answers")

    def _end(
        self,
        rows: Tensor,
        base: Tensor,
        axis: int,
        low: Tensor,
        high: Tensor,
        first: Tensor,
        behind: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Bisect to where the answer `first` ends: the place, and the answer behind it."""
        u = base.clone()
        for _ in range(_FINE):
            middle = (low + high) / 2
            u[:, axis] = middle
            said = self.ask(rows, u)
            same = said == first
            low, high = middle.where(same, low), high.where(same, middle)
            behind = behind.where(same, said)
        return high, behind


def _distinct(places: Tensor) -> Tensor:
    places = places.sort().values
    keep = torch.ones_like(places, dtype=torch.bool)
    keep[1:] = places[1:] - places[:-1] > 2.0**-36
    return places[keep]


class Cells:
    """For rows [R] of a cube: the walls along every axis, and the answer in each box; checked at
    random points.

    Errors:
        NoBoxesError where points keep disagreeing.
    """

    def __init__(self, cube: Cube, rows: Tensor):
        self.cube, self.rows, group = cube, rows, cube.group
        none = torch.zeros(0, dtype=torch.float64)
        self.boundaries = [[none] * (group.K + 1) for _ in rows]
        ends = (2.0**-20, 0.5, 1 - 2.0**-20)
        base = torch.tensor(list(product(ends, repeat=group.K + 1)), dtype=torch.float64)
        self._add(torch.arange(len(rows)).repeat_interleave(len(base)), base.repeat(len(rows), 1))
        generator = cube.session.generator("probes", group.name)
        for _ in range(_ROUNDS):
            self._fill()
            which = torch.arange(len(rows)).repeat_interleave(_PROBES)
            u = torch.rand(len(which), group.K + 1, dtype=torch.float64, generator=generator)
            off = cube.ask(rows[which], u) != self._at(u.view(len(rows), _PROBES, -1))
            if not bool(off.any()):
                return
            self._add(which[off][:_LINES], u[off][:_LINES])
        name = group.label(int(rows[which[off]].min()) // group.drafts)
        raise NoCellsError(
            f"{name}: the answer changes with the uniforms in more ways than boxes show"
        )

    def _add(self, which: Tensor, base: Tensor) -> None:
        """Find walls on the lines through base [n,K+1] of rows which [n]."""
        for axis in range(base.shape[1]):
            line, place = self.cube.boundaries(self.rows[which], base, axis)
            for row in which[line].unique().tolist():
                fresh = place[which[line] == row]
                self.boundaries[row][axis] = _distinct(
                    torch.cat((self.boundaries[row][axis], fresh))
                )

    def _fill(self) -> None:
        """Ask in the middle of every box."""
        middles, self.volume = [], []
        for boundaries in self.boundaries:
            ends = [torch.cat((w.new_zeros(1), w, w.new_ones(1))) for w in boundaries]
            middles.append(
                torch.cartesian_prod(*[(e[1:] + e[:-1]) / 2 for e in ends]).view(-1, len(ends))
            )
            self.volume.append(
                torch.cartesian_prod(*[e[1:] - e[:-1] for e in ends]).view(-1, len(ends)).prod(1)
            )
        sizes = [len(v) for v in self.volume]
        rows = self.rows.repeat_interleave(torch.tensor(sizes))
        self.said = self.cube.ask(rows, torch.cat(middles)).split(sizes)

    def _at(self, u: Tensor) -> Tensor:
        """The boxes' answers at points [R,n,K+1] -> [R n]."""
        said = []
        for row, points in enumerate(u):
            number = torch.zeros(len(points), dtype=torch.int64)
            for axis, wall in enumerate(self.boundaries[row]):
                number = number * (len(wall) + 1) + torch.searchsorted(
                    wall, points[:, axis].contiguous(), right=True
                )
            said.append(self.said[row][number])
        return torch.cat(said)


def exact_distributions(cube: Cube) -> tuple[Tensor, int]:
    """The distributions of K + 1 tokens [C,V^(K+1)]: over drafts and all uniforms, continued by the
    target; and how many boxes.
    """
    group = cube.group
    rows = (group.draft.flatten() > 0).nonzero()[:, 0]
    made = Cells(cube, rows)
    distribution = torch.zeros(group.cases, group.leaves, dtype=torch.float64)
    for row, said, volume in zip(rows.tolist(), made.said, made.volume):
        case = row // group.drafts
        weight = float(group.draft.flatten()[row])
        for number in said.unique().tolist():
            low, size = _leaves(group, number)
            part = group.target[case, low : low + size]
            total = float(part.sum())
            share = part / total if total > 0 else torch.full_like(part, 1 / size)
            distribution[case, low : low + size] += (
                weight * float(volume[said == number].sum()) * share
            )
    return distribution, sum(len(v) for v in made.volume)


def _leaves(group: Group, number: int) -> tuple[int, int]:
    """The first text of K + 1 tokens that begins as an answer says, and how many do."""
    low, size = 0, group.leaves
    for place in range(group.K, -1, -1):
        token = number // (group.V + 1) ** place % (group.V + 1) - 1
        if token < 0:
            break
        size //= group.V
        low += token * size
    return low, size
