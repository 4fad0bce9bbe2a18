"""Speculative decoding with your own checkpoints: Hugging Face folders of the Llama layout,
safetensors only.

The new text goes to standard output while it is written, and one line about it goes to standard
error. The text has the target's distribution, whatever the draft is; the draft only changes the
speed.
"""

import argparse

from ...outputs import require_writable
from ..arguments import add_request
from ..command import Command

_EXAMPLE = r"""
  specref generate --prompt 'def area(radius):' --echo --max-new-tokens 60
  specref generate --target my-target --draft my-draft --prompt-file notes.txt --top-p 0.9
  specref generate --target my-target --drafter ngram --prompt 'import ' --stop $'\n\n'
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    parser.add_argument("--echo", action="store_true", help="print the prompt before the new text")


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)

    from ..results import write_result
    from ..work.generation_request import make_request
    from ..work.text_printer import print_generation

    request = make_request(args)
    if args.echo and request.tokenizer is not None:
        print(request.tokenizer.decode(request.prompt), end="")
    write_result(args.json, "generate", print_generation(request))
    return 0


GENERATE_COMMAND = Command(
    "generate", "decode with your own checkpoints", __doc__, _EXAMPLE, _add, _run
)
