"""Every fence of the page "Adopt it in ten lines" is run. The user's own modules are played by
plain PyTorch, and the commands run as they stand, but with one check and a short budget.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pages" / "adopt.md").read_text()
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.M | re.S)
FENCES = FENCE.findall(PAGE)  # language, title, text
FILES = {title: text for _, title, text in FENCES if title}
COMMANDS = [text.strip() for language, _, text in FENCES if language == "sh"]

MY_KERNEL = """
import torch

def verify(p, q, draft, generator):
    count, rows, at = draft.shape[1], torch.arange(len(p)), draft[..., None]
    u = torch.rand(draft.shape, generator=generator)
    kept = u * q.gather(2, at)[..., 0] < p[:, :count].gather(2, at)[..., 0]
    accepted = kept.long().cumprod(1).sum(1)
    drafted = torch.cat([q, torch.zeros_like(p[:, :1])], 1)[rows, accepted]
    left = (p[rows, accepted] - drafted).clamp(min=0)
    left = left.where(left.sum(-1, keepdim=True) > 0, p[rows, accepted])
    return accepted, torch.multinomial(left, 1, generator=generator)[:, 0]
"""
MY_TRITON = """
import torch
from my_kernel import verify

device = "cpu"

class Launcher:
    def __getitem__(self, grid):
        def launch(p, q, draft, out, seed, count, vocabulary):
            assert grid == (len(p),) and q.shape[1:] == (count, vocabulary)
            accepted, token = verify(p, q, draft, torch.Generator().manual_seed(seed))
            place, end = torch.arange(count + 1), accepted[:, None]
            tokens = torch.cat([draft, token[:, None]], 1).scatter(1, end, token[:, None])
            out.copy_(tokens.where(place <= end, out))
        return launch

verify_kernel = Launcher()
"""


def command(
    text: str, folder: Path, *more: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = shlex.split(text)
    assert words[0] == "specref"
    full = [sys.executable, "-m", "specref", *words[1:], *more, "--json", "out.json"]
    ours = {**os.environ, "PYTHONPATH": str(ROOT / "reference"), **(environment or {})}
    return subprocess.run(full, cwd=folder, env=ours, capture_output=True, text=True, timeout=300)


def test_this_file_knows_every_fence() -> None:
    assert [(language, title) for language, title, _ in FENCES] == [
        ("py", "kernel_adapter.py"),
        ("sh", ""),
        ("py", "triton_adapter.py"),
        ("sh", ""),
        ("py", "engine_adapter.py"),
        ("sh", ""),
        ("sh", ""),
        ("py", "served_adapter.py"),
        ("sh", ""),
        ("yaml", ".github/workflows/judge.yml"),
        ("bash", "judge.sh"),
    ]


@pytest.mark.parametrize("title", [title for title in FILES if title.endswith("_adapter.py")])
def test_an_adapter_has_ten_lines_of_the_user(title: str) -> None:
    """Imports and the class statement aside, which every adapter has."""
    lines = [line for line in FILES[title].splitlines() if line.strip()]
    own = [line for line in lines if not re.match(r"(import|from|class) ", line)]
    assert len(own) <= 10


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A folder of the user's: the page's files, and the user's own modules."""
    for title in ("kernel_adapter.py", "triton_adapter.py", "engine_adapter.py"):
        (tmp_path / title).write_text(FILES[title])
    (tmp_path / "my_kernel.py").write_text(MY_KERNEL)
    (tmp_path / "my_triton.py").write_text(MY_TRITON)
    return tmp_path


