"""The published results were made with the settings that stand in the code.

Protects: readers from a page that shows figures of one setting beside the code of another: whoever
changes a setting has to measure and publish again.
"""

import json
from pathlib import Path

import pytest
from specref.measure.serving import bench as serving
from specref.measure.serving.arrivals import arrivals

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def test_the_sizes_of_the_serving_bench_are_those_that_are_published() -> None:
    published = result("serving")
    assert tuple(batch["size"] for batch in published["batches"]) == serving.BATCH_SIZES
    said = published["settings"]
    assert (said["block_size"], said["chunk"]) == (serving.BLOCK_SIZE, serving.CHUNK)
    assert said["temperature"] == 1
    trace = published["trace"]
    assert (trace["requests"], trace["rows"]) == (serving.TRACE_REQUESTS, serving.TRACE_ROWS)


def test_the_load_of_the_trace_is_the_one_that_is_published() -> None:
    """Tokens that were asked for a second, over those that plain decoding writes with so many
    rows."""
    published = result("serving")
    trace = published["trace"]
    tokens = sum(count for _, _, count in trace["arrivals"]) / trace["requests"]
    plain = {batch["size"]: batch["plain"] for batch in published["batches"]}[trace["rows"]]
    assert tokens / trace["seconds_between"] / plain == pytest.approx(serving.LOAD)


def test_the_requests_of_the_trace_are_those_that_are_published() -> None:
    trace = arrivals(serving.TRACE_REQUESTS)
    told = [[one.at, len(one.prompt), one.new_tokens] for one in trace]
    assert told == result("serving")["trace"]["arrivals"]
