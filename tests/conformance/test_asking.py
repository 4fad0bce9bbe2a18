"""An engine is asked through one place, which keeps one check's trouble from the next."""

from pathlib import Path

from reference.conformance.job import Job
from tests.conformance.told import here, verdicts

FRAGILE = """
from reference.conformance.adapters.reference import LoopedNGram

class Fragile(LoopedNGram):
    broken = False

    def generate(self, prompts, params, *, speculative):
        each = params if isinstance(params, list) else [params]
        if any(one.stop_sequences for one in each):
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
    said = verdicts(here(Job(f"{tmp_path}/fragile.py:Fragile", budget=30.0,
                             only=("engine.stop-sequence", "engine.max-tokens"))))
    assert said["engine.stop-sequence"]["verdict"] == "FAIL"
    assert "no tokenizer" in said["engine.stop-sequence"]["what"]
    assert said["engine.max-tokens"]["verdict"] == "PASS", said["engine.max-tokens"]["what"]
