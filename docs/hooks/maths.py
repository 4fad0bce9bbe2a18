"""LaTeX to MathML at build: browsers draw it themselves, so the site needs no script and no network
for it.
"""

import html
import re
from collections.abc import Callable

FOUND = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.S)
BLOCK, INLINE = re.compile(r"^\\\[(.*)\\\]$", re.S), re.compile(r"^\\\((.*)\\\)$", re.S)


def with_latex2mathml(tex: str, display: str) -> str:
    from latex2mathml.converter import convert

    return convert(tex, display=display)


def to_mathml(page: str, convert: Callable[[str, str], str] = with_latex2mathml) -> str:
    """Replace what arithmatex marked in a built page.

    Args:
        page: HTML with spans and divs of class arithmatex, `\\(..\\)` or `\\[..\\]` inside.
        convert: (tex, "inline" or "block") -> MathML.
    Errors:
        ValueError names the formula that could not be read.
    """

    def one(match: re.Match[str]) -> str:
        text = html.unescape(match.group(2)).strip()
        block, inline = BLOCK.match(text), INLINE.match(text)
        found = block or inline
        if found is None:
            raise ValueError(f"this is no formula: {text}")
        tex = " ".join(found.group(1).split())
        try:
            mathml = convert(tex, "block" if block else "inline")
        except Exception as error:  # latex2mathml has a dozen exceptions of its own
            raise ValueError(
                f"cannot read the formula {tex}: {type(error).__name__} {error}"
            ) from error
        wide = f'<div class="formula">{mathml}</div>' if block else mathml
        return wide.replace("<math ", f'<math alttext="{html.escape(tex)}" ', 1)

    return FOUND.sub(one, page)
