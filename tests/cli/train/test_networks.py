"""Several networks of one run: merged, named, repeated, interrupted, and refused elsewhere."""

import json
import os
import random
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.train import networks as module
from charrnn.cli.train.network_plans import NetworkPlan, networks_in, parse_network_plans
from charrnn.cli.train.networks import FurtherNetworks
from charrnn.cli.train.replanning import Expected, Replanning
from charrnn.data.layouts import LAYOUTS
from charrnn.errors import DivergedError, UsageError
from charrnn.inference.predictor import Predictor
from charrnn.training.networks import NetworkTraining
from charrnn.training.pair_presets import MANY_TRANSDUCED, networks_by_time
from charrnn.training.presets import Budget

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
OPTIONS = ("--layout", "many-to-one", "--hidden", "8", "--workers", "1", "--backend", "numpy")
SHORT = (*OPTIONS, "--steps", "120", "--patience", "0", "--eval-every", "40", "--lr", "0.2")
THREE = (*SHORT, "--networks", "3", "--seed", "5")


@pytest.fixture
def pairs(empty_folder: Path) -> Path:
    """Write words with a label that is their last letter, most of the time."""
    rng = random.Random(9)
    words = sorted({"".join(rng.choices("abcd", k=6)) for _ in range(240)})
    rows = [f"{word}\t{word[-1] if rng.random() < 0.8 else rng.choice('abcd')}\n" for word in words]
    path = empty_folder / "p.tsv"
    path.write_text("".join(rows), encoding="utf-8")
    return path


