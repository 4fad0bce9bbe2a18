"""A real pair of distributions that everybody can count again: letters of this repository's own
LICENSE.

The target knows the last two letters, the draft only the last one: a large model and a small one in
miniature.
"""

from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

LICENSE = Path(__file__).parents[2] / "LICENSE"


def letters() -> str:
    """The text of the licence in small letters, with one space for everything that is no letter."""
    raw = LICENSE.read_text().lower()
    return " ".join("".join(c if "a" <= c <= "z" else " " for c in raw).split())


def distribution_after(text: str, context: str) -> dict[str, float]:
    """What follows `context` in the text: symbol -> frequency."""
    count = Counter(
        text[i + len(context)]
        for i in range(len(text) - len(context))
        if text.startswith(context, i)
    )
    total = sum(count.values())
    return {symbol: n / total for symbol, n in count.items()}


def kinds(text: str) -> str:
    """Each letter as v (vowel), c (consonant) or a space: Markov's alphabet, small enough to
    enumerate.
    """
    vowels = dict.fromkeys("aeiou", "v") | {" ": " "}
    return "".join(vowels.get(c, "c") for c in text)


def table(text: str, alphabet: str, order: int) -> dict[str, Tensor]:
    """context of `order` symbols -> distribution over the alphabet, [V] float64."""
    contexts = {text[i : i + order] for i in range(len(text) - order)}
    found = {}
    for context in contexts:
        distribution = distribution_after(text, context)
        row = [distribution.get(symbol, 0.0) for symbol in alphabet]
        found[context] = torch.tensor(row, dtype=torch.float64)
    return found
