"""Prints at the end of a run what each statistical test found, and the smallest difference that it would have seen."""

import pytest

FINDINGS = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request):
    """tell(name, finding): a line in the summary of the run."""
    def add(name, finding) -> None:
        request.config.stash.setdefault(FINDINGS, []).append(f"{name}: {finding}")
    return add


def pytest_terminal_summary(terminalreporter, config) -> None:
    if lines := config.stash.get(FINDINGS, []):
        terminalreporter.section("sampled laws")
        for line in lines:
            terminalreporter.line(line)
