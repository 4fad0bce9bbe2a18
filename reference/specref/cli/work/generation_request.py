"""From arguments to one generation: a target, a drafter, a rule, parameters and a prompt."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from ...checks import check_prompts
from ...data import SamplingParams
from ...draft.base import Drafter
from ...draft.early_exit import EarlyExitDrafter
from ...draft.medusa import MedusaDrafter, Node, best_first
from ...draft.model import ModelDrafter
from ...draft.mtp import MTPDrafter
from ...draft.ngram import NGramDrafter
from ...draft.none import NoDrafter
from ...draft.suffix import SuffixDrafter
from ...errors import SpecrefError
from ...model.tokenizer import Tokenizer, tokenizer
from ...model.transformer import Transformer
from ...train.corpus import HELD_OUT, standard_library
from .models import load_heads, load_models, load_module, set_threads

_SIBLINGS = 2  # of each level of the default candidate tree
_PROMPT_ARGUMENTS = ("prompt", "prompt_file", "prompt_ids")


@dataclass
class GenerationRequest:
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
        return drafts_branch(self.drafter)

    def text(self, tokens: list[int]) -> str:
        """The text that `tokens` add to the prompt, or their ids where no tokenizer is known."""
        if self.tokenizer is None:
            return " ".join(str(token) for token in tokens)
        # Some tokenizers drop the first space of what they decode, so the prompt goes before it.
        before = self.tokenizer.decode(self.prompt)
        return self.tokenizer.decode(self.prompt + tokens)[len(before) :]

    def quoted(self, token: int) -> str:
        """One token for a person: quoted text in ASCII, or <id> where it is no text on its own."""
        text = None if self.tokenizer is None else self.tokenizer.decode([token])
        return f"<{token}>" if text is None or "\ufffd" in text else ascii(text)

    def unquoted(self, token: int) -> str:
        """As `quoted` without the quotes; a line's end also ends the line."""
        text = self.quoted(token)
        return text if text.startswith("<") else text[1:-1].replace("\\n", "\\n\n")

    def summary(self) -> dict[str, object]:
        """What every result file of a generation says of it."""
        return {
            "rule": self.rule_name,
            "drafter": self.drafter_name,
            "gamma": self.gamma,
            "temperature": self.params.temperature,
            "seed": self.params.seed,
            "prompt": self.prompt,
        }


def make_request(args: argparse.Namespace, default_prompt: bool = False) -> GenerationRequest:
    """Load the models, and check everything that can be checked before they run.

    Args:
        default_prompt: without a prompt, take the beginning of a held-out file of the standard
            library.
    Errors:
        SpecrefError, one line that names the mend.
    """
    _check_prompt_arguments(args, default_prompt)
    rule, temperature = _rule_and_temperature(args)
    set_threads(args)
    target, draft = load_models(args)
    config = target.config
    words = _tokenizer(args, target)
    prompt = _prompt(args, words)
    check_prompts([prompt], config.vocab_size, config.max_position_embeddings)
    params = SamplingParams(
        temperature=temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        repetition_penalty=args.repetition_penalty,
        presence_penalty=args.presence_penalty,
        frequency_penalty=args.frequency_penalty,
        seed=args.seed,
        max_new_tokens=args.max_new_tokens,
        min_tokens=args.min_tokens,
        stop_ids=() if args.ignore_eos else config.eos_token_id,
        stop_sequences=tuple(_stop_sequence(text, words) for text in args.stop),
    )
    name = args.drafter or ("none" if args.gamma == 0 else "model")
    drafter = make_drafter(name, args, target, draft)
    require_tree_rule(rule, drafter)
    return GenerationRequest(target, drafter, name, rule, params, prompt, words, args.gamma)


