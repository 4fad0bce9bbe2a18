"""A scenario: a few calls of one engine, one after the other."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import chain
from typing import Any

from ...data import SamplingParams
from ...errors import SpecrefError
from ..toys import RECIPES, toy

DEFAULT = SamplingParams()
# What a request can be told apart by; the lengths are told first.
REQUEST_SETTINGS = tuple(
    one.name for one in fields(SamplingParams) if one.name not in ("temperature", "max_new_tokens")
)


@dataclass(frozen=True)
class TextRequest:
    """One row of a call. features: of the choice that it was built from, name and value."""

    prompt: tuple[int, ...]
    params: SamplingParams
    features: tuple[tuple[str, object], ...] = ()

    @property
    def key(self) -> tuple[tuple[int, ...], str]:
        """The same for requests that ask the same."""
        return self.prompt, repr(self.params)

    @property
    def seeded(self) -> bool:
        """Whether its text is one, though it is sampled."""
        return self.params.seed is not None

    @property
    def sampled(self) -> bool:
        return self.params.temperature > 0


@dataclass(frozen=True)
class TextCall:
    """One call of the engine. fresh: by an engine that was just made."""

    requests: tuple[TextRequest, ...]
    speculative: bool = True
    fresh: bool = False


@dataclass(frozen=True)
class TextScenario:
    """world: a toy of `toys.RECIPES`. drafts: with the draft model; False: without one."""

    world: str
    calls: tuple[TextCall, ...]
    drafts: bool = True

    @property
    def requests(self) -> list[TextRequest]:
        """Those that differ."""
        rows = chain.from_iterable(call.requests for call in self.calls)
        return list({one.key: one for one in rows}.values())

    def as_text(self) -> str:
        """For a command line: `TextScenario.from_text` reads it again."""
        calls = [_call_as_data(call) for call in self.calls]
        whole = {"world": self.world, "drafts": self.drafts, "calls": calls}
        return json.dumps(whole, separators=(",", ":"))

    @staticmethod
    def from_text(text: str) -> "TextScenario":
        """Errors: SpecrefError where the text is no scenario."""
        try:
            whole = json.loads(text)
            calls = tuple(_call(one) for one in whole["calls"])
            made = TextScenario(whole["world"], calls, whole["drafts"])
        except (ValueError, KeyError, TypeError) as error:
            raise SpecrefError(
                f"--scenario is no scenario ({type(error).__name__}: {error}): copy it from a"
                " report's `again` line"
            ) from None
        if made.world not in RECIPES:
            raise SpecrefError(
                f"--scenario names the toy {made.world!r}: give one of {', '.join(RECIPES)}"
            )
        made._check()
        return made

    def _check(self) -> None:
        """Errors: SpecrefError where no engine could answer."""
        words = range(toy(self.world).vocabulary)
        if not self.calls:
            raise SpecrefError("--scenario has no call: copy it from a report's `again` line")
        for one in self.requests:
            named = {*one.prompt, *one.params.stop_ids, *one.params.logit_bias}
            if not one.prompt or not named <= {*words}:
                raise SpecrefError(
                    f"--scenario has a prompt without tokens, or a token outside 0..{words[-1]}:"
                    " copy it from a report's `again` line"
                )


def _call_as_data(call: TextCall) -> dict[str, Any]:
    requests = [[list(one.prompt), _given(one.params)] for one in call.requests]
    return {"speculative": call.speculative, "fresh": call.fresh, "requests": requests}


def _given(params: SamplingParams) -> dict[str, Any]:
    """The parameters that are not the default."""
    plain = asdict(DEFAULT)
    return {name: value for name, value in asdict(params).items() if value != plain[name]}


def _call(one: dict[str, Any]) -> TextCall:
    requests = [TextRequest(tuple(prompt), _params(given)) for prompt, given in one["requests"]]
    return TextCall(tuple(requests), one["speculative"], one["fresh"])


def _params(given: dict[str, Any]) -> SamplingParams:
    """As they came out of JSON: lists for tuples, texts for token ids."""
    read = dict(given)
    if "logit_bias" in read:
        read["logit_bias"] = {int(token): bias for token, bias in read["logit_bias"].items()}
    if "stop_sequences" in read:
        read["stop_sequences"] = tuple(tuple(one) for one in read["stop_sequences"])
    if "stop_ids" in read:
        read["stop_ids"] = tuple(read["stop_ids"])
    return SamplingParams(**read)


def about(request: TextRequest) -> str:
    """A request in words: what is not the default."""
    params = request.params
    said = [
        f"prompt of {len(request.prompt)}",
        f"{params.max_new_tokens} new",
        f"temperature {params.temperature:g}",
    ]
    for name in REQUEST_SETTINGS:
        value = getattr(params, name)
        if value != getattr(DEFAULT, name):
            said.append(f"{name}={value}"[:60])
    return ", ".join(said)


def in_words(scenario: TextScenario) -> str:
    """The whole scenario in one line."""
    calls = [_call_in_words(call) for call in scenario.calls]
    if len(calls) > 1:
        calls = [f"call {number}: {said}" for number, said in enumerate(calls, 1)]
    drafts = "" if scenario.drafts else ", no draft model"
    return f"toy {scenario.world}{drafts}; {'; then '.join(calls)}"


def _call_in_words(call: TextCall) -> str:
    how = "speculative" if call.speculative else "without speculation"
    how += ", a fresh engine" if call.fresh else ""
    rows: dict[str, list[int]] = {}
    for number, one in enumerate(call.requests, 1):
        rows.setdefault(about(one), []).append(number)
    if not rows:
        return f"{how}, no request"
    if len(call.requests) == 1:
        return f"{how}, {next(iter(rows))}"
    return f"{how}, " + "; ".join(f"{_rows(numbers)} {said}" for said, numbers in rows.items())


def _rows(numbers: list[int]) -> str:
    plural = "s" if len(numbers) > 1 else ""
    return f"row{plural} {_ranges(numbers)}:"


def _ranges(numbers: Iterable[int]) -> str:
    """1, 2, 3, 7 -> "1-3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
