"""Does a kernel that judges trees keep the target's distribution? The same draws and tests, over
every way to guess small trees.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from .. import cases
from ..cases import Tables
from ..contract import Kernel, TreeKernel
from ..kernel.pairs import NEXT_CALL, SAME_CALL, PairBets
from ..session import MisbehavedError, Session
from ..tree_subjects import Parents, TreeStep, anew, best, untried, without
from ..verdict import Verdict
from . import check
from .kernel_call import asked
from .kernel_distribution import distribution, first, windows
from .kernel_group import CALL, Group
from .kernel_rows import apart, near
from .kernel_stream import SampleStream, watched

GUESSES = {"with replacement": anew, "without replacement": without, "certain": best}


class TreeGroup(Group):
    """Cases over one shape of tree. The draft is one of V^N ways to name the nodes, each with its
    probability.
    """

    wanted = "what stands before the last token is no path of that tree"

    def __init__(
        self,
        name: str,
        tables: Tables,
        parents: Parents,
        guess: str,
        ids: Tensor | None = None,
        size: int = 0,
        call: int = CALL,
    ):
        self.parents, self.guess = parents, guess
        self.chain = Group(name, tables)
        super().__init__(name, tables, guess == "certain", ids, size, call, self._planted)
        self.drafts = self.V ** len(parents)

    @property
    def nodes(self) -> int:
        return len(self.parents)

    def _above(self, node: int) -> tuple[int, Tensor]:
        """The text from the context down to a node, or to the context (-1): its length, and its
        number [V^N].
        """
        if node < 0:
            return 0, torch.zeros(self.drafts, dtype=torch.int64)
        depth, number = self._above(self.parents[node])
        return depth + 1, number * self.V + self._tokens[:, node]

    def _distribution(self, node: int) -> Tensor:
        """[C,V^N,V] what a node is drawn from, given its earlier siblings."""
        depth, number = self._above(self.parents[node])
        distribution = self.tables.q[depth][:, number]
        earlier = [i for i in range(node) if self.parents[i] == self.parents[node]]
        if self.guess == "with replacement" or not earlier:
            return distribution
        taken = torch.cat([self._tokens[:, earlier]] * self.cases)
        return untried(distribution.flatten(0, 1), taken).view_as(distribution)

    @cached_property
    def p(self) -> Tensor:
        rows = []
        for node in range(-1, self.nodes):
            depth, number = self._above(node)
            rows.append(self.tables.p[depth][:, number])
        return torch.stack(rows, 2).float()

    @cached_property
    def q(self) -> Tensor:
        return torch.stack([self._distribution(node) for node in range(self.nodes)], 2).float()

    @cached_property
    def draft(self) -> Tensor:
        q = self.q.double() / self.q.double().sum(-1, keepdim=True)
        if self.certain:
            return (self.q.argmax(-1) == self._tokens).all(-1).double()
        return q.gather(3, self._tokens.expand(self.cases, -1, -1)[..., None])[..., 0].prod(-1)

    @cached_property
    def target(self) -> Tensor:
        return self.chain.target

    @cached_property
    def followed(self) -> Tensor:
        return self.chain.followed

    def astray(self, drafted: Tensor, answer: Tensor, emitted: Tensor) -> Tensor:
        reached = torch.zeros(len(drafted), self.nodes + 1, dtype=torch.bool)
        reached[:, 0] = True  # the context; node i is at i + 1
        above = torch.tensor(self.parents) + 1
        off = torch.zeros(len(drafted), dtype=torch.bool)
        for place in range(self.K):
            below = reached[:, above] & (drafted == answer[:, place, None])
            off |= (place < emitted - 1) & ~below.any(1)
            reached = torch.cat((torch.zeros_like(reached[:, :1]), below), 1)
        return off

    def ask(
        self, kernel: Kernel, session: Session, rows: Tensor, seed: int, size: int = 0
    ) -> Tensor:
        p, q, tokens = self.inputs(rows)
        parents = torch.tensor(self.parents)
        out = asked(
            session,
            "verify_tree",
            {"p": p, "q": q, "tokens": tokens},
            (self.K + 1, self.size or self.V),
            lambda number, p, q, tokens: cast(TreeKernel, kernel).verify_tree(
                p, q, tokens, parents, seed + number
            ),
            size,
        )
        if not torch.equal(parents, torch.tensor(self.parents)):
            raise MisbehavedError("verify_tree changes its input parents: work on a copy")
        return out

    def label(self, case: int) -> str:
        what = self.tables.names[case].split(",")[0]
        return f"{what} (V = {self.size or self.V}, parents {list(self.parents)}, {self.guess})"

    def _planted(self, one: Tables) -> Iterator[tuple[str, dict[Any, float]]]:
        from ..exact.tree import outcomes
        from ..zoo.trees import TREE_BUGS

        for bug in TREE_BUGS:
            if isinstance(bug.subject, TreeStep) and bug.subject.guess in GUESSES.values():
                with suppress(Exception):  # a bug that crashes is not what was seen
                    yield (
                        bug.name,
                        outcomes(
                            TreeStep(bug.subject.rule, GUESSES[self.guess]), one, self.parents
                        )[0],
                    )


def groups() -> dict[str, Group]:
    flat = cases.chosen(("opposed", "zeros"))
    deep = cases.turned(2, 3, {"opposed": cases.CHAINS["opposed"]})
    return {
        group.name: group
        for group in (
            TreeGroup("two drawn", flat, (-1, -1), "with replacement"),
            TreeGroup("three of a kind", flat, (-1, -1, -1), "without replacement"),
            TreeGroup("three best", flat, (-1, -1, -1), "certain"),
            TreeGroup("two and two", deep, (-1, -1, 0, 1), "with replacement"),
            # no two siblings beside each other
            TreeGroup("branch by branch", deep, (-1, 0, -1, 2), "with replacement"),
            TreeGroup("one and two", deep, (-1, 0, 0), "without replacement"),
            TreeGroup(
                "three deep",
                cases.turned(3, 2, {"opposed": cases.TWOS["opposed"]}),
                (-1, -1, 0, 1, 2),
                "with replacement",
            ),
        )
    }


def _draws(kernel: TreeKernel, session: Session) -> SampleStream:
    return cast(
        SampleStream, session.once("kernel.trees", lambda: SampleStream(kernel, session, groups()))
    )


@check(
    "kernel.tree-first-token",
    distribution=True,
    statistical=True,
    alone=True,
    needs=("verify_tree",),
)
def tree_first_token(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Does the first token have the target's distribution when several guesses are made for it?

    Two and three siblings, drawn with replacement, without, and chosen with certainty; one
    e-process for each case.
    """
    yield from distribution(_draws(kernel, session), session, tuple(groups()), first)


