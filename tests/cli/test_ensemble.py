"""`--ensemble` of `sample` and `eval`: figures of the members stand beside those of the whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.inference.ensemble import Ensemble
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling

Call = Callable[..., Result]
Untrained = Callable[..., Model]
CHARACTERS = "thecasonm .\n"
TEXT = "the cat sat on a mat.\nthe hat cost a ton.\n" * 5


@pytest.fixture
def members(untrained: Untrained) -> tuple[Path, Path]:
    """Two untrained models of one vocabulary, in files, and text.txt."""
    for seed, name in ((1, "one.npz"), (2, "two.npz")):
        untrained(CHARACTERS, seed=seed).save(name)
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    return Path("one.npz"), Path("two.npz")


def test_eval_shows_the_members_alone_beside_the_ensemble(
    run_cli: Call, members: tuple[Path, Path]
) -> None:
    scores = Ensemble.load(members).evaluate(TEXT)
    command = ("eval", "--ensemble", *members, "text.txt", "--no-baselines")
    shown = run_cli(*command).stdout
    split = [line.rsplit(maxsplit=3) for line in shown.splitlines()[1:-1]]
    rows = {name.strip(): nats for name, nats, *_ in split}
    assert rows == {
        "ensemble of 2 (mean of probabilities)": f"{scores.whole.nats_per_char:.4f}",
        "one.npz alone": f"{scores.members[0].nats_per_char:.4f}",
        "two.npz alone": f"{scores.members[1].nats_per_char:.4f}",
    }
    figures = json.loads(run_cli(*command, "--json").stdout)
    assert figures["nats_per_char"] == scores.whole.nats_per_char
    assert figures["combination"] == "arithmetic mean of probabilities"
    assert [(member["checkpoint"], member["nats_per_char"]) for member in figures["members"]] == [
        ("one.npz", scores.members[0].nats_per_char),
        ("two.npz", scores.members[1].nats_per_char),
    ]


def test_a_single_model_has_no_members(run_cli: Call, members: tuple[Path, Path]) -> None:
    figures = json.loads(run_cli("eval", members[0], "text.txt", "--no-baselines", "--json").stdout)
    assert "members" not in figures


def test_sample_writes_what_the_api_draws(run_cli: Call, members: tuple[Path, Path]) -> None:
    expected = "".join(next(Ensemble.load(members).samples("the ", 80, Sampling(0.8, seed=4))))
    options = ("--seed", "4", "--temperature", "0.8", "--length", "80", "--prime", "the ")
    result = run_cli("sample", "--ensemble", *members, *options)
    assert result.stdout == f"the {expected}"
    assert result.stderr == ""
    assert run_cli("sample", *members, *options, "--ensemble").stdout == result.stdout
    assert run_cli("sample", members[0], *options).stdout != result.stdout


def test_models_of_different_vocabularies_are_refused_by_name(
    run_cli: Call, members: tuple[Path, Path], untrained: Untrained
) -> None:
    untrained(CHARACTERS + "é").save("other.npz")
    for command in (("sample",), ("eval", "text.txt")):
        result = run_cli(command[0], "--ensemble", "one.npz", "other.npz", *command[1:])
        assert result.exit_code == 2
        message = "one.npz and other.npz have different vocabularies: one.npz lacks 'é' U+00E9"
        assert message in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample one.npz two.npz", "2 checkpoints are named; try one, or --ensemble"),
        ("sample --ensemble", "at least two checkpoints, and none is named"),
        ("eval --ensemble one.npz text.txt", "at least two checkpoints, and one is named"),
        ("sample --ensemble one.npz two.npz ./one.npz", "has one.npz twice"),
        ("eval --ensemble one.npz two.npz text.txt --dynamic", "--dynamic is for a single model"),
        ("eval --ensemble one.npz two.npz", "no text to score"),
    ],
)
def test_what_makes_no_ensemble_is_a_usage_error(
    words: str, message: str, run_cli: Call, members: tuple[Path, Path]
) -> None:
    result = run_cli(*words.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
