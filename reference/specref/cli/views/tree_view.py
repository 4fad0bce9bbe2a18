"""Trees on the terminal: a cycle's guesses with what became of each, and the attention mask that
lets one forward score them all.
"""

from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ...model.tree import ancestors, depths
from ..work.generation_request import GenerationRequest
from .trace_page import (
    TOKEN_STYLES,
    TracePage,
    coin_words,
    cycle_heading,
    short_number,
    token_marks,
)

_FATES = ("accepted", "rejected", "never reached")


class TreePage(TracePage):
    """Prints a trace of trees while it runs; a mask only where it differs from the one before."""

    def __init__(self, console: Console, request: GenerationRequest):
        super().__init__(console, request)
        self.parents: list[int] = []

    def headings(self) -> None:
        marks = ", ".join(f"{self.marks[fate]} {fate}" for fate in _FATES)
        for line in (
            f"each node has a number; {marks}",
            "q is the draft's probability, 1 where it proposes with certainty;",
            "p is the target's probability; the coin follows",
            "mask: a row for each node, with a mark for each node it attends to;",
            "every node also attends to the whole context",
        ):
            self.console.print(Text(line, style="dim"), soft_wrap=True)
        self.console.print()

    def cycle(self, number: int, cycle: dict[str, Any]) -> None:
        _print_tree(self.console, number, cycle)
        parents = [node["parent"] for node in cycle["nodes"]]
        if parents and parents == self.parents:
            self.console.print(Text("the mask: as before", style="dim"))
        elif parents:
            _print_mask(self.console, parents)
        self.parents = parents
        self.console.print()


def mask_and_depths(parents: list[int]) -> tuple[list[list[bool]], list[int]]:
    """Which nodes each node attends to, [N][N], and the depth that gives its position, [N]: what
    the cache uses.
    """
    table = torch.tensor([parents], dtype=torch.int64)
    return ancestors(table)[0].tolist(), depths(table)[0].tolist()


def _print_tree(console: Console, number: int, cycle: dict[str, Any]) -> None:
    """One cycle: its tree, node by node, and the token that follows the accepted path."""
    marks = token_marks(console)
    root = Tree(cycle_heading(number, cycle["nodes"]), guide_style="dim")
    branches = {-1: root}
    for index, node in enumerate(cycle["nodes"]):
        mark, parent = marks[node["fate"]], branches[node["parent"]]
        branches[index] = parent.add(_node_label(index, node, mark))
    path, following = cycle["path"], cycle["next"]
    last = path[-1] if path else -1
    label = _next_label(following, marks[following["kind"]])
    branches[last].add(label)
    console.print(root)


def _node_label(index: int, node: dict[str, Any], mark: str) -> Text:
    coin = node["coin"]
    numbers = Text("  q ", style="dim" if coin is None else "")
    numbers.append(short_number(node["q"]))
    numbers.append("  p ")
    numbers.append(short_number(node["p"]))
    if coin is not None:
        numbers.append("  ")
        numbers.append(coin_words(coin))
    return _label(f"{index} {mark} ", node["text"], numbers, node["fate"])


def _next_label(token: dict[str, Any], mark: str) -> Text:
    drawn = token["probability"]
    numbers = Text("  p ")
    numbers.append(short_number(token["p"]))
    if drawn is not None:
        numbers.append("  ")
        numbers.append(short_number(drawn))
        numbers.append(" drawn")
    return _label(f"{mark} ", token["text"], numbers, token["kind"])


def _label(mark: str, text: str, numbers: Text, fate: str) -> Text:
    style = TOKEN_STYLES[fate]
    return Text.assemble(
        (mark, style),
        (text, f"bold {style}"),
        numbers,
        "  ",
        (fate, style),
    )


def _print_mask(console: Console, parents: list[int]) -> None:
    """The mask, a line for each node."""
    sees, depth = mask_and_depths(parents)
    block, empty = ("#", ".") if console.options.ascii_only else ("■", "·")
    between = " " if 2 * len(parents) + 24 <= console.width else ""
    console.print(Text("the mask", style="dim"))
    for node, row in enumerate(sees):
        marks = between.join(block if seen else empty for seen in row)
        console.print(Text(f"  {node:>3}  {marks}  depth {depth[node]}"), soft_wrap=True)
