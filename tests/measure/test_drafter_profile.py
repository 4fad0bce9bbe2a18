"""The profile is arithmetic on what it measures. Here the measurements are given, so that each
method's size and each figure of the result is known beforehand; no model runs.

Protects: which length and tree each drafter is measured with, and its published figures.
"""

import pytest
import torch
from specref.data import Completion
from specref.draft.medusa import MedusaDrafter, MedusaHeads
from specref.draft.model import ModelDrafter
from specref.draft.mtp import MTPDrafter, MTPModule
from specref.draft.ngram import NGramDrafter
from specref.draft.suffix import SuffixDrafter
from specref.measure.speed import drafter_profile as module
from specref.measure.speed.calibration import Calibration
from specref.measure.speed.decoding_runs import SpeculativeRun
from specref.measure.speed.drafter_profile import DrafterProfile, ProfiledModels, ProfileSettings
from specref.measure.speed.timing import Timed

from tests.stub import tiny

METHODS = ["draft", "ngram", "suffix", "medusa_chain", "medusa_tree", "mtp"]
SECONDS = {  # of ten tokens, and of the eight after the first emission
    "plain": (20, 16),
    "draft": (10, 4),
    "ngram": (40, 32),
    "suffix": (40, 32),
    "medusa_chain": (5, 4),
    "medusa_tree": (4, 2),
    "mtp": (20, 16),
}


