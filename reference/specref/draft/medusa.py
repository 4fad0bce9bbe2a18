"""Medusa: extra heads on the target's last state guess the tokens after the next one; a cycle costs
one target forward.

Cai et al. 2024 (arXiv:2401.10774). Head k sees the state that gave the pending token, not the
pending token itself, and
guesses the token k places behind it. The guesses form a tree: node (i, j) is the j-th guess of head
2 below the i-th of head 1. With certainty (q None) node j takes the head's j-th best token; drawn,
it takes a token of the head's distribution without those of its earlier siblings, and that is the q
it reports.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..chance import Chance
from ..data import Draft, SamplingParams, SpecrefError
from ..model.auxiliary import load_addon
from ..model.transformer import Transformer
from ..probs import probs
from ..train.distillation import Teacher
from .base import Drafter, Text

# the ranks on the way to a node: (0, 2) is the third guess below the best first guess
Node = tuple[int, ...]


class MedusaHeads(nn.Module):
    """K heads of one residual block and one output layer each, every one with its own weights.

    Args:
        hidden: E. vocabulary: V. heads: K.
    """

    def __init__(self, hidden: int, vocabulary: int, heads: int):
        super().__init__()
        # zero: a head begins as the target's own
        self.block = nn.Parameter(torch.zeros(heads, hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(heads, hidden))
        self.out = nn.Parameter(torch.zeros(heads, hidden, vocabulary))

    @property
    def settings(self) -> dict[str, int]:
        heads, hidden, vocabulary = self.out.shape
        return {"hidden": hidden, "vocabulary": vocabulary, "heads": heads}

    @staticmethod
    def load(
        folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> "MedusaHeads":
        """Heads that `specref train medusa` wrote."""
        return load_addon(folder, "medusa", lambda settings: MedusaHeads(**settings), dtype, device)

    @staticmethod
    def of(target: Transformer, heads: int) -> "MedusaHeads":
        """Fresh heads whose output layers are the target's."""
        fresh = MedusaHeads(target.config.hidden_size, target.config.vocab_size, heads)
        weight = target.embedding.weight.T if target.head is None else target.head.weight
        fresh.out.data.copy_(weight.detach().expand(heads, -1, -1))
        return fresh

    def forward(self, hidden: Tensor) -> Tensor:
        """Target states [..., E] -> logits [..., K, V]; head k (from 0) is for the token k + 2
        places after the state's.
        """
        inner = torch.einsum("...e,kef->...kf", hidden, self.block) + self.bias
        return torch.einsum("...ke,kev->...kv", hidden[..., None, :] + F.silu(inner), self.out)


def medusa_loss(heads: MedusaHeads, target: Transformer | Teacher) -> Callable[[Tensor], Tensor]:
    """Sum over heads of KL(p || head) with p the target's own distribution k + 1 places further on;
    rows [B,C+1].
    """
    count = len(heads.block)

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            output = target(rows[:, :-1])
            p = output.logits.float().softmax(-1)
        logq = heads(output.hidden).float().log_softmax(-1)  # [B,C,K,V]
        parts = []
        for k in range(count):
            want, got = p[:, k + 1 :], logq[:, : -k - 1, k]
            parts.append((torch.xlogy(want, want) - want * got).sum(-1).mean())
        return torch.stack(parts).sum() / count

    return loss


def chain(depth: int) -> list[Node]:
    """The tree without branches: every head's best guess."""
    return [(0,) * length for length in range(1, depth + 1)]


def best_first(depth: int, width: int) -> list[Node]:
    """A chain of best guesses with the next-best siblings of each link: width nodes on every
    level.
    """
    return [(0,) * level + (rank,) for level in range(depth) for rank in range(width)]


