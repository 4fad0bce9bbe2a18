"""How old each result file is: `python -m docs.ages` lists them and says how to renew the old ones.

The age is the number of commits that have touched what the file measures since the commit it was
made at. Exit 1 when one is older than LIMIT, or nothing is known of its commit; 2 where the history
is not there to count.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "docs/results"
# A round of work on one room makes ten to twenty commits. The move to version 0.2 made some fifty
# that touch nearly every path, the judge that was built after it some thirty, and the mends of
# hostile input and old checks some twenty. A result may outlive these three, with its age beside
# it, and no more.
LIMIT = 110


@dataclass(frozen=True)
class Measured:
    """What a result file measures. paths: git's patterns below reference/specref/, or from the
    repository's root with a leading slash; renew: what to run.
    """

    paths: tuple[str, ...]
    renew: str


LOOP = ("decode*", "verify/", "draft/", "model/", "probs.py", "chance.py")
JUDGE = ("judge/", "stats/", "exact/")
FILES: dict[str, Measured] = {
    "bench.json": Measured(
        (*LOOP, "measure/", "checkpoints/"), "specref bench --json docs/results/bench.json"
    ),
    "medusa.json": Measured(
        (*LOOP, "measure/", "checkpoints/"),
        "specref profile medusa --json docs/results/medusa.json",
    ),
    "thresholds.json": Measured(
        (*LOOP, "measure/", "checkpoints/"),
        "specref profile thresholds --json docs/results/thresholds.json",
    ),
    "lookup.json": Measured(
        ("draft/", "measure/acceptance/lookup.py"),
        "specref profile lookup --rounds 64 --prompt-length 512 --new-tokens 512"
        " --json docs/results/lookup.json",
    ),
    "rules.json": Measured(
        ("verify/", "exact/", "measure/rules/", "chance.py", "data.py"),
        "specref rules --json docs/results/rules.json",
    ),
    "serving.json": Measured(
        (*LOOP, "serve/", "measure/", "checkpoints/"),
        "specref bench --serving --json docs/results/serving.json",
    ),
    "train-target.json": Measured(
        ("train/", "model/", "checkpoints/target/"),
        "specref train target --out FOLDER --json docs/results/train-target.json",
    ),
    "zoo.json": Measured(JUDGE, "specref zoo --json docs/results/zoo.json"),
    "pictures.json": Measured(JUDGE, "specref zoo --pictures --json docs/results/pictures.json"),
    "measure.json": Measured(
        (*LOOP, "measure/acceptance/", "checkpoints/"),
        "specref measure --count 24 --temperatures 0,0.7,1 --plan 0.02"
        " --json docs/results/measure.json",
    ),
    "plan.json": Measured(
        ("measure/", "train/"),
        "the commands of docs/pages/decide.md, the last with --json docs/results/plan.json",
    ),
    "zoo-kernel.json": Measured(
        JUDGE,
        "specref zoo --level kernel --seeds 1000 --jobs 2 --json docs/results/zoo-kernel.json",
    ),
    "zoo-engine.json": Measured(
        JUDGE, "specref zoo --level engine --json docs/results/zoo-engine.json"
    ),
    "zoo-http.json": Measured(
        (*JUDGE, "serve/"), "specref zoo --level http --json docs/results/zoo-http.json"
    ),
    "engines.json": Measured((*JUDGE, "adapters/"), "make engines"),
    "mutation.json": Measured(
        (*LOOP, "serve/", "measure/", "data.py", "checks.py", *JUDGE, "/tests/mut*.py"),
        "make mutation",
    ),
    "torture.json": Measured(
        ("serve/", "cli/", "model/", "outputs.py", "data.py", "/tests/torture/"),
        "make torture",
    ),
    "betting.json": Measured(
        ("stats/", "/tests/stats/betting_run.py"),
        "python -m tests.stats.betting_run --json docs/results/betting.json",
    ),
    "trace.json": Measured(
        (*LOOP, "checkpoints/"),
        "specref trace --prompt 'def main():' --cycles 12 --seed 3 --gamma 5"
        " --json docs/results/trace.json",
    ),
    "coverage.json": Measured(("", "/tests/"), "make coverage"),
}
# where these stood before the package was renamed, in which some of the files were still made
ONCE = {"judge/": "conformance/", "stats/": "law/", "exact/": "law/"}


@dataclass(frozen=True)
class Age:
    """commits: since, that touched what it measures; None where that is not known, and `why`."""

    commits: int | None
    why: str = ""

    @property
    def words(self) -> str:
        """What a page says beside the result."""
        if self.commits is None:
            return f"age not known: {self.why}"
        if not self.commits:
            return "nothing that it measures has changed since"
        some = "1 commit has" if self.commits == 1 else f"{self.commits} commits have"
        return f"{some} touched what it measures since"


class NoHistoryError(Exception):
    """The history is not there to count in."""


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)


def history(root: Path) -> None:
    """Errors:
    NoHistoryError where no whole history is there.
    """
    try:
        shallow = _git(root, "rev-parse", "--is-shallow-repository")
    except OSError:
        raise NoHistoryError("git is not installed") from None
    if shallow.returncode:
        raise NoHistoryError("this is no git clone")
    if shallow.stdout.strip() == "true":
        raise NoHistoryError("this clone is shallow: git fetch --unshallow brings the rest")


def patterns(measured: Measured) -> list[str]:
    """What git counts in, from the repository's root."""
    found = []
    for path in measured.paths:
        if path.startswith("/"):
            found.append(path[1:])
        else:
            found += [f"reference/specref/{path}", f"reference/{ONCE.get(path, path)}"]
    return found


@lru_cache
def age(root: Path, name: str, commit: str | None) -> Age:
    """The age of the result file `name` that says it was made at `commit`."""
    try:
        history(root)
    except NoHistoryError as error:
        return Age(None, str(error))
    if not commit:
        return Age(None, "it was not made in a clone")
    made = commit.rstrip("+")
    if _git(root, "merge-base", "--is-ancestor", made, "HEAD").returncode:
        return Age(None, f"{made[:12]} is no commit of this history")
    counted = _git(root, "rev-list", "--count", f"{made}..HEAD", "--", *patterns(FILES[name]))
    if counted.returncode:
        return Age(None, " ".join(counted.stderr.split()))
    return Age(int(counted.stdout))


def ages(root: Path) -> Mapping[str, Age]:
    """Of every result file that is there.

    Errors:
        LookupError for one whose paths nobody has named.
    """
    found = {}
    for path in sorted((root / RESULTS).glob("*.json")):
        if path.name not in FILES:
            raise LookupError(
                f"{RESULTS}/{path.name}: say in docs/ages.py what it measures and how to renew it"
            )
        found[path.name] = age(root, path.name, json.loads(path.read_text()).get("commit"))
    return found


def old(found: Age) -> bool:
    return found.commits is None or found.commits > LIMIT


def main(root: Path = ROOT) -> int:
    try:
        history(root)
        found = ages(root)
    except NoHistoryError as error:
        print(f"the ages of the result files cannot be counted: {error}", file=sys.stderr)
        return 2
    except LookupError as error:
        print(*error.args, file=sys.stderr)
        return 1
    for name, one in found.items():
        print(f"{'OLD' if old(one) else 'ok':4} {name:18} {one.words}")
    renew = [name for name, one in found.items() if old(one)]
    if renew:
        print(
            f"\n{len(renew)} are older than {LIMIT} commits. Renew them, in a clean clone of main:"
        )
        for name in renew:
            print(f"  {FILES[name].renew}")
    return 1 if renew else 0


if __name__ == "__main__":
    sys.exit(main())
