"""Answers to rows of one case, continued by the target, and the distribution of each token."""

import torch
from torch import Tensor

from ..suite.kernel_distribution import within
from ..suite.kernel_group import Group


def continued_texts(group: Group, answers: Tensor, generator: torch.Generator) -> Tensor:
    """Answers [n,K+1] of one case's rows; what a row does not emit is drawn from the target."""
    texts = answers.clone()
    for place in range(1, group.K + 1):
        law = _law_after(group, texts[:, :place])
        drawn = torch.multinomial(law.clamp(min=1e-300), 1, generator=generator)[:, 0]
        texts[:, place] = torch.where(texts[:, place] < 0, drawn, texts[:, place])
    return texts


def token_laws(group: Group, texts: Tensor) -> Tensor:
    """Texts [n,K+1] of one case -> [n,K+1,V], what each token was drawn from."""
    laws = [_law_after(group, texts[:, :place]) for place in range(group.K + 1)]
    stacked = torch.stack(laws, 1)
    return stacked / stacked.sum(2, keepdim=True)


def _law_after(group: Group, before: Tensor) -> Tensor:
    """Tokens [n,i] -> [n,V], up to a factor."""
    place = before.shape[1]
    tables = within(group, group.target[0], (0, place + 1)).view(-1, group.V)
    number = (before * group.V ** torch.arange(place - 1, -1, -1)).sum(1)
    return tables[number]
