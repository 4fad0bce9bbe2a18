"""`specref trace`: what it writes can be replayed into the text, and watching changes nothing."""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.data import SamplingParams
from specref.decode import generate
from specref.draft.early_exit import EarlyExitDrafter
from specref.draft.model import ModelDrafter
from specref.draft.ngram import NGramDrafter
from specref.draft.none import NoDrafter
from specref.draft.suffix import SuffixDrafter
from specref.model.checkpoint import load
from specref.model.tokenizer import Bytes
from specref.verify import RULES


def run(words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    assert main(["trace", *words, "--json", str(out)]) == 0
    return json.loads(out.read_text()), capsys.readouterr().out


def decided(rule: str, cycle: dict) -> int:
    """How many drafted tokens the coins of a cycle accept, by the rule's own definition."""
    if rule == "greedy":
        falls = [token["choice"] == token["token"] for token in cycle["draft"]]
    else:
        falls = [token["coin"]["heads"] if token["coin"] else False for token in cycle["draft"]]
    if rule == "block":
        return max((i + 1 for i, heads in enumerate(falls) if heads), default=0)
    return next((i for i, heads in enumerate(falls) if not heads), len(falls))


@pytest.mark.parametrize("drafter", ["model", "ngram", "suffix", "early-exit", "none"])
@pytest.mark.parametrize("rule", RULES)
def test_the_coins_replay_into_the_text(
    rule: str, drafter: str, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *pair,
        "--prompt",
        "abcabcab",
        "--rule",
        rule,
        "--drafter",
        drafter,
        "--max-new-tokens",
        "24",
        "--ignore-eos",
        "--seed",
        "5",
    ]
    result, _ = run([*words, "--cycles", "99"], tmp_path / "t.json", capsys)
    text: list[int] = []
    for cycle in result["cycles"]:
        accepted = decided(rule, cycle)
        assert accepted == cycle["accepted"]
        fates = ["accepted"] * accepted + ["rejected"] + ["dropped"] * len(cycle["draft"])
        assert [token["fate"] for token in cycle["draft"]] == fates[: len(cycle["draft"])]
        kind = "bonus" if accepted == len(cycle["draft"]) else "replacement"
        kind = kind if cycle["draft"] else "plain"
        assert cycle["next"]["kind"] == kind
        gained = [token["token"] for token in cycle["draft"][:accepted]] + [cycle["next"]["token"]]
        assert gained[: len(cycle["emitted"])] == cycle["emitted"]
        text += cycle["emitted"]
    assert text == result["tokens"]
    assert len(text) == 24
    assert result["finish_reason"] == "length"
    assert result["text"] == Bytes().decode(text)
    # and the same with nobody watching
    params = SamplingParams(result["temperature"], seed=5, max_new_tokens=24)
    target, draft = load(pair[1]), load(pair[3])
    drafters = {
        "model": ModelDrafter(draft),
        "ngram": NGramDrafter(),
        "suffix": SuffixDrafter(),
        "early-exit": EarlyExitDrafter(target, 1),
        "none": NoDrafter(),
    }
    assert (
        generate(target, drafters[drafter], RULES[rule], [list(b"abcabcab")], params)[0].tokens
        == text
    )


@pytest.mark.parametrize("rule", ["rejection", "tree", "matching"])
@pytest.mark.parametrize("drafter", ["model", "ngram", "suffix"])
def test_the_coins_are_the_papers(
    rule: str, drafter: str, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = run(
        [
            *pair,
            "--prompt",
            "abcabcab",
            "--rule",
            rule,
            "--drafter",
            drafter,
            "--ignore-eos",
            "--cycles",
            "12",
        ],
        tmp_path / "t.json",
        capsys,
    )
    tokens = [token for cycle in result["cycles"] for token in cycle["draft"] if token["coin"]]
    assert tokens
    for token in tokens:
        wanted = min(1, token["p"] / token["q"]) if rule != "matching" else token["p"]
        assert token["coin"]["probability"] == pytest.approx(wanted, rel=1e-5)
        assert 0 < token["q"] <= 1
    for cycle in result["cycles"]:
        following = cycle["next"]
        assert following["probability"] > 0
        assert following["p"] > 0
        if following["kind"] != "replacement":
            assert following["probability"] == pytest.approx(following["p"], rel=1e-5)


def test_cycles_are_a_limit_and_stops_cut(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*pair, "--prompt", "abc", "--ignore-eos", "--max-new-tokens", "40"]
    few, _ = run([*words, "--cycles", "2"], tmp_path / "t.json", capsys)
    every, _ = run([*words, "--cycles", "40"], tmp_path / "t.json", capsys)
    assert len(few["cycles"]) == 2
    assert few["finish_reason"] is None
    assert few["cycles"] == every["cycles"][:2]
    seen: list[int] = []
    for cycle in every["cycles"]:
        first = cycle["emitted"][0]
        if len(cycle["emitted"]) > 1 and first < 128 and first not in seen:
            break
        seen += cycle["emitted"]
    stop = chr(first)
    cut, said = run([*words, "--cycles", "40", "--stop", stop], tmp_path / "t.json", capsys)
    assert cut["finish_reason"] == "stop"
    assert cut["tokens"][-1] == ord(stop)
    last = cut["cycles"][-1]
    assert len(last["emitted"]) < last["accepted"] + 1
    assert "past the text's end" in said


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("rule", RULES)
def test_what_is_shown_is_whole_and_clear_without_colour(
    rule: str,
    width: int,
    pair: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    words = [*pair, "--prompt", "abcabcab", "--rule", rule, "--ignore-eos", "--cycles", "5"]
    result, out = run(words, tmp_path / "t.json", capsys)
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= width
    lines = out.splitlines()
    for number, cycle in enumerate(result["cycles"], 1):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"cycle {number} "))
        marks = [line.split()[0] for line in lines[at + 1 : at + 2 + len(cycle["draft"])]]
        wanted = {
            "accepted": "✓",
            "rejected": "✗",
            "dropped": "·",
            "replacement": "→",
            "bonus": "+",
            "plain": "+",
        }
        assert marks == [wanted[token["fate"]] for token in cycle["draft"]] + [
            wanted[cycle["next"]["kind"]]
        ]
        for token, line in zip(cycle["draft"], lines[at + 1 :], strict=False):
            assert token["text"] in line
            assert token["fate"] in line


def test_without_a_prompt_held_out_text_is_continued(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, out = run([*pair, "--cycles", "1"], tmp_path / "t.json", capsys)
    assert len(result["prompt"]) == 96
    assert "the prompt ends" in out
