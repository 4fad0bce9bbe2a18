"""Planted bugs of engines. Each names the check of the engine level that must convict it.

Loops and steps of the white-box zoo come first, then bugs that only a whole engine can have.
"""

from dataclasses import replace

from ...adapters.reference import Looped
from ...data import SamplingParams
from ...decode import Cycle
from ..contract import Completion, Metrics
from ..exact import EXACT_CHECKS
from ..subjects import Loop
from . import Bug, Subject, loop_coins, loop_kinds, loop_pairs, loop_places, loop_sizes
from .loops import LOOP_BUGS
from .rules import RULE_BUGS
from .tree_loops import TREE_LOOP_BUGS

# Bugs of the white-box zoo that an engine can have, by name, and who convicts them.
_SEEN = {
    "resample-from-p": "engine.token-bets",
    "draft-filter-unreported": "engine.token-bets",
    "argmax-draft-soft-q": "engine.token-bets",
    "draft-rows-by-argmax": "engine.token-bets",
    "coin-stuck-at-0": "engine.token-bets",
    "first-token-unverified": "engine.token-bets",
    "wrong-logits-row": "engine.token-bets",
    "noise-reused": "engine.token-bets",
    "residual-softmax": "engine.token-bets",
    "bonus-from-row-before": "engine.token-bets",
    "bonus-from-draft": "engine.token-bets",
    "bonus-by-argmax": "engine.token-bets",
    "bonus-from-padding": "engine.mixed-batch",
    "draft-temperature-unreported": "engine.token-bets",
    "verifier-without-parameters": "engine.greedy",
    "draft-rows-without-parameters": "engine.top-k",
    "bonus-without-parameters": "engine.top-k",
    "min-tokens-ignored": "engine.greedy",
    "min-tokens-once-a-step": "engine.greedy",
    "target-cache-not-rolled-back": "engine.greedy",
    "draft-cache-misses-last": "engine.draft-is-target",
    "draft-cache-misses-pending": "engine.draft-is-target",
    "draft-cache-keeps-rejected": "engine.after-reject",
    "draft-positions-shifted": "engine.draft-is-target",
    "stop-inside-block": "engine.ends",
    "stop-sequence-across-blocks": "engine.ends",
    "max-tokens-overshot": "engine.ends",
    "max-tokens-undershot": "engine.ends",
    "context-end-passed": "engine.ends",
    "shared-stream": "engine.rows",
    "seed-ignored": "engine.seeds",
    "seed-by-row": "engine.seeds",
    "greedy-row-divides-by-0": "engine.mixed-batch",
    "first-row-for-all": "engine.mixed-batch",
    "accepted-past-stop": "engine.metrics",
    "bonus-counted": "engine.metrics",
    "vocabularies-differ": "engine.vocabulary",
    "tree-path-not-compacted": "engine.greedy",
    "node-sees-cousin": "engine.greedy",
    "positions-by-index": "engine.greedy",
}


class LogprobsZero(Looped):
    def note(self, cycle: Cycle, logprobs: list[list[float]]) -> None:
        for request, tokens in zip(cycle.rows, cycle.emitted, strict=True):
            logprobs[request] += [0.0] * len(tokens)


class LogprobsOfNextRow(Looped):
    """Accepted tokens get the log probabilities of the next row, as if the first row belonged to
    the pending token.
    """

    def note(self, cycle: Cycle, logprobs: list[list[float]]) -> None:
        last = cycle.p.shape[1] - 1
        for row, (request, tokens) in enumerate(zip(cycle.rows, cycle.emitted, strict=True)):
            logprobs[request] += [
                float(cycle.p[row, min(i + 1, last), token].clamp(min=1e-9).log())
                for i, token in enumerate(tokens)
            ]


class CountsOfAllCalls(Looped):
    """Counts are never reset: a request's counts include those of all earlier requests."""

    def __init__(self, *folders: object):
        super().__init__(*folders)  # type: ignore[arg-type]
        self.total = Metrics(0, 0, 0)

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        done = super().generate(prompts, params, speculative=speculative)
        for one in done:
            assert one.metrics is not None
            self.total = Metrics(
                (self.total.target_steps or 0) + (one.metrics.target_steps or 0),
                self.total.drafted + one.metrics.drafted,
                self.total.accepted + one.metrics.accepted,
            )
            one.metrics = self.total
        return done


