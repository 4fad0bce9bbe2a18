"""Speculative decoding with your own checkpoints: Hugging Face folders of the Llama layout,
safetensors only.

The new text goes to standard output as it is written, and one line about it to standard error. The
text follows the target's distribution whatever the draft is; the draft only decides how fast it
comes.

Example:
  specref generate --prompt 'def area(radius):' --max-new-tokens 60
  specref generate --target my-target --draft my-draft --prompt-file notes.txt --temperature 0.7
  --top-p 0.9 specref generate --target my-target --drafter ngram --prompt 'import ' --stop
      $'\\n\\n'
"""

import argparse
import sys
import time
from typing import Any

from ..data import Completion
from ..decode import Cycle, decode_loop, new_requests
from ..verify import RULES
from .common import writable, write_result
from .record import Watched
from .request import Request, add_request, make_request


def add(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    parser.add_argument("--echo", action="store_true", help="print the prompt before the new text")


def run(args: argparse.Namespace) -> int:
    writable(args.json)
    request = make_request(args)
    rule = Watched(RULES[request.rule_name])
    if args.echo and request.tokenizer is not None:
        print(request.tokenizer.decode(request.prompt), end="")
    printer = Printer(request)
    began = time.perf_counter()
    requests = new_requests(request.target, [request.prompt], request.params)
    for cycle in decode_loop(request.target, request.drafter, rule, requests, request.gamma):
        printer(cycle)
    done = requests[0].completion()
    seconds = time.perf_counter() - began
    text = printer.close()
    print(summary(done, rule, seconds), file=sys.stderr)
    write_result(args.json, "generate", result(request, done, rule, text) | {"seconds": seconds})
    return 0


class Printer:
    """Prints the text as it grows, and never half a character."""

    def __init__(self, request: Request):
        self.request = request
        self.tokens: list[int] = []
        self.shown = 0

    def __call__(self, cycle: Cycle) -> None:
        self.tokens.extend(cycle.emitted[0])
        self._print(self._text().rstrip("\ufffd"))

    def _text(self) -> str:
        """Without the token that ended it, which is no text."""
        ended = self.tokens and self.tokens[-1] in self.request.params.stop_ids
        return self.request.text(self.tokens[:-1] if ended else self.tokens)

    def _print(self, text: str) -> None:
        if len(text) > self.shown:
            sys.stdout.write(
                text[self.shown :]
                .encode(sys.stdout.encoding or "utf-8", "replace")
                .decode(sys.stdout.encoding or "utf-8")
            )
            sys.stdout.flush()
            self.shown = len(text)

    def close(self) -> str:
        """Print what is left, end the line, and return the whole text."""
        text = self._text()
        self._print(text)
        if not text.endswith("\n"):
            print(flush=True)
        return text


def summary(done: Completion, rule: Watched, seconds: float) -> str:
    """The line on standard error."""
    count = len(done.tokens)
    parts = [
        f"{count} tokens in {done.target_steps} target forwards"
        f" ({count / max(1, done.target_steps):.2f} each)"
    ]
    if done.drafted:
        parts.append(
            f"{rule.accepted} of {rule.judged} judged draft tokens accepted "
            f"({100 * rule.accepted / max(1, rule.judged):.0f} %)"
        )
    return ", ".join([*parts, f"{seconds:.1f} s, finish: {done.finish_reason}"])


def result(request: Request, done: Completion, rule: Watched, text: str) -> dict[str, Any]:
    """What --json writes."""
    return {
        "rule": request.rule_name,
        "drafter": request.drafter_name,
        "gamma": request.gamma,
        "temperature": request.params.temperature,
        "seed": request.params.seed,
        "prompt": request.prompt,
        "tokens": done.tokens,
        "text": text,
        "finish_reason": done.finish_reason,
        "target_forwards": done.target_steps,
        "drafted": done.drafted,
        "judged": rule.judged,
        "accepted": rule.accepted,
        "tokens_per_target_forward": (
            len(done.tokens) / done.target_steps if done.target_steps else None
        ),
        "acceptance": rule.accepted / rule.judged if rule.judged else None,
    }
