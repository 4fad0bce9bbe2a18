"""This project's own rules and loops, as any other engine: through the contract."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..chance import Chance, Uniforms
from ..data import Draft, SamplingParams, SpecrefError, Verdict
from ..decode import Cycle
from ..judge.contract import (
    CAPABILITIES,
    Completion,
    Engine,
    InjectableKernel,
    Kernel,
    Metrics,
    TreeKernel,
)
from ..judge.loops import Blockwise, EarlyExit, NGram, NoDraft
from ..judge.loops import Matching as MatchingLoop
from ..judge.subjects import Loop
from ..model.checkpoint import load
from ..verify.block import block
from ..verify.matching import matching
from ..verify.rejection import rejection
from ..verify.tree import tree


class OneGenerator(Uniforms):
    """All rows of a call from one generator: fast for many rows, and right for one call."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def _uniforms(
        self, shape: tuple[int, int], asked: Tensor | None, device: torch.device
    ) -> Tensor:
        drawn = torch.rand(shape, dtype=torch.float64, generator=self.generator)
        # no coin of 1 falls
        return (drawn if asked is None else drawn.where(asked.cpu(), 1.0)).to(device)

    def rows(self, index: Sequence[int]) -> "OneGenerator":
        return self


class ChosenUniforms(Uniforms):
    """The coins [B,K] and the last draw's uniform [B] as the judge chose them."""

    def __init__(self, accept_u: Tensor, final_u: Tensor):
        self.accept_u, self.final_u = accept_u.double(), final_u.double()

    def accept(self, probability: Tensor, asked: Tensor | None = None) -> Tensor:
        return self.accept_u[:, : probability.shape[1]] < probability

    def _uniforms(
        self, shape: tuple[int, int], asked: Tensor | None, device: torch.device
    ) -> Tensor:
        return self.final_u[:, None]

    def rows(self, index: Sequence[int]) -> "ChosenUniforms":
        return ChosenUniforms(self.accept_u[list(index)], self.final_u[list(index)])


def emitted(draft: Draft, verdict: Verdict, width: int) -> Tensor:
    """The tokens that each row gains, then -1: [B,width]."""
    path = draft.tokens.gather(1, verdict.path)[:, : width - 1]  # [B,D]
    out = torch.full((len(path), width), -1)
    kept = torch.arange(path.shape[1]) < verdict.accepted[:, None]
    out[:, : path.shape[1]] = path.where(kept, -1)
    return out.scatter(1, verdict.accepted[:, None], verdict.next_token[:, None])


class RuleKernel(Kernel):
    """A rule of verify/ as a kernel."""

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        raise SpecrefError(f"{type(self).__name__} has no rule: define judge(draft, p, chance)")

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        chain = Draft.chain(draft, q)
        return emitted(chain, self.judge(chain, p, OneGenerator(seed)), p.shape[1])


class InjectableRule(RuleKernel, InjectableKernel):
    """A rule that asks for one row of coins and one last draw."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        chain = Draft.chain(draft, q)
        return emitted(chain, self.judge(chain, p, ChosenUniforms(accept_u, final_u)), p.shape[1])


class Rejection(InjectableRule):
    name = "reference: rejection"

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return rejection(draft, p, chance)


class BlockKernel(InjectableRule):
    name = "reference: block"

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return block(draft, p, chance)


class MatchingKernel(RuleKernel):
    name = "reference: matching"

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return matching(draft, p, chance)


class Tree(RuleKernel, TreeKernel):
    name = "reference: tree"

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        return tree(draft, p, chance)

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        batch = len(tokens)
        draft = Draft(tokens, parents.expand(batch, -1), q, torch.full((batch,), tokens.shape[1]))
        verdict = self.judge(draft, p, OneGenerator(seed))
        return emitted(draft, verdict, 1 + depth(parents))


def depth(parents: Tensor) -> int:
    """The longest path of a tree [N], in nodes."""
    depths: list[int] = []
    for parent in parents.tolist():
        depths.append(1 if parent < 0 else depths[parent] + 1)
    return max(depths, default=0)


class Looped(Engine):
    """One of our loops. Without a draft model it looks n-grams up."""

    name = "reference"
    supports = CAPABILITIES
    loop: type[Loop] = Loop
    gamma = 3
    rests = False  # proposes nothing in every second cycle

    def __init__(self, target: Path, draft: Path | None):
        self.target = load(target)
        self.draft = self.target if draft is None else load(draft)
        self.speculating = NGram if draft is None and not self.own_draft else self.loop

    @torch.inference_mode()
    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        kind = self.speculating if speculative else NoDraft
        loop = kind(self.target, self.draft, self.gamma, self.rests and speculative)
        logprobs: list[list[float]] = [[] for _ in prompts]
        loop.watch = lambda cycle: self.note(cycle, logprobs)
        done = loop.generate(
            prompts, [params] * len(prompts) if isinstance(params, SamplingParams) else params
        )
        return [
            Completion(
                one.tokens,
                one.finish_reason,
                log[: len(one.tokens)],
                Metrics(one.target_steps, one.drafted, one.accepted),
            )
            for one, log in zip(done, logprobs, strict=True)
        ]

    def note(self, cycle: Cycle, logprobs: list[list[float]]) -> None:
        """Add the logarithms of the probabilities of what a cycle emits, by the distributions it
        was drawn from.
        """
        for request, distribution, tokens in zip(
            cycle.rows, cycle.distributions(), cycle.emitted, strict=True
        ):
            logprobs[request] += distribution[range(len(tokens)), tokens].log().tolist()


class LoopedBlock(Looped):
    name, loop = "reference: block", Blockwise


class LoopedMatching(Looped):
    name, loop = "reference: matching", MatchingLoop


class LoopedNGram(Looped):
    name, loop, own_draft = "reference: n-gram", NGram, True


class LoopedEarlyExit(Looped):
    name, loop, own_draft = "reference: early exit", EarlyExit, True
