"""Watch one generation cycle by cycle: what the draft proposed, what the target says of it, and how
each coin fell.

q is the draft's probability of the token, p the target's. The coin is the question that the rule
asks of chance. rejection flips one coin of min(1, p/q) for each token. block flips one for each
prefix and keeps the longest prefix whose coin fell heads. matching draws from p and compares.
greedy compares with the target's likeliest token and flips nothing.

A result file has `cycles`, a list of
  draft      the proposed tokens: {token, text, q, p, coin, choice, fate}
             q: 1 where a token was proposed with certainty
             coin: {probability, heads, drawn}, or null where nothing was flipped; drawn: the token
             that matching drew
             choice: the target's likeliest token, for greedy
             fate: accepted, rejected, or dropped (behind a rejected token)
  accepted   how many of them the rule accepted
  next       the token after them: {token, text, p, probability, kind}
             probability: of its draw, or null where it was not drawn
             kind: replacement (after a rejection), bonus (after a whole draft) or plain (nothing
             was proposed)
  emitted    the tokens that the text gained: the accepted ones and the next, cut at a stop or at
             the last token
With --tree (always, where the drafts have branches) a cycle has, in place of `draft`,
  nodes      {token, text, parent, depth, q, p, coin, fate}
             parent: a node's number, or -1 for the context
             p: given the parent
             coin: {probability, heads} of min(1, r/q), where r is p less what was rejected among
             the siblings; null for a node that was never reached
             fate: accepted, rejected, never reached
  path       the numbers of the accepted nodes, from the context on
and the terminal shows the tree and the attention mask that lets one forward score all nodes. The
file also has prompt, tokens, text, finish_reason (null: the trace ended before the text), rule,
drafter, gamma, temperature, seed.
"""

import argparse

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import add_request, require_at_least
from ..command import Command

_EXAMPLE = """
  specref trace
  specref trace --prompt 'class Point:' --rule block --cycles 4 --json trace.json
  specref trace --tree --drafter medusa --tree-shape '0;1;0,0;0,1' --cycles 3
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    parser.add_argument(
        "--tree",
        action="store_true",
        help="show each cycle as a tree with its mask; uses the tree rule",
    )
    parser.add_argument(
        "--cycles", type=int, default=6, metavar="N", help="most cycles to watch (default: 6)"
    )


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_at_least(args, 1, "cycles")
    if args.tree and args.rule not in (None, "tree"):
        raise SpecrefError(
            f"--tree shows the tree rule, not the rule {args.rule}: leave one of them out"
        )

    from rich.console import Console

    from ..results import write_result
    from ..views.trace_page import TracePage
    from ..views.tree_view import TreePage
    from ..work.generation_request import make_request
    from ..work.tracing import trace_generation

    request = make_request(args, default_prompt=True)
    tree = args.tree or request.branches
    page = (TreePage if tree else TracePage)(Console(highlight=False), request)
    page.head()
    result = trace_generation(request, args.cycles, page.cycle, tree)
    page.foot(result)
    write_result(args.json, "trace", result)
    return 0


TRACE_COMMAND = Command(
    "trace", "watch one generation cycle by cycle", __doc__, _EXAMPLE, _add, _run
)
