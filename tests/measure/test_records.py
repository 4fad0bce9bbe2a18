"""Settings and results do not change after they are made.

Protects: a result from being changed between its measurement and its file, and a setting from being
changed half-way through a measurement.
"""

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest
from specref.measure.acceptance.frontier import FrontierPoint, FrontierWork
from specref.measure.acceptance.rates import Rate
from specref.measure.distribution_checks import ExactComparison, GreedyParity, SampledCase
from specref.measure.serving.arrivals import Arrival
from specref.measure.serving.bench import ReplayedTrace
from specref.measure.serving.clients import Clients
from specref.measure.speed.bench import BenchSettings, DraftingGuess
from specref.measure.speed.decoding_runs import DraftingMethod
from specref.measure.speed.drafter_profile import ProfiledModels, ProfileSettings
from specref.measure.speed.step_costs import TimedModels
from specref.measure.speed.timing import Timed
from specref.serve.depth_policy import DepthPolicy
from specref.serve.scheduler import Plan, Seen, State
from specref.serve.sequence import Event
from specref.serve.settings import ServingSettings

RECORDS = [
    Arrival,
    BenchSettings,
    Clients,
    DepthPolicy,
    DraftingGuess,
    DraftingMethod,
    Event,
    ExactComparison,
    FrontierPoint,
    FrontierWork,
    GreedyParity,
    Plan,
    ProfiledModels,
    ProfileSettings,
    Rate,
    ReplayedTrace,
    SampledCase,
    Seen,
    ServingSettings,
    State,
    Timed,
    TimedModels,
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_record_stays_as_it_was_made(record: type) -> None:
    assert is_dataclass(record)
    made = object.__new__(record)
    name = fields(record)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, 1)
