"""`inspect-gradients --probe`: the memory probe on screen, as JSON and as CSV."""

import csv
import io
import json
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from charrnn.analysis import memory_probe
from charrnn.analysis.memory_probe import EVALUATE_EVERY, PROBE_MODELS, ProbeProgress, Trial
from charrnn.cli.app import app
from charrnn.cli.inspect import probe
from charrnn.cli.inspect.probe import conclusion
from charrnn.cli.runs.signals import Interrupted

Call = Callable[..., Result]

KEYS = [
    *("task", "contestant", "gap", "seed", "accuracy", "chance", "solved", "steps"),
    "planned_steps",
]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each trial end at its first look, in this process."""
    monkeypatch.setattr(memory_probe, "TRAINING_CHARACTERS", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def look(*arguments: str, charset: str = "utf-8") -> Result:
    runner = CliRunner(charset=charset)
    words = ["inspect-gradients", "--probe", *arguments]
    return runner.invoke(app, words, catch_exceptions=False)


def test_a_table_by_gap_with_steps_seed_chance_and_a_conclusion() -> None:
    result = look("--gaps", "2,3")
    assert result.exit_code == 0
    assert result.stderr == ""
    head, *rows = result.stdout.splitlines()
    assert re.fullmatch(r"accuracy \(steps\) by gap +2 +3", head)
    for row, probe_model in zip(rows, PROBE_MODELS.values(), strict=False):
        assert row.startswith(probe_model.title)
        assert re.search(rf"(\d+% \({EVALUATE_EVERY}\) *){{2}}$", row)
    rest = " ".join(rows[len(PROBE_MODELS) :])
    assert "chance 12.5%; task recall, seed 0, at most 25 steps by gap" in rest
    assert "the gap of 3 characters" in rest
    assert all(cell_len(line) <= 80 for line in result.stdout.splitlines())


def test_ascii_has_a_hyphen_for_the_minus_sign() -> None:
    result = look("--gaps", "2", charset="ascii")
    assert "ln(gap - 1)" in result.stdout
    assert "\\u" not in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_json_and_csv_hold_the_same_trials() -> None:
    found = json.loads(look("--gaps", "2", "--json").stdout, parse_constant=pytest.fail)
    assert list(found) == ["schema", "probe"]
    assert found["schema"] == 1
    trials = found["probe"]
    assert [trial["contestant"] for trial in trials] == list(PROBE_MODELS)
    for trial in trials:
        assert list(trial) == KEYS
        assert (trial["task"], trial["gap"], trial["seed"]) == ("recall", 2, 0)
        assert trial["steps"] == trial["planned_steps"] == EVALUATE_EVERY
        assert trial["chance"] == 1 / 8
        assert trial["solved"] == (trial["accuracy"] >= memory_probe.SOLVED_ACCURACY)
    rows = list(csv.DictReader(io.StringIO(look("--gaps", "2", "--csv").stdout)))
    assert rows == [{key: str(value) for key, value in trial.items()} for trial in trials]


@pytest.mark.slow
def test_france_is_the_other_task() -> None:
    result = look("france", "--gaps", "30", "--seed", "4", "--quiet")
    assert result.exit_code == 0
    assert "task france, seed 4" in result.stdout
    assert "chance 9.1%" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["nothing"], "no probe called 'nothing'; there are recall, france"),
        (["recall", "france"], "one task at a time"),
        (["--gaps", "few"], "'few' is not a list of gaps; try --gaps 5,20,80"),
        (["--gaps", "2,,3"], "not a list of gaps"),
        (["--gaps", "2.5"], "not a list of gaps"),
        (["--gaps", ""], "not a list of gaps"),
        (["--gaps", "0"], "a gap of 0"),
        (["--gaps", "99999"], "a gap of 99999"),
        (["france", "--gaps", "3"], "a gap of 3"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], fragment: str) -> None:
    result = look(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("charrnn: error: ")
    assert fragment in line


def test_a_signal_ends_it_without_half_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(trials: list[Trial], processes: int) -> Iterator[ProbeProgress]:
        yield ProbeProgress(trials[0], 1, 0.5)
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(probe, "run_trials", interrupted)
    result = look("--gaps", "2")
    assert result.exit_code == 130
    assert result.stdout == ""


def outcome(name: str, gap: int, accuracy: float) -> memory_probe.TrialResult:
    trial = Trial("recall", PROBE_MODELS[name], gap, 25, 0)
    return memory_probe.TrialResult(trial, 25, accuracy, 1 / 8, 1.0)


def test_the_conclusion_is_about_the_longest_gap() -> None:
    short = [outcome("gru", 5, 1.0), outcome("rnn-normal", 5, 1.0)]
    assert conclusion(short) == "All networks solve the gap of 5 characters."
    none = [outcome("gru", 80, 0.2), outcome("rnn-normal", 80, 0.1)]
    assert conclusion(short + none).startswith("No network solves the gap of 80 characters")
    one = [outcome("gru", 80, 1.0), outcome("rnn-normal", 80, 0.1)]
    assert conclusion(short + one) == "Only these solve the gap of 80 characters: gru."
