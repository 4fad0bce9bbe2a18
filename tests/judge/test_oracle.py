"""The oracle itself: what the loop is compared with must not share its mistakes."""

import itertools
import math
from collections.abc import Hashable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from specref.chance import Streams
from specref.data import SamplingParams, Verdict
from specref.exact.enumerate import Forking, distributions
from specref.judge import oracle
from specref.judge.exact.loop_distribution import DISTRIBUTION_PROMPTS, distribution_models
from specref.probs import probs
from torch import Tensor

P, Q = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
TWO = SamplingParams(max_new_tokens=2)


class Fixed:
    """A decoder whose next token has a distribution that depends on the last one alone: token x
    shifts it by x places, or not.
    """

    def __init__(self, distribution: tuple[float, ...], context: int = 40, shifts: bool = False):
        self.config = SimpleNamespace(vocab_size=len(distribution), max_position_embeddings=context)
        row = torch.tensor(distribution, dtype=torch.float64).log()
        self.table = torch.stack([row.roll(x * shifts) for x in range(len(distribution))])

    def __call__(self, tokens: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[tokens])


def texts(
    distribution: tuple[float, ...], prompt: list[int], params: SamplingParams, context: int = 40
) -> oracle.Texts:
    return oracle.texts(Fixed(distribution, context), prompt, params)  # type: ignore[arg-type]


def test_texts_that_a_stop_token_may_end() -> None:
    assert texts(P, [0], replace(TWO, stop_ids=(2,))) == pytest.approx(
        {
            ((2,), "stop"): 0.2,
            ((0, 2), "stop"): 0.1,
            ((1, 2), "stop"): 0.06,
            ((0, 0), "length"): 0.25,
            ((0, 1), "length"): 0.15,
            ((1, 0), "length"): 0.15,
            ((1, 1), "length"): 0.09,
        }
    )


def test_texts_that_one_of_two_sequences_may_end() -> None:
    """The last tokens have to be the sequence, in order."""
    fair = replace(TWO, max_new_tokens=3, stop_sequences=((0, 1), (1, 1)))
    assert texts((0.5, 0.5), [1], fair) == {
        ((0, 1), "stop"): 0.25,
        ((1, 1), "stop"): 0.25,
        ((0, 0, 1), "stop"): 0.125,
        ((1, 0, 1), "stop"): 0.125,
        ((0, 0, 0), "length"): 0.125,
        ((1, 0, 0), "length"): 0.125,
    }


def test_nothing_ends_a_text_before_min_tokens_and_they_themselves_may() -> None:
    """Of 2 tokens at least, the second may be the sequence that ends it, and the first may not."""
    fair = replace(TWO, max_new_tokens=3, min_tokens=2, stop_sequences=((1,),))
    assert texts((0.5, 0.5), [0], fair) == {
        ((0, 1), "stop"): 0.25,
        ((1, 1), "stop"): 0.25,
        ((0, 0, 1), "stop"): 0.125,
        ((1, 0, 1), "stop"): 0.125,
        ((0, 0, 0), "length"): 0.125,
        ((1, 0, 0), "length"): 0.125,
    }


def test_the_end_of_the_context_ends_a_text() -> None:
    for context, length in ((3, 1), (4, 2), (40, 3)):
        distribution = texts((0.5, 0.5), [0, 1], replace(TWO, max_new_tokens=3), context)
        assert distribution == {
            (text, "length"): 0.5**length for text in itertools.product((0, 1), repeat=length)
        }


def test_what_has_no_probability_is_in_no_text() -> None:
    assert texts((0.5, 0.0, 0.5), [0], TWO) == {
        (text, "length"): 0.25 for text in itertools.product((0, 2), repeat=2)
    }
    assert oracle.greedy_text(Fixed(P), [0], replace(TWO, temperature=0)) == ((0, 0), "length")  # type: ignore[arg-type]


def test_ragged_texts_have_the_distributions_that_they_have_alone() -> None:
    """One forward over padded texts, each with its own parameters and its own prompt's length."""
    target, _ = distribution_models()
    rows = [[1], [0, 2, 1, 1], [2, 2], [2, 0, 1]]
    params = [
        SamplingParams(),
        replace(TWO, temperature=0.5),
        replace(TWO, presence_penalty=2.0),
        SamplingParams(top_k=2),
    ]
    together = oracle.distribution_after(target, rows, [1, 1, 1, 2], params)
    for row, s, distribution in zip(rows, params, together):
        logits = target(torch.tensor([row])).logits[:, -1:]
        if s.presence_penalty:
            logits[..., row[1:]] -= 2.0
        assert torch.allclose(
            distribution, probs(logits, [replace(s, presence_penalty=0.0)])[0, 0], atol=1e-12
        )


