"""What a draft learns from a target: the target's distributions, on text that the target writes
itself.

Zhou et al. 2023, DistillSpec (arXiv:2310.08461).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.cache import Cache, Step
from ..model.transformer import Output, Transformer
from .corpus import END, held_out_rows


class Teacher:
    """A frozen target that reads each row once: rows come again and again, and what it says of them
    does not change.

    Called like the target, on [B,C] tokens without a cache. Heads are read in float32 whatever
    precision a learner is trained in, since what a distribution lacks in bfloat16 would count as
    distance.
    """

    def __init__(self, target: Transformer):
        self.target, self.embedding = target, target.embedding
        self.known: dict[bytes, Tensor] = {}  # row -> states [C,E] float16

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Output:
        keys = [row.numpy().tobytes() for row in rows]
        fresh = [i for i, key in enumerate(keys) if key not in self.known]
        if fresh:
            self.known.update(
                zip([keys[i] for i in fresh], self.target.states(rows[fresh]).half(), strict=True)
            )
        with torch.autocast("cpu", enabled=False):
            hidden = torch.stack([self.known[key] for key in keys]).to(self.target.dtype)
        return Output(self.logits(hidden), hidden)

    @property
    def name(self) -> str:
        """The same for the same weights alone."""
        return hashlib.sha256(
            b"".join(p.detach().numpy().tobytes() for p in self.target.parameters())
        ).hexdigest()

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [B,N,E] -> [B,N,V]."""
        with torch.autocast("cpu", enabled=False):
            return self.target.logits(hidden.to(self.target.dtype))


class Unrolled(Cache):
    """The keys of a drafter that reads on from many places at once, as training needs them: nothing
    is written over.

    The first pass reads a text of C tokens. Each later pass goes one token further from every
    anchor: it sees the text up to its anchor and what the passes before read from there, which is
    what a draft of that depth sees.

    Args:
        layers: of the drafter. anchors: [A] int64 places in the text.
    """

    def __init__(self, layers: int, anchors: Tensor):
        self.anchors, self.passes = anchors, 0
        self.text = 0  # C
        self.stored: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(layers)]

    def step(self, count: int, parents: Tensor | None = None, counts: Tensor | None = None) -> Step:
        if not self.passes:
            self.text, places = count, torch.arange(count)
        else:
            places = self.anchors
        visible = torch.arange(self.text) <= places[:, None]  # [N,C]
        own = torch.eye(count, dtype=torch.bool).repeat(1, self.passes)  # [N,passes*N]
        mask = torch.zeros(count, self.text + own.shape[1])
        mask.masked_fill_(~torch.cat((visible, own), 1), -torch.inf)
        positions, self.passes = (places + self.passes)[None], self.passes + 1
        return Step(positions, positions, mask[None, None], mask.shape[1])

    def write(self, layer: int, step: Step, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.stored[layer].append((k, v))
        keys, values = zip(*self.stored[layer], strict=True)
        return torch.cat(keys, 2), torch.cat(values, 2)


def distance(p: Tensor, logits: Tensor) -> Tensor:
    """KL(p || q) + TV(p, q), mean over positions: the first moves all of q, the second is 1 -
    acceptance itself.
    """
    logq = logits.float().log_softmax(-1)
    kl = (torch.xlogy(p, p) - p * logq).sum(-1)
    return (kl + (p - logq.exp()).clamp(min=0).sum(-1)).mean()


def distillation_loss(
    draft: nn.Module, target: Transformer | Teacher
) -> Callable[[Tensor], Tensor]:
    """The distance of the draft's distributions from the target's."""

    def loss(rows: Tensor) -> Tensor:
        with torch.no_grad():
            p = target(rows[:, :-1]).logits.float().softmax(-1)
        return distance(p, draft(rows[:, :-1]).logits)

    return loss


@dataclass(frozen=True)
class OwnText:
    """How much text a target writes for its draft."""

    rows: int = 2048
    prompt: int = 64  # tokens of each row that are not the target's
    context: int = 512  # tokens of each row, the prompt included
    batch: int = 256  # rows that are written together
    seed: int = 1


@torch.inference_mode()
def own_text(
    target: Transformer,
    text: Tensor,
    settings: OwnText,
    report: Callable[[float], None] = lambda done: None,
) -> Tensor:
    """What the target itself writes after prompts from `text`, at temperature 1: the contexts that
    a draft will meet.

    Args:
        text: uint8 [L]. report: called with the share that is written.
    Returns:
        uint8 [rows, context + 1]: an END byte, then `context` bytes. The target wrote all of them
        but the prompt.
    """
    random = torch.Generator().manual_seed(settings.seed)
    written = []
    for first in range(0, settings.rows, settings.batch):
        count = min(settings.batch, settings.rows - first)  # B
        start = torch.randint(len(text) - settings.prompt, (count,), generator=random)  # [B]
        row = text[start[:, None] + torch.arange(settings.prompt)].long()  # [B,prompt]
        cache, new = target.new_cache(count, settings.context), row
        for _ in range(settings.context - settings.prompt):
            states = target.states(new, cache)[:, -1]  # [B,E]
            cache.lengths += new.shape[1]
            p = target.logits(states).float().softmax(-1)  # [B,V]
            new = torch.multinomial(p, 1, generator=random)  # [B,1]
            row = torch.cat((row, new), 1)
        written.append(F.pad(row, (1, 0), value=END).to(torch.uint8))  # [B,context+1]
        report(min(1.0, (first + settings.batch) / settings.rows))
    return torch.cat(written)


@torch.inference_mode()
def held_out_acceptance(
    draft: Transformer,
    target: Transformer,
    texts: dict[str, bytes],
    context: int = 256,
    rows: int = 64,
) -> float:
    """Mean of sum_x min(p, q) over held-out positions, at temperature 1: what the draft would be
    accepted at.
    """
    same: list[Tensor] = []
    for row in held_out_rows(texts, context, rows).split(16):
        p, q = (model(row[:, :-1]).logits.float().softmax(-1) for model in (target, draft))
        same.append(torch.minimum(p, q).sum(-1).flatten())
    return float(torch.cat(same).mean())
