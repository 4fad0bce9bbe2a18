"""Tiny checkpoints on disk, as a user would have them: 256 tokens, so that text is bytes."""

from pathlib import Path

import pytest
import torch
from specref.draft.medusa import MedusaHeads
from specref.draft.mtp import MTPModule
from specref.model.auxiliary import save_auxiliary
from specref.model.checkpoint import save
from specref.model.config import Config
from specref.model.toy import toy_transformer
from specref.model.transformer import Transformer


def tiny(seed: int, vocabulary: int = 256, layers: int = 2, context: int = 160) -> Transformer:
    shape = Config(
        vocabulary,
        16,
        24,
        layers,
        4,
        2,
        4,
        context,
        tie_word_embeddings=False,
        eos_token_id=(0,),
    )
    random = torch.Generator().manual_seed(seed)
    return toy_transformer(shape, random, attention=(2 * layers) ** -0.5, sharpness=2.0)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with target, draft, other: a draft of another vocabulary; and, for the target,
    medusa and mtp.
    """
    root = tmp_path_factory.mktemp("models")
    save(tiny(0), root / "target")
    save(tiny(1, layers=1), root / "draft")
    save(tiny(2, vocabulary=64, layers=1), root / "other")
    target = tiny(0)
    # untrained ones guess the target's own next token: right often enough
    heads = MedusaHeads.of(target, 2)
    heads.block.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    save_auxiliary(heads, root / "medusa", "medusa", heads.settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = MTPModule.of(target)
    save_auxiliary(module, root / "mtp", "mtp", module.settings)
    return root


@pytest.fixture
def pair(models: Path) -> list[str]:
    return ["--target", str(models / "target"), "--draft", str(models / "draft"), "--threads", "1"]


@pytest.fixture
def auxiliary_heads(models: Path) -> list[str]:
    return ["--medusa", str(models / "medusa"), "--mtp", str(models / "mtp")]
