"""Arguments that several commands share, each with one meaning, and checks of their values.

Nothing here imports PyTorch, so the names of rules and levels are written out; tests hold them
equal to what they name.
"""

import argparse
from pathlib import Path

from ..errors import SpecrefError

BUNDLED = Path(__file__).parents[1] / "checkpoints"
DRAFTERS = ("model", "ngram", "suffix", "early-exit", "medusa", "mtp", "none")
RULE_NAMES = ("greedy", "rejection", "block", "matching", "tree")
ZOO_LEVELS = ("kernel", "scheduler", "engine", "http", "exact")
DTYPES = ("float32", "bfloat16", "float16", "float64")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")


def add_models(parser: argparse.ArgumentParser) -> None:
    """The target, the draft, and how they are computed."""
    parser.add_argument(
        "--target",
        type=Path,
        default=BUNDLED / "target",
        metavar="DIR",
        help="checkpoint of the target, Hugging Face Llama layout (default: the bundled one)",
    )
    parser.add_argument(
        "--draft",
        type=Path,
        metavar="DIR",
        help="checkpoint of the draft (default: the bundled one for the bundled target)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="both models are computed in this type, whatever type they are stored in"
        " (default: float32)",
    )


def add_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--medusa",
        type=Path,
        default=BUNDLED / "medusa",
        metavar="DIR",
        help="Medusa heads of the target (default: the bundled ones)",
    )


def add_mtp(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mtp",
        type=Path,
        default=BUNDLED / "mtp",
        metavar="DIR",
        help="MTP module of the target (default: the bundled one)",
    )


def add_decoder(parser: argparse.ArgumentParser, rule: str) -> None:
    """The models, the drafter and the rule; rule: the default one, in words."""
    add_models(parser)
    parser.add_argument(
        "--drafter",
        choices=DRAFTERS,
        help="what proposes tokens (default: model, where there is a draft)",
    )
    parser.add_argument(
        "--layers",
        type=int,
        metavar="N",
        help="layers of an early exit (default: a quarter of the target's)",
    )
    add_heads(parser)
    add_mtp(parser)
    parser.add_argument(
        "--tree-shape",
        metavar="NODES",
        help="the candidate tree of medusa: each node by the ranks on its path, as in '0;1;0,0'"
        " (default: the best guesses, two to a level)",
    )
    parser.add_argument(
        "--tree-draws",
        action="store_true",
        help="medusa draws its guesses from the heads' distributions instead of taking the best",
    )
    parser.add_argument(
        "--rule", choices=RULE_NAMES, help=f"what accepts or rejects tokens (default: {rule})"
    )
    parser.add_argument(
        "--gamma", type=int, default=5, help="most tokens proposed a cycle (default: 5)"
    )


def add_request(parser: argparse.ArgumentParser) -> None:
    """One generation: its prompt, decoder, sampling parameters and result."""
    parser.add_argument("--prompt", metavar="TEXT", help="the text to continue")
    parser.add_argument(
        "--prompt-file", metavar="FILE", help="read the prompt from FILE; - is standard input"
    )
    parser.add_argument(
        "--prompt-ids", metavar="IDS", help="the prompt as token ids, with commas or spaces between"
    )
    add_decoder(parser, "rejection; greedy at temperature 0; tree for medusa")
    _add_sampling(parser)
    add_bundled_threads(parser)
    add_json(parser)


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: 1)")
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--min-p", type=float, default=0.0)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--presence-penalty", type=float, default=0.0)
    parser.add_argument("--frequency-penalty", type=float, default=0.0)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--min-tokens", type=int, default=0, help="no stop before that many tokens")
    parser.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end after this text, matched token by token; may be repeated",
    )
    parser.add_argument(
        "--ignore-eos", action="store_true", help="continue after an end-of-text token"
    )
    parser.add_argument("--seed", type=int, default=0)


def add_threads(parser: argparse.ArgumentParser, default: int = 1) -> None:
    parser.add_argument(
        "--threads", type=int, default=default, help=f"processor threads (default: {default})"
    )


def add_bundled_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="processor threads (default: 1 for the bundled target, else PyTorch's own choice)",
    )


def add_runs(parser: argparse.ArgumentParser, rounds: int, new_tokens: int) -> None:
    """The prompts of a timed comparison."""
    parser.add_argument(
        "--rounds",
        type=int,
        default=rounds,
        help=f"prompts that every method decodes (default: {rounds})",
    )
    parser.add_argument(
        "--prompt-length", type=int, default=96, help="bytes of each prompt (default: 96)"
    )
    parser.add_argument(
        "--new-tokens",
        type=int,
        default=new_tokens,
        help=f"tokens to write after each prompt (default: {new_tokens})",
    )


def require_at_least(args: argparse.Namespace, least: int, *names: str) -> None:
    """Refuse a smaller value of any of these arguments; None passes."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < least:
            option = "--" + name.replace("_", "-")
            raise SpecrefError(f"{option} {value} is not possible: give {least} or more")
