"""Planted bugs that need two conditions at once: two parameters, a parameter on sampled rows only,
or two requests one after the other.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...adapters.reference import Looped
from ...chance import Chance, Stream, Streams
from ...data import Draft, SamplingParams, SpecrefError, Verdict
from ...decode import Request
from ...draft.base import Drafter, Text
from ...draft.model import ModelDrafter
from ...probs import probs
from ...stops import ends_with_stop
from ...verify.rejection import rejection
from ..contract import Completion
from ..subjects import Loop
from .loop_parts import OwnDistribution
from .loops import Rewrites

_BLOCK = 16  # tokens that a prefix cache knows by one name


class NeverRight(ModelDrafter):
    """The draft's ids are the target's ids plus one, so no draft token is ever right."""

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        greedy = replace(text, params=[replace(s, temperature=0.0) for s in text.params])
        draft = super().propose(greedy, budget, chance)
        return replace(draft, tokens=(draft.tokens + 1) % text.vocabulary, q=None)


class DraftIdsMoved(Loop):
    def drafter(self) -> Drafter:
        return NeverRight(self.draft)


class TopKBesideTopP(Rewrites):
    """If top-p is given, top-k is ignored."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, top_k=0) if s.top_p < 1 else s for s in params]


class HeatBesideTopP(Rewrites):
    """If top-p is given, the temperature is ignored."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, temperature=1.0) if s.top_p < 1 and s.temperature else s for s in params]


class OnePenalty(Rewrites):
    """If a presence penalty is given, the frequency penalty is ignored."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [replace(s, frequency_penalty=0.0) if s.presence_penalty else s for s in params]


class MinTokensForOneEnd(Rewrites):
    """min_tokens suppresses only the checkpoint's end token, no other stop."""

    def rewritten(self, params: Sequence[SamplingParams]) -> list[SamplingParams]:
        return [
            (
                replace(s, min_tokens=0, logit_bias={**s.logit_bias, s.stop_ids[0]: -100.0})
                if s.min_tokens and s.stop_ids[1:]
                else s
            )
            for s in params
        ]


class SampledStopsLate(Loop):
    """In sampled texts, stop sequences are looked for only at the end of a cycle."""

    class request(Request):  # noqa: N801
        def take(self, tokens: Sequence[int]) -> int:
            whole = self.params
            if not whole.temperature or not whole.stop_sequences:
                return super().take(tokens)
            self.params = replace(whole, stop_sequences=())
            count = super().take(tokens)
            self.params = whole
            if not self.reason and ends_with_stop(self.tokens, self.params):
                self.reason = "stop"
            return count


class Remembers(Looped):
    """A prefix cache: `read` changes a prompt by what `keep` stored of earlier ones."""

    def __init__(self, target: Path, draft: Path | None):
        super().__init__(target, draft)
        self.seen: dict[tuple[int, ...], list[int]] = {}

    def generate(
        self,
        prompts: list[list[int]],
        params: SamplingParams | list[SamplingParams],
        *,
        speculative: bool,
    ) -> list[Completion]:
        done = super().generate(
            [self.read(prompt) for prompt in prompts], params, speculative=speculative
        )
        for prompt, one in zip(prompts, done, strict=True):
            self.keep(prompt, one.tokens)
        return done

    def read(self, prompt: list[int]) -> list[int]:
        return prompt

    def keep(self, prompt: list[int], output: list[int]) -> None:
        raise SpecrefError("nothing is remembered: define keep(prompt, output)")


class TurnWithoutLast(Remembers):
    """A prompt that continues an earlier answer is read from the cache, but the answer's last token
    was never written to the cache.
    """

    def keep(self, prompt: list[int], output: list[int]) -> None:
        self.seen[tuple(prompt + output)] = []

    def read(self, prompt: list[int]) -> list[int]:
        held = max(
            (
                len(text)
                for text in self.seen
                if len(text) < len(prompt) and tuple(prompt[: len(text)]) == text
            ),
            default=0,
        )
        return prompt[: held - 1] + prompt[held:] if held > 1 else prompt


