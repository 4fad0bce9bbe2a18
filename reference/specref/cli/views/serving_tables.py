"""What `specref bench --serving` prints and draws."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ...measure.serving.bench import SERVING_MODES
from .plotting import load_pyplot, write_plot

_SPECULATIVE = SERVING_MODES[1:]


def show_serving(result: dict[str, Any]) -> None:
    """Throughput by batch, then what fixed depth, memory and the trace show."""
    console = Console()
    console.print(_throughput_table(result))
    crossover = result["crossover_batch"]
    slower = "at no measured batch size" if crossover is None else f"from batch {crossover} on"
    same = "yes" if result["same_tokens"] else "NO"
    lines = [
        f"speculation of fixed depth {result['gamma']} is slower than plain decoding {slower}",
        f"same tokens as each request alone: {same} in float64,"
        f" {result['same_tokens_float32']} in {result['settings']['dtype']}",
        _memory_line(result),
    ]
    for mode in SERVING_MODES:
        lines.append(f"trace, {mode}: {_latency(result['trace'][mode])}")
    for line in lines:
        console.print(line, soft_wrap=True)


def _throughput_table(result: dict[str, Any]) -> Table:
    table = Table(title="tokens a second, by requests at once; x: against plain; p95: of a token")
    speedups = [f"{mode} x" for mode in _SPECULATIVE]
    for head in ("batch", *SERVING_MODES, *speedups, "plain p95", "adaptive p95"):
        table.add_column(head, justify="right")
    for batch in result["batches"]:
        rates = [f"{batch[mode]:.0f}" for mode in SERVING_MODES]
        ratios = [f"{batch[mode] / batch['plain']:.2f}x" for mode in _SPECULATIVE]
        late = [
            _milliseconds(batch["latency"]["plain"]["token_p95"]),
            _milliseconds(batch["latency"]["adaptive"]["token_p95"]),
        ]
        table.add_row(
            str(batch["size"]),
            *rates,
            *ratios,
            *late,
        )
    return table


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _memory_line(result: dict[str, Any]) -> str:
    memory, megabyte = result["memory"], 1e6
    paged = memory["paged"] / megabyte
    contiguous = memory["contiguous"] / megabyte
    needed = memory["needed"] / megabyte
    hits = result["trace"]["prefix_hits"]["speculative"]
    return (
        f"mean memory: {paged:.1f} MB in pages, {contiguous:.1f} MB in one stretch a row,"
        f" {needed:.1f} MB needed;"
        f" prefix tokens found in the cache: {100 * hits:.0f} %"
    )


def _latency(one: dict[str, float]) -> str:
    first = _milliseconds(one["first_token_p50"])
    first_late = _milliseconds(one["first_token_p95"])
    token = _milliseconds(one["token_p50"])
    token_late = _milliseconds(one["token_p95"])
    return f"first token {first} (p95 {first_late}), each later token {token} (p95 {token_late})"


def plot_serving(result: dict[str, Any], path: Path) -> None:
    """Throughput and latency by batch, and memory, as a picture."""
    pyplot = load_pyplot()
    figure, (speed, late, kept) = pyplot.subplots(
        1,
        3,
        figsize=(12, 3.6),
        layout="constrained",
    )
    sizes = [batch["size"] for batch in result["batches"]]
    for mode, style in zip(SERVING_MODES, ("o-", "s--", "^-"), strict=True):
        ratios, p95 = [], []
        for batch in result["batches"]:
            ratios.append(batch[mode] / batch["plain"])
            p95.append(1000 * batch["latency"][mode]["token_p95"])
        speed.plot(sizes, ratios, style, label=mode)
        late.plot(sizes, p95, style, label=mode)
    speed.set_title("tokens a second, against plain")
    late.set_title("ms a token, 95th percentile")
    for axes in (speed, late):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xlabel("requests at once")
        axes.legend()
    for name in ("needed", "paged", "contiguous"):
        kept.bar(name, result["memory"][name] / 1e6, color="tab:gray")
    kept.set_title("cache, MB (mean over the trace)")
    write_plot(figure, path)
