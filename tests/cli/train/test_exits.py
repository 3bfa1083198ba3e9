"""Ways out of a run: each saves what was learned, and a failed command leaves nothing behind."""

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

import charrnn as api
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import checkpoint_in, numbered_saves, resumable_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.checkpointing.run_records import read_facts, sources_in
from charrnn.cli.runs.metrics_log import MetricsLog
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train import saves
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.cli.train.text_report import verdict
from charrnn.data import large_text_files as large_text
from charrnn.errors import CheckpointError, DivergedError, StorageError
from charrnn.evaluation.baselines import Baselines
from charrnn.training.dataset import ValidationResult
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
Rows = Callable[[Path], list[dict[str, Any]]]
AssertSame = Callable[[Path, Path], None]

RUN, WHOLE = Path("checkpoints/corpus"), Path("whole")


# Exceptions


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, OSError, KeyError])
def test_any_exception_saves_first_and_the_run_goes_on_exactly(
    error: type[Exception],
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    assert_same: AssertSame,
    rows: Rows,
) -> None:
    command = ("train", "corpus.txt", *tiny)
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    plain = TrainingDisplay.step

    def fail(self: TrainingDisplay, event: Any) -> None:
        plain(self, event)
        if event.step == 13:
            raise error("in step 13")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingDisplay, "step", fail)
        if error in (MemoryError, OSError):
            assert run_cli(*command).exit_code == 5
        else:
            with pytest.raises(error):
                run_cli(*command)
    assert load_checkpoint(RUN / "last.npz").step == 13
    assert run_cli("train", "--resume", RUN, "-q").exit_code == 0
    assert_same(RUN, WHOLE)
    assert [row["step"] for row in rows(RUN)] == [row["step"] for row in rows(WHOLE)]


def test_an_exception_while_weights_change_keeps_the_save_of_before(
    run_cli: Call, corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from charrnn.optim.optimisers import Adagrad

    plain = Adagrad.update

    def fail(self: Adagrad, weights: Any, gradient: Any, lr: float) -> None:
        plain(self, weights, gradient, lr)
        if lr > 0 and self.updates == 9:  # at a rate of 0 its speed is measured
            raise MemoryError

    monkeypatch.setattr(Adagrad, "update", fail)
    result = run_cli("train", "corpus.txt", *tiny, "--save-every", "4", "--backend", "numpy")
    assert result.exit_code == 5
    saved = load_checkpoint(RUN / "last.npz")
    assert saved.training is not None
    assert (saved.step, saved.training.updates) == (8, 8)  # 9 updates would be half of step 9


def test_a_killed_worker_costs_no_finished_step(
    corpus: Path, run_cli: Call, assert_same: AssertSame
) -> None:
    steps = ["--steps", "600", "--hidden", "24", "--eval-every", "150", "-q", "--workers", "2"]
    steps += ["--batch-size", "4", "--seq-length", "16"]
    assert run_cli("train", "corpus.txt", *steps, "--out", WHOLE).exit_code == 0
    running = subprocess.Popen(
        [sys.executable, "-m", "charrnn", "train", "corpus.txt", *steps, "--save-every", "50"],
        stderr=subprocess.PIPE,
    )
    while not (RUN / "last.npz").exists():
        time.sleep(0.01)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    for child in children:
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGKILL)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 5
    (line,) = stderr.decode().splitlines()
    assert line.startswith("charrnn: error: a worker process was killed by SIGKILL")
    assert line.endswith("; try charrnn train --resume checkpoints/corpus")
    stopped = load_checkpoint(RUN / "last.npz").step
    assert f"saved at step {stopped:,}" in line
    assert 50 <= stopped < 600
    assert run_cli("train", "--resume", RUN, "-q").exit_code == 0
    assert_same(RUN, WHOLE)


# Streams


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2> >(head -c 1 >/dev/null)"])
def test_a_run_outlives_its_messages(
    stream: str, process: Process, corpus: Path, tiny: Sequence[str]
) -> None:
    options = " ".join(tiny).replace("--quiet", "")
    done = process(f"charrnn train corpus.txt {options} {stream}")
    assert done.returncode == 0
    assert b"The model" in done.stdout
    assert load_checkpoint(RUN / "best.npz").step > 0


