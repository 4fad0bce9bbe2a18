"""python -m tests.stats.betting_run [validity] [detection] [mde] [--json FILE]: what the test by
betting does, measured.

    validity    false alarms on 5,000 streams of right engines at alpha .05
    detection   tokens until a planted fault is convicted, median of 8 engines, at alpha 1e-7
    mde         a right run says what it would have found; faults of that size, and of .6 of it, are
                planted in fresh runs and counted

Parts that FILE holds already and that are not run now are kept; `commits` says when each was made.
Not part of `make test`: about a quarter of an hour on one core.
"""

import argparse
import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from scipy.stats import beta
from specref.cli.results import source_commit, write_result
from specref.stats.betting import Bettor
from specref.stats.questions import EVERYWHERE, Observed, Questions
from specref.stats.rehearse import Detectable, random_signs, rehearse, tilt_of, tilted
from specref.stats.texts import TEXT_CLASSES, TextShape, read_texts, text_questions
from torch import Tensor

from .right_streams import Stream, right_stream
from .simulated import FAULTS, RIGHT, RULE, Model, Simulated, Step, shape_of

STREAMS, STREAM_ALPHA, WORKERS = 5_000, 0.05, 4
ALPHA, ROWS, PLACES, V = 1e-7, 64, 48, 16
Seen = list[Observed]  # a run's calls
ENGINES, CALLS = 8, 26
MDE_CALLS, PLANTED, SMALLER = 10, 36, 0.6
LEVEL = 0.95  # of the intervals of counted rates


def interval(hits: int, n: int) -> tuple[float, float]:
    """Clopper-Pearson interval of a rate, at LEVEL."""
    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def validity(streams: int = STREAMS) -> dict[str, Any]:
    """False alarms among right streams."""
    kinds, alarms, tokens = Counter[str](), Counter[str](), 0
    with ProcessPoolExecutor(WORKERS) as pool:
        numbers = range(streams)
        for seed, stream in enumerate(pool.map(_at_the_level, numbers, chunksize=10)):
            kinds[stream.kind] += 1
            alarms[stream.kind] += stream.log_wealth >= -math.log(STREAM_ALPHA)
            tokens += stream.tokens
            progress("validity", seed + 1, streams, f"{sum(alarms.values())} false alarms")
    count = sum(alarms.values())
    table = [{"kind": k, "streams": kinds[k], "false_alarms": alarms[k]} for k in sorted(kinds)]
    return {
        "alpha": STREAM_ALPHA,
        "streams": streams,
        "tokens": tokens,
        "false_alarms": count,
        "interval": list(interval(count, streams)),
        "level": LEVEL,
        "kinds": table,
    }


def _at_the_level(seed: int) -> Stream:
    torch.set_num_threads(1)
    return right_stream(seed, STREAM_ALPHA)


def tokens_to_conviction(model: Model, fault: str, seed: int) -> tuple[int | None, float, str]:
    """Tokens that a fresh engine with the fault writes until it is convicted, its mean TV, and the
    winner's words."""
    engine, shape = Simulated(model, fault, seed), shape_of(model, ROWS, PLACES)
    bettor, far = Bettor(text_questions(shape), ALPHA), []
    for _ in range(CALLS):
        answers = engine.run(ROWS, PLACES)
        far.append(answers.tv())
        if bettor.update(read_texts(shape, answers.texts())):
            break
    bettor.look()
    return bettor.convicted_at, statistics.mean(far), bettor.winners()[0].words


def detection() -> list[dict[str, Any]]:
    """One row a fault: tokens of each engine (null: not by CALLS calls), their median, the TV."""
    table = []
    names = (RIGHT, *FAULTS)
    for number, fault in enumerate(names):
        runs = [tokens_to_conviction(Model(V, 7 + i), fault, 100 + i) for i in range(ENGINES)]
        tokens = [run[0] for run in runs]
        middle = statistics.median(math.inf if one is None else one for one in tokens)
        table.append(
            {
                "fault": fault or "none",
                "tv": "rule" if fault in RULE else statistics.mean(run[1] for run in runs),
                "median": middle if math.isfinite(middle) else None,
                "tokens": tokens,
                "words": runs[0][2],
            }
        )
        progress("detection", number + 1, len(names), fault)
    return table


