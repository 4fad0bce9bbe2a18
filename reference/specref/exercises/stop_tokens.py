"""Exercise of part 7: where a run of tokens ends.

A cycle emits several tokens at once. The text ends at the first stop token, which is part of the
text, or when room tokens are written (room is what is left until the limit, at least 1). Return the
tokens that are kept, and why the text ends: "stop", "length", or None when it goes on. A stop token
that takes the last room is a "stop".
"""

from .grading.exercise import Numbers

Ending = tuple[list[int], str | None]

RUNS = [
    ([5, 7, 2, 8], [2], 10),
    ([5, 7, 8], [2], 10),
    ([5, 2, 7, 2], [2], 3),
    ([5, 7, 8, 9], [2], 3),
    ([5, 7, 8], [2], 3),
    ([5, 7, 2], [2, 9], 3),
    ([5, 7, 9, 2], [2, 9], 2),
    ([2], [2], 1),
    ([5, 2, 7, 2], [2], 10),
]

EXERCISE = Numbers(
    id="stop-tokens",
    part=7,
    cases=[{"run": run, "stops": stops, "room": room} for run, stops, room in RUNS],
    right="Every run ends where it should, for the right reason.",
)


def attempt(run: list[int], stops: list[int], room: int) -> Ending:
    """run: the tokens of a cycle. Returns the kept tokens, and the reason or None."""
    if run[-1] in stops:  # this looks at the last token alone
        return run, "stop"
    return run[:room], "length" if len(run) >= room else None


@EXERCISE.solution
def solution(run: list[int], stops: list[int], room: int) -> Ending:
    kept: list[int] = []
    for token in run[:room]:
        kept.append(token)
        if token in stops:
            return kept, "stop"
    return kept, "length" if len(kept) == room else None


@EXERCISE.also_right
def by_search(run: list[int], stops: list[int], room: int) -> Ending:
    """It looks for the first stop, then for the limit."""
    places = [i for i, token in enumerate(run) if token in stops]
    end = places[0] + 1 if places else len(run)
    if end <= room and places:
        return run[:end], "stop"
    return run[: min(end, room)], "length" if end >= room else None


@EXERCISE.wrong("you look at the last token of the run alone")
def last_token_alone(run: list[int], stops: list[int], room: int) -> Ending:
    """A stop may lie inside a run: plain decoding would have stopped there."""
    if run[-1] in stops:
        return run, "stop"
    return run[:room], "length" if len(run) >= room else None


@EXERCISE.wrong("you cut at the last stop of the run")
def last_stop(run: list[int], stops: list[int], room: int) -> Ending:
    """The first one ends the text."""
    places = [i for i, token in enumerate(run[:room]) if token in stops]
    if places:
        return run[: places[-1] + 1], "stop"
    kept = run[:room]
    return kept, "length" if len(kept) == room else None


@EXERCISE.wrong("you leave the stop token out of the text")
def stop_left_out(run: list[int], stops: list[int], room: int) -> Ending:
    """It is part of the text here, as it is in plain decoding."""
    kept: list[int] = []
    for token in run[:room]:
        kept.append(token)
        if token in stops:
            return kept[:-1], "stop"
    return kept, "length" if len(kept) == room else None


@EXERCISE.wrong("you let a run go past the limit")
def no_limit(run: list[int], stops: list[int], room: int) -> Ending:
    """The limit holds for each token, not for each cycle."""
    kept: list[int] = []
    for token in run:
        kept.append(token)
        if token in stops:
            return kept, "stop"
    return kept, "length" if len(kept) >= room else None


@EXERCISE.wrong("a stop behind the limit counts for you")
def stop_behind_the_limit(run: list[int], stops: list[int], room: int) -> Ending:
    """The text has ended before it."""
    kept = run[:room]
    for i, token in enumerate(run):
        if token in stops:
            return run[: min(i + 1, room)], "stop"
    return kept, "length" if len(kept) == room else None


@EXERCISE.wrong("you end at the limit one token late")
def length_one_late(run: list[int], stops: list[int], room: int) -> Ending:
    """When room tokens are written, the text is over now, not with the next cycle."""
    kept: list[int] = []
    for token in run[:room]:
        kept.append(token)
        if token in stops:
            return kept, "stop"
    return kept, "length" if len(run) > room else None


@EXERCISE.wrong("a stop token that takes the last room counts as length")
def length_before_stop(run: list[int], stops: list[int], room: int) -> Ending:
    """It is a stop: the text would have ended there without a limit too."""
    kept = run[:room]
    for i, token in enumerate(kept):
        if token in stops:
            return kept[: i + 1], "length" if i + 1 == room else "stop"
    return kept, "length" if len(kept) == room else None
