"""Long texts sampled from the bundled models have the target's distribution, each token given those
before it.

Protects: what an exact distribution of a small case cannot reach: the real weights, float32, 256
tokens, dozens of cycles.

Every token is turned into one number: given the text before it, order the vocabulary by p/q, add up
the target's own distribution p up to the token, and take a uniform point of the token's own share.
If the token has the distribution p, that number is uniform on [0,1), whatever the text before it,
so the numbers of all tokens of all texts are independent and uniform (Rosenblatt 1952).
The order makes mistakes add up: a distribution that leans to the draft puts too many numbers near
0. p comes from forwards over the whole text, without cache, draft or rule. The numbers go into
  CELLS equal cells, whose distribution an e-process
tests: it may stop at any moment, the seeds are fixed, and a failure is never run again. ALARM is
the false-alarm rate of the whole file; the summary of the run tells each test's smallest detectable
TV.
"""

from collections.abc import Callable

import pytest
import torch
from specref.cli.arguments import BUNDLED
from specref.data import SamplingParams, Verdict
from specref.decode import generate
from specref.draft.base import Drafter
from specref.draft.model import ModelDrafter
from specref.draft.ngram import NGramDrafter
from specref.model.checkpoint import load
from specref.probs import history, probs
from specref.stats.finding import bonferroni
from specref.stats.sequential import OneSample
from specref.train.corpus import HELD_OUT, standard_library
from specref.verify import RULES, Rule

ALARM, CELLS, ROWS, LENGTH, GAMMA = 1e-6, 8, 40, 40, 4
PENALTIES = {
    "temperature": 0.8,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.2,
    "frequency_penalty": 0.05,
}
CASES = {  # rule, drafter, parameters, tokens
    "rejection": ("rejection", "model", {}, 6400),
    "block verification": ("block", "model", {}, 6400),
    "n-gram": ("rejection", "n-gram", {}, 3200),
    "temperature and penalties": ("block", "model", PENALTIES, 3200),
}
ALPHA = bonferroni(ALARM, list(CASES))


@pytest.fixture(scope="module")
def models():
    return load(BUNDLED / "target"), load(BUNDLED / "draft")


@pytest.fixture(scope="module")
def held_out() -> bytes:
    return b"".join((standard_library() / name).read_bytes() for name in HELD_OUT)


def numbers(
    models, texts: list[list[int]], prompts: list[int], settings: dict, random: torch.Generator
) -> torch.Tensor:
    """[rows * LENGTH]: the uniform number of every output token, 2 where the target's distribution
    has no such token.
    """
    width = max(map(len, texts))
    padded = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    # of the output tokens
    places = torch.tensor(prompts)[:, None] + torch.arange(LENGTH)
    prefixes = [
        text[: end + i] for text, end in zip(texts, prompts, strict=True) for i in range(LENGTH)
    ]
    params = [SamplingParams(**settings)] * len(prefixes)
    past = (
        history(prefixes, [end for end in prompts for _ in range(LENGTH)], 256)
        if settings
        else None
    )
    distributions = []
    for model in models:
        with torch.inference_mode():
            logits = model(padded).logits.gather(1, (places - 1)[..., None].expand(-1, -1, 256))
            distributions.append(probs(logits.flatten(0, 1)[:, None], params, past)[:, 0].double())
    p, q = distributions
    order = (p / q.clamp(min=1e-30)).argsort(dim=-1, stable=True)
    token = padded.gather(1, places).flatten()[:, None]
    below = (p.gather(1, order).cumsum(-1) - p.gather(1, order)).gather(
        1, (order == token).long().argmax(-1, keepdim=True)
    )
    share = p.gather(1, token)
    u = (below + torch.rand(token.shape, generator=random, dtype=torch.float64) * share)[
        :, 0
    ] / p.sum(-1)
    return torch.where(share[:, 0] > 0, u, 2.0)


def sampled(
    models,
    held_out: bytes,
    rule: Rule,
    drafter: Callable[[], Drafter],
    settings: dict,
    alpha: float,
    most: int,
):
    """Write texts after held-out prompts of 4 to 20 bytes until `most` tokens are seen or the
    distribution is rejected.
    """
    distribution = torch.tensor([1 / CELLS] * CELLS + [0.0], dtype=torch.float64)
    # towards the draft's distribution
    lean = torch.tensor([2.0**-cell for cell in range(CELLS)] + [0.0], dtype=torch.float64)
    test, random, seed, drafted, accepted = (
        OneSample(distribution, alpha, [lean / lean.sum()]),
        torch.Generator(),
        0,
        0,
        0,
    )
    random.manual_seed(1)
    while not test.rejected and test.n < most:
        prompts = [
            list(held_out[7919 * (seed + row) % 100_000 :][: 4 + (seed + row) % 17])
            for row in range(ROWS)
        ]
        params = [
            SamplingParams(**settings, seed=seed + row, max_new_tokens=LENGTH)
            for row in range(ROWS)
        ]
        done = generate(models[0], drafter(), rule, prompts, params, gamma=GAMMA)
        texts = [prompt + one.tokens for prompt, one in zip(prompts, done, strict=True)]
        u = numbers(models, texts, [len(prompt) for prompt in prompts], settings, random)
        test.update(torch.bincount((u * CELLS).long().clamp(max=CELLS), minlength=CELLS + 1))
        seed += ROWS
        drafted, accepted = (
            drafted + sum(one.drafted for one in done),
            accepted + sum(one.accepted for one in done),
        )
    assert 0 < accepted < drafted, "nothing was speculated, or nothing rejected"
    return test.finding(seed=0)


@pytest.mark.parametrize("case", CASES)
def test_a_sampled_text_has_the_targets_distribution(case, models, held_out, tell):
    rule, drafter, settings, most = CASES[case]
    make = {"model": lambda: ModelDrafter(models[1]), "n-gram": lambda: NGramDrafter(3, 1)}[drafter]
    finding = sampled(models, held_out, RULES[rule], make, settings, ALPHA[case], most)
    tell(case, finding)
    assert not finding.rejected, str(finding)


def redraw_from_p(draft, p, chance) -> Verdict:
    """The known mistake: after a rejection draw from p instead of from what remains of it."""
    verdict = RULES["rejection"](draft, p, chance)
    return Verdict(
        verdict.path, verdict.accepted, chance.draw(p[torch.arange(len(p)), verdict.accepted])
    )


def believe_the_draft(draft, p, chance) -> Verdict:
    """Accept everything."""
    verdict = RULES["rejection"](draft, p, chance)
    keep = draft.lengths - (draft.lengths > 3).long()
    return Verdict(verdict.path, keep, chance.draw(p[torch.arange(len(p)), keep]))


@pytest.mark.parametrize("rule", [redraw_from_p, believe_the_draft])
def test_a_wrong_rule_is_seen(rule, models, held_out, tell):
    finding = sampled(
        models, held_out, rule, lambda: ModelDrafter(models[1]), {}, ALPHA["rejection"], 8000
    )
    tell(f"planted mistake, {rule.__name__.replace('_', ' ')}", finding)
    assert finding.rejected, str(finding)
