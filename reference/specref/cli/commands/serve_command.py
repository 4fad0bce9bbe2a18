"""Serve a target with speculation on 127.0.0.1, as OpenAI's /v1/completions and, where the target
has a chat template, /v1/chat/completions: many requests at once, with one paged cache.

Prompts are text or lists of token ids. Each request has its own parameters, seed and stops, and
gets the tokens that it would get alone. The address is printed when the server is ready; the server
runs until it is interrupted or terminated, and tells those that wait. /openapi.json describes what
can be asked.
"""

import argparse
import signal
import sys

from ...errors import SpecrefError
from ..arguments import add_bundled_threads, add_decoder
from ..command import Command

_EXAMPLE = """
  specref serve --port 8000
  specref serve --target my-target --draft my-draft --gamma 4 --rule block --port 0
  curl -s --json '{"prompt": "def area(", "max_tokens": 40, "seed": 1}' \\
    localhost:8000/v1/completions
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add_decoder(parser, "rejection; tree for medusa")
    parser.add_argument(
        "--adaptive",
        action="store_true",
        help="choose the draft length that pays in each batch, gamma at most; a seed then repeats"
        " its tokens only beside the same requests",
    )
    parser.add_argument(
        "--rows", type=int, default=32, help="requests that run at once (default: 32)"
    )
    parser.add_argument(
        "--blocks", type=int, default=1024, help="blocks of the cache (default: 1024)"
    )
    parser.add_argument("--block-size", type=int, default=16, help="tokens a block (default: 16)")
    parser.add_argument(
        "--attention",
        choices=("gather", "flex"),
        default="gather",
        help="gather the pages that a row sees, or read them in place with flex_attention, which is"
        " compiled on CUDA (default: gather)",
    )
    parser.add_argument(
        "--chunk", type=int, default=64, help="prompt tokens that one step reads (default: 64)"
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    add_bundled_threads(parser)


def _run(args: argparse.Namespace) -> int:
    if not 0 <= args.port < 65536:
        raise SpecrefError(f"--port {args.port} is no port: give 0 to 65535")

    from ...model.chat import chat_template
    from ...serve.http_server import CompletionServer
    from ..work.models import set_threads
    from ..work.serving_engine import make_engine, served_tokenizer

    set_threads(args)
    engine = make_engine(args)
    tokenizer, chat = served_tokenizer(args, engine), chat_template(args.target)
    server = CompletionServer(engine, tokenizer, args.port, args.target.name, chat)
    signal.signal(signal.SIGTERM, lambda number, frame: server.stop())
    print(f"serving on http://127.0.0.1:{server.port}/v1/completions", flush=True)
    try:
        server.serve_forever(0.05)  # seconds until a signal is seen
    finally:
        server.server_close()
    if server.engine_thread.failure:
        print(f"specref serve: {server.engine_thread.failure}", file=sys.stderr)
        return 1
    return 0


SERVE_COMMAND = Command(
    "serve", "an OpenAI-compatible server on this machine", __doc__, _EXAMPLE, _add, _run
)