@pytest.mark.parametrize("number", [0, 1])
def test_kernels(users: Path, number: int) -> None:
    checks = ("--only", "kernel.shape", "--only", "kernel.joint")
    done = command(COMMANDS[number], users, *checks, "--budget", "120", "--mde", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((users / "out.json").read_text())["verdict"] == "PASS"


@pytest.mark.parametrize("name", ["kernel", "triton"])
def test_a_wrong_kernel_fails(users: Path, name: str) -> None:
    """The same adapters convict a kernel that draws from p where it should draw from p - q."""
    wrong = MY_KERNEL.replace("left = (p[rows, accepted] - drafted)", "left = p[rows, accepted]")
    assert wrong != MY_KERNEL
    (users / "my_kernel.py").write_text(wrong)
    done = command(
        f"specref validate {name}_adapter.py:Mine",
        users,
        "--only",
        "kernel.joint",
        "--budget",
        "120",
    )
    assert done.returncode == 1, done.stdout + done.stderr


def test_engine(users: Path) -> None:
    """Right texts, and the verdict that the page announces: it reports no metrics."""
    done = command(COMMANDS[2], users, "--only", "engine.greedy", "--budget", "120")
    result = json.loads((users / "out.json").read_text())
    verdicts = {check["id"]: check["verdict"] for check in result["checks"]}
    assert verdicts == {"engine.greedy": "UNVERIFIED"}, done.stdout + done.stderr
    assert (done.returncode, result["checks"][0]["n"] > 30) == (4, True)


@pytest.fixture
def servers() -> Iterator[tuple[int, int]]:
    """`specref serve` with speculation and without, each on a free port."""
    ports, running = [], []
    for drafter in ("model", "none"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
        words = ["serve", "--port", str(ports[-1]), "--drafter", drafter]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "reference")}
        running.append(subprocess.Popen([sys.executable, "-m", "specref", *words], env=environment))
    for port in ports:
        _wait(port)
    yield ports[0], ports[1]
    for process in running:
        process.terminate()
        process.wait(30)


def _wait(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on {port}")


def test_server(servers: tuple[int, int], tmp_path: Path) -> None:
    text = COMMANDS[3].replace("8000", str(servers[0])).replace("8001", str(servers[1]))
    done = command(text, tmp_path, "--only", "http.greedy")
    result = json.loads((tmp_path / "out.json").read_text())
    verdicts = {check["id"]: check["verdict"] for check in result["checks"]}
    assert verdicts == {"http.greedy": "PASS"}, done.stdout + done.stderr


def test_a_server_that_loads_a_checkpoint(tmp_path: Path) -> None:
    """`my-server` is played by ours: other words, and the same command line behind them."""
    served = tmp_path / "my-server"
    ours = f'"{sys.executable}" -m specref serve --threads 1 --target "$1" --port "$3"'
    served.write_text(
        "#!/bin/sh\n"
        f'if [ -n "$5" ]; then exec {ours} --draft "$5"; fi\nexec {ours} --drafter none\n'
    )
    served.chmod(0o755)
    (tmp_path / "served_adapter.py").write_text(FILES["served_adapter.py"])
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = command(COMMANDS[4], tmp_path, "--only", "engine.draft-is-target", environment=path)
    result = json.loads((tmp_path / "out.json").read_text())
    verdicts = {check["id"]: check["verdict"] for check in result["checks"]}
    assert verdicts == {"engine.draft-is-target": "PASS"}, done.stdout + done.stderr


def test_the_workflow_calls_the_action_as_it_is() -> None:
    steps = yaml.safe_load(FILES[".github/workflows/judge.yml"])["jobs"]["judge"]["steps"]
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    assert steps[1]["with"].keys() <= inputs.keys()
    required = {name for name, one in inputs.items() if one.get("required")}
    assert required <= steps[1]["with"].keys()


def test_the_script_for_any_ci(users: Path) -> None:
    """The script as it stands. Only pip, which takes minutes, is replaced: by one that notes what
    it was asked for. `.ci/wheel` runs the same pip lines with the real one.
    """
    bin_folder = users / "judge" / "bin"
    bin_folder.mkdir(parents=True)
    pip = '#!/bin/sh\necho "$@" >> pip.log\n'
    (users / "fake").mkdir()
    (users / "fake" / "python3").write_text("#!/bin/sh\nexit 0\n")
    (bin_folder / "python").write_text(pip)
    (bin_folder / "specref").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m specref "$@" --only kernel.shape\n'
    )
    for path in (users / "fake" / "python3", bin_folder / "python", bin_folder / "specref"):
        path.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{users / 'fake'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "reference"),
    }
    script = FILES["judge.sh"]
    done = subprocess.run(
        ["bash", "-c", script], cwd=users, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (users / "report" / "report.html").exists()
    assert (users / "pip.log").read_text().splitlines() == [
        "-m pip install -c specref/constraints.txt torch",
        "-m pip install -c specref/constraints.txt ./specref",
    ]
    (users / "kernel_adapter.py").write_text("raise RuntimeError('broken')\n")
    done = subprocess.run(
        ["bash", "-c", script], cwd=users, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stdout + done.stderr
