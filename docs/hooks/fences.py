"""Python in the pages runs when the site is built, and what it prints is shown below it."""

import contextlib
import io
import re
import shlex
from pathlib import Path

FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.M | re.S)


def fences(markdown: str, language: str) -> list[str]:
    """The code of every fence in a language."""
    return [match.group(2) for match in FENCE.finditer(markdown) if match.group(1) == language]


def run(code: str, names: dict[str, object], where: str) -> str:
    """Run one fence and return what it printed. The fences of one page share their names.

    Errors:
        RuntimeError names the page, and what went wrong.
    """
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(code, where, "exec"), names)
    except Exception as error:
        raise RuntimeError(
            f"{where}: the example fails with {type(error).__name__}: {error}\n{code}"
        ) from error
    return out.getvalue()


def with_output(markdown: str, where: str) -> str:
    """The page with each Python fence followed by its output."""
    names: dict[str, object] = {"__name__": "example"}

    def one(match: re.Match[str]) -> str:
        if match.group(1) != "python":
            return match.group(0)
        printed = run(match.group(2), names, where).rstrip()
        shown = match.group(0).replace("```python", '```python title="try it"', 1)
        return shown + (f'\n\n```text title="prints"\n{printed}\n```' if printed else "")

    return FENCE.sub(one, markdown)


def commands(markdown: str) -> list[list[str]]:
    """The commands of every sh fence, one a line, comments dropped."""
    lines = [
        line for code in fences(markdown, "sh") for line in code.replace("\\\n", " ").splitlines()
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line for line in words if line]


def impossible(markdown: str, makefile: Path) -> list[str]:
    """Commands that a reader could not give: a make target or variable that is not there, or
    arguments that specref refuses.
    """
    from specref.cli import make_parser

    known = set(re.findall(r"^([\w-]+):", makefile.read_text(), re.M))
    known |= {f"{name}=" for name in re.findall(r"^(\w+) \?=", makefile.read_text(), re.M)}
    wrong = []
    for command, *words in commands(markdown):
        if command == "make":
            wrong += [
                f"make {word}: the Makefile has no such target"
                for word in words
                if "".join(word.partition("=")[:2]) not in known
            ]
        elif command == "specref":
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                    make_parser(words[0] if words else None).parse_args(words)
            except SystemExit as stop:
                if stop.code:
                    wrong.append(
                        f"specref {' '.join(words)}: {said.getvalue().strip().splitlines()[-1]}"
                    )
            except Exception as error:  # a command that cannot even be imported
                wrong.append(f"specref {' '.join(words)}: {error}")
    return wrong
