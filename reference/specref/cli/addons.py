"""Medusa heads and an MTP module for a target, as the commands name them, and the tree that the
heads shall propose.
"""

import argparse
from pathlib import Path

from ..data import SpecrefError
from ..draft.base import Drafter
from ..draft.medusa import MedusaDrafter, MedusaHeads, Node, best_first
from ..draft.mtp import MTPDrafter, MTPModule
from ..model.transformer import Transformer
from .common import BUNDLED

WIDTH = 2  # siblings of each best guess, where no tree is given


def add_addons(parser: argparse.ArgumentParser) -> None:
    """Where the heads and the module are, and which tree is proposed."""
    parser.add_argument(
        "--medusa",
        type=Path,
        default=BUNDLED / "medusa",
        metavar="DIR",
        help="Medusa heads of the target (default: the bundled ones)",
    )
    parser.add_argument(
        "--mtp",
        type=Path,
        default=BUNDLED / "mtp",
        metavar="DIR",
        help="MTP module of the target (default: the bundled one)",
    )
    parser.add_argument(
        "--tree-shape",
        metavar="NODES",
        default=None,
        help=(
            "the tree of medusa, each node by the ranks of the guesses on its way, as in '0;1;0,0' "
            "(default: the best guesses, two to a level)"
        ),
    )
    parser.add_argument(
        "--tree-draws",
        action="store_true",
        help=(
            "medusa draws its guesses from the heads' distributions instead of taking the best ones"
        ),
    )


def load_heads(folder: Path, target: Transformer) -> MedusaHeads:
    """Heads that fit the target.

    Errors:
        SpecrefError: not there, damaged, or trained on a target of another width or vocabulary.
    """
    heads = MedusaHeads.load(folder, target.dtype, target.device)
    found, wanted = (
        tuple(heads.out.shape[1:]),
        (
            target.config.hidden_size,
            target.config.vocab_size,
        ),
    )
    if found != wanted:
        raise SpecrefError(
            f"the heads in {folder} are for a width of {found[0]} and {found[1]} tokens, the target"
            f" has {wanted[0]} and {wanted[1]}: give --medusa DIR with heads trained on this target"
        )
    return heads


def load_module(folder: Path, target: Transformer) -> MTPModule:
    """An MTP module that fits the target; errors as `load_heads`."""
    module = MTPModule.load(folder, target.dtype, target.device)
    if module.config.hidden_size != target.config.hidden_size:
        raise SpecrefError(
            f"the module in {folder} is for a width of {module.config.hidden_size}, the target has "
            f"{target.config.hidden_size}: give --mtp DIR with a module trained on this target"
        )
    return module


def addon_drafter(args: argparse.Namespace, target: Transformer) -> Drafter:
    """The drafter that `--drafter medusa` or `--drafter mtp` names."""
    if args.drafter == "mtp":
        return MTPDrafter(load_module(args.mtp, target), target)
    heads = load_heads(args.medusa, target)
    tree = (
        best_first(min(args.gamma, len(heads.block)), WIDTH)
        if args.tree_shape is None
        else shape(args.tree_shape)
    )
    return MedusaDrafter(heads, tree, args.tree_draws)


def shape(text: str) -> list[Node]:
    """'0;1;0,0' -> [(0,), (1,), (0, 0)].

    Errors:
        SpecrefError when it is no list of ranks.
    """
    try:
        tree = [tuple(int(rank) for rank in node.split(",")) for node in text.split(";")]
    except ValueError:
        tree = [(-1,)]
    if any(rank < 0 for node in tree for rank in node) or len(set(tree)) < len(tree):
        raise SpecrefError(
            f"--tree-shape {text!r} is no tree: give each node once, by ranks from 0, as in"
            " '0;1;0,0'"
        )
    return tree


def branches(drafter: Drafter) -> bool:
    """Whether its drafts are trees that no chain rule can judge."""
    if not isinstance(drafter, MedusaDrafter):
        return False
    return drafter.parents.tolist() != list(range(-1, len(drafter.tree) - 1))
