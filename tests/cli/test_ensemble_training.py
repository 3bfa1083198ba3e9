"""`charrnn ensemble`: members are runs of train with consecutive seeds, scored as by eval."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.cli.trials import trial as trials
from charrnn.inference.ensemble import Ensemble

Call = Callable[..., Result]
AssertSame = Callable[[Path, Path], None]

SMALL = ("--set", "batch-size=4", "--set", "seq-length=16", "--set", "backend=numpy")
FOLDER = Path("checkpoints/corpus-ensemble")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sentences: str) -> Path:
    """A finished ensemble of two, beside its corpus; to be read only."""
    place = tmp_path_factory.mktemp("ensemble")
    (place / "corpus.txt").write_text(sentences, encoding="utf-8")
    words = ("ensemble", "corpus.txt", "--members", "2", "--steps", "20", *SMALL)
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *words, "--set", "hidden=8", "--set", "seed=5"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    (place / "printed.txt").write_text(done.stdout, encoding="utf-8")
    return place


def test_each_member_and_the_ensemble_have_rows_of_their_own(
    trained: Path, sentences: str, monkeypatch: pytest.MonkeyPatch, run_cli: Call
) -> None:
    monkeypatch.chdir(trained)
    paths = [FOLDER / "member-001", FOLDER / "member-002"]
    scores = Ensemble.load(paths).evaluate(sentences[int(len(sentences) * 0.9) :])
    printed = (trained / "printed.txt").read_text(encoding="utf-8")
    split = [line.rsplit(maxsplit=3) for line in printed.splitlines()[1:10]]
    rows = {name.strip(): nats for name, nats, *_ in split if nats}
    assert rows["ensemble of 2 (mean of probabilities)"] == f"{scores.whole.nats_per_char:.4f}"
    for number, (member, score) in enumerate(zip(paths, scores.members, strict=True), 1):
        assert rows[f"member {number} (seed {number + 4}) alone"] == f"{score.nats_per_char:.4f}"
        own = trials.read_result(member)["validation_nats_per_char"]
        assert own == pytest.approx(score.nats_per_char, abs=1e-6)
    assert len({score.nats_per_char for score in scores.members}) == 2
    gained = sum(score.nats_per_char for score in scores.members) / 2 - scores.whole.nats_per_char
    assert f"{gained:.4f} nats below the mean of its members" in " ".join(printed.split())
    for line in printed.splitlines():
        if line.startswith(("sample from it: ", "score a text: ")):
            words = line.partition(": ")[2].replace("FILE", "corpus.txt").split()[1:]
            done = run_cli(*words, *(("--length", "5") if "sample" in words else ()))
            assert done.exit_code == 0, done.stderr
    assert "charrnn sample --ensemble" in printed
    assert "charrnn eval --ensemble" in printed


def test_a_member_is_the_run_that_train_makes_with_its_seed(
    trained: Path, run_cli: Call, assert_same: AssertSame
) -> None:
    text = trained / FOLDER / "training-part.txt"
    assert text.read_bytes() == (trained / "corpus.txt").read_bytes()
    words = ("--steps", "20", "--batch-size", "4", "--seq-length", "16", "--hidden", "8")
    own = ("--seed", "6", "--backend", "numpy", "--workers", "1", "--quiet", "--out", "run")
    assert run_cli("train", text, *words, *own).exit_code == 0
    assert_same(trained / FOLDER / "member-002", Path("run"))


def test_json_has_the_ensemble_and_its_members(trained: Path, run_cli: Call) -> None:
    found = json.loads(run_cli("ensemble", "--resume", trained / FOLDER, "--json").stdout)
    assert [member["seed"] for member in found["members"]] == ["5", "6"]
    losses = [member["nats_per_char"] for member in found["members"]]
    assert found["nats_per_char"] <= sum(losses) / 2
    assert found["combination"] == "arithmetic mean of probabilities"
    assert set(found["baselines"]) == {"uniform", "unigram", "5-gram", "gzip", "xz"}


def test_members_that_fail_are_named_and_two_are_needed(run_cli: Call, corpus: Path) -> None:
    words = ("--members", "2", "--set", "lr=1e30", "--steps", "8", *SMALL, "--set", "hidden=8")
    result = run_cli("ensemble", corpus, *words)
    assert result.exit_code == 6
    assert "charrnn: note: member 1 diverged: " in result.stderr
    assert "0 of 2 members have a result; the first one diverged" in result.stderr


@pytest.mark.parametrize(("status", "code"), [("diverged", 0), ("failed", 4)])
def test_an_ensemble_without_one_member_is_scored_without_it(
    trained: Path, tmp_path: Path, run_cli: Call, status: str, code: int
) -> None:
    shutil.copytree(trained / FOLDER, tmp_path / "theirs")
    path = tmp_path / "theirs" / "sweep.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    plan["points"].append({"--seed": "7"})
    path.write_text(json.dumps(plan), encoding="utf-8")
    third = tmp_path / "theirs" / "member-003"
    third.mkdir()
    outcome = {"status": status, "exit_code": code or 6, "error": "the loss is not finite"}
    (third / "trial.json").write_text(json.dumps(outcome), encoding="utf-8")
    result = run_cli("ensemble", "--resume", tmp_path / "theirs")
    assert result.exit_code == code
    assert f"charrnn: note: member 3 {status}: the loss is not finite" in result.stderr
    assert ("error: member 3 of 3 ended without a result" in result.stderr) == (code != 0)
    assert "ensemble of 2 (mean of probabilities)" in result.stdout


@pytest.mark.slow
def test_an_interrupted_ensemble_says_how_to_go_on_and_does(run_cli: Call, corpus: Path) -> None:
    words = ("ensemble", str(corpus), "--members", "2", "--steps", "3000", *SMALL)
    started = subprocess.Popen(
        [sys.executable, "-m", "charrnn", *words, "--set", "hidden=8", "--set", "save-every=20"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 60
    while not all((FOLDER / f"member-00{number}" / "last.npz").exists() for number in (1, 2)):
        assert time.monotonic() < until
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130
    assert f"go on with: charrnn ensemble --resume {FOLDER}" in told.decode()
    result = run_cli("ensemble", "--resume", FOLDER)
    assert result.exit_code == 0
    assert "ensemble of 2" in result.stdout
    assert "resuming" in (FOLDER / "member-001" / "log.txt").read_text(encoding="utf-8")
