"""One request in service, from its arrival to its last token."""

from dataclasses import dataclass, field

from torch import Tensor

from ..chance import Stream
from ..data import Completion
from ..decode import Request
from ..model.pool import names
from .depth_policy import AcceptanceHistory


@dataclass(eq=False)
class Served:
    """What stays with a request when it is preempted: its text, its place in the order, its stream
    of coins, its counts.
    """

    name: str
    number: int  # in order of arrival
    request: Request
    tokens: list[int]  # prompt and output, the pending token last
    prompt: int  # length
    stream: Stream
    track: AcceptanceHistory = field(default_factory=AcceptanceHistory)
    logprobs: list[float] = field(default_factory=list)
    # [n,E] the target's states of what was committed last, for drafters that read them
    states: Tensor | None = None
    block_names: list[bytes] = field(default_factory=list)

    def names(self, size: int) -> list[bytes]:
        """Names of the full blocks of all but the pending token."""
        self.block_names = names(self.tokens[:-1], size, self.block_names)
        return self.block_names

    def completion(self) -> Completion:
        """What it has so far; finish_reason "" while it goes on."""
        request = self.request
        return Completion(
            list(request.tokens),
            request.reason or "",
            request.target_steps,
            request.drafted,
            request.accepted,
            list(self.logprobs),
        )


@dataclass(frozen=True)
class Event:
    """What a step brought to one request."""

    name: str
    so_far: Completion  # finish_reason "" while it goes on
    tokens: list[int] = field(default_factory=list)  # the new ones
    kept: int = 0  # how many of them were drafted
    distributions: Tensor | None = None  # [n,V] the distributions that they were drawn from
    error: str | None = None  # it could not go on

    @property
    def ended(self) -> bool:
        return bool(self.so_far.finish_reason or self.error)
