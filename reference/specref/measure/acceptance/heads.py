"""How often each Medusa head's guesses are right on held-out text. The texts are the sample that
the intervals come from.
"""

from collections.abc import Mapping

import torch

from ...draft.medusa import MedusaHeads
from ...model.transformer import Transformer
from ...train.corpus import held_out_rows
from .rates import rate_by_text


@torch.inference_mode()
def top_accuracy(
    heads: MedusaHeads,
    target: Transformer,
    texts: Mapping[str, bytes],
    context: int = 256,
    rows: int = 8,
    ranks: int = 5,
) -> list[dict[str, object]]:
    """Top-1 to top-`ranks` accuracy of each head against the text's own next tokens.

    Args:
        rows: rows of `context` bytes a text at most.
    Returns:
        for each head top1 .. top5, `interval` of top1 and `intervals` of all (95 %, by text),
            judged.
    """
    count = len(heads.block)
    right = torch.zeros(len(texts), count, ranks, dtype=torch.int64)
    judged = torch.zeros(len(texts), count, dtype=torch.int64)
    for number, (name, text) in enumerate(sorted(texts.items())):
        part = held_out_rows({name: text}, context, rows)
        guess = heads(target.states(part[:, :-1])).topk(ranks, -1).indices  # [R,C,K,ranks]
        for k in range(count):
            truth = part[:, k + 2 :, None]
            hits = (guess[:, : -k - 1, k] == truth).cumsum(-1)  # [R,C-k-1,ranks]
            right[number, k] = hits.sum((0, 1))
            judged[number, k] = truth.numel()
    return [_rates(right[:, k], judged[:, k]) for k in range(count)]


def _rates(right: torch.Tensor, judged: torch.Tensor) -> dict[str, object]:
    """One head's result: right [T,ranks] counts, judged [T], of T texts."""
    columns = right.unbind(1)
    rates = [rate_by_text(column.tolist(), judged.tolist()) for column in columns]
    tops: dict[str, object] = {f"top{k}": rate.estimate for k, rate in enumerate(rates, 1)}
    return tops | {
        "interval": [rates[0].low, rates[0].high],
        "intervals": [[rate.low, rate.high] for rate in rates],
        "judged": rates[0].judged,
    }
