"""The toy models learn from the standard library's sources, never from the held-out files, and are
measured on those.

Protects: the held-out files, the bytes between documents, and every figure that is quoted for a
trained model.
"""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from specref.data import SpecrefError
from specref.train import distillation as distil
from specref.train import loop as train
from specref.train.corpus import HELD_OUT, corpus, held_out, held_out_rows, standard_library

from tests.stub import tiny


@pytest.fixture(scope="module")
def sources():
    return corpus()


def test_the_standard_library_has_every_held_out_file_and_none_is_learned(sources):
    text, held = sources
    assert set(held) == set(HELD_OUT)
    assert list(held_out().items()) == list(held.items())
    learned = bytes(text.tolist())
    for name, content in held.items():
        assert content == (standard_library() / name).read_bytes()
        assert content not in learned, name
        assert content[len(content) // 2 :][:400] not in learned, name


def test_documents_are_set_apart_by_the_end_byte(tmp_path):
    for number in range(41):
        (tmp_path / f"{number:02}.txt").write_bytes(f"text {number}\0!".encode())
    (tmp_path / "picture.png").write_bytes(b"no text")
    text, held = corpus(tmp_path)
    assert set(held) == {"00.txt", "20.txt", "40.txt"}, "every twentieth"
    assert bytes(text.tolist()) == b"".join(b"\0text %d!" % i for i in range(41) if i % 20)


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(SpecrefError, match="at least two are needed"):
        corpus(tmp_path)


TEXT = bytes(torch.randint(1, 256, (900,), generator=torch.Generator().manual_seed(0)).tolist())
TEXTS = {str(n): TEXT[n : 2 * n] for n in (1, 15, 16, 17, 100, 400)}


def test_held_out_rows_are_pieces_of_the_texts_spread_over_all_of_them():
    rows = held_out_rows(TEXTS, 16, 1000)
    whole = {name: bytes([0]) + text for name, text in TEXTS.items()}
    assert len(rows) == sum((len(text) - 1) // 16 for text in whole.values())
    for row in rows:
        assert any(bytes(row.tolist()) in text for text in whole.values())
    few = held_out_rows(TEXTS, 16, 5)
    assert len(few) == 5
    assert any(bytes(row.tolist()) in whole["400"] for row in few)
    assert any(bytes(row.tolist()) in whole["100"] for row in few)


def test_a_uniform_model_costs_eight_bits_a_byte():
    def uniform(rows):
        return SimpleNamespace(logits=torch.zeros(*rows.shape, 256))

    cost = train.bits_per_byte(uniform, TEXTS, context=16)  # type: ignore[arg-type]
    assert cost == pytest.approx(8, abs=1e-6)


def test_bits_per_byte_is_the_mean_cost_of_the_later_half_of_each_row():
    distribution = torch.randn(256, generator=torch.Generator().manual_seed(1)).log_softmax(0)

    def unigram(rows):
        assert rows.shape[1] == 16
        # a shift of all logits changes nothing
        return SimpleNamespace(logits=distribution.expand(*rows.shape, 256) + 3.0)

    predicted = held_out_rows(TEXTS, 16, 1000)[:, 9:]
    cost = train.bits_per_byte(unigram, TEXTS, context=16)  # type: ignore[arg-type]
    assert cost == pytest.approx(float(-distribution[predicted].mean()) / math.log(2))


def test_a_model_that_knows_the_next_byte_costs_nothing():
    rows = held_out_rows(TEXTS, 16, 1000)

    def oracle(seen):
        following = torch.stack([rows[(rows[:, :-1] == row).all(1)][0, 1:] for row in seen])
        return SimpleNamespace(logits=100.0 * F.one_hot(following, 256))

    cost = train.bits_per_byte(oracle, TEXTS, context=16)  # type: ignore[arg-type]
    assert cost == pytest.approx(0, abs=1e-6)


def test_expected_acceptance_is_the_mean_of_the_smaller_probabilities():
    target, draft = (tiny(seed, vocabulary=256, dtype=torch.float32) for seed in (0, 1))
    rows = held_out_rows(TEXTS, 16, 1000)[:, :-1]
    p, q = (F.softmax(model(rows).logits, -1) for model in (target, draft))
    by_hand = float(torch.minimum(p, q).sum(-1).mean())
    assert distil.held_out_acceptance(draft, target, TEXTS, 16, rows=1000) == pytest.approx(
        by_hand, rel=1e-5
    )
    assert distil.held_out_acceptance(target, target, TEXTS, 16) == pytest.approx(1, abs=1e-6)


@torch.inference_mode()
def test_a_targets_own_text_is_what_it_writes_after_true_prompts():
    """With a target that is nearly sure of itself, sampling at temperature 1 is greedy."""
    target = tiny(vocabulary=256, dtype=torch.float32, sharp=300.0)
    text = torch.tensor(list(TEXT), dtype=torch.uint8)
    own = distil.own_text(
        target, text, distil.OwnText(rows=5, prompt=4, context=12, batch=2, seed=3)
    )
    assert own.dtype == torch.uint8
    rows = own.view(5, 13).long()
    assert rows[:, 0].tolist() == [0] * 5
    assert all(bytes(row[1:5].tolist()) in TEXT for row in rows)
    distribution = target(rows[:, 1:-1]).logits.softmax(-1)[:, 3:]
    assert float(distribution.gather(2, rows[:, 5:, None]).mean()) > 0.9
    assert torch.equal(
        own,
        distil.own_text(
            target, text, distil.OwnText(rows=5, prompt=4, context=12, batch=2, seed=3)
        ),
    )
    assert not torch.equal(
        own,
        distil.own_text(
            target, text, distil.OwnText(rows=5, prompt=4, context=12, batch=2, seed=4)
        ),
    )
