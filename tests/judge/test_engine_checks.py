"""The engine level: every planted bug is convicted by the check it names, right engines by none,
and nothing passes where speculation was not seen.

Sampled checks stop at the first conviction. A right engine fails here with a probability of 1e-6 a
run.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from specref import probs
from specref.adapters.reference import Looped
from specref.judge.contract import Completion, Metrics, SamplingParams
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.text.scenario import TextCall, TextRequest, TextScenario
from specref.judge.zoo.engine_bugs import ENGINE_BUGS
from specref.judge.zoo.engine_controls import ENGINE_CONTROLS, Blind, PrefillGivesOne, WithoutStops
from specref.judge.zoo.judged import trial

ENGINE = {item.id: item for item in checks("engine")}
BUGS = {bug.name: bug for bug in ENGINE_BUGS}
# Thousands of texts each: `specref zoo --level engine` has them.
SLOW = {"seed-plus-step", "rows-mirrored"}
GREEDY = SamplingParams(temperature=0.0, stop_ids=(31,))
TEXT = [
    "engine.ends",
    "engine.metrics",
    "engine.draft-is-target",
]


# Two greedy rows, for what a check by scenarios says at once.
SCENARIO = TextScenario(
    "long-wide",
    (
        TextCall(
            tuple(
                TextRequest(tuple(range(size)), replace(GREEDY, max_new_tokens=size))
                for size in (9, 14)
            )
        ),
    ),
).as_text()


def run(engine, *names, budget=0.0, mde=None):
    session = Session("test", "engine", 0, budget, mde, scenario=SCENARIO)
    said = judge(engine, session, [ENGINE[name] for name in names])
    return {verdict.id: verdict for verdict in said}


@pytest.mark.parametrize("name", sorted(BUGS.keys() - SLOW))
def test_a_bug_is_convicted_by_the_check_it_names(name):
    bug = BUGS[name]
    verdict = trial(bug, "engine", budget=60, only=[bug.caught_by]).verdict
    assert verdict is not None
    assert verdict.id == bug.caught_by
    assert ("raises in" in verdict.what) <= bug.crashes, verdict.what


@pytest.mark.parametrize("name", ["shared-stream", "seed-by-place", "streams-run-out"])
def test_texts_that_come_twice_are_seen_at_once(name):
    """However many rows there are: 320 of one text are less likely than two of them."""
    verdict = trial(BUGS[name], "engine", budget=0, only=["engine.rows"]).verdict
    assert verdict is not None
    assert " rows write the same " in verdict.what


def test_the_zoo_has_bugs_and_controls_enough():
    assert len(BUGS) == len(ENGINE_BUGS) >= 45
    assert len({control.name for control in ENGINE_CONTROLS}) == len(ENGINE_CONTROLS) >= 12
    assert {bug.caught_by for bug in ENGINE_BUGS} <= ENGINE.keys()


def test_every_check_names_what_it_asks_and_what_it_can_miss():
    for item in ENGINE.values():
        assert item.question.endswith("?")
        assert item.about


@pytest.mark.parametrize("kind", [WithoutStops, PrefillGivesOne])
def test_other_conventions_of_telling_a_text_are_right(kind):
    said = run(kind, *TEXT)
    assert {verdict.verdict for verdict in said.values()} == {"PASS"}, [
        v.what for v in said.values()
    ]


def test_controls_that_are_told_apart_by_counts_alone():
    for name in ("engine without bonus", "engine that does not count steps", "resting engine"):
        (control,) = (control for control in ENGINE_CONTROLS if control.name == name)
        assert (
            trial(
                control,
                "engine",
                budget=0,
                only=["engine.metrics", "engine.draft-is-target", "engine.after-reject"],
            ).verdict
            is None
        ), name


def test_nothing_passes_where_speculation_is_not_seen():
    (plain,) = (control for control in ENGINE_CONTROLS if control.name == "engine without a draft")
    for subject in (Blind, trial.__globals__["PLUGS"]["engine"](plain.subject)):
        said = run(subject, "engine.plain", "engine.greedy", "engine.ends", "engine.logprobs")
        assert said.pop("engine.plain").verdict == "PASS"
        assert {verdict.verdict for verdict in said.values()} == {"UNVERIFIED"}
        assert all("speculation was not seen to run" in verdict.what for verdict in said.values())


def test_penalties_may_count_the_prompt(monkeypatch):
    right = probs.history

    def with_prompt(*args, **kwargs):
        past = right(*args, **kwargs)
        return replace(past, output=past.output + past.prompt)

    for module in ("decode", "draft.base"):
        monkeypatch.setattr(f"specref.{module}.history", with_prompt)
    verdict = run(Looped, "engine.penalties", budget=40, mde=0.08)["engine.penalties"]
    assert verdict.verdict != "FAIL"
    assert verdict.what.endswith(" texts: presence and frequency of prompt and output")


class Spoiled(Looped):
    """Right completions, spoiled by `spoil`."""

    spoil: Callable[..., Any]

    def generate(self, prompts, params, *, speculative):
        return self.spoil(
            super().generate(prompts, params, speculative=speculative), prompts, params
        )


def one_id_on(done: Completion) -> Completion:
    return replace(done, tokens=[(token + 1) % 16 for token in done.tokens])


SPOILS = {
    "returns a NoneType": lambda done, prompts, params: None,
    "returns 2 completions": lambda done, prompts, params: done[:2],
    "is a list without tokens": lambda done, prompts, params: [one.tokens for one in done],
    "has as tokens float64 and no whole numbers: return a list of ints": (
        lambda done, prompts, params: [
            replace(one, tokens=[*map(float, one.tokens)]) for one in done
        ]
    ),
    "has as tokens a NoneType: return a list of ints": lambda done, prompts, params: [
        replace(one, tokens=None) for one in done
    ],
    "has tokens of the shape [1, 24]": lambda done, prompts, params: [
        replace(one, tokens=[one.tokens]) for one in done
    ],
    "holds token -1": lambda done, prompts, params: [replace(one, tokens=[-1]) for one in done],
    "holds token 32": lambda done, prompts, params: [replace(one, tokens=[32]) for one in done],
    "finish_reason 'eos'": lambda done, prompts, params: [
        replace(one, finish_reason="eos") for one in done
    ],
    "has the metrics None": lambda done, prompts, params: [
        replace(one, metrics=None) for one in done
    ],
    "has as metrics.drafted -1: return a count": lambda done, prompts, params: [
        replace(one, metrics=Metrics(1, -1, 0)) for one in done
    ],
    "has as metrics.accepted float64 and no whole numbers: return a count": (
        lambda done, prompts, params: [
            replace(one, metrics=Metrics(None, 1, 0.5))  # type: ignore[arg-type]
            for one in done
        ]
    ),
    "has as logprobs a NoneType: return a list of floats": lambda done, prompts, params: [
        replace(one, logprobs=None) for one in done
    ],
    "has the logprobs [0.5]": lambda done, prompts, params: [
        replace(one, logprobs=[0.5]) for one in done
    ],
    "changes the prompts": lambda done, prompts, params: prompts[0].append(0) or done,
    "instead of": lambda done, prompts, params: [one_id_on(one) for one in done],
    "begins with its prompt": lambda done, prompts, params: [
        Completion(
            prompt + one.tokens, one.finish_reason, [0.0] * len(prompt + one.tokens), one.metrics
        )
        for prompt, one in zip(prompts, done, strict=True)
    ],
    "goes on for 1 tokens after its 24 tokens": lambda done, prompts, params: [
        replace(one, tokens=[*one.tokens, 0], logprobs=[*one.logprobs, 0.0]) for one in done
    ],
}


@pytest.mark.parametrize("message", SPOILS)
def test_what_is_no_answer_is_a_failure_in_one_line(message):
    class Bad(Spoiled):
        spoil = staticmethod(SPOILS[message])

    verdict = run(Bad, "engine.plain")["engine.plain"]
    assert verdict.verdict == "FAIL"
    assert message in verdict.what
    assert "\n" not in verdict.what


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, tuple])
def test_arrays_and_tensors_are_taken_for_lists(kind):
    """What a decoder has at hand is what it may return, counts too."""

    class Handy(Spoiled):
        @staticmethod
        def spoil(done, prompts, params):
            return [
                replace(
                    one,
                    tokens=kind(one.tokens),
                    logprobs=kind(one.logprobs),
                    metrics=Metrics(
                        torch.tensor(one.metrics.target_steps),  # type: ignore[arg-type]
                        np.int32(one.metrics.drafted),  # type: ignore[arg-type]
                        torch.tensor([one.metrics.accepted]),  # type: ignore[arg-type]
                    ),
                )
                for one in done
            ]

    said = run(Handy, "engine.plain", "engine.greedy", "engine.logprobs")
    assert {verdict.verdict for verdict in said.values()} == {"PASS"}, [
        v.what for v in said.values()
    ]


def test_an_engine_that_raises_is_reported_and_the_others_go_on():
    class Raises(Looped):
        def generate(self, prompts, params, *, speculative):
            if speculative:
                raise KeyError("nothing\nthere")
            return super().generate(prompts, params, speculative=speculative)

    said = run(Raises, "engine.plain", "engine.answers", "engine.token-bets")
    assert said["engine.plain"].verdict == "PASS"
    assert {said[name].verdict for name in ("engine.answers", "engine.token-bets")} == {"FAIL"}
    assert "raises in generate" in said["engine.token-bets"].what
    assert "KeyError" in said["engine.answers"].what


def test_what_an_engine_has_not_is_not_asked_for():
    class Bare(Looped):
        supports = frozenset({"metrics"})

        def generate(self, prompts, params, *, speculative):
            assert len(prompts) == 1
            assert not isinstance(params, list)
            assert params.temperature == 0
            assert params.seed is None
            return super().generate(prompts, params, speculative=speculative)

    said = run(
        Bare,
        "engine.greedy",
        "engine.ends",
        "engine.metrics",
        "engine.logprobs",
        "engine.token-bets",
        "engine.seeds",
        "engine.rows",
        "engine.batch",
        "engine.top-k",
    )
    assert not [v.what for v in said.values() if v.verdict == "FAIL"]
    assert said["engine.token-bets"].verdict == "UNSUPPORTED"
    assert said["engine.greedy"].verdict == "PASS"


def test_engines_are_closed_and_their_checkpoints_removed():
    made, closed = [], []

    class Held(Looped):
        def __init__(self, target, draft):
            super().__init__(target, draft)
            made.append(target)

        def close(self):
            closed.append(self)

    run(Held, "engine.plain", "engine.greedy")
    assert len(closed) == len(made) > 1
    assert not any(folder.exists() for folder in made)
