"""Planted bugs and controls at HTTP level: servers on loopback, judged beside a server of the plain
target.
"""

from collections.abc import Hashable
from functools import partial
from typing import Any

from . import Bug, Control
from . import http_pairs as pairs
from . import http_parts as parts
from . import http_quirks as quirks
from .toy_server import Service
from .toy_text import LETTERS, Plain, Speculator, ToyCoins, ToyRequest, exact, toy_logits

_BEST = max(range(len(LETTERS)), key=toy_logits("target", (0, 7)).__getitem__)
# Where a bug of the distribution shows: prompt, length, parameters. Its TV is the largest over
# these.
_SHOWN = (
    [ToyRequest((0, 7), 3)]
    + [ToyRequest((0, 7), 2, temperature) for temperature in (0.0, 0.6, 1.5)]
    + [
        ToyRequest((0, 7), 2, top_k=2),
        ToyRequest((0, 7), 2, top_p=0.6),
        ToyRequest((0, 7), 2, bias=((_BEST, -100.0),)),
    ]
)


def _writes(
    text: type[Speculator], dialects: tuple[str, ...] = ("openai",), ids: bool = True
) -> type[Service]:
    """A service whose text is written by `text`."""
    return type(text.__name__, (Service,), {"text": text, "dialects": dialects, "ids": ids})


def http_distance(subject: Any) -> float | None:
    """The exact TV between the first tokens' distribution and the target's, the largest over
    _SHOWN. None where there is no such distance: the service writes as it should, or it writes more
    tokens than it was asked for.
    """

    def distribution(text: Speculator, wish: ToyRequest) -> dict[Hashable, float]:
        return exact(partial(_written, text, wish))

    if subject.text is Speculator or subject.text.room is not Speculator.room:
        return None
    tv = 0.0
    for wish in _SHOWN:
        ours, right = distribution(subject.text(), wish), distribution(Plain(), wish)
        tv = max(
            tv,
            sum(abs(ours.get(key, 0) - right.get(key, 0)) for key in ours.keys() | right.keys())
            / 2,
        )
    return tv if tv > 1e-12 else 0.0  # rounding


def _written(text: Speculator, wish: ToyRequest, coins: ToyCoins) -> Hashable:
    return tuple(text.write(wish, coins).tokens)


def _bug(
    name: str,
    number: int,
    source: str,
    kind: str,
    symptom: str,
    caught_by: str,
    part: type[Speculator] | type[Service],
) -> Bug:
    subject = part if issubclass(part, Service) else _writes(part)
    return Bug(f"http-{name}", number, source, kind, symptom, f"http.{caught_by}", subject)


