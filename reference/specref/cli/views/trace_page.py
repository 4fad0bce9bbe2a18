"""A trace on the terminal: one block a cycle, one line a token. Marks and words say everything that
colours say.
"""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..work.generation_request import GenerationRequest

TOKEN_STYLES = {
    "accepted": "green",
    "rejected": "red",
    "dropped": "dim",
    "never reached": "dim",
    "replacement": "yellow",
    "bonus": "cyan",
    "plain": "cyan",
}
_UNICODE_MARKS = {
    "accepted": "✓",
    "rejected": "✗",
    "dropped": "·",
    "never reached": "·",
    "replacement": "→",
    "bonus": "+",
    "plain": "+",
}
_ASCII_MARKS = _UNICODE_MARKS | {
    "accepted": "v",
    "rejected": "x",
    "dropped": ".",
    "never reached": ".",
    "replacement": ">",
}
_REPLACED_FROM = {
    "rejection": "from max(p - q, 0)",
    "tree": "from max(p - q, 0)",
    "block": "from max(w p - q, 0)",
    "matching": "the target's draw",
    "greedy": "the target's choice",
}
_RULES = {
    "rejection": "each token has a coin of min(1, p/q); tokens before the first tails are accepted",
    "block": (
        "each prefix has a coin; the longest prefix whose coin fell heads is accepted\n"
        "w is the product of p/q along a prefix, cut to 1 after each token"
    ),
    "tree": (
        "each token has a coin of min(1, r/q); after tails the next sibling is tried\n"
        "r is p less what was rejected among the siblings before it"
    ),
    "matching": "the target draws from p; a token is accepted when it is the one drawn",
    "greedy": "no coins; a token is accepted when it is the target's likeliest",
}
_HEADINGS = ("", "token", "q draft", "p target", "coin", "result")


def token_marks(console: Console) -> dict[str, str]:
    """A mark for each fate, in ASCII where the terminal has nothing else."""
    return _ASCII_MARKS if console.options.ascii_only else _UNICODE_MARKS


def short_number(x: float) -> str:
    """Five characters; only 0 is shown as 0.000."""
    return f"{x:.0e}" if 0 < x < 0.0005 else f"{x:.3f}"


def coin_words(coin: dict[str, Any]) -> str:
    """The probability of heads, and how the coin fell."""
    side = "heads" if coin["heads"] else "tails"
    return f"{short_number(coin['probability'])} {side}"


def cycle_heading(number: int, drafted: list[dict[str, Any]]) -> Text:
    """The number of a cycle, and how many drafted tokens met each fate."""
    heading = Text(f"cycle {number}   ", style="bold")
    fates = [token["fate"] for token in drafted]
    counts = [f"proposed {len(fates)}"]
    for fate in ("accepted", "rejected", "dropped", "never reached"):
        if fate in fates:
            counts.append(f"{fate} {fates.count(fate)}")
    said = ", ".join(counts) if fates else "nothing proposed"
    heading.append(said, style="not bold")
    return heading


