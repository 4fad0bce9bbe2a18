"""The schedule of checks: who gets the time, what a check sees of the others (nothing), and who is
excused.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from specref.data import SpecrefError
from specref.judge import schedule
from specref.judge import session as session_of_a_run
from specref.judge.schedule import judge
from specref.judge.session import ALPHA, MisbehavedError, Session
from specref.judge.suite import Check, checks
from specref.judge.verdict import Verdict

# imports them, before any clock runs
STATISTICAL = sum(item.statistical for item in checks("kernel"))


class Engine:
    lossless = True
    supports = ("sampling",)


class Lossy(Engine):
    lossless = False


def made(
    name: str,
    run: Any,
    *,
    distribution: bool = False,
    statistical: bool = False,
    needs: tuple[str, ...] = (),
    slow: bool = False,
) -> Check:
    return Check(name, "0", "?", "", run, distribution, statistical, frozenset(needs), slow)


def endless(adapter: Any, session: Session) -> Iterator[Verdict]:
    while True:
        yield Verdict("INCONCLUSIVE", "e-process", n=1)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], float]:
    """A clock that only moves by work(seconds), and by a little at every look."""
    now = [0.0]

    def goes_on(seconds: float = 1e-6) -> float:
        now[0] += seconds
        return now[0]

    for module in (schedule, session_of_a_run):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=goes_on))
    return goes_on


def late(adapter: Any, session: Session) -> Iterator[Verdict]:
    """Wrong at its fifth input only."""
    yield from [Verdict("PASS", n=i) for i in range(1, 5)]
    yield Verdict("FAIL", what="the fifth", n=5)


def test_a_test_that_is_never_sure_does_not_starve_a_check_of_finite_work() -> None:
    chosen = [made("kernel.endless", endless, statistical=True), made("kernel.late", late)]
    unsure, found = judge(Engine(), Session("x", "kernel", budget=0.5), chosen)
    assert unsure.verdict == "INCONCLUSIVE"
    assert found.verdict == "FAIL"


def test_a_test_in_whose_first_slice_nothing_was_drafted_is_not_left_there(
    work: Callable[[float], float],
) -> None:
    """Beside one that is short of draws it gets its time too: it is no surer than that one."""

    def unseen(adapter: Any, session: Session) -> Iterator[Verdict]:
        while True:
            work(0.001)
            yield Verdict("UNVERIFIED", "e-process", n=1)

    def short(adapter: Any, session: Session) -> Iterator[Verdict]:
        while True:
            work(0.001)
            yield Verdict("INCONCLUSIVE", "e-process", n=1)

    heard: list[str] = []
    judge(
        Engine(),
        Session("x", "kernel", budget=0.1),
        [
            made("kernel.unseen", unseen, statistical=True),
            made("kernel.short", short, statistical=True),
        ],
        lambda event, check, verdict: heard.append(check),
    )
    assert heard.count("kernel.unseen") > 10


def test_a_test_that_never_sees_speculation_has_no_more_time_than_others_once_it_has_draws_enough(
    work: Callable[[float], float],
) -> None:
    def unseen(adapter: Any, session: Session) -> Iterator[Verdict]:
        while True:
            work(0.001)
            yield Verdict("UNVERIFIED", "e-process", mde=0.01)

    def seen(adapter: Any, session: Session) -> Iterator[Verdict]:
        while True:
            work(0.001)
            yield Verdict("PASS", "e-process", mde=0.018)

    unsure, sure = judge(
        Engine(),
        Session("x", "kernel", budget=0.3),
        [
            made("kernel.unseen", unseen, statistical=True),
            made("kernel.seen", seen, statistical=True),
        ],
    )
    assert sure.seconds > unsure.seconds


def test_a_check_knows_whether_a_test_still_goes_on() -> None:
    """What watches the draws of others ends when there are none to come, and not before."""

    def watching(adapter: Any, session: Session) -> Iterator[Verdict]:
        while session.testing:
            heard.append(True)
            yield Verdict("PASS")
        yield Verdict("PASS", what="the end")

    def thrice(adapter: Any, session: Session) -> Iterator[Verdict]:
        yield from [Verdict("PASS", "e-process", mde=0.004)] * 3

    heard: list[bool] = []
    said, _ = judge(
        Engine(),
        Session("x", "kernel", budget=9.0),
        [made("kernel.watching", watching), made("kernel.thrice", thrice, statistical=True)],
    )
    assert len(heard) == 4  # three slices, and the round in which the test ends
    assert said.what == "the end"
    (alone,) = judge(
        Engine(), Session("x", "kernel", budget=9.0), [made("kernel.watching", watching)]
    )
    assert alone.what == "the end"


def test_slow_slices_take_no_more_than_their_share(work: Callable[[float], float]) -> None:
    """A test that is behind for ever takes four times what the others have on average, and no
    more.
    """

    def slow(adapter: Any, session: Session) -> Iterator[Verdict]:
        while True:
            work(0.01)
            yield Verdict("INCONCLUSIVE", "e-process", mde=0.5)

    def quick(adapter: Any, session: Session) -> Iterator[Verdict]:
        while True:
            work(0.001)
            yield Verdict("INCONCLUSIVE", "e-process", mde=0.1)

    runs = {"kernel.slow": slow, "kernel.a": quick, "kernel.b": quick}
    said = judge(
        Engine(),
        Session("x", "kernel", budget=1.0),
        [made(name, run, statistical=True) for name, run in runs.items()],
    )
    assert said[0].seconds < 0.7
    assert min(said[1].seconds, said[2].seconds) > 0.08


def seeing(log: list[str], name: str, mdes: list[float]) -> Any:
    def run(adapter: Any, session: Session) -> Iterator[Verdict]:
        for mde in mdes:
            log.append(name)
            yield Verdict("PASS", "e-process", mde=mde)

    return run


def test_the_test_that_is_furthest_from_its_goal_is_next_and_slow_ones_have_a_goal_of_their_own(
    work: Callable[[float], float],
) -> None:
    """Goals of .005 and .02: a slow test at .048 is as far as others at .012. Every slice takes as
    long.
    """
    log: list[str] = []
    chosen = [
        made("kernel.a", seeing(log, "a", [0.02, 0.011, 0.008]), statistical=True),
        made("kernel.b", seeing(log, "b", [0.012, 0.009]), statistical=True),
        made("kernel.slow", seeing(log, "slow", [0.048, 0.034]), statistical=True, slow=True),
    ]
    said = judge(Engine(), Session("x", "kernel"), chosen)
    # at .02 .012 .048, then .011 .012 .048, .011 .009 .048 ..
    assert log == ["a", "b", "slow", "a", "b", "slow", "a"]
    assert {v.verdict for v in said} == {"PASS"}


def test_a_test_that_cannot_say_anything_yet_goes_first(work: Callable[[float], float]) -> None:
    """Also before one that is further from its goal."""

    def short(adapter: Any, session: Session) -> Iterator[Verdict]:
        for _ in range(4):
            log.append("short")
            work(0.001)
            yield Verdict("PASS", "e-process", mde=0.06)

    def sure(adapter: Any, session: Session) -> Iterator[Verdict]:
        for _ in range(2):
            log.append("sure")
            work(0.001)
            yield Verdict("PASS", "e-process", mde=0.019)

    log: list[str] = []
    judge(
        Engine(),
        Session("x", "kernel"),
        [
            made("kernel.short", short, statistical=True, slow=True),
            made("kernel.sure", sure, statistical=True),
        ],
    )
    assert log == ["short", "sure", "short", "short", "short", "sure"]


def test_every_check_gets_its_first_slice_without_any_time() -> None:
    chosen = [made(f"kernel.{i}", endless, statistical=True) for i in range(3)]
    assert [v.id for v in judge(Engine(), Session("x", "kernel", budget=0.0), chosen)] == [
        c.id for c in chosen
    ]


def test_a_check_alone_has_the_error_rate_and_the_seeds_that_it_has_among_all() -> None:
    seen: list[tuple[float, int]] = []

    def look(adapter: Any, session: Session) -> Iterator[Verdict]:
        seen.append((session.alpha(), session.seed_for("x")))
        yield Verdict("PASS")

    look_up = made("kernel.look", look, statistical=True)
    for chosen in ([look_up], [made("kernel.other", endless, statistical=True), look_up]):
        judge(Engine(), Session("x", "kernel", budget=0.01), chosen)
    assert seen[0] == seen[1]
    assert seen[0][0] == ALPHA / STATISTICAL


@pytest.mark.parametrize(
    ("method", "distribution", "outcome"),
    [
        ("e-process", True, "LOSSY-BY-DESIGN"),
        ("exact", True, "LOSSY-BY-DESIGN"),
        ("deterministic", True, "FAIL"),
        ("e-process", False, "FAIL"),
    ],
)
def test_a_lossy_engine_is_excused_from_the_distribution_and_from_nothing_else(
    method: Any, distribution: bool, outcome: str
) -> None:
    def off(adapter: Any, session: Session) -> Iterator[Verdict]:
        yield Verdict("FAIL", method)

    chosen = [made("kernel.off", off, distribution=distribution)]
    assert judge(Lossy(), Session("x", "kernel"), chosen)[0].verdict == outcome
    assert judge(Engine(), Session("x", "kernel"), chosen)[0].verdict == "FAIL"
    assert judge(object(), Session("x", "kernel"), chosen)[0].verdict == "FAIL", (
        "who says nothing is lossless"
    )


def test_a_goes_onthat_could_have_missed_too_much_is_none() -> None:
    def weak(adapter: Any, session: Session) -> Iterator[Verdict]:
        yield Verdict("PASS", "e-process", mde=0.015)

    chosen = [made("kernel.weak", weak, statistical=True)]
    assert judge(Engine(), Session("x", "kernel"), chosen)[0].verdict == "PASS"
    assert judge(Engine(), Session("x", "kernel", mde=0.01), chosen)[0].verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("mde", "asked", "outcome"),
    [
        (0.04, None, "PASS"),
        (0.06, None, "INCONCLUSIVE"),
        (0.04, 0.03, "INCONCLUSIVE"),
        (0.04, 0.04, "PASS"),
    ],
)
def test_a_slow_check_passes_with_less_unless_more_is_asked_for(
    mde: float, asked: float | None, outcome: str
) -> None:
    def weak(adapter: Any, session: Session) -> Iterator[Verdict]:
        yield Verdict("PASS", "e-process", mde=mde)

    for slow in (True, False):
        chosen = [made("kernel.weak", weak, statistical=True, slow=slow)]
        (said,) = judge(Engine(), Session("x", "kernel", mde=asked), chosen)
        assert said.verdict == (outcome if slow or asked is not None else "INCONCLUSIVE")


def test_what_the_engine_lacks_is_not_asked() -> None:
    chosen = [made("engine.x", endless, needs=("sampling", "top_k"))]
    (verdict,) = judge(Engine(), Session("x", "engine"), chosen)
    assert (verdict.verdict, verdict.what) == ("UNSUPPORTED", "the engine has no top_k")


def test_an_error_names_the_call_or_else_the_answer() -> None:
    def calls(adapter: Any, session: Session) -> Iterator[Verdict]:
        with session.calling("verify, 3 rows"):
            raise OSError("no\nspace")
        yield Verdict("PASS")

    def reads(adapter: Any, session: Session) -> Iterator[Verdict]:
        with session.calling("verify, 3 rows"):
            pass
        raise OSError("no space")
        yield Verdict("PASS")

    def breaks(adapter: Any, session: Session) -> Iterator[Verdict]:
        with session.calling("verify, 3 rows"):
            # raised by a package, for which the line that called it is named
            numpy.linalg.inv(numpy.zeros((2, 2)))
        yield Verdict("PASS")

    def misbehaves(adapter: Any, session: Session) -> Iterator[Verdict]:
        raise MisbehavedError("verify returns a NoneType")
        yield Verdict("PASS")

    raised, unread, broken, wrong = (
        judge(Engine(), Session("x", "kernel"), [made("kernel.x", run)])[0]
        for run in (calls, reads, breaks, misbehaves)
    )
    assert raised.what.startswith("raises in verify, 3 rows (test_schedule.py, line ")
    assert raised.what.endswith("OSError: no space")
    assert unread.what == "answers with something that cannot be judged: OSError: no space"
    assert broken.what.startswith("raises in verify, 3 rows (test_schedule.py, line ")
    assert wrong.what == "verify returns a NoneType"
    assert raised.n == unread.n == wrong.n == 1


def test_a_check_that_says_nothing_is_an_error_of_ours() -> None:
    def silent(adapter: Any, session: Session) -> Iterator[Verdict]:
        yield from ()

    with pytest.raises(SpecrefError, match=r"kernel\.x yields no verdict"):
        judge(Engine(), Session("x", "kernel"), [made("kernel.x", silent)])


def test_a_verdict_says_how_to_get_it_again_unless_its_check_knows_better() -> None:
    def own(adapter: Any, session: Session) -> Iterator[Verdict]:
        yield Verdict("PASS", repro="specref validate x --budget 9")

    chosen = [made("kernel.late", late), made("kernel.own", own)]
    assert [v.repro for v in judge(Engine(), Session("x", "kernel", seed=3), chosen)] == [
        "specref validate x --level kernel --only kernel.late --seed 3",
        "specref validate x --budget 9",
    ]


def test_events_begin_renew_and_end_every_check() -> None:
    told: list[tuple[str, str]] = []
    judge(
        Engine(),
        Session("x", "kernel"),
        [made("kernel.late", late)],
        lambda event, check, _: told.append((event, check)),
    )
    assert told == [
        ("begun", "kernel.late"),
        *[("renewed", "kernel.late")] * 5,
        ("ended", "kernel.late"),
    ]
