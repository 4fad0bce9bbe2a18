"""Compare rules: what is claimed of each, and what enumeration computes.

Every rule runs over every draft and every outcome of its own randomness, in nine small worlds
(pairs of p and q over four tokens: near, peaked, flat, opposed, equal, with zeros, disjoint). For
each rule:

  TV         largest and mean distance of the text (one cycle, then the target) from the target's:
             0 for a lossless rule; a claim that fails is shown with its smallest counterexample
  accepted   how often a candidate for the first place is kept, the most that any lossless rule
             could keep (linear program), and the share of it
  tokens     emitted in a cycle, and the share of what the best lossless rule would emit

Then the lossy rules over their settings, and which of them are on the frontier of speed and
distance. Typical acceptance comes twice: `Medusa typical` takes the likeliest token behind the
accepted guesses, as Medusa does; `typical, drawn` is ours and draws one. The file written by --json
also has every rule in every world.
"""

import argparse
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import add_json
from ..command import Command
from ..progress import report_progress

_EXAMPLE = """
  specref rules
  specref rules --json rules.json --plot rules.svg
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw speed against distance to FILE, PNG or SVG"
    )
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_writable(args.plot)
    if args.plot is not None and args.plot.suffix not in (".png", ".svg"):
        raise SpecrefError(
            f"--plot {args.plot} is neither PNG nor SVG: give a name that ends in .png or .svg"
        )

    from ...measure.rules.claims import CLAIMED_RULES, lossy_rules
    from ...measure.rules.compare import compare_rules
    from ..results import write_result
    from ..views.plotting import load_pyplot
    from ..views.rules_plot import plot_rules
    from ..views.rules_table import show_rules

    if args.plot is not None:
        load_pyplot()  # fail before the work where it is not installed
    result = compare_rules(CLAIMED_RULES, lossy_rules(), report_progress)
    show_rules(result)
    write_result(args.json, "rules", result)
    if args.plot is not None:
        plot_rules(result, args.plot)
        print(f"wrote {args.plot}")
    return 0


RULES_COMMAND = Command(
    "rules", "compare rules: claimed and computed, and the bound", __doc__, _EXAMPLE, _add, _run
)
