"""The best plain loop we know: what a speedup is measured against.

One row, no drafter, no rule, no bookkeeping: the shortest code that draws the target's tokens. A
speedup over a slow baseline says nothing.
"""

from collections.abc import Callable, Sequence

import torch

from ...chance import Chance
from ...data import SamplingParams
from ...model.transformer import Transformer
from ...probs import probs


@torch.inference_mode()
def decode_plain(
    target: Transformer,
    prompt: Sequence[int],
    params: SamplingParams,
    chance: Chance,
    first: Callable[[], None] = lambda: None,
) -> list[int]:
    """params.max_new_tokens tokens after `prompt`; no stops, no penalties.

    Args:
        first: called once, when the first token is known (what came before it is the prefill).
    """
    cache = target.new_cache(1, len(prompt) + params.max_new_tokens)
    rows, tokens = [params], []
    feed = torch.tensor([list(prompt)], device=target.device)  # [1,T], later [1,1]
    for i in range(params.max_new_tokens):
        hidden = target.states(feed, cache)  # [1,T,H]
        cache.lengths += feed.shape[1]
        distribution = probs(target.logits(hidden[:, -1:]), rows)[:, 0]  # [1,V]
        feed = chance.draw(distribution)[:, None]
        tokens.append(int(feed))
        if i == 0:
            first()
    return tokens