def planted(found: Detectable, seen: Seen, salt: int, size: float) -> Callable[[Step], Tensor]:
    """A fresh fault of a class, whose mean TV in the run that was seen is `size` times the MDE."""
    tv = (found.tv or 0.0) * size
    groups: dict[str, Callable[[Step], Tensor]] = {
        EVERYWHERE: lambda s: torch.zeros_like(s.setting),
        "previous token": lambda s: s.before[:, 2],
        "previous token and place": lambda s: s.before[:, 2] * PLACES + s.place,
        "setting": lambda s: s.setting,
        "row": lambda s: torch.arange(len(s.setting)),
    }
    group = groups[found.fault.context]
    p = torch.cat([call.p["token"] for call in seen])
    context = torch.cat([call.context[found.fault.context] for call in seen])
    if found.fault.kind == "table":
        g = torch.Generator().manual_seed(salt)
        signs = random_signs((int(context.max()) + 1, V), g)
        theta = tilt_of(p, signs[context], tv)
        return lambda s: tilted(s.p, signs[group(s).clamp(max=len(signs) - 1)], theta)
    here, sign = context == found.group, 1 - 2 * (salt % 2)
    direction = torch.cat([call.direction["draft"] for call in seen])
    theta = tilt_of(p[here], sign * direction[here], tv)

    def lean(s: Step) -> Tensor:
        h = sign * s.q / (s.p + s.q)
        return torch.where((group(s) == found.group)[:, None], tilted(s.p, h, theta), s.p)

    return lean


@cache
def right_run() -> tuple[TextShape, Questions, Seen]:
    """The run that states what it would have found."""
    model = Model(V, 3)
    engine, shape = Simulated(model, RIGHT, 1), shape_of(model, ROWS, PLACES)
    questions = text_questions(shape)
    calls = [read_texts(shape, engine.run(ROWS, PLACES).texts()) for _ in range(MDE_CALLS)]
    return shape, questions, [call.checked(questions) for call in calls]


def convicted(job: tuple[Detectable, int, float]) -> bool:
    """Whether a fresh run as long as the right one convicts a planted fault: (class, number of the
    fault, its size in units of the MDE)."""
    found, number, size = job
    torch.set_num_threads(1)
    shape, questions, calls = right_run()
    engine = Simulated(Model(V, 3), RIGHT, 1000 + number)
    engine.tilt = planted(found, calls, number, size)
    bettor = Bettor(questions, ALPHA)
    for _ in range(MDE_CALLS):
        if bettor.update(read_texts(shape, engine.run(ROWS, PLACES).texts())):
            return True
    bettor.look()
    return bettor.rejected


def mde() -> list[dict[str, Any]]:
    """One row a class: what the run says, and how many planted faults of that size are found."""
    _, questions, calls = right_run()
    table = []
    for found in rehearse(questions, calls, ALPHA, TEXT_CLASSES, seed=1):
        row = {"class": str(found), "tv": found.tv, "share": found.share, "planted": PLANTED}
        for name, size in (("found", 1.0), ("found_smaller", SMALLER)):
            jobs = [(found, i, size) for i in range(PLANTED if found.tv is not None else 0)]
            with ProcessPoolExecutor(WORKERS) as pool:
                row[name] = sum(pool.map(convicted, jobs))
            progress("mde", len(jobs), PLANTED, f"{found}, at {size}: {row[name]} found")
        table.append(row)
    return table


def progress(part: str, done: int, of: int, said: str) -> None:
    if sys.stderr.isatty() or done % 100 == 0 or done == of:
        print(f"{part}: {done} of {of}, {said}", file=sys.stderr, flush=True)


def merged(path: Path | None, fresh: dict[str, Any]) -> dict[str, Any]:
    """Fresh parts beside those that the file holds, and the commit of each."""
    old = json.loads(path.read_text()) if path is not None and path.exists() else {}
    parts = {name: old[name] for name in PARTS if name in old} | fresh
    made_at = {name: old.get("commit") for name in parts} | old.get("commits", {})
    return parts | {"commits": made_at | dict.fromkeys(fresh, source_commit())}


PARTS: dict[str, Callable[[], Any]] = {"validity": validity, "detection": detection, "mde": mde}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stats.betting_run", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}: give {', '.join(PARTS)}")
    torch.set_num_threads(1)
    result = {name: PARTS[name]() for name in options.parts or PARTS}
    for name, value in result.items():
        print(f"{name}: {value}")
    write_result(options.json, "betting", merged(options.json, result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
