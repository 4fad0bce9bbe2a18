"""Trees on the terminal: a cycle's guesses with what became of them, and the mask that lets one
forward judge them all.
"""

from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..model.cache import ancestors, depths
from .render import Page, figure
from .request import Request

STYLES = {"accepted": "green", "rejected": "red", "never reached": "dim"}
MARKS = {"accepted": "✓", "rejected": "✗", "never reached": "·"}
ASCII = {"accepted": "v", "rejected": "x", "never reached": "."}


class Forest(Page):
    """Prints a trace of trees as it happens; a mask only where it differs from the one before."""

    def __init__(self, console: Console, request: Request):
        super().__init__(console, request)
        self.parents: list[int] = []

    def headings(self) -> None:
        marks = ASCII if self.console.options.ascii_only else MARKS
        said = ", ".join(f"{mark} {fate}" for fate, mark in marks.items())
        for line in (
            f"each node has a number; {said}",
            "q is the draft's probability, p the target's, then the coin",
            "mask: a row for each node, a mark for each node it sees; all see the whole context",
        ):
            self.console.print(Text(line, style="dim"), soft_wrap=True)

    def cycle(self, number: int, cycle: dict[str, Any]) -> None:
        show_tree(self.console, number, cycle)
        parents = [node["parent"] for node in cycle["nodes"]]
        if parents and parents == self.parents:
            self.console.print(Text("the mask: as before", style="dim"))
        else:
            show_mask(self.console, parents)
        self.parents = parents
        self.console.print()


def show_tree(console: Console, number: int, cycle: dict[str, Any]) -> None:
    """One cycle: its tree, node by node, and the token that follows the accepted path."""
    marks = ASCII if console.options.ascii_only else MARKS
    fates = [node["fate"] for node in cycle["nodes"]]
    said = ", ".join(f"{fate} {fates.count(fate)}" for fate in STYLES if fate in fates)
    root = Tree(
        Text.assemble((f"cycle {number}", "bold"), f"   {said or 'nothing proposed'}"),
        guide_style="dim",
    )
    places = {-1: root}
    for index, node in enumerate(cycle["nodes"]):
        coin, style = node["coin"], STYLES[node["fate"]]
        fell = (
            ""
            if coin is None
            else f"  {figure(coin['probability'])} {'heads' if coin['heads'] else 'tails'}"
        )
        label = Text.assemble(
            (f"{index} {marks[node['fate']]} ", style),
            (node["text"], f"bold {style}"),
            (
                f"  q {figure(node['q'])}  p {figure(node['p'])}{fell}",
                "dim" if coin is None else "",
            ),
            (f"  {node['fate']}", style),
        )
        places[index] = places[node["parent"]].add(label)
    following = cycle["next"]
    mark = {"replacement": ">" if console.options.ascii_only else "→"}.get(following["kind"], "+")
    places[cycle["path"][-1] if cycle["path"] else -1].add(
        Text.assemble(
            (f"{mark} ", "cyan"),
            (following["text"], "bold cyan"),
            f"  p {figure(following['p'])}",
            (
                ""
                if following["probability"] is None
                else f"  {figure(following['probability'])} drawn"
            ),
            (f"  {following['kind']}", "cyan"),
        )
    )
    console.print(root)


def mask(parents: list[int]) -> tuple[list[list[bool]], list[int]]:
    """Which nodes each node sees, [N][N], and the depth that its position comes from, [N]: what the
    cache uses.
    """
    table = torch.tensor([parents], dtype=torch.int64)
    return ancestors(table)[0].tolist(), depths(table)[0].tolist()


def show_mask(console: Console, parents: list[int]) -> None:
    """The mask, a line for each node; nothing for a draft without nodes."""
    if not parents:
        return
    sees, depth = mask(parents)
    block, empty = ("#", ".") if console.options.ascii_only else ("■", "·")
    between = " " if 2 * len(parents) + 24 <= console.width else ""
    console.print(Text("the mask", style="dim"))
    for node, row in enumerate(sees):
        marks = between.join(block if seen else empty for seen in row)
        console.print(Text(f"  {node:>3}  {marks}  depth {depth[node]}"), soft_wrap=True)
