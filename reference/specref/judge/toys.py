"""Toy checkpoints to judge engines with: small enough that every distribution is known, and built
so that draft and target disagree.

A toy is a random Llama whose weights float32 holds exactly. An engine gets it as a folder in
Hugging Face's layout; the judge works its distributions out in float64, from the same weights, by
forwards without a cache.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ..data import SpecrefError
from ..model import checkpoint
from ..model.config import Config
from ..model.toy import toy_transformer
from ..model.transformer import Block, Transformer

TOY_CONTEXT = 128
_LONG_CONTEXT = 320  # of toys for texts beyond 256 tokens
_SHARPNESS = 2.0, 32.0  # of the phase with a real choice, and of the others
TOY_TIE = 1e-3  # scores nearer than this are a tie, which float32 may break either way


@dataclass(frozen=True)
class Toy:
    """A target and a draft in float64."""

    name: str
    target: Transformer
    draft: Transformer

    @property
    def eos(self) -> int:
        return self.target.config.eos_token_id[0]

    @property
    def vocabulary(self) -> int:
        return self.target.config.vocab_size

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Both as checkpoints under `folder`."""
        for part, model in (("target", self.target), ("draft", self.draft)):
            checkpoint.save(model, folder / part, torch.float32)
        return folder / "target", folder / "draft"


@cache
def _decoder(
    vocabulary: int,
    peak: float = 1.0,
    noise: float = 0.0,
    eos: float = 0.3,
    context: int = TOY_CONTEXT,
) -> Transformer:
    """A random decoder. peak scales its scores, and a negative one turns them round; noise moves
    its head away from that of the decoder without noise; eos scales the score of the end
    token, which is the last of the vocabulary."""
    config = Config(
        vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        eos_token_id=(vocabulary - 1,),
    )
    random = torch.Generator().manual_seed(1)
    made = toy_transformer(config, random, attention=3.0, sharpness=peak, noise=noise, skip=0)
    assert made.head is not None
    made.head.weight[-1] *= eos
    return made.double()


@cache
def _recurring(noise: float = 0.0) -> Transformer:
    """A decoder of 32 tokens in 8 phases of 4, token t in phase t // 4. After a token of one phase
    comes one of the next. Which of the four is nearly certain, by all that stands before, in every
    phase but the first, where it is a real choice. So few texts are likely, and prefixes recur."""
    made = deepcopy(_decoder(32, noise=noise, eos=1.0, context=_LONG_CONTEXT))
    phase = torch.arange(32) // 4
    free = (torch.arange(32) >= 8).double()  # [E]: the other 8 channels hold the phase
    sharp = torch.where(phase == 0, *_SHARPNESS)[:, None]
    own, before = (torch.nn.functional.one_hot(at % 8, 32).double() for at in (phase, phase - 1))
    made.embedding.weight.copy_(made.embedding.weight * free + 4 * own)
    for block in made.blocks:
        assert isinstance(block, Block)
        for layer in (block.self_attn.o_proj, block.mlp.down_proj):
            layer.weight.mul_(free[:, None])
    assert made.head is not None
    made.head.weight.copy_(made.head.weight * free * sharp + 64 * before)
    return made


def _long(vocabulary: int, peak: float, noise: float = 0.0, eos: float = 0.3) -> Transformer:
    """With room for texts beyond 256 tokens."""
    return _decoder(vocabulary, peak, noise, eos, _LONG_CONTEXT)


RECIPES: dict[str, Callable[[], tuple[Transformer, Transformer]]] = {
    # V = 8, for distributions: 4 tokens have 4,096 texts at most.
    "small": lambda: (_decoder(8, 1.5), _decoder(8, 1.5, noise=0.15)),
    "small-opposed": lambda: (_decoder(8, 1.5), _decoder(8, -1.5)),
    "small-same": lambda: (_decoder(8, 1.5), _decoder(8, 1.5)),
    # V = 32, for greedy text: it wanders.
    "wide": lambda: (_decoder(32, 3.0), _decoder(32, 3.0, noise=0.05)),
    "wide-opposed": lambda: (_decoder(32, 3.0), _decoder(32, -3.0)),
    "wide-same": lambda: (_decoder(32, 3.0), _decoder(32, 3.0)),
    "wide-near": lambda: (_decoder(32, 3.0), _decoder(32, 3.0, noise=0.01)),
    # No power of two, and so many that a tenth of the mass lies behind the 1,024 likeliest.
    "odd": lambda: (_decoder(37, 1.5), _decoder(37, 1.5, noise=0.1)),
    "vast": lambda: (_decoder(2053, 1.2), _decoder(2053, 1.2, noise=0.06)),
    # V = 16, texts that end early; and a draft of another vocabulary, too far from the target's to
    # be padding.
    "ending": lambda: (_decoder(16, 3.0, eos=1.3), _decoder(16, 3.0, noise=0.03, eos=1.3)),
    # Texts beyond 256 tokens; and one whose prefixes recur.
    "long": lambda: (_long(32, 2.0), _long(32, 2.0, 0.1)),
    "recurring": lambda: (_recurring(), _recurring(noise=0.02)),
    "foreign": lambda: (_decoder(32, 3.0), _decoder(256, 3.0)),
    # The worlds of scenarios (text/worlds.py).
    "long-same": lambda: (_long(32, 3.0), _long(32, 3.0)),
    "long-wide": lambda: (_long(32, 3.0), _long(32, 3.0, 0.05)),
    "long-small": lambda: (_long(8, 1.5), _long(8, 1.5, 0.15)),
    "long-opposed": lambda: (_long(8, 1.5), _long(8, -1.5)),
    "long-flat": lambda: (_long(37, 0.7), _long(37, 0.7, 0.1)),
    "long-ending": lambda: (_long(16, 3.0, eos=1.3), _long(16, 3.0, 0.03, eos=1.3)),
    "brief": lambda: (_decoder(32, 3.0, context=48), _decoder(32, 3.0, 0.05, context=48)),
    "short-draft": lambda: (_long(32, 3.0), _decoder(32, 3.0, 0.05, context=64)),
    "fewer-words": lambda: (_long(32, 3.0), _long(24, 3.0)),
    "long-vast": lambda: (_long(2053, 1.2), _long(2053, 1.2, 0.06)),
    "long-vast-same": lambda: (_long(2053, 1.2), _long(2053, 1.2)),
}


