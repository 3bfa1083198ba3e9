"""docs/checkpoint-format.md names every key of real checkpoints, rows and run.json."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from charrnn.checkpointing.npz_file import read_archive
from charrnn.cli.app import app
from charrnn.nn.cells import CELLS
from charrnn.optim.optimisers import OPTIMISERS

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoint-format.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([\w.-]+)`", PAGE))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Train on a text and on pairs, a few steps."""
    folder = tmp_path_factory.mktemp("runs")
    corpus = folder / "corpus.txt"
    corpus.write_text("the cat sat on a mat\n" * 100, encoding="utf-8")
    made = []
    for name, words in (
        ("text", [str(corpus), "--ema-decay", "0.9", "--cell", "gru", "--watch-gradients"]),
        ("pairs", ["--builtin", "dates", "--bidirectional"]),
    ):
        path = folder / name
        options = ["--steps", "2", "--hidden", "4", "--workers", "1", "--quiet", "--out", str(path)]
        assert CliRunner().invoke(app, ["train", *words, *options]).exit_code == 0
        made.append(path)
    return made


def keys(value: Any) -> Iterator[str]:
    """Yield the keys of an object and of those inside it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)


def test_every_key_of_the_metadata_is_named(runs: list[Path]) -> None:
    found = set()
    for run in runs:
        _, metadata = read_archive(run / "last.npz")
        found |= set(keys(metadata))
    assert {"vocabulary", "pairs", "charrnn"} <= found
    assert found <= NAMED, found - NAMED


def test_every_array_has_a_row(runs: list[Path]) -> None:
    for run in runs:
        arrays, _ = read_archive(run / "last.npz")
        for name in arrays:
            general = re.sub(r"^training\.parameters\..*", "training.parameters.NAME", name)
            general = re.sub(
                r"^training\.optimiser\.\w+\..*", "training.optimiser.SLOT.NAME", general
            )
            assert general in NAMED or general.endswith((".c", ".context")), name


def test_gates_and_slots_are_those_of_the_registries() -> None:
    for name, cell in CELLS.items():
        assert f"`{name}` {', '.join(cell.gates)}" in PAGE
    slots = PAGE[PAGE.index("Slots:") :]
    for name, optimiser in OPTIMISERS.items():
        assert f"`{name}`" in slots
        assert all(f"`{slot}`" in slots for slot in optimiser.slots)


def test_rows_and_facts_have_no_other_keys(runs: list[Path]) -> None:
    for run in runs:
        for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            assert set(json.loads(line)) <= NAMED
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        assert set(keys(facts)) <= NAMED
        assert {path.name for path in run.iterdir()} <= NAMED
