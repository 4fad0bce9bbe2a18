"""What `generate` and `trace` share: from arguments to a target, a drafter, a rule and one
prompt.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checks import check_prompts
from ..data import SamplingParams, SpecrefError
from ..draft.base import Drafter
from ..draft.early_exit import EarlyExitDrafter
from ..draft.model import ModelDrafter
from ..draft.ngram import NGramDrafter
from ..draft.none import NoDrafter
from ..model.tokenizer import Tokenizer, tokenizer
from ..model.transformer import Transformer
from ..train.corpus import HELD_OUT, standard_library
from ..verify import RULES
from .addons import add_addons, addon_drafter, branches
from .common import BUNDLED, add_json, add_models, add_sampling, load_models, sampling

DRAFTERS = ("model", "ngram", "early-exit", "medusa", "mtp", "none")


@dataclass
class Request:
    """One generation, ready to run."""

    target: Transformer
    drafter: Drafter
    drafter_name: str
    rule_name: str
    params: SamplingParams
    prompt: list[int]
    tokenizer: Tokenizer | None  # None: no tokenizer is known, and the prompt came as ids
    gamma: int

    @property
    def branches(self) -> bool:
        return branches(self.drafter)

    def text(self, tokens: list[int]) -> str:
        """The text that `tokens` add to the prompt, or their ids where no tokenizer is known."""
        if self.tokenizer is None:
            return " ".join(str(token) for token in tokens)
        # Decoded with the prompt before it: some tokenizers drop the first space of whatever they
        # decode.
        return self.tokenizer.decode(self.prompt + tokens)[
            len(self.tokenizer.decode(self.prompt)) :
        ]

    def shown(self, token: int) -> str:
        """One token for a person to read: quoted text in ASCII, or <id> where it is no text on its
        own.
        """
        text = None if self.tokenizer is None else self.tokenizer.decode([token])
        return f"<{token}>" if text is None or "\ufffd" in text else ascii(text)

    def plain(self, token: int) -> str:
        """As `shown` without the quotes, and a line's end ends a line."""
        shown = self.shown(token)
        return shown if shown.startswith("<") else shown[1:-1].replace("\\n", "\\n\n")


def add_decoder(parser: argparse.ArgumentParser, rule: str) -> None:
    """The models, who proposes and who decides; rule: which one by default, in words."""
    add_models(parser)
    parser.add_argument(
        "--drafter",
        choices=DRAFTERS,
        default=None,
        help="who proposes (default: model where there is a draft)",
    )
    parser.add_argument(
        "--layers",
        type=int,
        default=None,
        metavar="N",
        help="layers of an early exit (default: a quarter of the target's)",
    )
    add_addons(parser)
    parser.add_argument(
        "--rule", choices=tuple(RULES), default=None, help=f"who decides (default: {rule})"
    )
    parser.add_argument(
        "--gamma", type=int, default=5, help="tokens proposed a cycle at most (default: 5)"
    )


def add_request(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", metavar="TEXT", help="the text to continue")
    parser.add_argument(
        "--prompt-file", metavar="FILE", help="read the prompt from a file; - is standard input"
    )
    parser.add_argument(
        "--prompt-ids", metavar="IDS", help="the prompt as token ids, with commas or spaces between"
    )
    add_decoder(parser, "rejection; greedy at temperature 0; tree for medusa")
    add_sampling(parser)
    parser.set_defaults(temperature=None)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--presence-penalty", type=float, default=0.0)
    parser.add_argument("--frequency-penalty", type=float, default=0.0)
    parser.add_argument("--min-tokens", type=int, default=0, help="no stop before that many tokens")
    parser.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end after this text, matched token by token; may be given several times",
    )
    parser.add_argument(
        "--ignore-eos", action="store_true", help="go on after an end-of-text token"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=None,
        metavar="N",
        help="processor threads (default: 1 for the bundled target, else torch's own choice)",
    )
    add_json(parser)


