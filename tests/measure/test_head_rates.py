"""The top-k accuracy of each head, by counting: each head's guesses beside the text's own bytes.

Protects: which byte a head's guess is held against, at the ends of a text too, and which texts the
intervals come from.
"""

import pytest
import torch
from specref.draft.medusa import MedusaHeads
from specref.measure.acceptance import heads as module
from specref.measure.acceptance.heads import top_accuracy
from specref.measure.acceptance.rates import rate_by_text
from specref.train.corpus import held_out_rows

from tests.stub import tiny

TARGET = tiny(seed=5, vocabulary=256, layers=1, context=32, dtype=torch.float32)
TEXTS = {"b": b"abracadabra" * 9, "a": bytes(range(40, 90)), "c": b"mississippi river " * 4}


def medusa(target=TARGET) -> MedusaHeads:
    heads = MedusaHeads.of(target, 2).requires_grad_(False)
    heads.block.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    return heads


def counted(heads: MedusaHeads, context: int, rows: int, ranks: int) -> list[tuple[list, list]]:
    """By head: hits [text][rank], and guesses that were judged [text]."""
    result = []
    for head in range(2):
        hits, judged = [], []
        for name in sorted(TEXTS):
            found, count = [0] * ranks, 0
            for row in held_out_rows({name: TEXTS[name]}, context, rows):
                logits = heads(TARGET.states(row[None, :-1]))[0]  # [C,K,V]
                # the state behind token i gives token i + 1; this head the one `head` further
                for i in range(len(row) - 2 - head):
                    order = logits[i, head].argsort(descending=True).tolist()
                    place = order.index(int(row[i + 2 + head]))
                    count += 1
                    found = [n + (place <= rank) for rank, n in enumerate(found)]
            hits.append(found)
            judged.append(count)
        result.append((hits, judged))
    return result


@torch.inference_mode()
def test_accuracy_is_counted_guess_by_guess() -> None:
    heads = medusa()
    accuracy = top_accuracy(heads, TARGET, TEXTS, context=12, rows=3, ranks=30)
    for said, (hits, judged) in zip(accuracy, counted(heads, 12, 3, 30), strict=True):
        intervals = said["intervals"]
        assert isinstance(intervals, list)
        assert said["judged"] == sum(judged)
        assert said["interval"] == intervals[0]
        for rank in range(30):
            rate = rate_by_text([one[rank] for one in hits], judged)
            assert said[f"top{rank + 1}"] == pytest.approx(rate.estimate)
            assert intervals[rank] == pytest.approx([rate.low, rate.high])
    assert [said["judged"] for said in accuracy] == [3 * 3 * 11, 3 * 3 * 10]
    some = accuracy[0]["top30"]
    assert isinstance(some, float)
    assert 0 < some < 1


def test_top_1_to_5_over_eight_rows_of_256_bytes_a_text_unless_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def rows(texts, context, count):
        asked.append((list(texts), context, count))
        return held_out_rows(texts, 12, 2)

    monkeypatch.setattr(module, "held_out_rows", rows)
    first = top_accuracy(medusa(), TARGET, TEXTS)[0]
    assert asked == [(["a"], 256, 8), (["b"], 256, 8), (["c"], 256, 8)]
    tops = [f"top{rank}" for rank in range(1, 6)]
    assert first.keys() == {*tops, "interval", "intervals", "judged"}
