"""The texts that `specref measure` decodes: the user's own, or held-out ones."""

import argparse
import json

from ...errors import SpecrefError
from ...measure.acceptance.own_decoder import SampleText
from ...measure.acceptance.records import text_of
from ...measure.held_out import held_out_prompts
from ...model.tokenizer import Tokenizer, tokenizer
from ...model.transformer import Transformer
from .models import require_bytes

_PROMPT = 96  # bytes of a held-out prompt


def texts_to_decode(args: argparse.Namespace, target: Transformer) -> list[SampleText]:
    """The texts of --texts, else --count prompts from held-out files.

    Errors:
        SpecrefError names the line that is wrong.
    """
    if args.texts is None:
        require_bytes(target, "measure without --texts")
        prompts = held_out_prompts(args.count, _PROMPT)
        return [SampleText(f"held-out {i}", prompt) for i, prompt in enumerate(prompts, 1)]
    reads = tokenizer(args.target, target.config.vocab_size)
    texts = []
    for number, line in enumerate(text_of(args.texts).splitlines(), 1):
        if line.strip():
            texts.append(_text(line, f"{args.texts}, line {number}", reads))
    if not texts:
        raise SpecrefError(f"{args.texts} has no text: write one JSON object a line")
    longest = max(len(text.prompt) for text in texts)
    room = target.config.max_position_embeddings - args.new_tokens
    if longest > room:
        raise SpecrefError(
            f"a prompt of {args.texts} has {longest} tokens, and the target has room for {room}"
            f" beside {args.new_tokens} new ones: shorten it"
        )
    return texts


def _text(line: str, place: str, reads: Tokenizer) -> SampleText:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise SpecrefError(f"{place} is no JSON ({error}): write one object a line") from None
    prompt = entry.get("prompt") if isinstance(entry, dict) else None
    if not isinstance(prompt, str) or not prompt:
        raise SpecrefError(f'{place}: no prompt: write {{"prompt": "...", "domain": "..."}}')
    domain, name = entry.get("domain"), entry.get("text", place)
    known = None if domain is None else str(domain)
    return SampleText(str(name), reads.encode(prompt), known)