def test_the_model_of_a_run_is_the_mean_of_its_networks(run_cli: Call, pairs: Path) -> None:
    result = run_cli("train", pairs, *THREE, "--out", "run", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["best"] == str(Path("run/merged.npz"))
    rows = found["networks"]
    assert [row["name"] for row in rows] == [f"network {n}, seed {n + 4}" for n in (1, 2, 3)]
    own = found["validation"]["nats_per_symbol"]
    assert own < min(row["nats_per_symbol"] for row in rows[:1])
    assert len({row["nats_per_symbol"] for row in rows}) == 3

    merged, first = load_checkpoint(Path("run/merged.npz")), load_checkpoint(Path("run/best.npz"))
    assert merged.config.hidden == 3 * first.config.hidden
    assert merged.training is None
    np.testing.assert_array_equal(
        merged.parameters["layers.0.W_hh"][:, :8, :8], first.parameters["layers.0.W_hh"]
    )
    assert (merged.parameters["layers.0.W_hh"][:, :8, 8:] == 0).all()
    assert merged.validation["nats_per_symbol"] == pytest.approx(own, rel=1e-5)
    facts = json.loads(Path("run/run.json").read_text())["networks"]
    assert [one["seed"] for one in facts] == [5, 6, 7]
    assert facts[0]["nats_per_symbol"] == pytest.approx(rows[0]["nats_per_symbol"], rel=1e-5)

    words = ["abcdab", "ddd", "a"]
    whole = Predictor.load("run").label_probabilities(words)
    np.testing.assert_array_equal(
        whole, Predictor.load("run/merged.npz").label_probabilities(words)
    )
    assert np.abs(whole - Predictor.load("run/best.npz").label_probabilities(words)).max() > 1e-3


def test_what_is_used_is_named(run_cli: Call, pairs: Path) -> None:
    result = run_cli("train", pairs, *THREE, "--out", "run")
    shown = " ".join(result.stdout.split())
    assert "This model is merged.npz, the mean of 3 networks; best.npz is the first of" in shown
    assert "network 2, seed 6" in shown
    assert "network 3 of at most 3, seed 7" in result.stderr
    info = run_cli("info", "run").stdout
    assert "merged.npz" in info
    assert "the mean of 3 networks" in info
    one, other = (run_cli("eval", path, pairs, "--json").stdout for path in ("run", "run/best.npz"))
    assert json.loads(one)["nats_per_symbol"] != json.loads(other)["nats_per_symbol"]
    assert run_cli("predict", "run", "abca").stdout.strip() in "abcd"


def test_the_printed_options_repeat_all_networks(
    run_cli: Call, pairs: Path, assert_same: Callable[[Path, Path], None]
) -> None:
    assert run_cli("train", pairs, *THREE, "-q", "--out", "first").exit_code == 0
    chosen = json.loads(Path("first/run.json").read_text())["chosen"]
    assert "--networks 3" in chosen
    assert run_cli("train", pairs, *shlex.split(chosen), "-q", "--out", "again").exit_code == 0
    assert_same(Path("first"), Path("again"))
    assert Path("first/merged.npz").read_bytes() == Path("again/merged.npz").read_bytes()


def test_an_interruption_keeps_the_first_network_and_is_resumed(
    run_cli: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FurtherNetworks.train
    assert run_cli("train", pairs, *THREE, "-q", "--out", "whole").exit_code == 0

    def interrupted(self: FurtherNetworks, stop: Callable[[], bool], *, quiet: bool) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return plain(self, stop, quiet=quiet)

    with monkeypatch.context() as patch:
        patch.setattr(FurtherNetworks, "train", interrupted)
        result = run_cli("train", pairs, *THREE, "-q", "--out", "run")
    assert result.exit_code == 130
    assert "stopped in network 2; the first one is complete and saved" in result.stderr
    assert not Path("run/merged.npz").exists()
    assert "go on with: charrnn train --resume run" in result.stderr
    resumed = run_cli("train", "--resume", "run", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert json.loads(resumed.stdout)["best"] == str(Path("run/merged.npz"))
    assert Path("run/merged.npz").read_bytes() == Path("whole/merged.npz").read_bytes()
    whole, run = (json.loads(Path(f"{name}/run.json").read_text()) for name in ("whole", "run"))
    assert run["chosen"] == whole["chosen"]
    assert run["networks"] == whole["networks"]


def test_networks_that_time_may_allow_are_not_resumed(
    run_cli: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = NetworkPlan(4, until=9e9)
    with monkeypatch.context() as patch:
        patch.setattr(FurtherNetworks, "train", lambda *_, **__: False)
        patch.setattr("charrnn.cli.train.setup.networks_in", lambda *_, **__: allowed)
        result = run_cli("train", pairs, *SHORT, "-q", "--out", "run")
    assert "score it with: charrnn train --resume run" in result.stderr
    scored = run_cli("train", "--resume", "run", "--json")
    assert scored.exit_code == 0, scored.stderr
    assert json.loads(scored.stdout)["best"] == str(Path("run/best.npz"))


def test_a_network_that_diverges_is_left_out(
    run_cli: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: NetworkTraining, stop: object) -> Iterator[Any]:
        raise DivergedError("the loss is nan at step 3")
        yield

    monkeypatch.setattr(NetworkTraining, "events", diverge)
    result = run_cli("train", pairs, *THREE, "-q", "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "network 2 is left out: the loss is nan at step 3" in result.stderr
    assert not Path("run/merged.npz").exists()


def test_a_mean_that_is_no_better_is_not_used(
    run_cli: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poor:
        nats_per_symbol = 9.0

    monkeypatch.setattr(module, "score", lambda *_: Poor())
    result = run_cli("train", pairs, *THREE, "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "the mean of the networks is no better than the first one" in result.stderr
    assert not Path("run/merged.npz").exists()
    assert "network 2, seed" not in result.stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--networks 2", "--networks is for pairs"),
        ("--layout synced --networks 2 --network-plans 9", "repeats a run that has --steps"),
        ("--layout synced --networks 3 --steps 9 --network-plans 9", "has 1 plan, and --networks"),
        ("--layout synced --steps 9 --network-plans 9/9", "has 2 plans, and --networks 1 needs 0"),
        ("--layout synced --networks 2 --steps 9 --network-plans 5:9,4", "UNTIL:STEPS"),
        ("--layout synced --networks 2 --steps 9 --network-plans nine", "UNTIL:STEPS"),
        ("--layout synced --networks 2 --steps 9 --network-plans 9:5,9", "UNTIL must rise"),
        ("--layout many-to-one --networks 0", "--networks"),
        ("--layout many-to-one --networks 17", "--networks"),
        ("--layout many-to-one --networks 2 --init-from x.npz", "several initial weights"),
    ],
)
def test_it_is_refused_where_it_makes_no_sense(
    run_cli: Call, pairs: Path, words: str, problem: str
) -> None:
    result = run_cli("train", pairs, *words.split())
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert problem in line


def test_the_number_of_networks_follows_from_the_budget() -> None:
    def count(wanted: int | None, *, hidden: int = 128, in_rounds: bool = True) -> NetworkPlan:
        budget = Budget(minutes=3) if in_rounds else Budget(steps=9)
        return networks_in(wanted, hidden, budget, in_rounds=in_rounds, closing_seconds=5)

    assert (count(None).count, count(None).until) == (4, 175)
    assert (count(None, in_rounds=False).count, count(None, in_rounds=False).until) == (1, None)
    assert count(3, in_rounds=False).count == 3
    assert count(None, hidden=30_000).count == 2
    with pytest.raises(UsageError, match="--networks 3 of 30,000 units"):
        count(3, hidden=30_000)


def test_time_that_is_over_leaves_one_network(
    run_cli: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = NetworkPlan(4, until=0.0)
    monkeypatch.setattr("charrnn.cli.train.setup.networks_in", lambda *_, **__: over)
    result = run_cli("train", pairs, *SHORT, "--out", "run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["networks"] == []
    assert not Path("run/merged.npz").exists()


def test_a_solved_task_has_one_network(run_cli: Call, empty_folder: Path) -> None:
    rows = [f"{a}{b}{c}\t{c}\n" for a in "abcdef" for b in "abcdef" for c in "xy"]
    Path("easy.tsv").write_text("".join(rows), encoding="utf-8")
    result = run_cli("train", "easy.tsv", *OPTIONS, "--minutes", "500", "--out", "run", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["reason"], found["networks"]) == ("solved", [])


def test_a_report_finds_the_pairs_that_were_held_out(run_cli: Call, pairs: Path) -> None:
    result = run_cli("train", pairs, *THREE, "--out", "run", "-q", "--json")
    accuracy = json.loads(result.stdout)["validation"]["symbol_accuracy"]
    assert run_cli("report", "run", "--markdown", "--out", "run.md").exit_code == 0
    page = Path("run.md").read_text(encoding="utf-8")
    assert "seed 5" in page
    assert f"**{accuracy:.2%}**" in page
    assert "the mean of 3 networks" in page


@pytest.fixture
def turned(empty_folder: Path) -> Path:
    """Write words with the same word read backwards, and a letter that nothing tells."""
    rng = random.Random(4)
    words = sorted({"".join(rng.choices("abcde", k=rng.randint(2, 6))) for _ in range(400)})
    path = empty_folder / "turned.tsv"
    path.write_text(
        "".join(f"{word}\t{word[::-1]}{rng.choice('abc')}\n" for word in words), encoding="utf-8"
    )
    return path


FILES = ("merged", "best")
TEXTS = ("--layout", "many-to-many", "--hidden", "16", "--workers", "1", "--backend", "numpy")


def test_networks_of_texts_to_texts_are_merged(run_cli: Call, turned: Path) -> None:
    options = (*TEXTS, "--steps", "150", "--networks", "2", "--patience", "0", "--eval-every", "50")
    result = run_cli("train", turned, *options, "--out", "run", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["best"] == str(Path("run/merged.npz"))
    nats = [row["nats_per_symbol"] for row in found["networks"]]
    assert found["validation"]["nats_per_symbol"] < min(nats)
    (whole,) = Predictor.load("run").answer(["abc"])
    merged, first = (Predictor.load(f"run/{name}.npz").answer(["abc"]) for name in FILES)
    assert [whole] == merged
    assert abs(whole.probability - first[0].probability) > 1e-4
    assert run_cli("predict", "run", "abc").stdout == f"{whole.text}\n"


def test_minutes_are_shared_by_networks_and_repeated_exactly(
    process: Process, run_cli: Call, turned: Path, assert_same: Callable[[Path, Path], None]
) -> None:
    options = " ".join((*TEXTS, "--networks 2 --patience 0 --minutes 0.2"))
    done = process(f"charrnn train turned.tsv {options} --out first --json")
    assert done.returncode == 0, done.stderr
    assert b"2 networks; the first: " in done.stderr
    facts = json.loads(Path("first/run.json").read_text())
    first, second = facts["networks"]
    assert (first["seed"], second["seed"]) == (0, 1)
    assert 1 / 3 < second["steps"] / first["steps"] < 3
    assert f"--network-plans {second['plan']}" in facts["chosen"]
    words = shlex.split(facts["chosen"])
    assert run_cli("train", turned, *words, "-q", "--out", "again").exit_code == 0
    assert_same(Path("first"), Path("again"))
    again = json.loads(Path("again/run.json").read_text())["networks"]
    assert run_cli("train", "--like", "first", "-q", "--out", "like").exit_code == 0
    like = json.loads(Path("like/run.json").read_text())["networks"]
    assert facts["networks"] == again == like


def test_a_network_that_shares_the_time_is_planned_by_what_is_left() -> None:
    now = [100.0]
    replanning = Replanning(Expected(500.0, 0.5, 10.0, 3.0), lambda: now[0])
    another = replanning.of_another(400.0)
    assert another.fitting_steps(20) == 300
    assert another.fitting_steps(0) == 600
    for _ in range(100):  # steps that take twice as long as before
        now[0] += 1.0
        another.stepped(1.0)
    assert another.steps(100, 300, 0) == pytest.approx(280, abs=2)


def test_plans_of_networks_are_read_as_they_are_printed() -> None:
    text = "900/300:1000,950/7:8,9:10,11"
    assert "/".join(map(str, parse_network_plans(text))) == text
    with pytest.raises(UsageError, match="--network-plans has ''"):
        parse_network_plans("900/")


def test_time_is_shared_by_default_for_many_texts_to_texts() -> None:
    layout = LAYOUTS["many-to-many"]
    assert networks_by_time(layout, MANY_TRANSDUCED, Budget(minutes=30)) == 2
    assert networks_by_time(layout, MANY_TRANSDUCED, Budget(minutes=3)) == 1
    assert networks_by_time(layout, MANY_TRANSDUCED, Budget(epochs=30)) == 1
    assert networks_by_time(layout, MANY_TRANSDUCED - 1, Budget(minutes=30)) == 1
    assert networks_by_time(LAYOUTS["synced"], MANY_TRANSDUCED, Budget(minutes=30)) == 1
