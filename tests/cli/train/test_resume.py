"""`charrnn train --resume`: an interrupted run ends as if it had never stopped."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.runs.environment import machine_facts
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train import resume

Call = Callable[..., Result]
Rows = Callable[[Path], list[dict[str, Any]]]
AtStep = Callable[[int, Callable[[], None]], None]
AssertSame = Callable[[Path, Path], None]
Spawn = Callable[..., "subprocess.Popen[bytes]"]

RUN = Path("checkpoints/corpus")
WHOLE = Path("whole")


class Killed(BaseException):
    """Stands for SIGKILL: nothing is written any more, and no handler asked."""


def kill() -> None:
    raise Killed


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


COMBINATIONS = [
    ("--cell", cell, "--optimizer", optimiser, "--layers", layers)
    for cell in ("rnn", "lstm", "gru")
    for optimiser in ("adagrad", "adam")
    for layers in ("1", "2")
]
EXTRAS = ("--dropout", "0.3", "--ema-decay", "0.9", "--schedule", "step")
QUICK = [
    COMBINATIONS[0],
    (*COMBINATIONS[5], "--dropout", "0.3", "--backend", "numpy"),
    (*COMBINATIONS[8], "--ema-decay", "0.9"),
    (*COMBINATIONS[11], *EXTRAS, "--state-reset-prob", "0.5"),
]


def train_with_interruptions(
    run_cli: Call, at_step: AtStep, command: Sequence[str], ends: Sequence[tuple[int, Any]]
) -> None:
    """Train, ended at each of the steps in its way, and resumed each time."""
    called: Sequence[str] = command
    for step, end in ends:
        at_step(step, end)
        if end is kill:
            with pytest.raises(Killed):
                run_cli(*called)
        else:
            result = run_cli(*called)
            assert result.exit_code == {interrupt: 130, terminate: 143}[end]
            assert load_checkpoint(RUN / "last.npz").step == step
        called = ("train", "--resume", str(RUN), "--quiet", "--save-every", "3")
    at_step(0, kill)
    assert run_cli(*called).exit_code == 0


@pytest.mark.parametrize("settings", QUICK, ids=" ".join)
def test_an_interrupted_run_equals_the_one_never_stopped(
    settings: Sequence[str],
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: AtStep,
    assert_same: AssertSame,
    rows: Rows,
) -> None:
    command = ("train", "corpus.txt", *tiny, *settings, "--save-every", "3")
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    ends = [(5, interrupt), (7, kill), (8, kill), (13, terminate)]
    train_with_interruptions(run_cli, at_step, command, ends)
    assert_same(RUN, WHOLE)
    assert timeless(rows(RUN)) == timeless(rows(WHOLE))


def timeless(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the speed, which no seed decides."""
    return [{k: v for k, v in row.items() if k != "chars_per_second"} for row in found]


@pytest.mark.slow
@pytest.mark.parametrize("settings", COMBINATIONS, ids=" ".join)
def test_ten_interruptions_leave_no_trace(
    settings: Sequence[str],
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: AtStep,
    assert_same: AssertSame,
) -> None:
    command = ("train", "corpus.txt", *tiny, *settings, *EXTRAS, "--save-every", "3")
    command = (*command, "--steps", "90", "--eval-every", "20")
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    ends = [(step, kill if step % 2 else interrupt) for step in range(5, 90, 9)]
    assert len(ends) == 10
    train_with_interruptions(run_cli, at_step, command, ends)
    assert_same(RUN, WHOLE)


@pytest.mark.parametrize("step", [10, 20])
def test_an_interruption_at_the_moment_of_validation_leaves_no_trace(
    step: int,
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: AtStep,
    assert_same: AssertSame,
    rows: Rows,
) -> None:
    command = ("train", "corpus.txt", *tiny)
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    train_with_interruptions(run_cli, at_step, command, [(step, interrupt)])
    assert_same(RUN, WHOLE)
    assert timeless(rows(RUN)) == timeless(rows(WHOLE))


def test_a_run_shared_by_two_processes_resumes_exactly(
    run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: AtStep, assert_same: AssertSame
) -> None:
    command = ("train", "corpus.txt", *tiny, "--workers", "2", "--dropout", "0.3")
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    train_with_interruptions(run_cli, at_step, command, [(6, interrupt)])
    state = load_checkpoint(RUN / "last.npz").training
    assert state is not None
    assert state.config.workers == 2
    assert_same(RUN, WHOLE)


@pytest.fixture
def interrupted(run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: AtStep) -> Path:
    """A run that was interrupted at step 7 of 20."""
    at_step(7, interrupt)
    assert run_cli("train", "corpus.txt", *tiny).exit_code == 130
    at_step(0, kill)
    return RUN


