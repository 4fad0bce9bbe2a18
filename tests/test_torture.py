"""`make torture` sees the faults that it is for: with a mechanism taken out, its area ends badly.

Protects: the figures on the page "Faults and load".
"""

import json
import random
from pathlib import Path

import pytest
from specref.chance import Stream
from specref.data import SpecrefError
from specref.serve.http_server import Handler

from tests.torture import files, server
from tests.torture.tally import Tally


def draw() -> random.Random:
    return random.Random(3)


def test_a_few_of_each_end_well(tmp_path: Path) -> None:
    for tally in (
        server.beside_good_ones(draw(), 20),
        server.garbage(draw(), 40),
        server.cut_off(draw(), 9),
        files.arguments(draw(), 60, tmp_path),
        files.killed_writers(draw(), 1, tmp_path),
    ):
        assert tally.bad == []
        assert tally.tried > 0
        assert json.dumps(tally.as_json())


def test_what_goes_wrong_beside_good_requests_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours of a request that fails draw other numbers."""
    monkeypatch.setattr(Stream, "rewind", lambda stream, taken: None)
    assert server.beside_good_ones(draw(), 40).bad


def test_an_answer_that_is_no_json_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Handler, "send_error")
    assert server.garbage(draw(), 40).bad


def test_blocks_that_are_kept_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_soon", lambda condition: condition())
    monkeypatch.setattr(server.CompletionServer, "server_close", lambda made: None)
    monkeypatch.setattr("specref.serve.engine_thread.EngineThread.cancel", lambda *words: None)
    assert server.cut_off(draw(), 9).bad


def test_a_file_that_is_written_in_place_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = "import time\nfile = open(sys.argv[1], 'w')\nfile.write('{')\nfile.flush()\n"
    monkeypatch.setattr(files, "WRITES", "import sys\n" + halves + "time.sleep(60)")
    assert files.killed_writers(draw(), 1, tmp_path).bad


def test_an_error_of_another_kind_or_of_two_lines_is_seen() -> None:
    tally = Tally("area", "")

    def raises(error: Exception) -> object:
        raise error

    tally.attempt("fine", SpecrefError, lambda: None)
    tally.attempt("refused", SpecrefError, lambda: raises(SpecrefError("one line")))
    tally.attempt("two lines", SpecrefError, lambda: raises(SpecrefError("two\nlines")))
    tally.attempt("another", SpecrefError, lambda: raises(TypeError("x")))
    assert (tally.tried, len(tally.bad)) == (4, 2)
