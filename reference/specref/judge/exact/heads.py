"""Medusa's heads: faults that no distribution shows, since whatever is guessed is judged, and
acceptance alone suffers.
"""

from collections.abc import Iterator
from functools import cache

import torch

from ...data import SamplingParams
from ...decode import generate
from ...draft.medusa import MedusaHeads, chain
from ...model.config import Config
from ...model.transformer import Transformer
from ...verify.tree import tree
from ..tree_subjects import Heads
from . import TOLERANCE, ExactFinding, exact_check

SIZE, HEADS = 8, 3


@cache
def counting() -> Transformer:
    """A target that counts: after token x it writes x + 1, and after the last the first. Its state
    is the token.
    """
    made = Transformer(
        Config(SIZE, SIZE, SIZE, 1, 1, 1, SIZE, 64, tie_word_embeddings=False)
    ).double()
    assert made.head is not None
    for name, weight in made.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.data.zero_()
    made.embedding.weight.data.copy_(torch.eye(SIZE))
    made.head.weight.data.copy_(10 * torch.eye(SIZE).roll(1, 0))
    return made.eval().requires_grad_(False)


def knowing(heads: Heads, late: int = 0) -> MedusaHeads:
    """Heads that know the future of `counting`, or `late` tokens more."""
    made = heads.make(counting(), HEADS).double()
    for parameter in made.parameters():
        parameter.requires_grad_(False).zero_()
    for k in range(HEADS):
        made.out[k] = 10 * torch.eye(SIZE, dtype=torch.float64).roll(k + 2 + late, 1)
    return made.eval()


@exact_check("heads.differ")
def heads_differ(heads: Heads) -> Iterator[ExactFinding]:
    """Has every head weights of its own? A change to one head's weights must change its guess and
    no other.
    """
    generator = torch.Generator().manual_seed(0)
    made = heads.make(counting(), HEADS).double().requires_grad_(False)
    states = torch.randn(5, SIZE, dtype=torch.float64, generator=generator)
    for parameter in made.parameters():
        parameter.add_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    for k in range(HEADS):
        before = made(states).clone()
        for parameter in made.parameters():
            parameter[k] += 1
        moved = (made(states) - before).abs().amax((0, 2)) > TOLERANCE  # [K]
        if not bool(moved[k]):
            yield ExactFinding(f"head {k}", "does not depend on its own weights")
        for other in moved.nonzero()[:, 0].tolist():
            if other != k:
                yield ExactFinding(f"head {k}", f"shares its weights with head {other}")


@exact_check("heads.offset")
def heads_offset(heads: Heads) -> Iterator[ExactFinding]:
    """Is every guess accepted of heads that know the future? Head k's guess must stand at depth
    k.
    """
    params = SamplingParams(temperature=0, max_new_tokens=21)
    prompts = ((3, 4), (0, 1, 2, 3, 4), (7,))
    for depth in range(1, HEADS + 1):
        drafter = heads.drafter(knowing(heads), chain(depth))
        completions = generate(counting(), drafter, tree, prompts, params, gamma=depth)
        for prompt, done in zip(prompts, completions, strict=True):
            if done.accepted != done.drafted or not done.drafted:
                yield ExactFinding(
                    f"{depth} heads, prompt {prompt}",
                    f"accepts {done.accepted} of {done.drafted} tokens from "
                    "heads that are always right",
                )


@exact_check("heads.taught")
def heads_taught(heads: Heads) -> Iterator[ExactFinding]:
    """Is the loss 0 for heads that know the future, and for no others?"""
    rows = (torch.arange(4)[:, None] + torch.arange(12)) % SIZE
    for late in (0, -1, 1):
        loss = float(heads.loss(knowing(heads, late), counting())(rows))
        if late == 0 and not loss <= TOLERANCE:
            yield ExactFinding(
                "heads that are always right",
                f"have the loss {loss:.3g}: they are taught another place's token",
            )
        elif late and not loss > 1:
            yield ExactFinding(
                f"heads {late:+d} tokens off", f"have the loss {loss:.3g}, as if they were right"
            )
