"""`http.scored-law` over HTTP: the reference server with and without a fault, beside the plain one
and the draft's.

Protects: servers from being accused by scores that are wrong, and their users from faults that only
show towards the draft.
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from specref.chance import Chance
from specref.data import Draft
from specref.data import Verdict as Judged
from specref.draft.base import Drafter
from specref.draft.model import ModelDrafter
from specref.draft.none import NoDrafter
from specref.judge import client, contract
from specref.judge.job import Job
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks, http_scored
from specref.judge.verdict import Verdict
from specref.judge.zoo.toy_server import Loopback, Service, Target
from specref.model.tokenizer import Bytes
from specref.model.transformer import Transformer
from specref.serve import ServingEngine, ServingSettings
from specref.serve.http_server import CompletionServer
from specref.stats.betting import Bettor, Winner
from specref.stats.questions import EVERYWHERE, Observed
from specref.stats.scored_texts import ScoredShape, scored_questions
from specref.verify import Rule
from specref.verify.rejection import rejection
from torch import Tensor

from tests.stub import tiny

V = 32
TARGET = tiny(seed=3, vocabulary=V, layers=1, context=200, sharp=1.5, dtype=torch.float32)
DRAFT = tiny(seed=4, vocabulary=V, layers=1, context=200, sharp=1.5, dtype=torch.float32)


def from_draft(draft: Draft, p: Tensor, chance: Chance) -> Judged:
    """Every drafted token is accepted."""
    if draft.q is None or not draft.q.shape[1]:
        return rejection(draft, p, chance)
    p = p.clone()
    p[:, :-1] = draft.q
    return rejection(draft, p, chance)


def sharper(draft: Draft, p: Tensor, chance: Chance) -> Judged:
    """The plain server's own sampler is wrong: colder than its parameters say."""
    colder = p.pow(2)
    return rejection(draft, colder / colder.sum(-1, keepdim=True), chance)


class Urls:
    """Servers on demand, each started once."""

    def __init__(self) -> None:
        self.up: dict[str, CompletionServer] = {}
        self.kinds: dict[str, tuple[Transformer, Callable[[], Drafter], Rule]] = {
            "right": (TARGET, lambda: ModelDrafter(DRAFT), rejection),
            "wrong": (TARGET, lambda: ModelDrafter(DRAFT), from_draft),
            "plain": (TARGET, NoDrafter, rejection),
            "cold": (TARGET, NoDrafter, sharper),
            "draft": (DRAFT, NoDrafter, rejection),
        }

    def __getitem__(self, name: str) -> str:
        if name not in self.up:
            model, drafter, rule = self.kinds[name]
            engine = ServingEngine(
                model,
                drafter(),
                rule,
                ServingSettings(gamma=3, rows=32, blocks=900, block_size=8),
            )
            self.up[name] = CompletionServer(engine, Bytes())
            serve = self.up[name].serve_forever
            threading.Thread(target=serve, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self.up[name].port}"

    def close(self) -> None:
        for server in self.up.values():
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def urls() -> Iterator[Urls]:
    made = Urls()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_scored, "LENGTHS", (40, 32))
    monkeypatch.setattr(http_scored, "FIRST_TEXTS", 24)
    monkeypatch.setattr(http_scored, "LONG", 3)
    monkeypatch.setattr(http_scored, "MEASURED", 2)


def judged(
    server: str,
    baseline: str,
    draft: str = "",
    budget: float = 0.01,
    check: str = "http.scored-law",
) -> list[Verdict]:
    """All verdicts of the check, one after the other."""
    subject = contract.Server()
    subject.url, subject.baseline, subject.draft, subject.timeout = server, baseline, draft, 20
    chosen = [item for item in checks("http") if item.id == check]
    told: list[Verdict] = []

    def tell(event: str, check: str, verdict: Verdict | None) -> None:
        if verdict is not None:
            told.append(verdict)

    judge(subject, Session(server, "http", budget=budget), chosen, tell)
    return told


def test_texts_of_the_draft_are_convicted_after_the_control(urls: Urls) -> None:
    first, *_, last = judged(urls["wrong"], urls["plain"], urls["draft"], budget=60)
    assert first.verdict == "INCONCLUSIVE"
    assert last.verdict == "FAIL"
    assert last.n <= 5_000
    # the draft is so far off that most of what it writes has no name
    assert "draft" in last.what or "not among the likeliest" in last.what
    assert "own texts follow the same scores" in last.what
    assert "(a guess)" in last.cause
    assert last.tv is not None
    assert 0.05 < last.tv < 1
    (picture,) = last.pictures
    assert len(picture.outcomes) == len(picture.expected) == len(picture.observed)
    assert sum(picture.expected) == pytest.approx(1)


