"""Early annealing: a run on pairs of texts is short once nearly all of its answers are right."""

import json
import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.cli.train import early_annealing as module
from charrnn.cli.train.early_annealing import EarlyAnnealing
from charrnn.cli.train.replanning import Replanning
from charrnn.training.events import Evaluation
from charrnn.training_config import TrainingConfig

Call = Callable[..., Result]
OPTIONS = ("--layout", "many-to-many", "--hidden", "24", "--workers", "1", "--backend", "numpy")


def at(step: int, right: float) -> Evaluation:
    """Return a validation of some step with a share of right answers."""
    return Evaluation(step, 0.1, True, 0.1, {"nats_per_symbol": 0.1, "exact_match": right})


def test_nearly_all_right_answers_bring_the_end_near() -> None:
    early = EarlyAnnealing(100.0, 5.0, lambda: 10.0)
    config = TrainingConfig(steps=10_000, eval_every=100)
    assert early.steps(at(500, 0.98), config) is None
    assert early.steps(at(600, 0.99), config) == 900
    assert early.active
    shorter = TrainingConfig(steps=900, eval_every=100)
    assert early.steps(at(700, 0.995), shorter) is None  # once is enough
    assert early.steps(at(900, 1.0), shorter) is None


def test_two_validations_follow_at_least_and_the_end_is_never_later() -> None:
    config = TrainingConfig(steps=1_000, eval_every=100)
    assert EarlyAnnealing(100.0, 5.0, lambda: 1.0).steps(at(100, 0.999), config) == 300
    assert EarlyAnnealing(100.0, 5.0, lambda: 1.0).steps(at(800, 0.999), config) is None
    warm = TrainingConfig(steps=1_000, eval_every=100, warmup_steps=200)
    assert EarlyAnnealing(100.0, 5.0, lambda: 1.0).steps(at(100, 0.999), warm) == 600


def test_wrong_answers_at_the_end_get_the_time_that_is_left() -> None:
    now = [0.0]
    early = EarlyAnnealing(100.0, 5.0, lambda: now[0])
    early.steps(at(600, 0.99), TrainingConfig(steps=10_000, eval_every=100))
    now[0] = 15.0  # 900 steps took 15 s, and 80 s are left
    found = early.steps(at(900, 0.999), TrainingConfig(steps=900, eval_every=100))
    assert found == 900 + int(0.95 * 80 * 60)
    assert not early.active
    assert early.steps(at(found, 0.999), TrainingConfig(steps=found, eval_every=100)) is None


def test_little_time_is_left_alone() -> None:
    now = [0.0]
    early = EarlyAnnealing(100.0, 5.0, lambda: now[0])
    early.steps(at(600, 0.99), TrainingConfig(steps=10_000, eval_every=100))
    now[0] = 80.0
    assert early.steps(at(900, 0.999), TrainingConfig(steps=900, eval_every=100)) is None


@pytest.fixture
def pairs(empty_folder: Path) -> Path:
    """Write words and their first letter, which is easy."""
    rng = random.Random(8)
    words = sorted({"".join(rng.choices("abcd", k=rng.randint(3, 6))) for _ in range(700)})
    path = empty_folder / "p.tsv"
    path.write_text("".join(f"{word}\t{word[:2]}\n" for word in words), encoding="utf-8")
    return path


def test_a_run_ends_early_and_its_options_repeat_it(
    run_cli: Call,
    pairs: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same: Callable[[Path, Path], None],
    metadata: Callable[[Path], dict[str, Any]],
) -> None:
    """Half of the answers are taken for nearly all, so that the run is not solved before."""
    monkeypatch.setattr(module, "NEARLY_ALL", 0.5)
    monkeypatch.setattr(module, "MORE_STEPS", 0.2)
    monkeypatch.setattr(module, "LEAST_TIME_LEFT", 1.0)
    stepped, plain = [], Replanning.stepped

    def counted(self: Replanning, seconds: float) -> None:
        stepped.append(seconds)
        plain(self, seconds)

    monkeypatch.setattr(Replanning, "stepped", counted)
    time = ("--minutes", "30", "--eval-every", "40", "--lr", "0.1", "--no-bidirectional")
    result = run_cli("train", pairs, *OPTIONS, *time, "--out", "first")
    assert result.exit_code == 0, result.stderr
    stored = metadata(Path("first/last.npz"))["training"]["config"]
    assert stored["earlier_plans"]
    first_plan = int(stored["earlier_plans"].split(",")[0].partition(":")[2])
    assert stored["steps"] < first_plan / 10
    assert len(stepped) == stored["steps"]  # the speed is known if the run goes on afterwards
    assert "to keep --minutes, and to end soon since nearly all answers were right" in result.stderr
    chosen = json.loads(Path("first/run.json").read_text())["chosen"]
    again = run_cli("train", pairs, *shlex.split(chosen), "-q", "--out", "again")
    assert again.exit_code == 0, again.stderr
    assert_same(Path("first"), Path("again"))


@pytest.mark.parametrize("own", ["--patience 3", "--schedule constant"])
def test_a_plan_of_ones_own_is_kept(
    run_cli: Call, pairs: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> EarlyAnnealing:
        raise AssertionError

    monkeypatch.setattr(EarlyAnnealing, "of", none)
    words = ("--minutes", "0.05", "--eval-every", "10")
    result = run_cli("train", pairs, *OPTIONS, *own.split(), *words, "-q", "--out", "run")
    assert result.exit_code == 0, result.stderr
