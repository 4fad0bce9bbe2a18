"""An engine is asked through one place, which keeps one check's trouble from the next."""

from pathlib import Path

import pytest
from specref.adapters.reference import Looped
from specref.data import SpecrefError
from specref.judge.contract import CAPABILITIES
from specref.judge.job import Job
from specref.judge.load import NotLoadedError, load_adapter, misnamed
from specref.judge.schedule import judge
from specref.judge.session import Session
from specref.judge.suite import checks

from tests.judge.told import here, verdicts

FRAGILE = """
from specref.adapters.reference import LoopedNGram

class Fragile(LoopedNGram):
    broken = False

    def generate(self, prompts, params, *, speculative):
        each = params if isinstance(params, list) else [params]
        if speculative and any(one.stop_sequences for one in each):
            self.broken = True
            raise ValueError("no tokenizer")
        done = super().generate(prompts, params, speculative=speculative)
        if self.broken:
            for one in done:
                one.tokens = [(token + 1) % 16 for token in one.tokens]
        return done
"""


def test_an_engine_that_raised_is_made_again(tmp_path: Path) -> None:
    """What it wrote from then on would be laid to checks that have nothing to do with it."""
    (tmp_path / "fragile.py").write_text(FRAGILE)
    said = verdicts(
        here(
            Job(
                f"{tmp_path}/fragile.py:Fragile",
                budget=15.0,
                only=("engine.answers", "engine.greedy"),
            )
        )
    )
    assert said["engine.answers"]["verdict"] == "FAIL"
    assert "no tokenizer" in said["engine.answers"]["what"]
    assert said["engine.greedy"]["verdict"] == "PASS", said["engine.greedy"]["what"]


@pytest.mark.parametrize(
    ("supports", "said"),
    [
        ('{"sampling", "topk"}', "supports names 'topk', which is no capability: give of batch, "),
        ('"metrics"', "supports is 'metrics': give a set of names"),
    ],
)
def test_a_capability_that_does_not_exist_is_bad_use(
    supports: str, said: str, tmp_path: Path
) -> None:
    """Nothing would be asked of a name that is misspelt, and nobody would notice."""
    (tmp_path / "mine.py").write_text(
        f"class Mine:\n    supports = {supports}\n    def generate(self): pass\n"
    )
    with pytest.raises(SpecrefError, match=said):
        load_adapter(f"{tmp_path}/mine.py:Mine")


def test_capabilities_that_an_engine_names_when_it_is_made_are_looked_at_too() -> None:
    class Late(Looped):
        def __init__(self, *folders: Path):
            super().__init__(*folders)
            self.supports = {"seeds"}  # type: ignore[assignment]

    assert misnamed(Late) == ""
    with pytest.raises(NotLoadedError, match="supports names 'seeds'"):
        judge(
            Late,
            Session("x", "engine"),
            [item for item in checks("engine") if item.id == "engine.greedy"],
        )
    assert all(
        misnamed(type("Some", (), {"supports": some})) == ""
        for some in ((), ["batch"], CAPABILITIES)
    )
