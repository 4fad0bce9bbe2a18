"""The judge as somebody else has it: installed from a wheel, in a folder full of names that could
get in its way.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path, code: int = 0) -> str:
    """Run it and expect this exit code; what it printed."""
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))
    }
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with our wheel; it borrows torch and pytest, which take
    minutes to install.
    """
    top = tmp_path_factory.mktemp("foreign")
    source = top / "source"
    shutil.copytree(
        ROOT / "reference", source / "reference", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, source)
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-cache-dir",
        "-q",
        "-w",
        top,
        source,
        cwd=top,
    )
    venv.create(top / "env", with_pip=False, symlinks=True)
    bin_folder = top / "env" / "bin"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        bin_folder / "python",
        "install",
        "--no-deps",
        "-q",
        *top.glob("*.whl"),
        cwd=top,
    )
    packages = next((top / "env" / "lib").glob("python*")) / "site-packages"
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    run(
        bin_folder / "python",
        "-c",
        f"import pytest, specref; assert {str(packages)!r} in specref.__file__; "
        "print(pytest.console_main)",
        cwd=top,
    )
    return bin_folder


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A working folder with an adapter from --init, and with everything that could get in the
    way.
    """
    for name in (
        "reference.py",
        "conftest.py",
        "types.py",
        "torch.py",
        "tests/__init__.py",
        "tests/test_theirs.py",
        "reference/__init__.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('the wrong file')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = check_*.py\ntestpaths = tests\n")
    return tmp_path


def test_command_and_pytest_from_a_wheel(foreign: Path, crowded: Path) -> None:
    """An adapter written by --init is judged by both ways in, wherever one stands."""
    run(foreign / "specref", "validate", "--init", "kernel", "mine.py", cwd=crowded)
    run(
        foreign / "specref",
        "validate",
        "mine.py:Mine",
        "--only",
        "kernel.shape",
        "--json",
        "out.json",
        cwd=crowded,
    )
    result = json.loads((crowded / "out.json").read_text())
    assert (result["verdict"], result["complete"], result["commit"]) == ("PASS", True, None)
    judge = (
        foreign / "python",
        "-P",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--pyargs",
        "specref.judge",
    )
    said = run(*judge, "--engine", "mine.py:Mine", "-k", "kernel.shape", "-v", cwd=crowded)
    assert "specref.judge::kernel.shape PASSED" in said
    said = run(*judge, cwd=crowded, code=2)
    assert "give --engine path/to/adapter.py:Name" in said


def test_the_plugin_is_nothing_to_others(foreign: Path, tmp_path: Path) -> None:
    """Where the judge is not asked for, its options are free and nothing of it is imported."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--engine')\n"
    )
    (tmp_path / "reference.py").write_text("mine = True\n")
    (tmp_path / "test_theirs.py").write_text(
        "import sys\nimport reference\n\ndef test(request):\n    assert reference.mine\n"
        "    assert request.config.getoption('--engine') == 'v8'\n"
        "    assert request.config.pluginmanager.has_plugin('specref')\n"
        "    assert not {'torch', 'specref.data', 'specref.cli'} & {*sys.modules}\n"
    )
    assert "1 passed" in run(
        foreign / "python", "-m", "pytest", "-p", "no:cacheprovider", "--engine", "v8", cwd=tmp_path
    )


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A package called `reference` of the user's own, with a kernel in it, in a folder that is not
    the working folder.
    """
    package = tmp_path / "theirs" / "reference"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("OWNER = 'the user'\n")
    kernel = (ROOT / "reference" / "specref" / "judge" / "templates" / "kernel.py").read_text()
    (package / "kernel.py").write_text(kernel)
    return package.parent


ADAPTER = """
import reference
import reference.kernel

assert reference.OWNER == "the user"

class Mine(reference.kernel.Mine):
    name = reference.OWNER
"""


@pytest.mark.parametrize("where", ["on PYTHONPATH", "behind an adapter"])
def test_a_package_called_reference_of_the_users_own(
    foreign: Path, theirs: Path, tmp_path: Path, where: str
) -> None:
    """The adapter gets the user's `reference`, and the judge its own modules, in both ways in."""
    work = tmp_path / "work"
    work.mkdir()
    path = f"PYTHONPATH={theirs}" if where == "on PYTHONPATH" else "UNUSED=1"
    adapter = (work if where == "on PYTHONPATH" else theirs) / "mine.py"
    adapter.write_text(ADAPTER)
    judge = ("env", path, foreign / "specref", "validate", f"{adapter}:Mine")
    run(*judge, "--only", "kernel.shape", "--json", "out.json", cwd=work)
    result = json.loads((work / "out.json").read_text())
    assert (result["verdict"], result["name"]) == ("PASS", "the user")
    pytest_run = ("env", path, foreign / "python", "-P", "-m", "pytest", "-p", "no:cacheprovider")
    asked = ("--pyargs", "specref.judge", "--engine", f"{adapter}:Mine", "-k", "kernel.shape", "-v")
    assert "specref.judge::kernel.shape PASSED" in run(*pytest_run, *asked, cwd=work)
