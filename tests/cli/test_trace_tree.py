"""`specref trace --tree`: the nodes can be replayed into the text, and the pictures show all of
them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from specref.chance import Streams
from specref.cli import main
from specref.cli.views.tree_view import mask_and_depths
from specref.cli.work.recording import WatchedRule
from specref.data import SamplingParams
from specref.draft.medusa import MedusaDrafter, MedusaHeads, best_first
from specref.verify import RULES

from tests.stub import generate_with

from .conftest import tiny
from .test_common import failed

WAYS = {
    "default": ["--drafter", "medusa"],
    "drawn": ["--drafter", "medusa", "--tree-draws", "--tree-shape", "0;1;2;0,0;0,1;1,0"],
    "chain": ["--drafter", "medusa", "--tree-shape", "0;0,0", "--tree"],
    "greedy": ["--drafter", "medusa", "--temperature", "0"],
    "mtp": ["--drafter", "mtp", "--tree"],
    "model": ["--drafter", "model", "--tree", "--top-k", "3"],
}


def run(words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    assert (
        main(
            [
                "trace",
                "--prompt",
                "abcabcab",
                "--ignore-eos",
                "--max-new-tokens",
                "24",
                "--cycles",
                "99",
                *words,
                "--json",
                str(out),
            ]
        )
        == 0
    )
    return json.loads(out.read_text()), capsys.readouterr().out


def walk(nodes: list[dict]) -> list[int]:
    """The accepted path by the rule's own definition: from the context on, the first child whose
    coin fell heads.
    """
    path: list[int] = []
    here = -1
    while True:
        children = [i for i, node in enumerate(nodes) if node["parent"] == here]
        fell = next((i for i in children if nodes[i]["coin"] and nodes[i]["coin"]["heads"]), None)
        stop = children.index(fell) + 1 if fell is not None else len(children)
        assert all(nodes[i]["coin"] is not None for i in children[:stop])
        assert all(nodes[i]["fate"] == "rejected" for i in children[:stop] if i != fell)
        assert all(nodes[i]["fate"] == "never reached" for i in children[stop:])
        if fell is None:
            return path
        assert nodes[fell]["fate"] == "accepted"
        path.append(fell)
        here = fell


@pytest.mark.parametrize("way", WAYS)
def test_the_coins_replay_into_the_text(
    way: str,
    pair: list[str],
    auxiliary_heads: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*pair, *auxiliary_heads, *WAYS[way]]
    result, _ = run(words, tmp_path / "t.json", capsys)
    assert result["rule"] == "tree"
    text: list[int] = []
    for cycle in result["cycles"]:
        nodes = cycle["nodes"]
        assert all(
            {"token", "text", "parent", "depth", "q", "p", "coin", "fate"} == set(node)
            for node in nodes
        )
        assert cycle["path"] == walk(nodes)
        assert cycle["accepted"] == len(cycle["path"])
        gained = [nodes[i]["token"] for i in cycle["path"]] + [cycle["next"]["token"]]
        assert gained[: len(cycle["emitted"])] == cycle["emitted"]
        text += cycle["emitted"]
        for node in nodes:
            assert node["depth"] == (
                0 if node["parent"] < 0 else nodes[node["parent"]]["depth"] + 1
            )
            on_path = node["parent"] < 0 or nodes[node["parent"]]["fate"] == "accepted"
            assert on_path or node["fate"] == "never reached"
        # of each set of siblings
        for first in {node["parent"]: node for node in reversed(nodes)}.values():
            if first["coin"]:
                assert first["coin"]["probability"] == pytest.approx(
                    min(1, first["p"] / first["q"]), rel=1e-5
                )
    assert text == result["tokens"]
    assert len(text) == 24
    kinds = {cycle["next"]["kind"] for cycle in result["cycles"]}
    assert kinds <= {"plain", "bonus", "replacement"}
    words = [word for word in words if word != "--tree"]
    assert (
        main(
            [
                "generate",
                *words,
                "--rule",
                "tree",
                "--prompt",
                "abcabcab",
                "--ignore-eos",
                "--max-new-tokens",
                "24",
                "--json",
                str(tmp_path / "g.json"),
            ]
        )
        == 0
    )
    same = json.loads((tmp_path / "g.json").read_text())
    assert same["tokens"] == text
    assert same["judged"] == sum(
        node["coin"] is not None for cycle in result["cycles"] for node in cycle["nodes"]
    )


def test_all_three_fates_happen(
    pair: list[str], auxiliary_heads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And q is the distribution that a node was drawn from: siblings without replacement."""
    result, _ = run(
        [*pair, *auxiliary_heads, *WAYS["drawn"], "--temperature", "0.7"],
        tmp_path / "t.json",
        capsys,
    )
    nodes = [node for cycle in result["cycles"] for node in cycle["nodes"]]
    assert {node["fate"] for node in nodes} == {"accepted", "rejected", "never reached"}
    assert all(0 < node["q"] <= 1 for node in nodes)
    assert any(node["q"] < 0.9 for node in nodes)
    branching = [cycle for cycle in result["cycles"] if any(cycle["path"])]
    assert branching, "a node besides the first was accepted"
    for cycle in result["cycles"]:
        assert cycle["path"] == walk(cycle["nodes"])
        gained = [cycle["nodes"][i]["token"] for i in cycle["path"]] + [cycle["next"]["token"]]
        assert gained[: len(cycle["emitted"])] == cycle["emitted"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_pictures_show_every_node_and_its_mask(
    encoding: str, models: Path, pair: list[str], auxiliary_heads: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "t.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "specref",
            "trace",
            *pair,
            *auxiliary_heads,
            *WAYS["default"],
            "--prompt",
            "abcabcab",
            "--ignore-eos",
            "--cycles",
            "5",
            "--json",
            str(out),
        ],
        capture_output=True,
        timeout=120,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "NO_COLOR": "1", "COLUMNS": "100"},
    )
    shown, cycles = done.stdout.decode(encoding), json.loads(out.read_text())["cycles"]
    assert "\x1b" not in shown
    marks = (
        {"accepted": "✓", "rejected": "✗", "never reached": "·"}
        if encoding == "utf-8"
        else {"accepted": "v", "rejected": "x", "never reached": "."}
    )
    block, empty = ("■", "·") if encoding == "utf-8" else ("#", ".")
    lines = shown.splitlines()
    parents: list[int] = []
    for number, cycle in enumerate(cycles, 1):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"cycle {number} "))
        stop = next(i for i in range(at, len(lines)) if not lines[i])
        part = lines[at:stop]
        for index, node in enumerate(cycle["nodes"]):
            line = next(
                line for line in part if f" {index} {marks[node['fate']]} {node['text']} " in line
            )
            assert line.endswith(node["fate"])
            assert f"p {node['p']:.3f}" in line or node["p"] < 0.0005
            assert ("heads" in line or "tails" in line) == (node["coin"] is not None)
        now = [node["parent"] for node in cycle["nodes"]]
        if now and now != parents:
            sees = mask_and_depths(now)[0]
            rows = part[part.index("the mask") + 1 :]
            for row, line in zip(sees, rows, strict=True):
                marks_of_row = [block if seen else empty for seen in row]
                assert line.split()[1 : 1 + len(now)] == marks_of_row
        parents = now


