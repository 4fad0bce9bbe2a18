"""A trace on the terminal: one block a cycle, one line a token. Marks and words say everything that
colours say.
"""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .request import Request

STYLES = {
    "accepted": "green",
    "rejected": "red",
    "dropped": "dim",
    "replacement": "yellow",
    "bonus": "cyan",
    "plain": "cyan",
}
MARKS = {
    "accepted": "✓",
    "rejected": "✗",
    "dropped": "·",
    "replacement": "→",
    "bonus": "+",
    "plain": "+",
}
ASCII_MARKS = {**MARKS, "accepted": "v", "rejected": "x", "dropped": ".", "replacement": ">"}
AFTER = {
    "rejection": "from max(p - q, 0)",
    "tree": "from max(p - q, 0)",
    "block": "from max(w p - q, 0)",
    "matching": "the target's draw",
    "greedy": "the target's choice",
}
ABOUT = {
    "rejection": "each token has a coin of min(1, p/q); what precedes the first tails is accepted",
    "block": (
        "each prefix has a coin, and the longest that falls heads is accepted\n"
        "w is the product of p/q along a prefix, cut to 1 after each token"
    ),
    "tree": "each token has a coin of min(1, p/q); after a tails the next sibling is tried",
    "matching": "the target draws from p, and a token is accepted when it is the one drawn",
    "greedy": "no coins: a token is accepted when it is the target's likeliest",
}
HEADINGS = ("", "token", "q draft", "p target", "coin", "what became of it")


def figure(x: float) -> str:
    """Five characters; 0.000 is nothing but 0."""
    return f"{x:.0e}" if 0 < x < 0.0005 else f"{x:.3f}"


class Page:
    """Prints a trace as it happens."""

    def __init__(self, console: Console, request: Request):
        self.console, self.request = console, request
        self.marks = ASCII_MARKS if console.options.ascii_only else MARKS

    def head(self) -> None:
        """What runs, the end of the prompt, and what the columns are."""
        r, line = self.request, self.console.print
        end = (
            " ".join(map(str, r.prompt[-8:]))
            if r.tokenizer is None
            else ascii(r.tokenizer.decode(r.prompt))[1:-1]
        )
        line(
            Text.assemble(
                (r.rule_name, "bold"),
                f" with the {r.drafter_name} drafter, at most {r.gamma} tokens a cycle, "
                f"temperature {r.params.temperature:g}",
            )
        )
        line(Text(ABOUT[r.rule_name]))
        line(
            Text.assemble("the prompt ends ", (end[-max(20, self.console.width - 16) :], "dim")),
            soft_wrap=True,
        )
        line()
        self.headings()

    def headings(self) -> None:
        """What the columns are."""
        self._rows([[Text(name, style="dim") for name in HEADINGS]])

    def cycle(self, number: int, cycle: dict[str, Any]) -> None:
        """One cycle: a heading, its draft token by token, the token that follows."""
        tokens, following = cycle["draft"], cycle["next"]
        dropped = sum(token["fate"] == "dropped" for token in tokens)
        counts = {
            "proposed": len(tokens),
            "accepted": cycle["accepted"],
            "rejected": len(tokens) - cycle["accepted"] - dropped,
            "dropped": dropped,
        }
        said = (
            ", ".join(f"{name} {count}" for name, count in counts.items() if count)
            or "nothing proposed"
        )
        kept = len(cycle["emitted"])
        rows = [self._drafted(token, kept > place) for place, token in enumerate(tokens)]
        self.console.print(Text.assemble((f"cycle {number}", "bold"), f"   {said}"))
        self._rows([*rows, self._next(following, kept > cycle["accepted"])])
        self.console.print()

    def _drafted(self, token: dict[str, Any], kept: bool) -> list[Text]:
        fate, coin, shown = token["fate"], token["coin"], ""
        said = "dropped, behind a rejected one" if fate == "dropped" else fate
        if coin is not None and (fate != "dropped" or self.request.rule_name == "block"):
            shown = f"{figure(coin['probability'])} {'heads' if coin['heads'] else 'tails'}"
            if fate == "accepted" and not coin["heads"]:
                said = "accepted, a later one fell heads"
            if coin["drawn"] is not None and fate == "rejected":
                said = f"rejected, drawn was {self.request.shown(coin['drawn'])}"
        elif token["choice"] is not None and fate == "rejected":
            said = f"rejected, likeliest is {self.request.shown(token['choice'])}"
        if fate == "accepted" and not kept:
            said = "accepted, past the text's end"
        return self._row(fate, token["text"], figure(token["q"]), figure(token["p"]), shown, said)

    def _next(self, token: dict[str, Any], kept: bool) -> list[Text]:
        kind, rule = token["kind"], self.request.rule_name
        how = AFTER[rule] if kind == "replacement" or rule == "greedy" else "from p"
        said = f"drawn {how}" if kind == "plain" else f"{kind}, {how}"
        if not kept:
            said = f"{kind}, past the text's end"
        shown = "" if token["probability"] is None else f"{figure(token['probability'])} drawn"
        return self._row(kind, token["text"], "", figure(token["p"]), shown, said)

    def _row(self, kind: str, *cells: str) -> list[Text]:
        style = STYLES[kind]
        return [
            Text(self.marks[kind], style=style),
            Text(cells[0], style=f"bold {style}"),
            *(Text(cell, style="dim" if kind == "dropped" else "") for cell in cells[1:4]),
            Text(cells[4], style=style),
        ]

    def foot(self, result: dict[str, Any]) -> None:
        """The text, each token in the colour of where it came from, and the sum of it."""
        text, legend = (
            Text(),
            Text(
                "the text so far   " if result["finish_reason"] is None else "the text   ",
                style="bold",
            ),
        )
        for kind in ("accepted", "replacement", "bonus"):
            legend.append(f"{self.marks[kind]} {kind}   ", style=f"not bold {STYLES[kind]}")
        for cycle in result["cycles"]:
            origin = ["accepted"] * cycle["accepted"] + [cycle["next"]["kind"]]
            for token, kind in zip(cycle["emitted"], origin, strict=False):
                text.append(self.request.plain(token), style=STYLES[kind])
        self.console.print(legend)
        self.console.print(text, soft_wrap=True)
        self.console.print()
        count, steps = len(result["tokens"]), len(result["cycles"])
        self.console.print(
            f"{count} tokens in {steps} target forwards, {count / max(1, steps):.2f} each"
        )

    def _rows(self, rows: list[list[Text]]) -> None:
        table = Table.grid(padding=(0, 1))
        wide = self.console.width >= 100
        table.add_column(width=3, justify="right")
        table.add_column(width=20 if wide else 11, overflow="fold")
        table.add_column(width=7, justify="right")
        table.add_column(width=8, justify="right")
        table.add_column(width=12, justify="right")
        table.add_column(width=48 if wide else 33, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
