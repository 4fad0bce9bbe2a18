"""The probability integral transform of tokens: one number of known distribution for each token.

Order the vocabulary by keys that depend only on what precedes the token. The rank of a token is the
probability of the tokens before it in that order, plus a uniform share of its own probability. If
the token was drawn from p, its rank is uniform on [0, 1), whatever p, the order and the text before
(Rosenblatt 1952, made continuous by the uniform share). So the ranks of all tokens of all texts are
draws of one known distribution, and one test serves them all.
"""

import torch
from torch import Tensor


def pit_ranks(p: Tensor, keys: Tensor, tokens: Tensor, uniforms: Tensor) -> Tensor:
    """The rank of each token: p, keys [N,V], tokens [N,1] int64, uniforms [N] in [0,1) -> [N].

    The token with the largest key comes first; of equal keys, the smaller token id.
    """
    own = p.gather(1, tokens)[:, 0]  # [N]
    mine = keys.gather(1, tokens)  # [N,1]
    smaller = torch.arange(p.shape[1], device=p.device) < tokens  # [N,V]
    before = (keys > mine) | ((keys == mine) & smaller)
    return (p * before).sum(-1) + own * uniforms
