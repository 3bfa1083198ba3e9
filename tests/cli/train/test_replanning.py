"""Replanning: `--minutes` is kept while the speed of the machine changes."""

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.npz_file import read_archive
from charrnn.cli.train.replanning import Expected, Replanning

Call = Callable[..., Result]
EXPECTED = Expected(budget=100.0, step=0.1, validation=1.0, closing=5.0)
EVAL_EVERY = 100


class Machine:
    """A clock, and a run whose steps take the time that `speed` says at each moment."""

    def __init__(self, speed: Callable[[float], float]) -> None:
        self.now, self.speed = 2.0, speed

    def run(self, planned: int) -> tuple[float, int]:
        """Return when the run ends, and how often it was planned again."""
        replanning = Replanning(EXPECTED, lambda: self.now)
        step = times = 0
        while step < planned:
            took = EXPECTED.step * self.speed(self.now)
            self.now += took + 0.002  # beside the step: rows, the display, saves
            step += 1
            replanning.stepped(took)
            new = replanning.steps(step, planned, EVAL_EVERY)
            if new is not None:
                assert step < planned  # else the schedule would begin again
                assert new > step
                planned, times = new, times + 1
            if step % EVAL_EVERY == 0 or step >= planned:
                self.now += EXPECTED.validation * self.speed(self.now)
                replanning.validated()
        return self.now + EXPECTED.closing * self.speed(self.now), times


@pytest.mark.parametrize(
    "speed",
    [
        lambda now: 1.0,
        lambda now: 1.6,
        lambda now: 0.6,
        lambda now: 1.0 if now < 50 else 2.5,
        lambda now: 2.0 if now < 30 else 1.0,
        lambda now: 3.0 if 40 < now < 60 else 1.0,
        lambda now: 1.0 + (now % 7) / 7,
        lambda now: 1.0 if now < 85 else 2.0,
        lambda now: 40.0 if 50 < now < 50.1 else 1.0,
        lambda now: 120.0 if 50 < now < 50.1 else 1.0,
        lambda now: 40.0 if now % 20 < 0.1 else 1.0,
        lambda now: 350.0 if 50 < now < 50.1 else 1.0,
    ],
    ids=[
        *("as measured", "slow", "fast", "slower", "faster", "a while", "uneven", "late"),
        *("one slow step", "one very slow step", "several slow steps", "almost no time left"),
    ],
)
def test_a_run_ends_within_five_percent_of_its_time(speed: Callable[[float], float]) -> None:
    ends, times = Machine(speed).run(planned=850)
    assert ends == pytest.approx(EXPECTED.budget, rel=0.05)
    assert times <= 100


def test_a_run_of_few_slow_steps_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.EXPECTED", Expected(100.0, 8.0, 1.0, 5.0))
    ends, _ = Machine(lambda now: 2.0 if now > 40 else 1.0).run(planned=11)
    assert ends < 120


def test_a_short_validation_that_takes_far_longer_cuts_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{__name__}.EXPECTED", Expected(10.0, 0.01, 0.0001, 1.0))
    machine = Machine(lambda now: 1.0)
    replanning = Replanning(EXPECTED, lambda: machine.now)
    for step in range(1, 101):
        machine.now += 0.01
        replanning.stepped(0.01)
        if step % 20 == 0:
            machine.now += 0.02  # a sample is written and a checkpoint is saved
            replanning.validated()
    planned = replanning.steps(100, 700, 20)
    assert planned is None or planned > 500


def test_without_replanning_a_slower_machine_would_miss_it() -> None:
    assert 2 + 850 * EXPECTED.step * 1.6 > 1.2 * EXPECTED.budget


def test_a_machine_as_measured_keeps_its_plan() -> None:
    _, times = Machine(lambda now: 1.0).run(planned=830)
    assert times <= 1


def test_the_options_that_a_replanned_run_prints_repeat_it(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    assert_same: Callable[[Path, Path], None],
) -> None:
    def changed(self: Replanning, done: int, planned: int, eval_every: int) -> int | None:
        return {15: 60, 22: 40}.get(done) if done < 30 else None if planned == 45 else 45

    monkeypatch.setattr(Replanning, "steps", changed)
    options = [word for word in tiny if word not in ("--steps", "20", "--quiet")]
    options += ["--minutes", "1000", "--backend", "numpy", "--warmup-steps", "4"]
    result = run_cli("train", "corpus.txt", *options, "--out", "first")
    assert result.exit_code == 0, result.stderr
    assert "planned again 3 times to keep --minutes: 45 steps" in result.stderr
    facts = json.loads(Path("first/run.json").read_text())
    assert facts["steps"] == 45
    assert "--earlier-plans 15:" in facts["chosen"]
    assert ",22:60,30:40 " in facts["chosen"]
    result = run_cli("train", "corpus.txt", *shlex.split(facts["chosen"]), "--out", "second")
    assert result.exit_code == 0, result.stderr
    assert_same(Path("first"), Path("second"))


def test_a_replanned_run_is_resumed_with_its_plans(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: Callable[[int, Callable[[], None]], None],
    assert_same: Callable[[Path, Path], None],
    metadata: Callable[[Path], dict[str, Any]],
) -> None:
    plans = ("--earlier-plans", "8:30,12:16")
    assert run_cli("train", "corpus.txt", *tiny, *plans, "--out", "whole").exit_code == 0

    def die() -> None:
        raise KeyboardInterrupt

    at_step(11, die)
    run_cli("train", "corpus.txt", *tiny, *plans, "--out", "part", "--save-every", "3")
    at_step(10**9, die)
    assert run_cli("train", "--resume", "part", "-q").exit_code == 0
    assert_same(Path("part"), Path("whole"))
    assert metadata(Path("part/last.npz"))["training"]["config"]["earlier_plans"] == "8:30,12:16"


@pytest.mark.parametrize(
    "plans", ["8", "8:", "8:5", "8:30,7:40", "0:30", "x", "8:30;9:40", "8:30,", "1:2," * 2000]
)
def test_plans_that_make_no_sense_are_refused(
    plans: str, run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    result = run_cli("train", "corpus.txt", *tiny, "--earlier-plans", plans)
    assert result.exit_code == 2
    assert "--earlier-plans has " in result.stderr
    assert not Path("checkpoints").exists()


def test_a_checkpoint_with_such_plans_is_refused(
    run_cli: Call, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, facts = read_archive(finished_run / "last.npz")
    facts["training"]["config"]["earlier_plans"] = "9:3"
    from charrnn.checkpointing.npz_file import write_archive

    write_archive(Path("bad.npz"), arrays, facts)
    result = run_cli("info", "bad.npz")
    assert result.exit_code == 3
    assert "training.config: --earlier-plans has '9:3'" in result.stderr