@check("kernel.tree-joint", distribution=True, statistical=True, alone=True, needs=("verify_tree",))
def tree_joint(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Do all tokens down a tree, and one more, together have the target's distribution?

    Trees up to three deep, whose nodes stand level by level or branch by branch; what is emitted is
    continued by the target's own distribution to a fixed length.
    """
    yield from distribution(_draws(kernel, session), session, tuple(groups()), windows)


@check("kernel.tree-path", needs=("verify_tree",))
def tree_path(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Is what is emitted a path down the tree and one token more, each possible, and the same again
    for the same seed?
    """
    found = _draws(kernel, session)
    for group in found.groups.values():
        rows = group.rows(64, session.generator("tree rows", group.name))
        seed = session.seed_for("tree", group.name)
        if not torch.equal(
            group.ask(kernel, session, rows, seed), group.ask(kernel, session, rows, seed)
        ):
            yield Verdict(
                "FAIL",
                what="the same seed gives another answer the second time",
                case=group.label(0),
                n=64,
            )
            return
    yield from watched(found, ["stray", "impossible"], "{n:,} trees")


def _alike() -> list[TreeGroup]:
    """Two guesses and a tree of two branches, all rows of one distribution. The residual has two
    tokens, so that a last coin shows in the first token."""
    cyclic = {"cyclic": cases.CHAINS["cyclic"]}
    return [
        TreeGroup("siblings", cases.turned(1, 3, cyclic), (-1, -1), "with replacement"),
        TreeGroup("branches", cases.turned(2, 3, cyclic), (-1, 0, -1, 2), "with replacement"),
        TreeGroup("two best", cases.turned(1, 3, cyclic), (-1, -1), "certain"),
    ]


def _found(kernel: TreeKernel, session: Session) -> PairBets:
    def made() -> PairBets:
        return PairBets(kernel, session, _alike(), session.alpha())

    return cast(PairBets, session.once("kernel.alike-trees", made))


@check(
    "kernel.tree-independence",
    distribution=True,
    statistical=True,
    alone=True,
    needs=("verify_tree",),
)
def tree_independence(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Do the trees of one batch have coins of their own?

    As kernel.independence, over trees: their code is often not that of chains.
    """
    yield from apart(_found(kernel, session), session, SAME_CALL)


@check("kernel.tree-seeds", distribution=True, statistical=True, alone=True, needs=("verify_tree",))
def tree_seeds(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Does another seed give a batch of trees other coins, also the seed that comes next?

    As kernel.seeds, over trees.
    """
    yield from apart(_found(kernel, session), session, NEXT_CALL)


@check("kernel.tree-near-equal", needs=("verify_tree",))
def tree_near_equal(kernel: TreeKernel, session: Session) -> Iterator[Verdict]:
    """Does a step survive two guesses from a draft that is the target up to rounding?

    As kernel.near-equal, over trees: of two siblings the first leaves nothing of p - q, now and
    then.
    """
    yield from near(
        kernel,
        session,
        TreeGroup("near-equal trees", cases.off_by_rounding(), (-1, -1), "with replacement"),
    )
