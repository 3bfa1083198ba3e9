"""Shell completion, and the time that a command takes to start."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.cli.completion import complete_from, complete_run

PROGRAM = [sys.executable, "-c", "from charrnn.__main__ import main; main()"]
NAMED = [*PROGRAM[:2], f"import sys; sys.argv = ['charrnn']; {PROGRAM[2]}"]
"""`PROGRAM` under the name that the shell completes."""


def completed(line: str) -> list[str]:
    """Return what bash would offer for the last word of a line."""
    done = subprocess.run(NAMED, capture_output=True, env=asked(line), check=False)
    assert done.stderr == b""
    return done.stdout.decode().split()


def asked(line: str, instruction: str = "complete_bash") -> dict[str, str]:
    """Return the environment in which bash asks for the completion of a line."""
    facts = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return os.environ | facts | {"_CHARRNN_COMPLETE": instruction}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("charrnn sa", ["sample"]),
        ("charrnn train --seq", ["--seq-length"]),
        ("charrnn train --cell l", ["lstm"]),
        ("charrnn train --optimizer adagrad", ["adagrad", "adagrad-damped"]),
        ("charrnn train --on-nonfinite ", ["stop", "skip", "rollback"]),
        ("charrnn train --builtin py", ["python-docs", "python-source"]),
        ("charrnn sample --on-unknown s", ["skip"]),
    ],
)
def test_the_shell_completes_commands_options_and_names(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


def test_the_shell_completes_runs_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(["shakespeare", "shaw", "other"]):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "best.npz").write_bytes(b"")
        os.utime(folder / "best.npz", (10**9 + age, 10**9 + age))
    assert complete_run("") == [f"checkpoints/{name}" for name in ("other", "shaw", "shakespeare")]
    assert complete_run("checkpoints/sha") == ["checkpoints/shaw", "checkpoints/shakespeare"]
    assert completed("charrnn sample checkpoints/o") == ["checkpoints/other"]
    assert completed("charrnn train --resume checkpoints/o") == ["checkpoints/other"]


@pytest.mark.parametrize("instruction", ["complete_bash", "source_bash"])
def test_completion_without_a_reader_is_no_error(instruction: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    facts = asked("charrnn tr", instruction)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(NAMED, stdout=pipe, stderr=subprocess.PIPE, env=facts, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_runs_there_is_nothing_to_complete() -> None:
    assert complete_run("") == []
    assert complete_from(["a", "b"])("c") == []


def processor_seconds(*words: str) -> float:
    """Return the processor time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_a_command_that_does_no_work_starts_quickly(words: tuple[str, ...]) -> None:
    """Not 1.5 times the time of the libraries of the help page: NumPy would make it 1.7 times."""
    libraries = (sys.executable, "-c", "import typer, typer.rich_utils, tqdm")
    pairs = [(processor_seconds(*PROGRAM, *words), processor_seconds(*libraries)) for _ in range(5)]
    own, needed = map(min, zip(*pairs, strict=True))
    assert own <= 1.5 * needed
