"""Signals in every long phase of every command: to the process, to its group, and from a terminal.

Each ends in one line and the usual exit code; a run that has begun is saved and can be resumed; no
process and no file is left over.
"""

import os
import pty
import random
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.runs.signals import Interrupted, raise_on_signal
from charrnn.system.signals import signals_held
from tests.reliability.processes import eventually, in_session

Call = Callable[..., Result]

PATIENCE = 60
RUN = Path("checkpoints/corpus")
ENDLESS = ("--steps", "10000000", "--eval-every", "10000000", "--hidden", "16")
TRAIN = ("train", "corpus.txt", *ENDLESS)


@dataclass(frozen=True)
class Phase:
    """A command, and how to tell that it is in the phase in question."""

    name: str
    arguments: Sequence[str]
    sign: str = ""
    """What stderr shows as the phase begins; without it, `seconds` must have passed."""
    seconds: float = 0.3
    trains: bool = False
    """Whether a run has begun, so that it must be saved."""
    workers: tuple[int, ...] = field(default=(1,))


PHASES = [
    Phase("reading standard input", ("train", "-"), seconds=1.5),
    Phase(
        "drawing weights",
        ("train", "corpus.txt", "--hidden", "1600", "--batch-size", "1", "--seq-length", "4"),
        sign="vocabulary",
    ),
    Phase(
        "calibrating",
        ("train", "corpus.txt", "--hidden", "256", "--minutes", "5"),
        sign="vocabulary",
        workers=(1, 2),
    ),
    Phase("training", TRAIN, sign="chars/s", trains=True, workers=(1, 2)),
    Phase(
        "validating",
        ("train", "long.txt", *ENDLESS[:2], "--eval-every", "1", "--name", "corpus"),
        sign=": validation",
        trains=True,
        workers=(1, 2),
    ),
    Phase("the probe", ("inspect-gradients", "--probe"), seconds=2.5),
    Phase("scoring", ("eval", "RUN", "long.txt", "--no-baselines"), seconds=1.5),
    Phase("count tables", ("eval", "RUN", "long.txt"), seconds=3.0),
    Phase("inspecting", ("inspect-gradients", "RUN", "--windows", "20000"), seconds=1.5),
    Phase("sampling", ("sample", "RUN", "--length", "100000000"), seconds=1.5),
    Phase("predicting", ("predict", "PAIRS"), seconds=1.5),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, sentences: str) -> Path:
    """A folder with a finished run on a text, one on pairs, and their texts."""
    place = tmp_path_factory.mktemp("models")
    (place / "corpus.txt").write_text(sentences, encoding="utf-8")
    draw = random.Random(1)
    lines = sentences.splitlines()
    long = "\n".join(draw.choice(lines) for _ in range(60_000))
    (place / "long.txt").write_text(long, encoding="utf-8")
    quick = ("--hidden", "8", "--steps", "3", "--workers", "1", "--quiet")
    for more in (("corpus.txt", "--name", "RUN"), ("--builtin", "dates", "--name", "PAIRS")):
        command = [sys.executable, "-m", "charrnn", "train", *more, *quick]
        subprocess.run(command, cwd=place, check=True, timeout=120)
    return place