def models(context: int = 64) -> ProfiledModels:
    target = tiny(seed=1, vocabulary=256, layers=1, context=context, dtype=torch.float32)
    draft = tiny(seed=2, vocabulary=256, layers=1, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        heads = MedusaHeads.of(target, 2).requires_grad_(False)
        return ProfiledModels(target, draft, heads, MTPModule.of(target).requires_grad_(False))


def costs() -> dict[str, float]:
    """Microseconds: a plain step of 10 is a forward of 8 and a draw of 2; a forward over k tokens
    with a draw costs 1 + 0.1 (k - 1) plain steps."""
    curve = {f"verify {k}": 7.0 + k for k in range(1, 34)}
    return {"plain": 10.0, "draft": 2.0, "mtp": 4.0, "heads": 5.0} | curve


class Given:
    """Every measurement is given; what was asked for is remembered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.costs = costs()
        self.rates = {ModelDrafter: 0.9, MTPDrafter: 0.6}
        self.ranks = [[0.6, 0.2], [0.5, 0.1]]
        self.asked: dict[str, tuple] = {}
        self.lengths: list[tuple] = []
        self.calibrated: list[tuple] = []
        self.runs: dict = {}
        given = {
            "held_out": lambda: {"a": b"text" * 4000},
            "top_accuracy": lambda *words: self.asked.setdefault("heads", words),
            "head_accuracy": self.head_accuracy,
            "step_costs": self.step_costs,
            "acceptance_by_position": self.acceptance,
            "calibrate_method": self.calibrate,
            "plain_run": lambda *words: words,
            "in_turn": self.in_turn,
        }
        for name, stand_in in given.items():
            monkeypatch.setattr(module, name, stand_in)

    def head_accuracy(self, *words):
        self.asked["ranks"] = words
        return self.ranks

    def step_costs(self, *words):
        self.asked["costs"] = words
        return self.costs

    def acceptance(self, target, drafter, prompts, params, gamma):
        self.lengths.append((type(drafter), prompts, params.max_new_tokens, gamma))
        return [self.rates[type(drafter)]] * gamma

    def calibrate(self, target, method, prompts, params):
        self.calibrated.append((method.name, prompts, params.max_new_tokens))
        return Calibration(
            seconds=4e-6, forwards=20e-6, loop=34e-6, widths=[1, 1], accepted=[1, 0], judged=[1, 1]
        )

    def in_turn(self, runs, rounds, report):
        self.runs = runs
        report(rounds)
        for run in runs.values():
            if isinstance(run, SpeculativeRun):
                for tokens, steps in ((5, 2), (7, 2)):
                    run.completions.append(Completion([0] * tokens, "length", steps, 0, 0))
        return {name: [Timed(*SECONDS[name], 10, 8)] * rounds for name in runs}


def profile(given: Given, new_tokens: int = 10, context: int = 64) -> tuple[dict, ProfiledModels]:
    made = models(context)
    return DrafterProfile(made, ProfileSettings(3, 16, new_tokens)).run(), made


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


def test_each_method_has_the_size_that_its_measurements_predict(given: Given) -> None:
    """A draft step of 0.2 that is right in 9 of 10 pays to length 5, one of 0.4 that is right in 6
    of 10 to length 1. Of the trees 1 + 0.6 + 0.3 + ... tokens for 1.5 + 0.1 n: the one with three
    nodes."""
    result, _ = profile(given)
    methods = {name: run.method for name, run in given.runs.items() if name != "plain"}
    assert list(methods) == list(result["methods"]) == METHODS
    drafters = {name: type(method.drafter) for name, method in methods.items()}
    assert drafters == {
        "draft": ModelDrafter,
        "ngram": NGramDrafter,
        "suffix": SuffixDrafter,
        "medusa_chain": MedusaDrafter,
        "medusa_tree": MedusaDrafter,
        "mtp": MTPDrafter,
    }
    rows = {
        name: (row["gamma"], row["nodes"], row["rule"]) for name, row in result["methods"].items()
    }
    assert rows == {
        "draft": (5, 5, "rejection"),
        "ngram": (6, 6, "rejection"),
        "suffix": (6, 6, "rejection"),
        "medusa_chain": (2, 2, "rejection"),
        "medusa_tree": (2, 3, "tree"),
        "mtp": (1, 1, "rejection"),
    }
    chain, tree = methods["medusa_chain"].drafter, methods["medusa_tree"].drafter
    assert isinstance(chain, MedusaDrafter)
    assert isinstance(tree, MedusaDrafter)
    assert chain.draws, "a chain under rejection is drawn"
    assert not tree.draws
    assert tree.tree == [(0,), (1,), (0, 0)]


def test_a_method_that_never_pays_is_measured_at_its_smallest(given: Given) -> None:
    given.rates = dict.fromkeys(given.rates, 0.0)
    given.ranks = [[0.01] * 2] * 2
    rows = profile(given)[0]["methods"]
    assert (rows["draft"]["gamma"], rows["mtp"]["gamma"]) == (1, 1)
    assert rows["medusa_tree"]["nodes"] == 1


def test_lengths_are_considered_to_ten(given: Given) -> None:
    given.rates = dict.fromkeys(given.rates, 1.0)
    given.costs |= {"draft": 0.01, "mtp": 0.01}
    rows = profile(given)[0]["methods"]
    assert (rows["draft"]["gamma"], rows["mtp"]["gamma"]) == (10, 10)


def test_a_row_is_arithmetic_on_its_times_and_counts(given: Given) -> None:
    """12 tokens in 4 cycles. In the calibration 1.5 tokens for a forward over 2 tokens and 2 of 10
    microseconds of drafting; per cycle 2 go to drafts, 10 to the forward and 5 to the rest."""
    result, _ = profile(given)
    rows = result["methods"]
    assert {name: row["speedup"] for name, row in rows.items()} == {
        "draft": 2,
        "ngram": 0.5,
        "suffix": 0.5,
        "medusa_chain": 4,
        "medusa_tree": 5,
        "mtp": 1,
    }
    assert {name: row["speedup_decode_only"] for name, row in rows.items()} == {
        "draft": 4,
        "ngram": 0.5,
        "suffix": 0.5,
        "medusa_chain": 4,
        "medusa_tree": 8,
        "mtp": 1,
    }
    for row in rows.values():
        assert row["tokens_per_cycle"] == 3
        assert row["predicted"] == pytest.approx(1.5 / (1.1 + 0.2))
        assert row["cycle"] == pytest.approx({"draft": 0.2, "forward": 1.0, "rest": 0.5})
        assert row["acceptance_by_depth"] == [0.5]


def test_the_rest_of_the_result(given: Given) -> None:
    """Sizes are of float16, whatever the type that the models are in."""
    result, made = profile(given)
    assert result["heads"] == given.asked["heads"]
    assert result["heads_cost"] == 0.5
    assert result["verify_curve"] == {str(k): (7 + k) / 8 for k in range(1, 34)}
    heads = 2 * (16 * 16 + 16 + 16 * 256)
    assert result["head_parameters"] == heads
    assert result["head_bytes"] == 2 * heads

    def count(model: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in model.parameters())

    assert result["target_bytes"] == 2 * count(made.target)
    assert result["draft_bytes"] == 2 * count(made.draft)
    assert result["mtp_bytes"] == 2 * count(made.module)


@pytest.mark.parametrize(("context", "row"), [(64, 63), (400, 256)])
def test_what_is_measured_and_on_what(given: Given, context: int, row: int) -> None:
    """Head accuracies on texts as long as the target reads, at most 256 tokens; costs behind the
    middle of a generation; lengths, calibrations and times each on prompts of their own."""
    _, made = profile(given, context=context)
    assert given.asked["heads"][:2] == (made.heads, made.target)
    assert given.asked["heads"][3] == row
    assert given.asked["ranks"][:2] == (made.heads, made.target)
    assert given.asked["ranks"][2].shape[1] == row + 1
    timed, params, middle, widths = given.asked["costs"]
    assert (timed.target, timed.draft) == (made.target, made.draft)
    assert (timed.module, timed.heads) == (made.module, made.heads)
    assert (params.temperature, middle) == (1, 21)
    assert list(widths) == list(range(1, 34))
    prompts = {
        "time": given.runs["draft"].prompts,
        "calibration": given.calibrated[0][1],
        "length": given.lengths[0][1],
    }
    assert {name: len(several) for name, several in prompts.items()} == {
        "time": 3,
        "calibration": 12,
        "length": 6,
    }
    every = [tuple(prompt) for several in prompts.values() for prompt in several]
    assert len(set(every)) == 21
    assert all(
        run.prompts == prompts["time"] for name, run in given.runs.items() if name in METHODS
    )
    assert given.runs["plain"][:2] == (made.target, prompts["time"])
    assert [name for name, _, _ in given.calibrated] == METHODS


@pytest.mark.parametrize(("asked", "used"), [(10, 10), (96, 96), (500, 96)])
def test_a_length_is_chosen_on_at_most_96_tokens_a_prompt(
    given: Given, asked: int, used: int
) -> None:
    profile(given, asked)
    assert {(tokens, gamma) for _, _, tokens, gamma in given.lengths} == {(used, 10)}
    assert {tokens for _, _, tokens in given.calibrated} == {asked}
