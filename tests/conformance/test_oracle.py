"""The oracle itself: what the loop is compared with must not share its mistakes."""

import itertools
import math

import pytest
import torch

from reference.chance import Streams
from reference.conformance import cases, oracle
from reference.conformance.exact.loop_law import PROMPTS, models
from reference.types import SamplingParams


def test_texts_are_products_of_softmax() -> None:
    target, _ = models()
    law = oracle.texts(target, PROMPTS[0], SamplingParams(max_new_tokens=3))
    assert len(law) == 27
    for text in itertools.product(range(3), repeat=3):
        logp = target(torch.tensor([[*PROMPTS[0], *text]])).logits[0].log_softmax(-1)
        start = len(PROMPTS[0]) - 1
        expected = sum(float(logp[start + i, token]) for i, token in enumerate(text))
        assert law[text, "length"] == pytest.approx(math.exp(expected), abs=1e-12)


def test_texts_end_at_stops_and_not_before_min_tokens() -> None:
    target, _ = models()
    law = oracle.texts(target, PROMPTS[1], SamplingParams(max_new_tokens=3, stop_ids=(2,), min_tokens=2))
    assert sum(law.values()) == pytest.approx(1, abs=1e-12)
    assert {len(tokens) for tokens, reason in law if reason == "stop"} == {3}
    assert all(2 not in tokens[:2] for tokens, _ in law)


def test_speculating_without_a_cache_keeps_count() -> None:
    target, draft = models()
    done = oracle.speculate(target, target, "rejection", PROMPTS, [SamplingParams(max_new_tokens=7)] * 2, 2, Streams([1, 2]))
    assert [(d.target_steps, d.drafted, d.accepted) for d in done] == [(3, 4, 4)] * 2  # 3 + 3 + 1 tokens
    done = oracle.speculate(target, draft, "rejection", PROMPTS, [SamplingParams(max_new_tokens=7)] * 2, 2, Streams([1, 2]))
    assert all(d.target_steps + d.accepted == 7 == len(d.tokens) for d in done)


def test_expected_laws_of_text_agree() -> None:
    target, draft = models()
    (law, _) = oracle.speculated(target, draft, "rejection", PROMPTS, 2, 1)
    alone = oracle.texts(target, PROMPTS[0], SamplingParams(max_new_tokens=2))
    for key, mass in alone.items():
        assert sum(m for outcome, m in law.items() if outcome[:2] == key) == pytest.approx(mass, abs=1e-12)


def test_tables_hold_laws() -> None:
    for tables in (*cases.pairs(), cases.chains(3), cases.chains(2, ragged=True), cases.long_sum()):
        for table in (*tables.p, *tables.q):
            assert torch.allclose(table.sum(-1), torch.ones(()).double(), atol=1e-12)
            assert bool((table >= 0).all())