def make_request(args: argparse.Namespace, default_prompt: bool = False) -> Request:
    """Everything checked that can be before a model runs.

    Args:
        default_prompt: without a prompt take the beginning of a held-out file of the standard
            library.
    Errors:
        SpecrefError, one line that names the mend.
    """
    given = [
        name for name in ("prompt", "prompt_file", "prompt_ids") if getattr(args, name) is not None
    ]
    if len(given) > 1:
        raise SpecrefError(
            f"{' and '.join('--' + name.replace('_', '-') for name in given)} were given:"
            " choose one"
        )
    if not given and not default_prompt:
        raise SpecrefError(
            "there is no prompt: give --prompt TEXT, --prompt-file FILE or --prompt-ids IDS"
        )
    rule = _rule(args)
    threads = args.threads or (1 if args.target == BUNDLED / "target" else None)
    if threads is not None:
        if threads < 1:
            raise SpecrefError(f"--threads {threads} is not possible: give 1 or more")
        torch.set_num_threads(threads)
    target, draft = load_models(args)
    try:
        words: Tokenizer | None = tokenizer(args.target, target.config.vocab_size)
    except SpecrefError:
        if args.prompt_ids is None or args.stop:
            raise
        words = None
    prompt = _prompt(args, words)
    check_prompts([prompt], target.config.vocab_size, target.config.max_position_embeddings)
    name = args.drafter or ("none" if args.gamma == 0 else "model")
    params = sampling(
        args,
        repetition_penalty=args.repetition_penalty,
        presence_penalty=args.presence_penalty,
        frequency_penalty=args.frequency_penalty,
        min_tokens=args.min_tokens,
        stop_ids=() if args.ignore_eos else target.config.eos_token_id,
        stop_sequences=tuple(_stop(text, words) for text in args.stop),
    )
    drafter = make_drafter(name, args, target, draft)
    if branches(drafter) and rule != "tree":
        raise SpecrefError(
            f"the draft has branches and the rule {rule} judges chains: use the tree rule"
        )
    return Request(target, drafter, name, rule, params, prompt, words, args.gamma)


def _rule(args: argparse.Namespace) -> str:
    """The rule, and a temperature that goes with it; written back to args.temperature."""
    if args.rule == "greedy" and args.temperature not in (None, 0):
        raise SpecrefError(
            f"--rule greedy always takes the likeliest token, so --temperature {args.temperature:g}"
            " means nothing: leave it out, or choose --rule rejection"
        )
    if args.temperature is None:
        args.temperature = 0.0 if args.rule == "greedy" else 1.0
    tree = args.drafter == "medusa" or getattr(args, "tree", False)
    return args.rule or ("tree" if tree else "greedy" if args.temperature == 0 else "rejection")


def make_drafter(
    name: str, args: argparse.Namespace, target: Transformer, draft: Transformer | None
) -> Drafter:
    if args.layers is not None and name != "early-exit":
        raise SpecrefError(
            "--layers belongs to an early exit: add --drafter early-exit, or leave it out"
        )
    if (args.tree_shape is not None or args.tree_draws) and name != "medusa":
        raise SpecrefError(
            "--tree-shape and --tree-draws belong to Medusa heads: add --drafter medusa, or leave"
            " them out"
        )
    if name in ("medusa", "mtp"):
        return addon_drafter(args, target)
    if name == "model":
        if draft is None:
            raise SpecrefError(
                "there is no draft for this target: give --draft DIR, or --drafter ngram,"
                " early-exit or none"
            )
        if draft.config.vocab_size != target.config.vocab_size:
            raise SpecrefError(
                f"the draft has {draft.config.vocab_size} tokens and the target "
                f"{target.config.vocab_size}: give two checkpoints that share one vocabulary"
            )
        return ModelDrafter(draft)
    if name == "early-exit":
        return EarlyExitDrafter(target, args.layers or max(1, len(target.blocks) // 4))
    return NGramDrafter() if name == "ngram" else NoDrafter()


def _prompt(args: argparse.Namespace, words: Tokenizer | None) -> list[int]:
    if args.prompt_ids is not None:
        try:
            return [int(word) for word in args.prompt_ids.replace(",", " ").split()]
        except ValueError:
            raise SpecrefError(
                f"--prompt-ids {args.prompt_ids!r} holds something that is no number: give token"
                " ids, as in 12,7,255"
            ) from None
    assert words is not None
    if args.prompt is not None:
        return words.encode(args.prompt)
    if args.prompt_file is not None:
        return words.encode(_read(args.prompt_file))
    held_out = (standard_library() / HELD_OUT[0]).read_text(encoding="utf-8")
    return words.encode(held_out[: held_out.index("def ") + 4][-96:])


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise SpecrefError(f"cannot read {name} ({error.strerror}): give a text file") from None
    except UnicodeDecodeError:
        raise SpecrefError(f"{name} is not UTF-8 text: convert it first") from None


def _stop(text: str, words: Tokenizer | None) -> tuple[int, ...]:
    assert words is not None
    # a begin-of-text token, where the tokenizer adds one to whatever it encodes
    frame = words.encode("")
    tokens = words.encode(text)
    return tuple(tokens[len(frame) :] if tokens[: len(frame)] == frame else tokens)
