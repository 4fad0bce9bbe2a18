"""What surrounds a request. Every pair of values of two axes meets in some scenario."""

import random
from collections.abc import Iterator

from allpairspy import AllPairs

Value = str | int | float | bool
Choice = dict[str, Value]

TEXT_AXES: dict[str, tuple[Value, ...]] = {
    "world": (
        "long-same",
        "long-wide",
        "long-small",
        "long-ending",
        "long-opposed",
        "long-flat",
        "brief",
        "short-draft",
        "fewer-words",
        "long-vast",
        "long-vast-same",
    ),
    "drafts": (True, False),
    "batch": (1, 2, 3, 5, 8, 17, 33),
    "prompts": ("short", "ragged", "long", "one long", "block edge"),
    "new": ("few", "some", "ragged", "one long", "many", "beyond 128", "beyond 256"),
    "history": (
        "fresh",
        "speculative",
        "plain",
        "big batch",
        "other parameters",
        "turn before",
        "same beginning",
        "empty batch",
        "seeded between",
    ),
    "company": ("alike", "greedy", "sampled", "mixed", "copies"),
    "place": ("first", "middle", "last"),
    "temperature": (0.0, 1.0, 0.7),
    "filter": ("", "top-k 1", "top-k 3", "top-k above V", "top-p .6", "top-p .95", "min-p", "both"),
    "penalty": ("", "presence", "frequency", "repetition", "all"),
    "bias": ("", "ban", "favour", "steep"),
    "seed": (True, False),
    "ends": ("", "ids", "sequence", "min_tokens"),
    "after": ("alone", "plain", "turned round", "fresh alone", "again"),
}
NEUTRAL: Choice = {"filter": "", "penalty": "", "bias": ""}
_BARE: Choice = {**NEUTRAL, "ends": "", "drafts": True}
# Of 2,053 tokens few end a text, and no two texts are one by chance.
_COPIES: Choice = {
    **_BARE,
    "world": "long-vast",
    "temperature": 1.0,
    "company": "copies",
    "new": "some",
}
_STOPPED: Choice = {
    **NEUTRAL,
    "temperature": 0.0,
    "drafts": True,
    "batch": 17,
    "new": "some",
    "company": "alike",
}
# Three values that a fault of today's engines needs together, which pairs meet by chance only.
_TRIPLES: tuple[Choice, ...] = (
    # seeds at the edges of integer types, 0 first, asked twice
    {
        **_BARE,
        "world": "long-wide",
        "temperature": 1.0,
        "seed": True,
        "company": "alike",
        "history": "fresh",
        "batch": 5,
        "new": "some",
        "after": "again",
    },
    # random numbers that copies share show in unlikely texts without a seed
    {**_COPIES, "seed": False, "batch": 8},
    # a seed that is cut to 32 bits
    {**_COPIES, "seed": True, "batch": 5},
    # as many rows as no block of random streams has
    {**_COPIES, "world": "long-flat", "seed": False, "batch": 320, "after": "alone"},
    # a seeded request between two without a seed
    {**_COPIES, "seed": False, "batch": 2, "history": "seeded between"},
    # stops that come, short and long, at all places of drafts that are taken and that are not
    {**_STOPPED, "world": "long-same", "ends": "sequence"},
    {**_STOPPED, "world": "long-wide", "ends": "sequence"},
    # a draft that must be accepted, in a ragged batch, with company that is long
    {
        "world": "long-same",
        "temperature": 0.0,
        "prompts": "one long",
        "new": "many",
        "batch": 5,
        "company": "alike",
        **_BARE,
    },
    {
        "world": "long-same",
        "temperature": 0.0,
        "prompts": "ragged",
        "new": "many",
        "batch": 3,
        "company": "alike",
        **_BARE,
    },
    {
        "world": "long-wide",
        "temperature": 0.0,
        "new": "beyond 128",
        "batch": 1,
        **_BARE,
    },
    # filters that a large vocabulary tells apart
    {"world": "long-vast", "temperature": 1.0, "filter": "top-p .95", "penalty": "", "bias": ""},
    {
        "world": "long-vast",
        "temperature": 1.0,
        "filter": "top-k above V",
        "penalty": "",
        "bias": "",
    },
    # texts of which no draft is accepted
    {**_BARE, "world": "long-opposed", "temperature": 0.0, "new": "few", "batch": 8},
    # a plain call after a speculative one
    {"temperature": 0.0, "after": "plain", "batch": 2, "world": "long-wide", **_BARE},
)


def choices(rng: random.Random, axes: dict[str, tuple[Value, ...]]) -> Iterator[Choice]:
    """The covering design, and the triples among its first rows; then another one, without end."""
    while True:
        names = list(axes)
        shuffled = [rng.sample(axes[name], len(axes[name])) for name in names]
        rows = [dict(zip(names, row, strict=True)) for row in AllPairs(shuffled)]
        rng.shuffle(rows)
        for number, row in enumerate(rows):
            if number < len(_TRIPLES):
                yield _within({**row, **_TRIPLES[number]}, axes)
            yield row


def _within(choice: Choice, axes: dict[str, tuple[Value, ...]]) -> Choice:
    """Only values that the axes of this engine have; an axis that it has whole goes further."""
    return {
        name: value if value in axes[name] or axes[name] == TEXT_AXES[name] else axes[name][0]
        for name, value in choice.items()
    }
