"""What an adapter says reaches a terminal and a report without secrets and control characters.

Protects: keys in headers, passwords in URLs, and the terminal of whoever judges a stranger's
engine.
"""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.judge.cleaning import HIDDEN, Cleaner


def test_secrets_are_hidden_wherever_they_stand() -> None:
    cleaner = Cleaner()
    cleaner.learn(["Bearer sk-12345\n", "yes", "application/json"])
    said = cleaner.value({"a sk-12345": ["Invalid header b'Bearer sk-12345\\n'", ("yes", 3, None)]})
    assert said == {f"a {HIDDEN}": [f"Invalid header b'{HIDDEN}\\n'", ("yes", 3, None)]}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:pass@host:1/v1", f"http://{HIDDEN}@host:1/v1"),
        ("see https://me@host now", f"see https://{HIDDEN}@host now"),
        ("http://host/a@b", "http://host/a@b"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_who_logs_in_is_hidden(url: str, shown: str) -> None:
    assert Cleaner().text(url) == shown


def test_a_terminal_gets_no_orders() -> None:
    text = "\x1b[2J \x9b1m \u202e \udcff line\n\ttab \N{BOX DRAWINGS LIGHT HORIZONTAL}"
    assert Cleaner().text(text) == (
        "\\x1b[2J \\x9b1m \\u202e \\udcff line\n\ttab \N{BOX DRAWINGS LIGHT HORIZONTAL}"
    )


ADAPTER = """
from specref.judge.contract import Kernel, Server

class Escapes(Kernel):
    name = "\\x1b[31mred\\udcff"
    def verify(self, p, q, draft, seed):
        print("\\x1b[2Jprinted")
        raise ValueError("\\x1b]0;title\\x07 \\udcff")

class Keyed(Server):
    url = baseline = "http://me:hunter2@127.0.0.1:9/v1"
    headers = {"Authorization": "Bearer sk-secret-token\\n"}
"""


@pytest.mark.parametrize("name", ["Escapes", "Keyed"])
def test_no_report_shows_them(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = tmp_path / "adapter.py"
    adapter.write_text(ADAPTER)
    code = main(["validate", f"{adapter}:{name}", "--budget", "3", "--report", str(tmp_path / "r")])
    said = capsys.readouterr()
    texts = [said.out, said.err]
    for path in (tmp_path / "r").iterdir():
        texts.append(path.read_text(encoding="utf-8"))
    assert code in (1, 2, 3), said
    for text in texts:
        assert "\x1b" not in text.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert "\\u001b" not in text
        assert "hunter2" not in text
        assert "sk-secret-token" not in text
    if name == "Escapes":
        report = json.loads((tmp_path / "r" / "report.json").read_text())
        assert "\\x1b[31mred\\udcff" in json.dumps(report).encode().decode("unicode_escape")
