"""The exact distribution of the first tokens of a text, by enumeration; and the test of a sample
against it, prefix by prefix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model.transformer import Transformer
from ..stats.finding import Finding
from ..stats.sequential import OneSample
from .toys import scores
from .verdict import Picture

_EACH = 5  # draws a cell from which on a joint distribution is stated


def enumerated(model: Transformer, prompt: Sequence[int], length: int, eos: int) -> Tensor:
    """The distribution of `length` tokens at temperature 1, [V^length], the first token the highest
    digit; behind the end token nothing comes but itself."""
    size = model.config.vocab_size
    prefixes, distribution = (
        torch.zeros(1, 0, dtype=torch.int64),
        torch.ones(1, dtype=torch.float64),
    )
    for _ in range(length):
        after = torch.stack(
            [
                row[0]
                for row in scores(
                    model,
                    [[*prompt, *text] for text in prefixes.tolist()],
                    [len(prompt) + prefixes.shape[1]] * len(prefixes),
                )
            ]
        ).softmax(-1)
        over = (prefixes == eos).any(1)
        after[over] = torch.nn.functional.one_hot(torch.tensor(eos), size).double()
        distribution = (distribution[:, None] * after).flatten()
        prefixes = torch.cat(
            (
                prefixes.repeat_interleave(size, 0),
                torch.arange(size).repeat(len(prefixes))[:, None],
            ),
            1,
        )
    return distribution


class Joint:
    """e-processes of the first token, of the first two, and so on to the whole joint
    distribution.
    """

    def __init__(self, p: Tensor, q: Tensor | None, size: int, length: int, alpha: float):
        self.size, self.length = size, length
        self.tests = [
            OneSample(
                self.first(p, depth), alpha / length, [] if q is None else [self.first(q, depth)]
            )
            for depth in range(1, length + 1)
        ]
        self.q = q

    def first(self, distribution: Tensor, depth: int) -> Tensor:
        """The distribution, or the counts, of the first `depth` tokens."""
        return distribution.view(self.size**depth, -1).sum(1)

    def add(self, texts: Sequence[Sequence[int]], eos: int) -> None:
        whole = torch.tensor([([*text, *[eos] * self.length])[: self.length] for text in texts])
        digits = self.size ** torch.arange(self.length - 1, -1, -1)
        counts = torch.bincount((whole * digits).sum(1), minlength=self.size**self.length)
        for depth, test in enumerate(self.tests, 1):
            test.update(self.first(counts, depth))

    def stated(self, enough: float) -> tuple[int, Finding]:
        """How many tokens the verdict is about, and what it says: where a distribution is rejected,
        else as many as would show a TV of `enough`."""
        said = self.tests[0].finding()
        for depth, test in enumerate(self.tests, 1):
            if test.rejected:
                return depth, test.finding()
        for depth in range(self.length, 1, -1):
            test = self.tests[depth - 1]
            if test.n >= _EACH * test.cells and (deeper := test.finding()).mde <= enough:
                return depth, deeper
        return 1, said

    def furthest(self, depth: int) -> str:
        """The text whose share is furthest off."""
        test = self.tests[depth - 1]
        share = test.counts[0] / max(test.n, 1)
        cell = int((share - test.p).abs().argmax())
        text = [cell // self.size**i % self.size for i in range(depth - 1, -1, -1)]
        return f"{text} has the share {float(share[cell]):.4f} instead of {float(test.p[cell]):.4f}"

    def lean(self) -> float:
        """Whether the first token leans to the draft: the cosine of (sample - p) and (q - p)."""
        if self.q is None:
            return 0.0
        test = self.tests[0]
        off, way = test.counts[0] / max(test.n, 1) - test.p, self.first(self.q, 1) - test.p
        return float(off @ way / (off.norm() * way.norm()).clamp(min=1e-12))

    def picture(self) -> Picture:
        test = self.tests[0]
        return Picture(
            "first token",
            tuple(map(str, range(self.size))),
            tuple(test.p.tolist()),
            tuple((test.counts[0] / max(test.n, 1)).tolist()),
            () if self.q is None else tuple(self.first(self.q, 1).tolist()),
        )
