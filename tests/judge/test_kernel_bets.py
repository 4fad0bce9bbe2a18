"""The test by betting over rows that differ: what it convicts, where it says the fault is, and what
a PASS claims.

Deterministic, given the seeds. Without them: a right kernel fails here with a probability of 1e-6 a
run.
"""

import pytest
import torch
from specref.adapters.reference import BlockKernel, MatchingKernel, Rejection, Tree
from specref.judge.contract import Kernel, TreeKernel
from specref.judge.kernel.questions import KERNEL_FAULTS, joined_calls, kernel_questions
from specref.judge.kernel.reach import ReachSums
from specref.judge.kernel.rows import LAYOUTS
from specref.judge.kernel.stream import MixedStream
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from specref.judge.zoo.kernel_controls import Race
from specref.stats.betting import Bettor
from specref.stats.questions import Observed
from specref.stats.rehearse import FaultClass, rehearse
from torch import Tensor


def likeliest(p: Tensor, out: Tensor, rows: Tensor) -> Tensor:
    """In some rows the last token becomes the likeliest one."""
    at = (out >= 0).sum(1) - 1
    best = p[torch.arange(len(p)), at].argmax(-1)
    return torch.where(rows[:, None], out.scatter(1, at[:, None], best[:, None]), out)


class Right(Kernel):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = Rejection().verify(p, q, draft, seed)
        return likeliest(p, out, self.off(p, q, draft))

    def off(self, p: Tensor, q: Tensor | None, draft: Tensor) -> Tensor:
        return torch.zeros(len(p), dtype=torch.bool)


class LastOfPadded(Right):
    """The last row of a batch that is padded to a power of two."""

    def off(self, p: Tensor, q: Tensor | None, draft: Tensor) -> Tensor:
        rows = torch.arange(len(p)) == len(p) - 1
        return rows & (len(p) > 8) & (len(p) & (len(p) - 1) > 0)


class AtThreeHundred(Right):
    def off(self, p: Tensor, q: Tensor | None, draft: Tensor) -> Tensor:
        return torch.full((len(p),), p.shape[2] == 300)


class OfFive(Right):
    def off(self, p: Tensor, q: Tensor | None, draft: Tensor) -> Tensor:
        return torch.full((len(p),), draft.shape[1] == 5)


class Transposed(Right):
    def off(self, p: Tensor, q: Tensor | None, draft: Tensor) -> Tensor:
        return torch.full((len(p),), p.stride(2) != 1)


def read(stream: MixedStream, calls: int) -> Observed:
    found = stream.draw(calls)
    assert found is not None
    return found


