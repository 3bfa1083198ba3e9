"""Real runs on imitations of Windows and macOS, and on file systems without locks.

The imitation is a `sitecustomize` module: every Python process imports it first, workers included.
It removes what the platform lacks and refuses what the platform refuses. It is no proof that a
command works there.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import charrnn

WINDOWS = '''
import errno, os, signal, sys
from pathlib import Path

def refuse(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

def is_open(path):
    """Whether a process has the file open or mapped, which keeps it in place on Windows."""
    path = os.path.realpath(path)
    for process in filter(str.isdecimal, os.listdir("/proc")):
        place = f"/proc/{process}"
        try:
            opened = {os.readlink(f"{place}/fd/{number}") for number in os.listdir(f"{place}/fd")}
            mapped = Path(f"{place}/maps").read_text(errors="replace")
        except OSError:
            continue
        if path in opened or f" {path}\\n" in mapped:
            return True
    return False

def open_no_folder(path, flags, mode=0o777, *, dir_fd=None):
    return refuse(path) if os.path.isdir(path) else os_open(path, flags, mode, dir_fd=dir_fd)

def replace_closed(source, target):
    for path in (source, target):
        if is_open(path):
            refuse(path)
    os_replace(source, target)

def unlink_closed(path, *, dir_fd=None):
    return refuse(path) if is_open(path) else os_unlink(path, dir_fd=dir_fd)

os_open, os_replace, os_unlink = os.open, os.replace, os.unlink
os.open, os.replace, os.unlink = open_no_folder, replace_closed, unlink_closed
del os.O_NOFOLLOW, os.O_NONBLOCK, os.sysconf, os.sched_getaffinity
del signal.SIGHUP, signal.pthread_sigmask
sys.modules["resource"] = None
import charrnn.system.platform
charrnn.system.platform.IS_WINDOWS = True
'''

MACOS = """
import os, sys
from pathlib import Path

def read_text(path, *args, **options):
    if str(path).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return path_read_text(path, *args, **options)

path_read_text, Path.read_text = Path.read_text, read_text
del os.sched_getaffinity, os.O_TMPFILE
"""

NO_LOCKS = """
import errno, fcntl, os

def flock(descriptor, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

fcntl.flock = flock
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
TINY = ("--hidden", "8", "--batch-size", "4", "--seq-length", "8", "--eval-every", "10")
STEPS = ("--steps", "20", "--save-every", "5", "--keep", "2", "--workers", "2")


@pytest.fixture
def text(tmp_path: Path) -> str:
    """The name of a text file in the working directory of the commands."""
    content = "".join(f"line {number} of a small text, {number % 7}\n" for number in range(200))
    (tmp_path / "text.txt").write_text(content, encoding="utf-8")
    return "text.txt"


def environment(tmp_path: Path, imitation: str) -> dict[str, str]:
    """Return the variables for processes on an imitated platform."""
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(imitation, encoding="utf-8")
    package = Path(charrnn.__file__).parents[1]
    return os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{package}"}


def runner(tmp_path: Path, imitation: str) -> Run:
    """Return a function that runs a command on an imitated platform."""
    variables = environment(tmp_path, imitation)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-W", "error", "-m", "charrnn", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=variables, cwd=tmp_path, check=False
        )

    return run


on_both = pytest.mark.parametrize("imitation", [WINDOWS, MACOS], ids=["windows", "macos"])


@on_both
def test_a_model_is_trained_and_used(imitation: str, tmp_path: Path, text: str) -> None:
    run = runner(tmp_path, imitation)
    folder = tmp_path / "checkpoints" / "text"
    done = run("train", text, *TINY, *STEPS)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    names = {path.name for path in folder.iterdir()}
    saves = {"best.npz", "last.npz", "step-000010.npz", "step-000015.npz"}
    assert names == {*saves, "metrics.jsonl", "run.json", "lock"}
    for arguments in (
        ("sample", "--count", "20"),
        ("info",),
        ("eval", "text.txt"),
        ("inspect-gradients", "--plot", "gradient.svg"),
        ("inspect-gradients", "--live"),
    ):
        done = run(*arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert done.stdout
    assert (tmp_path / "gradient.svg").exists()


@pytest.mark.parametrize(
    ("imitation", "large"),
    [(WINDOWS, False), (WINDOWS, True), (MACOS, False)],
    ids=["windows", "windows, a text on disk", "macos"],
)
def test_ctrl_c_saves_a_run_that_can_be_resumed(
    imitation: str, large: bool, tmp_path: Path, text: str
) -> None:
    if large:
        imitation += "import charrnn.data.large_text_files as large\nlarge.LARGE_TEXT_BYTES = 1\n"
    command = ["train", text, *TINY, "--steps", "400", "--save-every", "5", "--workers", "2"]
    folder = tmp_path / "checkpoints" / "text"
    with subprocess.Popen(
        [sys.executable, "-m", "charrnn", *command],
        env=environment(tmp_path, imitation),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    ) as process:
        while not (folder / "last.npz").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in errors) == (130, False), errors
    done = runner(tmp_path, imitation)("train", "--resume", str(folder))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    rows = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(row)["step"] for row in rows if "nats_per_char" in json.loads(row)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400
    assert (folder / "ids.bin").exists() == large


def test_a_failed_run_leaves_nothing_on_windows(tmp_path: Path, text: str) -> None:
    done = runner(tmp_path, WINDOWS)("train", text, *TINY, *STEPS, "--lr", "1e30")
    assert (done.returncode, "Traceback" in done.stderr) == (6, False), done.stderr
    assert not (tmp_path / "checkpoints" / "text").exists()


def test_without_locks_a_run_warns_and_goes_on(tmp_path: Path, text: str) -> None:
    run = runner(tmp_path, NO_LOCKS)
    done = run("train", text, *TINY, *STEPS)
    assert done.returncode == 0, done.stderr
    assert "has no locks" in done.stderr
    assert run("inspect-gradients", "--live").returncode == 0
