"""`train --train-teachers`: teachers and a student in one command, interrupted and continued."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.train import setup, start
from charrnn.cli.train.distillation import GENERATED, TEACHERS
from charrnn.cli.train.teacher_runs import TRAIN_TEACHERS, TeacherPlan, pending_in
from charrnn.cli.trials.trial import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    KILLED,
    Outcome,
    Trial,
    read_outcome,
    write_outcome,
)
from charrnn.errors import StorageError
from charrnn.limits import MAX_SEED
from charrnn.training.presets import STUDENT_DECAY, Budget, plan
from charrnn.types import StopFlag

Charrnn = Callable[..., Result]
Spawn = Callable[..., "subprocess.Popen[bytes]"]
AssertSame = Callable[[Path, Path], None]
TINY = ("--hidden", "6", "--workers", "1", "--backend", "numpy", "--quiet", "--save-every", "1")
SMALL = (*TINY, "--steps", "6", "--generated", "512")


def facts(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(run) / "run.json").read_text(encoding="utf-8"))
    return found


class Teachers:
    """Stands for the processes of teachers: copies runs that were trained before."""

    def __init__(self, runs: list[Path], ends: dict[int, Outcome] | None = None) -> None:
        self.runs, self.ends = runs, ends or {}
        self.trained: list[Trial] = []

    def __call__(self, trial: Trial, _stop: StopFlag) -> Outcome:
        self.trained.append(trial)
        folder = Path(trial.folder)
        outcome = self.ends.get(trial.number, Outcome(FINISHED, 0, "", 3.0))
        folder.mkdir(parents=True, exist_ok=True)
        if outcome.status == FINISHED:
            shutil.copytree(self.runs[trial.number - 1], folder, dirs_exist_ok=True)
            (folder / "result.json").write_text('{"validation_nats_per_char": 2.5}')
        write_outcome(folder, outcome)
        return outcome


@pytest.fixture
def runs(run_cli: Charrnn, corpus: Path) -> list[Path]:
    """Two runs of a few steps."""
    for seed in range(2):
        options = (*TINY, "--steps", "8", "--seed", seed, "--out", f"run{seed}")
        assert run_cli("train", corpus, *options).exit_code == 0
    return [Path("run0"), Path("run1")]


@pytest.fixture
def trained(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> Teachers:
    """Let two runs be the teachers of a run."""
    teachers = Teachers(runs)
    monkeypatch.setattr("charrnn.cli.train.teacher_runs.run_trial", teachers)
    return teachers


def test_a_run_with_teachers_of_its_own_is_that_with_these_teachers(
    run_cli: Charrnn, corpus: Path, trained: Teachers, assert_same: AssertSame
) -> None:
    loud = [word for word in SMALL if word != "--quiet"]
    result = run_cli("train", corpus, *loud, "--train-teachers", "2", "--seed", "3", "--out", "s")
    assert result.exit_code == 0, result.stderr
    assert "training 2 teachers, 1 at a time, in s/teachers" in result.stderr
    assert "teacher 1 of 2: 2.5000 nats, 3 s" in result.stderr
    assert result.stderr.index("6 characters to train on") < result.stderr.index("training 2")
    for number, trial in enumerate(trained.trained, 1):
        words = " ".join(trial.words)
        assert trial.folder == f"s/teachers/teacher-00{number}"
        assert str(corpus.resolve()) in words
        assert f"--train-teachers 0 --workers 1 --steps 6 --seed {number + 2}" in words
        assert "--hidden" not in words
    assert facts("s")[TEACHERS] == [f"teachers/teacher-00{n}/best.npz" for n in (1, 2)]
    given = ("--teacher", "run0", "--teacher", "run1", "--seed", "3", "--out", "t")
    assert run_cli("train", corpus, *SMALL, *given).exit_code == 0
    assert_same(Path("s"), Path("t"))
    assert run_cli("train", "--like", "s", "--quiet", "--out", "u").exit_code == 0
    assert_same(Path("s"), Path("u"))


def test_a_moved_run_finds_the_teachers_in_its_folder(
    run_cli: Charrnn, corpus: Path, trained: Teachers, assert_same: AssertSame
) -> None:
    options = (*SMALL, "--train-teachers", "2", "--keep", "9", "--out", "s")
    assert run_cli("train", corpus, *options).exit_code == 0
    assert len(trained.trained) == 2
    shutil.copytree("s", "elsewhere/r")
    shutil.copy("s/step-000003.npz", "elsewhere/r/last.npz")
    told = facts("s") | {"scored": False}
    Path("elsewhere/r/run.json").write_text(json.dumps(told), encoding="utf-8")
    shutil.rmtree("s/teachers")
    result = run_cli("train", "--resume", "elsewhere/r", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert_same(Path("s"), Path("elsewhere/r"))


@pytest.mark.usefixtures("runs")
def test_a_run_without_a_checkpoint_continues_with_its_teachers(
    run_cli: Charrnn, corpus: Path, trained: Teachers, assert_same: AssertSame
) -> None:
    options = (*SMALL, "--train-teachers", "2")
    assert run_cli("train", corpus, *options, "--out", "s").exit_code == 0
    shutil.copytree("s", "r")
    for path in Path("r").glob("*.npz"):
        path.unlink()
    shutil.rmtree("r/teachers/teacher-002")
    result = run_cli("train", "--resume", "r")
    assert result.exit_code == 0, result.stderr
    assert "continuing r: charrnn train " in result.stderr
    assert [trial.number for trial in trained.trained] == [1, 2, 2]
    assert_same(Path("s"), Path("r"))
    assert "is finished" in run_cli("train", "--resume", "r").stderr


def test_a_teacher_that_cannot_be_written_ends_the_others(
    run_cli: Charrnn, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    def run(trial: Trial, stop: StopFlag) -> Outcome:
        if trial.number == 2:
            raise StorageError("cannot write: no space left")
        until = time.monotonic() + 30
        while not stop():
            assert time.monotonic() < until
            time.sleep(0.01)
        ended.append(trial.number)
        return Outcome(INTERRUPTED)

    monkeypatch.setattr("charrnn.cli.train.teacher_runs.run_trial", run)
    words = [*SMALL[:2], *SMALL[4:], "--workers", "2", "--train-teachers", "2", "--out", "s"]
    result = run_cli("train", corpus, *words)
    assert result.exit_code == 5
    assert "cannot write: no space left" in result.stderr
    assert ended == [1]
    assert TRAIN_TEACHERS in facts("s")


def test_a_teacher_that_fails_is_left_out_and_one_is_needed(
    run_cli: Charrnn, corpus: Path, trained: Teachers
) -> None:
    trained.ends[2] = Outcome(FAILED, 5, "no space left", 1.0)
    options = (*SMALL, "--train-teachers", "2")
    result = run_cli("train", corpus, *options, "--out", "s")
    assert result.exit_code == 0, result.stderr
    assert "teacher 2 is left out: no space left" in result.stderr
    assert len(facts("s")[TEACHERS]) == 1
    trained.ends[1] = Outcome(FAILED, 5, "no space at all; try --out DIR", 1.0)
    result = run_cli("train", corpus, *options, "--out", "t")
    assert result.exit_code == 5
    assert "no teacher could be trained: no space at all; try --train-teachers 0" in result.stderr
    followed = run_cli("train", corpus, *SMALL[:-2], "--train-teachers", "0", "--out", "u")
    assert followed.exit_code == 0
    trained.ends[1] = Outcome(KILLED, -9, "", 1.0)
    result = run_cli("train", corpus, *options, "--out", "v")
    assert result.exit_code == 5
    assert "no teacher could be trained: killed" in result.stderr


@pytest.mark.usefixtures("trained")
def test_a_text_that_was_moved_ends_no_teacher_for_good(
    run_cli: Charrnn, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("charrnn.cli.train.start.train_teachers", lambda *_, **__: interrupted())
        options = (*SMALL, "--train-teachers", "2", "--out", "r")
        assert run_cli("train", corpus, *options).exit_code == 130
    moved = corpus.rename("moved.txt")
    result = run_cli("train", "--resume", "r")
    assert result.exit_code == 4
    assert "corpus.txt, which run.json names, is gone; try to move it back" in result.stderr
    os.mkfifo(corpus)
    result = run_cli("train", "--resume", "r")
    assert result.exit_code == 4
    assert "corpus.txt, which run.json names, is no file" in result.stderr
    moved.rename(corpus)
    assert run_cli("train", "--resume", "r", "--quiet").exit_code == 0


def interrupted() -> None:
    raise typer.Exit(130)


@pytest.mark.parametrize(
    "words", [None, [3], ["--hidden", "6"], ["--out", "x", "--train-teachers", "2"], ["--no-such"]]
)
def test_a_damaged_command_in_run_json_is_refused(
    run_cli: Charrnn, empty_folder: Path, words: list[Any] | None
) -> None:
    (empty_folder / "r").mkdir()
    told = {TRAIN_TEACHERS: {"at_a_time": 1, "words": words}}
    (empty_folder / "r" / "run.json").write_text(json.dumps(told))
    result = run_cli("train", "--resume", "r")
    assert result.exit_code == 3
    assert "r/run.json is damaged; try a new run" in result.stderr


def test_the_minutes_of_teachers_are_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.cli.train.teacher_runs.seconds_since_start", lambda: 60.0)
    plan = TeacherPlan(4, ("a.txt",), 0, Budget(minutes=31), processes=2)
    assert minutes_in(plan, tmp_path) == [7.5] * 4  # half of 30, two rounds
    for folder in plan.folders(tmp_path)[:2]:
        folder.mkdir(parents=True)
        write_outcome(folder, Outcome(FAILED, 4, "", 450.0))
    rest = TeacherPlan(4, ("a.txt",), 0, Budget(minutes=31 - 7.5), processes=2)
    assert minutes_in(rest, tmp_path) == [7.5] * 4  # 7.5 of 22.5, one round
    many = TeacherPlan(4, ("a.txt",), 0, Budget(minutes=31), processes=8)
    assert "--workers 2" in " ".join(many.trials(tmp_path / "new", 1.0)[0].words)
    assert minutes_in(many, tmp_path / "new") == [15.0] * 4


def test_a_student_has_a_third_of_the_weight_decay() -> None:
    def decay(has_teachers: bool, **given: float) -> float:
        budget = Budget(epochs=5)
        planned = plan("default", given, 60, 10**6, budget, has_teachers=has_teachers)
        return planned.training.weight_decay

    assert decay(has_teachers=True) == pytest.approx(STUDENT_DECAY * decay(False), rel=0.06)
    assert decay(has_teachers=True, weight_decay=0.01) == 0.01


def test_seeds_follow_each_other_within_their_range() -> None:
    plan = TeacherPlan(3, (), MAX_SEED - 1, Budget(steps=1), processes=1)
    assert [plan.seed_of(number) for number in (1, 2, 3)] == [MAX_SEED - 1, MAX_SEED, 0]


def minutes_in(plan: TeacherPlan, run: Path) -> list[float]:
    left = sum(not read_outcome(folder).is_final for folder in plan.folders(run))
    trials = plan.trials(run, plan.minutes_each(left))
    return [float(trial.words[trial.words.index("--minutes") + 1]) for trial in trials]


def test_what_teachers_took_is_no_longer_in_the_minutes(
    run_cli: Charrnn, corpus: Path, trained: Teachers, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.ends[2] = Outcome(INTERRUPTED, 130, "", 30.0)
    asked: list[Budget] = []
    options = (*SMALL[:-4], "--minutes", "9", "--generated", "512", "--train-teachers", "2")
    monkeypatch.setattr("charrnn.cli.train.start.train_run", lambda *_: 2)
    assert run_cli("train", corpus, *options, "--out", "r").exit_code == 0
    pending = pending_in(Path("r"))
    assert pending is not None
    assert pending.seconds == 33
    refused = run_cli("train", "--resume", "r", "--workers", "2")
    assert refused.exit_code == 2
    assert "--workers would change them; try --resume without it" in refused.stderr
    monkeypatch.setattr(
        start, "train_with_teachers", lambda request, *_: asked.append(request.budget)
    )
    assert run_cli("train", "--resume", "r").exit_code == 0
    assert [budget.minutes for budget in asked] == [pytest.approx(9 - 33 / 60)]


@pytest.mark.parametrize(
    ("options", "trains"),
    [
        ((), True),
        (("--seed", "5", "--patience", "3"), True),
        (("--hidden", "8"), False),
        (("--lr", "0.1"), False),
        (("--preset", "small"), False),
        (("--train-teachers", "0"), False),
        (("--teacher", "run0"), False),
        (("--steps", "2"), False),
    ],
)
def test_teachers_by_default_only_where_nothing_of_the_network_is_given(
    run_cli: Charrnn,
    corpus: Path,
    runs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    trains: bool,
) -> None:
    assert len(runs) == 2
    asked: list[int] = []
    monkeypatch.setattr(setup, "teachers_by_time", lambda _, budget: 4 if budget.minutes else 0)
    monkeypatch.setattr(
        "charrnn.cli.train.start.train_with_teachers", lambda _, count, *__: asked.append(count)
    )
    budget = () if "--steps" in options else ("--minutes", "0.05")
    words = (*budget, "--quiet", "--workers", "1", "--backend", "numpy", *options)
    result = run_cli("train", corpus, *words, "--out", "s")
    assert result.exit_code == 0, result.stderr
    assert asked == [4] * trains


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


def test_ranks_train_no_teachers(
    run_cli: Charrnn, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "world", lambda: "two ranks")
    result = run_cli("train", corpus, *SMALL, "--train-teachers", "2", "--out", "s")
    assert result.exit_code == 2
    assert "mpirun has started its own; try --teacher CKPT" in result.stderr
    assert not Path("s").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_teachers_that_are_interrupted_are_continued(
    run_cli: Charrnn, spawn: Spawn, corpus: Path, sent: signal.Signals
) -> None:
    options = ("--epochs", "12", "--generated", "512", "--train-teachers", "2", "--hidden", "6")
    started = spawn("train", str(corpus), *options, "--workers", "1", "--out", "r")
    wait_for(Path("r/teachers/teacher-001/run.json"), started)
    started.send_signal(sent)
    _, told = started.communicate(timeout=60)
    if sent == signal.SIGINT:
        assert started.returncode == 130
        assert "go on with: charrnn train --resume r" in told.decode()
    assert not list(Path("r").glob("*.npz"))
    result = run_cli("train", "--resume", "r")
    assert result.exit_code == 0, result.stderr
    outcomes = [read_outcome(Path(f"r/teachers/teacher-00{number}")) for number in (1, 2)]
    assert [outcome.status for outcome in outcomes] == [FINISHED, FINISHED]
    assert facts("r")[GENERATED] == 512
    assert load_checkpoint(Path("r/best.npz")).corpus.generated is not None