def test_the_mask_is_the_ancestors() -> None:
    sees, depth = mask_and_depths([-1, -1, 0, 0, 3])
    for row, wanted in zip(sees, ({0}, {1}, {0, 2}, {0, 3}, {0, 3, 4}), strict=True):
        assert {j for j, seen in enumerate(row) if seen} == wanted
    assert depth == [0, 0, 1, 1, 2]


def test_watched_counts_the_nodes_that_were_asked_about() -> None:
    target, rule, asked, cycles = tiny(0), WatchedRule(RULES["tree"]), 0, 0

    def watch(cycle: object) -> None:
        nonlocal asked, cycles
        cycles += 1
        for question in rule.questions:
            if question.kind == "accept":
                assert question.asked is not None
                asked += int(question.asked.sum())

    heads = MedusaHeads.of(target, 2)
    generate_with(
        target,
        MedusaDrafter(heads, best_first(2, 3)),
        rule,
        [[1, 2, 3]],
        SamplingParams(max_new_tokens=20),
        gamma=2,
        chance=Streams([0]),
        watch=watch,
    )
    assert rule.judged == asked > rule.accepted + cycles, "second and third siblings count too"


BAD = {
    "chain rule": (["generate", "--drafter", "medusa", "--rule", "rejection"], "use the tree rule"),
    "chain rule in a trace": (
        ["trace", "--drafter", "medusa", "--rule", "greedy"],
        "use the tree rule",
    ),
    "picture of another rule": (["trace", "--tree", "--rule", "block"], "leave one of them out"),
    "shape": (["generate", "--drafter", "medusa", "--tree-shape", "0;x"], "ranks from 0"),
    "twice": (["generate", "--drafter", "medusa", "--tree-shape", "0;0"], "ranks from 0"),
    "orphan": (["generate", "--drafter", "medusa", "--tree-shape", "0;1,0"], "without its parent"),
    "deep": (
        ["generate", "--drafter", "medusa", "--tree-shape", "0;0,0;0,0,0"],
        "deeper than the 2 heads",
    ),
    "shape of what": (["generate", "--drafter", "mtp", "--tree-shape", "0"], "--drafter medusa"),
    "draws of what": (["generate", "--tree-draws"], "--drafter medusa"),
    "no heads": (["generate", "--drafter", "medusa", "--medusa", "/nowhere"], "does not exist"),
    "no module": (["generate", "--drafter", "mtp", "--mtp", "/nowhere"], "does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(
    case: str, pair: list[str], auxiliary_heads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (command, *words), mend = BAD[case]
    assert mend in failed([command, *pair, *auxiliary_heads, "--prompt", "a", *words], capsys)
