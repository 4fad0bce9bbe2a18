"""What a drafter sees and what it owes. Each file beside this one is one drafter."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..chance import Chance
from ..data import Draft, SamplingParams


@dataclass
class Text:
    """The rows being written, as a drafter may see them."""

    tokens: list[list[int]]  # prompt and output, the pending token last
    prompts: list[int]  # prompt lengths
    params: list[SamplingParams]
    vocabulary: int
    # [B,M,E]: the target's states of the tokens that the last forward committed; for a new text, of
    # all but the pending one
    states: Tensor | None = None
    # [B] how many of the M are real; the last real one gave the pending token
    fresh: Tensor | None = None

    def rows(self, index: list[int]) -> "Text":
        return Text(
            [self.tokens[i] for i in index],
            [self.prompts[i] for i in index],
            [self.params[i] for i in index],
            self.vocabulary,
            None if self.states is None else self.states[index],
            None if self.fresh is None else self.fresh[index],
        )


class Drafter:
    """Proposes; never decides. Whatever it proposes, the output's distribution is the target's."""

    reads_states: ClassVar[bool] = False  # whether it looks at text.states

    def nodes(self, gamma: int) -> int:
        """The most nodes that a draft of depth gamma has; a chain has gamma."""
        return gamma

    def begin(self, text: Text, capacity: int) -> None:
        """New texts, of which none will be longer than `capacity` tokens."""

    @abstractmethod
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        """At most budget[b] tokens deep for row b, budget [B] int64; fewer or none is always
        allowed.
        """

    def commit(self, accepted: Tensor) -> None:
        """How many tokens of the last draft were kept, [B] int64."""

    def rows(self, index: list[int]) -> None:
        """Only these rows go on, in this order; -1 is a new text, of which the drafter knows
        nothing yet.
        """