class AnswersOutOfOrder(Looped):
    """The answers are sorted by length, not in the order of the prompts."""

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        done = super().generate(prompts, params, speculative=speculative)
        return sorted(done, key=lambda one: len(one.tokens)) if speculative else done


class OneAnswerForEqual(Looped):
    """Equal prompts of one batch are computed once and get the same answer."""

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        done = super().generate(prompts, params, speculative=speculative)
        first: dict[tuple[int, ...], int] = {}
        return [
            (
                replace(done[first.setdefault(tuple(prompt), i)])
                if isinstance(params, SamplingParams)
                else done[i]
            )
            for i, prompt in enumerate(prompts)
        ]


def engine_distance(subject: Subject) -> float | None:
    """The exact TV between a loop's emitted distribution and the target's, the largest over the
    cases of the exact checks. None where the bug changes no distribution of a single row.
    """
    if (
        not isinstance(subject, type)
        or not issubclass(subject, Loop)
        or subject.chance is not Loop.chance
    ):
        return None
    found = [
        finding.tv
        for name in ("loop.joint", "loop.parameters")
        for finding in EXACT_CHECKS[name](subject)
    ]
    return max(found, default=0.0) or None


_OURS = "constructed"
_KINDS = (
    (
        "ranks-draw-apart",
        26,
        "vLLM #17498",
        "random numbers",
        "what replaces a token is drawn as if another had been rejected",
        "engine.token-bets",
        loop_kinds.TwoRanks,
    ),
    (
        "neighbours-q",
        44,
        "vLLM #49620",
        "batching",
        "in a batch, text leans to the draft's favourites",
        "engine.token-bets",
        loop_kinds.NeighboursDistribution,
    ),
    (
        "stream-restarts",
        21,
        "vLLM #54282",
        "random numbers",
        "coins depend on what was drafted",
        "engine.token-bets",
        loop_kinds.StreamRestarts,
    ),
    (
        "seed-by-place",
        22,
        "TensorRT-LLM #19487",
        "random numbers",
        "a batch without seeds writes the same again",
        "engine.rows",
        loop_kinds.SeedByPlace,
    ),
    (
        "unseeded-left-greedy",
        24,
        "vLLM #10863",
        "batching",
        "beside seeded requests, others are not sampled",
        "engine.mixed-batch",
        loop_kinds.UnseededGreedy,
    ),
    (
        "one-more-of-top-k",
        27,
        _OURS,
        "parameters",
        "a token too many comes out",
        "engine.top-k",
        loop_kinds.OneMoreOfTopK,
    ),
    (
        "lookup-soft-q",
        4,
        _OURS,
        "verify",
        "looked-up tokens come out too often or too seldom",
        "engine.token-bets",
        loop_kinds.LookupSoftQ,
    ),
    (
        "penalties-count-rejected",
        27,
        "vLLM #18902",
        "parameters",
        "what was drafted and rejected is penalised",
        "engine.penalties",
        loop_kinds.PenaltiesCountRejected,
    ),
    (
        "late-drift",
        34,
        "vLLM #52942",
        "cache",
        "long texts derail",
        "engine.greedy",
        loop_kinds.LateDrift,
    ),
    (
        "ragged-positions",
        43,
        _OURS,
        "batching",
        "in a batch, shorter prompts are continued wrongly",
        "engine.batch",
        loop_kinds.RaggedPositions,
    ),
    (
        "bonus-temperature-twice",
        49,
        "Spec-Bench",
        "bonus",
        "after an accepted draft the temperature counts twice",
        "engine.temperature",
        loop_kinds.BonusSharpened,
    ),
    (
        "ends-after-reject",
        42,
        _OURS,
        "length",
        "texts without an accepted token lose their last",
        "engine.ends",
        loop_kinds.EndsWithReject,
    ),
    (
        "counts-of-the-batch",
        45,
        "llama.cpp #14104",
        "metrics",
        "every request is told its batch's acceptance",
        "engine.metrics",
        loop_kinds.CountsAllRows,
    ),
    (
        "stop-called-length",
        40,
        _OURS,
        "stops",
        "a finished text looks cut short",
        "engine.ends",
        loop_kinds.SaysLength,
    ),
    (
        "logprobs-zero",
        33,
        "llama.cpp #27972",
        "metrics",
        "log probabilities are 0",
        "engine.logprobs",
        LogprobsZero,
    ),
    (
        "logprobs-next-row",
        33,
        "vLLM #34497",
        "metrics",
        "log probabilities are another token's",
        "engine.logprobs",
        LogprobsOfNextRow,
    ),
    (
        "counts-never-reset",
        45,
        "vLLM #56101",
        "metrics",
        "acceptance is that of all requests so far",
        "engine.metrics",
        CountsOfAllCalls,
    ),
    (
        "answers-out-of-order",
        41,
        _OURS,
        "batching",
        "a request gets another's text",
        "engine.batch",
        AnswersOutOfOrder,
    ),
    (
        "first-token-plain",
        6,
        _OURS,
        "parameters",
        "the first token is drawn at temperature 1",
        "engine.temperature",
        loop_places.FirstTokenPlain,
    ),
    (
        "cold-is-greedy",
        6,
        _OURS,
        "parameters",
        "at low temperatures every text is the same",
        "engine.temperature",
        loop_places.ColdIsGreedy,
    ),
    (
        "one-parameter-at-a-time",
        27,
        _OURS,
        "parameters",
        "top-k turns the temperature off",
        "engine.top-k",
        loop_places.OneParameterAtATime,
    ),
    (
        "filtered-not-renormalised",
        27,
        _OURS,
        "parameters",
        "under a filter tokens that the draft likes come too seldom",
        "engine.top-k",
        loop_places.FilterKeepsItsMass,
    ),
    (
        "bonus-of-first-row",
        49,
        _OURS,
        "batching",
        "beside a hot request others come out hotter after an accepted draft",
        "engine.mixed-batch",
        loop_places.BonusOfFirstRow,
    ),
    (
        "filter-of-first-row",
        24,
        _OURS,
        "batching",
        "all requests of a batch are filtered as its first one",
        "engine.mixed-batch",
        loop_places.FilterOfFirstRow,
    ),
    (
        "temperatures-stay",
        44,
        _OURS,
        "batching",
        "when others are through a request gets a stranger's temperature",
        "engine.mixed-batch",
        loop_places.TemperaturesStay,
    ),
    (
        "candidates-cut-at-1024",
        16,
        _OURS,
        "numerics",
        "in a large vocabulary text is too likely",
        "engine.vocabulary-sizes",
        loop_sizes.LikeliestThousand,
    ),
    (
        "padding-drawn",
        16,
        "SGLang #22643",
        "numerics",
        "where a vocabulary is padded its last token comes too often",
        "engine.vocabulary-sizes",
        loop_sizes.PaddingDrawn,
    ),
    (
        "first-stop-alone",
        40,
        _OURS,
        "stops",
        "of several stop sequences one is seen",
        "engine.ends",
        loop_sizes.FirstStopAlone,
    ),
    (
        "short-stops-alone",
        40,
        _OURS,
        "stops",
        "long stop sequences are not seen",
        "engine.ends",
        loop_sizes.ShortStopsAlone,
    ),
    (
        "full-block-short",
        34,
        _OURS,
        "cache",
        "after prompts of some lengths text is another",
        "engine.prompts",
        loop_sizes.FullBlockShort,
    ),
    (
        "end-tokens-hidden",
        43,
        _OURS,
        "cache",
        "a conversation's earlier turns run together",
        "engine.prompts",
        loop_sizes.EndsHidden,
    ),
    (
        "streams-run-out",
        22,
        "TensorRT-LLM #19487",
        "random numbers",
        "in a large batch texts come twice",
        "engine.rows",
        loop_sizes.StreamsRunOut,
    ),
    (
        "stream-one-row-on",
        22,
        _OURS,
        "random numbers",
        "a text's later tokens depend on the text beside it",
        "engine.rows",
        loop_sizes.StreamOneRowOn,
    ),
    (
        "seed-cut",
        23,
        _OURS,
        "random numbers",
        "some seeds bring back each other's texts",
        "engine.copies",
        loop_places.SeedCut,
    ),
    (
        "seed-0-is-none",
        23,
        _OURS,
        "random numbers",
        "seed 0 does not bring a text back",
        "engine.seeds",
        loop_places.SeedZero,
    ),
    (
        "stream-three-on",
        22,
        _OURS,
        "random numbers",
        "a text's later tokens depend on the text beside it",
        "engine.rows",
        loop_coins.StreamThreeOn,
    ),
    (
        "seed-plus-step",
        23,
        _OURS,
        "random numbers",
        "the texts of neighbouring seeds depend on each other",
        "engine.rows",
        loop_coins.SeedPlusStep,
    ),
    (
        "seeded-seeds-all",
        23,
        _OURS,
        "random numbers",
        "after a seeded request others write the same again",
        "engine.rows",
        loop_coins.SeededSeedsAll,
    ),
    (
        "seed-through-float",
        23,
        _OURS,
        "random numbers",
        "large seeds bring back each other's texts",
        "engine.copies",
        loop_coins.SeedThroughFloat,
    ),
    (
        "rows-mirrored",
        22,
        _OURS,
        "random numbers",
        "what one text has, the text beside it has not",
        "engine.rows",
        loop_coins.RowsMirrored,
    ),
    (
        "bonus-coin-again",
        21,
        _OURS,
        "random numbers",
        "what follows an accepted draft's last token depends on it",
        "engine.token-bets",
        loop_coins.BonusCoinAgain,
    ),
    (
        "bonus-seeded-anew",
        21,
        _OURS,
        "random numbers",
        "all bonus tokens of a text depend on each other",
        "engine.token-bets",
        loop_coins.BonusSeededAnew,
    ),
    (
        "draft-ids-moved",
        17,
        _OURS,
        "cache",
        "no draft is ever accepted",
        "engine.draft-is-target",
        loop_pairs.DraftIdsMoved,
    ),
    (
        "top-k-beside-top-p",
        27,
        _OURS,
        "parameters",
        "top-p turns top-k off",
        "engine.top-p",
        loop_pairs.TopKBesideTopP,
    ),
    (
        "heat-beside-top-p",
        27,
        _OURS,
        "parameters",
        "top-p turns the temperature off",
        "engine.top-p",
        loop_pairs.HeatBesideTopP,
    ),
    (
        "one-penalty",
        27,
        _OURS,
        "parameters",
        "a presence penalty turns the frequency penalty off",
        "engine.penalties",
        loop_pairs.OnePenalty,
    ),
    (
        "min-tokens-one-end",
        30,
        _OURS,
        "stops",
        "texts end too early at a stop token",
        "engine.greedy",
        loop_pairs.MinTokensForOneEnd,
    ),
    (
        "sampled-stops-late",
        40,
        _OURS,
        "stops",
        "sampled texts go on behind a stop sequence",
        "engine.ends",
        loop_pairs.SampledStopsLate,
    ),
    (
        "turn-without-last",
        34,
        _OURS,
        "cache",
        "in a conversation's second turn text is another",
        "engine.prompts",
        loop_pairs.TurnWithoutLast,
    ),
    (
        "blocks-by-themselves",
        34,
        _OURS,
        "cache",
        "a document is read behind another beginning",
        "engine.prompts",
        loop_pairs.BlocksByThemselves,
    ),
    (
        "equal-prompts-once",
        22,
        _OURS,
        "batching",
        "the same prompt gives the same text in a batch",
        "engine.rows",
        OneAnswerForEqual,
    ),
)
ENGINE_BUGS: tuple[Bug, ...] = (
    *(
        replace(bug, caught_by=_SEEN[bug.name])
        for bug in (*RULE_BUGS, *LOOP_BUGS, *TREE_LOOP_BUGS)
        if bug.name in _SEEN
    ),
    *(Bug(*kind) for kind in _KINDS),
)
