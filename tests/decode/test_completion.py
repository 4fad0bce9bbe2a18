"""A completion of which no counts are given claims none."""

from specref.data import Completion


def test_a_completion_without_counts_has_done_nothing() -> None:
    done = Completion([], "length")
    assert (done.target_steps, done.drafted, done.accepted, done.logprobs) == (0, 0, 0, None)
