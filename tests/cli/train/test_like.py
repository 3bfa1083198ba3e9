"""`train --like RUN`: its settings, steps and training data again, except for what is given."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.records import TrainingState
from charrnn.cli.train.repeat_options import settings_of

Call = Callable[..., Result]
AssertSame = Callable[[Path, Path], None]

FIRST, AGAIN = Path("checkpoints/first"), Path("checkpoints/again")
QUIET = ("--quiet", "--name", "again")
SMALL = ("--hidden", "4", "--workers", "1", "--backend", "numpy", "--quiet", "--name", "first")


def settings(run: Path) -> dict[str, Any]:
    """Return all settings of a run."""
    checkpoint = load_checkpoint(run / "last.npz")
    assert isinstance(checkpoint.training, TrainingState)
    return settings_of(checkpoint.config, checkpoint.training.config)


def changed() -> dict[str, Any]:
    """Return the settings of the second run that differ from those of the first."""
    before, after = settings(FIRST), settings(AGAIN)
    return {name: value for name, value in after.items() if before[name] != value}


@pytest.fixture
def first(run_cli: Call, corpus: Path, tiny: Sequence[str]) -> Path:
    """A run with settings unlike the defaults."""
    odd = ("--cell", "gru", "--lr", "0.123", "--seed", "7", "--eval-every", "7", "--min-count", "2")
    options = (*tiny, *odd, "--normalize", "nfc", "--val-fraction", "0.2", "--ema-decay", "0.9")
    assert run_cli("train", corpus, *options, "--name", "first").exit_code == 0
    return FIRST


@pytest.mark.parametrize(
    "words",
    [
        ("corpus.txt", "--steps", "30", "--seed", "3", "--batch-size", "4"),
        ("corpus.txt", "--steps", "6", "--preset", "min-char-rnn"),
        ("corpus.txt", "--steps", "6", "--bytes", "--layers", "2", "--clip-value", "1"),
        ("corpus.txt", "--steps", "30", "--earlier-plans", "10:20"),
        ("--builtin", "vowels", "--steps", "6", "--seed", "2", "--patience", "9"),
        ("pairs.tsv", "--layout", "many-to-one", "--steps", "6"),
    ],
    ids=" ".join,
)
def test_alone_it_repeats_the_run_to_the_last_bit(
    words: Sequence[str], run_cli: Call, corpus: Path, assert_same: AssertSame
) -> None:
    Path("pairs.tsv").write_text("ab\tx\nba\ty\nbb\tx\naa\ty\n" * 9, encoding="utf-8")
    assert run_cli("train", *words, *SMALL).exit_code == 0
    result = run_cli("train", "--like", FIRST, *QUIET)
    assert result.exit_code == 0, result.stderr
    assert_same(FIRST, AGAIN)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--hidden", "6"), {"hidden": 6}),
        (("--lr", "0.3"), {"lr": 0.3}),
        (("--seed", "0"), {"seed": 0}),
        (("--layers", "2"), {"layers": 2}),
        (("--clip-value", "2"), {"clip_norm": None, "clip_value": 2.0}),
        (("--steps", "10"), {"steps": 10}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_one_option_changes_one_thing(
    options: Sequence[str], expected: dict[str, Any], run_cli: Call, first: Path
) -> None:
    assert run_cli("train", "--like", first, *options, *QUIET).exit_code == 0
    found = changed()
    allowed = {"warmup_steps", "eval_every"} if "--steps" in options else set()
    assert {name: value for name, value in found.items() if name not in allowed} == expected
    assert load_checkpoint(AGAIN / "last.npz").corpus == load_checkpoint(first / "last.npz").corpus


def test_a_forget_bias_is_taken_by_another_cell(run_cli: Call, first: Path) -> None:
    options = ("--cell", "lstm", "--forget-bias", "2")
    assert run_cli("train", "--like", first, *options, *QUIET).exit_code == 0
    assert changed() == {"cell": "lstm", "forget_bias": 2.0}


def test_no_patience_without_a_validation_set(run_cli: Call, first: Path) -> None:
    assert run_cli("train", "--like", first, "--patience", "3", *QUIET).exit_code == 0
    whole = ("--val-fraction", "0", "--quiet", "--name", "whole")
    assert run_cli("train", "--like", AGAIN, *whole).exit_code == 0
    assert settings(Path("checkpoints/whole"))["patience"] == 0
    result = run_cli("train", "--like", "checkpoints/whole", "--patience", "3", *QUIET)
    assert result.exit_code == 2
    assert "--patience needs validations" in result.stderr


def test_another_optimiser_brings_its_own_learning_rate(run_cli: Call, first: Path) -> None:
    assert run_cli("train", "--like", first, "--optimizer", "adam", *QUIET).exit_code == 0
    assert changed().keys() == {"optimiser", "lr"}
    assert settings(AGAIN)["lr"] < 0.01


def test_another_text_is_trained_on_with_the_same_settings(
    run_cli: Call, first: Path, sentences: str
) -> None:
    Path("other.txt").write_text(sentences.upper(), encoding="utf-8")
    assert run_cli("train", "--like", first, "other.txt", *QUIET).exit_code == 0
    assert not changed()
    record = load_checkpoint(AGAIN / "last.npz").corpus
    assert (record.name, record.min_count, record.normalise) == ("other", 2, "nfc")
    assert record.val_fraction == 0.2


def test_the_file_that_run_json_names_is_named_before_it_is_read(
    run_cli: Call, first: Path
) -> None:
    result = run_cli("train", "--like", first, "--name", "again")
    assert result.exit_code == 0
    assert "which run.json names" in result.stderr.splitlines()[0]


def test_a_text_that_has_changed_is_refused_until_it_is_named(
    run_cli: Call, first: Path, corpus: Path
) -> None:
    with corpus.open("a", encoding="utf-8") as file:
        file.write("more\n")
    result = run_cli("train", "--like", first, *QUIET)
    assert result.exit_code == 4
    assert "has changed since the run of --like; try --like RUN FILE" in result.stderr
    assert not AGAIN.exists()
    assert run_cli("train", "--like", first, corpus, *QUIET).exit_code == 0


@pytest.mark.parametrize(
    ("options", "code", "fragment"),
    [
        (("--like", "nowhere"), 3, "no last.npz in 'nowhere'"),
        (("--like", "lone.npz"), 3, "holds no settings of training; try --like RUN"),
        (("--like", FIRST, "--preset", "small"), 2, "--preset others; try one of them"),
        (("--like", FIRST, "--resume", FIRST), 2, "would change them"),
        (
            ("--like", FIRST, "--forget-bias", "2"),
            2,
            "for an lstm, and the cell is gru; try without it",
        ),
        (("--like", "child"), 2, "began from the weights of a checkpoint; try --init-from"),
    ],
    ids=lambda value: str(value),
)
def test_mistakes_are_one_line_and_make_no_run(
    options: Sequence[str | Path], code: int, fragment: str, run_cli: Call, first: Path
) -> None:
    shutil.copy(first / "best.npz", "lone.npz")
    shutil.copytree(first, "child")
    facts = json.loads(Path("child/run.json").read_text(encoding="utf-8"))
    facts["command"] += ["--init-from=parent"]
    Path("child/run.json").write_text(json.dumps(facts), encoding="utf-8")
    result = run_cli("train", *options, *QUIET)
    assert result.exit_code == code
    [line] = result.stderr.splitlines()
    assert line.startswith("charrnn: error: ")
    assert fragment in line
    assert not AGAIN.exists()


def test_weights_can_be_given_to_begin_from(run_cli: Call, first: Path) -> None:
    shutil.copytree(first, "parent")
    result = run_cli("train", "--like", first, "--init-from", "parent", "--min-count", "1", *QUIET)
    assert result.exit_code == 2  # the vocabulary of the checkpoint is used
    result = run_cli("train", "--like", first, "--init-from", "parent", *QUIET)
    assert result.exit_code == 0, result.stderr
    assert not changed()
