"""The house's short docstrings, spelled out for the API reference: one argument a line, sections
set apart.
"""

import re
from collections.abc import Collection

SPAN = re.compile(r"(`[^`]*`)")
SECTION = re.compile(r"^(Args|Returns|Errors):\s*$")


def tidy(text: str, parameters: Collection[str]) -> str:
    """A docstring as the google style wants it.

    `p: [B,V]. q: [B,V].` in Args becomes two lines where both are parameters, and so does `p, q:
    [B,V]`; Errors becomes Raises.
    """

    def apart(match: re.Match[str]) -> str:
        return "\n".join(f"    {name}: {match.group(2)}" for name in match.group(1).split(", "))

    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        match = SECTION.match(line)
        if match:
            section = match.group(1)
            lines += [""] if lines and lines[-1].strip() else []
            lines.append("Raises:" if section == "Errors" else line)
            continue
        if line and not line.startswith(" "):
            section = ""
        if section == "Args" and parameters:
            names = "|".join(sorted(parameters, key=len, reverse=True))
            line = re.sub(rf"(?<=[.;]) ((?:(?:{names}), )*(?:{names}): )", r"\n    \1", line)
            line = re.sub(
                rf"^ {{4}}((?:(?:{names}), )+(?:{names})): (.*)$", apart, line, flags=re.M
            )
        if section == "Errors" and lines[-1] == "Raises:":
            line = re.sub(r"^(\s+)SpecrefError:?,?\s+", r"\1SpecrefError: ", line)
            line = re.sub(r"^( +)(?! |\w+: )", r"\1SpecrefError: ", line)
        lines += line.split("\n")
    return "\n".join(lines)


def literal(text: str) -> str:
    """Shapes and indices stay what they are: `a[i][j]` is no link to a page called j. Code is left
    alone.
    """
    lines = []
    for line in text.splitlines():
        parts = SPAN.split(line)
        lines.append(
            "".join(part if part.startswith("`") else part.replace("][", r"]\[") for part in parts)
        )
    return "\n".join(lines)
