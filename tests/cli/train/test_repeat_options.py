"""The line "chosen" repeats a run bit for bit, and each option is obeyed or refused."""

import random
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.checkpointing.npz_file import read_archive

Call = Callable[..., Result]

VALUES: dict[str, Sequence[str]] = {
    "--cell": ("rnn", "lstm", "gru"),
    "--layers": ("1", "2"),
    "--hidden": ("4", "9"),
    "--dropout": ("0", "0.1", "0.5"),
    "--recurrent-dropout": ("0", "0.25"),
    "--recurrent-init": ("orthogonal", "identity", "normal:0.01", "uniform"),
    "--recurrent-gain": ("1", "0.5"),
    "--input-init": ("normal:1", "uniform"),
    "--input-gain": ("1", "2"),
    "--forget-bias": ("0", "1", "3"),
    "--optimizer": ("adagrad", "adam", "adamw", "rmsprop", "sgd"),
    "--lr": ("0.4", "0.01"),
    "--schedule": ("cosine", "constant", "step"),
    "--warmup-steps": ("0", "2", "100"),
    "--weight-decay": ("0", "0.002", "0.1"),
    "--ema-decay": ("0", "0.9"),
    "--label-smoothing": ("0", "0.1"),
    "--clip-norm": ("0.25", "1"),
    "--clip-value": ("1", "0.5"),
    "--seq-length": ("8", "64"),
    "--batch-size": ("2", "32"),
    "--state-reset-prob": ("0", "0.05", "1"),
    "--patience": ("0", "1", "8"),
    "--eval-every": ("0", "1", "3"),
    "--seed": ("0", "7"),
    "--preset": ("default", "small", "large", "min-char-rnn"),
    "--min-count": ("1", "3"),
    "--val-fraction": ("0.1", "0.2", "0"),
    "--normalize": ("nfc", "nfkd"),
    "--bytes": (),
    "--backend": ("numpy", "numba"),
}
PAIRS = ("--builtin vowels", "--builtin dates", "--builtin languages", "--builtin case")
"""Demonstrations of four layouts; drawn instead of a text in some cases."""


def drawn(seed: int) -> tuple[list[str], list[str]]:
    """Return a source and options for a run, drawn by seed."""
    draw = random.Random(seed)
    source = draw.choice([["corpus.txt"]] * 3 + [pairs.split() for pairs in PAIRS])
    options = []
    for name in draw.sample(sorted(VALUES), draw.randint(1, 6)):
        options += [name, draw.choice(VALUES[name])] if VALUES[name] else [name]
    if "--hidden" not in options:
        options += ["--hidden", "5"]
    return source, options


def chosen(stderr: str) -> list[str]:
    """Return the options that a run printed."""
    lines = stderr.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("chosen"))
    words = lines[first].removeprefix("chosen")
    for line in lines[first + 1 :]:
        if not line.startswith(" " * 10):
            break
        words += " " + line
    return shlex.split(words)


def same(one: Path, other: Path) -> bool:
    arrays, facts = read_archive(one / "last.npz")
    repeated, others = read_archive(other / "last.npz")
    assert facts == others
    return all(arrays[name].tobytes() == repeated[name].tobytes() for name in arrays)


def repeat(run_cli: Call, source: list[str], options: list[str]) -> bool:
    """Train, and train again with what was printed; False if the options were refused."""
    rest = ("--steps", "4", "--workers", "1", "--sample-every", "0")
    first = run_cli("train", *source, *options, *rest, "--name", "first")
    if first.exit_code:
        assert first.exit_code in (2, 4), first.stderr
        return False
    second = run_cli(
        "train", *source, *chosen(first.stderr), "--sample-every", "0", "--name", "second"
    )
    assert second.exit_code == 0, (chosen(first.stderr), second.stderr)
    assert same(Path("checkpoints/first"), Path("checkpoints/second"))
    assert chosen(second.stderr) == chosen(first.stderr)
    return True


@pytest.mark.parametrize("seed", range(8))
def test_the_printed_options_repeat_a_run(seed: int, run_cli: Call, corpus: Path) -> None:
    source, options = drawn(seed)
    repeat(run_cli, source, options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 120))
def test_many_drawn_options_repeat_a_run(seed: int, run_cli: Call, corpus: Path) -> None:
    source, options = drawn(seed)
    repeat(run_cli, source, options)


def test_most_drawn_options_are_obeyed_not_refused() -> None:
    assert len({name for seed in range(8) for name in drawn(seed)[1] if name in VALUES}) > 12


@pytest.mark.parametrize(
    "options",
    [
        "--weight-decay 0",
        "--clip-value 1 --clip-norm 0.25",
        "--preset min-char-rnn --lr 0.05",
        "--dropout 0 --recurrent-dropout 0.25",
        "--ema-decay 0.998",
        "--val-fraction 0.2 --min-count 2 --bytes",
    ],
)
def test_options_equal_to_a_default_of_their_field_are_printed(
    options: str, run_cli: Call, corpus: Path
) -> None:
    assert repeat(run_cli, ["corpus.txt"], [*options.split(), "--hidden", "5"])


def test_weights_of_labels_are_repeated(run_cli: Call, empty_folder: Path) -> None:
    assert repeat(run_cli, ["--builtin", "languages"], ["--balance", "0.25", "--hidden", "5"])


@pytest.mark.parametrize("options", ["--patience 0", "--forget-bias 1", "--preset large"])
def test_the_same_for_pairs(options: str, run_cli: Call, empty_folder: Path) -> None:
    assert repeat(run_cli, ["--builtin", "dates"], [*options.split(), "--hidden", "5"])


def test_a_run_from_a_checkpoint_repeats(run_cli: Call, corpus: Path, finished_run: Path) -> None:
    options = ["--init-from", str(finished_run), "--dropout", "0.1"]
    assert repeat(run_cli, ["corpus.txt"], options)


@pytest.mark.parametrize(
    "options",
    [
        "--init-from RUN --recurrent-init normal:5",
        "--init-from RUN --recurrent-gain 2",
        "--init-from RUN --input-init normal",
        "--init-from RUN --forget-bias 2",
        "--init-from RUN --min-count 2",
        "--init-from RUN --hidden 99",
        "--init-from RUN --bytes",
        "--val-fraction 0 --patience 3",
        "--cell gru --forget-bias 2",
        "--preset min-char-rnn --forget-bias 2",
        "--quiet --sample-every 3",
        "--layout many-to-one --bytes",
        "--layout many-to-one --state-reset-prob 0.1",
        "--builtin python-docs --encoding cp1252 --steps 1",
        "--name a/b",
        "--name ..",
        "--out /",
    ],
)
def test_an_option_that_would_not_be_obeyed_is_refused(
    options: str, run_cli: Call, corpus: Path, finished_run: Path, empty_folder: Path
) -> None:
    words = options.replace("RUN", str(finished_run)).split()
    source = [] if "--builtin" in words else ["corpus.txt"]
    before = sorted(empty_folder.rglob("*"))
    result = run_cli("train", *source, *words)
    assert result.exit_code == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(empty_folder.rglob("*")) == before
