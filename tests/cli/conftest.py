"""Tiny checkpoints on disk, as a user would have them: 256 tokens, so that text is bytes."""

from pathlib import Path

import pytest
import torch

from reference.model.checkpoint import save
from reference.model.transformer import Config, Transformer


def tiny(seed: int, vocabulary: int = 256, layers: int = 2, context: int = 160) -> Transformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Transformer(Config(vocabulary, 16, 24, layers, 4, 2, 4, context, tie_word_embeddings=False,
                                   eos_token_id=(0,)))
        model.head.weight.data.mul_(2.0)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with target, draft, and other: a draft of another vocabulary."""
    root = tmp_path_factory.mktemp("models")
    save(tiny(0), root / "target")
    save(tiny(1, layers=1), root / "draft")
    save(tiny(2, vocabulary=64, layers=1), root / "other")
    return root


@pytest.fixture
def pair(models: Path) -> list[str]:
    return ["--target", str(models / "target"), "--draft", str(models / "draft"), "--threads", "1"]
