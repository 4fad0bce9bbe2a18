"""Measure acceptance on your own texts: together, by position, by domain, by temperature and by
text, with intervals that take texts as the sample.

Three sources give one table. Without --log or --counters our own decoder runs a target and a draft
in the Hugging Face Llama layout on --texts, or on held-out text of the standard library. --log
reads accepted lengths that an engine wrote, --counters what vLLM serves at /metrics: one reading,
or several, oldest first, whose differences are windows.

A line of --texts is {"prompt": "...", "domain": "..."}; domain and text (a name) are optional. A
line of --log is {"accepted": [3, 0, 4], "drafted": 4, "text": "a", "domain": "code",
"temperature": 1}; drafted is one length or one for each cycle, the rest is optional.

--plan says how many texts an interval of that half width needs, and simulates measurements of that
size. `specref plan --measured FILE` takes the result further: whether drafting pays.
"""

import argparse
from pathlib import Path
from typing import Any

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import add_bundled_threads, add_json, add_models, require_at_least
from ..command import Command
from ..progress import report_progress

_EXAMPLE = """
  specref measure --count 16 --temperatures 0,0.7,1 --plan 0.02 --json measure.json
  specref measure --log accepted.jsonl --json measure.json
  specref measure --counters before.txt after.txt
"""


def _add(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--log", type=Path, metavar="FILE", help="accepted lengths, one request a line, as JSON"
    )
    source.add_argument(
        "--counters", type=Path, nargs="+", metavar="FILE", help="readings of an engine's counters"
    )
    source.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help="prompts for our own decoder, a JSON line each",
    )
    add_models(parser)
    parser.add_argument(
        "--count", type=int, default=16, help="held-out prompts, without --texts (default: 16)"
    )
    parser.add_argument("--gamma", type=int, default=4, help="draft length (default: 4)")
    parser.add_argument(
        "--new-tokens", type=int, default=64, help="tokens to write for each text (default: 64)"
    )
    parser.add_argument(
        "--temperatures", default="1", metavar="T,...", help="of our own decoder (default: 1)"
    )
    parser.add_argument(
        "--costs",
        action="store_true",
        help="also time a draft step and the verify curve, for `specref plan`",
    )
    parser.add_argument(
        "--plan", type=float, metavar="W", help="plan texts for an interval of half width W"
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.9,
        help="of the measurements whose interval is to be that narrow (default: 0.9)",
    )
    parser.add_argument(
        "--simulate",
        type=int,
        default=1000,
        metavar="N",
        help="simulated measurements of the planned size (default: 1000)",
    )
    add_bundled_threads(parser)
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_at_least(args, 1, "count", "gamma", "new_tokens", "simulate")
    if args.costs and (args.log or args.counters):
        raise SpecrefError("--costs times our own decoder: leave it out with --log and --counters")

    from ...measure.acceptance.counts import merged, table
    from ...measure.acceptance.forecast import forecast
    from ...measure.acceptance.sample_plan import sample_plan
    from ..results import write_result
    from ..views.acceptance_tables import show_acceptance

    units, about = _source(args)
    result = about | table(units)
    accepted, judged = merged(units)
    result["forecast"] = forecast(accepted, judged)
    if args.plan is not None:
        result["plan"] = sample_plan(accepted, judged, args.plan, args.simulate, args.share)
    write_result(args.json, "measure", result)
    show_acceptance(result)
    return 0


def _source(args: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    """The counts, and where they come from."""
    from ...measure.acceptance import records

    if args.log:
        return records.read_log(args.log), {"source": "log", "unit": "text"}
    if args.counters:
        units, equal = records.read_counters(args.counters)
        return units, {"source": "counters", "unit": "window", "equal_lengths": equal}
    return _own(args)


def _own(args: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    from ...measure.acceptance.own_decoder import OwnRun, count_own
    from ..work.models import load_models, set_threads
    from ..work.sample_texts import texts_to_decode

    temperatures = _temperatures(args.temperatures)
    set_threads(args)
    target, draft = load_models(args)
    if draft is None:
        raise SpecrefError("measure needs a draft: give --draft DIR")
    texts = texts_to_decode(args, target)
    run = OwnRun(temperatures, args.gamma, args.new_tokens)
    units = count_own(target, draft, texts, run, report_progress)
    about: dict[str, Any] = {
        "source": "own decoder",
        "unit": "text",
        "settings": {
            "gamma": args.gamma,
            "texts": len(texts),
            "new_tokens": args.new_tokens,
            "temperatures": temperatures,
        },
        "draft_parameters": sum(weights.numel() for weights in draft.parameters()),
    }
    if args.costs:
        about |= _costs(target, draft)
    return units, about


def _costs(target: Any, draft: Any) -> dict[str, Any]:
    from ...data import SamplingParams
    from ...measure.speed.step_costs import TimedModels, in_plain_steps, step_costs

    widths = range(1, 17)
    costs = step_costs(TimedModels(target, draft), SamplingParams(), 128, widths)
    return {"c": costs["draft"] / costs["plain"], "steps": in_plain_steps(costs)}


def _temperatures(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < float("inf") for value in values):
        raise SpecrefError(
            f"--temperatures {text} is not possible: give numbers of 0 or more, as in 0,0.7,1"
        )
    return values


MEASURE_COMMAND = Command(
    "measure", "acceptance on your texts, with intervals", __doc__, _EXAMPLE, _add, _run
)
