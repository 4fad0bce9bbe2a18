"""What `specref bench` prints."""

from typing import Any

from rich.console import Console
from rich.table import Table

ARITHMETIC = {"bf16 weights": "float32", "bf16 arithmetic": "bfloat16"}


def show(result: dict[str, Any]) -> None:
    table = Table(
        title=(
            f"speedup against the best plain float32 loop; drafter {result['drafter']}, "
            f"draft length {result['gamma']}"
        )
    )
    for column in (
        "way",
        "total",
        "95 % of prompts' median",
        "decode only",
        "tokens per target forward",
    ):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, value in result["speedup"].items():
        low, high = result["interval"][name]
        table.add_row(
            name.replace("_", " "),
            f"{value:.2f}x",
            f"{low:.2f} to {high:.2f}",
            f"{result['speedup_decode_only'][name]:.2f}x",
            f"{result['tokens_per_step'][name]:.2f}",
        )
    console = Console()
    console.print(table)
    curve = "  ".join(f"{k}: {v:.2f}" for k, v in result["verify_curve"].items())
    console.print(f"verify curve T(k)/T(1)   {curve}")
    for name, guess in result["drafters"].items():
        rates = " ".join(f"{rate:.2f}" for rate in guess["by_position"][: guess["gamma"]])
        console.print(
            f"{name}: a step costs {guess['cost']:.3f} plain steps, accepted by position {rates}; "
            f"predicted {guess['predicted']:.2f}x at draft length {guess['gamma']}"
            + (f", given up below {guess['sure']:g}" if guess["sure"] else "")
        )
    if result.get("bf16"):
        console.print(
            f"sampled bf16: bfloat16 weights, computed in {ARITHMETIC[result['bf16']]}, which is"
            " predicted to be faster here"
        )
    limits = result["at_most"]
    console.print(
        "if drafts and bookkeeping cost nothing, the target's own forward would allow "
        + ", ".join(f"{name.replace('_', ' ')} {limit:.2f}x" for name, limit in limits.items())
    )
    if "block" in result:
        _table(
            console,
            "one block of the target, in units of its float32 work on one token",
            "type and tokens",
            result["block"],
        )
        _table(
            console,
            "a block of a wider model, in units of its own float32 work on one token",
            "hidden size",
            result["widths"],
        )
    console.print(
        f"decode-only speedup of `sampled` is {100 * result['share_of_prediction']:.0f} % of the"
        " prediction"
    )
    if "vs_transformers" in result:
        versus = result["vs_transformers"]
        console.print(
            f"against transformers with the same weights: plain {versus['plain']:.2f}x its"
            f" generate, speculative {versus['speculative']:.2f}x its assisted generation"
        )


def _table(console: Console, title: str, first: str, lines: dict[str, dict[str, float]]) -> None:
    table = Table(title=title)
    for column in (first, *next(iter(lines.values()))):
        table.add_column(column, justify="left" if column == first else "right")
    for name, row in lines.items():
        table.add_row(name, *(f"{cost:.2f}" for cost in row.values()))
    console.print(table)
