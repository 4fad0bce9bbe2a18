"""Right but unusual engines. The engine level must pass them or say that it cannot test them; it
must never convict them.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...adapters.reference import Looped
from ...chance import Chance
from ...data import Draft, SamplingParams, Verdict
from ...decode import Cycle
from ...draft.base import Drafter, Text
from ...draft.model import ModelDrafter
from ...verify.rejection import rejection
from ..contract import Completion, Metrics
from ..loops import Blockwise, EarlyExit, Matching, NGram, NoDraft, Recursive
from ..params_oracle import ended
from ..subjects import Loop, RuleStep
from ..tree_subjects import TreeLoop
from . import Control
from .controls import CertainDraft, without_bonus
from .engines import looped
from .loop_pairs import FiltersFirst, MixesDrafts
from .loop_parts import OwnDistribution
from .tree_loops import MTP, Drawn, DrawnAnew, Medusa, MedusaDrawn

_NOISE = 1e-6


class PlainDraft(ModelDrafter):
    """Drafts at temperature 1 without a filter, and reports that distribution as q."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        plain = replace(text, params=[SamplingParams() for _ in text.params])
        return super().propose(plain, budget, chance)


class DraftWithoutParameters(Loop):
    def drafter(self) -> Drafter:
        return PlainDraft(self.draft)


class NoisyEngine(OwnDistribution):
    """Scores with errors of 1e-6, as float32 kernels for another size give them."""

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        noise = 1 + _NOISE * torch.randn(
            p.shape, generator=torch.Generator().manual_seed(p.shape[0])
        )
        return rejection(draft, p * noise / (p * noise).sum(-1, keepdim=True), chance)


class LongDrafts(Looped):
    name, gamma = "reference: drafts of 8", 8


class ShortDrafts(Looped):
    name, gamma = "reference: drafts of 1", 1


class RestingEngine(Looped):
    """Proposes nothing in every second cycle."""

    name, rests = "reference: resting", True


class RestingTrees(Looped):
    name, loop, rests = "reference: resting trees", TreeLoop, True


class Reworded(Looped):
    """The same texts, reported in another way."""

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        every = [params] * len(prompts) if isinstance(params, SamplingParams) else params
        done = super().generate(prompts, params, speculative=speculative)
        return [self.reworded(one, s) for one, s in zip(done, every, strict=True)]

    def reworded(self, done: Completion, params: SamplingParams) -> Completion:
        return done


class TurnedRound(Looped):
    """Processes the batch from its last row to its first."""

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        turned = params if isinstance(params, SamplingParams) else params[::-1]
        return super().generate(prompts[::-1], turned, speculative=speculative)[::-1]


class WithoutStops(Reworded):
    """Leaves the stop tokens out of the reported text."""

    def reworded(self, done: Completion, params: SamplingParams) -> Completion:
        if done.finish_reason != "stop":
            return done
        assert ended(done.tokens, params, 10**9) == "stop"
        stops = [*params.stop_sequences, *((token,) for token in params.stop_ids)]
        longest = max(len(stop) for stop in stops if tuple(done.tokens[-len(stop) :]) == stop)
        kept = len(done.tokens) - longest
        return replace(done, tokens=done.tokens[:kept], logprobs=(done.logprobs or [])[:kept])


class PrefillGivesOne(Reworded):
    """The prefill emits the first token, so a text takes one step less."""

    def reworded(self, done: Completion, params: SamplingParams) -> Completion:
        assert done.metrics is not None
        return replace(
            done,
            metrics=replace(
                done.metrics, target_steps=max(0, (done.metrics.target_steps or 0) - 1)
            ),
        )


class StepsUnknown(Reworded):
    def reworded(self, done: Completion, params: SamplingParams) -> Completion:
        assert done.metrics is not None
        return replace(done, metrics=Metrics(None, done.metrics.drafted, done.metrics.accepted))


class LastIsAccepted(Reworded):
    """Emits no bonus token, and counts the last accepted token as accepted."""

    def __init__(self, *folders: object):
        super().__init__(*folders)  # type: ignore[arg-type]
        self.speculating = looped(RuleStep(without_bonus))

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        self.whole = [0] * len(prompts)
        done = super().generate(prompts, params, speculative=speculative)
        for one, whole in zip(done, self.whole, strict=True):
            assert one.metrics is not None
            one.metrics.accepted += whole
        return done

    def note(self, cycle: Cycle, logprobs: list[list[float]]) -> None:
        super().note(cycle, logprobs)
        for row, request in enumerate(cycle.rows):
            drafted = cycle.draft.tokens[row, : int(cycle.draft.lengths[row])].tolist()
            # a rejected last token is replaced by another token
            self.whole[request] += bool(drafted) and cycle.emitted[row] == drafted


class OneByOne(Looped):
    """Supports no batches, no seeds and no counts."""

    supports = frozenset({"sampling", "top_k", "stop"})


class Blind(Looped):
    """Reports no counts."""

    supports = Looped.supports - {"metrics"}


_LOOPS: Sequence[tuple[str, str, type[Loop] | type[Looped]]] = (
    ("engine", "the reference", Loop),
    ("engine with block", "another lossless rule", Blockwise),
    ("engine with sampler match", "the draw is the target's own", Matching),
    ("engine with the tree rule", "a chain is a tree", Recursive),
    ("engine with n-grams", "a certain draft needs no q, and may be empty", NGram),
    ("engine without a draft", "plain decoding: nothing to see, nothing wrong", NoDraft),
    ("engine with early exit", "any draft will do", EarlyExit),
    ("engine with certain drafts", "target-only verification", CertainDraft),
    ("engine with rows turned round", "a batch has no order", TurnedRound),
    ("engine with trees", "several guesses for one place", TreeLoop),
    (
        "engine with trees drawn without replacement",
        "q is the distribution given the earlier siblings",
        Drawn,
    ),
    ("engine with trees drawn with replacement", "the same guess twice is no mistake", DrawnAnew),
    ("engine with Medusa", "heads may guess as badly as they like", Medusa),
    ("engine with Medusa, drawn", "and draw their guesses", MedusaDrawn),
    ("engine with multi-token prediction", "any draft will do", MTP),
    (
        "engine whose draft knows no parameters",
        "q is the distribution drawn from, whatever the target's is",
        DraftWithoutParameters,
    ),
    ("engine with noise", "float32 sums in another order", NoisyEngine),
    ("engine with long drafts", "drafts of 8", LongDrafts),
    ("engine with short drafts", "drafts of 1", ShortDrafts),
    ("resting engine", "an empty draft is a draft", RestingEngine),
    ("resting engine with trees", "other branches are no waste", RestingTrees),
    ("engine that mixes drafts", "any draft will do, where it is said", MixesDrafts),
    ("engine whose temperature comes last", "a convention, llama.cpp's", FiltersFirst),
    ("engine that leaves stops out", "a convention", WithoutStops),
    ("engine whose prefill gives a token", "a convention", PrefillGivesOne),
    ("engine that does not count steps", "others do", StepsUnknown),
    ("engine without bonus", "slower, not wrong", LastIsAccepted),
    ("engine without batches, seeds or counts", "what is absent is not asked for", OneByOne),
    ("engine without counts", "speculation is not seen, and nothing is wrong", Blind),
)
ENGINE_CONTROLS = tuple(Control(name, why, subject) for name, why, subject in _LOOPS)
