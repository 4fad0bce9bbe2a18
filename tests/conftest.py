"""One setting for all tests: Hypothesis draws the same examples on every run, and torch uses one
thread.

At the end of a run: what each statistical test found, and the smallest difference that it would
have seen.
"""

import os

import pytest
import torch
from hypothesis import Phase, settings

settings.register_profile("house", derandomize=True, deadline=None, max_examples=60)
# for tests.mutation, which asks only whether anything fails
settings.register_profile(
    "no shrinking", settings.get_profile("house"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_HOUSE", "house"))
torch.set_num_threads(1)

DISTRIBUTION = "sampled distribution"


@pytest.fixture
def tell(record_property):
    """tell(name, finding): a line in the summary of the run."""
    # it travels with the report out of a worker
    return lambda name, finding: record_property(DISTRIBUTION, f"{name}: {finding}")


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    if lines := [
        told for report in reports for name, told in report.user_properties if name == DISTRIBUTION
    ]:
        terminalreporter.section("sampled distributions")
        for line in lines:
            terminalreporter.line(line)
