"""Planted bugs of the loop around the step: parameters, caches, stops, lengths, seeds, batches,
counts.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...chance import Chance, Streams
from ...data import Completion, SamplingParams
from ...decode import Request
from ...draft.base import Drafter
from ..subjects import Loop
from . import Bug
from .loop_parts import (
    AnyVocabulary,
    BonusPlain,
    DividesByZero,
    DraftRowsPlain,
    DraftShifted,
    KeepsRejected,
    LaterRowsPlain,
    MissesLast,
    MissesPending,
    NotRolledBack,
    OwnDistribution,
    OwnTemperature,
)


class WithMissesLast(Loop):
    def drafter(self) -> Drafter:
        return MissesLast(self.draft)


class WithMissesPending(Loop):
    rests = True

    def drafter(self) -> Drafter:
        return MissesPending(self.draft)


class WithKeepsRejected(Loop):
    def drafter(self) -> Drafter:
        return KeepsRejected(self.draft)


class WithOwnTemperature(Loop):
    def drafter(self) -> Drafter:
        return OwnTemperature(self.draft)


class WithAnyVocabulary(Loop):
    def drafter(self) -> Drafter:
        return AnyVocabulary(self.draft)


class StopAtBlockEnd(Loop):
    class request(Request):  # noqa: N801
        def take(self, tokens: Sequence[int]) -> int:
            self.tokens.extend(tokens[:-1])  # only a block's last token is looked at
            return len(tokens) - 1 + super().take(tokens[-1:])


class StopWithinBlock(Loop):
    class request(Request):  # noqa: N801
        def take(self, tokens: Sequence[int]) -> int:
            before, self.tokens = self.tokens, []  # a stop sequence that began earlier is not seen
            taken = super().take(tokens)
            self.tokens = before + self.tokens
            if not self.reason and len(self.tokens) >= self.limit:
                self.reason = "length"
            return taken


class WholeBlocks(Loop):
    class request(Request):  # noqa: N801
        def take(self, tokens: Sequence[int]) -> int:
            taken = super().take(tokens)
            if not self.reason and len(self.tokens) >= self.params.max_new_tokens:
                self.reason = "length"  # asked once a block, not once a token
            return taken

    def limit(self, params: SamplingParams, prompt: Sequence[int]) -> int:
        return super().limit(params, prompt) + self.gamma


class EndsEarly(Loop):
    def limit(self, params: SamplingParams, prompt: Sequence[int]) -> int:
        limit = super().limit(params, prompt)
        return max(1, limit - limit % (self.gamma + 1))  # no block is begun that cannot be whole


class NoContextEnd(Loop):
    def limit(self, params: SamplingParams, prompt: Sequence[int]) -> int:
        return params.max_new_tokens


class CountsPastStop(Loop):
    class request(Request):  # noqa: N801
        def take(self, tokens: Sequence[int]) -> int:
            taken = super().take(tokens)
            self.accepted += len(tokens) - taken
            return taken


class CountsBonus(Loop):
    class request(Request):  # noqa: N801
        def take(self, tokens: Sequence[int]) -> int:
            taken = super().take(tokens)
            self.accepted += taken == len(tokens)
            return taken


class SharedStream(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([0 if s.seed is None else s.seed for s in params])


class SeedIgnored(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([None for _ in params])


class SeedByRow(Loop):
    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Streams([None if s.seed is None else s.seed + row for row, s in enumerate(params)])


class Rewrites(Loop):
    """A loop that changes the parameters of a batch before it runs."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return list(params)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        chance: Chance | None = None,
    ) -> list[Completion]:
        return super().generate(prompts, self.rewritten(params), chance)


class MinTokensIgnored(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, min_tokens=0) for s in params]


class FirstRowForAll(Rewrites):
    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, temperature=params[0].temperature) for s in params]


