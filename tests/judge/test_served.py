"""A server that loads checkpoints is judged as an engine: what is wrong behind its HTTP is
convicted by the relations that engines are asked, with the smallest scenario.

Protects: whoever has a server and no Python engine.
"""

import sys
from pathlib import Path

import pytest
from specref.adapters.served import Running, SpecrefServe
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks

# the server's own command line, with one part replaced before it starts
FAULTS = {
    # the token behind a draft that is accepted whole is another one
    "wrong-bonus": """
import specref.verify.greedy as rule
from specref.verify import RULES
from specref.data import Verdict
def wrong(draft, p, chance):
    said = RULES_BEFORE(draft, p, chance)
    after = (said.next_token + (said.accepted == draft.lengths)) % p.shape[2]
    return Verdict(said.path, said.accepted, after)
RULES_BEFORE = RULES["rejection"]
RULES["rejection"] = wrong
""",
}
CONVICTS = {"wrong-bonus": "engine.greedy"}


def served(fault: str) -> type[SpecrefServe]:
    class Faulty(SpecrefServe):
        name = fault

        def command(self, target, draft, port):
            words = super().command(target, draft, port)
            if draft is None:
                return words
            code = FAULTS[fault] + "import sys; from specref.cli import main; sys.exit(main())"
            return [sys.executable, "-c", code, *words[3:]]

    return Faulty


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_behind_http_is_convicted_by_the_engine_level(fault: str) -> None:
    session = Session(fault, "engine", seed=1, budget=60.0)
    wanted = [item for item in checks("engine") if item.id == CONVICTS[fault]]
    try:
        (said,) = judge(served(fault), session, wanted)
    finally:
        for engine in session.kept.get("engines", {}).values():
            engine.close()
    assert said.verdict == "FAIL", said
    assert said.scenario
    assert said.without_speculation is False


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    code = "import sys; sys.exit('error: no such model')"
    made = Running("mine", lambda port: [sys.executable, "-c", code], tmp_path / "log")
    with pytest.raises(RuntimeError, match="mine does not start: error: no such model"):
        made.wait()