@pytest.mark.parametrize(
    "command", ["train corpus.txt OPTIONS --out new", "info RUN", "sample RUN", "info RUN --json"]
)
@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
def test_an_answer_that_cannot_be_written_is_an_error(
    command: str,
    stream: str,
    process: Process,
    corpus: Path,
    tiny: Sequence[str],
    finished_run: Path,
) -> None:
    options = " ".join(tiny).replace("--quiet", "")
    line = command.replace("OPTIONS", options).replace("RUN", str(finished_run))
    done = process(f"charrnn {line} {stream}")
    assert done.returncode == 5
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("charrnn: error: standard output ")
    if command.startswith("train"):
        assert load_checkpoint(Path("new/best.npz")).step > 0


# Metrics and saves that fail


def test_metrics_that_cannot_be_written_wait_and_are_written_later(
    run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, failures = os.write, [3]

    def full(descriptor: int, content: Any) -> int:
        if b'"lr"' in bytes(content) and failures[0]:
            failures[0] -= 1
            plain(descriptor, bytes(content)[:10])
            raise OSError(28, "No space left on device")
        return plain(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    result = run_cli("train", "corpus.txt", *tiny, "--save-every", "2")
    assert result.exit_code == 0
    assert result.stderr.count("metrics.jsonl cannot be written") == 1
    assert [row["step"] for row in rows(RUN) if "lr" in row] == list(range(1, 21))


def test_metrics_that_can_never_be_written_do_not_end_a_run(
    run_cli: Call, corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: MetricsLog) -> None:
        self.failure = "Permission denied"

    monkeypatch.setattr(MetricsLog, "flush", refuse)
    assert run_cli("train", "corpus.txt", *tiny).exit_code == 0
    assert load_checkpoint(RUN / "last.npz").step == 20


def test_a_save_that_fails_once_is_a_note_and_a_failed_best_is_saved_later(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    assert_same: AssertSame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    validate = TextDataset.validate
    validations: list[int] = []

    def worse_from_the_eighth_on(self: TextDataset, *arguments: Any) -> ValidationResult:
        validations.append(1)
        scores = validate(self, *arguments)
        assert scores is not None
        return ValidationResult(scores.nats + 5 * (len(validations) > 7), scores.metrics)

    monkeypatch.setattr(TextDataset, "validate", worse_from_the_eighth_on)
    command = ("train", "corpus.txt", *tiny, "--eval-every", "1")
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    best = load_checkpoint(WHOLE / "best.npz").step
    assert best < 8
    validations.clear()
    plain = RunFolder.save

    def full(self: RunFolder, name: str, checkpoint: Checkpoint) -> None:
        if name == "best.npz" and checkpoint.step == best and not failed:
            failed.append(checkpoint.step)
            raise StorageError("cannot write 'best.npz': No space left on device")
        plain(self, name, checkpoint)

    failed: list[int] = []
    monkeypatch.setattr(RunFolder, "save", full)
    result = run_cli(*command)
    assert result.exit_code == 0
    assert failed == [best]
    assert result.stderr.count("not saved, training goes on") == 1
    assert_same(RUN, WHOLE)


@pytest.mark.parametrize(("seconds", "code", "step"), [(0.0, 5, 3), (90.0, 0, 20)])
def test_saves_that_fail_for_long_end_a_run_and_for_a_moment_do_not(
    seconds: float,
    code: int,
    step: int,
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, steps = RunFolder.save, []

    def full(self: RunFolder, name: str, checkpoint: Checkpoint) -> None:
        steps.append(checkpoint.step)
        if 1 <= checkpoint.step <= 15:
            raise StorageError("cannot write it: No space left on device", "to free some space")
        plain(self, name, checkpoint)

    monkeypatch.setattr(RunFolder, "save", full)
    monkeypatch.setattr(saves, "MAX_UNSAVED_SECONDS", seconds)
    result = run_cli("train", "corpus.txt", *tiny, "--save-every", "1")
    assert result.exit_code == code
    assert steps[-1] == step
    assert result.stderr.count("training goes on") == 1


# What cannot be stored


def test_labels_that_no_checkpoint_can_hold_are_refused_before_training(
    run_cli: Call, empty_folder: Path
) -> None:
    draw = random.Random(1)
    labels = ("".join(draw.choice("abcdefgh ") for _ in range(90)) for _ in range(15_000))
    lines = "".join(f"k{number}\t{label}{number}\n" for number, label in enumerate(labels))
    Path("p.tsv").write_text(lines, encoding="utf-8")
    result = run_cli("train", "p.tsv", "--layout", "one-to-one", "--steps", "3", "--hidden", "4")
    assert result.exit_code == 4
    assert "15,000 different symbols take" in result.stderr.splitlines()[-1]
    assert not Path("checkpoints").exists()


def test_a_text_of_all_characters_is_refused_before_training(
    run_cli: Call, empty_folder: Path
) -> None:
    codes = [code for code in range(32, 0x20000) if not 0xD800 <= code < 0xE000]
    Path("all.txt").write_text("".join(map(chr, codes)) * 2, encoding="utf-8")
    result = run_cli("train", "all.txt", "--steps", "3", "--hidden", "4", "--workers", "1")
    assert result.exit_code == 4
    assert "different symbols take" in result.stderr.splitlines()[-1]


# Lists of saves


@pytest.mark.parametrize("keep", range(1, 8))
@pytest.mark.parametrize("first", [0, 999_960, 9_999_970])
def test_the_newest_saves_are_kept_whatever_the_number_of_digits(
    keep: int, first: int, tmp_path: Path
) -> None:
    with RunFolder(tmp_path) as folder:
        steps = [first + 10 * number for number in range(1, 7)]
        for done, step in enumerate(steps, 1):
            (tmp_path / f"step-{step:06d}.npz").touch()
            folder.prune(keep)
            names = [f"step-{one:06d}.npz" for one in steps[:done][-keep:]]
            assert [path.name for path in numbered_saves(tmp_path)] == names
        folder.prune(0)
        assert not numbered_saves(tmp_path)


def test_saves_after_resuming_from_an_earlier_one_are_kept(
    interrupted: Path, run_cli: Call
) -> None:
    (interrupted / "step-000019.npz").write_bytes((interrupted / "last.npz").read_bytes())
    first = numbered_saves(interrupted)[0]
    options = ("--save-every", "4", "--keep", "2", "-q")
    assert run_cli("train", "--resume", first, *options).exit_code == 0
    kept = [path.name for path in numbered_saves(interrupted)]
    assert kept == ["step-000012.npz", "step-000016.npz", "step-000019.npz"]


# Runs: one predicate and one resolver


@pytest.fixture
def interrupted(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: Callable[[int, Callable[[], None]], None],
) -> Path:
    """A run that was interrupted before its first validation: it has no best.npz."""
    at_step(6, lambda: signal.raise_signal(signal.SIGINT))
    result = run_cli("train", "corpus.txt", *tiny, "--save-every", "2", "--keep", "2")
    assert result.exit_code == 130
    assert not (RUN / "best.npz").exists()
    at_step(0, lambda: None)
    return RUN


def test_a_run_with_last_npz_only_is_used_by_all(
    interrupted: Path, run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    assert checkpoint_in(interrupted) == interrupted / "last.npz"
    assert "".join(api.load(interrupted).generate(length=3, seed=1))
    for command in (
        ("sample", interrupted, "--length", "3"),
        ("info", interrupted),
        ("eval", interrupted, corpus, "--no-baselines"),
        ("inspect-gradients", interrupted, "--lags", "3", "--windows", "2"),
        ("train", corpus, "--init-from", interrupted, *tiny[2:], "--name", "b"),
    ):
        assert run_cli(*command).exit_code == 0, command


def test_a_numbered_save_is_resumed_itself(
    interrupted: Path, run_cli: Call, assert_same: AssertSame, tiny: Sequence[str]
) -> None:
    assert run_cli("train", "corpus.txt", *tiny, "--out", WHOLE).exit_code == 0
    saves = numbered_saves(interrupted)
    assert [path.name for path in saves] == ["step-000004.npz", "step-000006.npz"]
    result = run_cli("train", "--resume", saves[0])
    assert "resuming checkpoints/corpus at step 4 (from step-000004.npz)" in result.stderr
    assert result.exit_code == 0
    assert_same(RUN, WHOLE)


def test_without_last_npz_the_newest_save_is_resumed(interrupted: Path, run_cli: Call) -> None:
    (interrupted / "last.npz").unlink()
    assert resumable_in(interrupted).name == "step-000006.npz"
    assert run_cli("train", "--resume", interrupted, "-q").exit_code == 0


def test_a_folder_without_a_checkpoint_is_said(empty_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint in the folder"):
        api.load(empty_folder)


def test_best_npz_cannot_be_resumed_and_the_message_says_what_can(
    run_cli: Call, finished_run: Path
) -> None:
    result = run_cli("train", "--resume", finished_run / "best.npz")
    assert result.exit_code == 3
    assert "holds no training state; try charrnn train --resume " in result.stderr


def test_a_moved_text_named_once_is_found_again(interrupted: Path, run_cli: Call) -> None:
    shutil.move("corpus.txt", "moved.txt")
    failed = run_cli("train", "--resume", interrupted)
    assert failed.exit_code == 4
    assert "try charrnn train --resume checkpoints/corpus FILE" in failed.stderr
    resumed = run_cli("train", "--resume", interrupted, "moved.txt", "-q")
    assert resumed.exit_code == 0
    assert run_cli("eval", interrupted, "moved.txt").stderr.count("no baselines") == 0


def test_a_text_from_standard_input_does_not_replace_the_known_place(
    interrupted: Path, run_cli: Call, corpus: Path
) -> None:
    text = corpus.read_bytes()
    assert run_cli("train", "--resume", interrupted, "-", "-q", stdin=text).exit_code == 0
    assert sources_in(read_facts(interrupted)) == [str(corpus.absolute())]


def test_the_folder_of_a_run_is_not_read_as_a_text(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    characters = []
    for _ in range(2):
        assert run_cli("train", ".", *tiny).exit_code == 0
        newest = max(Path("checkpoints").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        characters.append(load_checkpoint(newest / "last.npz").corpus.characters)
    assert characters[0] == characters[1]


# Where a run goes


def test_a_folder_that_is_there_and_holds_no_run_is_used(
    run_cli: Call, corpus: Path, tiny: Sequence[str], empty_folder: Path
) -> None:
    (empty_folder / "mine").mkdir()
    for expected in ("mine", "mine-2", "mine-3"):
        assert run_cli("train", corpus, *tiny, "--out", "mine").exit_code == 0
        assert (empty_folder / expected / "best.npz").exists()


@pytest.mark.parametrize("out", [".", "./", ".."])
def test_a_folder_without_a_name_is_used_once(
    out: str, run_cli: Call, corpus: Path, tiny: Sequence[str], empty_folder: Path
) -> None:
    inner = empty_folder / "inner"
    inner.mkdir()
    os.chdir(inner)
    assert run_cli("train", corpus, *tiny, "--out", out).exit_code == 0
    assert (Path(out) / "best.npz").exists()
    again = run_cli("train", corpus, *tiny, "--out", out)
    assert again.exit_code == 2
    assert "holds a run already; try --out DIR" in again.stderr


# Nothing left behind


def listing(folder: Path) -> dict[str, int]:
    return {str(path): stat.S_IFMT(path.lstat().st_mode) for path in folder.rglob("*")}


FAILURES = [
    "--lr nan",
    "--val-fraction 0.9",
    "--preset bogus",
    "--cell gnu",
    "--hidden 0",
    "--min-count 10000000",
    "--workers 0",
    "--steps 0",
    "--encoding nothing",
    "--init-from nowhere.npz",
    "--name a/b",
    "--hidden 60000 --steps 2",
]


@pytest.mark.parametrize("options", FAILURES)
@pytest.mark.parametrize("large", [False, True])
def test_a_failed_command_leaves_the_folder_as_it_was(
    options: str,
    large: bool,
    run_cli: Call,
    corpus: Path,
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if large:
        monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 1000)
    before = listing(empty_folder)
    usual = [
        "--hidden",
        "8",
        "--batch-size",
        "2",
        "--seq-length",
        "8",
        "--workers",
        "1",
        "--backend",
        "numpy",
    ]
    result = run_cli("train", corpus, *usual, *options.split())
    assert result.exit_code in (2, 3, 4, 5, 6), result.stderr
    assert listing(empty_folder) == before


def test_a_run_that_diverges_before_its_first_save_leaves_nothing(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverge(self: Trainer) -> Any:
        raise DivergedError("the loss is nan at step 1", "a smaller --lr")

    monkeypatch.setattr(Trainer, "step", diverge)
    before = listing(empty_folder)
    assert run_cli("train", corpus, *tiny).exit_code == 6
    assert listing(empty_folder) == before


def test_the_ids_of_a_large_text_of_a_killed_command_are_removed_by_the_next(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 1000)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale = empty_folder / f".corpus.ids.tmp-{ended.pid}"
    stale.write_bytes(b"ids")
    assert run_cli("train", corpus, *tiny).exit_code == 0
    assert not stale.exists()
    assert not list(empty_folder.glob(".*"))
    assert (RUN / "ids.bin").exists()


# Judgements


def judged(nats: float, **rows: float) -> str:
    usual = {"uniform": 3.0, "unigram": 2.5, "five_gram": 1.5, "gzip": 2.2, "xz": 1.8}
    return verdict(nats, Baselines(**usual | rows, characters=10_000, sampled=False))


NAMES = {
    "uniform": "uniform guessing",
    "unigram": "unigram counts",
    "five_gram": "5-gram counts",
    "gzip": "gzip",
    "xz": "xz",
}


def test_the_verdict_agrees_with_every_row_of_the_table() -> None:
    draw = np.random.default_rng(0)
    for _ in range(3000):
        rows = dict(zip(NAMES, draw.uniform(1.0, 4.0, 5), strict=True))
        if draw.random() < 0.3:  # close calls
            nats = float(rows[draw.choice(list(NAMES))] + draw.normal(0, 5e-4))
        else:
            nats = float(draw.uniform(0.8, 4.2))
        sentence = judged(nats, **rows)
        best = min(rows, key=lambda name: rows[name])
        if "beats the best of them" in sentence:
            assert nats < min(rows.values())
            assert NAMES[best] in sentence
            assert "by 0.000" not in sentence
        if nats >= min(rows.values()):
            assert "beats the best of them" not in sentence
        for name, words in NAMES.items():
            if f"The model beats {words} by" in sentence:
                assert nats < rows[name]
        if nats > rows["uniform"] or nats > rows["unigram"]:
            assert "learned nothing" in sentence


def test_few_characters_are_called_uncertain() -> None:
    table = Baselines(3.0, 2.5, 1.5, 2.2, 1.8, characters=10, sampled=False)
    assert "uncertain: only 10 characters were scored" in verdict(1.0, table)


@pytest.mark.parametrize("minutes", ["0.03", "0.15"])
def test_minutes_leave_time_for_training_or_say_so(
    minutes: str, run_cli: Call, empty_folder: Path
) -> None:
    draw = random.Random(1)
    words = ("of", "and", "a", "to", "in", "he", "was", "that")
    text = "\n".join(" ".join(draw.choices(words, k=9)) for _ in range(100_000))
    Path("long.txt").write_text(text, encoding="utf-8")
    result = run_cli("train", "long.txt", "--minutes", minutes, "--workers", "1")
    assert result.exit_code == 0
    assert (
        load_checkpoint(Path("checkpoints/long/last.npz")).step >= 20
        or "leaves time for" in result.stderr
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", ["--workers 1 --backend numpy", "--workers 2", "--workers 1"])
def test_the_memory_announced_is_about_what_is_used(options: str, empty_folder: Path) -> None:
    draw = random.Random(1)
    Path("a.txt").write_text("".join(draw.choices("abcdefgh \n", k=1_000_000)), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "charrnn",
        "train",
        "a.txt",
        "--steps",
        "30",
        "--hidden",
        "256",
    ]
    peak = 0.0
    with Path("err").open("wb") as messages:
        running = subprocess.Popen(
            [*command, *options.split()], stderr=messages, stdout=subprocess.DEVNULL
        )
        while running.poll() is None:
            peak = max(peak, proportional_megabytes(running.pid))
            time.sleep(0.02)
    (line,) = (x for x in Path("err").read_text().splitlines() if x.startswith("memory"))
    announced = float(line.split()[2].replace(",", ""))
    assert running.returncode == 0
    assert 0.75 * peak < announced < 1.6 * peak, (announced, peak)


def proportional_megabytes(process: int) -> float:
    """Return what a process and its children hold, shared pages counted once."""
    total = 0.0
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1e3
    except OSError:
        return 0.0
    return total + sum(proportional_megabytes(int(child)) for child in children)
