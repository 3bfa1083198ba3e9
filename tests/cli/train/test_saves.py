"""best.npz and last.npz agree, whichever could not be written and wherever a kill struck."""

import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.runs import run_folder
from charrnn.cli.runs.metrics_log import MetricsLog
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.loop import Run
from charrnn.errors import StorageError
from charrnn.training.dataset import ValidationResult
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import Progress

Call = Callable[..., Result]
Rows = Callable[[Path], list[dict[str, Any]]]
AssertSame = Callable[[Path, Path], None]
Failing = Callable[[str, int], bool]

RUN, WHOLE = Path("checkpoints/corpus"), Path("whole")
VALIDATED = (4, 8, 12, 16, 20)
SAVES = 13
"""Saves of the whole run: last.npz at 2, 4, … 20, and best.npz at 4, 8 and 12."""


class Killed(BaseException):
    """Stands for SIGKILL."""


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def progress_of(path: Path) -> Progress:
    training = load_checkpoint(path).training
    assert training is not None
    return training.progress


def agree(run: Path) -> bool:
    """Return whether best.npz holds the best model that last.npz names, or a later and better."""
    if not (run / "last.npz").exists():
        return True
    progress = progress_of(run / "last.npz")
    best = load_checkpoint(run / "best.npz").step if (run / "best.npz").exists() else 0
    return best >= progress.best_step


