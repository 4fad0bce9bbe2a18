"""The scheduler keeps its promises for any load; no model runs here, a few lines stand for one.

Protects: requests from waiting for ever. Under short memory a wrong choice is not seen until two of
them wait for each other.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specref.serve.scheduler import Seen, State, schedule


def one(number, length, cached, blocks=(), draft=0) -> Seen:
    return Seen(number, length, cached, tuple(blocks), draft)


def test_the_older_prompt_gets_the_chunk_first():
    state = State([one(0, 20, 3, [0]), one(1, 9, 0)], [], free=50, size=4, rows=4, chunk=20)
    assert schedule(state).read == {0: 16, 1: 4}


def test_a_prompt_needs_room_for_the_piece_that_is_read_and_no_more():
    """Its first piece fits into the one block that is free, the whole prompt into eight."""
    state = State([one(0, 31, 0)], [], free=1, size=4, rows=4, chunk=4)
    plan = schedule(state)
    assert (plan.read, plan.preempt) == ({0: 4}, ())
    short = State([one(0, 4, 0)], [], free=1, size=4, rows=4, chunk=9)
    assert schedule(short).read == {0: 3}


def test_decoding_goes_on_beside_a_prompt_that_is_read():
    state = State(
        [one(0, 9, 8, [0, 1, 2], 3), one(1, 90, 0)], [], free=50, size=4, rows=4, chunk=16
    )
    plan = schedule(state)
    assert (plan.decode, plan.read, plan.preempt) == ({0: 3}, {1: 16}, ())


def test_the_youngest_gives_way():
    state = State(
        [one(n, 9, 8, [2 * n, 2 * n + 1]) for n in range(3)],
        [one(3, 5, 0)],
        free=0,
        size=4,
        rows=4,
        chunk=8,
    )
    plan = schedule(state)
    assert (plan.decode, plan.preempt, plan.admit) == ({0: 0, 1: 0}, (2,), ())


def test_blocks_that_others_use_are_not_won_by_preemption():
    rows = [one(0, 9, 8, [0, 1]), one(1, 9, 8, [0, 2]), one(2, 9, 8, [0, 2])]
    assert schedule(State(rows, [], free=0, size=4, rows=4, chunk=8)).preempt == (2, 1)


def test_nobody_overtakes_a_large_request():
    waiting = [one(1, 40, 0), one(2, 2, 0)]
    assert (
        schedule(State([one(0, 9, 8, [0, 1, 2])], waiting, free=6, size=4, rows=4, chunk=8)).admit
        == ()
    )


def test_a_found_beginning_costs_only_where_nobody_holds_it():
    running, waiting = [one(0, 9, 8, [0, 1, 2])], [one(1, 13, 8, [0, 1])]
    assert schedule(State(running, waiting, free=4, size=4, rows=4, chunk=8)).admit == (1,)
    assert (
        schedule(State(running, [one(1, 13, 8, [5, 6])], free=3, size=4, rows=4, chunk=8)).admit
        == ()
    )


@pytest.mark.parametrize(("free", "admitted"), [(1, ()), (2, (1,)), (3, (1,)), (4, (1, 2))])
def test_who_is_let_in_leaves_a_block_to_each_that_runs(free, admitted):
    """Each waiting request needs one block: one more stays free for each that runs already or was
    let in before it.
    """
    running = [one(0, 9, 8, [0, 1, 2])]
    waiting = [one(1, 4, 0), one(2, 4, 0)]
    state = State(running, waiting, free=free, size=4, rows=4, chunk=9)
    assert schedule(state).admit == admitted


@pytest.mark.parametrize(("free", "admitted"), [(6, ()), (7, (1,))])
def test_nobody_takes_the_blocks_that_a_prompt_still_needs(free, admitted):
    """The prompt reads into two blocks now and needs three more later, and one stays free for it;
    the waiting request needs one.
    """
    state = State([one(0, 19, 0)], [one(1, 1, 0)], free=free, size=4, rows=4, chunk=7)
    plan = schedule(state)
    assert (plan.read, plan.admit) == ({0: 7}, admitted)


def test_a_tree_gets_room_for_all_its_nodes():
    state = State([one(0, 9, 8, [0, 1], 2)], [], free=3, size=4, rows=4, chunk=8)
    assert schedule(state, nodes=lambda depth: 6 * depth).preempt == (0,), (
        "it would need 13 tokens more and has room for 12"
    )
    assert schedule(state, nodes=lambda depth: 5 * depth).decode == {0: 2}


def simulate(plan_of, requests, size, rows, chunk, extra, gamma, luck) -> None:
    """(prompt, output, arrival) requests; each cycle yields 1 to luck + 1 tokens. The promise: a
    request is done after at most as many steps, from its arrival on, as it and the older ones have
    prompt and output tokens."""
    arrival = [0] * len(requests)
    for number, (_, _, wait) in enumerate(requests):
        arrival[number] = wait + (arrival[number - 1] if number else 0)
    total = max(-(-(prompt + output + gamma) // size) for prompt, output, _ in requests) + extra
    text = [prompt for prompt, _, _ in requests]
    cached = [0] * len(requests)
    held = [0] * len(requests)
    running: list[int] = []
    left = list(range(len(requests)))
    step, end = 0, {}

    def seen(n):
        want = max(0, min(gamma, requests[n][0] + requests[n][1] - text[n] - 1))
        return Seen(n, text[n], cached[n], tuple(range(100 * n, 100 * n + held[n])), want)

    while left:
        here = [n for n in left if arrival[n] <= step]
        waiting = [n for n in here if n not in running]
        plan = plan_of(
            State(
                [seen(n) for n in sorted(running)],
                [seen(n) for n in waiting],
                total - sum(held),
                size,
                rows,
                chunk,
            )
        )
        assert plan.decode.keys() | plan.read.keys() == (set(running) | set(plan.admit)) - set(
            plan.preempt
        )
        assert len(plan.decode) + len(plan.read) <= rows
        assert sum(plan.read.values()) <= chunk
        for n in plan.preempt:
            cached[n] = held[n] = 0
        if here:
            oldest = min(here)
            assert plan.decode.get(oldest) is not None or plan.read.get(oldest, 0) > 0, (
                "the oldest always gets on"
            )
        running = [*plan.decode, *plan.read]
        for n, count in [*((n, 1 + depth) for n, depth in plan.decode.items()), *plan.read.items()]:
            held[n] = max(held[n], -(-(cached[n] + count) // size))
        assert sum(held) <= total, "blocks are overdrawn"
        for n in plan.decode:
            assert cached[n] == text[n] - 1
            gained = min(1 + min(luck, plan.decode[n]), requests[n][0] + requests[n][1] - text[n])
            text[n] += gained
            cached[n] += gained
        for n, count in plan.read.items():
            cached[n] += count
        step += 1
        for n in list(running):
            if text[n] == requests[n][0] + requests[n][1]:
                end[n], held[n] = step, 0
                running.remove(n)
                left.remove(n)
            else:
                held[n] = -(-cached[n] // size)
    for n, finished in end.items():
        older = sum(prompt + output for prompt, output, _ in requests[: n + 1])
        assert finished - arrival[n] <= older


@settings(max_examples=200)
@given(
    requests=st.lists(
        st.tuples(st.integers(1, 25), st.integers(1, 12), st.integers(0, 9)), min_size=1, max_size=9
    ),
    size=st.integers(1, 5),
    rows=st.integers(1, 4),
    chunk=st.integers(1, 9),
    extra=st.integers(0, 10),
    gamma=st.integers(0, 3),
    luck=st.integers(0, 3),
)
def test_every_request_is_served_in_bounded_steps_and_blocks_are_never_overdrawn(**load):
    simulate(schedule, **load)


def test_a_thousand_requests_on_a_small_cache_all_end():
    simulate(schedule, [(1 + n % 7, 1 + n % 5, 0) for n in range(1000)], 2, 4, 4, 2, 2, 1)


def test_the_promise_is_one_that_can_be_broken():
    """A scheduler that lets in the small ones first breaks it."""

    def eager(state):
        return schedule(replace(state, waiting=sorted(state.waiting, key=lambda one: one.length)))

    with pytest.raises(AssertionError, match="always gets on"):
        simulate(eager, [(9, 9, 0), *[(1, 1, 0)] * 30], 1, 1, 9, 0, 0, 0)
