"""The bench is arithmetic on what it measures. Here the measurements are given, so that each choice
and each figure of the result is known beforehand; no model runs.

Protects: which drafter and draft length are chosen, what is run beside what, and each published
figure from another one's numerator or denominator.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from specref.data import Completion
from specref.draft.model import ModelDrafter
from specref.draft.mtp import MTPDrafter, MTPModule
from specref.draft.ngram import NGramDrafter
from specref.draft.suffix import SuffixDrafter
from specref.errors import SpecrefError
from specref.measure.speed import bench as module
from specref.measure.speed.bench import Bench, BenchSettings
from specref.measure.speed.calibration import Calibration
from specref.measure.speed.decoding_runs import SpeculativeRun
from specref.measure.speed.timing import Timed

from tests.stub import tiny

TARGET = tiny(seed=1, vocabulary=256, layers=1, dtype=torch.float32)
DRAFT = tiny(seed=2, vocabulary=256, layers=1, dtype=torch.float32)
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    MTP = MTPModule.of(TARGET).requires_grad_(False)
ON_CUDA = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float32, config=TARGET.config)

# microseconds; a plain step of 10 is a forward of 8 and a draw of 2: in plain steps, a forward over
# k tokens with a draw costs 1 + 0.1 (k - 1), in bfloat16 2 + 0.2 (k - 1)
COSTS = {"plain": 10.0, "draft": 2.0, "mtp": 1.0} | {f"verify {k}": 7.0 + k for k in range(1, 9)}
COSTS_BF16 = {"plain": 40.0, "draft": 3.0} | {f"verify {k}": 16.0 + 2 * k for k in range(1, 9)}
RATES = {ModelDrafter: 0.9, MTPDrafter: 0.6}  # best draft lengths: 5 and 2 at costs 0.2 and 0.1
SECONDS = {  # of ten tokens; and of the eight after the first emission
    "plain": (10, 8),
    "plain greedy": (20, 8),
    "sampled": (4, 2),
    "sampled tokenwise": (5, 4),
    "greedy": (5, 4),
    "draft model": (8, 4),
    "ngram": (16, 16),
    "suffix": (16, 16),
    "plain bf16": (40, 32),
    "sampled bf16": (2, 1),
    "sampled bf16 arithmetic": (10, 8),
    "transformers plain": (20, 10),
    "transformers assisted": (24, 10),
}
STEPS = {"sampled": (12, 4), "sampled bf16": (14, 4), "sampled bf16 arithmetic": (12, 2)}


def seen(widths: list[int], accepted: list[int]) -> Calibration:
    return Calibration(widths=widths, accepted=accepted, judged=widths, texts=[0] * len(widths))


CALIBRATIONS = {  # target, probability at which a draft ends, draft length
    ("float32", None, 5): seen([5, 5], [4, 2]),  # 4 tokens for 1.5 + 5 * 0.2
    ("float32", 0.0, 2): seen([2, 2], [2, 1]),  # 2.5 for 1.2 + 2 * 0.1
    ("float32", 0.1, 7): seen([7, 1], [5, 1]),  # 4 for (1.7 + 1.1) / 2 + 4 * 0.1
    ("weights", 0.0, 2): seen([2], [1]),  # 2 for 1.2 + 0.2
    ("weights", 0.1, 7): seen([4], [2]),  # 3 for 1.4 + 0.4
    ("arithmetic", 0.0, 1): seen([1], [1]),  # 2 for 2.2 + 0.1: no length pays there
    ("arithmetic", 0.1, 7): seen([4], [1]),  # 2 for 2.8 + 0.4
}


class Given:
    """Every measurement is given; what was asked for is remembered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, transformers: bool = True):
        self.models: dict[str, object] = {}  # name -> target
        self.costed: list[tuple] = []
        self.asked: list[tuple] = []
        self.plain: dict[str, tuple] = {}
        self.runs: dict = {}
        self.pieces: dict[str, tuple] = {}
        self.transformers: tuple = ()
        self.rates = dict(RATES)
        self.calibrations = dict(CALIBRATIONS)
        given = {
            "load": self.load,
            "load_mtp_module": lambda folder, dtype, device: MTP,
            "step_costs": self.costs,
            "acceptance_by_position": self.acceptance,
            "calibrate_method": self.calibrate,
            "plain_run": lambda *words: words,
            "in_turn": self.in_turn,
            "has_transformers": lambda: transformers,
            "transformers_runs": self.transformers_runs,
            "block_costs": lambda *words: self.pieces.setdefault("block", words),
            "costs_by_width": lambda *words: self.pieces.setdefault("widths", words),
        }
        for name, stand_in in given.items():
            monkeypatch.setattr(module, name, stand_in)

    def load(self, folder: Path, dtype: torch.dtype, device: str):
        """First the one with float32 arithmetic, then the one that stays in bfloat16."""
        assert (folder, dtype) == (Path("target"), torch.bfloat16)
        name = "arithmetic" if self.models else "weights"
        self.models[name] = made = SimpleNamespace(name=name, device=torch.device("cpu"))
        made.float = lambda: made
        return made

    def name_of(self, target) -> str:
        return getattr(target, "name", "float32")

    def costs(self, models, params, context, widths):
        self.costed.append((self.name_of(models.target), models, params, context, list(widths)))
        return dict(COSTS_BF16 if self.name_of(models.target) == "arithmetic" else COSTS)

    def acceptance(self, target, drafter, prompts, params, gamma):
        self.asked.append(("acceptance", type(drafter), prompts, params.temperature, gamma))
        return [self.rates[type(drafter)]] * gamma

    def calibrate(self, target, method, prompts, params):
        self.asked.append(("calibration", type(method.drafter), prompts, params.temperature))
        assert method.rule.__name__ == "block"
        sure = getattr(method.drafter, "sure", None)
        return self.calibrations[self.name_of(target), sure, method.gamma]

    def transformers_runs(self, *words):
        self.transformers = words
        return {"transformers plain": None, "transformers assisted": None}

    def in_turn(self, runs, rounds, report):
        self.runs = runs
        report(rounds)
        for name, run in runs.items():
            if isinstance(run, SpeculativeRun):
                tokens, steps = STEPS.get(name, (5, 1))
                run.completions.append(Completion([0] * tokens, "length", steps, 0, 0))
        return {name: [Timed(*SECONDS[name], 10, 8)] * rounds for name in runs}