@pytest.mark.parametrize(("stop", "code"), [(interrupt, 130), (terminate, 143)])
def test_an_interruption_says_how_to_go_on(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: AtStep,
    stop: Callable[[], None],
    code: int,
) -> None:
    at_step(7, stop)
    result = run_cli("train", "corpus.txt", *tiny)
    assert result.exit_code == code
    assert "stopped at step 7; go on with: charrnn train --resume checkpoints/corpus" in (
        result.stderr
    )
    assert result.stdout == ""


def test_another_text_is_refused(run_cli: Call, corpus: Path, interrupted: Path) -> None:
    text = corpus.read_text(encoding="utf-8")
    corpus.write_text(text.replace("cat", "rat", 1), encoding="utf-8")
    before = (RUN / "last.npz").read_bytes()
    result = run_cli("train", "--resume", RUN)
    assert result.exit_code == 4
    assert "not the text of this run" in result.stderr
    assert (RUN / "last.npz").read_bytes() == before


def test_a_text_that_moved_can_be_named(
    run_cli: Call, corpus: Path, interrupted: Path, empty_folder: Path
) -> None:
    corpus.rename(empty_folder / "moved.txt")
    gone = run_cli("train", "--resume", RUN)
    assert gone.exit_code == 4
    assert "corpus.txt" in gone.stderr
    assert run_cli("train", "moved.txt", "--resume", RUN).exit_code == 0
    assert load_checkpoint(RUN / "last.npz").step == 20


def test_a_built_in_text_is_found_again(
    run_cli: Call, tiny: Sequence[str], at_step: AtStep
) -> None:
    at_step(3, interrupt)
    options = (*tiny, "--val-fraction", "0.001", "--name", "france")
    assert run_cli("train", "--builtin", "france:40", *options).exit_code == 130
    at_step(0, kill)
    assert run_cli("train", "--resume", "checkpoints/france").exit_code == 0


def test_a_finished_run_says_so_and_stays_as_it_is(run_cli: Call, finished_run: Path) -> None:
    before = {path: path.read_bytes() for path in finished_run.iterdir()}
    result = run_cli("train", "--resume", finished_run)
    assert result.exit_code == 0
    assert "this run is finished, at step 20 of 20; try" in result.stderr
    assert f"--init-from {finished_run}" in result.stderr
    assert {path: path.read_bytes() for path in finished_run.iterdir()} == before


def test_a_run_that_ended_on_a_plateau_is_finished_too(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    still = ("--optimizer", "sgd", "--lr", "1e-30", "--eval-every", "2", "--patience", "2")
    run_cli("train", "corpus.txt", *tiny, *still)
    assert load_checkpoint(RUN / "last.npz").step == 6
    result = run_cli("train", "--resume", RUN)
    assert "this run is finished" in result.stderr
    assert load_checkpoint(RUN / "last.npz").step == 6


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, ""),
        ({"numpy": "1.0"}, "numpy"),
        ({"blas": ["openblas 0.3 Haswell"]}, "blas"),
        ({"platform": "Plan9", "blas": []}, "blas, platform"),
    ],
)
def test_a_resumed_run_says_what_of_the_machine_has_changed(
    changed: dict[str, Any],
    named: str,
    run_cli: Call,
    interrupted: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resume, "machine_facts", lambda: machine_facts() | changed)
    stderr = run_cli("train", "--resume", interrupted, "--quiet").stderr
    note = (
        f"charrnn: note: another machine or build than before ({named}): the last bits may differ"
    )
    assert stderr == (f"{note}\n" if named else "")


@pytest.mark.parametrize(
    "option",
    [
        *("--hidden 9", "--cell gru", "--layers 2", "--dropout 0.1", "--lr 1", "--optimizer adam"),
        *(
            "--batch-size 2",
            "--seq-length 8",
            "--steps 40",
            "--epochs 2",
            "--minutes 1",
            "--seed 3",
        ),
        *("--preset small", "--out there", "--name it", "--init-from x.npz"),
        *("--builtin france", "--bytes", "--encoding latin-1", "--normalize nfc", "--min-count 2"),
        *("--val-fraction 0.2", "--patience 3", "--eval-every 5", "--recurrent-init normal"),
        "--backend numpy",
    ],
)
def test_settings_that_contradict_the_run_are_refused(
    option: str, run_cli: Call, finished_run: Path
) -> None:
    result = run_cli("train", "--resume", finished_run, *option.split())
    assert result.exit_code == 2
    assert option.split()[0] in result.stderr
    assert result.stderr.startswith("charrnn: error: ")


