"""How old a result file is: commits are counted that touched what it measures, in a history that
the test writes; and without a history it says so.
"""

import json
import subprocess
from pathlib import Path

import pytest

from docs import ages
from docs.hooks import fences, results

ROOT = Path(__file__).parents[2]
DECODE = "reference/specref/decode.py"


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(root), *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(root: Path, path: str, text: str) -> str:
    """Write a file, commit it: the commit."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", path)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    root.mkdir()
    git(root, "init", "--quiet")
    commit(root, DECODE, "1")
    ages.age.cache_clear()
    return root


def made(root: Path, at: str | None, name: str = "bench.json") -> ages.Age:
    """Put a result file made at a commit; its age."""
    ages.age.cache_clear()
    content = json.dumps({"command": "bench", "commit": at})
    commit(root, f"docs/results/{name}", content)
    return ages.ages(root)[name]


def test_only_commits_that_touched_what_it_measures_count(clone: Path) -> None:
    at = git(clone, "rev-parse", "HEAD")
    assert made(clone, at) == ages.Age(0)
    commit(clone, "reference/specref/judge/verdict.py", "no part of it")
    commit(clone, "README.md", "nor this")
    assert made(clone, at).words == "nothing that it measures has changed since"
    commit(clone, DECODE, "2")
    assert made(clone, at).words == "1 commit has touched what it measures since"
    commit(clone, "reference/specref/verify/greedy.py", "1")
    commit(clone, "reference/specref/decode/step.py", "a folder where a file was")
    assert made(clone, at + "+").words == "3 commits have touched what it measures since"


def test_files_of_before_the_rename_are_counted_where_they_stood(clone: Path) -> None:
    at = git(clone, "rev-parse", "HEAD")
    commit(clone, "reference/conformance/verdict.py", "1")
    commit(clone, "reference/law/power.py", "1")
    commit(clone, "reference/specref/stats/power.py", "1")
    assert made(clone, at, "zoo.json") == ages.Age(3)


def test_the_limit_is_the_last_age_that_passes(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = git(clone, "rev-parse", "HEAD")
    for number in range(ages.LIMIT):
        commit(clone, DECODE, f"again {number}")
    made(clone, at)
    assert ages.main(clone) == 0
    commit(clone, DECODE, "one more")
    ages.age.cache_clear()
    assert ages.main(clone) == 1
    said = capsys.readouterr().out
    assert f"OLD  bench.json         {ages.LIMIT + 1} commits" in said
    assert said.rstrip().endswith("  specref bench --json docs/results/bench.json")


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ("0123456789abcdef", "0123456789ab is no commit of this history"),
        (None, "it was not made in a clone"),
    ],
)
def test_a_file_of_no_known_commit_is_old(
    clone: Path, at: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is one made on a branch that was rebased away."""
    assert made(clone, at).words == f"age not known: {why}"
    assert ages.main(clone) == 1
    assert why in capsys.readouterr().out


def test_without_the_whole_history_nothing_is_claimed(
    clone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = git(clone, "rev-parse", "HEAD")
    made(clone, at)
    shallow, bare = tmp_path / "shallow", tmp_path / "no clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", clone.as_uri(), str(shallow))
    (bare / "docs" / "results").mkdir(parents=True)
    for root, why in ((shallow, "this clone is shallow"), (bare, "this is no git clone")):
        ages.age.cache_clear()
        assert ages.main(root) == 2
        assert why in capsys.readouterr().err
        assert ages.age(root, "bench.json", at).words.startswith(f"age not known: {why}")


def test_a_result_whose_paths_nobody_named_is_an_error(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(clone, "docs/results/new.json", "{}")
    assert ages.main(clone) == 1
    assert "docs/results/new.json: say in docs/ages.py" in capsys.readouterr().err


def test_every_table_of_a_page_shows_its_age(clone: Path) -> None:
    at = git(clone, "rev-parse", "HEAD")
    content = {"command": "mutation", "commit": at, "machine": {"cpu": "a cpu"}, "versions": {}}
    commit(
        clone,
        "docs/results/mutation.json",
        json.dumps(content | {"files": [], "possible": 1, "tried": 1, "killed": 1}),
    )
    commit(clone, DECODE, "2")
    assert f"commit `{at[:12]}` · 1 commit has touched" in results.table(clone, "mutation")


def test_every_result_here_has_paths_that_exist_and_a_command_that_is_possible() -> None:
    for name in (path.name for path in (ROOT / ages.RESULTS).glob("*.json")):
        assert name in ages.FILES
    for measured in ages.FILES.values():
        for path in measured.paths:
            top = ROOT if path.startswith("/") else ROOT / "reference" / "specref"
            assert list(top.glob(path.strip("/") or "*")), path
    page = "\n".join(["```sh", *(measured.renew for measured in ages.FILES.values()), "```"])
    assert not fences.impossible(page + "\n", ROOT / "Makefile")