@cache
def toy(name: str) -> Toy:
    if name not in RECIPES:
        raise SpecrefError(f"there is no toy {name!r}: give one of {', '.join(RECIPES)}")
    return Toy(name, *RECIPES[name]())


def scores(
    model: Transformer, texts: Sequence[Sequence[int]], starts: Sequence[int]
) -> list[Tensor]:
    """For each text, the scores [M,V] of its tokens from starts[b] >= 1 on and of the one after it:
    one forward without a cache, padded on the right."""
    longest = max(map(len, texts))
    padded = torch.tensor([(list(text) + [0] * longest)[:longest] for text in texts])
    logits = model(padded).logits
    return [
        logits[row, start - 1 : len(text)]
        for row, (text, start) in enumerate(zip(texts, starts, strict=True))
    ]


def greedy_continuations(model: Transformer, prompts: Tensor, count: int) -> Tensor:
    """The likeliest continuations of prompts [B,N], with them: [B,N+count]."""
    cache = model.new_cache(len(prompts), prompts.shape[1] + count)
    fresh, text = prompts, prompts
    for _ in range(count):
        logits = model(fresh, cache).logits[:, -1]
        cache.lengths += fresh.shape[1]
        fresh = logits.argmax(-1, keepdim=True)
        text = torch.cat((text, fresh), 1)
    return text


@dataclass(frozen=True)
class Written:
    """A prompt and what the target writes after it at temperature 0, without a tie on the way."""

    prompt: tuple[int, ...]
    text: tuple[int, ...]
    missed: tuple[int, ...]  # places in the text where the draft would have chosen otherwise


@cache
def written(name: str, count: int, candidates: int = 48) -> tuple[Written, ...]:
    """Prompts of 9 to 14 tokens that repeat themselves, so that n-gram lookup drafts at once, and
    their greedy texts of `count` tokens; the liveliest first."""
    made, found = toy(name), []
    for size in (4, 5, 6):
        texts, start = _candidates(made.target, size, candidates, count), 3 * size - 3
        q = made.draft(texts).logits[:, start - 1 : -1]
        missed = q.argmax(-1) != texts[:, start:]
        for row in (_margin(q).amin(1) > TOY_TIE).nonzero()[:, 0].tolist():
            found.append(
                Written(
                    tuple(texts[row, :start].tolist()),
                    tuple(texts[row, start:].tolist()),
                    tuple(missed[row].nonzero()[:, 0].tolist()),
                )
            )
    lively = sorted(found, key=lambda one: -len({one.text[i : i + 3] for i in range(count)}))
    if len(lively) < 8:
        raise SpecrefError(
            f"the toy {name} has {len(lively)} prompts without a tie: give it another seed"
        )
    return tuple(lively)


@cache
def _candidates(target: Transformer, size: int, candidates: int, count: int) -> Tensor:
    """Prompts [B,3 size - 3] of a repeated pattern and their greedy texts without a tie, [B,3 size
    - 3 + count].
    """
    pattern = torch.randint(
        target.config.vocab_size - 1,
        (candidates, size),
        generator=torch.Generator().manual_seed(size),
    )
    prompts = torch.cat((pattern, pattern, pattern[:, : size - 3]), 1)
    texts = greedy_continuations(target, prompts, count)
    p = target(texts).logits[:, prompts.shape[1] - 1 : -1]
    return texts[
        (_margin(p).amin(1) > 10 * TOY_TIE) & (texts[:, prompts.shape[1] :] == p.argmax(-1)).all(1)
    ]


def _margin(logits: Tensor) -> Tensor:
    best = logits.topk(2, -1).values
    return best[..., 0] - best[..., 1]
