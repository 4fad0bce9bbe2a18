"""`specref bench` on tiny models: what the result file holds, and that its parts add up. No test
looks at a time.
"""

import json
from pathlib import Path

import pytest
from specref.cli import main
from specref.measure.serving import bench as serving
from specref.measure.speed import bench
from specref.model.checkpoint import save

from .conftest import tiny
from .test_common import failed

SMALL = ["--rounds", "2", "--prompt-length", "16", "--new-tokens", "8", "--gamma", "2"]
WAYS = {
    "sampled",
    "sampled_tokenwise",
    "greedy",
    "draft_model",
    "ngram",
    "suffix",
    "sampled_bf16",
    "sampled_bf16_arithmetic",
}


def test_the_result_of_a_bench(
    pair: list[str],
    auxiliary_heads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "has_transformers", lambda: False)
    out = tmp_path / "bench.json"
    assert (
        main(["bench", *pair, *auxiliary_heads[2:], "--drafter", "mtp", *SMALL, "--json", str(out)])
        == 0
    )
    result, said = json.loads(out.read_text()), capsys.readouterr()
    assert said.err == ""
    assert {"command", "commit", "machine", "versions"} <= set(result)
    assert (
        set(result["speedup"]) == set(result["interval"]) == set(result["tokens_per_step"]) == WAYS
    )
    assert (result["drafter"], result["gamma"]) == ("mtp", 2)
    costs = result["microseconds"]
    assert result["verify_curve"]["3"] == costs["verify 3"] / costs["verify 1"]
    assert len(result["verify_curve_bf16"]) == len(result["verify_curve"]) == 16
    several = str(1 + round(result["drafters"]["mtp"]["nodes"]))
    for way, guess in (
        ("sampled", "mtp"),
        ("sampled_bf16", result["bf16"]),
        ("sampled_bf16_arithmetic", "bf16 arithmetic"),
    ):
        limit = result["tokens_per_step"][way] / result["drafters"][guess]["verify"]
        assert result["at_most"][way] == pytest.approx(limit)
    of_both = {
        name: result["drafters"][name]["predicted"] for name in ("bf16 weights", "bf16 arithmetic")
    }
    assert of_both[result["bf16"]] == max(of_both.values())
    assert list(result["block"]) == [
        "float32 1",
        f"float32 {several}",
        "bfloat16 1",
        f"bfloat16 {several}",
    ]
    for row in result["block"].values():
        assert sum(cost for piece, cost in row.items() if piece != "all") == pytest.approx(
            row["all"]
        )
    assert result["block"]["float32 1"]["all"] == pytest.approx(1)
    assert len(result["widths"]) == 4
    assert all(set(row) == set(result["block"]) for row in result["widths"].values())
    assert "if drafts and bookkeeping cost nothing" in said.out


BAD = {
    "gamma": (["--gamma", "16"], "give 1 to 15"),
    "rounds": (["--rounds", "0"], "1 or more"),
    "no module": (["--drafter", "mtp"], "there is no MTP module"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(
    case: str, pair: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, mend = BAD[case]
    assert mend in failed(["bench", *pair, *SMALL[:6], *words], capsys)


def test_the_result_of_a_serving_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "BATCH_SIZES", (1, 2))
    monkeypatch.setattr(serving, "TRACE_ROWS", 2)
    monkeypatch.setattr(serving, "TRACE_REQUESTS", 4)
    save(tiny(0, context=320), tmp_path / "target")
    save(tiny(1, layers=1, context=320), tmp_path / "draft")
    models = ["--target", str(tmp_path / "target"), "--draft", str(tmp_path / "draft")]
    out, plot = tmp_path / "serving.json", tmp_path / "serving.svg"
    words = ["bench", "--serving", *models, "--gamma", "2", "--json", str(out), "--plot", str(plot)]
    assert main(words) == 0
    result, said = json.loads(out.read_text()), capsys.readouterr()
    assert said.err == ""
    assert result["command"] == "bench --serving"
    assert result["same_tokens"]
    assert [batch["size"] for batch in result["batches"]] == [1, 2]
    for batch in result["batches"]:
        assert {*batch} == {"size", "latency", *serving.SERVING_MODES}
        assert (
            batch["latency"]["plain"]["drafted"] == 0 < batch["latency"]["speculative"]["drafted"]
        )
    memory = result["memory"]
    assert memory["needed"] <= memory["paged"] <= memory["contiguous"]
    assert len(result["trace"]["arrivals"]) == 4
    assert "same tokens as each request alone: yes in float64" in " ".join(said.out.split())
    assert "<svg" in plot.read_text()


@pytest.mark.parametrize(
    ("speeds", "batch"),
    [
        ([(1, 2), (1, 2)], None),
        ([(1, 2), (2, 1)], 2),
        ([(2, 1), (2, 1)], 1),
        ([(2, 1), (1, 2), (2, 1)], 3),
    ],
)
def test_the_crossover_is_where_speculation_stays_slower(
    speeds: list[tuple[int, int]], batch: int | None
) -> None:
    rows = [
        {"size": size, "plain": plain, "speculative": ours}
        for size, (plain, ours) in enumerate(speeds, 1)
    ]
    assert serving.crossover_batch(rows) == batch
