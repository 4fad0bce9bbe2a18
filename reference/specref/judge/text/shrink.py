"""The smallest scenario in which a relation still fails. What cannot be taken away is the
explanation: the fault needs it."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ...data import SamplingParams
from ..toys import toy
from .relations import RelationFinding
from .scenario import DEFAULT, REQUEST_SETTINGS, TextCall, TextRequest, TextScenario, about

SIMPLEST_FIRST = (  # the simplest first
    "long-same",
    "long-wide",
    "long-small",
    "long-opposed",
    "long-flat",
    "long-ending",
    "brief",
    "short-draft",
    "fewer-words",
    "long-vast",
    "long-vast-same",
)
_OTHER_PROMPTS = 3  # other prompts with which a simpler scenario is tried before it counts as right
_BOLD = (4, 16, 64)  # new tokens to which all texts are cut at once
_REPEATS = 3  # of a scenario without seeds, which chance may hide
_MOST_RUNS = 240
# asks whether a relation fails in a scenario
Fails = Callable[[TextScenario], RelationFinding | None]


@dataclass(frozen=True)
class Simpler:
    """A scenario that is one thing simpler. passes: how it is said if that one passes."""

    passes: str
    scenario: TextScenario


@dataclass
class Shrunk:
    """The smallest failing scenario. passing: of everything that was taken away in vain, how."""

    scenario: TextScenario
    finding: RelationFinding
    passing: list[str] = field(default_factory=list)
    complete: bool = True  # False: the time ran out

    @property
    def words(self) -> str:
        """What must be changed for it to pass, the boldest changes first."""
        if not self.passing:
            return ""
        kept = _edges(self.passing)
        more = "" if self.complete else "; not shrunk to the end"
        return f"passes {'; or '.join(kept[:4])}{more}"


def _edges(passing: list[str]) -> list[str]:
    """Of several numbers for one length the largest alone: the nearest that passes. Phrases end
    with the number that is their edge."""
    last: dict[str, str] = {}
    for phrase in passing:
        head, _, tail = phrase.rpartition(" ")
        last[head if tail.isdigit() else phrase] = phrase
    return list(last.values())


class TextShrinker:
    """Makes one failing scenario smaller, as long as it fails and time is left."""

    def __init__(self, fails: Fails, seconds: float):
        self.fails = fails
        self.end = time.monotonic() + seconds
        self.runs = 0

    def shrink(self, scenario: TextScenario, finding: RelationFinding) -> Shrunk:
        """Take away one thing after the other. What passes is tried with other prompts too, so that
        no need is one prompt's chance."""
        found = Shrunk(scenario, finding)
        tried: set[tuple[int, str]] = set()
        prompts = 0
        while prompts <= _OTHER_PROMPTS:
            if prompts == 0:
                found.passing = []
            smaller = self._step(found, prompts, tried)
            if self._over:
                found.complete = False
                break
            if smaller is None:
                prompts += 1
                continue
            found.scenario, found.finding = smaller
            prompts = 0
        return found

    @property
    def _over(self) -> bool:
        return time.monotonic() > self.end or self.runs >= _MOST_RUNS

    def _step(
        self, found: Shrunk, prompts: int, tried: set[tuple[int, str]]
    ) -> tuple[TextScenario, RelationFinding] | None:
        """The first simpler scenario that fails; None where all pass."""
        for simpler in simpler_scenarios(found.scenario, found.finding):
            if self._over:
                return None
            other = with_other_prompts(simpler.scenario, prompts)
            key = prompts, other.as_text()
            if key not in tried:
                finding = self._ask(other)
                if finding is not None:
                    return other, finding
                tried.add(key)
            if prompts == 0:
                found.passing.append(simpler.passes)
        return None

    def _ask(self, scenario: TextScenario) -> RelationFinding | None:
        unseeded = any(one.sampled and not one.seeded for one in scenario.requests)
        for _ in range(_REPEATS if unseeded else 1):
            self.runs += 1
            finding = self.fails(scenario)
            if finding is not None:
                return finding
        return None


