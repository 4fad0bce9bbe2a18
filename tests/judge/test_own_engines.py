"""Our own rules and loops pass the judge, through the plugs that anybody uses.

Every check gets its first slice: what fails here fails for a reason
that needs no long look.
What a longer run sees is `specref validate NAME`. False alarms: 1e-6 for each of these runs.
"""

import pytest
from specref.adapters import BUILT_IN
from specref.judge.job import Job

from tests.judge.told import here, verdicts

# What another rule or another drafter can do wrong in the same loop; the loop itself, and the
# serving engine, are asked all.
SOME = (
    "engine.greedy",
    "engine.token-bets",
    "engine.rows",
    "engine.batch",
    "engine.prompts",
    "engine.ends",
    "engine.metrics",
)
WHOLE = {"reference", "reference-serving"}
OURS = [
    (name, level)
    for name, levels in BUILT_IN.items()
    if name.startswith("reference")
    for level in levels
]


@pytest.mark.parametrize(("name", "level"), OURS)
def test_our_own_passes(name: str, level: str) -> None:
    events = here(
        Job(name, level, only=SOME if level == "engine" and name not in WHOLE else ()), budget=0
    )
    said = verdicts(events)
    begun = {event["check"] for event in events if event["event"] == "begun"}
    assert said.keys() == begun
    assert not {name: one["what"] for name, one in said.items() if one["verdict"] == "FAIL"}
    outcomes = {one["verdict"] for one in said.values()}
    assert "PASS" in outcomes
    assert "UNVERIFIED" not in outcomes
