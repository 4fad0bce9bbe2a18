"""Servers that are wrong are convicted over HTTP by the check that each names; right ones, however
unusual, by none.
"""

import time
from collections.abc import Callable
from io import BufferedReader

import pytest
from specref.judge.contract import Server
from specref.judge.load import Adapter, opened
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks
from specref.judge.verdict import Verdict
from specref.judge.zoo.adapters import adapter
from specref.judge.zoo.http_bugs import HTTP_BUGS, HTTP_CONTROLS, http_distance
from specref.judge.zoo.judged import trial
from specref.judge.zoo.toy_server import Loopback, Service, ToyHandler

BUGS = {bug.name: bug for bug in HTTP_BUGS}
CONTROLS = {control.name: control for control in HTTP_CONTROLS}
# thousands of texts: `specref zoo`
SLOW = {
    "http-short-coin",
    "http-hot-company",
    "http-bonus-from-q",
    "http-other-q",
    "http-residual-from-p",
}


@pytest.mark.parametrize("name", [name for name in BUGS if name not in SLOW])
def test_bug_is_convicted_by_the_check_it_names(name: str) -> None:
    tried = trial(BUGS[name], "http", budget=30, only=[BUGS[name].caught_by])
    assert tried.convicted
    assert tried.verdict is not None
    assert "\n" not in tried.verdict.what


def verdicts(name: str, statistical: bool) -> dict[str, Verdict]:
    """Of the checks that need a few requests, or of those that need many, one slice each."""
    chosen = [item for item in checks("http") if item.statistical == statistical]
    with opened(Adapter(adapter(CONTROLS[name].subject), "http", name)) as plugged:
        return {
            verdict.id: verdict
            for verdict in judge(
                plugged.subject,
                Session(name, "http", budget=0 if statistical else 30),
                chosen,
            )
        }


@pytest.mark.parametrize("name", CONTROLS)
def test_control_fails_no_check_and_speculation_is_seen(name: str) -> None:
    said = verdicts(name, False)
    assert [v for v in said.values() if v.verdict not in ("PASS", "UNSUPPORTED")] == []
    for each in (
        "http.speculation",
        "http.greedy",
        "http.stop",
        "http.max-tokens",
        "http.concurrency",
        "http.seeds",
    ):
        assert said[each].verdict == "PASS", each


def test_a_slice_of_every_test_of_a_distribution_says_that_it_is_too_little() -> None:
    said = verdicts("http right", True)
    chat = said.pop("http.scored-chat")
    assert chat.verdict == "UNSUPPORTED", chat.what  # it has no chat
    assert {v.verdict for v in said.values()} == {"INCONCLUSIVE"}
    assert all(v.alpha and (v.sees is None or v.sees > 0.1) for v in said.values())


def test_every_check_but_those_of_the_address_and_of_speculation_convicts_a_bug() -> None:
    # which the next test convicts
    named = {bug.caught_by for bug in HTTP_BUGS} | {"http.malformed"}
    # no server of the zoo has a chat endpoint: test_http_scored.py has one
    idle = {"http.reachable", "http.speculation", "http.scored-chat"}
    assert {item.id for item in checks("http")} - named == idle


def closes(handler: ToyHandler) -> None:
    handler.close_connection = True


def texts(handler: ToyHandler) -> None:
    handler.send(200, handler.server.service.answer({"prompt": [1], "max_tokens": 4}, "openai"))


@pytest.mark.parametrize(
    ("does", "verdict", "said"),
    [
        (lambda handler: handler.send(400, {"error": "no JSON"}), "PASS", "refused with HTTP 400"),
        (
            lambda handler: handler.send(500, {"error": "no JSON"}),
            "UNSUPPORTED",
            "gets HTTP 500 and no text",
        ),
        (
            lambda handler: handler.send(200, {"error": "no JSON"}),
            "UNSUPPORTED",
            "gets HTTP 200 and no text",
        ),
        (lambda handler: handler.send(200, b"what?"), "UNSUPPORTED", "gets HTTP 200 and no text"),
        (closes, "FAIL", "gets no answer: POST"),
        (lambda handler: time.sleep(1), "FAIL", "no answer within 0.5 s"),
        (texts, "FAIL", "is answered with a text"),
    ],
)
def test_a_body_that_is_no_json(
    does: Callable[[ToyHandler], None], verdict: str, said: str
) -> None:
    """A crash, silence and a text are failures; an unusual status is told, and sinks no verdict."""

    class Unusual(ToyHandler):
        def do_POST(self) -> None:  # noqa: N802
            length = int(self.headers["Content-Length"])
            assert isinstance(self.rfile, BufferedReader)
            if self.rfile.peek(length)[:length].endswith(b"}"):
                super().do_POST()
            else:
                self.rfile.read(length)
                does(self)

    server, adapter = Loopback(Service(), Unusual), Server()
    adapter.url, adapter.timeout = server.url, 0.5
    try:
        chosen = [item for item in checks("http") if item.id == "http.malformed"]
        (found,) = judge(adapter, Session("", "http", budget=10), chosen)
    finally:
        server.close()
    assert found.verdict == verdict
    assert said in found.what


def test_the_distributions_of_the_planted_bugs_are_off_and_those_of_the_controls_are_exact() -> (
    None
):
    assert (http_distance(BUGS["http-argmax-draft"].subject) or 0) > 0.05
    assert http_distance(CONTROLS["http lookup"].subject) == 0


def test_a_bug_of_length_is_no_question_of_a_distribution() -> None:
    """Its worlds could not be counted in hours. Where a stop comes late there is a distribution,
    and it is right.
    """
    assert http_distance(BUGS["http-whole-blocks"].subject) is None
    assert http_distance(BUGS["http-no-stop"].subject) == 0
