"""What a serving engine is set up with."""

from dataclasses import dataclass

from ..data import SpecrefError
from ..model.paged import PagedCache
from .depth_policy import DepthPolicy


@dataclass(frozen=True)
class ServingSettings:
    """Sizes and choices of one engine.

    Errors:
        SpecrefError for a size with which nobody could be served.
    """

    gamma: int = 5  # tokens that a cycle proposes at most
    rows: int = 32  # requests that run at once
    blocks: int = 512  # the cache, in blocks
    block_size: int = 16  # tokens of a block
    chunk: int = 64  # prompt tokens that a step reads at most
    depth_policy: DepthPolicy | None = None  # chooses draft depths; None: always gamma
    share: bool = True  # requests share the blocks of equal prompt beginnings
    pages: type[PagedCache] = PagedCache  # how attention reads the blocks

    def __post_init__(self) -> None:
        for name, least in (("gamma", 0), ("rows", 1), ("chunk", 1)):
            value = getattr(self, name)
            if value < least:
                raise SpecrefError(f"{name} = {value} is not possible: give {least} or more")
