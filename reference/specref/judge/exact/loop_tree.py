"""The loop with trees: what every node sees, where it stands, and what an accepted path leaves in
the cache.

The trees are planted, and where only the forward and the cache are asked about, so is what is
accepted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...chance import Chance
from ...data import Draft, SamplingParams, Verdict
from ...draft.base import Drafter, Text
from .. import oracle
from ..subjects import Loop
from ..tree_subjects import Parents, TreeLoop
from . import TOLERANCE, ExactFinding, exact_check
from .loop_text import GREEDY, LOOP_PROMPTS, right, text_models

PARENTS: Parents = (-1, -1, 1, 1, 0, 3)  # the longest path is 1, 3, 5: scattered over the nodes
PATH = (1, 3, 5)
_Plant = Callable[[int, list[int]], list[int]]  # row, its text -> the tokens of its nodes


@dataclass
class Planted(Drafter):
    """Proposes the planted tree for every row that has room for it, and remembers the texts."""

    plant: _Plant
    texts: list[list[list[int]]] = field(default_factory=list)  # of every cycle

    def nodes(self, gamma: int) -> int:
        return len(PARENTS)

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        self.texts.append([list(tokens) for tokens in text.tokens])
        tokens = torch.tensor([self.plant(row, tokens) for row, tokens in enumerate(text.tokens)])
        lengths = torch.where(budget >= len(PATH), len(PARENTS), 0)
        return Draft(tokens, torch.tensor(PARENTS).expand(len(lengths), -1), None, lengths)


# of every cycle: the texts, the draft, p [B,N+1,V]
_Seen = list[tuple[list[list[int]], Draft, Tensor]]


def planted(
    loop: type[Loop],
    plant: _Plant,
    prompts: Sequence[Sequence[int]],
    params: Sequence[SamplingParams],
) -> _Seen:
    """Run the loop's forward and cache with planted trees, of which `PATH` is accepted and the
    likeliest token added.
    """
    drafter, seen = Planted(plant), []

    class Probed(loop):  # type: ignore[misc,valid-type]
        def drafter(self) -> Drafter:
            return drafter

        def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
            seen.append((drafter.texts[-1], draft, p))
            accepted = torch.where(draft.lengths > 0, len(PATH), 0)
            path = torch.tensor([*PATH, 0, 0, 0]).expand(len(p), -1)
            return Verdict(
                path,
                accepted,
                p[torch.arange(len(p)), torch.where(accepted > 0, PATH[-1] + 1, 0)].argmax(-1),
            )

    Probed(text_models()[0], text_models()[1], len(PATH)).generate(prompts, params)
    return seen


def _above(node: int) -> list[int]:
    """The path to a node, itself the last."""
    return [*_above(PARENTS[node]), node] if node >= 0 else []


def _tokens(row: int, text: list[int]) -> list[int]:
    return [(5 * node + 3 * row + len(text)) % 16 for node in range(len(PARENTS))]


def _params(length: int) -> list[SamplingParams]:
    """Rows that end in different cycles."""
    return [
        SamplingParams(max_new_tokens=length + 4 * row, seed=row)
        for row in range(len(LOOP_PROMPTS))
    ]


def _off(texts: list[list[int]], p: Tensor) -> Tensor:
    """TV between p [B,V] and the target's distribution after each text, [B]."""
    expected = oracle.distribution_after(
        text_models()[0], texts, [1] * len(texts), [SamplingParams()] * len(texts)
    )
    return (p - expected).abs().sum(-1) / 2


