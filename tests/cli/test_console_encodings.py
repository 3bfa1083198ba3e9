"""Commands on consoles and in locales that are not UTF-8: none ends for want of a character."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Runner = Callable[[tuple[str, ...], Mapping[str, str]], tuple[int, bytes]]

UTF_8 = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SETTINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp437, strict": {"PYTHONIOENCODING": "cp437:strict"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C locale": C_LOCALE,
}
TEXT = "tëxt→.txt"
TINY = ("--hidden", "8", "--batch-size", "4", "--seq-length", "8", "--workers", "1")
COMMANDS = (
    ("train", TEXT, *TINY, "--steps", "20", "--watch-gradients", "--out", "rün→"),
    (
        "train",
        "pairs.tsv",
        "--layout",
        "many-to-one",
        "--hidden",
        "8",
        "--steps",
        "9",
        "--out",
        "pairs",
    ),
    ("sample", "rün→", "--count", "30", "--prime", "grüße →"),
    ("eval", "rün→", TEXT),
    ("info", "rün→"),
    ("inspect-gradients", "rün→", "--all"),
    ("inspect-gradients", "rün→", "--live"),
    ("predict", "pairs", "größe1"),
    ("--help",),
)
ERRORS = {("train", "nö→.txt"): 4, ("sample", "nö→.npz"): 3, ("predict", "pairs", "∂"): 4}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (f"zeile {number} grüße → ∂ 😀 мир {number % 7}\n" for number in range(200))
    Path(TEXT).write_text("".join(lines), encoding="utf-8")
    pairs = (f"größe{number % 9}\tπ{number % 3}\n" for number in range(200))
    Path("pairs.tsv").write_text("".join(pairs), encoding="utf-8")


def in_pipes(arguments: tuple[str, ...], settings: Mapping[str, str]) -> tuple[int, bytes]:
    """Run a command; return its exit code, and stdout and stderr in one."""
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | dict(settings),
        check=False,
    )
    return done.returncode, done.stdout


def on_terminal(arguments: tuple[str, ...], settings: Mapping[str, str]) -> tuple[int, bytes]:
    """Run a command at a pseudo-terminal; return its exit code and all that it writes."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "charrnn", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"} | dict(settings),
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    return process.returncode, written


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (on_terminal, "cp1252"),
        (in_pipes, "cp437, strict"),
        (in_pipes, "ascii"),
        (on_terminal, "C locale"),
    ],
)
def test_no_character_ends_a_command(run: Runner, name: str) -> None:
    for arguments in (*COMMANDS, *ERRORS):
        code, written = run(arguments, SETTINGS[name])
        assert code == ERRORS.get(arguments, 0), written
        assert written
        assert b"Traceback" not in written
        assert b"Error:" not in written


@pytest.mark.parametrize(("first", "then"), [(UTF_8, C_LOCALE), (C_LOCALE, UTF_8)])
def test_a_run_of_one_locale_is_used_in_another(
    first: Mapping[str, str], then: Mapping[str, str]
) -> None:
    train = ("train", TEXT, *TINY, "--steps", "600", "--save-every", "5", "--out", "run")
    with subprocess.Popen(
        [sys.executable, "-m", "charrnn", *train], env=os.environ | dict(first)
    ) as process:
        while not Path("run/last.npz").exists() and process.poll() is None:
            time.sleep(0.02)
        process.terminate()
    assert process.returncode == 143
    for arguments in (
        ("eval", "run", TEXT),
        ("inspect-gradients", "run"),
        ("train", "--resume", "run", "--quiet"),
    ):
        code, written = in_pipes(arguments, then)
        assert code == 0, written