def test_a_right_server_passes_in_classes(urls: Urls) -> None:
    verdict = judged(urls["right"], urls["plain"], urls["draft"])[-1]
    # too few tokens for the level's MDE, and nothing wrong
    assert verdict.verdict == "INCONCLUSIVE"
    assert "scored by prompt_logprobs" in verdict.what
    assert "the draft by prompt_logprobs" in verdict.what
    assert verdict.reach[0].fault == "a lean to or from tokens that the draft prefers"
    assert verdict.reach[0].everywhere
    assert verdict.sees == (verdict.reach[0].tv or 1.0)


def test_two_prompts_hold_tokens_of_the_whole_vocabulary(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[http_scored.Prompt] = []
    batch = http_scored.Scoring.batch

    def watched(self: http_scored.Scoring, texts: http_scored.IdTexts, number: int) -> Observed:
        seen.extend(self.prompts[-2:])
        return batch(self, texts, number)

    monkeypatch.setattr(http_scored.Scoring, "batch", watched)
    judged(urls["right"], urls["plain"])
    tokens = [token for prompt in seen if isinstance(prompt, tuple) for token in prompt]
    assert len(tokens) == 24
    assert len(set(tokens)) > 12
    assert max(tokens) < V
    assert max(tokens) - min(tokens) > V // 2


def test_without_a_draft_the_check_looks_elsewhere(urls: Urls) -> None:
    *_, verdict = judged(urls["right"], urls["plain"])
    assert "no draft is given" in verdict.what
    assert verdict.reach
    assert not [one for one in verdict.reach if "draft" in one.fault]


def test_a_plain_server_that_its_own_scores_accuse_accuses_nobody(urls: Urls) -> None:
    """The server is wrong as well: it is the draft."""
    last = judged(urls["wrong"], urls["cold"], budget=60)[-1]
    assert last.verdict == "INCONCLUSIVE"
    assert last.method == "e-process"
    assert "the baseline's own texts do not follow" in last.what
    assert "nothing is said of the server" in last.what


def test_a_draft_that_is_no_server_is_done_without(urls: Urls) -> None:
    *_, verdict = judged(urls["right"], urls["plain"], "http://127.0.0.1:9")
    assert "nothing listens there" in verdict.what


def test_a_table_that_wins_is_told_by_what_its_cell_holds() -> None:
    shape = ScoredShape(2, 1, 1, 1, True)
    bettor = Bettor(scored_questions(shape), 0.01)
    for (outcome, context), table in bettor.tables.items():
        table.observed += 3
        table.expected += 1
        first, last = (
            http_scored.told_of_scores(
                bettor, Winner("table", (outcome, context), "", 1, True, (0, cell))
            )
            for cell in (0, table.observed.shape[1] - 1)
        )
        assert "not among the likeliest came 3 times where 1.0 were due" in last
        assert ("how much the draft prefers it" in first) == (outcome == "ratio rank")
        assert ("the 1. likeliest token" in first) == (outcome == "rank")
        assert first.endswith("due") == (context == EVERYWHERE)


class Failing:
    """In the place of a scorer: gives `good` calls' results, then raises."""

    def __init__(self, scorer: http_scored.Scorer, good: int, error: Exception):
        self.scorer, self.good, self.error = scorer, good, error
        self.named, self.name, self.side = scorer.named, scorer.name, scorer.side

    def score(self, prompt: http_scored.Ids, text: http_scored.Ids) -> http_scored.TextScores:
        return self.scorer.score(prompt, text)

    def score_all(
        self, texts: Sequence[tuple[http_scored.Ids, http_scored.Ids]]
    ) -> list[http_scored.TextScores]:
        self.good -= 1
        if self.good < 0:
            raise self.error
        return self.scorer.score_all(texts)


def failing_at(monkeypatch: pytest.MonkeyPatch, name: str, good: int, error: Exception) -> None:
    """The scorer of the side of that name fails after `good` series of texts, in the first try."""
    found = http_scored.find_scorer
    tried: list[str] = []

    def find(side, prompt, text):
        scorer, why = found(side, prompt, text)
        if side.name == name and scorer is not None and not tried:
            tried.append(name)
            return Failing(scorer, good, error), why
        return scorer, why

    monkeypatch.setattr(http_scored, "find_scorer", find)


def test_a_baseline_that_stops_scoring_is_not_the_servers_fault(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, "the baseline", 1, client.RefusedError(500, "no memory"))
    *_, verdict = judged(urls["right"], urls["plain"])
    assert verdict.verdict == "INCONCLUSIVE"
    assert "the baseline fails: no memory" in verdict.what


def test_a_draft_that_stops_scoring_is_left_out_at_a_smaller_error_rate(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, "the draft's server", 0, client.RefusedError(400, "no such token"))
    *_, verdict = judged(urls["right"], urls["plain"], urls["draft"])
    assert "no draft" in verdict.what
    *_, whole = judged(urls["right"], urls["plain"])
    assert whole.alpha is not None
    assert verdict.alpha == pytest.approx(whole.alpha / 8)


def test_texts_that_are_late_are_asked_shorter(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at(monkeypatch, "the baseline", 1, client.LateError("no answer within 20 s"))
    *_, verdict = judged(urls["right"], urls["plain"])
    assert "texts of up to 32 tokens" in verdict.case


def test_an_end_that_is_not_shown_is_not_bet_on(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_scored, "ENDS", 0)
    dialect = http_scored.Scoring._tokens

    def cut(self, answer):
        return dialect(self, http_scored.replace(answer, tokens=answer.tokens[:20]))

    monkeypatch.setattr(http_scored.Scoring, "_tokens", cut)
    *_, verdict = judged(urls["right"], urls["plain"])
    assert verdict.verdict == "UNSUPPORTED"
    assert "the token that ends them is not shown" in verdict.what


def test_the_reproduction_names_the_draft() -> None:
    job = Job("http://h", baseline="http://b", draft="http://d")
    assert job.reproduction("http", "http.scored-law").endswith(
        "--baseline http://b --draft http://d"
    )


class Chat(BaseHTTPRequestHandler):
    """A chat in front of a server of completions: the prompt is the message's bytes."""

    behind = ""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send(404, b"{}")

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/completions":
            return self.send(*self.asked(data))
        if self.path != "/v1/chat/completions":
            return self.send(404, b"{}")
        body = json.loads(data)
        content = body.pop("messages")[0]["content"]
        prompt = [letter % V for letter in content.encode()][:20]
        if body.pop("logprobs", None):
            return self.send(400, b'{"error": "no logprobs"}')
        status, told = self.asked(json.dumps({**body, "prompt": prompt}).encode())
        if status != 200:
            return self.send(status, told)
        answer = json.loads(told)
        answer["prompt_token_ids"] = prompt
        choice = answer["choices"][0]
        choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        self.send(200, json.dumps(answer).encode())

    def asked(self, data: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(
            self.behind + "/v1/completions", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return 200, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Chats(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128


@pytest.fixture
def chats(urls: Urls) -> Iterator[dict[str, str]]:
    up = {}
    for name in ("wrong", "plain"):
        kind = type("Kind", (Chat,), {"behind": urls[name]})
        up[name] = Chats(("127.0.0.1", 0), kind)
        threading.Thread(target=up[name].serve_forever, args=(0.05,), daemon=True).start()
    yield {name: f"http://127.0.0.1:{server.server_address[1]}" for name, server in up.items()}
    for server in up.values():
        server.shutdown()
        server.server_close()


def test_answers_to_messages_are_scored_as_completions(urls: Urls, chats: dict[str, str]) -> None:
    last = judged(chats["wrong"], chats["plain"], budget=60, check="http.scored-chat")[-1]
    assert last.verdict == "FAIL", last.what
    assert "after 8 prompts" in last.case
    right = judged(chats["plain"], chats["plain"], check="http.scored-chat")[-1]
    assert right.verdict in ("INCONCLUSIVE", "UNVERIFIED")
    assert right.n > 0
    none = judged(urls["right"], urls["plain"], check="http.scored-chat")[-1]
    assert none.verdict == "UNSUPPORTED"
    assert "no token ids come back" in none.what


def test_servers_that_give_no_ids_are_unsupported() -> None:
    mute = type("Mute", (Service,), {"ids": False})
    plain = type("Plain", (Target,), {"ids": False})
    servers = [Loopback(mute()), Loopback(plain())]
    try:
        *_, verdict = judged(servers[0].url, servers[1].url)
        assert verdict.verdict == "UNSUPPORTED"
        assert "no token ids come back" in verdict.what
    finally:
        for server in servers:
            server.close()
