"""Each relation convicts an engine that is broken for it, in the smallest scenario, and no right
engine; what is wrong without speculation too is told apart.

The scenarios are those of one seed: nothing here is random.
"""

import math
import shlex
from dataclasses import replace
from typing import Any

import pytest
from specref.adapters.reference import Looped, LoopedNGram
from specref.judge.contract import Completion, Engine, SamplingParams
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.suite.engine_scenarios import hunt_of
from specref.judge.text.relations import RELATIONS, RelationFinding
from specref.judge.text.scenario import TextCall, TextRequest, TextScenario
from specref.judge.verdict import Verdict

ENGINE = {item.id: item for item in checks("engine")}


class _Changed(Looped):
    """Our engine, its answers changed on their way out."""

    def generate(
        self, prompts: list[list[int]], params: Any, *, speculative: bool
    ) -> list[Completion]:
        each = params if isinstance(params, list) else [params] * len(prompts)
        done = super().generate(prompts, each, speculative=speculative)
        for row, (prompt, own, one) in enumerate(zip(prompts, each, done, strict=True)):
            if speculative:
                self.change(one, prompt, own, row, len(prompts))
        return done

    def change(
        self, one: Completion, prompt: list[int], params: SamplingParams, row: int, rows: int
    ) -> None:
        """One answer of a speculative call."""


class _RaisesInPairs(_Changed):
    def change(self, one, prompt, params, row, rows):
        if rows == 2:
            raise ValueError("pairs")


class _OtherTokenFar(_Changed):
    """From the 33rd token of a prompt on, a greedy text begins with another token."""

    def change(self, one, prompt, params, row, rows):
        if params.temperature == 0 and len(prompt) > 32 and one.tokens:
            one.tokens[0] = (one.tokens[0] + 1) % 7


class _BannedComes(_Changed):
    def change(self, one, prompt, params, row, rows):
        banned = [token for token, bias in params.logit_bias.items() if bias < -1000]
        if params.temperature and banned and one.tokens:
            one.tokens[-1] = banned[0]


class _LastRowCut(_Changed):
    """The last row of a batch loses its last token."""

    def change(self, one, prompt, params, row, rows):
        if rows > 1 and row == rows - 1:
            one.tokens, one.logprobs = one.tokens[:-1], one.logprobs[:-1]


class _HalfLogprobs(_Changed):
    """Under top-k, other log probabilities."""

    def change(self, one, prompt, params, row, rows):
        if params.top_k:
            one.logprobs = [x / 2 - 0.1 for x in one.logprobs]


class _SeedsBySize(_Changed):
    """The last token of a seeded text depends on the batch."""

    def change(self, one, prompt, params, row, rows):
        if params.seed is not None and params.temperature:
            one.tokens[-1] = (one.tokens[-1] + rows) % 7


class _SeedOnly31Bits(Looped):
    def generate(self, prompts, params, *, speculative):
        each = params if isinstance(params, list) else [params] * len(prompts)
        cut = [s if s.seed is None else replace(s, seed=s.seed % 2**31) for s in each]
        return super().generate(prompts, cut, speculative=speculative)


class _CountsTooMuch(_Changed):
    def change(self, one, prompt, params, row, rows):
        one.metrics.accepted += len(one.tokens)


class _LosesDraftsInBatches(_Changed):
    """Beside others everything is drafted twice, and lost once."""

    def change(self, one, prompt, params, row, rows):
        if rows > 1:
            one.metrics.target_steps += one.metrics.accepted
            one.metrics.drafted += 2 * one.metrics.accepted
            one.metrics.accepted = 0


GREEDY = SamplingParams(temperature=0.0, max_new_tokens=6, stop_ids=(31,))
DRAWN = replace(GREEDY, temperature=1.0)
SEEDED = replace(DRAWN, seed=3)
LONG = replace(GREEDY, max_new_tokens=20)


def scenario_of(*calls: tuple[SamplingParams, ...], world: str = "long-wide") -> TextScenario:
    """Calls whose rows have one prompt of 40 tokens each."""
    prompt = tuple(7 * i % 31 for i in range(40))
    made = []
    for call in calls:
        made.append(TextCall(tuple(TextRequest(prompt, one) for one in call)))
    return TextScenario(world, tuple(made))