@pytest.fixture
def command(corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A run whose loss falls until step 12 and rises then."""
    validate, losses = TextDataset.validate, dict(zip(VALIDATED, (5, 3, 1, 2, 4), strict=True))
    steps: list[int] = []

    def by_step(self: TextDataset, *arguments: Any) -> ValidationResult:
        assert validate(self, *arguments) is not None
        loss = float(losses[steps[-1]])
        return ValidationResult(loss, {"nats_per_char": loss})

    evaluate = Trainer.evaluate

    def noted(self: Trainer, *arguments: Any) -> Any:
        steps.append(self.progress.step)
        return evaluate(self, *arguments)

    monkeypatch.setattr(Trainer, "evaluate", noted)
    monkeypatch.setattr(TextDataset, "validate", by_step)
    return ["train", "corpus.txt", *tiny, "--eval-every", "4", "--save-every", "2"]


@pytest.fixture
def saving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Failing], list[tuple[str, int]]]:
    """Let saves fail by their file's name and step; return the list of those that did not.

    After each of them, best.npz and last.npz agree.
    """

    def arrange(fails: Failing) -> list[tuple[str, int]]:
        done: list[tuple[str, int]] = []

        def save(path: Path, checkpoint: Checkpoint) -> None:
            if fails(path.name, checkpoint.step):
                raise StorageError(f"cannot write {path.name!r}: No space left on device")
            save_checkpoint(path, checkpoint)
            done.append((path.name, checkpoint.step))
            assert agree(path.parent)

        monkeypatch.setattr(run_folder, "save_checkpoint", save)
        return done

    return arrange


@pytest.mark.parametrize(
    ("failures", "written"),
    [
        ({("best.npz", 12): 1}, 12),
        ({("best.npz", 8): 5, ("best.npz", 12): 2, ("last.npz", 14): 1}, 12),
        ({("best.npz", 4): 9, ("last.npz", 6): 1, ("best.npz", 8): 1, ("last.npz", 16): 1}, 12),
    ],
)
def test_a_best_that_could_not_be_saved_is_saved_before_the_next_last(
    failures: dict[tuple[str, int], int],
    written: int,
    command: list[str],
    run_cli: Call,
    saving: Callable[[Failing], list[tuple[str, int]]],
    assert_same: AssertSame,
) -> None:
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    left = dict(failures)

    def fails(name: str, step: int) -> bool:
        left[name, step] = left.get((name, step), 0) - 1
        return left[name, step] >= 0

    done = saving(fails)
    result = run_cli(*command)
    assert result.exit_code == 0, result.stderr
    assert all(count < 0 for (name, step), count in left.items() if step == written)
    assert ("best.npz", written) in done
    assert_same(RUN, WHOLE)


@pytest.mark.parametrize("fraction", [0.3, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_saves_that_fail_at_random_never_disagree_and_a_resumed_run_ends_well(
    fraction: float,
    seed: int,
    command: list[str],
    run_cli: Call,
    saving: Callable[[Failing], list[tuple[str, int]]],
    assert_same: AssertSame,
) -> None:
    draw = np.random.default_rng(seed)
    saving(lambda _name, _step: bool(draw.random() < fraction))
    result = run_cli(*command)
    assert result.exit_code in (0, 5)
    saving(lambda _name, _step: False)
    if result.exit_code == 0:
        assert load_checkpoint(RUN / "best.npz").step == 12
    elif (RUN / "last.npz").exists():
        assert agree(RUN)
        assert run_cli("train", "--resume", RUN, "-q").exit_code == 0
        best = load_checkpoint(RUN / "best.npz").step
        assert best == progress_of(RUN / "last.npz").best_step
        assert load_checkpoint(RUN / "last.npz").step == 20


@pytest.mark.parametrize("step", [12, 20])
def test_a_run_whose_best_cannot_be_saved_fails_and_names_no_other_best(
    step: int,
    command: list[str],
    run_cli: Call,
    saving: Callable[[Failing], list[tuple[str, int]]],
    assert_same: AssertSame,
) -> None:
    """At the end of a run, the validation is repeated: nothing is lost."""
    command = [*command, "--steps", str(step)]
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    saving(lambda name, at: name == "best.npz" and at == 12)
    result = run_cli(*command)
    assert result.exit_code == 5
    *_, hint, error = result.stderr.splitlines()
    assert hint == "go on with: charrnn train --resume checkpoints/corpus"
    assert error.startswith("charrnn: error: cannot write 'best.npz'")
    assert load_checkpoint(RUN / "best.npz").step == 8
    assert progress_of(RUN / "last.npz").best_step == 8
    saving(lambda _name, _at: False)
    assert run_cli("train", "--resume", RUN, "-q").exit_code == 0
    if step == 12:
        assert_same(RUN, WHOLE)
    else:
        assert load_checkpoint(RUN / "best.npz").step == 8


def test_an_interrupted_run_saves_the_best_that_could_not_be_saved(
    command: list[str],
    run_cli: Call,
    saving: Callable[[Failing], list[tuple[str, int]]],
    at_step: Callable[[int, Callable[[], None]], None],
    assert_same: AssertSame,
) -> None:
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    failing = [True]
    saving(lambda name, step: name == "best.npz" and step == 12 and failing[0])

    def interrupt() -> None:
        failing[0] = False
        signal.raise_signal(signal.SIGINT)

    at_step(13, interrupt)
    assert run_cli(*command, "--save-every", "100").exit_code == 130
    assert load_checkpoint(RUN / "best.npz").step == 12
    at_step(0, interrupt)
    assert run_cli("train", "--resume", RUN, "-q").exit_code == 0
    assert_same(RUN, WHOLE)


def test_a_kill_after_any_save_leaves_no_trace(
    command: list[str],
    run_cli: Call,
    monkeypatch: pytest.MonkeyPatch,
    assert_same: AssertSame,
    rows: Rows,
) -> None:
    """Also between best.npz and last.npz, and of a row of a validation that is repeated."""
    assert run_cli(*command, "--out", WHOLE).exit_code == 0
    plain = RunFolder.save
    for number in range(1, SAVES + 1):
        saves: list[str] = []

        def save(self: RunFolder, name: str, checkpoint: Checkpoint) -> None:
            plain(self, name, checkpoint)
            saves.append(name)  # noqa: B023 (called in this turn of the loop)
            if len(saves) == number:  # noqa: B023
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "save", save)
            patch.setattr(Run, "_rescue", lambda _: False)
            patch.setattr(RunFolder, "discard", lambda _: None)
            patch.setattr(MetricsLog, "close", MetricsLog.discard_rows)
            with pytest.raises(Killed):
                run_cli(*command)
        if (RUN / "last.npz").exists():
            result = run_cli("train", "--resume", RUN)
            assert result.exit_code == 0
            assert "best.npz is" not in result.stderr
            assert_same(RUN, WHOLE)
            assert [row["step"] for row in rows(RUN)] == [row["step"] for row in rows(WHOLE)]
        shutil.rmtree(RUN)


@pytest.mark.parametrize(
    ("stopped", "best", "found", "kept"),
    [
        (14, "missing", "is missing or unusable", 0),
        (14, "step-8", "is of step 8", 8),
        (14, "damaged", "is missing or unusable", 0),
        (14, "other", "is missing or unusable", 0),
        (12, "missing", "is missing or unusable", 12),
        (12, "step-8", "is of step 8", 12),
    ],
)
def test_a_best_that_is_missing_or_older_is_replaced_by_the_best_on_disk(
    stopped: int,
    best: str,
    found: str,
    kept: int,
    command: list[str],
    run_cli: Call,
    at_step: Callable[[int, Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older: list[bytes] = []
    plain = RunFolder.save

    def save(self: RunFolder, name: str, checkpoint: Checkpoint) -> None:
        plain(self, name, checkpoint)
        if (name, checkpoint.step) == ("best.npz", 8):
            older.append((RUN / name).read_bytes())
        if (name, checkpoint.step) == ("best.npz", 12) and stopped == 12:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save)
        at_step(stopped, (lambda: None) if stopped == 12 else interrupt)
        assert run_cli(*command).exit_code == 130
    at_step(0, interrupt)
    progress = progress_of(RUN / "last.npz")
    assert (progress.best_step, progress.step) == (12, stopped)
    path = RUN / "best.npz"
    correct = path.read_bytes()
    if best == "step-8":
        path.write_bytes(older[0])
    elif best == "damaged":
        path.write_bytes(correct[:-5])
    elif best == "other":
        assert run_cli(*command, "--hidden", "9", "--out", "other").exit_code == 0
        shutil.copy("other/best.npz", path)
    else:
        path.unlink()
    result = run_cli("train", "--resume", RUN)
    assert result.exit_code == 0
    (note,) = [line for line in result.stderr.splitlines() if "best validation was at" in line]
    assert f"best.npz {found}, the best validation was at step 12; going on with " in note
    assert (f"that of step {kept} " if kept else "none ") in note
    best_step = 12 if kept == 12 else 16  # the best of the validations after step 8, or of all left
    assert load_checkpoint(path).step == progress_of(RUN / "last.npz").best_step == best_step
    if kept == 12:
        assert path.read_bytes() == correct


@pytest.mark.parametrize("scored", [False, True])
def test_a_finished_run_without_its_best_is_scored_with_the_last(
    scored: bool, command: list[str], run_cli: Call
) -> None:
    assert run_cli(*command).exit_code == 0
    (RUN / "best.npz").unlink()
    if not scored:
        with RunFolder(RUN) as folder:
            folder.update_facts({"scored": False})
    assert run_cli("train", "--resume", RUN).exit_code == 0
    assert (RUN / "best.npz").exists() is not scored
    if not scored:
        assert load_checkpoint(RUN / "best.npz").step == 20
        assert progress_of(RUN / "last.npz").best_step == 20