class MedusaDrafter(Drafter):
    """Proposes one tree a cycle.

    Args:
        tree: the nodes to propose, closed under prefixes and earlier siblings. draws: draw the
            guesses from the heads' distributions instead of taking the best ones; rows at
                temperature 0 take the best ones all the same.
    """

    reads_states = True

    def __init__(self, heads: MedusaHeads, tree: Sequence[Node], draws: bool = False):
        self.heads, self.draws = heads, draws
        # a depth limit then cuts off the end
        self.tree = sorted(tree, key=lambda node: (len(node), node))
        index = {node: i for i, node in enumerate(self.tree)}
        for node in self.tree:
            siblings = [(*node[:-1], rank) for rank in range(node[-1])]
            if any(s not in index for s in siblings) or (len(node) > 1 and node[:-1] not in index):
                raise SpecrefError(
                    f"the tree has node {node} without its parent or an earlier sibling: add them"
                )
        if max((len(node) for node in self.tree), default=0) > len(heads.block):
            raise SpecrefError(
                f"the tree is deeper than the {len(heads.block)} heads: cut it, or train more heads"
            )
        self.parents = torch.tensor(
            [index.get(node[:-1], -1) for node in self.tree], dtype=torch.int64
        )
        self.depth = torch.tensor([len(node) - 1 for node in self.tree], dtype=torch.int64)
        self.rank = torch.tensor([node[-1] for node in self.tree], dtype=torch.int64)

    def nodes(self, gamma: int) -> int:
        return int((self.depth < gamma).sum())

    def begin(self, text: Text, capacity: int) -> None:
        if self.heads.out.shape[2] != text.vocabulary:
            raise SpecrefError(
                f"the heads have {self.heads.out.shape[2]} tokens and the target {text.vocabulary}:"
                " use the heads trained on this target"
            )

    @torch.inference_mode()
    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        lengths = (self.depth < budget[:, None]).sum(1)  # [B]
        if text.fresh is not None:
            lengths = torch.where(text.fresh > 0, lengths, 0)
        if text.states is None or text.fresh is None or not int(lengths.max()):
            return Draft.chain(torch.zeros(len(budget), 0, dtype=torch.int64))
        count = int(lengths.max())
        state = text.states[torch.arange(len(budget)), (text.fresh - 1).clamp(min=0)]  # [B,E]
        logits = self.heads(state)  # [B,K,V]
        parents = self.parents[:count].expand(len(budget), count).to(state.device)
        lengths = lengths.to(state.device)
        if not self.draws or all(s.temperature == 0 for s in text.params):
            best = logits.topk(int(self.rank[:count].max()) + 1, -1).indices  # [B,K,R]
            return Draft(best[:, self.depth[:count], self.rank[:count]], parents, None, lengths)
        distributions = probs(logits, [_without_history(s) for s in text.params])
        tokens, q = self._draw(distributions, lengths, chance)
        return Draft(tokens, parents, q, lengths)

    def _draw(
        self, distributions: Tensor, lengths: Tensor, chance: Chance
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B,N] drawn without replacement among siblings, and the distributions they were
        drawn from [B,N,V].
        """
        tokens: list[Tensor] = []
        q: list[Tensor] = []
        for node in range(int(lengths.max())):
            distribution = distributions[:, self.depth[node]].clone()
            left = torch.ones_like(distribution)
            for sibling in range(node):
                if self.parents[sibling] == self.parents[node]:
                    left.scatter_(1, tokens[sibling][:, None], 0)
            distribution = distribution * left
            # nothing likely is left: anything new will do
            distribution = torch.where(distribution.sum(-1, keepdim=True) > 0, distribution, left)
            q.append(distribution / distribution.sum(-1, keepdim=True))
            tokens.append(chance.draw(q[-1], lengths > node))
        return torch.stack(tokens, 1), torch.stack(q, 1)


def _without_history(params: SamplingParams) -> SamplingParams:
    """A guess may ignore penalties: any q is allowed, as long as it is the one reported."""
    return replace(
        params, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0, min_tokens=0
    )
