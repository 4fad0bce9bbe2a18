"""One rule a file. A rule judges a draft against the target's distribution and knows no model."""

from collections.abc import Callable

from torch import Tensor

from ..chance import Chance
from ..data import Draft, Verdict
from .block import block
from .canonical import canonical
from .ensemble import LossyEnsemble
from .fly import LossyFly
from .greedy import greedy
from .gumbel import gumbel
from .k_sequential import k_sequential
from .matching import matching
from .medusa_typical import LossyMedusaTypical
from .naive import naive
from .rejection import rejection
from .relaxed import LossyRelaxed
from .synthetic import LossySynthetic
from .traversal import traversal
from .tree import tree
from .typical import LossyTypical

Rule = Callable[[Draft, Tensor, Chance], Verdict]
# what the commands offer
RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (greedy, rejection, block, matching, tree)
}
# lossless rules of papers, for comparison and to be copied; all but gumbel judge trees
RESEARCH_RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (gumbel, naive, k_sequential, canonical, traversal)
}

__all__ = [
    "RESEARCH_RULES",
    "RULES",
    "LossyEnsemble",
    "LossyFly",
    "LossyMedusaTypical",
    "LossyRelaxed",
    "LossySynthetic",
    "LossyTypical",
    "Rule",
    "block",
    "canonical",
    "greedy",
    "gumbel",
    "k_sequential",
    "matching",
    "naive",
    "rejection",
    "traversal",
    "tree",
]
