"""One request in service, from its arrival to its last token."""

from dataclasses import dataclass, field, replace

from torch import Tensor

from ..chance import Stream
from ..data import Completion
from ..decode import Request
from ..model.pool import names
from .depth_policy import AcceptanceHistory


@dataclass(eq=False)
class Served:
    """What a request keeps when it is preempted: text, place in the order, stream, counts."""

    name: str
    number: int  # in order of arrival
    request: Request
    tokens: list[int]  # prompt and output, the pending token last
    stream: Stream
    acceptance: AcceptanceHistory = field(default_factory=AcceptanceHistory)
    logprobs: list[float] = field(default_factory=list)
    # [n,E]: the target's states of the tokens committed last, for drafters that read them
    states: Tensor | None = None
    block_names: list[bytes] = field(default_factory=list)

    def names(self, size: int) -> list[bytes]:
        """Names of the full blocks, of `size` tokens each, of all but the pending token."""
        self.block_names = names(self.tokens[:-1], size, self.block_names)
        return self.block_names

    def completion(self) -> Completion:
        """What it has so far; finish_reason "" while it goes on."""
        return replace(self.request.completion(), logprobs=list(self.logprobs))


@dataclass(frozen=True)
class Event:
    """What a step did for one request."""

    name: str
    so_far: Completion  # finish_reason "" while it goes on
    tokens: list[int] = field(default_factory=list)  # the n new ones
    kept: int = 0  # how many of them were drafted
    distributions: Tensor | None = None  # [n,V]: the distributions that they were drawn from
    error: str | None = None  # why it could not go on

    @property
    def ended(self) -> bool:
        """Whether no event follows."""
        return bool(self.so_far.finish_reason or self.error)