def with_other_prompts(scenario: TextScenario, number: int) -> TextScenario:
    """The same with the tokens of all prompts exchanged for others; 0: the same."""
    if not number:
        return scenario
    words = toy(scenario.world).vocabulary - 1
    other = random.Random(number).sample(range(words), words)
    return _every(
        scenario, lambda one: replace(one, prompt=tuple(other[t % words] for t in one.prompt))
    )


def _every(
    scenario: TextScenario,
    change: Callable[[TextRequest], TextRequest],
    which: TextRequest | None = None,
) -> TextScenario:
    """A change to all requests, or to those that ask the same as one."""

    def changed(one: TextRequest) -> TextRequest:
        return change(one) if which is None or one.key == which.key else one

    calls = [replace(call, requests=tuple(map(changed, call.requests))) for call in scenario.calls]
    return replace(scenario, calls=tuple(calls))


def simpler_scenarios(scenario: TextScenario, finding: RelationFinding) -> Iterator[Simpler]:
    """Every scenario that is one thing simpler, the boldest first: long texts are dear."""
    yield from _around(scenario, finding)
    for size in _BOLD:
        if any(one.params.max_new_tokens > size for one in scenario.requests):
            shorter = _every(scenario, _new_at_most(size))
            yield Simpler(f"with new tokens up to {size}", shorter)
    yield from _without_calls(scenario)
    for number, call in enumerate(scenario.calls):
        yield from _smaller_call(scenario, number, call)
    yield from _simpler_worlds(scenario)
    requests = scenario.requests
    yield from _plainer(scenario, None, requests)
    if len(requests) > 1:
        for one in requests:
            yield from _plainer(scenario, one, [one])


def _around(scenario: TextScenario, finding: RelationFinding) -> Iterator[Simpler]:
    """The answer at fault alone, its call alone, or its row alone in its call."""
    call = scenario.calls[finding.call]
    row = call.requests[finding.row : finding.row + 1]
    if len(call.requests) > 1:
        alone = replace(call, requests=row)
        yield Simpler("alone", replace(scenario, calls=(alone,)))
    if len(scenario.calls) > 1:
        yield Simpler("without the other calls", replace(scenario, calls=(call,)))
    if len(call.requests) > 1 and len(scenario.calls) > 1:
        calls = list(scenario.calls)
        calls[finding.call] = alone
        where = f" in call {finding.call + 1}"
        yield Simpler(f"alone{where}", replace(scenario, calls=tuple(calls)))


def _without_calls(scenario: TextScenario) -> Iterator[Simpler]:
    calls = scenario.calls
    for number in range(len(calls)):
        if len(calls) > 1:
            rest = calls[:number] + calls[number + 1 :]
            yield Simpler(f"without call {number + 1}", replace(scenario, calls=rest))


def _smaller_call(scenario: TextScenario, number: int, call: TextCall) -> Iterator[Simpler]:
    """Fewer rows, equal rows, no speculation, the same engine."""
    where = f" in call {number + 1}" if len(scenario.calls) > 1 else ""

    def made(**changes: object) -> TextScenario:
        calls = list(scenario.calls)
        calls[number] = replace(call, **changes)  # type: ignore[arg-type]
        return replace(scenario, calls=tuple(calls))

    for rest in _fewer(call.requests):
        if len(rest) == 1:
            yield Simpler(f"alone{where}", made(requests=rest))
        else:
            yield Simpler(f"with fewer rows{where}", made(requests=rest))
    if len({one.key for one in call.requests}) > 1:
        alike = call.requests[:1] * len(call.requests)
        yield Simpler(f"where all rows are alike{where}", made(requests=alike))
    if call.fresh:
        yield Simpler(f"without a fresh engine{where}", made(fresh=False))
    if call.speculative:
        yield Simpler(f"without speculation{where}", made(speculative=False))


