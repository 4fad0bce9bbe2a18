"""`specref demo`, in parts and, on tiny models, as a whole; and that its verdict falls when the
distribution is broken.
"""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from specref.cli import main
from specref.cli.views.demo_page import show_demo
from specref.cli.work.decoding_modes import (
    DecodingModes,
    SpeculativeMode,
    distinct_ngrams,
    table_rows,
)
from specref.cli.work.recording import WatchedRule
from specref.data import SamplingParams, SpecrefError, Verdict
from specref.decode import generate
from specref.draft.model import ModelDrafter
from specref.draft.none import NoDrafter
from specref.measure.distribution_checks import (
    SampledCase,
    exact_small_case,
    greedy_parity,
    sampled_distribution,
)
from specref.measure.speed import timing
from specref.stats.finding import Finding
from specref.verify import RULES

from tests.stub import generate_with

from .conftest import tiny

PROMPTS = [list(b"abcabcab"), list(b"hello"), list(b"def f(")]
ROW = {
    "tokens_per_target_forward",
    "acceptance",
    "interval",
    "judged",
    "speedup_total",
    "speedup_decode_only",
    "distinct_8grams",
    "baseline",
}


def careless(draft, p, chance):
    """Rejection with a planted mistake: after a rejection it draws from p, not from what is left of
    it.
    """
    x, count = draft.tokens[..., None], draft.tokens.shape[1]
    ratio = p[:, :count].gather(2, x)[..., 0]
    if draft.q is not None:
        ratio = ratio / draft.q.gather(2, x)[..., 0]
    accepted = chance.accept(ratio.clamp(max=1), draft.valid).cumprod(1).sum(1)
    return Verdict(
        torch.arange(count).expand(len(p), count),
        accepted,
        chance.draw(p[torch.arange(len(p)), accepted]),
    )


def test_distinct_ngrams_counts_within_each_text() -> None:
    assert distinct_ngrams([list(range(20)), list(range(20))]) == 1
    assert distinct_ngrams([[1] * 20]) == 1 / 13
    assert distinct_ngrams([[1, 2] * 10, list(range(20))]) == (2 + 13) / 26
    assert distinct_ngrams([[1, 2, 3]]) is None


def test_every_mode_writes_and_is_measured() -> None:
    target, draft = tiny(0), tiny(1, layers=1)
    found = DecodingModes(target, PROMPTS, 16, 3)
    found.add_standard(draft)
    found.add_early_exit(1)
    timed = timing.in_turn(found, len(PROMPTS))
    rows = table_rows(found, timed)
    assert list(rows) == [
        "target alone",
        "greedy speculation",
        "sampled speculation",
        "block verification",
        "n-gram",
        "suffix decoding",
        "early exit after 1",
    ]
    assert all(set(row) == ROW for row in rows.values())
    assert all(len(text) == 16 for mode in found.values() for text in mode.texts.values())
    assert (
        rows["target alone"]["speedup_total"]
        == rows["target alone"]["tokens_per_target_forward"]
        == 1
    )
    assert rows["target alone"]["acceptance"] is None
    assert rows["greedy speculation"]["baseline"] == "target alone, greedy"
    for name in ("greedy speculation", "sampled speculation", "block verification"):
        row, mode = rows[name], found[name]
        assert isinstance(mode, SpeculativeMode)
        done = mode.done.values()
        assert row["interval"][0] <= row["acceptance"] <= row["interval"][1]
        assert row["judged"] <= sum(one.drafted for one in done)
        assert row["judged"] == sum(judged for _, judged in mode.counts.values())
        assert row["tokens_per_target_forward"] == 48 / sum(one.target_steps for one in done) >= 1
    # the greedy baseline is the target's own text, by another loop
    for number, prompt in enumerate(PROMPTS):
        params = SamplingParams(temperature=0, max_new_tokens=16)
        alone = generate(target, NoDrafter(), RULES["greedy"], [prompt], params)[0].tokens
        assert (
            found["target alone, greedy"].texts[number]
            == alone
            == found["greedy speculation"].texts[number]
        )


def test_watched_counts_what_was_judged() -> None:
    target, rule, judged, accepted = tiny(0), WatchedRule(RULES["rejection"]), 0, 0

    def watch(cycle) -> None:
        nonlocal judged, accepted
        for length, count in zip(
            cycle.draft.lengths.tolist(), cycle.verdict.accepted.tolist(), strict=True
        ):
            judged += count + (count < length)
            accepted += count

    generate_with(
        target,
        ModelDrafter(tiny(1, layers=1)),
        rule,
        PROMPTS,
        SamplingParams(max_new_tokens=20, seed=1),
        watch=watch,
    )
    assert (rule.judged, rule.accepted) == (judged, accepted)
    assert 0 < accepted < judged


