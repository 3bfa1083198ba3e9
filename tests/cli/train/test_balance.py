"""`--balance` from the command line: rare labels are found, it is stored, and refused elsewhere."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint

Charrnn = Callable[..., Result]
OPTIONS = ("--layout", "many-to-one", "--hidden", "12", "--workers", "1", "--seed", "1")


def unequal(count: int) -> None:
    """Write pairs of which one in nine has the label `rare`, told by noisy letters."""
    rng = random.Random(6)
    rows: dict[str, str] = {}
    while len(rows) < count:
        rare = rng.random() < 1 / 9
        word = "".join(rng.choices("ab", (2, 3) if rare else (3, 2), k=10)) + rng.choice("cdefgh")
        rows.setdefault(word, "rare" if rare else "common")
    Path("u.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows.items()), encoding="utf-8")


def trained(run_cli: Charrnn, name: str, *options: str) -> dict[str, Any]:
    rest = ("--steps", "120", "--val-fraction", "0.4", "--json", "-q", "--out", name)
    result = run_cli("train", "u.tsv", *OPTIONS, *options, *rest)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_rare_labels_are_found_at_the_cost_of_the_loss(
    run_cli: Charrnn, empty_folder: Path
) -> None:
    unequal(700)
    plain, balanced = trained(run_cli, "a"), trained(run_cli, "b", "--balance", "1")
    assert (plain["balance"], balanced["balance"]) == (0, 1)
    recalls = [found["validation"]["labels"]["rare"]["recall"] for found in (plain, balanced)]
    assert recalls[1] > recalls[0] + 0.2
    nats = [found["validation"]["nats_per_symbol"] for found in (plain, balanced)]
    assert nats[1] > nats[0] + 0.05
    state = load_checkpoint(Path("b/last.npz")).training
    assert state is not None
    assert state.config.balance == 1


def test_the_result_says_what_the_probabilities_are(run_cli: Charrnn, empty_folder: Path) -> None:
    unequal(100)
    rest = ("--steps", "4", "--out")
    noted = run_cli("train", "u.tsv", *OPTIONS, "--balance", "0.5", *rest, "b")
    assert "Trained with --balance 0.5: rare labels get more" in " ".join(noted.stdout.split())
    assert "--balance 0.5" in noted.stderr  # the line "chosen"
    assert "--balance" not in run_cli("train", "u.tsv", *OPTIONS, *rest, "a").stdout


@pytest.mark.parametrize("layout", ["synced", "many-to-many", "one-to-many", "one-to-one"])
def test_layouts_without_labels_of_texts_refuse_it(
    run_cli: Charrnn, empty_folder: Path, layout: str
) -> None:
    unequal(30)
    result = run_cli("train", "u.tsv", "--layout", layout, "--balance", "0.5")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "--balance is for labels, --layout many-to-one" in line
    assert layout in line


def test_a_text_refuses_it_and_values_out_of_range_are_named(
    run_cli: Charrnn, empty_folder: Path
) -> None:
    unequal(30)
    assert "this is a text" in run_cli("train", "u.tsv", "--balance", "1").stderr
    result = run_cli("train", "u.tsv", *OPTIONS, "--balance", "1.5")
    assert result.exit_code == 2
    assert "--balance is 1.5; it must be from 0 to 1" in result.stderr
