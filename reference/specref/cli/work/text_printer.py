"""Generate text, and print it while it grows."""

import sys
import time
from typing import Any

from ...data import Completion
from ...decode import Cycle, decode_loop, new_requests
from ...verify import RULES
from .generation_request import GenerationRequest
from .recording import WatchedRule


class TextPrinter:
    """Prints the new text, and never half a character."""

    def __init__(self, request: GenerationRequest):
        self.request = request
        self.tokens: list[int] = []
        self.printed = 0

    def __call__(self, cycle: Cycle) -> None:
        self.tokens.extend(cycle.emitted[0])
        self._print(self._text().rstrip("\ufffd"))

    def _text(self) -> str:
        """Without the token that ended it, which is no text."""
        ended = self.tokens and self.tokens[-1] in self.request.params.stop_ids
        return self.request.text(self.tokens[:-1] if ended else self.tokens)

    def _print(self, text: str) -> None:
        if len(text) <= self.printed:
            return
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text[self.printed :].encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
        self.printed = len(text)

    def close(self) -> str:
        """Print what is left, end the line, and return the whole text."""
        text = self._text()
        self._print(text)
        if not text.endswith("\n"):
            print(flush=True)
        return text


def print_generation(request: GenerationRequest) -> dict[str, Any]:
    """Print the text to standard output and one line about it to standard error; return what
    `specref generate --json` writes.
    """
    rule, printer = WatchedRule(RULES[request.rule_name]), TextPrinter(request)
    began = time.perf_counter()
    requests = new_requests(request.target, [request.prompt], request.params)
    for cycle in decode_loop(request.target, request.drafter, rule, requests, request.gamma):
        printer(cycle)
    done = requests[0].completion()
    seconds = time.perf_counter() - began
    text = printer.close()
    print(_summary(done, rule, seconds), file=sys.stderr)
    return request.summary() | {
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
        "seconds": seconds,
    }


def _summary(done: Completion, rule: WatchedRule, seconds: float) -> str:
    count = len(done.tokens)
    each = count / max(1, done.target_steps)
    parts = [f"{count} tokens in {done.target_steps} target forwards ({each:.2f} per forward)"]
    if done.drafted:
        percent = 100 * rule.accepted / max(1, rule.judged)
        parts.append(
            f"{rule.accepted} of {rule.judged} judged draft tokens accepted ({percent:.0f} %)"
        )
    return ", ".join([*parts, f"{seconds:.1f} s, finish: {done.finish_reason}"])
