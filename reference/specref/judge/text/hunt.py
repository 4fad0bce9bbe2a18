"""TextScenario after scenario through one engine, until a relation fails or all were seen."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice

from ...data import SamplingParams
from ..contract import Completion, Engine
from ..engine_handle import EngineHandle, asked
from ..load import NotLoadedError
from ..session import MisbehavedError, Session
from .answers import SeenScenario, answers_of
from .axes import TEXT_AXES, Choice, Value, choices
from .build import Builder
from .home import HOME_WORLD, Home
from .relations import RELATIONS, Relation, RelationFinding
from .scenario import TextCall, TextRequest, TextScenario
from .shrink import Shrunk, TextShrinker

SCENARIO_COUNT = 128  # scenarios: the covering design and what its triples add
LEAST_ASKED = 24  # answers of which a relation must have been asked
_AHEAD = 16  # choices among which the next one is chosen
_STEERED = 3  # of so many choices one is for the relation that was asked least
_SHRINKING = 15.0  # seconds for the first fault; later ones get a share
# Worlds whose draft model differs from the target in more than its weights: to refuse it is right.
ODD_DRAFTS = ("short-draft", "fewer-words")
_PROBE = TextCall((TextRequest((1, 2, 3), SamplingParams(temperature=0.0, max_new_tokens=8)),))
# where no scenario drafted: a text that repeats itself, so that a lookup drafts too
_LONG_PROBE = TextCall(
    (TextRequest((1, 2, 3, 4) * 4, SamplingParams(temperature=0.0, max_new_tokens=24)),)
)
_SLOW = 1.0  # seconds; an engine that takes longer to make is made again only if it must


@dataclass
class HuntStep:
    """What one scenario showed: how often each relation applied, and the first fault of each."""

    scenario: TextScenario
    asked: Counter[str] = field(default_factory=Counter)
    faults: dict[str, RelationFinding] = field(default_factory=dict)


class Hunt:
    """One engine's scenarios, which all relations share. They depend on the run's seed, and every
    third one on how often the answers so far let each relation be asked; not on which checks
    run."""

    def __init__(self, engine: type[Engine], session: Session):
        self.engine, self.session = engine, session
        self.own_draft = bool(getattr(engine, "own_draft", False))
        self.refused: dict[tuple[str, bool], str] = {}  # worlds that cannot be made, and why
        self.making = 0.0  # seconds of the slowest engine
        self.drafted = 0
        self.probed = False
        self.shrunk = 0
        first = self._handle(HOME_WORLD, True)
        self.known = first.made().supports
        self.home = Home(self._ask_fresh, first.has, self.own_draft)
        self.relations = [one for one in RELATIONS.values() if {*one.needs} <= {*self.known}]
        self.steps: list[HuntStep] = []
        self.total: Counter[str] = Counter()
        self.rng = random.Random(session.seed_for("scenarios"))
        self.builder = Builder(self.known, self.rng, self.home.overruns)
        self.coming = choices(self.rng, self._axes(first))
        self.ahead: list[Choice] = list(islice(self.coming, _AHEAD))

    def _axes(self, first: EngineHandle) -> dict[str, tuple[Value, ...]]:
        """The axes that this engine has."""
        axes = dict(TEXT_AXES)
        if self.own_draft:
            axes["drafts"] = (False,)
        elif not self.drafts_alone:
            axes["drafts"] = (True,)
        if not first.has("batch"):
            axes["batch"] = (1, 2, 3)
        if not self.home.takes_nothing:
            axes["history"] = tuple(one for one in axes["history"] if one != "empty batch")
        if not self.home.overruns:
            axes["world"] = tuple(name for name in axes["world"] if name != "brief")
        return axes

    def _handle(self, world: str, drafts: bool) -> EngineHandle:
        began = time.monotonic()
        made = asked(self.engine, self.session, world, lookup=not drafts)
        self.making = max(self.making, time.monotonic() - began)
        return made

    def _refuses(self, world: str, drafts: bool) -> bool:
        """Whether the engine cannot be made for a world."""
        key = world, drafts
        if key not in self.refused:
            try:
                one = self._handle(world, drafts)
                if world in ODD_DRAFTS:
                    self._ask(one, _PROBE)
                self.refused[key] = ""
            except NotLoadedError:
                raise
            except (Exception, SystemExit) as error:
                self.refused[key] = f"{type(error).__name__}: {error}"
        return bool(self.refused[key])

    @property
    def drafts_alone(self) -> bool:
        """Whether the engine can be made without a draft model."""
        return self.own_draft or not self._refuses(HOME_WORLD, False)

    def _ask_fresh(self, world: str, drafts: bool, call: TextCall) -> list[Completion]:
        one = self._handle(world, drafts and not self.own_draft)
        self._renew(one)
        return self._ask(one, call)

    def _renew(self, one: EngineHandle) -> None:
        if self.making <= _SLOW:
            one.renew()

    def _ask(self, one: EngineHandle, call: TextCall) -> list[Completion]:
        rows = [(request.prompt, request.params) for request in call.requests]
        done = one.answers(rows, call.speculative, together=max(1, len(rows)))
        self.drafted += sum(d.metrics.drafted for d in done if d.metrics)
        return done

    def speculates(self) -> bool:
        """Whether a drafted token was seen; where the scenarios were too short for one, at home."""
        if not self.drafted and "metrics" in self.known and not self.probed:
            self.probed = True
            with suppress(Exception):
                self._ask(
                    self._handle(HOME_WORLD, not self._refuses(HOME_WORLD, True)), _LONG_PROBE
                )
        return self.drafted > 0

    def see(self, scenario: TextScenario) -> SeenScenario | None:
        """All answers of a scenario; None where the engine refuses its world."""
        if self._refuses(scenario.world, scenario.drafts):
            return None
        one = self._handle(scenario.world, scenario.drafts)
        seen = SeenScenario(scenario, one.toy)
        self._renew(one)
        for number, call in enumerate(scenario.calls):
            if call.fresh:
                self._renew(one)
            try:
                done = self._ask(one, call)
            except NotLoadedError:
                raise
            except (Exception, SystemExit) as error:
                seen.error, seen.error_call = self._raised(error), number
                break
            seen.answers += answers_of(scenario.world, number, call, done, self.home.counts_prompt)
        return seen

    def _raised(self, error: BaseException) -> str:
        said = " ".join(str(error).split())[:200]
        if isinstance(error, MisbehavedError):
            return said
        return f"raises {type(error).__name__}: {said}".rstrip(": ")

    def follow(self) -> Iterator[HuntStep]:
        """All steps, made as they are asked for."""
        text = self.session.scenario
        given = TextScenario.from_text(text) if text else None
        most = 1 if given is not None else SCENARIO_COUNT
        for number in range(most):
            while len(self.steps) <= number:
                self._advance(given)
            yield self.steps[number]

    def _advance(self, given: TextScenario | None) -> None:
        scenario = given or self.builder.scenario(self._next())
        step = HuntStep(scenario)
        seen = self.see(scenario)
        if seen is not None:
            for one in self.relations:
                findings = list(one.find(seen, self.home))
                step.asked[one.name] = len(findings)
                first = next((finding for finding in findings if finding.what), None)
                if first is not None:
                    step.faults[one.name] = first
        self.total += step.asked
        self.steps.append(step)

    def _next(self) -> Choice:
        """The next choice; every third is for the relation that was asked least."""
        place = 0
        if len(self.steps) % _STEERED == _STEERED - 1:
            rare = min(self.relations, key=lambda one: self.total[one.name])
            wanted = [len({*rare.wants} & choice.items()) for choice in self.ahead]
            place = wanted.index(max(wanted))
        chosen = self.ahead.pop(place)
        self.ahead.append(next(self.coming))
        return chosen

    def fails(self, one: Relation, scenario: TextScenario) -> RelationFinding | None:
        """The first fault of a relation in a scenario."""
        seen = self.see(scenario)
        if seen is None:
            return None
        with suppress(StopIteration):
            return next(finding for finding in one.find(seen, self.home) if finding.what)
        return None

    def fails_plain(self, one: Relation, scenario: TextScenario) -> bool | None:
        """Whether it fails without speculation too; None: cannot be asked."""
        if not one.controlled:
            return None
        calls = tuple(replace(call, speculative=False) for call in scenario.calls)
        return self.fails(one, replace(scenario, calls=calls)) is not None

    def shrink(self, one: Relation, scenario: TextScenario, finding: RelationFinding) -> Shrunk:
        """The smallest scenario that fails; a given one is left as it is."""
        if self.session.scenario:
            return Shrunk(scenario, finding)
        self.shrunk += 1
        seconds = min(_SHRINKING / self.shrunk, max(self.session.left, 5.0))
        shrinker = TextShrinker(lambda some: self.fails(one, some), seconds)
        return shrinker.shrink(scenario, finding)
