"""`specref serve` under the judge: the reference engine with speculation beside itself without, and
both beside a zoo bug.

The example of the docs, in one process: specref serve --port 8000; specref serve --drafter none
--port 8001; specref validate http://127.0.0.1:8000 --baseline http://127.0.0.1:8001
"""

import threading
from collections.abc import Iterator

import pytest
from specref.draft.base import Drafter
from specref.draft.none import NoDrafter
from specref.judge import contract
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from specref.model.tokenizer import Bytes
from specref.serve import ServingEngine, ServingSettings
from specref.serve.http_server import CompletionServer
from specref.verify import RULES

from tests.serve.players import players
from tests.stub import tiny

MODEL = tiny(seed=9, vocabulary=256, layers=1, context=400, sharp=0.8)
FEW = [item for item in checks("http") if not item.statistical]


def up(drafter: Drafter, rule: str = "rejection") -> CompletionServer:
    made = CompletionServer(
        ServingEngine(
            MODEL, drafter, RULES[rule], ServingSettings(gamma=3, rows=32, blocks=600, block_size=4)
        ),
        Bytes(),
    )
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    return made


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    running = {"model": up(players(MODEL)["model"][1]()), "none": up(NoDrafter())}
    yield {name: f"http://127.0.0.1:{made.port}" for name, made in running.items()}
    for made in running.values():
        made.shutdown()
        made.server_close()


def judged(url: str, baseline: str, ids: list[str], budget: float = 60) -> dict[str, Verdict]:
    adapter = contract.Server()
    adapter.url, adapter.baseline = url, baseline
    chosen = [item for item in checks("http") if item.id in ids]
    return {v.id: v for v in judge(adapter, Session(url, "http", budget=budget), chosen)}


def test_the_reference_server_passes_every_check_of_single_answers(servers: dict[str, str]) -> None:
    said = judged(servers["model"], servers["none"], [item.id for item in FEW])
    assert {v.id: v.what for v in said.values() if v.verdict != "PASS"} == {}


def test_a_server_that_does_not_speculate_is_not_said_to_be_verified(
    servers: dict[str, str],
) -> None:
    said = judged(servers["none"], servers["model"], ["http.speculation", "http.counts"])
    assert said["http.speculation"].verdict == "UNVERIFIED"


def test_another_model_is_convicted_over_http(servers: dict[str, str]) -> None:
    """A baseline of other weights stands for a speculating server of another distribution."""
    other = CompletionServer(
        ServingEngine(
            tiny(seed=10, vocabulary=256, layers=1, context=400, sharp=0.8),
            NoDrafter(),
            RULES["rejection"],
            ServingSettings(gamma=0, rows=32, blocks=600, block_size=4),
        ),
        Bytes(),
    )
    threading.Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
    try:
        said = judged(
            servers["model"], f"http://127.0.0.1:{other.port}", ["http.greedy", "http.logprobs"]
        )
        assert said["http.greedy"].verdict == "FAIL"
        # by whether any two texts begin alike
        assert said["http.logprobs"].verdict in ("FAIL", "INCONCLUSIVE")
    finally:
        other.shutdown()
        other.server_close()


def test_without_a_baseline_the_distributions_are_not_supported_and_the_rest_is(
    servers: dict[str, str],
) -> None:
    said = judged(servers["model"], "", ["http.greedy", "http.law", "http.max-tokens"])
    assert {v.id: v.verdict for v in said.values()} == {
        "http.greedy": "UNSUPPORTED",
        "http.law": "UNSUPPORTED",
        "http.max-tokens": "PASS",
    }
    assert "--baseline" in said["http.law"].what
    said = judged(servers["model"], "", ["http.own-law"], 2)
    assert said["http.own-law"].verdict == "INCONCLUSIVE"
    assert said["http.own-law"].n > 0
