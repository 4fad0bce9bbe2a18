"""A few SVG shapes. Colours are the site's own variables, so a figure follows the light or dark
scheme.
"""

from collections.abc import Iterable
from html import escape


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def box(
    x: float, y: float, width: float, height: float, kind: str, round_by: float = 0, title: str = ""
) -> str:
    """A rectangle; one of zero height or width is left out by drawing nothing."""
    if width <= 0 or height <= 0:
        return ""
    hover = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" rx="{round_by}"'
        f' class="{kind}">{hover}</rect>'
    )


def line(points: Iterable[tuple[float, float]], kind: str) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>'


def arrow(points: list[tuple[float, float]], kind: str = "arrow") -> str:
    """A line with a head at its end, whose last stretch is upright or level."""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    head = [
        (x, y),
        (x - 6 * dx - 3.5 * dy, y - 6 * dy - 3.5 * dx),
        (x - 6 * dx + 3.5 * dy, y - 6 * dy + 3.5 * dx),
    ]
    return (
        line(points, kind)
        + f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in head)}" class="head"/>'
    )


def drawing(width: float, height: float, title: str, shapes: Iterable[str]) -> str:
    """The whole figure; `title` is what a screen reader says."""
    body = "".join(shapes)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="{escape(title, quote=True)}" xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    )
