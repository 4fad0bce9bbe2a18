"""`specref generate`: the text alone on standard output, one line on standard error, and the same
in the result file.
"""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from specref.cli import main
from specref.cli.arguments import DRAFTERS
from specref.cli.work.generation_request import GenerationRequest
from specref.cli.work.text_printer import TextPrinter
from specref.data import SamplingParams
from specref.decode import generate
from specref.draft.none import NoDrafter
from specref.model.checkpoint import load
from specref.model.tokenizer import Bytes
from specref.verify import RULES

KEYS = {
    "command",
    "commit",
    "machine",
    "versions",
    "rule",
    "drafter",
    "gamma",
    "temperature",
    "seed",
    "prompt",
    "tokens",
    "text",
    "finish_reason",
    "target_forwards",
    "drafted",
    "judged",
    "accepted",
    "tokens_per_target_forward",
    "acceptance",
    "seconds",
}


def run(words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str, str]:
    assert main(["generate", *words, "--json", str(out)]) == 0
    said = capsys.readouterr()
    return json.loads(out.read_text()), said.out, said.err


@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("rule", RULES)
def test_every_drafter_with_every_rule(
    drafter: str,
    rule: str,
    pair: list[str],
    auxiliary_heads: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # a tree that every rule can judge
    chain = ["--tree-shape", "0;0,0"] if drafter == "medusa" else []
    words = [
        *pair,
        *auxiliary_heads,
        *chain,
        "--prompt",
        "abcabcab",
        "--drafter",
        drafter,
        "--rule",
        rule,
        "--max-new-tokens",
        "20",
        "--ignore-eos",
    ]
    result, out, err = run(words, tmp_path / "r.json", capsys)
    assert set(result) == KEYS
    assert len(result["tokens"]) == 20
    assert result["finish_reason"] == "length"
    assert result["text"] == Bytes().decode(result["tokens"])
    assert out in (result["text"] + "\n", result["text"])
    assert err.count("\n") == 1
    assert err.startswith(f"20 tokens in {result['target_forwards']} target forwards")
    assert result["tokens_per_target_forward"] == 20 / result["target_forwards"]
    assert result["accepted"] <= result["judged"] <= result["drafted"]
    assert (result["acceptance"] is None) == (drafter == "none")
    assert ("accepted" in err) == (result["drafted"] > 0)


def test_greedy_text_is_the_target_s_own(
    models: Path, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = load(models / "target")
    params = SamplingParams(temperature=0, max_new_tokens=30, stop_ids=(0,))
    alone = generate(target, NoDrafter(), RULES["greedy"], [list(b"abc")], params)[0].tokens
    for words in (["--rule", "greedy"], ["--temperature", "0"]):
        result, _, _ = run(
            [*pair, "--prompt", "abc", "--max-new-tokens", "30", *words],
            tmp_path / "r.json",
            capsys,
        )
        assert result["tokens"] == alone
        assert (result["rule"], result["temperature"]) == ("greedy", 0)


def test_prompts_come_from_text_file_ids_or_standard_input(
    pair: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "p.txt").write_text("abc")
    monkeypatch.setattr("sys.stdin", io.StringIO("abc"))
    ways = (
        ["--prompt", "abc"],
        ["--prompt-file", str(tmp_path / "p.txt")],
        ["--prompt-file", "-"],
        ["--prompt-ids", "97, 98 99"],
    )
    found = [
        run([*pair, *way, "--max-new-tokens", "8", "--seed", "3"], tmp_path / "r.json", capsys)[0]
        for way in ways
    ]
    assert [one["prompt"] for one in found] == [[97, 98, 99]] * 4
    assert all(one["tokens"] == found[0]["tokens"] for one in found)


def test_stop_text_ends_the_text_and_options_reach_the_distribution(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [*pair, "--prompt", "abc", "--ignore-eos", "--max-new-tokens", "40"]
    free, _, _ = run(base, tmp_path / "r.json", capsys)
    # one byte of text, a few tokens on
    stop = chr(next(token for token in free["tokens"][5:] if token < 128))
    cut, _, _ = run([*base, "--stop", stop], tmp_path / "r.json", capsys)
    end = free["tokens"].index(ord(stop)) + 1
    assert cut["tokens"] == free["tokens"][:end]
    assert cut["finish_reason"] == "stop"
    one, _, _ = run([*base, "--top-k", "1"], tmp_path / "r.json", capsys)
    greedy, _, _ = run([*base, "--temperature", "0"], tmp_path / "r.json", capsys)
    assert one["tokens"] == greedy["tokens"] != free["tokens"]
    other, _, _ = run(
        [*base, "--temperature", "0", "--repetition-penalty", "50"], tmp_path / "r.json", capsys
    )
    assert len(set(other["tokens"])) > len(set(greedy["tokens"]))


def test_without_a_tokenizer_ids_go_in_and_ids_come_out(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--target",
        str(models / "other"),
        "--drafter",
        "ngram",
        "--prompt-ids",
        "1 2 3",
        "--max-new-tokens",
        "5",
        "--ignore-eos",
    ]
    result, out, _ = run(words, tmp_path / "r.json", capsys)
    assert [int(word) for word in out.split()] == result["tokens"]


def test_the_printer_never_shows_half_a_character(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = GenerationRequest(
        load(models / "target"),
        NoDrafter(),
        "none",
        "rejection",
        SamplingParams(stop_ids=(0,)),
        [97],
        Bytes(),
        0,
    )
    printer, shown = TextPrinter(request), []
    for byte in "é€x".encode() + b"\0":
        printer(_cycle(byte))  # type: ignore[arg-type]
        shown.append(capsys.readouterr().out)
    assert shown == ["", "é", "", "", "€", "x", ""]
    assert printer.close() == "é€x"
    assert capsys.readouterr().out == "\n"


def _cycle(token: int) -> SimpleNamespace:
    """All of a cycle that a printer reads."""
    return SimpleNamespace(emitted=[[token]])
