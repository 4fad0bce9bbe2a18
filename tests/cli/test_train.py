"""`specref train` goes on where it was stopped, and only with what it was begun with.

Protects: a resumed run never mixes two texts or two teachers.
"""

import json
from dataclasses import replace

import pytest
from specref.cli import main
from specref.model.checkpoint import save
from specref.model.transformer import Transformer
from specref.train import loop as train

SMALL = replace(
    train.TARGET,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Folders of text, and two targets small enough to train in no time."""
    monkeypatch.setattr(train, "TARGET", SMALL)
    for folder, word in (("one", "speculation "), ("two", "verification ")):
        (tmp_path / folder).mkdir()
        for number in range(3):
            (tmp_path / folder / f"{number}.txt").write_text(word * 20)
    for name in ("a", "b"):
        save(Transformer(SMALL), tmp_path / name)
    return tmp_path


def trained(small, what, *more):
    return main(
        [
            "train",
            what,
            "--out",
            str(small / "out"),
            "--steps",
            "2",
            "--batch",
            "2",
            "--context",
            "40",
            "--own-rows",
            "2",
            "--threads",
            "1",
            "--json",
            str(small / "result.json"),
            *map(str, more),
        ]
    )


@pytest.mark.parametrize("what", ["target", "draft", "medusa", "mtp"])
def test_a_run_on_another_folder_of_text_is_refused(what, small, capsys):
    teacher = () if what == "target" else ("--target", small / "a")
    assert trained(small, what, "--text", small / "one", *teacher) == 0
    assert trained(small, what, "--text", small / "one", *teacher) == 0
    assert json.loads((small / "result.json").read_text())["steps_run_now"] == 0
    kept = {path.name: path.read_bytes() for path in (small / "out").iterdir()}
    assert trained(small, what, "--text", small / "two", *teacher) == 2
    assert "on another text: choose another folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (small / "out").iterdir()} == kept


@pytest.mark.parametrize("what", ["draft", "medusa", "mtp"])
def test_a_run_with_another_teacher_is_refused(what, small, capsys):
    assert trained(small, what, "--text", small / "one", "--target", small / "a") == 0
    assert trained(small, what, "--text", small / "one", "--target", small / "b") == 2
    assert "other settings" in capsys.readouterr().err
