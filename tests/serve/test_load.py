"""Bad input and heavy load: nothing deadlocks or starves, nothing is lost, errors are clear.

Protects: a server from the one request that could bring it to a stop, and everybody else from that
request.
"""

import threading

import pytest
import torch
from specref.data import Draft, SamplingParams, SpecrefError
from specref.draft.base import Drafter
from specref.draft.none import NoDrafter
from specref.serve import ServingEngine, ServingSettings
from specref.serve.depth_policy import DepthPolicy
from specref.serve.engine_thread import EngineThread, PendingRequest
from specref.serve.sequence import Event
from specref.verify import RULES

from tests.serve.players import MODEL, players, rule_of

RULE = RULES["rejection"]
PARAMS = SamplingParams(seed=1, max_new_tokens=4)


def engine(drafter=None, **settings) -> ServingEngine:
    return ServingEngine(
        MODEL,
        drafter or NoDrafter(),
        RULE,
        ServingSettings(**{"gamma": 2, "blocks": 20, "block_size": 4} | settings),
    )


def finished(serving) -> dict:
    done = {}
    while serving.busy:
        for event in serving.step():
            if event.ended:
                done[event.name] = event
    return done


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ([], PARAMS, "prompt 0 is empty"),
        ([7], PARAMS, r"token 7, outside 0\.\.6"),
        ([1] * 48, PARAMS, "48 tokens and the context 48: shorten it to 47"),
        (
            [1] * 30,
            SamplingParams(max_new_tokens=18),
            "need 12 blocks and the cache has 10: shorten the request",
        ),
        ([1], SamplingParams(max_new_tokens=4, logit_bias={9: 1.0}), "logit_bias names token 9"),
        (
            [1],
            SamplingParams(max_new_tokens=4, logit_bias=dict.fromkeys(range(7), -torch.inf)),
            "only -inf",
        ),
        (
            [1],
            SamplingParams(max_new_tokens=4, min_tokens=1, stop_ids=tuple(range(7))),
            "only -inf",
        ),
    ],
)
def test_what_can_never_be_served_is_refused_at_the_door(prompt, params, message):
    serving = engine(blocks=10)
    serving.add([1, 2], PARAMS, "good")
    with pytest.raises(SpecrefError, match=message) as caught:
        serving.add(prompt, params)
    assert "\n" not in str(caught.value)
    assert len(finished(serving)["good"].so_far.tokens) == 4, "the others never notice"


@pytest.mark.parametrize(
    "settings", [{"gamma": -1}, {"rows": 0}, {"chunk": 0}, {"blocks": 0}, {"block_size": 0}]
)
def test_settings_that_serve_nobody_are_refused(settings):
    with pytest.raises(SpecrefError, match="is not possible: give"):
        engine(**settings)


def test_a_name_in_use_is_refused_and_may_be_used_again_later():
    serving = engine()
    serving.add([1], PARAMS, "one")
    with pytest.raises(SpecrefError, match="'one' is being served: choose another name"):
        serving.add([2], PARAMS, "one")
    assert len(finished(serving)) == 1
    serving.add([2], PARAMS, "one")
    assert len(finished(serving)) == 1


def test_no_tokens_wanted_is_an_answer_too():
    serving = engine()
    serving.add([1], SamplingParams(max_new_tokens=0), "none")
    assert finished(serving)["none"].so_far.finish_reason == "length"
    assert serving.generate([[1]], SamplingParams(max_new_tokens=0))[0].tokens == []


def test_a_thousand_requests_on_a_small_cache_are_all_answered_in_bounded_steps():
    serving = engine(players(MODEL)["n-gram"][1](), blocks=9, block_size=2, rows=3)
    asked = {
        serving.add([1 + n % 5, n % 7], SamplingParams(seed=n, max_new_tokens=1 + n % 3)): 1 + n % 3
        for n in range(1000)
    }
    done = finished(serving)
    assert {name: len(event.so_far.tokens) for name, event in done.items()} == asked
    assert serving.steps <= sum(2 + count for count in asked.values())
    assert serving.pool.free == 9


def test_one_request_may_take_all_blocks_and_the_others_come_after_it():
    serving = engine(blocks=12, block_size=4, rows=4)
    serving.add([1] * 8, SamplingParams(seed=1, max_new_tokens=40), "large")
    for number in range(3):
        serving.add([2, 3], SamplingParams(seed=number, max_new_tokens=12), str(number))
    done = finished(serving)
    assert {name: len(event.so_far.tokens) for name, event in done.items()} == {
        "large": 40,
        "0": 12,
        "1": 12,
        "2": 12,
    }
    assert serving.preemptions > 0


def test_cancelling_frees_the_blocks_whatever_the_request_is_doing():
    serving = engine(chunk=3, rows=2)
    for name in ("decodes", "reads", "waits"):
        serving.add(
            [1, 2, 3, 4, 5, 6] if name == "reads" else [1],
            SamplingParams(seed=1, max_new_tokens=9),
            name,
        )
    serving.step()
    for name in ("decodes", "reads", "waits", "nobody"):
        serving.cancel(name)
    assert not serving.busy
    assert serving.pool.free == serving.pool.blocks
    assert len(serving.generate([[1]], PARAMS)[0].tokens) == 4


class Breaks(Drafter):
    """Proposes a token that is none, for texts that hold a 6."""

    def propose(self, text, budget, chance):
        tokens = torch.tensor([[99 if 6 in row else 1] for row in text.tokens])
        return Draft.chain(tokens, None, torch.ones(len(tokens), dtype=torch.int64).minimum(budget))


