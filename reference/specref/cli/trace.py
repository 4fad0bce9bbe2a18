"""Watch one generation cycle by cycle: what the draft proposed, what the target said, and how each
coin fell.

q is the draft's probability of the token, p the target's. The coin is what the rule asked of
chance: rejection flips one of min(1, p/q) for every token, block one for every prefix and keeps the
longest that fell heads, matching draws from p and compares, greedy compares with the target's
likeliest token and flips nothing.

A result file has `cycles`, a list of
  draft      tokens proposed: {token, text, q, p, coin, choice, fate}. q is 1 where a token was
             proposed with certainty. coin {probability, heads, drawn}: drawn is the token that
                 `matching` drew; null where nothing was flipped.
             choice: the target's likeliest token, for `greedy`. fate: accepted, rejected, or
             dropped (behind a rejected one).
  accepted   how many of them the rule accepted
  next       the token that follows them: {token, text, p, probability, kind}. kind: replacement
             (after a rejection), bonus (after a whole draft) or plain (nothing was proposed).
                 probability: of its draw; null if not drawn.
With --tree (always, where the drafter's drafts have branches) a cycle has, in place of `draft`,
  nodes      {token, text, parent, depth, q, p, coin, fate}: parent is a node's number, or -1 for
             the context; p is the target's distribution behind the parent. The coin {probability,
             heads} is min(1, r/q), where r is p less what was rejected in this place; null for a
                 node that was never reached. fate: accepted, rejected, never reached.
  path       the numbers of the accepted nodes, from the context on
and its pictures on the terminal: the tree, and the mask that lets one forward judge all of its
nodes. Every cycle has
  emitted    the tokens that the text gained: the accepted ones and the next, cut at a stop or at
      the last token
and prompt, tokens, text, finish_reason (null: there was more to come), rule, drafter, gamma,
temperature, seed.

Example:
  specref trace
  specref trace --prompt 'class Point:' --rule block --cycles 4 --json trace.json
  specref trace --tree --drafter medusa --tree-shape '0;1;0,0;0,1' --cycles 3
"""

import argparse
from typing import Any

from rich.console import Console

from ..data import SpecrefError
from ..decode import decode_loop, new_requests
from ..verify import RULES
from .common import writable, write_result
from .forest import Forest
from .record import Watched, describe, describe_tree
from .render import Page
from .request import Request, add_request, make_request


def add(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    parser.add_argument(
        "--tree",
        action="store_true",
        help="draw each cycle's tree and its mask; judges by the tree rule",
    )
    parser.add_argument(
        "--cycles", type=int, default=6, metavar="N", help="cycles to watch at most (default: 6)"
    )


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    if args.cycles < 1:
        raise SpecrefError(f"--cycles {args.cycles} is not possible: give 1 or more")
    if args.tree and args.rule not in (None, "tree"):
        raise SpecrefError(
            f"--tree draws what the tree rule asks, not the rule {args.rule}: leave one of them out"
        )
    request = make_request(args, default_prompt=True)
    tree = args.tree or request.branches
    page = (Forest if tree else Page)(Console(highlight=False), request)
    page.head()
    result = trace(request, args.cycles, page.cycle, tree)
    page.foot(result)
    write_result(args.json, "trace", result)
    return 0


def trace(
    request: Request, most: int, show: Any = lambda number, cycle: None, tree: bool = False
) -> dict[str, Any]:
    """Run until the end or for `most` cycles; show(number, cycle) is called with each. tree:
    describe them as trees.
    """
    rule = Watched(RULES[request.rule_name])
    cycles: list[dict[str, Any]] = []
    reason = None
    requests = new_requests(request.target, [request.prompt], request.params)
    for cycle in decode_loop(request.target, request.drafter, rule, requests, request.gamma):
        if len(cycles) == most:
            break
        found = (describe_tree if tree else describe)(cycle, rule.questions)
        for token in (*found["nodes" if tree else "draft"], found["next"]):
            token["text"] = request.shown(token["token"])
        cycles.append(found)
        show(len(cycles), found)

    else:
        reason = requests[0].reason
    tokens = [token for cycle in cycles for token in cycle["emitted"]]
    return {
        "rule": request.rule_name,
        "drafter": request.drafter_name,
        "gamma": request.gamma,
        "temperature": request.params.temperature,
        "seed": request.params.seed,
        "prompt": request.prompt,
        "tokens": tokens,
        "text": request.text(tokens),
        "finish_reason": reason,
        "cycles": cycles,
    }