def test_rows_past_the_checkpoint_and_a_cut_line_are_dropped(
    run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: AtStep, rows: Rows
) -> None:
    at_step(15, kill)
    with pytest.raises(Killed):
        run_cli("train", "corpus.txt", *tiny, "--save-every", "4")
    assert rows(RUN)[-1]["step"] == 12
    assert load_checkpoint(RUN / "last.npz").step == 12
    with (RUN / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
        metrics.write('{"step": 13, "lr": 1}\n{"step": 14, "epo')
    at_step(0, kill)
    assert run_cli("train", "--resume", RUN).exit_code == 0
    found = rows(RUN)
    assert [row["step"] for row in found if "lr" in row] == list(range(1, 21))
    assert [row["step"] for row in found if "lr" not in row] == [10, 20]


def test_what_cannot_be_resumed_is_an_error_of_the_checkpoint(
    run_cli: Call, finished_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "used").mkdir()
    best = (finished_run / "best.npz").read_bytes()
    (tmp_path / "used" / "last.npz").write_bytes(best)
    for place in ("used", "nowhere"):
        result = run_cli("train", "--resume", place)
        assert result.exit_code == 3
        assert place in result.stderr


def test_a_folder_that_another_run_writes_to_is_refused(
    run_cli: Call, interrupted: Path, rows: Rows
) -> None:
    before = (RUN / "last.npz").read_bytes()
    with RunFolder(RUN):
        result = run_cli("train", "--resume", RUN)
    assert result.exit_code == 5
    assert "another run is writing to 'checkpoints/corpus'" in result.stderr
    assert (RUN / "last.npz").read_bytes() == before
    assert run_cli("train", "--resume", RUN).exit_code == 0


def test_resuming_with_json_prints_the_same_object_as_a_whole_run(
    run_cli: Call, corpus: Path, interrupted: Path, tiny: Sequence[str]
) -> None:
    resumed = json.loads(run_cli("train", "--resume", RUN, "--json", "--quiet").stdout)
    whole = json.loads(run_cli("train", "corpus.txt", *tiny, "--json").stdout)
    for figures in (resumed, whole):
        for key in ("run", "best", "seconds"):
            del figures[key]
    assert resumed == whole


STEPS = 600
LONG = (
    *("train", "corpus.txt", "--hidden", "8", "--steps", str(STEPS), "--workers", "1", "--quiet"),
    *("--batch-size", "2", "--seq-length", "12", "--eval-every", "150", "--save-every", "20"),
    *("--dropout", "0.2", "--optimizer", "adam"),
)
RESUME = ("train", "--resume", str(RUN), "--quiet", "--save-every", "20")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


def saved_step() -> int:
    return load_checkpoint(RUN / "last.npz").step if (RUN / "last.npz").exists() else 0


def end_by_signal(running: "subprocess.Popen[bytes]", number: signal.Signals) -> tuple[int, str]:
    """Send a signal once a new checkpoint is there; return the exit code and what stderr said."""
    before = (RUN / "last.npz").stat().st_mtime_ns if (RUN / "last.npz").exists() else 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        if (RUN / "last.npz").exists() and (RUN / "last.npz").stat().st_mtime_ns > before:
            break
        time.sleep(0.005)
    running.send_signal(number)
    _, stderr = running.communicate(timeout=60)
    return running.returncode, stderr.decode()


def test_real_signals_end_a_process_and_leave_no_trace(
    run_cli: Call, corpus: Path, spawn: Spawn, assert_same: AssertSame
) -> None:
    assert run_cli(*LONG, "--out", WHOLE).exit_code == 0
    command: Sequence[str] = LONG
    for number, code in CODES.items():
        known = saved_step()
        returned, stderr = end_by_signal(spawn(*command), number)
        assert returned == code, stderr
        assert "Traceback" not in stderr
        assert known < saved_step() < STEPS
        command = RESUME
    assert run_cli(*RESUME).exit_code == 0
    assert_same(RUN, WHOLE)


SECOND_SIGNAL = """
import os, signal, sys, time
from charrnn.cli.runs.signals import SAME_SIGNAL_SECONDS, StopOnSignal, raise_on_signal
with raise_on_signal(), StopOnSignal() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # the same one once more, as timeout delivers it
    print("goes on" if stop() else "?", flush=True)
    time.sleep(2 * SAME_SIGNAL_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
"""


def test_a_second_interruption_ends_at_once(
    process: Callable[..., "subprocess.CompletedProcess[bytes]"], empty_folder: Path
) -> None:
    (empty_folder / "twice.py").write_text(SECOND_SIGNAL, encoding="utf-8")
    began = time.monotonic()
    done = process(f"{sys.executable} twice.py")
    assert time.monotonic() - began < 20
    assert done.returncode == 130
    assert done.stdout == b"goes on\n"