def make_drafter(
    name: str, args: argparse.Namespace, target: Transformer, draft: Transformer | None
) -> Drafter:
    """The drafter that --drafter names."""
    if args.layers is not None and name != "early-exit":
        raise SpecrefError(
            "--layers belongs to an early exit: add --drafter early-exit, or leave it out"
        )
    if (args.tree_shape is not None or args.tree_draws) and name != "medusa":
        raise SpecrefError(
            "--tree-shape and --tree-draws belong to Medusa heads: add --drafter medusa, or leave"
            " them out"
        )
    if name == "model":
        return _model_drafter(target, draft)
    if name == "medusa":
        return _medusa_drafter(args, target)
    if name == "mtp":
        return MTPDrafter(load_module(args.mtp, target), target)
    if name == "early-exit":
        return EarlyExitDrafter(target, args.layers or max(1, len(target.blocks) // 4))
    return {"ngram": NGramDrafter, "suffix": SuffixDrafter, "none": NoDrafter}[name]()


def _model_drafter(target: Transformer, draft: Transformer | None) -> Drafter:
    if draft is None:
        raise SpecrefError(
            "there is no draft for this target: give --draft DIR, or --drafter ngram,"
            " suffix, early-exit or none"
        )
    if draft.config.vocab_size != target.config.vocab_size:
        raise SpecrefError(
            f"the draft has {draft.config.vocab_size} tokens and the target "
            f"{target.config.vocab_size}: give two checkpoints that share one vocabulary"
        )
    return ModelDrafter(draft)


def _medusa_drafter(args: argparse.Namespace, target: Transformer) -> Drafter:
    heads = load_heads(args.medusa, target)
    if args.tree_shape is None:
        tree = best_first(min(args.gamma, len(heads.block)), _SIBLINGS)
    else:
        tree = parse_tree_shape(args.tree_shape)
    return MedusaDrafter(heads, tree, args.tree_draws)


def parse_tree_shape(text: str) -> list[Node]:
    """'0;1;0,0' -> [(0,), (1,), (0, 0)].

    Errors:
        SpecrefError when it is no list of ranks, or has a node twice.
    """
    try:
        tree = [tuple(map(int, node.split(","))) for node in text.split(";")]
    except ValueError:
        tree = [(-1,)]
    if min(map(min, tree)) < 0 or len(set(tree)) < len(tree):
        raise SpecrefError(
            f"--tree-shape {text!r} is no tree: give each node once, by ranks from 0, as in"
            " '0;1;0,0'"
        )
    return tree


def drafts_branch(drafter: Drafter) -> bool:
    """Whether the drafts are trees that no chain rule can judge."""
    if not isinstance(drafter, MedusaDrafter):
        return False
    return drafter.parents.tolist() != list(range(-1, len(drafter.tree) - 1))


def require_tree_rule(rule: str, drafter: Drafter) -> None:
    """Refuse a chain rule for drafts that have branches."""
    if drafts_branch(drafter) and rule != "tree":
        raise SpecrefError(
            f"the draft has branches and the rule {rule} judges chains: use the tree rule"
        )


def _check_prompt_arguments(args: argparse.Namespace, default_prompt: bool) -> None:
    given = [name for name in _PROMPT_ARGUMENTS if getattr(args, name) is not None]
    if len(given) > 1:
        options = " and ".join("--" + name.replace("_", "-") for name in given)
        raise SpecrefError(f"{options} were given: choose one")
    if not given and not default_prompt:
        raise SpecrefError(
            "there is no prompt: give --prompt TEXT, --prompt-file FILE or --prompt-ids IDS"
        )


def _rule_and_temperature(args: argparse.Namespace) -> tuple[str, float]:
    """The rule, and a temperature that goes with it."""
    if args.rule == "greedy" and args.temperature not in (None, 0):
        raise SpecrefError(
            f"--rule greedy always takes the likeliest token, so --temperature {args.temperature:g}"
            " has no meaning: leave it out, or choose --rule rejection"
        )
    temperature = args.temperature
    if temperature is None:
        temperature = 0.0 if args.rule == "greedy" else 1.0
    if args.rule is not None:
        return args.rule, temperature
    if args.drafter == "medusa" or getattr(args, "tree", False):
        return "tree", temperature
    return "greedy" if temperature == 0 else "rejection", temperature


def _tokenizer(args: argparse.Namespace, target: Transformer) -> Tokenizer | None:
    try:
        return tokenizer(args.target, target.config.vocab_size)
    except SpecrefError:
        if args.prompt_ids is None or args.stop:
            raise
        return None


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
    except ValueError as error:
        raise SpecrefError(f"cannot read {name!r} ({error}): give a text file") from None


def _stop_sequence(text: str, words: Tokenizer | None) -> tuple[int, ...]:
    assert words is not None
    begin = words.encode("")  # a begin-of-text token, where the tokenizer always adds one
    tokens = words.encode(text)
    return tuple(tokens[len(begin) :] if tokens[: len(begin)] == begin else tokens)
