"""Profile what drafts for the bundled target.

medusa: the accuracy of each head on held-out text, the size of the heads in bytes, and the speed of
draft model, n-gram, suffix decoding, Medusa chain, Medusa tree and MTP against the same target in
one run, each beside its estimate.

thresholds: what typical acceptance, which is lossy, gains in tokens per cycle and costs in distance
from the target's distribution. Ours draws the token behind the accepted guesses; Medusa's own rule
takes the likeliest. Both are measured.

lookup: tokens a step of the drafters that look in the text, on loops and on held-out text, which
the target is taken to write as it stands. No model runs.
"""

import argparse
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import (
    add_heads,
    add_json,
    add_models,
    add_mtp,
    add_runs,
    add_threads,
    require_at_least,
)
from ..command import Command
from ..progress import report_progress

_EXAMPLE = """
  specref profile medusa --json medusa.json
  specref profile thresholds --json thresholds.json --plot thresholds.svg
  specref profile lookup --rounds 64 --prompt-length 512 --new-tokens 512 --json lookup.json
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("medusa", "thresholds", "lookup"))
    add_models(parser)
    add_heads(parser)
    add_mtp(parser)
    add_runs(parser, rounds=16, new_tokens=128)
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="thresholds: draw the result to FILE, PNG or SVG"
    )
    add_threads(parser)
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_writable(args.plot)
    require_at_least(args, 1, "rounds", "prompt_length", "new_tokens", "threads")
    if args.plot is not None and args.plot.suffix not in (".png", ".svg"):
        raise SpecrefError(
            f"--plot {args.plot} is neither PNG nor SVG: give a name that ends in .png or .svg"
        )
    return {"medusa": _medusa, "thresholds": _thresholds, "lookup": _lookup}[args.what](args)


def _medusa(args: argparse.Namespace) -> int:
    import torch

    from ...measure.speed.drafter_profile import DrafterProfile, ProfiledModels, ProfileSettings
    from ..results import write_result
    from ..views.profile_tables import show_profile
    from ..work.models import load_heads, load_module, load_pair

    torch.set_num_threads(args.threads)
    target, draft = load_pair(args, "profile")
    heads, module = load_heads(args.medusa, target), load_module(args.mtp, target)
    models = ProfiledModels(target, draft, heads, module)
    settings = ProfileSettings(args.rounds, args.prompt_length, args.new_tokens)
    result = DrafterProfile(models, settings, report_progress).run()
    write_result(args.json, "profile medusa", result)
    show_profile(result)
    return 0


def _thresholds(args: argparse.Namespace) -> int:
    import torch

    from ...draft.medusa import MedusaDrafter, best_first
    from ...measure.acceptance.frontier import FrontierWork, sweep_thresholds
    from ...measure.held_out import held_out_prompts
    from ..results import write_result
    from ..views.frontier_view import plot_frontier, show_frontier
    from ..views.plotting import load_pyplot
    from ..work.models import load_heads, load_models, require_bytes

    if args.plot is not None:
        load_pyplot()  # fail before the work where it is not installed
    torch.set_num_threads(args.threads)
    target, _ = load_models(args)
    require_bytes(target, "profile")
    heads = load_heads(args.medusa, target)
    depth, prompts = len(heads.block), held_out_prompts(args.rounds, args.prompt_length)
    drafter = MedusaDrafter(heads, best_first(depth, 2))
    work = FrontierWork(target, drafter, depth, prompts, args.new_tokens)
    result = sweep_thresholds(work, report_progress)
    result["settings"] = {
        "prompts": args.rounds,
        "new_tokens": args.new_tokens,
        "temperature": 1.0,
        "toy_contexts": result.pop("contexts"),
    }
    write_result(args.json, "profile thresholds", result)
    show_frontier(result)
    if args.plot is not None:
        plot_frontier(result, args.plot)
        print(f"wrote {args.plot}")
    return 0


def _lookup(args: argparse.Namespace) -> int:
    from ...measure.acceptance.lookup import LookupSettings, compare_lookups
    from ..results import write_result
    from ..views.profile_tables import show_lookups

    settings = LookupSettings(args.rounds, args.prompt_length, args.new_tokens)
    result = compare_lookups(settings)
    write_result(args.json, "profile lookup", result)
    show_lookups(result)
    return 0


PROFILE_COMMAND = Command(
    "profile", "measure what drafts for the target", __doc__, _EXAMPLE, _add, _run
)
