"""What an adapter implements. It imports this module and nothing else of the project.

An adapter is one class, at the level at which its code can be called:

    Kernel            one verification step, batched
    TreeKernel        the same over trees
    InjectableKernel  a kernel whose coins the judge may choose: judged exactly
    Engine            whole generation, in this process
    Server            an OpenAI-compatible or llama.cpp server, spoken to over HTTP

The judge finds the level from the methods. `specref validate --init LEVEL FILE` writes an adapter
to start from.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from ..data import SamplingParams, SpecrefError

__all__ = [
    "CAPABILITIES",
    "Completion",
    "Engine",
    "InjectableKernel",
    "Kernel",
    "Metrics",
    "SamplingParams",
    "Server",
    "TreeKernel",
]

CAPABILITIES = frozenset(
    {
        "sampling",
        "top_k",
        "top_p",
        "min_p",
        "seed",
        "batch",
        "stop",
        "min_tokens",
        "logit_bias",
        "penalties",
        "logprobs",
        "metrics",
    }
)


class Kernel:
    """One verification step. Shapes: B rows, K draft tokens, V vocabulary."""

    name = "kernel"
    lossless = True  # False: lossy by design, reported as such

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        """Judge B drafts.

        Args:
            p: [B,K+1,V] float32, the target's distribution after the context and after each draft
                token. q: [B,K,V] float32, the distribution that each draft token was drawn from;
                None: proposed with certainty. draft: [B,K] int64. seed: the call's; another seed
                    must give other coins, the same seed the same ones.
        Returns:
            [B,K+1] int64: each row's emitted tokens (the accepted ones, then one more), then -1.
        """
        raise SpecrefError(f"{type(self).__name__} has no verify(p, q, draft, seed): define it")


class TreeKernel(Kernel):
    """A step over trees of N nodes, all rows of one shape."""

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        """Judge B trees.

        Args:
            p: [B,N+1,V], row 0 after the context, row i + 1 after node i. q: [B,N,V], each node's
                distribution given its earlier siblings; None: proposed with certainty. tokens:
                    [B,N]. parents: [N], -1: a child of the context.
        Returns:
            [B,D+1] int64, D the tree's depth: the emitted tokens, then -1.
        """
        raise SpecrefError(
            f"{type(self).__name__} has no verify_tree(p, q, tokens, parents, seed): define it"
        )


class InjectableKernel(Kernel):
    """A kernel that takes its uniforms from the judge."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        """As `verify`, with accept_u [B,K] for the coins and final_u [B] for the last draw,
        uniforms in [0,1).
        """
        raise SpecrefError(
            f"{type(self).__name__} has no verify_with(p, q, draft, accept_u, final_u): define it"
        )


@dataclass
class Metrics:
    """What an engine counted for one request."""

    # target forwards, the prefill not counted; None where they are not known
    target_steps: int | None
    drafted: int  # tokens proposed
    accepted: int  # proposed tokens that were kept in the text


@dataclass
class Completion:
    """What one request got: the new tokens alone, and why they end ("stop" or "length")."""

    tokens: list[int]
    finish_reason: str
    # of each token, in nats, under the distribution it was drawn from
    logprobs: list[float] | None = None
    metrics: Metrics | None = None


class Engine:
    """Whole generation. `supports` names what it has, out of CAPABILITIES; what is absent is not
    asked for.

    Without "metrics" speculation cannot be seen to run, and nothing is said to have passed. A text
    ends with a token of `stop_ids` or a sequence of `stop_sequences`, kept or left out, or with its
    last token of `max_new_tokens`. The judge always names the checkpoint's own end token in
    `stop_ids`.
    """

    name = "engine"
    lossless = True
    # True: it drafts by itself (n-gram lookup, early exit) and is made with draft None
    own_draft = False
    # True: beside a draft model it drafts in other ways, so that acceptance says nothing of the
    # model
    mixes_drafts = False
    supports: Collection[str] = ()

    def __init__(self, target: Path, draft: Path | None):
        """Load a target and a draft: folders in Hugging Face's Llama layout, written by the judge,
        float32. draft None: the judge wants a drafter that needs no model, such as n-gram
        lookup."""

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        """Continue every prompt. params: one for all prompts, or one each (asked for only with
        "batch").
        """
        raise SpecrefError(
            f"{type(self).__name__} has no generate(prompts, params, *, speculative): define it"
        )

    def close(self) -> None:
        """Let go of what the engine holds, such as processes."""


class Server:
    """A server to be judged over HTTP. The class body may name running ones, or `start` may bring
    them up.

    It speaks OpenAI's `/v1/completions` or llama.cpp's `/completion`; the judge finds out which,
    and which parameters it knows. `supports`, where it is given, is what is asked for out of
    CAPABILITIES, and what must then be there.
    """

    name = "server"
    lossless = True
    url = ""  # of the speculating server
    # of the same target without speculation; without one fewer distributions can be judged
    baseline = ""
    supports: Collection[str] = ()  # empty: the judge finds out
    model = ""  # the model's name in requests; empty: the first that the server lists
    # sent with every request, such as an Authorization
    headers: Mapping[str, str] = MappingProxyType({})
    timeout = 60.0  # seconds that one answer may take
    # to start from; empty: what the server writes itself
    prompts: Sequence[Sequence[int] | str] = ()

    def start(self) -> None:
        """Bring the servers up and set `url` and `baseline`; nothing to do for running ones."""

    def close(self) -> None:
        """Take down what `start` brought up."""
