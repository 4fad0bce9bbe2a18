"""Planted bugs, and which check catches each. Every bug is a few lines over correct code; the
controls look wrong and are right, and no check may convict one.

A bug that a kernel can have goes through the judge's contract, as any kernel does. The others go to
exact checks of our own code, which sample nothing. Engines and servers take minutes each; --level
engine and --level http ask for them.

Exit 0: every bug was caught, and no control was. 1: not so.
"""

import argparse
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import ZOO_LEVELS, add_json, require_at_least
from ..command import Command

_EXAMPLE = """
  specref zoo --json zoo.json
  specref zoo --only residual-softmax --only "sampler match"
  specref zoo --pictures --json pictures.json
  specref zoo --level kernel --seeds 1000 --json zoo.json
  specref zoo --level kernel --seeds 1000 --json zoo.json --resume zoo.json   (continues)
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only this bug or control; may be repeated"
    )
    parser.add_argument(
        "--level",
        choices=ZOO_LEVELS,
        action="append",
        help="where the judge meets them; may be repeated (default: every bug once, no engines or"
        " servers)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="try every control with N seeds (default: 1)",
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="for one bug, or for the first seed of a control (default: the level's own)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes at the same time (default: 1)"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an earlier result: what it has, with as many seeds, is not tried again; may be"
        " repeated",
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="only the exact distributions of bugs that real engines had, p against what is"
        " emitted",
    )
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_at_least(args, 1, "seeds", "jobs")
    if args.budget is not None and not 0 < args.budget < float("inf"):
        raise SpecrefError(f"--budget {args.budget:g} is no time: give seconds, above 0")

    if args.pictures:
        return _pictures(args)

    import torch

    from ..views.zoo_tables import show_zoo
    from ..work.zoo_campaign import ZooCampaign

    torch.set_num_threads(1)
    campaign = ZooCampaign(args)
    campaign.run()
    result = campaign.save()
    show_zoo(campaign.caught, campaign.tried, result)
    good = result["complete"] and not result["survivors"] and not result["false_alarms"]
    return 0 if good else 1


def _pictures(args: argparse.Namespace) -> int:
    from ...judge.zoo.pictures import pictures
    from ..results import write_result

    found = pictures()
    write_result(args.json, "zoo --pictures", {"pictures": found})
    for one in found:
        print(f"{one['name']:32} {one['source']:32} TV {one['tv']:.4f}   {one['caught_by']}")
    return 0


ZOO_COMMAND = Command("zoo", "planted bugs, and what catches each", __doc__, _EXAMPLE, _add, _run)