# of each relation: an engine that breaks it, and where
BROKEN: dict[str, tuple[type[Engine], TextScenario]] = {
    "answers": (_RaisesInPairs, scenario_of((GREEDY, GREEDY))),
    "greedy": (_OtherTokenFar, scenario_of((GREEDY,))),
    "support": (_BannedComes, scenario_of((replace(DRAWN, logit_bias={4: -math.inf}),))),
    "ends": (_LastRowCut, scenario_of((GREEDY, DRAWN))),
    "logprobs": (_HalfLogprobs, scenario_of((replace(DRAWN, top_k=3),))),
    "seeds": (_SeedsBySize, scenario_of((SEEDED,), (SEEDED, SEEDED))),
    "copies": (
        _SeedOnly31Bits,
        scenario_of(*[(replace(DRAWN, seed=n, max_new_tokens=40),) for n in (3, 3 + 2**31)]),
    ),
    "metrics": (_CountsTooMuch, scenario_of((GREEDY,))),
    "acceptance": (_LosesDraftsInBatches, scenario_of((LONG, LONG), world="long-same")),
}


def verdicts_of(engine: type[Engine], *names: str, **options: Any) -> dict[str, Verdict]:
    """The verdicts of some relations, or of all, by one hunt."""
    session = Session("test", "engine", 0, 600.0, **options)
    chosen = [ENGINE[f"engine.{name}"] for name in names or RELATIONS]
    return {verdict.id: verdict for verdict in judge(engine, session, chosen)}


@pytest.mark.parametrize("name", BROKEN)
def test_an_engine_that_is_broken_for_a_relation_is_convicted_by_it(name: str) -> None:
    """And passes where it is not broken: our engine passes in the same scenario."""
    engine, scenario = BROKEN[name]
    assert any(one.what for one in findings(engine, name, scenario))
    right = findings(Looped, name, scenario)
    assert right or name == "copies"
    assert not any(one.what for one in right)


@pytest.fixture(scope="module")
def other_token() -> Verdict:
    return verdicts_of(_OtherTokenFar, "greedy")["engine.greedy"]


def test_the_smallest_scenario_names_what_the_fault_needs(other_token: Verdict) -> None:
    """33 tokens of prompt fail, and 32 pass; without speculation it passes."""
    assert (other_token.verdict, other_token.without_speculation) == ("FAIL", False)
    assert "prompt of 33, 1 new, temperature 0" in other_token.scenario
    assert "with prompt tokens up to 32" in other_token.scenario


def test_the_command_that_repeats_a_fault_runs_its_scenario_alone(other_token: Verdict) -> None:
    words = shlex.split(other_token.repro)
    text = words[words.index("--scenario") + 1]
    assert len(TextScenario.from_text(text).requests) == 1
    again = verdicts_of(_OtherTokenFar, "greedy", scenario=text)["engine.greedy"]
    assert (again.verdict, again.what) == ("FAIL", other_token.what)
    assert verdicts_of(Looped, "greedy", scenario=text)["engine.greedy"].verdict == "PASS"


class _PlainToo(Looped):
    """Ignores top-k, with and without speculation."""

    def generate(self, prompts, params, *, speculative):
        each = params if isinstance(params, list) else [params] * len(prompts)
        return super().generate(
            prompts, [replace(s, top_k=0) for s in each], speculative=speculative
        )


def test_what_is_wrong_without_speculation_too_is_told_apart() -> None:
    """The owner must not search the speculation for a filter that was never there."""
    text = scenario_of((replace(DRAWN, top_k=1, max_new_tokens=40),)).as_text()
    apart = verdicts_of(_PlainToo, "support", scenario=text)["engine.support"]
    assert (apart.verdict, apart.without_speculation) == ("NOT-SPECULATION", True)
    blamed = verdicts_of(_PlainToo, "support", scenario=text, plain_too=True)["engine.support"]
    assert blamed.verdict == "FAIL"


def findings(engine: type[Engine], name: str, scenario: TextScenario) -> list[RelationFinding]:
    """What one relation says of one scenario."""
    hunt = hunt_of(engine, Session("test", "engine"))
    seen = hunt.see(scenario)
    assert seen is not None
    return list(RELATIONS[name].find(seen, hunt.home))


def test_a_relation_counts_only_what_it_was_asked_of() -> None:
    """A greedy answer is no evidence for seeds, nor a seeded one for greedy text."""
    rows = (GREEDY, SEEDED, SEEDED)
    scenario = scenario_of(rows, rows)
    counts = {name: len(findings(Looped, name, scenario)) for name in RELATIONS}
    assert counts == {
        "answers": 6,
        "greedy": 2,
        "support": 4,
        "ends": 6,
        "logprobs": 6,
        "seeds": 3,
        "copies": 0,
        "metrics": 6,
        "acceptance": 2,
    }


@pytest.mark.parametrize("engine", [Looped, LoopedNGram])
def test_right_engines_pass_every_relation(engine: type[Engine]) -> None:
    """Among the first scenarios: `specref zoo --level engine` asks the controls all of them."""
    session = Session("test", "engine", 1, 600.0)
    hunt = hunt_of(engine, session)
    for _, step in zip(range(12), hunt.follow()):
        assert not step.faults, (step.scenario.as_text(), step.faults)
    assert sum(hunt.total.values()) > 100
