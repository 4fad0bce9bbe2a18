"""The engine of `specref serve`, as its arguments say."""

import argparse

from ...errors import SpecrefError
from ...model.flex import FlexCache
from ...model.paged import PagedCache
from ...model.tokenizer import Tokenizer, tokenizer
from ...serve import ServingEngine, ServingSettings
from ...serve.calibrate import calibrate
from ...verify import RULES
from ..progress import report_progress
from .generation_request import drafts_branch, make_drafter, require_tree_rule
from .models import load_models

_PAGES = {"gather": PagedCache, "flex": FlexCache}


def make_engine(args: argparse.Namespace) -> ServingEngine:
    """The engine that the arguments ask for."""
    target, draft = load_models(args)
    name = args.drafter or ("model" if draft is not None and args.gamma else "none")
    drafter = make_drafter(name, args, target, draft)
    rule = args.rule or ("tree" if drafts_branch(drafter) else "rejection")
    require_tree_rule(rule, drafter)
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
            pages=_PAGES[args.attention],
        ),
    )
    if args.adaptive:
        report_progress("measuring what a step costs ...")
        engine.depth_policy = calibrate(target, drafter, RULES[rule], args.gamma, args.rows)
    return engine


def served_tokenizer(args: argparse.Namespace, engine: ServingEngine) -> Tokenizer | None:
    """The target's tokenizer; None where it has none, and everything is token ids."""
    try:
        return tokenizer(args.target, engine.vocabulary)
    except SpecrefError:
        if (args.target / "tokenizer.json").exists():
            raise
        return None
