"""Serve a target with speculation on 127.0.0.1, as OpenAI's /v1/completions: many requests at once,
in pages of one cache.

Prompts are text or lists of token ids. Each request has its own parameters, seed and stops, and
gets the tokens that it would get alone. It prints its address when it is ready, and runs until it
is interrupted.

Example:
  specref serve --port 8000
  specref serve --target my-target --draft my-draft --gamma 4 --rule block --port 0
  curl -s localhost:8000/v1/completions -d '{"prompt": "def area(", "max_tokens": 40, "seed": 1}'
"""

import argparse

import torch

from ..data import SpecrefError
from ..model.flex import FlexCache
from ..model.paged import PagedCache
from ..model.tokenizer import Tokenizer, tokenizer
from ..serve import ServingEngine, ServingSettings
from ..serve.calibrate import calibrate
from ..serve.http_server import Server
from ..verify import RULES
from .addons import branches
from .common import BUNDLED, load_models, say
from .request import add_decoder, make_drafter

PAGES = {"gather": PagedCache, "flex": FlexCache}


def add(parser: argparse.ArgumentParser) -> None:
    add_decoder(parser, "rejection; tree for medusa")
    parser.add_argument(
        "--adaptive",
        action="store_true",
        help=(
            "draft as deep as it pays in each batch, gamma at most; a "
            "seed then gives the same tokens again only in the same company"
        ),
    )
    add_memory(parser)
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument(
        "--threads",
        type=int,
        default=None,
        metavar="N",
        help="processor threads (default: 1 for the bundled target, else torch's own choice)",
    )


def add_memory(parser: argparse.ArgumentParser) -> None:
    """What the engine may use."""
    parser.add_argument(
        "--rows", type=int, default=32, help="requests that run at once (default: 32)"
    )
    parser.add_argument(
        "--blocks", type=int, default=1024, help="blocks of the cache (default: 1024)"
    )
    parser.add_argument("--block-size", type=int, default=16, help="tokens a block (default: 16)")
    parser.add_argument(
        "--attention",
        choices=PAGES,
        default="gather",
        help=(
            "gather the pages that a row sees, or read "
            "them in place with flex_attention, compiled on CUDA (default: gather)"
        ),
    )
    parser.add_argument(
        "--chunk", type=int, default=64, help="prompt tokens that one step reads (default: 64)"
    )


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.port < 65536:
        raise SpecrefError(f"--port {args.port} is no port: give 0 to 65535")
    threads = args.threads or (1 if args.target == BUNDLED / "target" else None)
    if threads is not None:
        if threads < 1:
            raise SpecrefError(f"--threads {threads} is not possible: give 1 or more")
        torch.set_num_threads(threads)
    engine = make_engine(args)
    server = Server(engine, words(args, engine), args.port, args.target.name)
    print(f"serving on http://127.0.0.1:{server.port}/v1/completions", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()
    return 0


def make_engine(args: argparse.Namespace) -> ServingEngine:
    """The engine that the arguments ask for."""
    target, draft = load_models(args)
    name = args.drafter or ("model" if draft is not None and args.gamma else "none")
    drafter = make_drafter(name, args, target, draft)
    rule = args.rule or ("tree" if branches(drafter) else "rejection")
    if branches(drafter) and rule != "tree":
        raise SpecrefError(
            f"the draft has branches and the rule {rule} judges chains: use --rule tree"
        )
    engine = ServingEngine(
        target,
        drafter,
        RULES[rule],
        ServingSettings(
            gamma=args.gamma,
            rows=args.rows,
            blocks=args.blocks,
            block_size=args.block_size,
            chunk=args.chunk,
            pages=PAGES[args.attention],
        ),
    )
    if args.adaptive:
        say("measuring what a step costs ...")
        engine.depth_policy = calibrate(target, drafter, RULES[rule], args.gamma, args.rows)
    return engine


def words(args: argparse.Namespace, engine: ServingEngine) -> Tokenizer | None:
    """The target's tokenizer; None where it has none, and everything is token ids."""
    try:
        return tokenizer(args.target, engine.vocabulary)
    except SpecrefError:
        if (args.target / "tokenizer.json").exists():
            raise
        return None
