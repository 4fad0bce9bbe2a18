"""Distributions as bars, in plain SVG: for each outcome the expected distribution, the observed
one, and the draft's where it has one.
"""

from html import escape

from ..verdict import Picture

_MOST = 24  # outcomes drawn; the rest are summed in words
_SLOT, _HEIGHT, _LEFT, _TOP = 34, 150, 44, 8  # pixels


def draw_figure(picture: Picture) -> str:
    """A figure of its own, with a table of the numbers for whoever cannot see it."""
    distributions = {"expected": picture.expected, "observed": picture.observed}
    if picture.draft:
        distributions["draft"] = picture.draft
    kept = _telling(picture)
    names = [picture.outcomes[i] for i in kept]
    shown = {kind: [distribution[i] for i in kept] for kind, distribution in distributions.items()}
    rest = {
        kind: max(0.0, sum(distribution) - sum(shown[kind]))
        for kind, distribution in distributions.items()
    }
    high = max((max(distribution) for distribution in shown.values()), default=0.0) or 1.0
    width = _LEFT + _SLOT * len(names) + 8
    tall = _TOP + _HEIGHT + 18 + 5 * min(10, max(map(len, names), default=0))
    bars = "".join(_bars(i, name, shown, high) for i, name in enumerate(names))
    legend = "".join(f'<span class="{kind}"></span> {kind}' for kind in distributions)
    svg = (
        f'<svg viewBox="0 0 {width} {tall}" width="{width}" role="img" '
        f'aria-label="{escape(picture.title, quote=True)}">{_axis(high, width)}{bars}</svg>'
    )
    others = (
        ""
        if len(kept) == len(picture.outcomes)
        else (
            f'<p class="soft">{len(picture.outcomes) - len(kept)} other outcomes together: '
            + ", ".join(f"{kind} {value:.4f}" for kind, value in rest.items())
            + "</p>"
        )
    )
    return (
        f"<figure><figcaption>{escape(picture.title)} <span"
        f' class="legend">{legend}</span></figcaption><div'
        f' class="scroll">{svg}</div>{others}{_numbers(names, shown)}</figure>'
    )


def _telling(picture: Picture) -> list[int]:
    """The outcomes to draw: all, or those that differ most and those that are likeliest, in their
    own order.
    """
    count = len(picture.outcomes)
    telling = sorted(range(count), key=lambda i: -abs(picture.expected[i] - picture.observed[i]))[
        : _MOST // 2
    ]
    likely = sorted({*range(count)} - {*telling}, key=lambda i: -picture.expected[i])
    return sorted([*telling, *likely[: _MOST - len(telling)]])


def _axis(high: float, width: int) -> str:
    base = _TOP + _HEIGHT
    lines = ""
    for part in (0.0, 0.5, 1.0):
        y = base - _HEIGHT * part
        lines += (
            f'<line class="axis" x1="{_LEFT}" x2="{width - 4}" y1="{y}" y2="{y}"/>'
            f'<text class="scale" x="{_LEFT - 5}" y="{y + 4}">{high * part:.2g}</text>'
        )
    return lines


def _bars(index: int, name: str, distributions: dict[str, list[float]], high: float) -> str:
    base, left, wide = _TOP + _HEIGHT, _LEFT + _SLOT * index + 4, (_SLOT - 8) / len(distributions)
    parts = ""
    for place, (kind, distribution) in enumerate(distributions.items()):
        tall = _HEIGHT * distribution[index] / high
        parts += (
            f'<rect class="{kind}" x="{left + place * wide:.1f}" y="{base - tall:.2f}"'
            f' width="{wide - 1:.1f}" height="{tall:.2f}"/>'
        )
    said = ", ".join(
        f"{kind} {distribution[index]:.5f}" for kind, distribution in distributions.items()
    )
    middle, short = left + (_SLOT - 8) / 2, name if len(name) <= 10 else name[:9] + "…"
    return (
        f'<g><title>{escape(name)}: {said}</title><rect class="hit" x="{left - 4}" y="{_TOP}"'
        f' width="{_SLOT}" height="{_HEIGHT}"/>{parts}<text class="name"'
        f' transform="translate({middle + 4:.1f},{base + 8})'
        f' rotate(-45)">{escape(short)}</text></g>'
    )


def _numbers(names: list[str], distributions: dict[str, list[float]]) -> str:
    head = "".join(f"<th>{kind}</th>" for kind in distributions)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{distribution[i]:.5f}</td>" for distribution in distributions.values())
        + "</tr>"
        for i, name in enumerate(names)
    )
    return f"<details><summary>numbers</summary><table><tr><th>outcome</th>{head}</tr>{rows}</table></details>"
