"""Trees on the terminal: a cycle's guesses with what became of them, and the mask that lets one forward judge them all."""

from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..model.cache import ancestors, depths

STYLES = {"accepted": "bold green", "rejected": "red", "unseen": "dim"}
MARKS = {"accepted": "✓", "rejected": "✗", "unseen": "·"}
ASCII = {"accepted": "v", "rejected": "x", "unseen": "."}


def show_tree(console: Console, number: int, cycle: dict[str, Any]) -> None:
    """One cycle: its tree, node by node, and the token that follows the accepted path."""
    marks = ASCII if console.options.ascii_only else MARKS
    root = Tree(Text(f"cycle {number}: {len(cycle['nodes'])} nodes, accepted {cycle['accepted']}", style="bold"))
    places = {-1: root}
    for index, node in enumerate(cycle["nodes"]):
        coin = "" if node["coin"] is None else f", coin {node['coin']['probability']:.3f} " + \
            ("heads" if node["coin"]["heads"] else "tails")
        label = Text.assemble((f"{marks[node['fate']]} {node['text']}", STYLES[node["fate"]]),
                              (f"   q {node['q']:.3f}, p {node['p']:.3f}{coin}", "dim" if not coin else ""))
        places[index] = places[node["parent"]].add(label)
    at = cycle["path"][-1] if cycle["path"] else -1
    following = cycle["next"]
    places[at].add(Text(f"+ {following['text']}   {following['kind']}, p {following['p']:.3f}", style="cyan"))
    console.print(root)


def show_mask(console: Console, parents: list[int]) -> None:
    """Which nodes each node sees: the ancestor mask and the depth that its position comes from."""
    import torch

    if not parents:
        return
    table = torch.tensor([parents])
    sees, depth = ancestors(table)[0].tolist(), depths(table)[0].tolist()
    block, empty = ("#", ".") if console.options.ascii_only else ("■", "·")
    console.print(Text("the mask: a row for each node, a mark for each node it sees; all see the whole context",
                       style="dim"))
    for node, row in enumerate(sees):
        marks = " ".join(block if seen else empty for seen in row)
        console.print(f"  {node:>3}  {marks}   depth {depth[node]}")
