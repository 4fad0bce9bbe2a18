"""The judge's HTTP client: what a server does wrong is one clear line; nothing goes anywhere but to
the address given.
"""

import socket
import threading

import pytest
from specref.judge import contract
from specref.judge.client import Client, RefusedError
from specref.judge.dialect import Ask, LlamaCpp, OpenAI, detect
from specref.judge.load import Adapter, NotLoadedError, opened
from specref.judge.server_pair import ServerPair
from specref.judge.session import MisbehavedError, Session
from specref.judge.suite.http_asks import reached
from specref.judge.zoo.toy_server import Loopback, Service, Target, ToyServer


class Raw:
    """A server that answers every connection with the same bytes, then closes."""

    def __init__(self, answer: bytes):
        self.answer, self.asked = answer, list[bytes]()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(1 << 16))
                connection.sendall(self.answer)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.close()


def http(body: bytes, status: str = "200 OK", length: int | None = None, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Length:"
        f" {len(body) if length is None else length}\r\n{more}\r\n".encode()
        + body
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "the connection closes before the answer is complete"),
        (http(b"{}", length=99), "the connection closes before the answer is complete"),
        (b"garbage\r\n\r\n", "the answer is no HTTP"),
        (http(b'{"choices": [{'), 'the answer is no JSON: {"choices": [{'),
        (http(b"busy", "503 Service Unavailable"), "HTTP 503: busy"),
        (
            http(b"", "302 Found", more="Location: http://example.org/\r\n"),
            "is sent on to http://example.org/",
        ),
        (http(b"{}"), "the answer has no choices"),
        (http(b"[1]"), "the answer has no choices"),
        (http(b'{"choices": [{"text": 7}]}'), "the answer has no text"),
        (http(b'{"choices": [{"text": "a", "token_ids": [0.5]}]}'), "token ids are [0.5]"),
        (
            http(b'{"choices": [{"text": "a"}], "usage": {"completion_tokens": -1}}'),
            "completion_tokens is -1",
        ),
    ],
)
def test_what_a_server_does_wrong_is_one_line(answer: bytes, said: str) -> None:
    with Raw(answer) as server, pytest.raises(MisbehavedError) as error:
        OpenAI().read(Client(server.url, timeout=5).post("/v1/completions", {}))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_refusal_keeps_its_status_and_nobody_there_is_another_error() -> None:
    with Raw(http(b"no", "429 Too Many Requests")) as server, pytest.raises(RefusedError) as error:
        Client(server.url, timeout=5).get("/")
    assert error.value.status == 429
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(MisbehavedError, match="nothing listens there"):
        Client(f"http://127.0.0.1:{port}").get("/")
    adapter = contract.Server()
    adapter.url = f"http://127.0.0.1:{port}"
    with (
        pytest.raises(NotLoadedError, match="start the server first"),
        opened(Adapter(adapter, "http", "nobody")),
    ):
        pass


def test_a_server_that_says_nothing_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(MisbehavedError, match=r"no answer within 0\.2 s"),
    ):
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2).get("/")


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Raw(http(b"proxy")) as proxy, Raw(http(b"server")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert Client(server.url, timeout=5).get("/") == b"server"
        assert proxy.asked == []


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again_and_asked_once() -> None:
    """A server may close an idle connection; that is no fault. Here every answer is the last of its
    connection.
    """
    with Raw(http(b"1")) as server:
        client = Client(server.url, timeout=5)
        assert [client.get("/") for _ in range(3)] == [b"1"] * 3
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("ids", "dialects", "name"),
    [
        (True, ("openai",), "return_token_ids"),
        (False, ("openai",), ""),
        (True, ("llama",), "tokens"),
        (True, ("llama", "openai"), "tokens"),
    ],
)
def test_the_dialect_and_the_way_of_ids_are_found_out(
    ids: bool, dialects: tuple[str, ...], name: str
) -> None:
    server = Loopback(type("Spoken", (Service,), {"ids": ids, "dialects": dialects})())
    try:
        for url in (server.url, server.url + "/"):
            client = Client(url)
            assert detect(client).ids == name
            client.close()
        if "openai" in dialects:
            client = Client(server.url + "/v1")
            assert detect(client).name == OpenAI.name
            client.close()
    finally:
        server.close()