def test_a_step_that_fails_ends_those_in_it_with_an_error_and_serves_the_rest():
    serving = engine(Breaks(), rows=1)
    serving.add([6], PARAMS, "bad")
    serving.add(
        [1], SamplingParams(temperature=0, max_new_tokens=3, logit_bias={6: -torch.inf}), "good"
    )
    done = finished(serving)
    assert "outside 0..6" in done["bad"].error
    assert len(done["good"].so_far.tokens) == 3
    assert serving.pool.free == serving.pool.blocks


def told(desk: EngineThread, prompt=(1,), params=PARAMS) -> Event:
    """The last event of a request."""
    pending = PendingRequest(prompt, params)
    desk.submit(pending)
    return last(pending)


def last(pending: PendingRequest) -> Event:
    while True:
        _, event = pending.events.get(timeout=10)
        assert isinstance(event, Event)
        if event.ended:
            return event


class Bug(NoDrafter):
    """Raises at a text whose last token is 6."""

    def propose(self, text, budget, chance):
        chance.accept(torch.full((len(text.tokens), 1), 0.5))  # it draws before it raises
        if any(row[-1] == 6 for row in text.tokens):
            raise ZeroDivisionError("a bug\nin two lines")
        return super().propose(text, budget, chance)


def test_a_bug_in_a_step_reaches_the_request_that_has_it_and_the_desk_goes_on():
    desk = EngineThread(engine(Bug()))
    assert told(desk, [6]).error == "the server failed (ZeroDivisionError: a bug)"
    banned = SamplingParams(max_new_tokens=4, logit_bias={6: -torch.inf})
    assert len(told(desk, [1], banned).so_far.tokens) == 4
    assert not desk.failure
    desk.close()


@pytest.mark.parametrize("where", range(5))
@pytest.mark.parametrize("kind", ["rule", "drafter", "memory"])
@pytest.mark.parametrize("name", ["model", "n-gram", "mtp", "medusa drawn", "bushy"])
def test_neighbours_of_a_request_that_fails_keep_their_exact_tokens(name, kind, where):
    """In every position of a batch, whichever part raises, and for drafters with a state."""
    rule_name, make = players(MODEL)[name]
    rule, drafter = rule_of(rule_name, 1), make()
    wrong = ([1, 6], SamplingParams(seed=9, max_new_tokens=5, temperature=float(kind != "rule")))
    if kind == "rule":
        served = _raising_rule(rule)
    else:
        served = rule
        drafter.propose = _raising(drafter.propose, MemoryError if kind == "memory" else None)
    good = {
        str(row): ([1 + row % 5] * (1 + row), SamplingParams(seed=row, max_new_tokens=7 + row))
        for row in range(5)
    }
    for one in good.values():
        one[1].logit_bias[6] = -torch.inf
    settings = ServingSettings(gamma=2, rows=8, blocks=60, block_size=4, chunk=8)
    serving = ServingEngine(MODEL, drafter, served, settings)
    for row, (key, one) in enumerate(good.items()):
        if row == where:
            serving.add(*wrong, "bad")
        serving.add(*one, key)
    if where == 0:
        serving.step()  # the neighbours may have begun
    done = finished(serving)
    assert done["bad"].error
    for key, (prompt, params) in good.items():
        alone = ServingEngine(MODEL, make(), rule, settings)
        assert done[key].so_far.tokens == alone.generate([prompt], params)[0].tokens, key
    assert serving.pool.free == serving.pool.blocks
    assert not serving.suspects


def test_those_that_step_alone_have_the_whole_cache():
    """Two of them do not fit together."""
    serving = engine(Bug(), blocks=6, block_size=4, rows=3)
    banned = SamplingParams(seed=1, max_new_tokens=6, logit_bias={6: -torch.inf})
    serving.add([1] * 12, banned, "first")
    serving.add([2] * 16, banned, "second")
    serving.add([6], banned, "bad")
    serving.suspects = [0, 1, 2]
    done: dict[str, Event] = {}
    for _ in range(60):
        done |= {event.name: event for event in serving.step() if event.ended}
    assert {name: len(event.so_far.tokens) for name, event in done.items()} == {
        "bad": 0,
        "first": 6,
        "second": 6,
    }


def _raising(propose, error):
    """The same proposals, which are drawn before it raises for a text that holds a 6."""

    def proposing(text, budget, chance):
        draft = propose(text, budget, chance)
        if any(6 in row for row in text.tokens):
            raise (error or SpecrefError)("the drafter cannot go on: use another")
        return draft

    return proposing


def _raising_rule(rule):
    """The same verdicts, which are drawn before it raises for a row at temperature 0."""

    def judging(draft, p, chance):
        verdict = rule(draft, p, chance)
        if bool((p[:, 0].amax(-1) == 1).any()):
            raise ZeroDivisionError("a bug")
        return verdict

    return judging


def test_an_engine_that_fails_tells_everybody_and_says_so():
    class NoDepths(DepthPolicy):
        def depths(self, histories, gamma):
            raise ZeroDivisionError("a bug")

    failed = threading.Event()
    desk = EngineThread(engine(depth_policy=NoDepths(lambda rows, depth: 1.0)), failed.set)
    assert told(desk).error == "the server failed (ZeroDivisionError: a bug)"
    assert failed.wait(10)
    assert desk.failure == told(desk).error, "whoever comes later is told at once"
    desk.close()


def test_whoever_waits_when_the_desk_closes_is_told():
    desk = EngineThread(engine(Bug()))
    pending = [PendingRequest([1], SamplingParams(max_new_tokens=40)) for _ in range(40)]
    for one in pending:
        desk.submit(one)
    desk.close("closed")
    reasons = set()
    for one in pending:
        event = last(one)
        reasons.add(event.error or event.so_far.finish_reason)
    assert "closed" in reasons
    assert told(desk).error == "closed", "and whoever comes after"