class TracePage:
    """Prints a trace while it runs."""

    def __init__(self, console: Console, request: GenerationRequest):
        self.console, self.request = console, request
        self.marks = token_marks(console)

    def head(self) -> None:
        """What runs, the end of the prompt, and what the columns are."""
        r, line = self.request, self.console.print
        if r.tokenizer is None:
            end = " ".join(map(str, r.prompt[-8:]))
        else:
            end = ascii(r.tokenizer.decode(r.prompt))[1:-1]
        line(
            Text.assemble(
                ("rule ", ""),
                (r.rule_name, "bold"),
                f", drafter {r.drafter_name}, at most {r.gamma} tokens a cycle, "
                f"temperature {r.params.temperature:g}",
            )
        )
        line(Text(_RULES[r.rule_name]))
        shown = end[-max(20, self.console.width - 16) :]
        line(Text.assemble("the prompt ends ", (shown, "dim")), soft_wrap=True)
        line()
        self.headings()

    def headings(self) -> None:
        """What the columns are."""
        self._print_rows([[Text(name, style="dim") for name in _HEADINGS]])

    def cycle(self, number: int, cycle: dict[str, Any]) -> None:
        """One cycle: a heading, its draft token by token, the token that follows."""
        tokens, emitted = cycle["draft"], len(cycle["emitted"])
        rows = []
        for position, token in enumerate(tokens):
            rows.append(self._drafted(token, position < emitted))
        rows.append(self._next(cycle["next"], cycle["accepted"] < emitted))
        self.console.print(cycle_heading(number, tokens))
        self._print_rows(rows)
        self.console.print()

    def _drafted(self, token: dict[str, Any], in_text: bool) -> list[Text]:
        coin, shown = token["coin"], ""
        if coin is not None and (token["fate"] != "dropped" or self.request.rule_name == "block"):
            shown = coin_words(coin)
        said = self._result(token) if in_text or token["fate"] != "accepted" else ""
        said = said or "accepted, past the text's end"
        cells = token["text"], short_number(token["q"]), short_number(token["p"]), shown, said
        return self._row(token["fate"], *cells)

    def _result(self, token: dict[str, Any]) -> str:
        """What became of a drafted token, and why."""
        fate, coin = token["fate"], token["coin"]
        if fate == "dropped":
            return "dropped, behind a rejected one"
        if fate == "accepted":
            later = coin is not None and not coin["heads"]
            return "accepted, a later one fell heads" if later else fate
        if coin is not None and coin["drawn"] is not None:
            return f"rejected, drawn was {self.request.quoted(coin['drawn'])}"
        if coin is None and token["choice"] is not None:
            return f"rejected, likeliest is {self.request.quoted(token['choice'])}"
        return fate

    def _next(self, token: dict[str, Any], in_text: bool) -> list[Text]:
        kind, rule = token["kind"], self.request.rule_name
        how = _REPLACED_FROM[rule] if kind == "replacement" or rule == "greedy" else "from p"
        said = f"drawn {how}" if kind == "plain" else f"{kind}, {how}"
        if not in_text:
            said = f"{kind}, past the text's end"
        drawn = token["probability"]
        shown = "" if drawn is None else f"{short_number(drawn)} drawn"
        return self._row(kind, token["text"], "", short_number(token["p"]), shown, said)

    def _row(self, kind: str, *cells: str) -> list[Text]:
        style, numbers = TOKEN_STYLES[kind], "dim" if kind == "dropped" else ""
        return [
            Text(self.marks[kind], style=style),
            Text(cells[0], style=f"bold {style}"),
            *(Text(cell, style=numbers) for cell in cells[1:4]),
            Text(cells[4], style=style),
        ]

    def foot(self, result: dict[str, Any]) -> None:
        """The text, each token in the colour of where it came from, and the sum of it."""
        ended = result["finish_reason"] is not None
        legend = Text("the text   " if ended else "the text so far   ", style="bold")
        for kind in ("accepted", "replacement", "bonus"):
            legend.append(f"{self.marks[kind]} {kind}   ", style=f"not bold {TOKEN_STYLES[kind]}")
        text = Text()
        for cycle in result["cycles"]:
            origin = ["accepted"] * cycle["accepted"] + [cycle["next"]["kind"]]
            for token, kind in zip(cycle["emitted"], origin, strict=False):
                text.append(self.request.unquoted(token), style=TOKEN_STYLES[kind])
        self.console.print(legend)
        self.console.print(text, soft_wrap=True)
        self.console.print()
        count, steps = len(result["tokens"]), len(result["cycles"])
        each = count / max(1, steps)
        self.console.print(f"{count} tokens in {steps} target forwards ({each:.2f} per forward)")

    def _print_rows(self, rows: list[list[Text]]) -> None:
        wide = self.console.width >= 100
        table = Table.grid(padding=(0, 1))
        table.add_column(width=3, justify="right")
        table.add_column(width=20 if wide else 11, overflow="fold")
        table.add_column(width=7, justify="right")
        table.add_column(width=8, justify="right")
        table.add_column(width=12, justify="right")
        table.add_column(width=44 if wide else 33, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