@exact_check("loop.tree-law")
def loop_tree_distribution(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Is every node judged by the distribution after its own path? Distributions are those of a
    forward over the path alone.
    """
    if not issubclass(loop, TreeLoop):
        return
    texts, draft, p = planted(loop, _tokens, LOOP_PROMPTS, _params(4))[0]
    for node in range(-1, len(PARENTS)):
        paths = []
        for text, row in zip(texts, draft.tokens.tolist(), strict=True):
            paths.append([*text, *(row[i] for i in _above(node))])
        off = _off(paths, p[:, node + 1])
        if not bool((off <= TOLERANCE).all()):
            yield ExactFinding(
                f"node {node} of parents {list(PARENTS)}",
                f"the distribution after it is off by {float(off.max()):.3g}",
            )


@exact_check("loop.tree-mask")
def loop_tree_mask(loop: type[Loop]) -> Iterator[ExactFinding]:
    """Does a node see its own path alone? Another token in any other node must not change the
    distribution after it.
    """
    if not issubclass(loop, TreeLoop):
        return
    count = len(PARENTS)

    # row 0 as it is, row i + 1 with another token in node i
    def plant(row: int, text: list[int]) -> list[int]:
        return [(token + 7 * (node == row - 1)) % 16 for node, token in enumerate(_tokens(0, text))]

    _, _, p = planted(
        loop,
        plant,
        [LOOP_PROMPTS[0]] * (count + 1),
        [replace(GREEDY, temperature=1.0, seed=0)] * (count + 1),
    )[0]
    for changed in range(count):
        for node in range(-1, count):
            off = float((p[changed + 1, node + 1] - p[0, node + 1]).abs().sum()) / 2
            if changed not in _above(node) and not off <= TOLERANCE:
                yield ExactFinding(
                    f"node {node} of parents {list(PARENTS)}",
                    f"sees node {changed}, which is not above it: with "
                    f"another token there its distribution changes by {off:.3g}",
                )


@exact_check("loop.tree-cache")
def loop_tree_cache(loop: type[Loop]) -> Iterator[ExactFinding]:
    """After an accepted path, do later cycles see the text and nothing else?"""
    if not issubclass(loop, TreeLoop):
        return
    for cycle, (texts, _, p) in enumerate(planted(loop, _tokens, LOOP_PROMPTS, _params(9))[1:], 1):
        off = _off(texts, p[:, 0])
        if not bool((off <= TOLERANCE).all()):
            yield ExactFinding(
                f"cycle {cycle}, after paths {list(PATH)} of parents {list(PARENTS)}",
                f"the distribution of the next token is off by {float(off.max()):.3g}",
            )


@exact_check("loop.tree-greedy")
def loop_tree_greedy(loop: type[Loop]) -> Iterator[ExactFinding]:
    """At temperature 0, is the path accepted that the target itself would write, though it is no
    first guess?
    """
    if not issubclass(loop, TreeLoop):
        return

    def plant(row: int, text: list[int]) -> list[int]:
        going = oracle.greedy_text(
            text_models()[0], text, replace(GREEDY, max_new_tokens=len(PATH))
        )[0]
        tokens = [(going[len(_above(node)) - 1] + 1) % 16 for node in range(len(PARENTS))]
        return [
            going[PATH.index(node)] if node in PATH else token for node, token in enumerate(tokens)
        ]

    class Probed(loop):  # type: ignore[misc,valid-type]
        def drafter(self) -> Drafter:
            return Planted(plant)

    done = Probed(text_models()[0], text_models()[1], len(PATH)).generate(
        LOOP_PROMPTS, [GREEDY] * len(LOOP_PROMPTS)
    )
    for prompt, completion in zip(LOOP_PROMPTS, done, strict=True):
        if tuple(completion.tokens) != right(prompt):
            yield ExactFinding(
                f"prompt {prompt}",
                f"writes {completion.tokens} instead of {list(right(prompt))}",
                1.0,
            )
        elif completion.accepted != GREEDY.max_new_tokens // (len(PATH) + 1) * len(PATH):
            yield ExactFinding(
                f"prompt {prompt}",
                f"accepts {completion.accepted} tokens in {completion.target_steps} steps, "
                f"though every tree holds the target's next {len(PATH)}",
            )
