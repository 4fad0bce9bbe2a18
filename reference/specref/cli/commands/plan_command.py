"""Plan before you measure or deploy: which draft length or tree is fastest here, and how many
tokens to judge.

--tree measures this machine's verify curve and the bundled Medusa heads, and chooses the candidate
tree that is predicted to be fastest; it says so when a chain or no tree at all is. Without --tree,
an acceptance rate that you know gives the best draft length, the break-even acceptance, and how
many operations more a token takes. With --half-width it also gives the sample size that a
measurement of acceptance needs.

--measured reads what `specref measure --json` wrote; given again for each draft, it says which
draft, which length, and at which batch it stops paying. Costs are --draft-cost with all forwards
equally dear, what `specref measure --costs` timed, or --batches, a JSON list of
{"size": 8, "c": 0.1, "steps": [1, 1.1, 1.2]}: at that batch a draft step costs c plain steps, and
a forward over k tokens the k-th of the steps. Each speedup has both ends of the interval.
"""

import argparse
from pathlib import Path
from typing import Any

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import (
    add_heads,
    add_json,
    add_models,
    add_threads,
    require_at_least,
)
from ..command import Command
from ..progress import report_progress

_EXAMPLE = """
  specref plan --tree --json plan.json
  specref plan --alpha 0.8 --draft-cost 0.08
  specref plan --alpha 0.8 --half-width 0.01
  specref plan --measured small.json --measured large.json --batches costs.json
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    parser.add_argument(
        "--tree", action="store_true", help="choose a candidate tree for the Medusa heads"
    )
    add_heads(parser)
    parser.add_argument("--alpha", type=float, help="acceptance per token, if you know it")
    parser.add_argument(
        "--draft-cost",
        type=float,
        default=0.05,
        metavar="C",
        help="cost of one draft step, in plain steps (default: 0.05)",
    )
    parser.add_argument(
        "--draft-operations",
        type=float,
        metavar="C",
        help="arithmetic of the draft for a token, over the target's (default: --draft-cost)",
    )
    parser.add_argument(
        "--half-width",
        type=float,
        metavar="W",
        help="half the width that the 95 %% interval of the acceptance should have",
    )
    parser.add_argument(
        "--measured",
        type=Path,
        action="append",
        metavar="FILE",
        help="acceptance of a draft, from `specref measure --json`; may be repeated",
    )
    parser.add_argument(
        "--batches",
        type=Path,
        metavar="FILE",
        help="costs at each batch size, as JSON; they hold for every draft",
    )
    parser.add_argument(
        "--longest", type=int, default=15, metavar="N", help="draft length at most (default: 15)"
    )
    add_threads(parser)
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    ways = [args.tree, args.alpha is not None, args.measured is not None]
    if not any(ways):
        raise SpecrefError(
            "nothing to plan from: give --tree, or --alpha with an acceptance rate, or --measured"
        )
    if sum(ways) > 1:
        raise SpecrefError("--tree, --alpha and --measured are three plans: choose one")
    require_at_least(args, 1, "threads", "longest")

    from ..results import write_result

    if args.measured:
        result = _measured(args)
    else:
        result = _tree(args) if args.tree else _draft_length(args)
    write_result(args.json, "plan", result)
    return 0


def _draft_length(args: argparse.Namespace) -> dict[str, Any]:
    if not 0 <= args.alpha <= 1:
        raise SpecrefError(f"--alpha {args.alpha} is not possible: give a rate between 0 and 1")

    from ...measure.acceptance.rates import sample_size
    from ...measure.speed.cost import (
        best_gamma,
        break_even_alpha,
        operations_factor,
        predicted_speedup,
    )

    gamma = best_gamma(args.alpha, c=args.draft_cost)
    arithmetic = args.draft_cost if args.draft_operations is None else args.draft_operations
    result: dict[str, Any] = {
        "gamma": gamma,
        "predicted": predicted_speedup(args.alpha, gamma, c=args.draft_cost),
        "break_even_alpha": break_even_alpha(max(1, gamma), c=args.draft_cost),
        "operations_factor": operations_factor(args.alpha, gamma, arithmetic),
    }
    if args.half_width is not None:
        result["sample_size"] = sample_size(args.half_width, args.alpha)
    if gamma:
        print(
            f"draft {gamma} tokens a cycle: {result['predicted']:.2f}x, if a forward over"
            f" {gamma + 1} tokens costs no more than one over 1 token;\n"
            f"below acceptance {result['break_even_alpha']:.3f} that draft length is slower than"
            " plain decoding;\n"
            f"a token takes {result['operations_factor']:.2f} times the arithmetic of plain"
            " decoding, which is faster where arithmetic sets the pace, as in a large batch"
        )
    else:
        print("do not draft: at this acceptance and cost, plain decoding is fastest")
    if args.half_width is not None:
        print(
            f"judge {result['sample_size']:,} independent tokens for an interval of ±"
            f" {args.half_width:g}; tokens of one text are not independent, so measure many texts"
        )
    return result


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    from ...measure.speed.decision import alpha_by_cost, decide, read_batches, read_measured
    from ..views.decision_table import show_decision

    batches = None if args.batches is None else read_batches(args.batches)
    drafts = [read_measured(path, args.draft_cost) for path in args.measured]
    result = decide(drafts, batches, args.longest) | {"grid": alpha_by_cost(drafts, args.longest)}
    show_decision(result)
    return result


def _tree(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from ...measure.speed.tree_plan import plan_tree
    from ..views.plan_table import show_plan
    from ..work.models import load_heads, load_models, require_bytes

    torch.set_num_threads(args.threads)
    target, draft = load_models(args)
    require_bytes(target, "plan --tree")
    result = plan_tree(target, draft, load_heads(args.medusa, target), report_progress)
    show_plan(result)
    return result


PLAN_COMMAND = Command(
    "plan", "predict the best draft length or tree", __doc__, _EXAMPLE, _add, _run
)