def test_a_toy_decoder_is_what_its_arguments_say() -> None:
    plain = oracle.model(50, 7)
    logits = plain(torch.tensor([[3, 1, 4]])).logits
    assert torch.equal(oracle.model(50, 7, 1.0, 0.0)(torch.tensor([[3, 1, 4]])).logits, logits)
    assert torch.allclose(
        oracle.model(50, 7, peak=-3.0)(torch.tensor([[3, 1, 4]])).logits, -3 * logits
    )
    assert not torch.allclose(
        oracle.model(50, 8)(torch.tensor([[3, 1, 4]])).logits, logits, atol=0.1
    )
    moved = oracle.model(50, 7, noise=0.25).head.weight - plain.head.weight  # type: ignore[union-attr]
    assert float(moved.std()) == pytest.approx(0.25, rel=0.1)
    assert logits.dtype == torch.float64
    assert not plain.training
    assert not any(weight.requires_grad for weight in plain.parameters())


def test_a_toy_decoder_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    oracle.model(4, 991)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_toy_decoder_has_what_a_cache_can_mix_up() -> None:
    """Two layers, and two heads that share their keys; heads fill the width, as in Llama. It
    listens to its context: between texts that end alike the next token's distribution differs by a
    fifth at least."""
    target = oracle.model(3, 73)
    config = target.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads) == (
        2,
        2,
        1,
    )
    assert config.num_attention_heads * config.head_dim == config.hidden_size
    rows = [(*start, 2) for start in itertools.product(range(3), repeat=2)]
    distribution = oracle.distribution_after(target, rows, [1] * 9, [SamplingParams()] * 9)
    assert max(float((a - b).abs().sum()) / 2 for a in distribution for b in distribution) > 0.2


def speculated(
    prompts: list[list[int]],
    params: list[SamplingParams],
    gamma: int,
    context: int = 40,
    shifts: bool = False,
) -> list[dict[tuple[Any, ...], float]]:
    """Exact distributions, all prompts as rows of one batch."""
    p, q = Fixed(P, context, shifts), Fixed(Q, context, shifts)

    def program(chance: Forking, root: Tensor) -> list[Hashable]:
        index = root.tolist()
        done = oracle.speculated_rows(
            p,  # type: ignore[arg-type]
            q,  # type: ignore[arg-type]
            "rejection",
            [prompts[i] for i in index],
            [params[i] for i in index],
            gamma,
            chance,
        )
        return [oracle.outcome(completion) for completion in done]

    return cast(list[dict[tuple[Any, ...], float]], distributions(program, len(prompts)))


def test_two_tokens_by_one_draft() -> None:
    """A draft x is kept with probability min(p, q)(x), .7 in all, and one more token follows; what
    replaces it is token 0, the only one that p likes better, and the second token then costs a step
    without a draft. The counts are target steps, drafted, accepted."""
    kept, expected = (0.2, 0.3, 0.2), {}
    for x, y in itertools.product(range(3), repeat=2):
        expected[(x, y), "length", 1, 1, 1] = kept[x] * P[y]
        if x == 0:
            expected[(x, y), "length", 2, 1, 0] = 0.3 * P[y]
    assert speculated([[0]], [TWO], 1)[0] == pytest.approx(expected)
    # no more is drafted than can be used
    assert speculated([[0]], [TWO], 4)[0] == pytest.approx(expected)
    assert speculated([[0]], [replace(TWO, max_new_tokens=5)], 4, 3)[0] == pytest.approx(expected)


def test_a_stop_in_the_middle_of_what_is_accepted() -> None:
    """The text ends with the draft token; it counts as accepted, and what came behind it was never
    said.
    """
    expected: dict[Hashable, float] = {((2,), "stop", 1, 1, 1): 0.2}
    for x, y in itertools.product((0, 1), range(3)):
        expected[(x, y), "stop" if y == 2 else "length", 1, 1, 1] = (0.2, 0.3)[x] * P[y]
        if x == 0:
            expected[(x, y), "stop" if y == 2 else "length", 2, 1, 0] = 0.3 * P[y]
    assert speculated([[0]], [replace(TWO, stop_ids=(2,))], 1)[0] == pytest.approx(expected)


