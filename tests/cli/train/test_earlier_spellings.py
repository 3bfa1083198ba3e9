"""Earlier spellings of options: accepted by every command, with the effect of the present ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.cli.app import COMMANDS, load_command
from charrnn.cli.options import EARLIER_SPELLINGS

Call = Callable[..., Result]

OPTIONS = {
    "--average": "0.9",
    "--batch": "3",
    "--gain": "0.5",
    "--init": "identity",
    "--kernel": "numpy",
    "--normalise": "nfd",
    "--optimiser": "adam",
    "--reset-rate": "0.5",
    "--threads": "1",
    "--warm-up": "2",
}
"""A value for each option, none of which is a default or that of the fixture `tiny`."""


def run(run_cli: Call, place: str, *options: str) -> tuple[bytes, str]:
    """Train for a few steps; return the last checkpoint and what was printed."""
    common = ("--hidden", "5", "--steps", "6", "--seq-length", "8", "--out", place)
    result = run_cli("train", "corpus.txt", *common, *options)
    assert result.exit_code == 0, result.stderr
    line = next(line for line in result.stderr.splitlines() if line.startswith("chosen"))
    return Path(place, "last.npz").read_bytes(), line


def test_earlier_and_present_spellings_give_the_same_run(run_cli: Call, corpus: Path) -> None:
    earlier = [word for pair in OPTIONS.items() for word in pair]
    present = [EARLIER_SPELLINGS.get(word, word) for word in earlier]
    plain = run(run_cli, "plain", "--backend", "numpy", "--workers", "1")
    assert run(run_cli, "a", *earlier) == run(run_cli, "b", *present) != plain


@pytest.mark.parametrize("name", OPTIONS)
def test_each_earlier_spelling_has_its_effect(name: str, run_cli: Call, corpus: Path) -> None:
    base = ("--backend", "numpy", "--workers", "1")
    earlier = run(run_cli, "a", *base, name, OPTIONS[name])
    assert earlier == run(run_cli, "b", *base, EARLIER_SPELLINGS[name], OPTIONS[name])


def test_the_last_of_two_spellings_counts(run_cli: Call, corpus: Path) -> None:
    base = ("--backend", "numpy", "--workers", "1")
    three = run(run_cli, "three", *base, "--batch-size", "3")
    assert run(run_cli, "a", *base, "--batch-size", "2", "--batch", "3") == three
    assert run(run_cli, "b", *base, "--batch=2", "--batch-size=3") == three


def test_every_earlier_spelling_belongs_to_a_command_and_is_not_listed_twice() -> None:
    found = set()
    for name in COMMANDS:
        command = load_command(name)
        flags = {flag for parameter in command.params for flag in parameter.opts}
        earlier = {spelling for spelling, _ in command.earlier_spellings()}
        assert earlier.isdisjoint(flags)
        assert all(spelling in command.epilog for spelling in earlier)
        found |= earlier
    assert found == EARLIER_SPELLINGS.keys()


def test_a_built_in_corpus_and_drawing_by_earlier_spellings(run_cli: Call, corpus: Path) -> None:
    assert "'x'" in run_cli("train", "--corpus", "x").stderr
    assert run_cli("train", "--corpus", "x").stderr == run_cli("train", "--builtin", "x").stderr
    run(run_cli, "run")
    options = ("--seed", "1", "--length", "40")
    drawn = [
        run_cli("sample", "run", flag, "0.5", *options) for flag in ("--temp", "--temperature")
    ]
    assert drawn[0].stdout == drawn[1].stdout != run_cli("sample", "run", *options).stdout


@pytest.mark.parametrize("typed", ["--bathc", "--thread", "--optimisr", "--batch-siz"])
def test_a_typing_error_near_either_spelling_suggests_the_present_one(
    typed: str, run_cli: Call
) -> None:
    line = run_cli("train", typed, "3").stderr
    advice = line.partition("; try ")[2].strip()
    assert advice in ("--batch-size", "--workers", "--optimizer")
    assert advice == {"b": "--batch-size", "t": "--workers", "o": "--optimizer"}[typed[2]]
