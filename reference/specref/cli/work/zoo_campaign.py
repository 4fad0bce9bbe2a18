"""Try many bugs and controls, save after each, and continue where an earlier campaign stopped."""

import argparse
import json
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ...errors import SpecrefError
from ...judge.zoo.tally import (
    Caught,
    Tried,
    bugs_and_controls,
    everywhere,
    from_result_file,
    run_zoo,
    summary,
)
from ..progress import is_interactive
from ..results import source_commit, write_result

Place = tuple[str, str]  # level and name


class ZooCampaign:
    """What is wanted, and what was found so far."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.wanted = choose_places(args.level, args.only)
        self.done: dict[Place, Caught | Tried] = {}
        for file in args.resume:
            self._restore(file)

    @property
    def _found(self) -> list[Caught | Tried]:
        return [self.done[place] for place in self.wanted if place in self.done]

    @property
    def caught(self) -> list[Caught]:
        """The bugs so far, in the order of what is wanted."""
        return [one for one in self._found if isinstance(one, Caught)]

    @property
    def tried(self) -> list[Tried]:
        """The controls so far, in the order of what is wanted."""
        return [one for one in self._found if isinstance(one, Tried)]

    def run(self) -> None:
        """Try what is left. After an interruption, what was found stays."""
        left = [place for place in self.wanted if place not in self.done]
        bar = Progress(
            TextColumn("{task.description:40}"),
            BarColumn(),
            MofNCompleteColumn(),
            transient=True,
            console=Console(stderr=True),
            disable=not is_interactive(),
        )
        with bar:
            task = bar.add_task("", total=len(self.wanted), completed=len(self.done))
            try:
                self._try(left, bar, task)
            except KeyboardInterrupt:
                said = f"interrupted: {len(self.done)} of {len(self.wanted)} were tried"
                print(said, file=sys.stderr)

    def _try(self, left: list[Place], bar: Progress, task: TaskID) -> None:
        def report(text: str) -> None:
            bar.update(task, description=text)

        args = self.args
        found = run_zoo(left, args.seeds, args.budget, report, args.jobs)
        for place, one in zip(left, found, strict=True):
            self.done[place] = one
            bar.advance(task)
            self.save()

    def save(self) -> dict[str, Any]:
        """Write the result so far and return it: a campaign of hours may be killed."""
        complete = len(self._found) == len(self.wanted)
        result = {**summary(self.caught, self.tried), "complete": complete}
        command = " --level ".join(["zoo", *(self.args.level or ())])
        write_result(self.args.json, command, result)
        return result

    def _restore(self, file: Path) -> None:
        """Take what an earlier result has of what is wanted, with as many seeds."""
        try:
            told = json.loads(file.read_text())
            earlier = from_result_file(told)
        except (OSError, ValueError, KeyError, TypeError):
            raise SpecrefError(
                f"{file} is no result of the zoo: give a file that --json wrote"
            ) from None
        here = source_commit()
        if told.get("commit") != here:
            raise SpecrefError(
                f"{file} is of the commit {told.get('commit')}, and this is {here}: start anew, or"
                " continue from that commit"
            )
        for place, one in earlier.items():
            enough = isinstance(one, Caught) or one.seeds >= self.args.seeds
            if place in self.wanted and enough:
                self.done[place] = one


def choose_places(levels: list[str] | None, only: list[str] | None) -> list[Place]:
    """Level and name of what is to be tried; a name that does not exist is an error."""
    places = everywhere()
    if levels:
        places = []
        for level in levels:
            bugs, controls = bugs_and_controls(level)
            places += [(level, name) for name in (*bugs, *controls)]
    if not only:
        return places
    names = [name for _, name in places]
    for name in only:
        if name not in names:
            near = get_close_matches(name, names, 3, 0.4) or names[:3]
            where = " at this level" if levels else ""
            raise SpecrefError(
                f"there is no {name!r} in the zoo{where}: give one of its names, such as "
                f"{', '.join(map(repr, near))}"
            )
    chosen = [place for place in places if place[1] in only]
    return sorted(chosen, key=lambda place: only.index(place[1]))
