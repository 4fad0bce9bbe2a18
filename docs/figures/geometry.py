"""p, q, what they share, and what is left after a rejection, for one real pair of distributions."""

import torch
from specref.verify.residual import residual

from . import svg
from .letters import distribution_after, letters

CONTEXT = "an"  # the target sees both letters, the draft the last
WIDTH, LEFT, SLOT, TOP, SCALE = 430, 8, 24, 20, 300


def pair() -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Symbols, and p and q over them, [V] float64; the symbols where p is large come first."""
    text = letters()
    p, q = distribution_after(text, CONTEXT), distribution_after(text, CONTEXT[-1])
    symbols = sorted(p.keys() | q.keys(), key=lambda s: (-p.get(s, 0.0), -q.get(s, 0.0), s))
    return (
        symbols,
        torch.tensor([p.get(s, 0.0) for s in symbols], dtype=torch.float64),
        torch.tensor([q.get(s, 0.0) for s in symbols], dtype=torch.float64),
    )


def draw() -> str:
    symbols, p, q = pair()
    rest = residual(p[None], q[None])[0]
    rest = rest / rest.sum()
    high = float(torch.maximum(p, q).max()) * SCALE
    shapes = _legend()
    base = TOP + 34 + high
    for i, symbol in enumerate(symbols):
        x, a, b = LEFT + i * SLOT, float(p[i]) * SCALE, float(q[i]) * SCALE
        name = "space" if symbol == " " else symbol
        shared = min(a, b)
        hover = f"{name}: p = {float(p[i]):.3f}, q = {float(q[i]):.3f}"
        shapes += [
            svg.box(x + 3, base - shared, SLOT - 6, shared, "shared", title=hover),
            svg.box(x + 3, base - a, SLOT - 6, a - shared, "more-p", title=hover),
            svg.box(x + 3, base - b, SLOT - 6, b - shared, "more-q", title=hover),
            svg.text(x + SLOT / 2, base + 14, "␣" if symbol == " " else symbol, "mono", "middle"),
        ]
    shapes.append(svg.line([(LEFT, base), (LEFT + len(symbols) * SLOT, base)], "axis"))
    below = base + 50 + float(rest.max()) * SCALE
    shapes.append(
        svg.text(
            LEFT,
            base + 40,
            "the distribution after a rejection: the part of p above q, made whole",
            "small",
        )
    )
    for i, symbol in enumerate(symbols):
        height = float(rest[i]) * SCALE
        shapes += [
            svg.box(
                LEFT + i * SLOT + 3,
                below - height,
                SLOT - 6,
                height,
                "more-p",
                title=f"{symbol}: {float(rest[i]):.3f}",
            ),
            svg.text(
                LEFT + i * SLOT + SLOT / 2,
                below + 14,
                "␣" if symbol == " " else symbol,
                "mono",
                "middle",
            ),
        ]
    shapes.append(svg.line([(LEFT, below), (LEFT + len(symbols) * SLOT, below)], "axis"))
    return svg.drawing(
        WIDTH,
        below + 22,
        "Bars of p and q, their shared part, and the residual distribution",
        shapes,
    )


def _legend() -> list[str]:
    entries = (
        ("shared", "min(p, q): accepted"),
        ("more-q", "q above p: rejected"),
        ("more-p", "p above q: owed"),
    )
    x, shapes = LEFT + 3, []
    for kind, words in entries:
        shapes += [svg.box(x, TOP - 10, 11, 11, kind), svg.text(x + 16, TOP, words, "small")]
        x += 140
    return shapes


def caption() -> str:
    _, p, q = pair()
    alpha = float(torch.minimum(p, q).sum())
    return (
        f"Which letter follows “{CONTEXT}” in this repository's LICENSE: p counts what follows"
        f" “{CONTEXT}”, q what follows any “{CONTEXT[-1]}”. The shared area is the probability that"
        f" a draft from q is accepted, {alpha:.3f}; what is missing from 1 is the total variation"
        f" distance, {1 - alpha:.3f}. The two coloured areas beyond it are equally large, which is"
        " why a rejection can be made good exactly."
    )
