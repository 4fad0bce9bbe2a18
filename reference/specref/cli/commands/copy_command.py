"""Copy a rule, a drafter or another part into a folder, with what it imports.

The files need PyTorch and nothing of specref; an exercise is graded by `specref grade`. Each file
says where it is from, its license and how to cite it. A file that is there is never overwritten.
Without a name, the command lists the names.
"""

import argparse
from pathlib import Path

from ...errors import SpecrefError
from ...outputs import require_writable
from ..arguments import add_json
from ..command import Command

_EXAMPLE = """
  specref copy
  specref copy rejection my-folder
  specref copy medusa my-folder --json files.json
  specref copy rejection-step my-folder --solution
"""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to copy (default: a list)")
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="where to; created if it is missing"
    )
    parser.add_argument("--solution", action="store_true", help="of an exercise, also the solution")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    require_writable(args.json)
    if args.name is None:
        result = _list_names()
    elif args.folder is None:
        raise SpecrefError(f"no folder to copy to: give one, as in `specref copy {args.name} mine`")
    else:
        result = _copy(args.name, args.folder, args.solution)
    if args.json:
        from ..results import write_result

        write_result(args.json, "copy", result)
    return 0


def _list_names() -> dict[str, object]:
    from ...copying import items

    names = {name: item.summary for name, item in items().items()}
    width = max(map(len, names))
    for name, summary in names.items():
        print(f"{name:{width}}  {summary}")
    return {"names": names}


def _copy(name: str, folder: Path, solution: bool) -> dict[str, object]:
    from ...copying import copy_item

    copy = copy_item(name, folder, solution)
    print(f"{len(copy.written)} files written to {folder}: {', '.join(copy.written) or 'none'}")
    if copy.kept:
        print(f"there already, with the same text: {', '.join(copy.kept)}")
    print(f"\nTo try it, in {folder}:\n\n{copy.example}")
    return {
        "name": name,
        "folder": str(folder),
        "files": copy.written,
        "kept": copy.kept,
        "example": copy.example,
    }


COPY_COMMAND = Command(
    name="copy",
    summary="take a rule, a drafter or a page of code away: files that run alone",
    description=__doc__ or "",
    example=_EXAMPLE,
    add=_add,
    run=_run,
)
