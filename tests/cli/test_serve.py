"""`specref serve` as a process: it says where it is, and ends well.

Protects: whoever waits for an answer when the server is told to end, and supervisors that read exit
codes.
"""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TEMPLATE = "{% for one in messages %}{{ one.role }}: {{ one.content }}{% endfor %}"


@pytest.fixture
def served(models: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """The process and its port."""
    words = ["serve", "--target", str(models / "target"), "--drafter", "ngram", "--port", "0"]
    command = [sys.executable, "-m", "specref", *words, "--threads", "1"]
    (models / "target" / "chat_template.jinja").write_text(TEMPLATE)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    yield process, int(said.split(":")[-1].split("/")[0])
    process.kill()
    process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_streams_with_a_word(
    served: tuple[subprocess.Popen, int], number: int, code: int
) -> None:
    process, port = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = {"prompt": "a", "max_tokens": 100, "n": 16, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    response = connection.getresponse()
    response.read(10)
    process.send_signal(number)
    last = response.read().split(b"data: ")[-1]
    assert process.wait(20) == code
    assert json.loads(last)["error"]["message"] == "the server is shutting down"


def test_a_target_with_a_chat_template_answers_messages(
    served: tuple[subprocess.Popen, int],
) -> None:
    body = {"max_tokens": 5, "seed": 1, "return_token_ids": True}
    asked = (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"prompt": "user: hi"}),
    )
    told = []
    for path, prompt in asked:
        connection = http.client.HTTPConnection("127.0.0.1", served[1], timeout=30)
        connection.request("POST", path, json.dumps(body | prompt))
        told.append(json.loads(connection.getresponse().read()))
    chat, plain = told
    assert chat["choices"][0]["token_ids"] == plain["choices"][0]["token_ids"]
    assert chat["choices"][0]["message"]["content"] == plain["choices"][0]["text"]


def test_a_port_in_use_is_one_line(served: tuple[subprocess.Popen, int], models: Path) -> None:
    words = ["serve", "--target", str(models / "target"), "--drafter", "ngram"]
    done = subprocess.run(
        [sys.executable, "-m", "specref", *words, "--port", str(served[1])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {served[1]} is not free" in done.stderr
