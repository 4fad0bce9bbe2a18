"""One request in service, from its arrival to its last token."""

from dataclasses import dataclass, field

from torch import Tensor

from ..chance import Stream
from ..decode import Request
from ..model.pool import names
from ..types import Completion
from .pace import Track


@dataclass(eq=False)
class Served:
    """What stays with a request when it is preempted: its text, its place in the order, its stream of coins, its counts."""

    name: str
    number: int  # in order of arrival
    request: Request
    tokens: list[int]  # prompt and output, the pending token last
    prompt: int  # length
    stream: Stream
    track: Track = field(default_factory=Track)
    logprobs: list[float] = field(default_factory=list)
    states: Tensor | None = None  # [n,E] the target's states of what was committed last, for drafters that read them
    block_names: list[bytes] = field(default_factory=list)

    def names(self, size: int) -> list[bytes]:
        """Names of the full blocks of all but the pending token."""
        self.block_names = names(self.tokens[:-1], size, self.block_names)
        return self.block_names

    def completion(self) -> Completion:
        request = self.request
        return Completion(request.tokens, request.reason or "length", request.target_steps, request.drafted,
                          request.accepted, self.logprobs)


@dataclass(frozen=True)
class Event:
    """What a step brought to one request."""

    name: str
    tokens: list[int]
    logprobs: list[float]  # of these tokens, in nats, under the law that they were drawn from
    done: Completion | None = None  # with the last tokens
    error: str | None = None  # it could not go on
