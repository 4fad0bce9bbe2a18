"""What `specref bench` prints."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_ARITHMETIC = {"bf16 weights": "float32", "bf16 arithmetic": "bfloat16"}
_COLUMNS = ("method", "total", "95 % interval", "decode only", "tokens per target forward")


def show_bench(result: dict[str, Any]) -> None:
    """The speedups, then what they are made of."""
    console = Console()
    console.print(_speedup_table(result))
    curve = "  ".join(f"{k}: {v:.2f}" for k, v in result["verify_curve"].items())
    console.print("a plain step is one forward of the target over 1 token, and one draw")
    console.print(f"verify curve, T(k)/T(1) of a forward over k tokens:  {curve}")
    for name, guess in result["drafters"].items():
        console.print(_describe_guess(name, guess))
    if result.get("bf16"):
        console.print(
            f"sampled bf16: bfloat16 weights, computed in {_ARITHMETIC[result['bf16']]}, which is"
            " predicted to be faster here"
        )
    limits = []
    for name, limit in result["at_most"].items():
        limits.append(f"{name.replace('_', ' ')} {limit:.2f}x")
    console.print(
        "if drafts and bookkeeping cost nothing, the target's forward would allow "
        + ", ".join(limits)
    )
    if "block" in result:
        _print_costs(
            console,
            "one block of the target, in units of its float32 work on one token",
            "type and tokens",
            result["block"],
        )
        _print_costs(
            console,
            "a block of a wider model, in units of its own float32 work on one token",
            "hidden size",
            result["widths"],
        )
    console.print(
        f"the decode-only speedup of `sampled` is {100 * result['share_of_prediction']:.0f} % of"
        " the prediction"
    )
    if "vs_transformers" in result:
        versus = result["vs_transformers"]
        console.print(
            f"against transformers with the same weights: plain {versus['plain']:.2f}x its"
            f" generate, speculative {versus['speculative']:.2f}x its assisted generation"
        )


def _speedup_table(result: dict[str, Any]) -> Table:
    table = Table(
        title="speedup against the best plain float32 loop, median over the prompts",
        caption=f"drafter {result['drafter']}, draft length {result['gamma']}; `specref bench"
        " --help` says what each method is",
    )
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, value in result["speedup"].items():
        low, high = result["interval"][name]
        table.add_row(
            name.replace("_", " "),
            f"{value:.2f}x",
            f"{low:.2f} to {high:.2f}",
            f"{result['speedup_decode_only'][name]:.2f}x",
            f"{result['tokens_per_step'][name]:.2f}",
        )
    return table


def _describe_guess(name: str, guess: Mapping[str, Any]) -> str:
    rates = " ".join(f"{rate:.2f}" for rate in guess["by_position"][: guess["gamma"]])
    said = (
        f"{name}: a draft step costs {guess['cost']:.3f} plain steps, acceptance by position"
        f" {rates}; predicted {guess['predicted']:.2f}x at draft length {guess['gamma']}"
    )
    if guess["sure"]:
        said += f", a draft ends below probability {guess['sure']:g}"
    return said


def _print_costs(
    console: Console, title: str, first: str, lines: Mapping[str, Mapping[str, float]]
) -> None:
    table = Table(title=title)
    for column in (first, *next(iter(lines.values()))):
        table.add_column(column, justify="left" if column == first else "right")
    for name, row in lines.items():
        table.add_row(name, *(f"{cost:.2f}" for cost in row.values()))
    console.print(table)
