"""One rule a file. A rule judges a draft against the target's distribution and knows no model."""

from collections.abc import Callable

from torch import Tensor

from ..chance import Chance
from ..data import Draft, Verdict
from .block import block
from .greedy import greedy
from .matching import matching
from .rejection import rejection
from .tree import tree
from .typical import LossyTypical

Rule = Callable[[Draft, Tensor, Chance], Verdict]
RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (greedy, rejection, block, matching, tree)
}

__all__ = ["RULES", "LossyTypical", "Rule", "block", "greedy", "matching", "rejection", "tree"]
