"""Rounds of a run on labels with `--minutes`: they end by validation, repeat and resume."""

import json
import random
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.cli.train import rounds as module
from charrnn.cli.train.rounds import Rounds
from charrnn.training.trainer import Trainer
from charrnn.training_config import Progress, TrainingConfig

Call = Callable[..., Result]
OPTIONS = ("--layout", "many-to-one", "--hidden", "12", "--workers", "1", "--backend", "numpy")
LONG = ("--minutes", "1000")


@pytest.fixture
def pairs(empty_folder: Path) -> Path:
    """Write words whose labels mean nothing, so that they can only be memorised."""
    rng = random.Random(8)
    words = sorted({"".join(rng.choices("abcdefgh", k=5)) for _ in range(150)})
    path = empty_folder / "p.tsv"
    rows = [f"{word}\t{rng.choice('xyz')}\n" for word in words]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def settings_of(folder: str, metadata: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = metadata(Path(folder, "last.npz"))["training"]["config"]
    return found


def test_a_run_ends_long_before_its_time_when_pairs_are_memorised(
    run_cli: Call, pairs: Path, metadata: Callable[[Path], dict[str, Any]]
) -> None:
    began = time.monotonic()
    result = run_cli("train", pairs, *OPTIONS, *LONG, "--hidden", "32", "--out", "run", "--json")
    assert time.monotonic() - began < 60
    assert result.exit_code == 0, result.stderr
    found, config = json.loads(result.stdout), settings_of("run", metadata)
    assert config["steps"] == found["steps"] < 10_000
    assert config["patience"] == 0
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    rates = [row["lr"] for row in rows if "lr" in row]
    assert rates[-1] < 0.05 * max(rates)  # annealed to the end


def test_the_options_of_a_run_in_rounds_repeat_it(
    run_cli: Call,
    pairs: Path,
    assert_same: Callable[[Path, Path], None],
    metadata: Callable[[Path], dict[str, Any]],
) -> None:
    def longer(self: Rounds, trainer: Trainer) -> int | None:
        return {60: 95}.get(trainer.progress.step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rounds, "steps", longer)
        result = run_cli("train", pairs, *OPTIONS, *LONG, "--out", "first")
    assert result.exit_code == 0, result.stderr
    assert "continued from a full --lr 1 time: 95 steps" in result.stderr
    assert settings_of("first", metadata)["earlier_plans"] == "60:60"
    chosen = json.loads(Path("first/run.json").read_text())["chosen"]
    result = run_cli("train", pairs, *shlex.split(chosen), "-q", "--out", "second")
    assert result.exit_code == 0, result.stderr
    assert_same(Path("first"), Path("second"))


def test_a_run_in_rounds_is_resumed_to_the_end_of_its_round(
    run_cli: Call,
    pairs: Path,
    at_step: Callable[[int, Callable[[], None]], None],
    assert_same: Callable[[Path, Path], None],
) -> None:
    plans = ("--steps", "90", "--earlier-plans", "60:60", "--patience", "0", "--eval-every", "25")
    assert run_cli("train", pairs, *OPTIONS, *plans, "-q", "--out", "whole").exit_code == 0

    def die() -> None:
        raise KeyboardInterrupt

    at_step(70, die)
    run_cli("train", pairs, *OPTIONS, *plans, "--out", "part", "--save-every", "10")
    at_step(10**9, die)
    assert run_cli("train", "--resume", "part", "-q").exit_code == 0
    assert_same(Path("part"), Path("whole"))


@pytest.mark.parametrize("own", ["--patience 3", "--schedule constant", "--epochs 2"])
def test_a_plan_of_ones_own_is_kept(
    run_cli: Call, pairs: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_rounds(*_: object) -> int:
        raise AssertionError

    monkeypatch.setattr(module, "first_round", no_rounds)
    time = ("--minutes", "0.05") if "--epochs" not in own else ()
    result = run_cli("train", pairs, *OPTIONS, *own.split(), *time, "-q", "--out", "run")
    assert result.exit_code == 0, result.stderr


def test_the_clock_limits_the_next_round() -> None:
    class Present:
        """What `Rounds` reads of a trainer."""

        progress = Progress(step=100, best_step=100, best_nats=1.0, smooth_nats=1.0)
        config = TrainingConfig(steps=100)

    now = [10.0]
    rounds = Rounds(100.0, 5.0, lambda: now[0])
    now[0] = 20.0  # 100 steps took 10 s
    assert rounds.steps(Present) == 300  # type: ignore[arg-type]  # has what is read
    now[0] = 60.0  # 100 steps took 50 s, 35 s are left
    assert rounds.steps(Present) is None  # type: ignore[arg-type]  # has what is read
