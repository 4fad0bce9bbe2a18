"""`specref bench --serving`: many requests at once, with and without speculation, in pages and in
one stretch a row.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..data import SamplingParams, SpecrefError
from ..decode import generate
from ..draft.base import Drafter
from ..draft.model import ModelDrafter
from ..draft.none import NoDrafter
from ..measure.arrivals import Arrival, arrivals
from ..measure.serving import Served, memory, serve
from ..measure.timing import WorkClock
from ..model.checkpoint import load
from ..model.transformer import Transformer
from ..serve import ServingEngine, ServingSettings
from ..serve.calibrate import calibrate
from ..serve.depth_policy import DepthPolicy
from ..verify import RULES
from .common import BUNDLED, bytes_only, load_models, say, writable, write_result

SIZES = (1, 2, 4, 8, 16, 32, 64)
WAYS = ("plain", "speculative", "adaptive")
SAMPLED = SamplingParams()
GAMMA = 4
BLOCKS, SIZE, CHUNK = 2048, 16, 64


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    writable(args.plot)
    torch.set_num_threads(args.threads)
    target, draft = load_models(args)
    if draft is None:
        raise SpecrefError("a bench needs a draft: give --draft DIR")
    bytes_only(target, "bench --serving")
    gamma = args.gamma or GAMMA
    say("measuring what a step costs ...")
    pace = calibrate(target, ModelDrafter(draft), RULES["rejection"], gamma, max(SIZES))
    engines = Engines(target, draft, gamma, pace)
    batches = [_batch(engines, size) for size in SIZES]
    replayed = {way: replay(engines, way, batches) for way in WAYS}
    result = {
        "batches": batches,
        "crossover_batch": crossover(batches),
        "gamma": gamma,
        "same_tokens": same_tokens(args, gamma),
        "same_tokens_float32": same_texts(replayed, engines),
        "memory": memory(replayed["speculative"][0], token_bytes(target)),
        "trace": _trace(replayed),
        "settings": {
            "block_size": SIZE,
            "chunk": CHUNK,
            "temperature": 1.0,
            "threads": args.threads,
            "clock": WorkClock(target.device).name,
            "dtype": args.dtype,
            "device": args.device,
            "rule": "rejection",
        },
    }
    write_result(args.json, "bench --serving", result)
    show(result)
    if args.plot:
        plot(result, args.plot)
    return 0


def _trace(replayed: dict[str, tuple[Served, ServingEngine, float]]) -> dict[str, Any]:
    """The recorded trace, and what each way made of it."""
    return {
        "requests": TRACE,
        "rows": ROWS,
        "seconds_between": replayed["plain"][2],
        "arrivals": [[one.at, len(one.prompt), one.new_tokens] for one in arrivals(TRACE)],
        **{way: run.summary() for way, (run, _, _) in replayed.items()},
        "prefix_hits": {
            way: engine.hits / engine.looked for way, (_, engine, _) in replayed.items()
        },
        "preemptions": {way: engine.preemptions for way, (_, engine, _) in replayed.items()},
    }


class Engines:
    """New engines of one target, by way."""

    def __init__(self, target: Transformer, draft: Transformer, gamma: int, pace: DepthPolicy):
        self.target, self.draft, self.gamma, self.pace = target, draft, gamma, pace

    def make(self, way: str, rows: int) -> ServingEngine:
        drafter: Drafter = NoDrafter() if way == "plain" else ModelDrafter(self.draft)
        return ServingEngine(
            self.target,
            drafter,
            RULES["rejection"],
            ServingSettings(
                gamma=0 if way == "plain" else self.gamma,
                rows=rows,
                blocks=BLOCKS,
                block_size=SIZE,
                chunk=CHUNK,
                depth_policy=self.pace if way == "adaptive" else None,
            ),
        )


def _batch(engines: Engines, size: int) -> dict[str, Any]:
    """One batch size: a closed loop of that many clients, each way on the same requests."""
    work = arrivals(max(4, size + size // 2), seed=size)
    runs = {way: serve(engines.make(way, size), work, SAMPLED, clients=size) for way in WAYS}
    say(
        f"batch {size}: " + ", ".join(f"{way} {run.rate:.0f} tokens/s" for way, run in runs.items())
    )
    return {
        "size": size,
        **{way: run.rate for way, run in runs.items()},
        "latency": {way: run.summary() for way, run in runs.items()},
    }


def crossover(batches: list[dict[str, Any]]) -> int | None:
    """The smallest batch from which on speculation of fixed depth is slower than plain decoding;
    None: at none of them.
    """
    result = None
    for batch in reversed(batches):
        if batch["speculative"] >= batch["plain"]:
            break
        result = batch["size"]
    return result


TRACE, ROWS = 48, 16


def replay(
    engines: Engines, way: str, batches: list[dict[str, Any]]
) -> tuple[Served, ServingEngine, float]:
    """The trace in time, at three quarters of what plain decoding can serve with so many rows."""
    work = arrivals(TRACE)
    rate = next(batch["plain"] for batch in batches if batch["size"] == ROWS)
    between = sum(one.new_tokens for one in work) / len(work) / (0.75 * rate)
    longest = max(len(one.prompt) + one.new_tokens for one in work) + engines.gamma + 1
    engine = engines.make(way, ROWS)
    run = serve(engine, work, SAMPLED, between=between, longest=longest)
    say(f"trace, {way}: {run.seconds:.0f} s")
    return run, engine, between


def same_texts(replayed: dict[str, tuple[Served, ServingEngine, float]], engines: Engines) -> str:
    """How many of the trace's texts are those that `decode.generate` writes alone, in the type that
    was measured.
    """
    work: list[Arrival] = arrivals(TRACE)[:8]
    run = replayed["speculative"][0]
    equal = sum(
        alone(engines.target, engines.draft, one, number, engines.gamma) == run.texts[number]
        for number, one in enumerate(work)
    )
    return f"{equal} of {len(work)}"


def alone(
    target: Transformer, draft: Transformer, one: Arrival, seed: int, gamma: int
) -> list[int]:
    params = SamplingParams(seed=seed, max_new_tokens=one.new_tokens)
    return generate(
        target, ModelDrafter(draft), RULES["rejection"], [one.prompt], params, gamma=gamma
    )[0].tokens


def same_tokens(args: argparse.Namespace, gamma: int) -> bool:
    """Whether eight requests served together in float64 get the tokens that each gets alone."""
    folder = args.draft or BUNDLED / "draft"
    target, draft = (
        load(args.target, torch.float64, args.device),
        load(folder, torch.float64, args.device),
    )
    work = arrivals(8, seed=1)
    engine = ServingEngine(
        target,
        ModelDrafter(draft),
        RULES["rejection"],
        ServingSettings(gamma=gamma, rows=4, blocks=48, block_size=SIZE, chunk=32),
    )
    run = serve(engine, work, SAMPLED, clients=8)
    return all(
        alone(target, draft, one, number, gamma) == run.texts[number]
        for number, one in enumerate(work)
    )


def token_bytes(target: Transformer) -> int:
    """Keys and values of one token in all layers."""
    config = target.config
    return (
        2
        * config.num_hidden_layers
        * config.num_key_value_heads
        * config.head_dim
        * torch.finfo(target.dtype).bits
        // 8
    )


def show(result: dict[str, Any]) -> None:
    table = Table(title="tokens a second by requests at once")
    for head in ("batch", *WAYS, "speculative", "adaptive", "plain p95", "adaptive p95"):
        table.add_column(head, justify="right")
    for batch in result["batches"]:
        late = {way: f"{1000 * batch['latency'][way]['token_p95']:.0f} ms" for way in WAYS}
        table.add_row(
            str(batch["size"]),
            *(f"{batch[way]:.0f}" for way in WAYS),
            *(f"{batch[way] / batch['plain']:.2f}×" for way in WAYS[1:]),
            late["plain"],
            late["adaptive"],
        )
    console = Console(width=None)
    console.print(table)
    kept = result["memory"]
    trace = result["trace"]
    crossover = result["crossover_batch"]
    slower = (
        "at no batch that was measured" if crossover is None else f"from a batch of {crossover} on"
    )
    console.print(
        f"speculation of fixed depth {result['gamma']} is slower {slower}; "
        f"same tokens as alone: {'yes' if result['same_tokens'] else 'NO'} in float64, "
        f"{result['same_tokens_float32']} in {result['settings']['dtype']}",
        soft_wrap=True,
    )
    console.print(
        f"memory, mean: {kept['paged'] / 1e6:.1f} MB in pages, {kept['contiguous'] / 1e6:.1f} MB in"
        f" one stretch a row, {kept['needed'] / 1e6:.1f} MB needed; prefix tokens found:"
        f" {100 * trace['prefix_hits']['speculative']:.0f} %",
        soft_wrap=True,
    )
    for way in WAYS:
        one = trace[way]
        console.print(
            f"trace, {way}: first token {1000 * one['first_token_p50']:.0f} ms (p95 "
            f"{1000 * one['first_token_p95']:.0f}), a token {1000 * one['token_p50']:.0f} ms (p95 "
            f"{1000 * one['token_p95']:.0f})",
            soft_wrap=True,
        )


def plot(result: dict[str, Any], path: Path) -> None:
    """Throughput and latency by batch, and memory, as a picture."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise SpecrefError("--plot needs matplotlib: pip install 'specref[plot]'") from None
    sizes = [batch["size"] for batch in result["batches"]]
    figure, (speed, late, kept) = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for way, style in zip(WAYS, ("o-", "s--", "^-"), strict=True):
        speed.plot(
            sizes, [batch[way] / batch["plain"] for batch in result["batches"]], style, label=way
        )
        late.plot(
            sizes,
            [1000 * batch["latency"][way]["token_p95"] for batch in result["batches"]],
            style,
            label=way,
        )
    for axes, title in (
        (speed, "tokens a second against plain"),
        (late, "ms a token, 95 of 100 below"),
    ):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xlabel("requests at once")
        axes.set_title(title)
        axes.legend()
    names = ["needed", "paged", "contiguous"]
    kept.bar(names, [result["memory"][name] / 1e6 for name in names], color="tab:gray")
    kept.set_title("cache, MB (mean over the trace)")
    figure.savefig(path)
    pyplot.close(figure)