def test_greedy_parity_tells_ties_from_mistakes() -> None:
    target = tiny(3)
    assert target.head is not None
    target.head.weight.data[9] = target.head.weight.data[7]  # 7 and 9 always tie
    # closer to them than float32 can tell
    target.head.weight.data[11] = target.head.weight.data[7] * (1 + 3e-7)
    prompt = PROMPTS[0]
    logits = target(torch.tensor([prompt])).logits[0, -1]
    if logits[7] < logits.max():  # bring the tie to the top
        target.head.weight.data[[7, 9, 11]] *= -1 if logits[7] < 0 else 1
        target.head.weight.data[[7, 9, 11]] *= 50
    assert int(target(torch.tensor([prompt])).logits[0, -1].argmax()) in (7, 9, 11)
    other = int(target(torch.tensor([prompt])).logits[0, -1].argsort()[-4])
    same = greedy_parity(target, [prompt] * 2, [[7, 1], [5]], [[7, 1], [5]], 3)
    assert (same.tokens, same.mismatches, same.ties) == (3, 0, 0)
    tied = greedy_parity(target, [prompt] * 2, [[7, 1], [7]], [[9, 2], [11]], 3)
    assert (tied.mismatches, tied.ties) == (0, 2)
    assert tied.tokens == 0
    assert all(
        margin <= error < 1e-2 for margin, error in zip(tied.margins, tied.errors, strict=True)
    )
    wrong = greedy_parity(target, [prompt] * 3, [[7], [9], [7, 9]], [[other], [other], [7]], 3)
    assert (wrong.mismatches, wrong.ties) == (3, 0)


@pytest.mark.parametrize("rule", ["rejection", "block", "matching"])
def test_the_small_case_has_the_target_s_distribution(rule: str) -> None:
    found = exact_small_case(RULES[rule], tokens=3)
    assert found.equal
    assert found.tv < 1e-14
    assert found.outcomes == 27
    assert found.worlds > 27


def test_the_small_case_sees_a_planted_mistake() -> None:
    found = exact_small_case(careless, tokens=3)
    assert not found.equal
    assert found.tv > 0.01


def sampled(rule, params: SamplingParams, draws: int) -> Finding:
    target, draft = tiny(0), tiny(1, layers=1)
    case = SampledCase(target, draft, ModelDrafter(draft), rule, PROMPTS, params, 3)
    return sampled_distribution(case, draws, 5e-7)


def test_sampled_distribution_passes_the_target_and_fails_a_planted_mistake() -> None:
    params = SamplingParams(max_new_tokens=24)
    for rule in ("rejection", "block"):
        found = sampled(RULES[rule], params, 3000)
        assert not found.rejected
        assert found.n == 2 * 63 * 24  # every written token, once
        assert 0 < found.mde < 0.2
    wrong = sampled(careless, params, 20_000)
    assert wrong.rejected
    assert wrong.n < 20_000
    with pytest.raises(SpecrefError, match="without filters"):
        sampled(RULES["block"], SamplingParams(max_new_tokens=24, top_k=5), 3000)


def demo(models: Path, out: Path) -> int:
    return main(
        [
            "demo",
            "--target",
            str(models / "target"),
            "--draft",
            str(models / "draft"),
            "--prompts",
            "3",
            "--new-tokens",
            "12",
            "--draws",
            "300",
            "--json",
            str(out),
        ]
    )


def test_the_whole_demo(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(models, tmp_path / "d.json") == 0
    said, result = capsys.readouterr(), json.loads((tmp_path / "d.json").read_text())
    assert said.err == ""  # no progress where nobody looks
    assert {
        "command",
        "commit",
        "machine",
        "versions",
        "modes",
        "held_out_distinct_8grams",
        "distribution",
        "settings",
    } <= set(result)
    assert list(result["modes"]) == [
        "target alone",
        "greedy speculation",
        "sampled speculation",
        "block verification",
        "n-gram",
        "suffix decoding",
    ]
    distribution = result["distribution"]
    assert distribution["holds"]
    assert distribution["greedy"]["tokens"] == 36
    assert set(distribution["exact"]) == set(distribution["sequential"]) == {"rejection", "block"}
    assert sum(one["alpha"] for one in distribution["sequential"].values()) <= 1e-6
    assert "PASS: the output has the target's distribution" in said.out
    assert "what to try next" in said.out
    for width in (80, 100, 120):
        console = Console(width=width, record=True, highlight=False, file=open("/dev/null", "w"))  # noqa: SIM115
        show_demo(console, result)
        text = console.export_text()
        assert "…" not in text
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
        for name, row in result["modes"].items():
            assert any(
                name in line and f"{row['speedup_total']:.2f}x" in line
                for line in text.splitlines()
            )


def test_the_demo_s_verdict_falls_with_the_distribution(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(RULES, "rejection", careless)
    assert demo(models, tmp_path / "d.json") == 1
    assert "FAIL: the output does not have the target's distribution" in capsys.readouterr().out
    distribution = json.loads((tmp_path / "d.json").read_text())["distribution"]
    assert not distribution["holds"]
    assert not distribution["exact"]["rejection"]["equal"]
    assert distribution["exact"]["block"]["equal"]