def _fewer(rows: tuple[TextRequest, ...]) -> Iterator[tuple[TextRequest, ...]]:
    """All but a half, a quarter, ... one of them."""
    size = len(rows)
    while size > 1:
        size = (size + 1) // 2 if size > 2 else 1
        for first in range(0, len(rows), size):
            rest = rows[:first] + rows[first + size :]
            if rest:
                yield rest


def _simpler_worlds(scenario: TextScenario) -> Iterator[Simpler]:
    """Toys that are simpler and have no more tokens."""
    here = toy(scenario.world)
    if scenario.world not in SIMPLEST_FIRST:
        return
    for name in SIMPLEST_FIRST[: SIMPLEST_FIRST.index(scenario.world)]:
        if toy(name).vocabulary <= here.vocabulary and name != "brief":
            yield Simpler(f"on the toy {name}", replace(_fitted(scenario, name), world=name))


def _fitted(scenario: TextScenario, name: str) -> TextScenario:
    """All token ids within the vocabulary of another toy."""
    V = toy(name).vocabulary

    def fitted(one: TextRequest) -> TextRequest:
        stops = sorted({min(token, V - 1) for token in one.params.stop_ids})
        bias = {token: value for token, value in one.params.logit_bias.items() if token < V}
        params = replace(one.params, logit_bias=bias, stop_ids=tuple(stops))
        return replace(one, prompt=tuple(token % V for token in one.prompt), params=params)

    return _every(scenario, fitted)


def _plainer(
    scenario: TextScenario, which: TextRequest | None, some: list[TextRequest]
) -> Iterator[Simpler]:
    """Parameters at their defaults, and shorter."""
    whose = "" if which is None else f" of the row with {about(which)[:60]}"
    for name in REQUEST_SETTINGS:
        given = [one for one in some if getattr(one.params, name) != getattr(DEFAULT, name)]
        needed = name == "stop_ids" and any(one.params.min_tokens for one in some)
        if given and not needed:
            plain = {name: getattr(DEFAULT, name)}
            yield Simpler(f"without {name}{whose}", _every(scenario, _with(plain), which))
    for heat in (0.0, 1.0):
        if any(one.params.temperature not in (heat, 0.0) for one in some):
            hot = _every(scenario, _with({"temperature": heat}), which)
            yield Simpler(f"at temperature {heat:.1f}{whose}", hot)
    yield from _shorter(scenario, which, some, whose)


def _with(changes: dict[str, object]) -> Callable[[TextRequest], TextRequest]:
    def change(one: TextRequest) -> TextRequest:
        return replace(one, params=replace(one.params, **changes))  # type: ignore[arg-type]

    return change


def _shorter(
    scenario: TextScenario, which: TextRequest | None, some: list[TextRequest], whose: str
) -> Iterator[Simpler]:
    """Fewer new tokens, shorter prompts."""
    most = max((one.params.max_new_tokens for one in some), default=0)
    for size in _sizes(most):
        shorter = _every(scenario, _new_at_most(size), which)
        yield Simpler(f"with new tokens{whose} up to {size}", shorter)
    most = max((len(one.prompt) for one in some), default=0)
    for size in _sizes(most):
        shorter = _every(scenario, _prompt_at_most(size), which)
        yield Simpler(f"with prompt tokens{whose} up to {size}", shorter)


def _sizes(most: int) -> list[int]:
    """Smaller numbers, and those just below, which are the edge."""
    return [
        n
        for n in sorted({1, 2, 4, 8, 16, 32, most // 2, most * 3 // 4, most - 2, most - 1})
        if 0 < n < most
    ]


def _new_at_most(size: int) -> Callable[[TextRequest], TextRequest]:
    def change(one: TextRequest) -> TextRequest:
        params: SamplingParams = one.params
        new = min(size, params.max_new_tokens)
        least = min(new, params.min_tokens)
        return replace(one, params=replace(params, max_new_tokens=new, min_tokens=least))

    return change


def _prompt_at_most(size: int) -> Callable[[TextRequest], TextRequest]:
    def change(one: TextRequest) -> TextRequest:
        return replace(one, prompt=one.prompt[-size:])

    return change
