"""Prompts from text that no bundled model was trained on."""

from ..train.corpus import held_out


def held_out_prompts(count: int, length: int, skip: int = 0) -> list[list[int]]:
    """Prompts from the held-out files of the standard library, spread evenly over them.

    Args:
        count: how many. length: bytes of each. skip: shifts the places, so that a model of speed is
            calibrated and tested on texts that do not overlap.
    """
    texts = [text for text in held_out().values() if len(text) > 4 * length]
    most = -(-count // len(texts))  # prompts of one text, at most
    prompts = []
    for number in range(count):
        turn, which = divmod(number, len(texts))
        text = texts[which]
        step = (len(text) - 2 * length) // most
        shift = (skip * length) % max(1, step)
        start = turn * step + shift
        end = start + length
        prompts.append(list(text[start:end]))
    return prompts
