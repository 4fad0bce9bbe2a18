"""From one choice of all axes to a scenario."""

import math
import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from ...data import SamplingParams
from ..toys import greedy_continuations, toy
from .axes import NEUTRAL, TEXT_AXES, Choice
from .scenario import TextCall, TextRequest, TextScenario

LARGE = 99  # a vocabulary from which on a row costs so much that batches and texts are kept small
_MARGIN = 8  # tokens between a text and its context's end where that must not be reached
_SEEDS = (0, 1, 2**31 - 1, 2**31, 2**32)
_FLIPPED = (1, 2**8, 2**16, 2**31, 2**32)  # bits in which the seeds of copies differ
_CROWD = 33  # rows, of which more are all copies
_LIKELY = 12  # tokens of a likely text that stops are taken from
_END_IN_PROMPT = 0.2  # of prompts that have the end token inside them
_BLOCKS = (16, 32, 64, 128, 256)
_FILTERS: dict[str, dict[str, Any]] = {
    "": {},
    "top-k 1": {"top_k": 1},
    "top-k 3": {"top_k": 3},
    "top-p .6": {"top_p": 0.6},
    "top-p .95": {"top_p": 0.95},
    "min-p": {"min_p": 0.1},
    "both": {"top_k": 5, "top_p": 0.8},
}
_PENALTIES = {
    "presence": {"presence_penalty": 1.5},
    "frequency": {"frequency_penalty": 0.7},
    "repetition": {"repetition_penalty": 1.3},
}
_EVERY_PENALTY = {name: value for one in _PENALTIES.values() for name, value in one.items()}
_BIASES = {"ban": -math.inf, "favour": 2.5, "steep": -100.0}