class HeavyTile(Right):
    """Half of a large vocabulary counts eight times, where many tokens are possible."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        half = (torch.arange(p.shape[2]) >= 1024) & (torch.arange(p.shape[2]) < 2048)
        half = half & ((p > 0).sum(2, True) > 8)
        return Rejection().verify(
            (1 + 7 * half) * p / ((1 + 7 * half) * p).sum(2, True), q, draft, seed
        )


class ThreeSiblings(TreeKernel):
    """Right, but where three nodes of a tree have one parent, the last token is the likeliest."""

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        out = Tree().verify_tree(p, q, tokens, parents, seed)
        off = torch.full((len(p),), int(torch.bincount(parents + 1).max()) == 3)
        best = p[:, 0].argmax(1, keepdim=True)
        alone = (out >= 0).sum(1) == 1
        return torch.where(
            (off & alone)[:, None], out.scatter(1, torch.zeros_like(best), best), out
        )


def run(kernel: Kernel, most: int = 160_000, seed: int = 0) -> MixedStream:
    """Until the kernel is convicted, or has answered so many rows."""
    stream = MixedStream(kernel, Session("x", "kernel", seed), 1e-7)
    while not stream.bettor.rejected and stream.rows < most:
        assert stream.draw(16) is not None
    return stream


@pytest.mark.parametrize(
    ("kernel", "where"),
    [
        (LastOfPadded, "from the end"),
        (AtThreeHundred, "at V = 300"),
        (OfFive, "with 5 draft tokens"),
        (Transposed, LAYOUTS[3]),
        (HeavyTile, "every token possible"),
    ],
)
def test_a_fault_in_one_surrounding_is_found_and_its_place_is_said(
    kernel: type, where: str
) -> None:
    stream = run(kernel())
    assert stream.bettor.rejected
    assert where in stream.bettor.winners()[0].words


def test_a_fault_in_some_trees_is_found_where_trees_alone_are_judged() -> None:
    stream = run(ThreeSiblings(), 40_000)
    assert stream.bettor.rejected


@pytest.mark.parametrize("kernel", [Right, BlockKernel, MatchingKernel, Race, Tree])
def test_right_kernels_are_not_convicted(kernel: type) -> None:
    for seed in range(2):
        stream = run(kernel(), 5000, seed)
        assert stream.bettor.n > 10_000
        assert stream.bettor.look() < 4


def test_the_check_says_what_it_would_have_found() -> None:
    (chosen,) = [item for item in checks("kernel") if item.id == "kernel.token-bets"]
    (said,) = judge(Right(), Session("x", "kernel", mde=0.1), [chosen])
    assert said.verdict == "PASS"
    *chains, trees = KERNEL_FAULTS.values()  # this kernel has no verify_tree
    assert "trees" in trees
    assert [one.fault for one in said.reach] == chains
    assert [one.everywhere for one in said.reach] == [True] * 2 + [False] * (len(said.reach) - 2)
    lean, bias, *narrow = [1 if one.tv is None else one.tv for one in said.reach]
    assert lean <= 0.1
    assert lean < bias
    assert bias == said.sees
    assert max(narrow) <= 1
    assert Verdict.from_dict(said.as_dict()) == said
    (said,) = judge(Transposed(), Session("x", "kernel"), [chosen])
    assert said.verdict == "FAIL"
    assert LAYOUTS[3] in said.what


def test_what_is_claimed_is_what_a_rehearsal_finds() -> None:
    """The sizes by formula against faults that are planted in the same tokens. A formula that is
    10 % too bold, or half again too shy, fails."""
    stream = MixedStream(Right(), Session("x", "kernel"), 1e-7)
    reach, calls = ReachSums(stream.bettor, KERNEL_FAULTS), []
    for _ in range(4):
        calls.append(read(stream, 16))
        reach.add(calls[-1])
    faults = [
        FaultClass("score", "draft"),
        FaultClass("table", "rank", "shape"),
        FaultClass("table", "rank", "shape and place"),
    ]
    planted = rehearse(stream.bettor.questions, calls, 1e-7, faults, 0)
    for fault, one in zip(faults, planted, strict=True):
        assert one.tv is not None
        assert 0.9 * one.tv < reach.size(fault) < 1.5 * one.tv, fault


def test_the_size_that_is_claimed_falls_as_the_run_grows() -> None:
    stream = MixedStream(Right(), Session("x", "kernel"), 1e-7)
    reach = ReachSums(stream.bettor, KERNEL_FAULTS)
    fault = FaultClass("score", "draft", "vocabulary")
    reach.add(read(stream, 16))
    assert reach.sizes_found()[3].tv is None or reach.size(fault) < 1
    sizes = []
    for _ in range(3):
        for _ in range(8):
            reach.add(read(stream, 16))
        sizes.append(reach.size(fault))
    assert sizes[0] > sizes[1] > sizes[2]


def test_every_token_is_read_once_and_has_its_distribution() -> None:
    """Calls together are the calls one after the other; p sums to 1, and what the judge mostly
    draws itself is told apart."""
    stream = MixedStream(Right(), Session("x", "kernel"), 1e-7)
    five = read(stream, 5)
    again = MixedStream(Right(), Session("x", "kernel"), 1e-7)
    joined = joined_calls([read(again, 1) for _ in range(5)])
    for name, token in joined.token.items():
        assert torch.equal(token, five.token[name])
        assert torch.allclose(joined.p[name].sum(1), torch.ones(five.n).double())
        assert bool((joined.p[name].gather(1, token[:, None]) > 0).all())
    assert stream.rows == again.rows
    rest = {one.name: one.size - 1 for one in kernel_questions().contexts}
    left = [five.context[name] == last for name, last in rest.items()]
    assert all(torch.equal(left[0], other) for other in left)
    assert 0 < float(left[0].double().mean()) < 0.7
    assert Bettor(kernel_questions(), 0.1).update(five) is False


def test_a_single_impossible_token_ends_the_stream() -> None:
    class Stray(Right):
        def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
            out = super().verify(p, q, draft, seed)
            if len(p) > 30:
                out[-1, 0] = p[-1, 0].argmin()
                out[-1, 1:] = -1
            return out

    (chosen,) = [item for item in checks("kernel") if item.id == "kernel.token-bets"]
    (said,) = judge(Stray(), Session("x", "kernel"), [chosen])
    assert (said.verdict, said.method) == ("FAIL", "deterministic")
    assert "probability 0" in said.what
    assert "rows that differ" in said.case


class HalfAsIs(Kernel):
    """Takes p and q of any format as they are, in float32."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        p, q = p.float(), None if q is None else q.float()
        q = None if q is None else q / q.sum(-1, keepdim=True)
        return self.judged(p / p.sum(-1, keepdim=True), q, draft, seed)

    def judged(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return Rejection().verify(p, q, draft, seed)


class HalfRefused(HalfAsIs):
    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        if p.dtype != torch.float32:
            raise TypeError(f"p is {p.dtype}: give float32")
        return super().verify(p, q, draft, seed)


class HalfIsLikeliest(HalfAsIs):
    """In half precision the last token is the likeliest."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        out = super().verify(p, q, draft, seed)
        return likeliest(p, out, torch.full((len(p),), p.dtype == torch.bfloat16))


class HalfReadAsFloat(HalfAsIs):
    """Reads the memory of the rows one after the other."""

    def judged(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        return Rejection().verify(p.roll(1, 0), None if q is None else q.roll(1, 0), draft, seed)


class HalfInHalf(Kernel):
    """All of it in the format that is given."""

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        g = torch.Generator().manual_seed(seed)
        count, at = draft.shape[1], draft[..., None]
        q = torch.zeros_like(p[:, :count]).scatter_(2, at, 1) if q is None else q
        ratio = (p[:, :count].gather(2, at) / q.gather(2, at))[..., 0]
        kept = (torch.rand(draft.shape, generator=g) < ratio).long().cumprod(1).sum(1)
        rows = torch.arange(len(p))
        beside = torch.cat((q, torch.zeros_like(p[:, :1])), 1)[rows, kept]
        rest = (p[rows, kept] - beside).clamp(min=0)
        rest = torch.where(rest.sum(1, keepdim=True) > 0, rest, p[rows, kept])
        last = torch.multinomial(rest.float(), 1, generator=g)
        out = torch.cat((draft, last), 1).scatter(1, kept[:, None], last)
        return out.where(torch.arange(count + 1) <= kept[:, None], -1)


@pytest.mark.parametrize(
    ("kernel", "verdict", "said"),
    [
        (HalfRefused, "PASS", "float16 refused, bfloat16 refused"),
        (HalfAsIs, "PASS", "rows of float16"),
        (HalfInHalf, "PASS", "rows of bfloat16"),
        (HalfIsLikeliest, "FAIL", "bfloat16: the token of rank 0 by p came"),
        (HalfReadAsFloat, "FAIL", "probability 0"),
    ],
)
def test_half_precision_is_refused_or_taken_for_what_it_is(
    kernel: type, verdict: str, said: str
) -> None:
    (chosen,) = [item for item in checks("kernel") if item.id == "kernel.half-inputs"]
    (found,) = judge(kernel(), Session("x", "kernel"), [chosen])
    assert found.verdict == verdict
    assert said in found.what
