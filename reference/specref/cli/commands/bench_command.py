"""Measure speculative decoding against plain decoding: interleaved runs, medians, one thread.

First the speed model is calibrated on prompts of its own: acceptance by position, the verify curve
T(k)/T(1), the cost of a draft step. Then the drafter and the draft length that it predicts to be
fastest are measured, and the result says what share of the prediction was reached.

`sampled` is block verification at temperature 1 with that drafter; `sampled tokenwise` is the rule
of Leviathan et al.; `draft model` is the same rule with the small draft model. `sampled bf16` has a
target with bfloat16 weights, computed in float32 or in bfloat16, whichever is predicted to be
faster; `sampled bf16 arithmetic` is computed in bfloat16.

--serving measures many requests at once instead, with and without speculation.
"""

import argparse
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import (
    BUNDLED,
    add_json,
    add_models,
    add_mtp,
    add_runs,
    add_threads,
    require_at_least,
)
from ..command import Command
from ..progress import report_progress

_LONGEST = 15  # draft length
_SERVING_GAMMA = 4
_EXAMPLE = """
  specref bench --json bench.json
  specref bench --rounds 4 --new-tokens 64     (a quick look)
  specref bench --serving --json serving.json --plot serving.png
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add_models(parser)
    add_mtp(parser)
    parser.add_argument(
        "--drafter",
        choices=("draft", "mtp"),
        help="what proposes tokens (default: what is predicted to be faster)",
    )
    add_runs(parser, rounds=48, new_tokens=192)
    parser.add_argument("--gamma", type=int, help="draft length (default: the predicted best)")
    add_threads(parser)
    parser.add_argument(
        "--serving", action="store_true", help="measure many requests at once instead"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="with --serving: draw the result to FILE"
    )
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    require_writable(args.plot)
    require_at_least(args, 1, "rounds", "prompt_length", "new_tokens", "threads")
    if args.gamma is not None and not 1 <= args.gamma <= _LONGEST:
        raise SpecrefError(f"--gamma {args.gamma} is not possible: give 1 to {_LONGEST}")
    return _serving(args) if args.serving else _single(args)


def _single(args: argparse.Namespace) -> int:
    import torch

    from ...measure.speed.bench import Bench, BenchSettings
    from ..results import write_result
    from ..views.bench_tables import show_bench
    from ..work.models import draft_folder, load_pair

    torch.set_num_threads(args.threads)
    target, draft = load_pair(args, "bench")
    own_module = args.mtp != BUNDLED / "mtp"
    bundled_module = args.target == BUNDLED / "target" and args.mtp.exists()
    settings = BenchSettings(
        target=args.target,
        draft=draft_folder(args),
        module=args.mtp if own_module or bundled_module else None,
        drafter=args.drafter,
        gamma=args.gamma,
        longest=_LONGEST,
        rounds=args.rounds,
        prompt_length=args.prompt_length,
        new_tokens=args.new_tokens,
        dtype=args.dtype,
        device=args.device,
    )
    result = Bench(settings, target, draft, report_progress).run()
    result["settings"]["threads"] = args.threads
    write_result(args.json, "bench", result)
    show_bench(result)
    return 0


def _serving(args: argparse.Namespace) -> int:
    import torch

    from ...measure.serving.bench import ServingBench
    from ...model.checkpoint import load
    from ..results import write_result
    from ..views.serving_tables import plot_serving, show_serving
    from ..work.models import draft_folder, load_pair

    torch.set_num_threads(args.threads)
    target, draft = load_pair(args, "bench --serving")
    bench = ServingBench(target, draft, args.gamma or _SERVING_GAMMA, report_progress)
    result = bench.run()
    # In float64 no rounding excuses a difference.
    folder = draft_folder(args)
    assert folder is not None  # as the draft is
    exact_target = load(args.target, torch.float64, args.device)
    exact_draft = load(folder, torch.float64, args.device)
    result["same_tokens"] = bench.same_tokens_as_alone(exact_target, exact_draft)
    result["settings"] |= {"threads": args.threads, "dtype": args.dtype, "device": args.device}
    write_result(args.json, "bench --serving", result)
    show_serving(result)
    if args.plot:
        plot_serving(result, args.plot)
    return 0


BENCH_COMMAND = Command(
    "bench", "measure the speed against plain decoding", __doc__, _EXAMPLE, _add, _run
)
