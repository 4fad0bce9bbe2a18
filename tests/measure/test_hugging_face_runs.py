"""What is asked of transformers is the same task: the same prompts, temperature 1 without filters,
no stops, drafts of exactly gamma tokens.

Protects: the comparison with transformers, which would be won or lost by another task. A recorder
stands for the library, so that nothing is decoded here.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from specref.measure.speed.hugging_face import has_transformers, transformers_runs

PROMPTS = [[5, 6, 7], [8, 9]]


class Recorder:
    """Writes ones; remembers how it was asked, and the seed that was set."""

    def __init__(self, folder: Path):
        self.folder, self.trained = folder, True
        self.generation_config = SimpleNamespace(eos_token_id=0)
        self.calls: list[dict] = []

    def eval(self) -> "Recorder":
        self.trained = False
        return self

    def generate(self, prompt: torch.Tensor, **asked) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.calls.append({"prompt": prompt.tolist(), "seed": torch.initial_seed(), **asked})
        return torch.cat((prompt, torch.ones(1, asked["max_new_tokens"], dtype=torch.int64)), 1)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """The models that were loaded, in order."""
    models: list[Recorder] = []

    def load(folder: Path, dtype: torch.dtype) -> Recorder:
        assert dtype == torch.float32
        models.append(Recorder(folder))
        return models[-1]

    library = ModuleType("transformers")
    library.LlamaForCausalLM = SimpleNamespace(from_pretrained=load)  # type: ignore[attr-defined]
    quiet = SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)
    library.logging = quiet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", library)
    return models


def test_both_ways_are_asked_for_the_same_task(loaded: list[Recorder]) -> None:
    with torch.random.fork_rng(devices=[]):
        runs = transformers_runs(Path("target"), Path("draft"), PROMPTS, 12, 4)
        assert list(runs) == ["transformers plain", "transformers assisted"]
        times = [runs[name](number) for name in runs for number in range(3)]
    target, draft = loaded
    assert (target.folder, draft.folder) == (Path("target"), Path("draft"))
    assert not target.trained
    assert not draft.trained
    assert target.generation_config.eos_token_id is None, "nothing ends a text early"
    assert draft.generation_config.eos_token_id is None
    assert [one.tokens for one in times] == [12] * 6, "the prompt is not counted"
    assert [call["prompt"] for call in target.calls] == [[PROMPTS[n % 2]] for n in range(3)] * 2
    assert [call["seed"] for call in target.calls] == [0, 1, 2] * 2
    for call in target.calls:
        assert call["attention_mask"].tolist() == [[1] * len(call["prompt"][0])]
        asked = {name: call[name] for name in ("do_sample", "temperature", "top_k", "top_p")}
        assert asked == {"do_sample": True, "temperature": 1, "top_k": 0, "top_p": 1}
    assisted = [call.get("assistant_model") for call in target.calls]
    assert assisted == [None] * 3 + [draft] * 3
    assert draft.calls == []


def test_the_assistant_drafts_exactly_gamma_tokens(loaded: list[Recorder]) -> None:
    transformers_runs(Path("target"), Path("draft"), PROMPTS, 12, 4)
    config = loaded[1].generation_config
    assert config.num_assistant_tokens == 4
    assert config.num_assistant_tokens_schedule == "constant"
    assert config.assistant_confidence_threshold == 0, "no confidence is too low to go on"


def test_whether_it_is_there(loaded: list[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_transformers()
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert not has_transformers()
