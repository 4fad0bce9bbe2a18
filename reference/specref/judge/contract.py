"""The contract between an engine and the judge. An adapter imports this module and nothing else.

An adapter is one class. Choose the base class by what the judge can call:

    Kernel            one verification step over a batch of drafts
    TreeKernel        one verification step over a batch of draft trees
    InjectableKernel  a kernel that takes its uniform random numbers as arguments: judged exactly
    LogitsKernel      a kernel that takes logits, and a temperature for each row
    Scheduler         a policy that decides how many tokens of each draft are verified
    Engine            text generation in this process
    Server            an HTTP server: OpenAI's or llama.cpp's completions

The judge finds the level from the methods. `specref validate --init LEVEL FILE` writes an adapter
that runs.
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
    "LogitsKernel",
    "Metrics",
    "SamplingParams",
    "Scheduler",
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
    lossless = True  # False: changes the distribution on purpose, and is reported so

    def verify(self, p: Tensor, q: Tensor | None, draft: Tensor, seed: int) -> Tensor:
        """Verify B drafts.

        Args:
            p: [B,K+1,V] float32. Target distributions: row 0 after the context, row i + 1 after
                draft token i.
            q: [B,K,V] float32. The distribution that each draft token was drawn from. None: the
                tokens were proposed with certainty.
            draft: [B,K] int64.
            seed: Of this call. The same seed gives the same tokens; another seed gives other ones.
        Returns:
            [B,K+1] int64. In each row: the accepted tokens, one more token, then -1.
        """
        raise SpecrefError(f"{type(self).__name__} has no verify(p, q, draft, seed): define it")


class TreeKernel(Kernel):
    """One verification step over draft trees of N nodes. All rows have the same tree."""

    def verify_tree(
        self, p: Tensor, q: Tensor | None, tokens: Tensor, parents: Tensor, seed: int
    ) -> Tensor:
        """Verify B draft trees.

        Args:
            p: [B,N+1,V] float32. Target distributions: row 0 after the context, row i + 1 after
                node i.
            q: [B,N,V] float32. The distribution of each node given its earlier siblings. None: the
                nodes were proposed with certainty.
            tokens: [B,N] int64.
            parents: [N] int64. The index of each node's parent; -1 for a child of the context.
            seed: As in `Kernel.verify`.
        Returns:
            [B,D+1] int64, D the depth of the tree. In each row: the accepted tokens, one more
            token, then -1.
        """
        raise SpecrefError(
            f"{type(self).__name__} has no verify_tree(p, q, tokens, parents, seed): define it"
        )


class InjectableKernel(Kernel):
    """A kernel that takes its uniform random numbers as arguments."""

    def verify_with(
        self, p: Tensor, q: Tensor | None, draft: Tensor, accept_u: Tensor, final_u: Tensor
    ) -> Tensor:
        """As `verify`, with the random numbers given.

        Args:
            accept_u: [B,K], uniform in [0,1): one for each accept or reject decision.
            final_u: [B], uniform in [0,1): for the draw of the last token.
        """
        raise SpecrefError(
            f"{type(self).__name__} has no verify_with(p, q, draft, accept_u, final_u): define it"
        )


class LogitsKernel(Kernel):
    """One verification step that makes the distributions itself. It has no `verify`."""

    def verify_logits(
        self,
        target: Tensor,
        proposed: Tensor | None,
        draft: Tensor,
        temperature: Tensor,
        seed: int,
    ) -> Tensor:
        """Verify B drafts.

        Args:
            target: [B,K+1,V] float32 logits; p is the softmax of target / temperature. A token of
                logit -inf is impossible.
            proposed: [B,K,V] float32 logits; q is the softmax of proposed / temperature. None: the
                tokens were proposed with certainty.
            draft: [B,K] int64.
            temperature: [B] float32, of each row. 0: greedy, so p is the token of the largest
                logit, and a draft token is kept if it is that one.
            seed: As in `Kernel.verify`.
        Returns:
            [B,K+1] int64, as `Kernel.verify`.
        """
        raise SpecrefError(
            f"{type(self).__name__} has no verify_logits(target, proposed, draft, temperature,"
            " seed): define it"
        )


class Scheduler:
    """A policy that decides how many tokens of each draft are verified.

    Slot i is the place of draft token i. Slot i is verified if the row's length is above i. Whether
    it is may depend on the tokens before slot i, on q and the confidence up to slot i, on earlier
    cycles, on the seed, and on other rows. It may not depend on token i or on anything behind it:
    a token that is dropped because of what it is leaves a biased draft. If rows look at each
    other's tokens, there must be an order in which every slot is decided before its token is
    looked at; otherwise each row is right and the rows are not independent.
    """

    name = "scheduler"
    lossless = True  # False: changes the distribution on purpose, and is reported so
    # What confidence[b,i] is made of. False: of the tokens before slot i, as a head computes it
    # before token i is drawn; it may decide slot i. True: of token i too, as q(token i) is; then it
    # may decide slot i + 1, not slot i.
    confidence_sees_token = False
    needs_confidence = False  # True: `admit` is never called with confidence None

    def begin(self, rows: int) -> None:
        """A new batch of `rows` requests begins: forget all earlier cycles. A policy without a
        memory need not define it.
        """

    def admit(self, q: Tensor, draft: Tensor, confidence: Tensor | None, seed: int) -> Tensor:
        """Decide how many tokens of each draft are verified in this cycle.

        Args:
            q: [B,K,V] float32. Row i is the distribution that draft token i is drawn from, given
                the tokens before it.
            draft: [B,K] int64.
            confidence: [B,K] float32 in [0,1], the drafter's estimate that the token in slot i will
                be accepted; None: the drafter gives none.
            seed: Of this cycle. The same past and the same seed give the same lengths.
        Returns:
            [B] int64, from 0 to K.
        """
        raise SpecrefError(
            f"{type(self).__name__} has no admit(q, draft, confidence, seed): define it"
        )

    def observe(self, accepted: Tensor) -> None:
        """The cycle is over. accepted: [B] int64, how many of the verified tokens were accepted in
        each row. A policy that does not learn need not define it.
        """


@dataclass
class Metrics:
    """What an engine counted for one request."""

    # Target forwards without the prefill; None: the engine does not count them.
    target_steps: int | None
    drafted: int  # draft tokens
    accepted: int  # draft tokens that are part of the text


@dataclass
class Completion:
    """The answer to one request."""

    tokens: list[int]  # the new tokens, without the prompt
    finish_reason: str  # "stop" or "length"
    # The natural logarithm of each token's probability in the distribution it was drawn from.
    logprobs: list[float] | None = None
    metrics: Metrics | None = None


class Engine:
    """Text generation in this process.

    `supports` names what the engine has, out of CAPABILITIES. The judge does not ask for the rest.
    An engine without "metrics" cannot show that it speculates, and then no run passes.
    A text ends with a token of `stop_ids`, with a sequence of `stop_sequences` (kept in the text or
    left out), or after `max_new_tokens`. `stop_ids` always holds the checkpoint's own end token.
    """

    name = "engine"
    lossless = True  # False: changes the distribution on purpose, and is reported so
    # True: the engine drafts without a draft model (n-gram lookup, early exit); draft is None.
    own_draft = False
    # True: the engine also drafts in other ways, so that its acceptance is not the draft model's.
    mixes_drafts = False
    supports: Collection[str] = ()

    def __init__(self, target: Path, draft: Path | None):
        """Load the models.

        Args:
            target: A folder in Hugging Face's Llama layout, float32, that the judge wrote.
            draft: The same for the draft model. None: draft without a model.
        """

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        """Continue every prompt.

        Args:
            prompts: Token ids.
            params: One for all prompts, or a list of one each. The judge passes a list only if
                `supports` has "batch".
            speculative: False: decode with the target alone.
        Returns:
            One completion for each prompt, in order.
        """
        raise SpecrefError(
            f"{type(self).__name__} has no generate(prompts, params, *, speculative): define it"
        )

    def close(self) -> None:
        """Release what the engine holds, such as processes."""


class Server:
    """A server that the judge calls over HTTP. Name a running server, or start one in `start`.

    The server speaks OpenAI's `/v1/completions` or llama.cpp's `/completion`. The judge finds out
    which, and which parameters the server knows. If `supports` is given, the judge asks for these
    parameters and no others.
    """

    name = "server"
    lossless = True  # False: changes the distribution on purpose, and is reported so
    url = ""  # of the server with speculation
    # Of a server with the same target and without speculation. Without it the judge sees less.
    baseline = ""
    # Of a server with the draft model, or with any small model of the same vocabulary. It decides
    # which faults are looked for first, and never what counts as right.
    draft = ""
    supports: Collection[str] = ()  # empty: the judge finds out
    model = ""  # the model's name in requests; empty: the first that the server lists
    headers: Mapping[str, str] = MappingProxyType({})  # sent with every request
    timeout = 60.0  # seconds for one answer
    # To start from: texts or lists of token ids; empty: what the server itself writes.
    prompts: Sequence[Sequence[int] | str] = ()

    def start(self) -> None:
        """Start the servers and set `url` and `baseline`. Running servers need nothing here."""

    def close(self) -> None:
        """Stop what `start` started."""
