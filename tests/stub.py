"""Small models and drafters whose behaviour a test can write down.

`tiny` is a real transformer, small and with sharp, context-sensitive distributions. `Scripted` is a
target whose distribution is a function of the text; it keeps the text itself in the cache, so it
notices every token that stands, or is seen, in a wrong place.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from specref.chance import Chance
from specref.data import Completion, Draft, SamplingParams
from specref.decode import Cycle, decode_loop, new_requests
from specref.draft.base import Drafter, Text
from specref.model.cache import Cache
from specref.model.config import Config
from specref.model.toy import toy_transformer
from specref.model.transformer import Output, Transformer
from specref.verify import Rule
from torch import Tensor

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def tiny(
    seed: int = 0,
    vocabulary: int = 11,
    layers: int = 2,
    heads: int = 4,
    groups: int = 2,
    head_dim: int = 4,
    context: int = 64,
    tied: bool = False,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    sharp: float = 1.5,
) -> Transformer:
    """A random transformer of 16 channels; `groups` key/value heads; logits have about the standard
    deviation `sharp`.
    """
    shape = Config(
        vocabulary,
        16,
        24,
        layers,
        heads,
        groups,
        head_dim,
        context,
        rope_theta=50.0,
        tie_word_embeddings=tied,
    )
    random = torch.Generator().manual_seed(seed)
    toy_transformer(shape, random)  # drawn first, not used: so every seed keeps its model
    model = toy_transformer(shape, random, attention=1.0, sharpness=sharp, skip=0)
    for layer in range(layers):
        model.get_parameter(f"blocks.{layer}.mlp.down_proj.weight").mul_(2)
    model.embedding.weight.normal_(0, sharp / 4 if tied else 1, generator=random)
    return model.to(device, dtype)


def own_logits(model: Transformer, text: Sequence[int]) -> Tensor:
    """[V]: logits after `text`, from a forward that has no cache. Remembered: a model here never
    changes.
    """
    return _own_logits(model, tuple(text))


@lru_cache(100_000)
def _own_logits(model: Transformer, text: tuple[int, ...]) -> Tensor:
    with torch.inference_mode():
        return model(torch.tensor([text], device=model.device)).logits[0, -1]


def greedy_text(model, prompt: Sequence[int], count: int) -> list[int]:
    """`count` tokens after `prompt`, each the argmax of a forward from scratch: the shortest greedy
    decoder.
    """
    text = list(prompt)
    for _ in range(count):
        text.append(int(own_logits(model, text).argmax()))
    return text[len(prompt) :]


def generate_with(
    target,
    drafter: Drafter,
    rule: Rule,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
    *,
    gamma: int = 5,
    chance: Chance | None = None,
    watch: Callable[[Cycle], None] | None = None,
) -> list[Completion]:
    """`decode.generate` with the randomness of `chance`; `watch` is called with every cycle."""
    requests = new_requests(target, prompts, params)
    for cycle in decode_loop(target, drafter, rule, requests, gamma, chance):
        if watch is not None:
            watch(cycle)
    return [request.completion() for request in requests]


class Scripted:
    """A target with logits script(text). Its cache holds token ids as keys and their places as
    values.
    """

    dtype, device = torch.float64, torch.device("cpu")

    def __init__(
        self,
        vocabulary: int,
        script: Callable[[tuple[int, ...]], Sequence[float]],
        context: int = 64,
    ):
        self.config = Config(vocabulary, vocabulary, 1, 1, 1, 1, 2, context)
        self.script = script

    def new_cache(self, batch: int, capacity: int) -> Cache:
        return Cache(self.config, batch, capacity, torch.float64)

    def states(
        self,
        tokens: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        if cache is None:
            cache = self.new_cache(*tokens.shape)
        step = cache.step(tokens.shape[1], parents, counts)
        wide = (*tokens.shape, 2)
        ids, places = cache.write(
            0,
            step,
            tokens[..., None].expand(wide)[:, None].double(),
            step.positions[..., None].expand(wide)[:, None].double(),
        )
        rows: list[Sequence[float]] = []
        for row in range(len(tokens)):
            for node in range(tokens.shape[1]):
                if step.padding_mask is not None and not step.padding_mask[row, node]:
                    rows.append([0.0] * self.config.vocab_size)
                    continue
                seen = step.mask[row, 0, node] == 0
                order = places[row, 0, :, 0][seen].argsort()
                assert places[row, 0, :, 0][seen][order].tolist() == list(range(len(order))), (
                    "what it sees is no text"
                )
                rows.append(self.script(tuple(ids[row, 0, :, 0][seen][order].long().tolist())))
        return torch.tensor(rows, dtype=torch.float64).view(*tokens.shape, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def __call__(
        self,
        tokens: Tensor,
        cache: Cache | None = None,
        parents: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> Output:
        hidden = self.states(tokens, cache, parents, counts)
        return Output(hidden, hidden)


def parrot(
    vocabulary: int, text: Sequence[int], start: int
) -> Callable[[tuple[int, ...]], list[float]]:
    """A script that writes `text` after `start` tokens of prompt, whatever was written, and then
    its last token.
    """

    def script(seen: tuple[int, ...]) -> list[float]:
        token = text[min(max(0, len(seen) - start), len(text) - 1)]
        return [50.0 if i == token else 0.0 for i in range(vocabulary)]

    return script


class Told(Drafter):
    """Proposes tell(text, budget) with certainty, ragged. Padding holds -1, which nobody may
    read.
    """

    def __init__(self, tell: Callable[[list[int], int], Sequence[int]]):
        self.tell = tell

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        said = [
            list(self.tell(tokens, max(0, most)))
            for tokens, most in zip(text.tokens, budget.tolist(), strict=True)
        ]
        width = max(map(len, said))
        tokens = torch.tensor([row + [-1] * (width - len(row)) for row in said], dtype=torch.int64)
        return Draft.chain(tokens, None, torch.tensor([len(row) for row in said]))


class Drawn(Drafter):
    """Draws from distribution(text so far), a list of V numbers, and says so; `count(text, budget)`
    tokens, ragged.
    """

    def __init__(
        self,
        distribution: Callable[[list[int]], Sequence[float]],
        count: Callable[[list[int], int], int],
    ):
        self.distribution, self.count = distribution, count

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        texts = [list(tokens) for tokens in text.tokens]
        counts = torch.tensor(
            [self.count(t, max(0, most)) for t, most in zip(texts, budget.tolist(), strict=True)]
        )
        tokens, distributions = [], []
        for i in range(int(counts.max())):
            distributions.append(
                torch.tensor([self.distribution(t) for t in texts], dtype=torch.float64)
            )
            tokens.append(chance.draw(distributions[-1], counts > i))
            for row, token in zip(texts, tokens[-1].tolist(), strict=True):
                row.append(token)
        if not tokens:
            return Draft.chain(torch.zeros(len(texts), 0, dtype=torch.int64))
        return Draft.chain(torch.stack(tokens, 1), torch.stack(distributions, 1), counts)


def scramble(text: Sequence[int], salt: int, below: int) -> int:
    """A number in 0..below-1 that looks random and depends on the text and the salt alone."""
    value = 17 + salt
    for token in text:
        value = (value * 6364136223846793005 + token + 1442695040888963407) % 2**64
    return (value >> 33) % below
