"""Medusa: extra heads on the target's last state guess the tokens after the next one.

Cai et al. 2024 (arXiv:2401.10774). Head k (from 1) sees the state that gave the pending token, not
the pending token itself, and guesses the token k places behind it. The guesses form a tree: node
(i, j) is the j-th guess of head 2 below the i-th of head 1. With certainty (q None), node j takes
the head's j-th best token. Drawn, it takes a token of the head's distribution without those of its
earlier siblings, and that distribution is the q that it reports.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..chance import Chance
from ..data import Draft, SamplingParams, SpecrefError
from ..model.transformer import Transformer
from ..probs import probs
from .base import Drafter, Text, no_draft

# the ranks on the way to a node: (0, 2) is the third guess below the best first guess
Node = tuple[int, ...]


class MedusaHeads(nn.Module):
    """K heads, each of one residual block and one output layer with weights of its own.

    Args:
        hidden: E. vocabulary: V. heads: K.
    """

    def __init__(self, hidden: int, vocabulary: int, heads: int):
        super().__init__()
        # zeros: a head begins as the target's own
        self.block = nn.Parameter(torch.zeros(heads, hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(heads, hidden))
        self.out = nn.Parameter(torch.zeros(heads, hidden, vocabulary))

    @property
    def settings(self) -> dict[str, int]:
        heads, hidden, vocabulary = self.out.shape
        return {"hidden": hidden, "vocabulary": vocabulary, "heads": heads}

    @staticmethod
    def of(target: Transformer, heads: int) -> "MedusaHeads":
        """Fresh heads whose output layers are the target's."""
        fresh = MedusaHeads(target.config.hidden_size, target.config.vocab_size, heads)
        head = target.embedding if target.head is None else target.head
        fresh.out.data.copy_(head.weight.detach().T.expand(heads, -1, -1))
        return fresh

    def forward(self, hidden: Tensor) -> Tensor:
        """Target states [...,E] -> logits [...,K,V]; row k (from 0) is for the token k + 2 places
        after the state's.
        """
        inner = torch.einsum("...e,kef->...kf", hidden, self.block) + self.bias  # [...,K,E]
        return torch.einsum("...ke,kev->...kv", hidden[..., None, :] + F.silu(inner), self.out)


def chain(depth: int) -> list[Node]:
    """The tree without branches: every head's best guess."""
    return [(0,) * length for length in range(1, depth + 1)]


def best_first(depth: int, width: int) -> list[Node]:
    """A chain of best guesses, and beside each link its next-best siblings: `width` nodes on every
    level.
    """
    return [(0,) * level + (rank,) for level in range(depth) for rank in range(width)]


class MedusaDrafter(Drafter):
    """Proposes one tree a cycle.

    Args:
        tree: the nodes to propose, with every node its parent and its earlier siblings.
        draws: draw the guesses from the heads' distributions instead of taking the best ones. Where
            all rows have temperature 0 the best ones are taken all the same.
    Errors:
        SpecrefError for a tree that lacks a node, or that is deeper than the heads.
    """

    reads_states = True

    def __init__(self, heads: MedusaHeads, tree: Sequence[Node], draws: bool = False):
        self.heads, self.draws = heads, draws
        # in order of depth: a depth limit cuts off the end
        self.tree = sorted(tree, key=lambda node: (len(node), node))
        _check_tree(self.tree, len(heads.block))
        index = {node: i for i, node in enumerate(self.tree)}
        parents = [index.get(node[:-1], -1) for node in self.tree]
        self.parents = torch.tensor(parents, dtype=torch.int64)  # [N]
        self.depth = torch.tensor([len(node) - 1 for node in self.tree], dtype=torch.int64)  # [N]
        self.rank = torch.tensor([node[-1] for node in self.tree], dtype=torch.int64)  # [N]

    def nodes(self, gamma: int) -> int:
        return int((self.depth < gamma).sum())

    def begin(self, text: Text, capacity: int) -> None:
        vocabulary = self.heads.out.shape[2]
        if vocabulary != text.vocabulary:
            raise SpecrefError(
                f"the heads have {vocabulary} tokens and the target {text.vocabulary}:"
                " use the heads trained on this target"
            )

    @torch.inference_mode()
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        if text.states is None or text.fresh is None:
            return no_draft(len(budget))
        lengths = (self.depth < budget[:, None]).sum(1)  # [B]
        lengths = torch.where(text.fresh > 0, lengths, 0)  # no state yet, no draft
        count = int(lengths.max())  # N
        if not count:
            return no_draft(len(budget))
        last = (text.fresh - 1).clamp(min=0)  # [B]
        logits = self.heads(text.states[torch.arange(len(last)), last])  # [B,K,V]
        parents = self.parents[:count].expand(len(budget), count).to(logits.device)  # [B,N]
        lengths = lengths.to(logits.device)
        if not self.draws or all(one.temperature == 0 for one in text.params):
            depth, rank = self.depth[:count], self.rank[:count]  # [N]
            best = logits.topk(int(rank.max()) + 1, -1).indices  # [B,K,R]
            return Draft(best[:, depth, rank], parents, None, lengths)
        p = probs(logits, [_without_history(one) for one in text.params])  # [B,K,V]
        tokens, q = self._draw(p, lengths, chance)
        return Draft(tokens, parents, q, lengths)

    def _draw(self, p: Tensor, lengths: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
        """Draw without replacement among siblings.

        Args:
            p: [B,K,V], the distributions of the heads. lengths: [B].
        Returns:
            tokens [B,N], and the distributions that they were drawn from, [B,N,V].
        """
        tokens: list[Tensor] = []  # [B] each
        q: list[Tensor] = []  # [B,V] each
        for node in range(int(lengths.max())):
            new = torch.ones_like(p[:, 0])  # [B,V]: 0 at the tokens of earlier siblings
            for sibling in range(node):
                if self.parents[sibling] == self.parents[node]:
                    new.scatter_(1, tokens[sibling][:, None], 0)
            left = p[:, self.depth[node]] * new  # [B,V]
            mass = left.sum(-1, keepdim=True)  # [B,1]
            left = torch.where(mass > 0, left, new)  # nothing likely is left: any new token
            q.append(left / left.sum(-1, keepdim=True))
            tokens.append(chance.draw(q[-1], lengths > node))
        return torch.stack(tokens, 1), torch.stack(q, 1)


def _check_tree(tree: Sequence[Node], heads: int) -> None:
    """Refuse nodes without their parent or an earlier sibling, and a tree deeper than the heads."""
    nodes = set(tree)
    for node in tree:
        needed = [(*node[:-1], rank) for rank in range(node[-1])]
        if len(node) > 1:
            needed.append(node[:-1])
        if not nodes.issuperset(needed):
            raise SpecrefError(
                f"the tree has node {node} without its parent or an earlier sibling: add them"
            )
    if any(len(node) > heads for node in tree):
        raise SpecrefError(
            f"the tree is deeper than the {heads} heads: cut it, or train more heads"
        )


def _without_history(params: SamplingParams) -> SamplingParams:
    """A guess may ignore penalties: any q is allowed, as long as it is the one reported."""
    return replace(
        params, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0, min_tokens=0
    )