_ALONE = type("Alone", (Service,), {"text": parts.HttpArgmaxDraft})
HTTP_BUGS = (
    _bug(
        "residual-from-p",
        2,
        "teaching repositories",
        "residual",
        "after a rejection draws from p",
        "scored-law",
        parts.HttpFromTarget,
    ),
    _bug(
        "other-q",
        3,
        "transformers #47932",
        "verify",
        "reports q before the draft's own filter",
        "law",
        parts.HttpOtherQ,
    ),
    _bug(
        "argmax-draft",
        4,
        "transformers #32867",
        "verify",
        "proposes the argmax and reports the softmax",
        "law",
        parts.HttpArgmaxDraft,
    ),
    _bug(
        "short-coin",
        8,
        "vllm-ascend #13730",
        "verify",
        "coins that stay below .9 accept too often",
        "law",
        parts.HttpShortCoin,
    ),
    _bug(
        "bonus-from-q",
        49,
        "Spec-Bench",
        "bonus",
        "the bonus token is the draft's",
        "law",
        parts.HttpBonusFromDraft,
    ),
    _bug(
        "ratio-when-greedy",
        5,
        "jaymody #9",
        "verify",
        "temperature 0 draws its drafts",
        "greedy",
        parts.HttpRatioWhenGreedy,
    ),
    _bug(
        "row-before",
        10,
        "transformers #28166",
        "verify",
        "draft tokens are judged by the row before",
        "greedy",
        parts.HttpRowBefore,
    ),
    _bug(
        "rows-at-one",
        6,
        "lattice #388",
        "params",
        "draft rows are judged at temperature 1",
        "temperature",
        parts.HttpRowAtOne,
    ),
    _bug(
        "rows-unfiltered",
        27,
        "vLLM #18902",
        "params",
        "draft rows know no top-k and top-p",
        "parameters",
        parts.HttpRowUnfiltered,
    ),
    _bug(
        "rows-unbiased",
        27,
        "vLLM #42744",
        "params",
        "draft rows know no bias",
        "parameters",
        parts.HttpRowUnbiased,
    ),
    _bug(
        "shared-stream",
        22,
        "TensorRT-LLM #19487",
        "RNG",
        "unseeded requests share a stream by fours",
        "unseeded",
        parts.HttpSharedStream,
    ),
    _bug(
        "same-coins",
        22,
        "TensorRT-LLM #19487",
        "RNG",
        "no seed means seed 0",
        "unseeded",
        parts.HttpSameCoins,
    ),
    _bug(
        "seed-ignored",
        23,
        "vLLM #6038",
        "RNG",
        "a seed changes nothing",
        "seeds",
        parts.HttpSeedIgnored,
    ),
    _bug(
        "seed-cut", 23, "constructed", "RNG", "seeds are cut to 8 bits", "seeds", quirks.HttpSeedCut
    ),
    _bug(
        "seed-0-is-none",
        23,
        "constructed",
        "RNG",
        "seed 0 brings nothing back",
        "seeds",
        quirks.HttpSeedZero,
    ),
    _bug("one-seed", 23, "vLLM #6038", "RNG", "every seed is the same", "seeds", parts.HttpOneSeed),
    _bug(
        "seed-by-place",
        23,
        "SGLang #30822",
        "RNG",
        "a seed means another stream in a batch",
        "concurrency",
        parts.HttpSeedByPlace,
    ),
    _bug(
        "mix-up",
        44,
        "vLLM #49620",
        "batching",
        "a request gets another's text",
        "concurrency",
        parts.HttpMixUp,
    ),
    _bug(
        "first-row-for-all",
        24,
        "vLLM #9441",
        "batching",
        "one temperature for a batch",
        "concurrency",
        parts.HttpFirstRowForAll,
    ),
    _bug(
        "bans-for-all",
        24,
        "constructed",
        "batching",
        "a token that one request bans is banned for others",
        "concurrency",
        parts.HttpBansForAll,
    ),
    _bug(
        "hot-company",
        24,
        "vLLM #10863",
        "batching",
        "unseeded rows take each other's temperature",
        "concurrent-law",
        parts.HttpHotCompany,
    ),
    _bug(
        "argmax-draft-alone",
        4,
        "transformers #33534",
        "verify",
        "as argmax-draft, and there is no baseline",
        "own-law",
        _ALONE,
    ),
    _bug(
        "overloaded",
        44,
        "vLLM #48245",
        "batching",
        "HTTP 500 with 9 requests in flight",
        "concurrency",
        parts.HttpOverloaded,
    ),
    _bug(
        "keeps-slots",
        44,
        "vLLM #48245",
        "batching",
        "slots of clients that went away stay taken",
        "disconnect",
        parts.HttpKeepsSlots,
    ),
    _bug(
        "stop-at-block-end",
        40,
        "transformers #47912",
        "stop",
        "only a block's end is looked at",
        "stop",
        parts.HttpStopAtBlockEnd,
    ),
    _bug(
        "stop-in-one-block",
        40,
        "koboldcpp #1276",
        "stop",
        "stops across blocks are not seen",
        "stop",
        parts.HttpStopInOneBlock,
    ),
    _bug(
        "no-stop", 40, "koboldcpp #1276", "stop", "stops change nothing", "stop", parts.HttpNoStop
    ),
    _bug(
        "stop-says-length",
        40,
        "transformers #47912",
        "stop",
        "the finish reason of a stop is length",
        "stop",
        parts.HttpSaysLength,
    ),
    _bug(
        "whole-blocks",
        42,
        "ik_llama #2358",
        "length",
        "the last block is not cut",
        "max-tokens",
        parts.HttpWholeBlocks,
    ),
    _bug(
        "one-an-event",
        40,
        "koboldcpp #1276",
        "stop",
        "an event of a stream has one token of several",
        "stream",
        parts.HttpOneAnEvent,
    ),
    _bug(
        "counts-blocks",
        45,
        "vLLM #2658",
        "metrics",
        "usage counts steps",
        "counts",
        parts.HttpCountsBlocks,
    ),
    _bug(
        "counts-bonus",
        45,
        "SGLang #13212",
        "metrics",
        "the bonus token counts as accepted",
        "counts",
        parts.HttpCountsBonus,
    ),
    _bug(
        "logprob-zero",
        33,
        "llama.cpp #27972",
        "metrics",
        "every logprob is 0",
        "logprobs",
        parts.HttpNoLogprob,
    ),
    _bug(
        "logprob-before",
        33,
        "vLLM #17876",
        "metrics",
        "logprobs come from the row before",
        "logprobs",
        parts.HttpLogprobBefore,
    ),
    _bug(
        "cut-json",
        44,
        "seen in no engine yet",
        "transport",
        "one answer in 20 is half an object",
        "concurrency",
        parts.HttpCutJson,
    ),
    _bug(
        "hangs-up",
        44,
        "seen in no engine yet",
        "transport",
        "one answer in 20 breaks off",
        "concurrency",
        parts.HttpHangsUp,
    ),
    _bug(
        "sleeps",
        44,
        "seen in no engine yet",
        "transport",
        "one request in 60 is never answered",
        "concurrency",
        parts.HttpSleeps,
    ),
    _bug(
        "stream-keeps-stop",
        40,
        "constructed",
        "stop",
        "streamed, the beginning of a stop stays",
        "stream",
        pairs.HttpStreamKeepsStop,
    ),
    _bug(
        "first-of-stops",
        40,
        "constructed",
        "stop",
        "of several stops one is seen",
        "stop",
        pairs.HttpFirstOfStops,
    ),
    _bug(
        "counts-past-stop",
        45,
        "constructed",
        "metrics",
        "usage counts what came behind a stop",
        "counts",
        pairs.HttpCountsPastStop,
    ),
    _bug(
        "one-id-an-event",
        45,
        "constructed",
        "metrics",
        "an event of a stream has one id of several",
        "stream",
        pairs.HttpOneIdAnEvent,
    ),
    _bug(
        "stream-without-reason",
        42,
        "constructed",
        "length",
        "a stream does not say why it ends",
        "stream",
        pairs.HttpStreamWithoutReason,
    ),
    _bug(
        "logprobs-of-draft",
        33,
        "constructed",
        "metrics",
        "logprobs of sampled texts are the draft's",
        "logprobs",
        pairs.HttpLogprobsOfDraft,
    ),
    _bug(
        "top-k-beside-top-p",
        27,
        "constructed",
        "params",
        "top-p turns top-k off",
        "parameters",
        pairs.HttpTopKBesideTopP,
    ),
    _bug(
        "seed-through-float",
        23,
        "constructed",
        "RNG",
        "large seeds bring back each other's texts",
        "seeds",
        pairs.HttpSeedThroughFloat,
    ),
    _bug(
        "bad-request-500",
        48,
        "SGLang #24051",
        "API",
        "a bad request is called the server's fault",
        "errors",
        parts.HttpServerError,
    ),
)
_LLAMA = _writes(Speculator, ("llama",))
_TEXT_ONLY = _writes(Speculator, ids=False)
_OWN_LETTERS = type("TargetOwnLetters", (quirks.HttpOwnLettersOnly,), {"text": Plain})
BASELINES: dict[type[Service], type[Service] | None] = {  # where it is not Target
    _ALONE: None,
    quirks.HttpOwnLettersOnly: _OWN_LETTERS,
    _LLAMA: _writes(Plain, ("llama",)),
    _TEXT_ONLY: _writes(Plain, ids=False),
}
HTTP_CONTROLS = (
    Control("http right", "speculative sampling as published", Service),
    Control(
        "http sampler match",
        "draws from p and accepts if the draft is that",
        _writes(parts.HttpMatching),
    ),
    Control(
        "http lookup", "drafts proposed with certainty: q is one-hot", _writes(parts.HttpLookup)
    ),
    Control("http rounding", "float noise of 1e-6 between rows", _writes(parts.HttpRounded)),
    Control("http llama.cpp", "the other dialect", _LLAMA),
    Control("http text only", "no token ids: compared by characters", _TEXT_ONLY),
    Control(
        "http ids in logprobs", "token ids come back among the logprobs alone", parts.HttpOldIds
    ),
    Control(
        "http closing", "one connection a request", type("Closing", (Service,), {"keeps": False})
    ),
    Control("http slow", "every answer takes 2 ms", type("Slow", (Service,), {"pause": 0.002})),
    Control(
        "http without logprobs", "what is not reported is not wrong", quirks.HttpWithoutLogprobs
    ),
    Control(
        "http own letters", "stops outside its vocabulary are refused", quirks.HttpOwnLettersOnly
    ),
    Control("http metered", "drafts are counted at /metrics alone", parts.HttpMetered),
)
