"""Where a request's coins come from: its seed, or fresh ones of its own."""

from collections.abc import Iterator
from itertools import combinations

import torch

from ...stats.sequential import TwoSample
from ..client import FLIGHT
from ..dialect import Answer, Ask
from ..server_pair import ServerPair
from ..session import Session
from ..verdict import Verdict
from .http_asks import asks, so_far
from .http_distribution import LENGTH, compared_together

_SEEDS = 8
_ALIKE = (0, 1, 257, 65793, 2**30, 2**30 + 1)  # 65793 = 2^16 + 2^8 + 1


@asks("http.seeds")
def http_seeds(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Does a seed give the same text again, and another seed another text?

    Each of 14 seeds three times, one request at a time; with others in flight, http.concurrency
    asks. Seed 0 is a seed, and some are alike in their low 8 or 16 bits, or in the 24 that float32
    keeps. A server that takes the parameter and ignores it fails, unless the baseline ignores it
    too.
    """
    if not server_pair.takes_seeds or (
        (server_pair.declared or server_pair.baseline) and not server_pair.offers("seed")
    ):
        yield Verdict(
            "UNSUPPORTED",
            "none",
            (
                "the server takes no seeds"
                if not server_pair.baseline
                else "the servers take no seeds, or the baseline ignores them"
            ),
        )
        return
    # by seed: the server's text and the trusted one's, a prompt each
    tried, written = 0, dict[int, list[tuple[str, str]]]()
    for part, prompt in enumerate(prompts := server_pair.prompts[:2], 1):
        asked = [
            *server_pair.seeded(Ask(prompt, 12), _SEEDS, "seeds"),
            *(Ask(prompt, 12, seed=seed) for seed in _ALIKE),
        ]
        for ask, right in zip(asked, server_pair.trusted.ask_all(asked)):
            first, *again = [server_pair.server.ask(ask).text for _ in range(3)]
            tried += 3
            if (other := next((text for text in again if text != first), None)) is not None:
                yield Verdict(
                    "FAIL",
                    what=f"the same seed gives {first!r} and then {other!r}",
                    case=str(ask),
                    n=tried,
                    cause=(
                        "the request's seed is ignored, or its stream is shared with other requests"
                    ),
                )
                return
            written.setdefault(ask.seed or 0, []).append((first, right.text))
        yield so_far(part, len(prompts) + 1, f"{tried} texts", tried)
    for a, b in combinations(written, 2):
        ours_a, theirs_a = zip(*written[a], strict=True)
        ours_b, theirs_b = zip(*written[b], strict=True)
        if ours_a == ours_b and theirs_a != theirs_b:
            yield Verdict(
                "FAIL",
                what=f"the seeds {a} and {b} give the same texts {[*ours_a]!r}",
                case=f"prompts {prompts}",
                n=tried,
                cause="one seed for all requests, or seeds are cut to fewer bits",
            )
            return
    yield Verdict("PASS", what=f"{tried} texts of {len(written)} seeds", n=tried)


@asks("http.unseeded", offers=("sampling",), statistical=True)
def http_unseeded(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do equal requests without a seed, in flight together, get texts of their own?

    Pairs sent together are as often equal as pairs that have nothing in common: with two different
    seeds, from the baseline where there is one. A dependence that makes pairs neither more nor less
    often equal is not seen.
    """
    test = TwoSample(2, session.alpha(), 0.05)
    ask = Ask(server_pair.prompts[0], 3)
    while test.finding().mde > session.goal:
        one = server_pair.server.ask_all([ask] * FLIGHT * 4)
        two = server_pair.trusted.ask_all(server_pair.seeded(ask, FLIGHT * 4, "unseeded", test.n))
        test.update(_equal(one), _equal(two))
        finding = test.finding()
        shares = (test.counts[:, 1] / test.n).tolist()
        what = (
            f"{shares[0]:.1%} of {test.n:,} pairs sent together are equal, {shares[1]:.1%} of pairs"
            " that share nothing"
        )
        yield Verdict(
            "FAIL" if test.rejected else "PASS",
            "two-sample e-process",
            what,
            f"{ask}, without a seed",
            test.n,
            test.alpha,
            finding.mde,
            finding.tv,
            finding.interval,
            cause="unseeded requests share one stream" if test.rejected else "",
        )
        if test.rejected:
            return


def _equal(answers: list[Answer]) -> torch.Tensor:
    """How many neighbours differ and how many are equal: [2]."""
    texts = [answer.text for answer in answers]
    return torch.tensor([int(a == b) for a, b in zip(texts[::2], texts[1::2])]).bincount(
        minlength=2
    )


@asks(
    "http.concurrent-law", offers=("sampling",), baseline=True, distribution=True, statistical=True
)
def http_concurrent_distribution(server_pair: ServerPair, session: Session) -> Iterator[Verdict]:
    """Do sampled texts follow the baseline's distribution when different requests share the batch?

    As http.law, without seeds, with prompts, temperatures and lengths mixed in every batch and
    greedy requests among them.
    """
    cases = {
        f"prompt {i}, mixed": Ask(prompt, LENGTH, t)
        for i, (prompt, t) in enumerate(zip(server_pair.prompts, (1.0, 0.7)), 1)
    }
    noise = [
        Ask(server_pair.prompts[-1], 7, 0.0),
        Ask(server_pair.prompts[-2 % len(server_pair.prompts)], 3, 1.6),
    ]
    yield from compared_together(server_pair, session, cases, noise)