def settings(**changed) -> BenchSettings:
    usual: dict = {
        "target": Path("target"),
        "draft": Path("draft"),
        "module": Path("mtp"),
        "drafter": None,
        "gamma": None,
        "longest": 7,
        "rounds": 3,
        "prompt_length": 16,
        "new_tokens": 10,
        "dtype": "float32",
        "device": "cpu",
    }
    return BenchSettings(**(usual | changed))


def test_everything_in_float32_on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    said: list[str] = []
    bench = Bench(settings(), TARGET, DRAFT, said.append)
    result = bench.run()
    assert result["settings"] == {
        "rounds": 3,
        "prompt_length": 16,
        "new_tokens": 10,
        "temperature": 1.0,
        "dtype": "float32",
        "device": "cpu",
        "clock": "process",
    }
    # the drafter and the length with the largest prediction
    assert (result["drafter"], result["gamma"]) == ("mtp", 7)
    assert result["predicted"] == pytest.approx(4 / 1.8)
    assert result["share_of_prediction"] == pytest.approx(4 / (4 / 1.8))
    assert result["bf16"] == "bf16 weights"
    rows = {
        name: (row["gamma"], row["sure"], row["nodes"]) for name, row in result["drafters"].items()
    }
    assert rows == {
        "draft": (5, 0, 5),
        "mtp": (7, 0.1, 4),
        "bf16 weights": (7, 0.1, 4),
        "bf16 arithmetic": (1, 0, 1),
    }
    predicted = {name: row["predicted"] for name, row in result["drafters"].items()}
    assert predicted == pytest.approx(
        {"draft": 1.6, "mtp": 4 / 1.8, "bf16 weights": 3 / 1.8, "bf16 arithmetic": 2 / 2.3}
    )
    verify = {name: row["verify"] for name, row in result["drafters"].items()}
    assert verify == pytest.approx(
        {"draft": 1.5, "mtp": 1.4, "bf16 weights": 1.4, "bf16 arithmetic": 2.2}
    )
    assert [row["cost"] for row in result["drafters"].values()] == [0.2, 0.1, 0.1, 0.1]
    assert result["drafters"]["draft"]["by_position"] == [1, 1, 0.5, 0.5, 0]
    # what was measured
    assert result["microseconds"] == COSTS
    assert result["verify_curve"] == {str(k): (7 + k) / 8 for k in range(1, 9)}
    assert result["verify_curve_bf16"] == {str(k): (16 + 2 * k) / 8 for k in range(1, 9)}
    assert result["speedup"] == {
        "sampled": 2.5,
        "sampled_tokenwise": 2,
        "greedy": 4,
        "draft_model": 1.25,
        "ngram": 0.625,
        "suffix": 0.625,
        "sampled_bf16": 5,
        "sampled_bf16_arithmetic": 1,
    }
    assert result["speedup_decode_only"] == {
        "sampled": 4,
        "sampled_tokenwise": 2,
        "greedy": 2,
        "draft_model": 2,
        "ngram": 0.5,
        "suffix": 0.5,
        "sampled_bf16": 8,
        "sampled_bf16_arithmetic": 1,
    }
    assert result["interval"] == {name: [x, x] for name, x in result["speedup"].items()}
    assert result["tokens_per_step"]["sampled"] == 3
    assert result["tokens_per_step"]["greedy"] == 5
    assert result["at_most"] == pytest.approx(
        {"sampled": 3 / 1.4, "sampled_bf16": 3.5 / 1.4, "sampled_bf16_arithmetic": 6 / 2.2}
    )
    assert result["plain_milliseconds_per_token"] == {
        "plain": 1000,
        "plain greedy": 2000,
        "plain bf16": 4000,
    }
    assert result["vs_transformers"] == pytest.approx({"plain": 2, "speculative": 3})
    # one block, on one row and on as many as a draft of four nodes verifies
    both = (torch.float32, torch.bfloat16)
    assert given.pieces["block"] == (TARGET.config, both, (1, 5), 21)
    assert given.pieces["widths"] == given.pieces["block"]
    assert (result["block"], result["widths"]) == (given.pieces["block"], given.pieces["widths"])
    assert "round 3 of 3" in said


