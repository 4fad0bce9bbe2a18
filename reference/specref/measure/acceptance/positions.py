"""Acceptance by position of the draft, measured with the decode loop itself."""

from collections.abc import Sequence

from ...chance import Streams
from ...data import SamplingParams
from ...decode import decode_loop, new_requests
from ...draft.base import Drafter
from ...model.transformer import Transformer
from ...verify import Rule
from ...verify.rejection import rejection

_SEED = 10_000  # of the first prompt; away from the seeds of timed runs


def acceptance_by_position(
    target: Transformer,
    drafter: Drafter,
    prompts: Sequence[list[int]],
    params: SamplingParams,
    gamma: int,
    rule: Rule = rejection,
) -> list[float]:
    """For each position: how often its token is accepted, given that all before it were.

    Returns:
        gamma rates; 0 for a position that no draft reached.
    """
    reached, kept = [0] * gamma, [0] * gamma

    for number, prompt in enumerate(prompts):
        requests, chance = new_requests(target, [prompt], params), Streams([_SEED + number])
        for cycle in decode_loop(target, drafter, rule, requests, gamma, chance):
            length, accepted = int(cycle.draft.lengths[0]), int(cycle.verdict.accepted[0])
            for depth in range(min(length, accepted + 1)):
                reached[depth] += 1
                kept[depth] += depth < accepted
    return [k / max(1, r) for k, r in zip(kept, reached, strict=True)]
