"""The rejection rule of this project, run over every coin and every draw."""

from torch import Tensor

from ...chance import Chance
from ...data import Draft
from ...exact.enumerate import distributions
from ...verify.rejection import rejection

TokenText = tuple[int, ...]
CycleOutcome = tuple[int, TokenText]  # how many draft tokens are accepted, and the emitted tokens
Outcomes = dict[CycleOutcome, float]


def rule_outcomes(tokens: Tensor, q: Tensor, p: Tensor, lengths: Tensor) -> list[Outcomes]:
    """The distribution of a cycle's outcome, for each of N drafts.

    Args:
        tokens: [N,K] int64. q: [N,K,V] float64. p: [N,K+1,V] float64. lengths: [N] int64, how many
            slots are verified.
    """

    def program(chance: Chance, one: Tensor) -> list[CycleOutcome]:
        chain = Draft.chain(tokens[one], q[one], lengths[one])
        verdict = rejection(chain, p[one], chance)
        accepted = verdict.accepted.tolist()
        emitted = map(tuple, verdict.emitted(chain))
        return list(zip(accepted, emitted, strict=True))

    return distributions(program, len(tokens))  # type: ignore[return-value]