class Running:
    """A command in a session of its own; stderr, or the terminal, is read as it comes."""

    def __init__(self, arguments: Sequence[str], *, terminal: bool) -> None:
        command = [sys.executable, "-m", "charrnn", *arguments]
        self.output = b""
        self._lock = threading.Lock()
        self._keyboard: int | None = None
        if terminal:
            self._keyboard, theirs = pty.openpty()
            termios.tcsetwinsize(theirs, (24, 80))
            self.process = subprocess.Popen(
                [sys.executable, "-c", OWN_TERMINAL, *command],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            source = self._keyboard
        else:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            assert self.process.stderr is not None
            source = self.process.stderr.fileno()
        self._reader = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._reader.start()

    def _read(self, source: int) -> None:
        while True:
            try:
                piece = os.read(source, 65536)
            except OSError:  # the terminal is gone
                return
            if not piece:
                return
            with self._lock:
                self.output += piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is still there, and close our ends."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stderr):
            if stream is not None:
                stream.close()
        if self._keyboard is not None:
            os.close(self._keyboard)

    def wait_for(self, phase: Phase) -> None:
        """Return once the phase has begun."""
        until = time.monotonic() + PATIENCE
        while phase.sign.encode() not in self.output:
            assert time.monotonic() < until, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.02)
        time.sleep(phase.seconds)
        assert self.process.poll() is None, self.output

    def end(self, how: str, number: int) -> None:
        """Send a signal: to the `process`, its `group`, or as Ctrl-C from the `terminal`."""
        self.output = b""
        if how == "terminal":
            assert self._keyboard is not None
            os.write(self._keyboard, b"\x03")
        elif how == "group":
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait(self) -> tuple[int, list[str]]:
        """Return the exit code and the lines that came after the signal."""
        code = self.process.wait(PATIENCE)
        if self._keyboard is None:
            self._reader.join(PATIENCE)
        else:
            ready, _, _ = select.select([self._keyboard], [], [], 0)
            time.sleep(0.1 if ready else 0.05)
        lines = self.output.decode("utf-8", "replace").replace("^C", "").splitlines()
        return code, [line for line in lines if line.strip()]


OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the pseudo-terminal the controlling one, so that ^C sends SIGINT to the whole group."""


def cases() -> Iterator[object]:
    """Yield every combination; those in QUICK belong to the usual run of the tests."""
    for phase in PHASES:
        for workers in phase.workers:
            for how, number in (
                ("process", signal.SIGINT),
                ("process", signal.SIGTERM),
                ("group", signal.SIGINT),
                ("group", signal.SIGTERM),
                ("terminal", signal.SIGINT),
            ):
                name = f"{phase.name}, {workers}, {number.name} to the {how}"
                marks = () if name in QUICK else (pytest.mark.slow,)
                yield pytest.param(phase, workers, how, number, id=name, marks=marks)


QUICK = {
    "training, 2, SIGINT to the terminal",
    "training, 2, SIGTERM to the group",
    "training, 1, SIGINT to the process",
    "calibrating, 2, SIGINT to the group",
    "validating, 2, SIGINT to the group",
    "the probe, 1, SIGINT to the group",
    "reading standard input, 1, SIGTERM to the process",
    "scoring, 1, SIGINT to the terminal",
    "sampling, 1, SIGINT to the process",
    "predicting, 1, SIGTERM to the group",
}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find children")
@pytest.mark.parametrize(("phase", "workers", "how", "number"), list(cases()))
def test_a_signal_ends_a_phase_in_one_line(
    phase: Phase,
    workers: int,
    how: str,
    number: signal.Signals,
    models: Path,
    empty_folder: Path,
    run_cli: Call,
) -> None:
    for name in ("corpus.txt", "long.txt"):
        (empty_folder / name).symlink_to(models / name)
    named = {"RUN": str(models / "checkpoints/RUN"), "PAIRS": str(models / "checkpoints/PAIRS")}
    arguments = [named.get(word, word) for word in phase.arguments]
    if arguments[0] == "train" and phase.name != "reading standard input":
        arguments += ["--workers", str(workers)]
    before = set(empty_folder.rglob("*"))
    with Running(arguments, terminal=how == "terminal") as running:
        running.wait_for(phase)
        running.end(how, number)
        began = time.monotonic()
        code, lines = running.wait()
        assert time.monotonic() - began < 10
    assert code == 128 + number, lines
    last = lines[-1]
    assert "Traceback" not in "\n".join(lines)
    assert not [line for line in lines if "charrnn: error" in line]
    if phase.trains:
        assert last.startswith("stopped at step ")
        assert last.endswith("; go on with: charrnn train --resume checkpoints/corpus")
        assert load_checkpoint(RUN / "last.npz").training is not None
        assert run_cli("info", RUN / "last.npz").exit_code == 0
    else:
        expected = "interrupted" if number == signal.SIGINT else "ended by SIGTERM"
        assert last == f"charrnn: {expected}"
        assert set(empty_folder.rglob("*")) == before
    if how != "terminal":  # there a bar and the text precede
        assert len(lines) == 1
    assert eventually(lambda: not in_session(running.process.pid))
    assert not list(Path("/dev/shm").glob(f"*-{running.process.pid}-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_python_discards_arrives_again(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a callback of the compiler of Numba."""

    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(number)

    with raise_on_signal():
        Finalised()
        with pytest.raises(Interrupted, match=number.name):
            time.sleep(5)
    assert capsys.readouterr().err == ""


