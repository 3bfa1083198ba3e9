"""`--label-smoothing` from the command line: its default, what it changes, what is stored."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint

Charrnn = Callable[..., Result]
TINY = ("--hidden", "32", "--workers", "1", "--seed", "1", "--val-fraction", "0.2")


def pairs() -> None:
    """Write pairs of three letters and the same in capitals."""
    words = [a + b + c for a in "abcd" for b in "efgh" for c in "ijkl"]
    lines = (f"{word}\t{word.upper()}\n" for word in words)
    Path("u.tsv").write_text("".join(lines), encoding="utf-8")


def trained(run_cli: Charrnn, name: str, *options: str) -> dict[str, Any]:
    result = run_cli("train", *options, *TINY, "--json", "-q", "--out", name)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def smoothing_of(name: str) -> float:
    state = load_checkpoint(Path(name) / "last.npz").training
    assert state is not None
    return state.config.label_smoothing


def test_it_is_a_tenth_for_a_text_to_a_text_and_zero_elsewhere(
    run_cli: Charrnn, empty_folder: Path
) -> None:
    pairs()
    Path("corpus.txt").write_text("the cat sat on the mat " * 300, encoding="utf-8")
    trained(run_cli, "a", "u.tsv", "--layout", "many-to-many", "--steps", "2")
    trained(run_cli, "b", "u.tsv", "--layout", "synced", "--steps", "2")
    trained(run_cli, "c", "corpus.txt", "--steps", "2")
    assert [smoothing_of(name) for name in "abc"] == [0.1, 0, 0]
    said = run_cli(
        "train", "corpus.txt", *TINY, "--steps", "2", "--label-smoothing", "0.2", "--out", "d"
    )
    assert "--label-smoothing 0.2" in " ".join(said.stderr.split())
    assert smoothing_of("d") == 0.2


def test_the_losses_that_are_reported_are_those_of_the_targets_alone(
    run_cli: Charrnn, empty_folder: Path
) -> None:
    """A network that answers all of its pairs is as sure of them as the smoothed targets are."""
    pairs()
    options = ("u.tsv", "--layout", "synced", "--steps", "400")
    plain = trained(run_cli, "a", *options)
    smoothed = trained(run_cli, "b", *options, "--label-smoothing", "0.3")
    nats, smoothed_nats = (found["validation"]["nats_per_symbol"] for found in (plain, smoothed))
    assert nats < 0.03
    outputs = load_checkpoint(Path("b/last.npz")).config.outputs
    expected = -math.log(0.7 + 0.3 / outputs)
    assert smoothed_nats == pytest.approx(expected, abs=0.03)
    assert smoothed["validation"]["exact_match"] == plain["validation"]["exact_match"] == 1