def test_rows_of_many_kinds_keep_their_distributions_in_one_batch() -> None:
    """Lengths, stops, the end of the context and penalties of their own; so drafts of several
    lengths in one cycle.
    """
    three = SamplingParams(max_new_tokens=3)
    prompts = [[0], [1, 2], [0, 1], [2, 2, 0, 1], [1], [0, 0]]
    params = [
        three,
        SamplingParams(max_new_tokens=1),
        replace(three, stop_ids=(2,)),
        three,
        replace(three, min_tokens=2, stop_sequences=((1,),)),
        replace(three, repetition_penalty=1.5, frequency_penalty=0.5),
    ]
    for prompt, s, distribution in zip(prompts, params, speculated(prompts, params, 2, 6, True)):
        alone = oracle.texts(Fixed(P, 6, True), prompt, s)  # type: ignore[arg-type]
        found: dict[Hashable, float] = {}
        for (text, reason, *_), mass in distribution.items():
            found[text, reason] = found.get((text, reason), 0.0) + mass
        assert found == pytest.approx(alone, abs=1e-12)


def test_a_rule_that_answers_for_fewer_rows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(Verdict):
        def emitted(self, draft: object) -> list[list[int]]:
            return [[0]]

    monkeypatch.setitem(
        oracle.RULES, "short", lambda draft, p, chance: Short(*[torch.zeros(1)] * 3)
    )
    with pytest.raises(ValueError, match="shorter"):
        oracle.speculated_rows(
            *distribution_models(), "short", DISTRIBUTION_PROMPTS, [TWO] * 2, 1, Streams([1, 2])
        )


def test_texts_are_products_of_softmax() -> None:
    target, _ = distribution_models()
    distribution = oracle.texts(target, DISTRIBUTION_PROMPTS[0], SamplingParams(max_new_tokens=3))
    assert len(distribution) == 27
    for text in itertools.product(range(3), repeat=3):
        logp = target(torch.tensor([[*DISTRIBUTION_PROMPTS[0], *text]])).logits[0].log_softmax(-1)
        start = len(DISTRIBUTION_PROMPTS[0]) - 1
        expected = sum(float(logp[start + i, token]) for i, token in enumerate(text))
        assert distribution[text, "length"] == pytest.approx(math.exp(expected), abs=1e-12)


def test_texts_end_at_stops_and_not_before_min_tokens() -> None:
    target, _ = distribution_models()
    distribution = oracle.texts(
        target,
        DISTRIBUTION_PROMPTS[1],
        SamplingParams(max_new_tokens=3, stop_ids=(2,), min_tokens=2),
    )
    assert sum(distribution.values()) == pytest.approx(1, abs=1e-12)
    assert {len(tokens) for tokens, reason in distribution if reason == "stop"} == {3}
    assert all(2 not in tokens[:2] for tokens, _ in distribution)


def test_speculating_without_a_cache_keeps_count() -> None:
    target, draft = distribution_models()
    done = oracle.speculated_rows(
        target,
        target,
        "rejection",
        DISTRIBUTION_PROMPTS,
        [SamplingParams(max_new_tokens=7)] * 2,
        2,
        Streams([1, 2]),
    )
    # 3 + 3 + 1 tokens
    assert [(d.target_steps, d.drafted, d.accepted) for d in done] == [(3, 4, 4)] * 2
    done = oracle.speculated_rows(
        target,
        draft,
        "rejection",
        DISTRIBUTION_PROMPTS,
        [SamplingParams(max_new_tokens=7)] * 2,
        2,
        Streams([1, 2]),
    )
    assert all(d.target_steps + d.accepted == 7 == len(d.tokens) for d in done)


def test_expected_distributions_of_text_agree() -> None:
    target, draft = distribution_models()
    distribution, _ = oracle.speculated(target, draft, "rejection", DISTRIBUTION_PROMPTS, 2, 1)
    alone = oracle.texts(target, DISTRIBUTION_PROMPTS[0], SamplingParams(max_new_tokens=2))
    for key, mass in alone.items():
        told = [
            m
            for outcome, m in distribution.items()
            if isinstance(outcome, tuple) and outcome[:2] == key
        ]
        assert sum(told) == pytest.approx(mass, abs=1e-12)
