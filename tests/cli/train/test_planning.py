"""Planning of a run: what is read of a text so that `--minutes` is kept."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.records import CorpusRecord
from charrnn.cli.train import planning
from charrnn.cli.train.baseline_speed import measure_baselines
from charrnn.cli.train.planning import (
    MIN_VALIDATION_CHARACTERS,
    VALIDATION_SHARE,
    chosen_val_limit,
    closing_seconds,
    scoring_limits,
    validation_seconds,
)
from charrnn.cli.train.replanning import Replanning
from charrnn.data.vocabulary import Vocabulary
from charrnn.training.prepared_data import PreparedText
from charrnn.training.presets import Budget, Plan, plan
from charrnn.training.speed import Speed
from charrnn.training.text_dataset import TextDataset

Call = Callable[..., Result]
AssertSame = Callable[[Path, Path], None]
SPEED = Speed(1e-2, 1e-2, 5e-6, 2e-5, 1e-6)


def prepared(characters: int) -> PreparedText:
    ids = np.random.default_rng(0).integers(5, size=characters).astype(np.uint8)
    record = CorpusRecord("text", "0" * 64, characters, 0.1, 1, "utf-8", False, None, None)
    begin = characters * 9 // 10
    return PreparedText(Vocabulary("abcde"), TextDataset(ids[:begin], ids[begin:]), record)


def planned(budget: Budget, **given: Any) -> Plan:
    return plan("default", given, 5, 10**6, budget)


@pytest.mark.parametrize("minutes", [0.25, 1.0])
def test_a_validation_of_a_long_text_takes_its_share_of_the_time(minutes: float) -> None:
    text, short = prepared(8_000_000), planned(Budget(minutes=minutes))
    limit = chosen_val_limit(short, short.training, text, SPEED)
    seconds = validation_seconds(SPEED, text, limit)
    assert seconds == pytest.approx(VALIDATION_SHARE * 60 * minutes, rel=1e-3)
    limits = scoring_limits(short.budget, SPEED, text, limit)
    assert 0.1 < closing_seconds(SPEED, text, limits, limit) / (60 * minutes) < 0.2


def test_a_slow_network_is_validated_on_some_thousand_characters() -> None:
    text, short = prepared(1_000_000), planned(Budget(minutes=0.1))
    slow = replace(SPEED, validation_character=1.0)
    assert chosen_val_limit(short, short.training, text, slow) == MIN_VALIDATION_CHARACTERS


@pytest.mark.parametrize(
    ("budget", "characters", "given", "expected"),
    [
        (Budget(minutes=0.25), 1_000_000, 0, 0),  # all of it fits
        (Budget(steps=10), 8_000_000, 0, 0),
        (Budget(minutes=0.25), 8_000_000, 700, 700),
    ],
)
def test_otherwise_a_validation_reads_what_it_would(
    budget: Budget, characters: int, given: int, expected: int
) -> None:
    one = planned(budget, **({"val_limit": given} if given else {}))
    assert chosen_val_limit(one, one.training, prepared(characters), SPEED) == expected


def test_baselines_are_measured_on_a_part_of_the_text() -> None:
    seconds = measure_baselines(prepared(300_000))
    assert 1e-8 < seconds < 1e-3
    assert measure_baselines(prepared(0)) >= 0


def test_a_run_on_a_part_of_the_validation_text_is_repeated_and_resumed(
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: Callable[[int, Callable[[], None]], None],
    assert_same: AssertSame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def thirty(self: Replanning, done: int, planned: int, eval_every: int) -> int | None:
        return None if planned == 30 else 30

    monkeypatch.setattr(planning, "chosen_val_limit", lambda *_: 150)
    monkeypatch.setattr(Replanning, "steps", thirty)
    options = [word for word in tiny if word not in ("--steps", "20", "--quiet")]
    command = (
        "train",
        "corpus.txt",
        *options,
        "--minutes",
        "1000",
        "--backend",
        "numpy",
        "--warmup-steps",
        "4",
    )
    result = run_cli(*command, "--out", "first", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["validation_characters"] == 150
    facts = json.loads(Path("first/run.json").read_text())
    assert "--val-limit 150 " in facts["chosen"]
    again = ("train", "corpus.txt", *shlex.split(facts["chosen"]))
    result = run_cli(*again, "--out", "second", "--json")
    assert json.loads(result.stdout)["validation_characters"] == 150
    assert_same(Path("first"), Path("second"))

    def die() -> None:
        raise KeyboardInterrupt

    at_step(11, die)
    run_cli(*again, "--out", "part", "--save-every", "3")
    at_step(10**9, die)
    assert run_cli("train", "--resume", "part", "-q").exit_code == 0
    assert_same(Path("part"), Path("second"))
