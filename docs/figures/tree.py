"""One real cycle of the bundled target and its Medusa heads: the tree with what became of each
node, and its mask.
"""

from functools import cache
from typing import Any

import torch
from specref.chance import Streams
from specref.cli.arguments import BUNDLED
from specref.cli.views.tree_view import mask_and_depths
from specref.cli.work.models import load_heads
from specref.cli.work.recording import WatchedRule, describe_tree
from specref.data import SamplingParams
from specref.decode import Cycle, decode_loop, new_requests
from specref.draft.medusa import MedusaDrafter, Node
from specref.model.checkpoint import load
from specref.verify import RULES

from . import svg

PROMPT = 'def area(radius):\n    """The area of a circle."""\n    return '
TREE: list[Node] = [(0,), (1,), (2,), (0, 0), (0, 1), (1, 0), (0, 0, 0)]
WIDTH, LEFT, TOP, COLUMN, ROW, BOX, HIGH, CELL = 430, 6, 34, 128, 44, 108, 34, 18
FATES = {"accepted": "shared", "rejected": "more-q", "never reached": ""}


@cache
def cycle() -> dict[str, Any]:
    """The first cycle in which a node is accepted, one is rejected and one is never reached."""
    target = load(BUNDLED / "target")
    drafter = MedusaDrafter(load_heads(BUNDLED / "medusa", target), TREE, draws=True)
    rule, found = WatchedRule(RULES["tree"]), []

    def watch(one: Cycle) -> None:
        found.append(describe_tree(one, rule.questions))

    with torch.random.fork_rng(devices=[]):
        requests = new_requests(target, [list(PROMPT.encode())], SamplingParams(max_new_tokens=60))
        for cycle in decode_loop(target, drafter, rule, requests, 3, Streams([1])):
            watch(cycle)
    return next(one for one in found if _shows_every_fate(one["nodes"]))


def _shows_every_fate(nodes: list[dict[str, Any]]) -> bool:
    return len(nodes) == len(TREE) and {node["fate"] for node in nodes} == set(FATES)


def places(nodes: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Left upper corner of each node's box: depth gives the column; leaves get a row each, in
    order.
    """
    row: dict[int, float] = {}
    free = 0

    def place(index: int) -> float:
        nonlocal free
        children = [i for i, node in enumerate(nodes) if node["parent"] == index]
        heights = [place(child) for child in children]
        if not heights:
            heights, free = [float(free)], free + 1
        row[index] = heights[0]
        return heights[0]

    place(-1)
    return [
        (LEFT + node["depth"] * COLUMN + 22, TOP + row[i] * ROW) for i, node in enumerate(nodes)
    ]


def draw() -> str:
    nodes = cycle()["nodes"]
    at = places(nodes)
    shapes: list[str] = []
    x: float = LEFT
    for fate, kind in FATES.items():
        shapes += [svg.box(x, 6, 6, 14, kind or "side"), svg.text(x + 12, 17, fate, "small")]
        x += 92
    for index, (node, (x, y)) in enumerate(zip(nodes, at, strict=True)):
        middle = y + HIGH / 2
        above = (
            (LEFT, TOP)
            if node["parent"] < 0
            else (at[node["parent"]][0] + BOX, at[node["parent"]][1])
        )
        px, py = above[0], above[1] + HIGH / 2
        bend = x - 10
        shapes.append(svg.line([(px, py), (bend, py), (bend, middle), (x, middle)], "axis"))
        coin = "" if node["coin"] is None else f", coin {node['coin']['probability']:.3f}"
        shapes += [
            svg.box(
                x,
                y,
                BOX,
                HIGH,
                "room" if FATES[node["fate"]] else "side",
                4,
                f"node {index}: {node['fate']}{coin}",
            ),
            svg.box(x + 4, y + 4, 6, HIGH - 8, FATES[node["fate"]]) if FATES[node["fate"]] else "",
            svg.text(x + 16, y + 14, f"{index}  {shown(node['token'])}", "mono"),
            svg.text(x + 16, y + 28, f"q {node['q']:.3f} p {node['p']:.3f}", "small"),
        ]
    top = max(y for _, y in at) + ROW + 22
    grid, height = _mask([node["parent"] for node in nodes], top)
    return svg.drawing(
        WIDTH,
        height,
        "A tree of guesses with what became of each, and its ancestor mask",
        shapes + grid,
    )


def shown(token: int) -> str:
    """One byte, quoted."""
    return repr(chr(token)) if token < 128 else f"<{token}>"


def _mask(parents: list[int], top: float) -> tuple[list[str], float]:
    """A row for each node, filled where it sees; and the height that the figure then has."""
    sees, depth = mask_and_depths(parents)
    x0, shapes = (
        LEFT + 40,
        [svg.text(LEFT, top - 8, "the mask: a row for each node, filled where it sees", "small")],
    )
    for i, row in enumerate(sees):
        y = top + (i + 1) * CELL
        shapes += [
            svg.text(x0 + i * CELL + CELL / 2, top + 13, str(i), "mono", "middle"),
            svg.text(x0 - 8, y + 13, str(i), "mono", "end"),
            svg.text(x0 + len(sees) * CELL + 10, y + 13, f"depth {depth[i]}", "small"),
        ]
        shapes += [
            svg.box(x0 + j * CELL, y, CELL - 2, CELL - 2, "shared" if seen else "side", 2)
            for j, seen in enumerate(row)
        ]
    return shapes, top + (len(sees) + 1) * CELL + 8


def caption() -> str:
    one = cycle()
    path = "".join(chr(one["nodes"][i]["token"]) for i in one["path"])
    return (
        f"One cycle of the bundled target and its Medusa heads, as it ran. {len(one['nodes'])}"
        " guesses were drawn without replacement among siblings, and one forward judged them all."
        f" Accepted: “{path}”; then “{chr(one['next']['token'])}” was drawn"
        f" ({one['next']['kind']}). Every node sees the whole context as well."
    )
