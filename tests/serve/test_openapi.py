"""The server does what its description says, whatever is asked: Schemathesis writes requests from
the description, possible and impossible ones.

Protects: clients that are made from `/openapi.json`, and the server from what nobody here thought
of. It looks for answers of 5xx, statuses, headers and bodies that the description does not have,
impossible requests that are served, and methods that a path lacks. In the seconds that it has it
sends a few hundred requests; `make torture` sends more, with another seed each time.
"""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from specref.draft.none import NoDrafter
from specref.model.tokenizer import Bytes
from specref.serve import ServingEngine, ServingSettings
from specref.serve.http_server import CompletionServer
from specref.verify import RULES

from tests.stub import tiny

MODEL = tiny(seed=9, vocabulary=256, layers=1, context=160, sharp=0.8)


def chat(messages) -> str:
    return "".join(f"{one['role']}: {one['content']}" for one in messages)


@pytest.fixture
def server():
    settings = ServingSettings(gamma=0, rows=16, blocks=400, block_size=4)
    engine = ServingEngine(MODEL, NoDrafter(), RULES["rejection"], settings)
    made = CompletionServer(engine, Bytes(), chat=chat)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def schemathesis(
    port: int, seconds: int, seed: int, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run it against a server. A request that is possible may still be too long for the context,
    so that a refusal of one is no failure. folder: for what it keeps.
    """
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis as s; s()", "run"]
    command += [f"http://127.0.0.1:{port}/openapi.json", "--phases", "coverage,fuzzing"]
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--no-color"]
    command += ["--max-time", str(seconds), "--seed", str(seed), "--continue-on-failure"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_server_is_as_its_description_says(server, tmp_path):
    told = schemathesis(server.port, 15, 1, tmp_path)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
    assert not server.engine_thread.failure