def test_requests_say_what_was_asked_and_switch_off_what_was_not() -> None:
    ask = Ask(
        (1, 2),
        3,
        0.5,
        seed=4,
        stop=("x",),
        logprobs=2,
        more={"top_k": 5, "logit_bias": {"7": -1.0}},
    )
    openai = OpenAI("m").body(ask)
    assert openai == {
        "model": "m",
        "prompt": [1, 2],
        "max_tokens": 3,
        "temperature": 0.5,
        "seed": 4,
        "stop": ["x"],
        "logprobs": 2,
        "top_k": 5,
        "logit_bias": {"7": -1.0},
    }
    llama = LlamaCpp().body(ask)
    assert llama["samplers"] == ["top_k", "temperature"]
    assert (
        llama["n_predict"],
        llama["top_k"],
        llama["top_p"],
        llama["min_p"],
        llama["n_probs"],
    ) == (3, 5, 1.0, 0.0, 2)
    assert llama["logit_bias"] == [[7, -1.0]]
    assert "seed" not in LlamaCpp().body(Ask("a"))


def test_prompts_are_what_the_server_writes_and_all_of_them_are_understood() -> None:
    toy = ToyServer()
    toy.start()
    try:
        server_pair = reached(toy, Session("toy", "http"))
        assert server_pair.ids
        assert len(set(server_pair.prompts)) == len(server_pair.prompts) > 8
        assert all(
            side.ask(Ask(prompt, 1)).count == 1
            for prompt in server_pair.prompts
            for side in server_pair.sides
        )
        assert {
            name
            for name in (
                "seed",
                "top_k",
                "top_p",
                "min_p",
                "logit_bias",
                "penalties",
                "logprobs",
                "stop",
            )
            if server_pair.offers(name)
        } == {"seed", "top_k", "top_p", "min_p", "logit_bias", "logprobs", "stop"}
        server_pair.close()
    finally:
        toy.close()


def test_a_server_that_ignores_a_parameter_does_not_offer_it() -> None:
    class Deaf(Target):
        def wish(self, body, dialect):
            return super().wish(
                {k: v for k, v in body.items() if k not in ("seed", "top_k", "logit_bias")}, dialect
            )

    toy = ToyServer(Deaf, Deaf)
    toy.start()
    try:
        server_pair = ServerPair(toy, Session("toy", "http"))
        assert [server_pair.offers(name) for name in ("seed", "top_k", "logit_bias", "top_p")] == [
            False,
            False,
            False,
            True,
        ]
        server_pair.close()
    finally:
        toy.close()


def test_a_beginning_that_the_vocabulary_lacks_is_passed_over() -> None:
    """llama.cpp reads an unknown letter as no prompt at all, and answers with nothing: a judge that
    went on from there would find every text right."""

    class Upper(Target):
        def wish(self, body, dialect):
            if body.get("prompt") == "a":
                return super().wish({**body, "prompt": [0], "max_tokens": 1, "stop": None}, dialect)
            return super().wish(body, dialect)

        def told(self, out, wish, body, dialect):
            made = super().told(out, wish, body, dialect)
            if body.get("prompt") == "a":
                made["choices"][0] |= {"text": "", "token_ids": []}
            return made

    toy = ToyServer(Upper, Upper)
    toy.start()
    try:
        server_pair = ServerPair(toy, Session("toy", "http"))
        assert server_pair.prompts[-1] == (1,)
        assert len(server_pair.prompts) > 8
        server_pair.close()
    finally:
        toy.close()


def test_servers_that_write_nothing_are_not_judged_on_nothing() -> None:
    class Silent(Target):
        def told(self, out, wish, body, dialect):
            made = super().told(out, wish, body, dialect)
            made["choices"][0] |= {"text": "", "token_ids": []}
            return made

    toy = ToyServer(Silent, Silent)
    toy.start()
    try:
        with pytest.raises(MisbehavedError, match="give the adapter `prompts`"):
            ServerPair(toy, Session("toy", "http"))
    finally:
        toy.close()