def test_what_is_measured_and_on_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs behind the middle of a generation and as far as the longest draft is judged; acceptance
    and calibration on sixteen prompts that are not the bench's."""
    given = Given(monkeypatch)
    bench = Bench(settings(), TARGET, DRAFT)
    bench.run()
    (name, models, params, *where), (name_bf16, models_bf16, _, *where_bf16) = given.costed
    assert (name, name_bf16) == ("float32", "arithmetic")
    assert (models.target, models.draft, models.module) == (TARGET, DRAFT, MTP)
    assert (models_bf16.draft, models_bf16.module) == (DRAFT, None)
    assert where == where_bf16 == [21, [1, 2, 3, 4, 5, 6, 7, 8]]
    assert params.temperature == 1
    measured = {tuple(prompt) for prompt in bench.prompts}
    assert len(measured) == 3
    for _, _, prompts, temperature, *longest in given.asked:
        assert len(prompts) == 16
        assert not measured & {tuple(prompt) for prompt in prompts}
        assert temperature == 1
        assert longest in ([], [7])


def test_each_run_has_its_target_drafter_rule_and_length(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    bench = Bench(settings(), TARGET, DRAFT)
    bench.run()
    assert list(given.runs) == list(SECONDS)
    plain = {name: run for name, run in given.runs.items() if name.startswith("plain")}
    assert [target for target, _, _ in plain.values()] == [
        TARGET,
        TARGET,
        given.models["arithmetic"],
    ]
    assert [params.temperature for _, _, params in plain.values()] == [1, 0, 1]
    assert [params.max_new_tokens for _, _, params in plain.values()] == [10, 10, 10]
    assert all(prompts is bench.prompts for _, prompts, _ in plain.values())
    runs = {}
    for name, run in given.runs.items():
        if not isinstance(run, SpeculativeRun):
            continue
        assert run.prompts is bench.prompts
        assert run.method.name == name
        method = run.method
        runs[name] = (
            given.name_of(run.target),
            method.rule.__name__,
            type(method.drafter),
            getattr(method.drafter, "sure", None),
            method.gamma,
            run.params.temperature,
        )
    assert runs == {
        "sampled": ("float32", "block", MTPDrafter, 0.1, 7, 1),
        "sampled tokenwise": ("float32", "rejection", MTPDrafter, 0.1, 7, 1),
        "greedy": ("float32", "greedy", MTPDrafter, 0.1, 7, 0),
        "draft model": ("float32", "rejection", ModelDrafter, None, 5, 1),
        "ngram": ("float32", "rejection", NGramDrafter, None, 6, 1),
        "suffix": ("float32", "rejection", SuffixDrafter, 0.1, 6, 1),
        "sampled bf16": ("weights", "block", MTPDrafter, 0.1, 7, 1),
        "sampled bf16 arithmetic": ("arithmetic", "block", MTPDrafter, 0.0, 1, 1),
    }
    assert given.transformers == (Path("target"), Path("draft"), bench.prompts, 10, 5)


def test_the_arithmetic_may_be_the_faster_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    given.calibrations["arithmetic", 0.0, 1] = seen([1], [9])
    result = Bench(settings(), TARGET, DRAFT).run()
    assert result["bf16"] == "bf16 arithmetic"
    assert given.name_of(given.runs["sampled bf16"].target) == "arithmetic"


def test_what_is_asked_for_is_not_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drafter and a length that are given stay, though another would be faster; an MTP draft that
    gives up has that length too."""
    given = Given(monkeypatch)
    given.calibrations = {
        (name, sure, 3): seen([3], [1])
        for name in ("float32", "weights", "arithmetic")
        for sure in (None, 0.0, 0.1)
    }
    given.calibrations["float32", 0.1, 3] = seen([2], [1])
    result = Bench(settings(drafter="draft", gamma=3), TARGET, DRAFT).run()
    assert (result["drafter"], result["gamma"]) == ("draft", 3)
    assert [row["gamma"] for row in result["drafters"].values()] == [3] * 4
    assert [row["sure"] for row in result["drafters"].values()] == [0, 0.1, 0, 0]
    assert not [one for one in given.asked if one[0] == "acceptance"]
    sampled = given.runs["sampled"].method
    assert (type(sampled.drafter), sampled.gamma) == (ModelDrafter, 3)


def test_a_draft_that_never_pays_is_measured_at_length_1(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    given.rates = {ModelDrafter: 0.0}
    given.calibrations = {("float32", None, 1): seen([1], [0])}
    result = Bench(settings(module=None, dtype="bfloat16"), TARGET, DRAFT).run()
    assert (result["drafter"], result["gamma"]) == ("draft", 1)
    assert result["predicted"] == pytest.approx(1 / 1.3)


@pytest.mark.parametrize(
    ("changed", "target"),
    [({"dtype": "bfloat16"}, TARGET), ({"device": "cuda"}, ON_CUDA)],
    ids=["bfloat16", "cuda"],
)
def test_elsewhere_there_is_no_transformers_and_no_table_of_pieces(
    changed: dict, target, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given(monkeypatch)
    given.calibrations["weights", None, 5] = seen([5], [4])
    given.calibrations["arithmetic", None, 7] = seen([7], [4])
    result = Bench(settings(module=None, **changed), target, DRAFT).run()
    assert given.transformers == ()
    assert given.pieces == {}
    assert not {"block", "widths", "vs_transformers"} & result.keys()
    assert set(result["drafters"]) >= {"draft"}


def test_a_bfloat16_target_is_not_rounded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch)
    result = Bench(settings(module=None, dtype="bfloat16"), TARGET, DRAFT).run()
    assert given.models == {}
    assert (result["bf16"], result["verify_curve_bf16"]) == (None, {})
    assert list(result["drafters"]) == ["draft"]
    assert list(result["at_most"]) == ["sampled"]
    assert "plain bf16" not in given.runs


def test_without_transformers_it_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Given(monkeypatch, transformers=False)
    result = Bench(settings(), TARGET, DRAFT).run()
    assert given.transformers == ()
    assert "vs_transformers" not in result
    assert set(result["block"]) != set()


def test_a_drafter_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Given(monkeypatch)
    with pytest.raises(SpecrefError, match="there is no MTP module"):
        Bench(settings(module=None, drafter="mtp"), TARGET, DRAFT)
    for there in ("draft", "mtp"):
        Bench(settings(drafter=there), TARGET, DRAFT)