def test_twice_ends_at_once_and_leaves_the_last_save_intact(
    models: Path, empty_folder: Path
) -> None:
    (empty_folder / "corpus.txt").symlink_to(models / "corpus.txt")
    slow = ("--hidden", "1024", "--seq-length", "256", "--save-every", "1")  # a step takes seconds
    with Running((*TRAIN, *slow, "--workers", "2"), terminal=False) as running:
        running.wait_for(PHASES[3])
        running.end("group", signal.SIGTERM)
        time.sleep(0.3)
        running.end("group", signal.SIGTERM)
        code, _ = running.wait()
    assert code == 143
    assert load_checkpoint(RUN / "last.npz").training is not None
    assert eventually(lambda: not in_session(running.process.pid))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["send()", "atexit.register(send)"])
def test_a_signal_outside_a_command(number: int, command: str) -> None:
    """Before it, a signal ends the program; after it, the exit code of the command stays."""
    script = f"""
import atexit, os, signal, sys
from charrnn import __main__ as program
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
send = lambda: os.kill(os.getpid(), {int(number)})
program.command_line = lambda: {command}
program.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    if command == "send()":
        assert done.returncode == 128 + number
        assert done.stderr == ("charrnn: interrupted\n" if number == signal.SIGINT else "")
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupted_final_scoring_is_repeated_by_resume(
    models: Path, empty_folder: Path, run_cli: Call
) -> None:
    (empty_folder / "corpus.txt").symlink_to(models / "long.txt")
    command = ("train", "corpus.txt", "--steps", "2", "--hidden", "64", "--workers", "1")
    with Running((*command, "--val-fraction", "0.5", "--json"), terminal=False) as running:
        running.wait_for(Phase("scoring", (), sign="; scoring", seconds=0.1))
        running.end("group", signal.SIGINT)
        code, (line,) = running.wait()
    assert code == 130
    assert line.startswith("stopped while scoring; the run is complete and saved (best validation")
    hint = line.partition("score it with: ")[2]
    assert hint == "charrnn train --resume checkpoints/corpus"
    repeated = run_cli(*hint.split()[1:], "--json")
    assert repeated.exit_code == 0
    assert '"reason": "finished"' in repeated.stdout
    assert '"validation_nats_per_char": null' not in repeated.stdout
    again = run_cli(*hint.split()[1:])
    assert "this run is finished" in again.stderr


def test_nohup_keeps_a_run_alive(models: Path, empty_folder: Path) -> None:
    (empty_folder / "corpus.txt").symlink_to(models / "corpus.txt")
    ignore = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    ignore += "os.execv(sys.executable, [sys.executable, '-m', 'charrnn', *sys.argv[1:]])"
    done = subprocess.Popen(
        [sys.executable, "-c", ignore, "train", "corpus.txt", "--steps", "400", "--hidden", "16"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(1.5)
    os.killpg(done.pid, signal.SIGHUP)
    _, stderr = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, stderr


@pytest.fixture
def _default_hangup() -> Iterator[None]:
    """Let children end by SIGHUP, also if the tests run under nohup, which they would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_default_hangup")
def test_a_closed_terminal_saves(models: Path, empty_folder: Path) -> None:
    (empty_folder / "corpus.txt").symlink_to(models / "corpus.txt")
    with Running((*TRAIN, "--workers", "2"), terminal=False) as running:
        running.wait_for(PHASES[3])
        running.end("group", signal.SIGHUP)
        code, lines = running.wait()
    assert code == 129, lines
    assert load_checkpoint(RUN / "last.npz").training is not None


def hold(reached: list[str]) -> None:
    """Receive a signal while it is held; note how far this comes."""
    with signals_held():
        signal.raise_signal(signal.SIGTERM)
        reached.append("in the block")
    reached.append("after it")


def test_a_signal_that_is_held_takes_effect_after_the_block() -> None:
    reached: list[str] = []
    with raise_on_signal(), pytest.raises(Interrupted) as caught:
        hold(reached)
    assert reached == ["in the block"]
    assert caught.value.exit_code == 143