class BlocksByThemselves(Remembers):
    """A cached block of a prompt is found by its own tokens, whatever tokens are before it."""

    def keep(self, prompt: list[int], output: list[int]) -> None:
        for end in range(2 * _BLOCK, len(prompt), _BLOCK):
            self.seen.setdefault(tuple(prompt[end - _BLOCK : end]), prompt[:end])

    def read(self, prompt: list[int]) -> list[int]:
        for end in range((len(prompt) - 1) // _BLOCK * _BLOCK, _BLOCK, -_BLOCK):
            found = self.seen.get(tuple(prompt[end - _BLOCK : end]), [])
            if len(found) == end:
                return found + prompt[end:]
        return prompt


class Told(Streams):
    """Streams that know the parameters of their requests."""

    def __init__(self, params: Sequence[SamplingParams], streams: Sequence[Stream] | None = None):
        super().__init__([s.seed for s in params], streams)
        self.params = list(params)

    def rows(self, index: Sequence[int]) -> "Told":
        return Told([self.params[row] for row in index], [self.streams[row] for row in index])


class FiltersFirst(OwnDistribution):
    """Right, in llama.cpp's order: top-p and min-p filter the distribution at temperature 1, and
    the temperature is applied last.
    """

    def chance(self, params: Sequence[SamplingParams]) -> Chance:
        return Told(params)

    def judge(self, draft: Draft, p: Tensor, chance: Chance) -> Verdict:
        assert isinstance(chance, Told)
        other = [
            bool(s.temperature) and s.temperature != 1 and (s.top_p < 1 or s.min_p > 0)
            for s in chance.params
        ]
        if any(other):
            plain = [
                (
                    SamplingParams(top_k=s.top_k, top_p=s.top_p, min_p=s.min_p)
                    if late
                    else SamplingParams()
                )
                for s, late in zip(chance.params, other, strict=True)
            ]
            heats = torch.tensor(
                [
                    s.temperature if late else 1.0
                    for s, late in zip(chance.params, other, strict=True)
                ]
            )
            late_distribution = probs(self.kept.scores[:, : p.shape[1]], plain) ** (
                1 / heats[:, None, None]
            )
            p = torch.where(
                torch.tensor(other)[:, None, None],
                late_distribution / late_distribution.sum(-1, keepdim=True),
                p,
            )
        return rejection(draft, p, chance)


class MixedDrafts(ModelDrafter):
    """Proposes the token that followed the last two tokens earlier in the text; where there is
    none, asks the draft model.
    """

    def propose(self, text: Text, budget: Tensor, chance: Chance) -> Draft:
        found = [
            self.looked_up(words) if most else None
            for words, most in zip(text.tokens, budget.tolist(), strict=True)
        ]
        looked = torch.tensor([token is not None for token in found])
        asked = super().propose(text, torch.where(looked, 0, budget), chance)
        width = max(1, asked.tokens.shape[1])
        tokens, q = (
            torch.zeros(len(budget), width, dtype=torch.int64),
            torch.zeros(len(budget), width, text.vocabulary),
        )
        if asked.q is not None:
            tokens[:, : asked.tokens.shape[1]], q[:, : asked.tokens.shape[1]] = (
                asked.tokens,
                asked.q,
            )
        for row, token in enumerate(found):
            if token is not None:
                tokens[row, 0], q[row, 0] = token, torch.eye(text.vocabulary)[token]
        return Draft.chain(tokens, q, torch.where(looked, 1, asked.lengths))

    def looked_up(self, words: Sequence[int]) -> int | None:
        """The token that followed the last earlier occurrence of the text's last two tokens."""
        for i in reversed(range(len(words) - 2)):
            if words[i : i + 2] == words[-2:]:
                return words[i + 2]
        return None

    def commit(self, accepted: Tensor) -> None:
        self.cache.trim(torch.minimum(self.cache.lengths, self.base + accepted))


class Mixed(Loop):
    distribution = ""

    def drafter(self) -> Drafter:
        return MixedDrafts(self.draft)


class MixesDrafts(Looped):
    """Drafts come from the text or from the draft model, and the engine declares this."""

    name, loop, mixes_drafts = "reference: mixed drafts", Mixed, True