LOOP_BUGS = (
    Bug(
        "draft-temperature-unreported",
        3,
        "transformers #47961",
        "verify",
        "text leans to the draft's favourites",
        "loop.joint",
        WithOwnTemperature,
    ),
    Bug(
        "verifier-without-parameters",
        6,
        "lattice #388",
        "parameters",
        "temperature and filters have no effect on text",
        "loop.parameters",
        OwnDistribution,
    ),
    Bug(
        "draft-rows-without-parameters",
        27,
        "vLLM #18902",
        "parameters",
        "banned tokens come out where they were drafted",
        "loop.parameters",
        DraftRowsPlain,
    ),
    Bug(
        "bonus-without-parameters",
        49,
        "Spec-Bench",
        "bonus",
        "banned tokens come out after accepted drafts",
        "loop.parameters",
        BonusPlain,
    ),
    Bug(
        "min-tokens-ignored",
        30,
        "vLLM #32642",
        "stops",
        "texts end too early",
        "loop.min-tokens",
        MinTokensIgnored,
    ),
    Bug(
        "min-tokens-once-a-step",
        30,
        "SGLang #33643",
        "stops",
        "stop tokens come out inside texts that may not end yet",
        "loop.min-tokens",
        LaterRowsPlain,
    ),
    Bug(
        "target-cache-not-rolled-back",
        34,
        "mlx-lm #1109",
        "cache",
        "text derails after the first rejection",
        "loop.greedy",
        NotRolledBack,
    ),
    Bug(
        "draft-cache-misses-last",
        36,
        "vLLM #9730",
        "cache",
        "acceptance falls after fully accepted drafts",
        "loop.draft-is-target",
        WithMissesLast,
    ),
    Bug(
        "draft-cache-misses-pending",
        36,
        "mlxcel #994",
        "cache",
        "acceptance falls after cycles without a draft",
        "loop.draft-is-target",
        WithMissesPending,
    ),
    Bug(
        "draft-cache-keeps-rejected",
        36,
        "vLLM #9730",
        "cache",
        "acceptance falls after rejections",
        "loop.acceptance",
        WithKeepsRejected,
    ),
    Bug(
        "draft-positions-shifted",
        37,
        "SGLang #25015",
        "cache",
        "acceptance is lower than it could be",
        "loop.draft-is-target",
        DraftShifted,
    ),
    Bug(
        "stop-inside-block",
        40,
        "transformers #47912",
        "stops",
        "text goes on after its end",
        "loop.stop",
        StopAtBlockEnd,
    ),
    Bug(
        "stop-sequence-across-blocks",
        40,
        "koboldcpp #1276",
        "stops",
        "some stop sequences are not seen",
        "loop.stop-law",
        StopWithinBlock,
    ),
    Bug(
        "max-tokens-overshot",
        42,
        "ik_llama #2358",
        "length",
        "texts are longer than asked for",
        "loop.length",
        WholeBlocks,
    ),
    Bug(
        "max-tokens-undershot",
        42,
        "ik_llama #2358",
        "length",
        "texts are shorter than asked for",
        "loop.length",
        EndsEarly,
    ),
    Bug(
        "context-end-passed",
        42,
        "exllamav2 #274",
        "length",
        "garbage, or a crash, at the context's end",
        "loop.length",
        NoContextEnd,
    ),
    Bug(
        "shared-stream",
        22,
        "TensorRT-LLM #19487",
        "random numbers",
        "the same prompt gives the same text again",
        "loop.streams",
        SharedStream,
    ),
    Bug(
        "seed-ignored",
        23,
        "vLLM #6038",
        "random numbers",
        "a seed does not bring a text back",
        "loop.seeds",
        SeedIgnored,
    ),
    Bug(
        "seed-by-row",
        23,
        "SGLang #30822",
        "random numbers",
        "a seed's text depends on its place in the batch",
        "loop.seeds",
        SeedByRow,
    ),
    Bug(
        "greedy-row-divides-by-0",
        32,
        "vLLM #27077",
        "batching",
        "crashes when a greedy request joins sampled ones",
        "loop.mixed-batch",
        DividesByZero,
        crashes=True,
    ),
    Bug(
        "first-row-for-all",
        24,
        "vLLM #9441",
        "batching",
        "a request gets its neighbour's temperature",
        "loop.mixed-batch",
        FirstRowForAll,
    ),
    Bug(
        "accepted-past-stop",
        45,
        "vLLM #2658",
        "metrics",
        "acceptance is reported too high",
        "loop.metrics",
        CountsPastStop,
    ),
    Bug(
        "bonus-counted",
        45,
        "SGLang #13212",
        "metrics",
        "acceptance is reported too high",
        "loop.metrics",
        CountsBonus,
    ),
    Bug(
        "vocabularies-differ",
        48,
        "SGLang #24051",
        "interface",
        "a foreign draft is taken, text may be garbage",
        "loop.vocabulary",
        WithAnyVocabulary,
    ),
)
