"""What holds for every command: help with an example, and one line for what the user can mend."""

import subprocess
import sys
from pathlib import Path

import pytest
import specref
from specref import __version__
from specref.cli import COMMANDS, main
from specref.cli.arguments import RULE_NAMES, ZOO_LEVELS
from specref.judge.zoo import tally
from specref.verify import RULES


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    example = capsys.readouterr().out.partition("Example:")[2]
    assert f"specref {command}" in example


def failed(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command which cannot go on leaves behind."""
    code: str | int | None
    try:
        code = main(words)
    except SystemExit as stopped:
        code = stopped.code
    said = capsys.readouterr()
    assert code == 2, said
    assert said.err.splitlines(keepends=True) == [said.err.strip() + "\n"], said.err
    assert said.err.startswith(f"specref {words[0]}: ")
    assert said.out == ""
    return said.err


BAD = {
    "no prompt": (["generate"], "--prompt"),
    "empty prompt": (["generate", "--prompt", ""], "empty"),
    "two prompts": (["generate", "--prompt", "a", "--prompt-ids", "1"], "choose one"),
    "long prompt": (["generate", "--prompt", "a" * 160], "shorten it to 159"),
    "no number": (["generate", "--prompt-ids", "1,x"], "no number"),
    "token outside": (["generate", "--prompt-ids", "1,256"], "outside 0..255"),
    "no prompt file": (["generate", "--prompt-file", "/nowhere/x"], "cannot read"),
    "dtype": (["generate", "--prompt", "a", "--dtype", "int8"], "float32"),
    "device": (["generate", "--prompt", "a", "--device", "tpu"], "cpu or cuda"),
    "rule": (["generate", "--prompt", "a", "--rule", "guess"], "rejection"),
    "greedy and temperature": (
        ["generate", "--prompt", "a", "--rule", "greedy", "--temperature", "1"],
        "leave it out",
    ),
    "temperature": (["generate", "--prompt", "a", "--temperature", "-1"], "0 (greedy) or more"),
    "top-p": (["generate", "--prompt", "a", "--top-p", "0"], "above 0"),
    "gamma": (["generate", "--prompt", "a", "--gamma", "-1"], "0 (no draft) or more"),
    "threads": (["generate", "--prompt", "a", "--threads", "-2"], "1 or more"),
    "layers": (["generate", "--prompt", "a", "--drafter", "early-exit", "--layers", "2"], "1 to 1"),
    "layers of what": (["generate", "--prompt", "a", "--layers", "1"], "early-exit"),
    "empty stop": (["generate", "--prompt", "a", "--stop", ""], "at least one token"),
    "json folder": (["generate", "--prompt", "a", "--json", "/nowhere/x.json"], "create it first"),
    "cycles": (["trace", "--prompt", "a", "--cycles", "0"], "1 or more"),
    "one demo prompt": (["demo", "--prompts", "1"], "2 or more"),
    "demo gamma": (["demo", "--gamma", "0"], "1 or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(
    case: str, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words, mend = BAD[case]
    models = pair if "--threads" not in words and words[0] != "demo" else pair[:4]
    assert mend in failed([words[0], *models, *words[1:]], capsys)


def test_bad_checkpoints_get_one_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, ask = str(models / "target"), ["--prompt", "a", "--threads", "1"]
    assert "does not exist" in failed(["generate", "--target", str(tmp_path), *ask], capsys)
    assert "give --draft DIR" in failed(["generate", "--target", target, *ask], capsys)
    assert "does not exist" in failed(
        ["generate", "--target", target, "--draft", str(tmp_path), *ask], capsys
    )
    mixed = failed(["generate", "--target", target, "--draft", str(models / "other"), *ask], capsys)
    assert "64 tokens and the target 256" in mixed
    assert "share one vocabulary" in mixed
    assert "tokenizer.json" in failed(
        ["generate", "--target", str(models / "other"), "--drafter", "ngram", *ask], capsys
    )
    assert "256" in failed(
        ["demo", "--target", str(models / "other"), "--draft", str(models / "other")], capsys
    )


def test_the_process_itself_ends_with_2_and_no_traceback(models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "specref", "generate", "--target", str(models), "--prompt", "a"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "config.json does not exist" in done.stderr


def imported(words: list[str]) -> set[str]:
    """The top-level packages that are loaded once a command line was handled."""
    code = (
        "import sys\nfrom specref.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "print('loaded', *{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        *([command, "--help"] for command in COMMANDS),
        ["generate", "--prompt", "a", "--json", "/nowhere/x.json"],
        ["bench", "--rounds", "0"],
        ["validate"],
    ],
)
def test_help_and_bad_use_load_nothing_heavy(words: list[str]) -> None:
    assert not imported(words) & {"torch", "numpy", "scipy", "rich"}


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"specref {__version__}\n"


def test_the_written_out_names_are_what_they_name() -> None:
    """So that help can be shown without importing what they name."""
    assert tuple(RULES) == RULE_NAMES
    assert tally.LEVELS_AND_EXACT == ZOO_LEVELS


def test_no_file_shadows_python_s_own() -> None:
    own = {path.stem for path in Path(specref.cli.__file__).parents[1].rglob("*.py")}
    assert not (own - {"__init__", "__main__"}) & sys.stdlib_module_names
