"""Acceptance of our own decoder on texts, as counts of each text and temperature."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...chance import Streams
from ...data import SamplingParams
from ...decode import decode_loop, new_requests
from ...draft.model import ModelDrafter
from ...model.transformer import Transformer
from ...verify.rejection import rejection
from .counts import UnitCounts


@dataclass(frozen=True)
class SampleText:
    """A prompt, as tokens, and what is known of it."""

    name: str
    prompt: list[int]
    domain: str | None = None


@dataclass(frozen=True)
class OwnRun:
    """How each text is decoded. gamma: draft length."""

    temperatures: Sequence[float]
    gamma: int
    new_tokens: int


def count_own(
    target: Transformer,
    draft: Transformer,
    texts: Sequence[SampleText],
    run: OwnRun,
    report: Callable[[str], None],
) -> list[UnitCounts]:
    """Decode every text once at each temperature. Temperature 0 is greedy: a one-hot p and q."""
    units = []
    for temperature in run.temperatures:
        params = SamplingParams(temperature=temperature, max_new_tokens=run.new_tokens)
        for number, text in enumerate(texts):
            report(f"temperature {temperature:g}: text {number + 1} of {len(texts)}")
            requests, chance = new_requests(target, [text.prompt], params), Streams([number])
            accepted, drafted = [], []
            drafter = ModelDrafter(draft)
            for cycle in decode_loop(target, drafter, rejection, requests, run.gamma, chance):
                accepted.append(int(cycle.verdict.accepted[0]))
                drafted.append(int(cycle.draft.lengths[0]))
            labels = {"domain": text.domain, "temperature": temperature}
            units.append(UnitCounts.of_cycles(text.name, accepted, drafted, **labels))
    return units
