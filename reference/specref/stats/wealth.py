"""How much a bet on a sum has won, whatever the size of the bet.

A score s in [-1,1] has mean 0, given all that came before. For 0 <= w < 1 the stake w pays
1 + w s, and

    1 + w s >= exp(w s - psi(w) s^2),    psi(w) = -log(1 - w) - w

(Fan, Grama, Liu 2015, Lemma 4.1, for every s >= -1). So exp(w S - psi(w) V), with S the sum of the
scores and V the sum of their squares, never exceeds the wealth of a bettor who stakes w each time.
Two numbers stand for every size of a bet, and so a mixture over sizes and over the sign costs
nothing. Where the mean of s is not 0 but at most t in absolute value, 1 + w s has a mean of at most
1 + w t <= exp(w t), and w S - psi(w) V - w T, with T the sum of t, is safe.
"""

import math

import torch
from torch import Tensor

# sizes of the bets, a factor of about 2 apart: a score of mean w is found best by a stake near w
STAKES = torch.tensor([0.9, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.007], dtype=torch.float64)
PSI = -torch.log1p(-STAKES) - STAKES


def log_wealth_of_sums(total: Tensor, squares: Tensor, slack: Tensor | float = 0.0) -> Tensor:
    """log of the mean wealth over all stakes and both signs.

    Args:
        total, squares: [..] sums of s and of s^2. slack: [..] sum of t, the bounds on |mean of s|.
    Returns:
        [..] log wealth, float64; its exponential has a mean of at most 1.
    """
    shape = (len(STAKES),) + (1,) * total.dim()
    stakes, psi = STAKES.reshape(shape), PSI.reshape(shape)
    cost = stakes * slack + psi * squares  # [W,..]
    gain = stakes * total
    both = torch.cat((gain - cost, -gain - cost))  # [2W,..]
    return torch.logsumexp(both, 0) - math.log(len(both))
