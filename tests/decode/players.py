"""Drafters for the tests of the loop: the real ones, and adversaries. All are functions of the
text, so a row's draft never depends on the rows beside it."""

import torch
from specref.chance import Chance
from specref.checks import check_judgeable
from specref.data import Draft, Verdict
from specref.draft.base import Drafter, Text
from specref.draft.early_exit import EarlyExitDrafter
from specref.draft.model import ModelDrafter
from specref.draft.ngram import NGramDrafter
from specref.draft.none import NoDrafter
from specref.draft.suffix import SuffixDrafter
from torch import Tensor

from tests.stub import Drawn, Told, greedy_text, own_logits, scramble, tiny


def garbage(text: list[int], most: int, salt: int, vocabulary: int) -> list[int]:
    return [scramble(text, salt + i, vocabulary) for i in range(scramble(text, salt, most + 1))]


def worst(model, text: list[int], most: int) -> list[int]:
    """At every place the token that the target likes least."""
    text, start = list(text), len(text)
    for _ in range(most):
        text.append(int(own_logits(model, text).argmin()))
    return text[start:]


def half_right(model, text: list[int], most: int, salt: int) -> list[int]:
    """The target's greedy text with one token changed somewhere, or none."""
    tokens = greedy_text(model, text, most)
    wrong = scramble(text, salt, most + 1)
    return [(token + (i == wrong)) % model.config.vocab_size for i, token in enumerate(tokens)]


def lopsided(text: list[int], salt: int, vocabulary: int) -> list[float]:
    """A distribution without relation to any model, with zeros in it."""
    weights = [scramble(text, salt + token, 4) for token in range(vocabulary)]
    weights[scramble(text, salt, vocabulary)] += 1
    return [weight / sum(weights) for weight in weights]


def drafters(model, salt: int = 0, draft_seed: int = 7) -> dict:
    """Name -> a new drafter for the transformer `model`."""
    vocabulary = model.config.vocab_size

    def other():
        return tiny(
            seed=draft_seed, vocabulary=vocabulary, layers=1, dtype=model.dtype, device=model.device
        )

    return {
        "nothing": NoDrafter,
        "n-gram": lambda: NGramDrafter(2, 1),
        "suffix": lambda: SuffixDrafter(3, factor=2.0),
        "model": lambda: ModelDrafter(other()),
        "the target itself": lambda: ModelDrafter(model),
        "early exit": lambda: EarlyExitDrafter(model, 1),
        "garbage": lambda: Told(lambda text, most: garbage(text, most, salt, vocabulary)),
        "garbage drawn": lambda: Drawn(
            lambda text: lopsided(text, salt, vocabulary),
            lambda text, most: scramble(text, salt, most + 1),
        ),
        "the worst": lambda: Told(lambda text, most: worst(model, text, most)),
        "half right": lambda: Told(lambda text, most: half_right(model, text, most, salt)),
    }


class Bushy(Drafter):
    """A tree of up to `size` nodes: at random places the target's greedy child, or garbage. Padding
    is nonsense.
    """

    def __init__(self, model, salt: int = 0, size: int = 7):
        self.model, self.salt, self.size = model, salt, size

    def nodes(self, gamma: int) -> int:
        return self.size

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        trees = [
            self._tree(tokens, most)
            for tokens, most in zip(text.tokens, budget.tolist(), strict=True)
        ]
        width = max(len(tree) for tree in trees)
        padded = [tree + [(-1, 99)] * (width - len(tree)) for tree in trees]
        tokens, parents = (
            torch.tensor(padded, dtype=torch.int64).view(len(trees), width, 2).unbind(2)
        )
        return Draft(tokens, parents, None, torch.tensor([len(tree) for tree in trees]))

    def _tree(self, text: list[int], most: int) -> list[tuple[int, int]]:
        """(token, parent) of every node."""
        tree: list[tuple[int, int]] = []
        paths = [list(text)]  # entry 0 is the context, entry i + 1 ends in node i
        for i in range(scramble(text, self.salt, self.size + 1) if most > 0 else 0):
            parent = scramble(text, self.salt + 31 * i, len(paths)) - 1
            above = paths[parent + 1]
            if len(above) - len(text) >= most:
                parent, above = -1, paths[0]
            right = scramble(text, self.salt + 77 * i, 3) > 0
            token = (
                greedy_text(self.model, above, 1)[0]
                if right
                else scramble(above, i, self.model.config.vocab_size)
            )
            tree.append((token, parent))
            paths.append([*above, token])
        return tree


def greedy_tree(draft: Draft, p: Tensor, chance: Chance) -> Verdict:
    """Walk down the tree while a child is the target's choice; of equal children the last, so that
    paths are scattered.
    """
    check_judgeable(draft, p, chain=False)
    batch, count = draft.tokens.shape
    path, accepted, following = torch.zeros(batch, count, dtype=torch.int64), [], []
    for row in range(batch):
        node, depth = -1, 0
        while True:
            choice = int(p[row, node + 1].argmax())
            children = [
                i
                for i in range(int(draft.lengths[row]))
                if draft.parents[row, i] == node and draft.tokens[row, i] == choice
            ]
            if not children:
                break
            node = children[-1]
            path[row, depth] = node
            depth += 1
        accepted.append(depth)
        following.append(choice)
    return Verdict(path, torch.tensor(accepted), torch.tensor(following))
