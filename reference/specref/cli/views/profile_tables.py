"""What `specref profile medusa` and `specref profile lookup` print."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_profile(result: dict[str, Any]) -> None:
    """The heads, the speed of every method, and where a cycle's time goes."""
    console = Console()
    console.print(_heads_table(result["heads"]))
    share = 100 * result["head_bytes"] / result["target_bytes"]
    console.print(
        f"the heads add {result['head_parameters']:,} parameters, {result['head_bytes']:,} bytes in"
        f" float16: {share:.1f} % of the target (draft model {result['draft_bytes']:,},"
        f" MTP {result['mtp_bytes']:,})"
    )
    console.print(_speed_table(result["methods"]))
    console.print(_cycle_table(result["methods"]))


def show_lookups(result: dict[str, Any]) -> None:
    """Tokens a step of each drafter and text; on held-out text also what was drafted."""
    drafters = result["drafters"]
    worlds = list(next(iter(drafters.values())))
    table = _method_table(
        f"tokens a step, draft length {result['settings']['gamma']}",
        *(world.replace(" ", "\n") for world in worlds),
        "drafted\na step",
    )
    for name, rows in drafters.items():
        last = rows[worlds[-1]]
        steps = [f"{rows[world]['tokens_per_step']:.2f}" for world in worlds]
        table.add_row(name, *steps, f"{last['drafted_per_step']:.2f}")
    Console().print(table)


def _heads_table(heads: list[dict[str, Any]]) -> Table:
    table = Table(title="heads: accuracy on held-out text")
    for column in ("head", "top-1", "95 % interval", "top-5"):
        table.add_column(column, justify="right")
    for number, head in enumerate(heads, 1):
        low, high = head["interval"]
        table.add_row(
            str(number),
            f"{head['top1']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{head['top5']:.3f}",
        )
    return table


def _method_table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column("method", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _speed_table(methods: dict[str, dict[str, Any]]) -> Table:
    columns = ("speedup", "decode\nonly", "estimate", "tokens\nper cycle", "depth", "nodes")
    title = "speedup against the best plain loop, temperature 1, lossless"
    table = _method_table(title, *columns)
    for name, row in methods.items():
        table.add_row(
            name,
            f"{row['speedup']:.2f}x",
            f"{row['speedup_decode_only']:.2f}x",
            f"{row['predicted']:.2f}x",
            f"{row['tokens_per_cycle']:.2f}",
            str(row["gamma"]),
            str(row["nodes"]),
        )
    return table


def _cycle_table(methods: dict[str, dict[str, Any]]) -> Table:
    columns = ("drafting", "target's\nforward", "rule and\nthe rest", "acceptance")
    table = _method_table("a cycle: time in plain steps, and acceptance by depth", *columns)
    for name, row in methods.items():
        cycle, acceptance = row["cycle"], row["acceptance_by_depth"][:5]
        table.add_row(
            name,
            f"{cycle['draft']:.2f}",
            f"{cycle['forward']:.2f}",
            f"{cycle['rest']:.2f}",
            " ".join(f"{rate:.2f}" for rate in acceptance),
        )
    return table