@dataclass
class Builder:
    """Builds scenarios for one engine. has: its capabilities. overruns: whether it takes requests
    for more tokens than the context has room for."""

    has: Collection[str]
    rng: random.Random
    overruns: bool = True
    seeded: int = -1  # requests that got a seed so far

    def scenario(self, choice: Choice) -> TextScenario:
        """One scenario: calls before, the call in question, a call after."""
        rows = self._rows(choice)
        before = self._before(choice, rows)
        if choice["history"] == "turn before":
            rows = self._continued(str(choice["world"]), rows, before[0])
        after = self._after(str(choice["after"]), rows, rows[self._focus(choice, len(rows))])
        calls = (*before, TextCall(tuple(rows)), after)
        return TextScenario(str(choice["world"]), calls, bool(choice["drafts"]))

    def _size(self, choice: Choice) -> int:
        size = int(choice["batch"])
        size = min(size, 8) if _large(choice) else size
        return min(size, 3) if str(choice["new"]).startswith("beyond") else size

    def _focus(self, choice: Choice, size: int) -> int:
        return {"first": 0, "middle": size // 2, "last": size - 1}[str(choice["place"])]

    def _rows(self, choice: Choice) -> list[TextRequest]:
        size = self._size(choice)
        focus = self._focus(choice, size)
        rows = [
            self._request(choice if i == focus else self._other(choice), choice, i, focus)
            for i in range(size)
        ]
        if choice["company"] == "copies":
            rows = self._copies(rows, focus)
        return rows

    def _copies(self, rows: list[TextRequest], focus: int) -> list[TextRequest]:
        """The same request several times. Seeds have 41 bits; those of three copies differ from
        the others' in one bit each."""
        most = len(rows) if len(rows) > _CROWD else min(len(rows), 5)
        rows = [rows[focus]] * most + rows[most:]
        if rows[0].params.seed is None:
            return rows
        seed = self.rng.randrange(2**40, 2**41)
        flipped = self.rng.sample(_FLIPPED, min(3, max(0, most - 2)))
        for i, bits in enumerate((0, *flipped, 0)[:most]):
            params = replace(rows[i].params, seed=seed ^ bits)
            rows[i] = replace(rows[i], params=params)
        return rows

    def _other(self, choice: Choice) -> Choice:
        """The choice for company: alike, or with parameters of its own."""
        if choice["company"] in ("alike", "copies"):
            return choice
        heats = {"greedy": (0.0,), "sampled": (1.0, 0.7)}.get(
            str(choice["company"]), (0.0, 0.7, 1.0)
        )
        own = choice | {"temperature": self.rng.choice(heats)}
        if self.rng.random() < 0.3:
            return own | dict.fromkeys((*NEUTRAL, "ends"), "")
        free = {name: self.rng.choice((*TEXT_AXES[name], "")) for name in (*NEUTRAL, "ends")}
        return own | free | {"seed": self.rng.random() < 0.5}

    def _request(self, own: Choice, choice: Choice, place: int, focus: int) -> TextRequest:
        """One row. own: its parameters; choice: of the call."""
        world = str(choice["world"])
        context = toy(world).target.config.max_position_embeddings
        new = self._new(choice, place)
        prompt = self._prompt(choice, place == focus, self._most(context, new))
        if own["temperature"] == 0 and self.rng.random() < 0.3:
            prompt = self._circling(world) or prompt
        if not self.overruns:
            new = min(new, context - len(prompt) - _MARGIN)
        features = tuple((name, own[name]) for name in ("temperature", *NEUTRAL, "seed"))
        plain = own["temperature"] == 0 and not (own["penalty"] or own["bias"])
        known = prompt if plain or place in (0, focus) else ()  # a likely text takes time
        return TextRequest(prompt, self._params(own, world, known, new), features)

    def _most(self, context: int, new: int) -> int:
        """Tokens of a prompt: half of what is asked fits, or all of it."""
        kept = max(2, new // 2) if self.overruns else new + _MARGIN
        return max(1, context - kept)

    def _prompt(self, choice: Choice, focus: bool, most: int) -> tuple[int, ...]:
        """Random tokens, or a pattern that recurs, so that lookup drafts at once."""
        rng = self.rng
        sizes = {
            "short": rng.randint(1, 14),
            "ragged": rng.choice((1, 2, 5, 9, 17, 33, 64, 100)),
            "long": rng.randint(30, 100),
            "block edge": rng.choice(_BLOCKS) - rng.randint(0, 9),
            "one long": rng.randint(60, 100) if focus else rng.randint(2, 14),
        }
        size = max(1, min(sizes[str(choice["prompts"])], most))
        words = toy(str(choice["world"])).vocabulary - 1  # without the end token
        pattern = [rng.randrange(words) for _ in range(rng.choice((3, 5, size)))]
        prompt = (pattern * size)[:size]
        if size > 1 and rng.random() < _END_IN_PROMPT:  # a token like any other, there
            prompt[rng.randrange(size - 1)] = words
        return tuple(prompt)

    def _new(self, choice: Choice, place: int) -> int:
        """Tokens to write."""
        rng, size = self.rng, self._size(choice)
        long = rng.randint(60, 90) if place == size // 2 else rng.randint(3, 16)
        counts = {
            "few": rng.randint(1, 5),
            "some": rng.randint(9, 24),
            "ragged": rng.choice((1, 2, 3, 6, 12, 24, 40)),
            "one long": long,
            "many": rng.randint(40, 60) // (3 if size > 8 else 1),
            "beyond 128": rng.randint(130, 150),
            "beyond 256": rng.randint(258, 275),
        }
        return min(counts[str(choice["new"])], 40 if _large(choice) else 400)

    def _params(self, own: Choice, world: str, prompt: tuple[int, ...], new: int) -> SamplingParams:
        """The parameters of a choice, those that the engine has."""
        vocabulary = toy(world).vocabulary
        given: dict[str, Any] = {
            "temperature": own["temperature"] if "sampling" in self.has else 0.0,
            "max_new_tokens": new,
            "stop_ids": (vocabulary - 1,),
        }
        wanted = _FILTERS.get(str(own["filter"]), {"top_k": vocabulary + 50})
        given |= {name: value for name, value in wanted.items() if name in self.has}
        if "penalties" in self.has and own["penalty"]:
            given |= _PENALTIES.get(str(own["penalty"]), _EVERY_PENALTY)
        if "logit_bias" in self.has and own["bias"]:
            some = self.rng.sample(range(vocabulary - 1), max(2, min(vocabulary // 4, 12)))
            given["logit_bias"] = dict.fromkeys(some, _BIASES[str(own["bias"])])
        if "stop" in self.has and own["ends"]:
            given |= self._ends(str(own["ends"]), world, prompt, new)
        if "seed" in self.has and own["seed"] and given["temperature"]:
            given["seed"] = self._seed()
        return SamplingParams(**given)

    def _seed(self) -> int:
        """Seeds at the edges of integer types and random ones, in turn."""
        seeds = (*_SEEDS, self.rng.randrange(2**31), self.rng.randrange(2**63))
        self.seeded += 1
        return seeds[self.seeded % len(seeds)]

    def _ends(self, way: str, world: str, prompt: tuple[int, ...], new: int) -> dict[str, Any]:
        """What may end a text besides its length and the end token. Some of it is taken from the
        likeliest text, so that it comes, at any place of a draft and across drafts."""
        rng, vocabulary = self.rng, toy(world).vocabulary
        likely = likeliest_text(world, prompt) if prompt else ()
        place = rng.randrange(min(max(1, new - 1), max(1, len(likely) - 2)))
        if way == "sequence":
            words = range(vocabulary - 1)
            stops = [tuple(rng.choices(words, k=k)) for k in (2, 3)]
            stops.append(likely[place : place + rng.randint(1, 6)] or (vocabulary - 2,))
            return {"stop_sequences": tuple(rng.sample(stops, len(stops)))}
        ids = {*rng.sample(range(vocabulary - 1), max(1, vocabulary // 12)), *likely[place:][:1]}
        given: dict[str, Any] = {"stop_ids": (vocabulary - 1, *sorted(ids - {vocabulary - 1}))}
        if way == "min_tokens" and "min_tokens" in self.has:
            given["min_tokens"] = new * 2 // 3
        return given

    def _before(self, choice: Choice, rows: list[TextRequest]) -> tuple[TextCall, ...]:
        """What the engine did before."""
        history, bare = choice["history"], choice | NEUTRAL
        if history == "speculative":
            return (TextCall((self._request(bare, choice, 0, 0),)),)
        if history == "plain":
            return (TextCall(tuple(rows[:3]), speculative=False),)
        if history == "big batch":
            many = range(3 if _large(choice) else 12)
            return (TextCall(tuple(self._request(choice, choice, i, 0) for i in many)),)
        if history == "other parameters":
            return (TextCall(tuple(self._altered(choice, i) for i in range(3))),)
        if history == "turn before":
            return (self._turn(rows[:4]),)
        if history == "same beginning":
            return (self._same_beginning(rows[:4]),)
        if history == "seeded between":
            seeded = replace(rows[0].params, seed=7) if "seed" in self.has else rows[0].params
            between = TextCall((replace(rows[0], params=seeded),))
            return (between, TextCall(tuple(rows[:4])), between)
        if history == "empty batch" and "batch" in self.has:
            return (TextCall(()),)
        return ()

    def _altered(self, choice: Choice, place: int) -> TextRequest:
        """A request with all parameters in use."""
        own = choice | {
            "bias": self.rng.choice(("ban", "favour")),
            "penalty": "all",
            "filter": "top-k 3",
            "temperature": self.rng.choice((0.0, 1.0)),
        }
        return self._request(own, choice, place, 0)

    def _turn(self, rows: list[TextRequest]) -> TextCall:
        """Short answers to the beginnings of these prompts."""
        short = [
            replace(
                one,
                prompt=one.prompt[:40],
                params=SamplingParams(
                    temperature=0.0,
                    max_new_tokens=self.rng.randint(3, 9),
                    stop_ids=one.params.stop_ids[:1],
                ),
            )
            for one in rows
        ]
        return TextCall(tuple(short))

    def _same_beginning(self, rows: list[TextRequest]) -> TextCall:
        """Prompts that begin alike and go on otherwise: a cache of prefixes is warm to a point."""
        other = [
            replace(one, prompt=(*one.prompt[: 3 * len(one.prompt) // 4], one.prompt[0]))
            for one in rows
        ]
        return TextCall(tuple(other))

    def _continued(self, world: str, rows: list[TextRequest], turn: TextCall) -> list[TextRequest]:
        """The rows, their prompts being the turn's prompts, its answers, and a little more."""
        target = toy(world).target
        room = target.config.max_position_embeddings
        continued = list(rows)
        for i, (one, row) in enumerate(zip(turn.requests, rows)):
            prompt = torch.tensor([one.prompt])
            whole = greedy_continuations(target, prompt, one.params.max_new_tokens)[0].tolist()
            more = row.prompt[: self.rng.randint(0, 3)]
            if len(whole) + len(more) + row.params.max_new_tokens < room:
                continued[i] = replace(row, prompt=(*whole, *more))
        return continued

    def _after(self, way: str, rows: list[TextRequest], one: TextRequest) -> TextCall:
        """What is asked once more."""
        ways = {
            "alone": TextCall((one,)),
            "plain": TextCall(tuple(rows[:5]), speculative=False),
            "turned round": TextCall(tuple(rows[::-1])),
            "fresh alone": TextCall((one,), fresh=True),
            "again": TextCall(tuple(rows)),
        }
        return ways[way]

    def _circling(self, world: str) -> tuple[int, ...]:
        """A prompt behind which greedy text runs in a circle; () where there is none."""
        found = circling_prompts(world)
        return self.rng.choice(found) if found else ()


@cache
def likeliest_text(world: str, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """What the target writes at temperature 0, some tokens, within its context."""
    target = toy(world).target
    room = min(_LIKELY, target.config.max_position_embeddings - len(prompt))
    whole = greedy_continuations(target, torch.tensor([prompt]), room)[0].tolist()
    return tuple(whole[len(prompt) :])


def _large(choice: Choice) -> bool:
    return toy(str(choice["world"])).vocabulary > LARGE


@cache
def circling_prompts(world: str) -> tuple[tuple[int, ...], ...]:
    """Prompts behind which greedy text repeats a circle of 2 to 8 tokens, which came round
    already: a lookup that drafts well there is accepted."""
    one = toy(world)
    room = one.target.config.max_position_embeddings - 5
    if one.vocabulary > LARGE:
        return ()
    generator = torch.Generator().manual_seed(7)
    prompts = torch.randint(one.vocabulary - 1, (16, 4), generator=generator)
    texts = greedy_continuations(one.target, prompts, min(60, room)).tolist()
    found = [_circle(text, size) for text in texts for size in range(2, 9)]
    return tuple(prompt for prompt in found if prompt)


def _circle(text: list[int], size: int, begin: int = 20) -> tuple[int, ...]:
    """The beginning of a text that turns in a circle of this size from `begin` on."""
    turns = text[begin : begin + 3 * size]
    later = text[begin + size : begin + 4 * size]
    whole = len(text) > begin + 5 * size and len(set(turns[:size])) == size
    return tuple(text[: begin + 3 * size]) if whole and turns == later else ()
