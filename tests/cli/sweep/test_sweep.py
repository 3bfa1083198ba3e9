"""`charrnn sweep`: its trials are runs of train, its table is theirs, and no trial is lost."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.run_records import read_facts
from charrnn.cli.runs.load_text import read_text
from charrnn.cli.trials import trial as trials
from charrnn.cli.trials.trial import Trial, read_outcome, run_trial
from charrnn.data.decoding import TextOptions
from charrnn.data.pair_files import read_pairs, split_pairs
from charrnn.system.file_lock import is_locked

Call = Callable[..., Result]
AssertSame = Callable[[Path, Path], None]

SMALL = ("--set", "batch-size=4", "--set", "seq-length=16", "--set", "backend=numpy")
SWEEP = Path("checkpoints/corpus-sweep")


def never() -> bool:
    return False


def results(run_cli: Call, folder: Path = SWEEP) -> dict[str, Any]:
    """Return what `--show --json` prints."""
    found: dict[str, Any] = json.loads(run_cli("sweep", "--show", folder, "--json").stdout)
    return found


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, sentences: str) -> Path:
    """A finished sweep over two rates, one of which diverges; to be read only."""
    place = tmp_path_factory.mktemp("swept")
    (place / "corpus.txt").write_text(sentences, encoding="utf-8")
    words = ("sweep", "corpus.txt", "--grid", "lr=0.05,1e30", "--steps", "8", *SMALL)
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *words, "--set", "hidden=8"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    (place / "printed.txt").write_text(done.stdout, encoding="utf-8")
    (place / "said.txt").write_text(done.stderr, encoding="utf-8")
    return place


def test_the_table_has_the_loss_of_each_trial_and_failures_as_rows(
    swept: Path, run_cli: Call
) -> None:
    folder = swept / SWEEP
    found = results(run_cli, folder)
    good, bad = found["trials"]
    assert (good["status"], bad["status"]) == ("finished", "diverged")
    assert (good["settings"], bad["settings"]) == ({"lr": "0.05"}, {"lr": "1e30"})
    assert bad["exit_code"] == 6
    assert "try a smaller --lr" in bad["error"]
    assert bad["validation_nats_per_char"] is None
    told = json.loads((folder / "trial-001/result.json").read_text(encoding="utf-8"))
    assert good["validation_nats_per_char"] == told["validation_nats_per_char"]
    assert (good["best_step"], good["parameters"]) == (told["best_step"], told["parameters"])
    assert found["best"] == 1
    printed = (swept / "printed.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in printed.splitlines()]
    assert ["trial", "lr", "nats/char", "bits/char", "best", "step", "time", "status"] in rows
    assert f"{good['validation_nats_per_char']:.4f}" in rows[1]
    assert rows[2][:4] == ["2", "1e30", "-", "-"]
    assert "trial 2 diverged: " in printed
    command = f"charrnn train {swept / 'corpus.txt'} --steps 8"
    assert found["command"].startswith(command)
    assert found["command"].endswith("--hidden 8 --lr 0.05")
    assert "lr=0.05: " in (swept / "said.txt").read_text(encoding="utf-8")


def test_csv_has_a_row_for_each_trial(swept: Path, run_cli: Call) -> None:
    shown = run_cli("sweep", "--show", swept / SWEEP, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert [row["trial"] for row in rows] == ["1", "2"]
    assert [row["lr"] for row in rows] == ["0.05", "1e30"]
    assert [row["status"] for row in rows] == ["finished", "diverged"]
    assert rows[1]["validation_nats_per_char"] == ""


def test_a_trial_is_the_run_that_train_makes_of_the_training_part(
    swept: Path, run_cli: Call, assert_same: AssertSame
) -> None:
    folder = swept / SWEEP
    text = (swept / "corpus.txt").read_text(encoding="utf-8")
    part = folder / "training-part.txt"
    assert part.read_text(encoding="utf-8") == text[: int(len(text) * 0.9)]
    words = ("--lr", "0.05", "--steps", "8", "--batch-size", "4", "--seq-length", "16")
    own = ("--backend", "numpy", "--hidden", "8", "--workers", "1", "--quiet", "--out", "run")
    assert run_cli("train", part, *words, *own).exit_code == 0
    assert_same(folder / "trial-001", Path("run"))


@pytest.mark.slow
def test_no_trial_reads_what_train_validates_on_by_default(swept: Path, sentences: str) -> None:
    begin = int(len(sentences) * 0.9)
    secret = sentences[:begin] + "Q" * (len(sentences) - begin)
    Path("corpus.txt").write_text(secret, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "charrnn", "sweep", "corpus.txt", "--grid", "lr=0.05"),
            *("--steps", "8", *SMALL, "--set", "hidden=8"),
        ],
        check=True,
        capture_output=True,
    )
    assert b"held out" in done.stderr
    for name in ("best.npz", "last.npz"):
        other = swept / SWEEP / "trial-001" / name
        assert (SWEEP / "trial-001" / name).read_bytes() == other.read_bytes()


def test_nothing_is_trained_if_one_trial_has_a_setting_that_train_refuses(
    run_cli: Call, corpus: Path
) -> None:
    for grid in ("hidden=8,70000", "cell=lstm,gnu", "optimizer=adam,adamx", "dropout=0,1"):
        result = run_cli("sweep", corpus, "--grid", grid, "--steps", "8")
        assert result.exit_code == 2, grid
        assert "charrnn: error: trial 2 (" in result.stderr
        assert not Path("checkpoints").exists()


@pytest.mark.slow
def test_a_sweep_without_any_result_ends_with_the_code_of_its_trials(
    run_cli: Call, corpus: Path
) -> None:
    words = ("--grid", "lr=1e30", "--steps", "8", *SMALL, "--set", "hidden=8")
    result = run_cli("sweep", corpus, *words)
    assert result.exit_code == 6
    assert "no trial has a result; the first one diverged" in result.stderr


@pytest.mark.parametrize(
    ("told", "ends", "code", "advice"),
    [
        ("charrnn: error: cannot read corpus.txt; try another", 4, 4, "other settings"),
        ("charrnn: error: the disk is full", 5, 5, "charrnn sweep --resume again"),
        ("", -9, 5, "charrnn sweep --resume again"),
        ("", 143, 5, "charrnn sweep --resume again"),
    ],
)
def test_trials_without_a_result_are_named_and_decide_the_exit_code(
    swept: Path,
    run_cli: Call,
    monkeypatch: pytest.MonkeyPatch,
    told: str,
    ends: int,
    code: int,
    advice: str,
) -> None:
    shutil.copytree(swept / SWEEP, "again")
    shutil.rmtree("again/trial-002")
    monkeypatch.setattr(trials, "run_process", lambda *_: (ends, told))
    result = run_cli("sweep", "--resume", "again")
    status = {4: "failed", 5: "failed", -9: "killed", 143: "interrupted"}[ends]
    problem = told.removeprefix("charrnn: error: ").partition(";")[0] or "see its log.txt"
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1] == (
        "charrnn: error: trial 2 of 2 ended without a result; the first one "
        f"{status}: {problem}; try {advice}"
    )
    assert "best: trial 1, again/trial-001" in result.stdout
    assert run_cli("sweep", "--show", "again").exit_code == 0


def test_a_finished_sweep_is_shown_again_and_nothing_is_run(
    swept: Path, run_cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "run_process", None)
    result = run_cli("sweep", "--resume", swept / SWEEP)
    assert result.exit_code == 0
    assert (
        result.stdout.splitlines()[0]
        == ((swept / "printed.txt").read_text(encoding="utf-8").splitlines()[0])
    )


@pytest.fixture
def started(corpus: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A sweep of three trials under way, two at a time, whose runs would take minutes."""
    words = ("sweep", corpus, "--grid", "seed=1,2,3", "--jobs", "2", "--steps", "200000")
    settings = ("--set", "hidden=8", *SMALL, "--set", "save-every=20", "--set", "eval-every=100000")
    process = subprocess.Popen(
        [sys.executable, "-m", "charrnn", *map(str, words), *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: all((SWEEP / f"trial-00{n}" / "last.npz").exists() for n in (1, 2)))
    yield process
    process.kill()
    process.communicate()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def unlocked(number: int) -> bool:
    """Return whether no process writes to a trial's folder."""
    return not is_locked(SWEEP / f"trial-00{number}" / "lock")


def test_a_signal_to_the_sweep_saves_its_trials_and_says_how_to_go_on(
    started: "subprocess.Popen[bytes]", run_cli: Call
) -> None:
    started.send_signal(signal.SIGTERM)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 143
    lines = told.decode().splitlines()
    assert lines[-1] == (
        f"stopped; 0 of 3 trials have ended; go on with: charrnn sweep --resume {SWEEP}"
    )
    outcomes = [read_outcome(SWEEP / f"trial-00{number}") for number in (1, 2, 3)]
    assert [one.status for one in outcomes] == ["interrupted", "interrupted", "waiting"]
    assert not (SWEEP / "trial-003").exists()
    shown = run_cli("sweep", "--show", SWEEP).stdout
    assert "not all trials are finished; go on with: charrnn sweep --resume" in shown
    assert "on the whole corpus" not in shown


@pytest.mark.slow
def test_the_trials_of_a_killed_sweep_save_and_end_by_themselves(
    started: "subprocess.Popen[bytes]",
) -> None:
    started.kill()
    wait_for(lambda: unlocked(1) and unlocked(2))
    for number in (1, 2):
        assert read_outcome(SWEEP / f"trial-00{number}").status == "interrupted"
        log = (SWEEP / f"trial-00{number}" / "log.txt").read_text(encoding="utf-8")
        assert "stopped at step" in log


def test_an_interrupted_trial_is_continued_to_the_same_bytes(
    corpus: Path, run_cli: Call, assert_same: AssertSame
) -> None:
    options = ("--hidden", "8", "--steps", "600", "--backend", "numpy", "--workers", "1")
    words = (str(corpus), *options, "--batch-size", "4", "--seq-length", "16", "--save-every", "20")
    assert run_cli("train", *words, "--quiet", "--out", "whole").exit_code == 0
    trial = Trial(1, "trial-001", words)

    def stop() -> bool:
        return Path("trial-001/last.npz").exists()

    assert run_trial(trial, stop).status == "interrupted"
    first = read_facts(Path("trial-001"))
    assert run_trial(trial, never).status == "finished"
    assert read_facts(Path("trial-001"))["started"] == first["started"]
    assert "resuming" in Path("trial-001/log.txt").read_text(encoding="utf-8")
    assert_same(Path("trial-001"), Path("whole"))


def test_a_killed_trial_is_a_row_and_is_tried_again(corpus: Path) -> None:
    words = (str(corpus), "--hidden", "8", "--steps", "30", "--backend", "numpy", "--workers", "1")
    trial = Trial(1, "trial-001", (*words, "--batch-size", "4", "--seq-length", "16"))
    patch = pytest.MonkeyPatch()
    program = Path("killed.py")
    program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    patch.setenv("PYTHONPATH", f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}")
    patch.setattr(trials, "MODULE", "killed")
    outcome = run_trial(trial, never)
    patch.undo()
    assert (outcome.status, outcome.exit_code) == ("killed", -9)
    assert not outcome.is_final
    Path("trial-001/run.json").write_text("{}", encoding="utf-8")  # of a run without checkpoint
    Path("trial-001/lock").touch()
    assert run_trial(trial, never).status == "finished"
    assert Path("trial-001/best.npz").exists()
    assert not Path("trial-001-2").exists()


def test_a_result_that_was_lost_is_computed_again(swept: Path, tmp_path: Path) -> None:
    shutil.copytree(swept / SWEEP / "trial-001", tmp_path / "trial-001")
    before = trials.read_result(tmp_path / "trial-001")
    (tmp_path / "trial-001" / "result.json").write_text('{"run": ', encoding="utf-8")
    assert read_outcome(tmp_path / "trial-001").status == "interrupted"
    outcome = run_trial(Trial(1, str(tmp_path / "trial-001"), ()), never)
    assert outcome.status == "finished"
    after = trials.read_result(tmp_path / "trial-001")
    assert after["validation_nats_per_char"] == before["validation_nats_per_char"]


def test_pairs_that_train_would_validate_on_are_held_out(run_cli: Call) -> None:
    lines = [f"{'ab' * n}{c}\t{'xy'[n % 2]}" for n in range(1, 20) for c in "abc"]
    Path("labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ("--set", "layout=many-to-one", "--set", "backend=numpy", "--set", "hidden=4")
    result = run_cli("sweep", "labels.tsv", "--random", "1", "--range", "lr=0.1:0.2", *words)
    assert result.exit_code == 0, result.stderr
    [row] = results(run_cli, Path("checkpoints/labels-sweep"))["trials"]
    assert 0 < row["validation_nats_per_symbol"] < 10
    part = read_pairs(["checkpoints/labels-sweep/training-part.jsonl"])
    split = split_pairs(read_pairs(["labels.tsv"]), "many-to-one", 0.1, 0)
    assert {pair[:2] for pair in part.pairs} == {pair[:2] for pair in split.train}
    assert {pair[:2] for pair in split.validation}


@pytest.mark.slow
def test_a_sweep_over_bytes_reads_the_same_bytes(run_cli: Call) -> None:
    Path("latin.txt").write_bytes(b"caf\xe9 \x00 " * 90)
    words = ("--grid", "hidden=4", "--steps", "2", "--set", "bytes=true", *SMALL)
    assert run_cli("sweep", "latin.txt", *words).exit_code == 0
    whole = read_text(["latin.txt"], None, TextOptions(as_bytes=True))
    part = Path("checkpoints/latin-sweep/training-part.bin").read_bytes()
    assert part.decode("latin-1") == whole.part(0, len(part))
    assert "--bytes" in results(run_cli, Path("checkpoints/latin-sweep"))["command"]


@pytest.mark.slow
def test_another_sweep_of_the_same_text_gets_a_folder_of_its_own(
    swept: Path, run_cli: Call, corpus: Path
) -> None:
    SWEEP.mkdir(parents=True)
    words = ("--grid", "hidden=4", "--steps", "2", *SMALL)
    assert run_cli("sweep", corpus, *words).exit_code == 0
    assert not any(SWEEP.iterdir())
    assert (SWEEP.with_name("corpus-sweep-2") / "trial-001" / "best.npz").exists()


def test_options_of_a_stranger_are_refused(swept: Path, run_cli: Call, tmp_path: Path) -> None:
    shutil.copytree(swept / SWEEP, tmp_path / "theirs")
    path = tmp_path / "theirs" / "sweep.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    for change in (
        {"fixed": {"--out": "/tmp/elsewhere"}},
        {"points": [{"--lr": "0.1", "--out": "x"}]},
        {"file": "../corpus.txt"},
        {"points": [{"--lr": "0.1"}] * 2000},
    ):
        path.write_text(json.dumps(plan | change), encoding="utf-8")
        result = run_cli("sweep", "--resume", tmp_path / "theirs")
        assert result.exit_code in (2, 3), change
        assert not (tmp_path / "theirs" / "trial-003").exists()


def test_without_joblib_one_line_says_what_to_install(
    run_cli: Call, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    result = run_cli("sweep", corpus, "--grid", "lr=0.1")
    assert result.exit_code == 2
    assert "needs joblib; try pip install joblib" in result.stderr


def test_minutes_are_compared_with_a_note(run_cli: Call, corpus: Path) -> None:
    result = run_cli("sweep", "nowhere.txt", "--grid", "lr=0.1", "--minutes", "1")
    assert "take different numbers of steps, by the load of the machine" in result.stderr


@pytest.mark.slow
def test_a_second_sweep_in_one_folder_is_refused(
    started: "subprocess.Popen[bytes]", run_cli: Call
) -> None:
    result = run_cli("sweep", "--resume", SWEEP)
    assert result.exit_code == 5
    assert "another run is writing to" in result.stderr
