"""`{{ name("argument") }}` in a page: a call of a known function with constants for arguments, and
nothing else.
"""

import ast
import re
from collections.abc import Callable, Mapping

CALL = re.compile(r"\{\{ *(\w+\(.*?\)) *\}\}")


def arguments(call: str) -> tuple[str, list[object]]:
    """Name and arguments of a call in a page.

    Errors:
        ValueError when it is no call, or an argument is no constant.
    """
    node = ast.parse(call, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
        raise ValueError(f"{call} is not possible: write name(constant, ...)")
    return node.func.id, [ast.literal_eval(argument) for argument in node.args]


def expand(markdown: str, functions: Mapping[str, Callable[..., str]]) -> str:
    """Replace every call outside fenced code by what its function returns."""

    def call(match: re.Match[str]) -> str:
        name, values = arguments(match.group(1))
        if name not in functions:
            raise ValueError(
                f"a page calls {name}, which is not one of {', '.join(sorted(functions))}"
            )
        return functions[name](*values)

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else CALL.sub(call, part) for part in parts)
