"""`--ngrams`: n-grams of the training inputs in the model of a run on labels."""

import json
import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.train.network_plans import DEFAULT_NGRAMS, NetworkPlan, networks_in
from charrnn.inference.predictor import Predictor
from charrnn.training.presets import Budget

Call = Callable[..., Result]
OPTIONS = ("--layout", "many-to-one", "--hidden", "6", "--workers", "1", "--backend", "numpy")
SHORT = (*OPTIONS, "--steps", "16", "--patience", "0", "--eval-every", "8", "--lr", "0.1")
WITH = (*SHORT, "--ngrams", "3", "--seed", "5")


def words(rng: random.Random, count: int) -> list[str]:
    """Draw lines of words whose label follows, most of the time, from one of two prefixes.

    A network of a few steps does not remember them to the end.
    """
    rows = []
    for _ in range(count):
        kind = rng.choice(["en", "de"])
        stem = "".join(rng.choices("abcdefgh", k=rng.randint(9, 15)))
        begin = {"en": ("ly", "ed"), "de": ("ung", "ig")}[kind][rng.random() < 0.5]
        rows.append(f"{begin}{stem}\t{kind if rng.random() < 0.95 else 'fr'}\n")
    return sorted(set(rows))


@pytest.fixture
def pairs(empty_folder: Path) -> Path:
    path = empty_folder / "p.tsv"
    path.write_text("".join(words(random.Random(9), 900)), encoding="utf-8")
    return path


@pytest.fixture
def others(empty_folder: Path) -> Path:
    path = empty_folder / "others.tsv"
    path.write_text("".join(words(random.Random(10), 600)), encoding="utf-8")
    return path


def figures(run_cli: Call, *arguments: object) -> dict[str, Any]:
    result = run_cli(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_mixture_is_better_than_the_network_on_new_pairs_too(
    run_cli: Call, pairs: Path, others: Path
) -> None:
    found = figures(run_cli, "train", pairs, *WITH, "--out", "run", "-q")
    assert found["best"] == str(Path("run/merged.npz"))
    assert (found["ngrams"], found["networks"]) == (3, [])
    own, alone = found["validation"]["nats_per_symbol"], found["without_ngrams"]["nats_per_symbol"]
    assert own < 0.8 * alone
    merged, best = load_checkpoint(Path("run/merged.npz")), load_checkpoint(Path("run/best.npz"))
    assert merged.ngrams is not None
    assert best.ngrams is None
    assert merged.training is None
    np.testing.assert_array_equal(merged.parameters.vector, best.parameters.vector)
    assert merged.validation["nats_per_symbol"] == pytest.approx(own)
    whole, network = (
        figures(run_cli, "eval", path, others)["nats_per_symbol"]
        for path in ("run", "run/best.npz")
    )
    assert whole < 0.8 * network
    assert whole == pytest.approx(own, rel=0.5)  # the figure of validation is no dream


def test_every_use_of_the_run_answers_with_the_mixture(
    run_cli: Call, pairs: Path, others: Path
) -> None:
    assert run_cli("train", pairs, *WITH, "--out", "run", "-q").exit_code == 0
    predictor = Predictor.load("run")
    asked = ["lyabcdef", "unghaha", "h", "a"]
    p = predictor.label_probabilities(asked)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert predictor.ngrams is not None
    plain = Predictor(predictor.config, predictor.parameters, predictor.pairing)
    logits = np.log(plain.label_probabilities(asked))
    prompts = [predictor.prompt(one) for one in asked]
    starts = np.cumsum([0, *map(len, prompts)])
    mixed = predictor.ngrams.mixed(logits, np.concatenate(prompts), starts)
    expected = np.exp(mixed - mixed.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)
    for number, one in enumerate(asked):  # alone as in a batch
        np.testing.assert_allclose(predictor.label_probabilities([one])[0], p[number], rtol=1e-6)
    answers, labels = predictor.answer(asked), predictor.pairing.answers
    assert [one.text for one in answers] == [labels[row.argmax()] for row in p]
    np.testing.assert_allclose([one.probability for one in answers], p.max(axis=1))
    shown = run_cli("predict", "run", "lyabcdef", "--probabilities").stdout.split()
    assert float(shown[1]) == pytest.approx(p[0].max(), abs=1e-4)
    (row,) = [json.loads(run_cli("predict", "run", "lyabcdef", "--json").stdout)]
    assert row["probability"] == pytest.approx(p[0].max())
    lines = [line.split("\t") for line in others.read_text(encoding="utf-8").splitlines()]
    right = [
        one.text == label
        for one, (_, label) in zip(
            predictor.answer([source for source, _ in lines]), lines, strict=True
        )
    ]
    found = figures(run_cli, "eval", "run", others)
    assert found["symbol_accuracy"] == pytest.approx(sum(right) / len(right))


def test_what_the_model_consists_of_is_named(run_cli: Call, pairs: Path) -> None:
    result = run_cli("train", pairs, *WITH, "--networks", "2", "--out", "run")
    assert result.exit_code == 0, result.stderr
    shown = " ".join(result.stdout.split())
    assert "2 networks without n-grams" in shown
    assert "network 2, seed 6" in shown
    assert "the mean of 2 networks and 3-grams of the training inputs; best.npz is" in shown
    info = " ".join(run_cli("info", "run").stdout.split())
    assert "the mean of 2 networks" in info
    assert "different ones of 1 to 3 characters of the training inputs" in info
    assert "exponents networks" in info
    facts = figures(run_cli, "info", "run")["ngrams"]
    assert (facts["order"], facts["fitted"] > 50) == (3, True)
    assert "3-grams" in Predictor.load("run")._repr_html_()
    page = run_cli("report", "run", "--markdown", "--out", "run.md")
    assert page.exit_code == 0, page.stderr
    accuracy = figures(run_cli, "info", "run")["validation"]["symbol_accuracy"]
    assert f"**{accuracy:.2%}**" in Path("run.md").read_text(encoding="utf-8")


def test_the_printed_options_repeat_the_model(run_cli: Call, pairs: Path) -> None:
    assert run_cli("train", pairs, *WITH, "-q", "--out", "first").exit_code == 0
    chosen = json.loads(Path("first/run.json").read_text())["chosen"]
    assert "--ngrams 3" in chosen
    assert run_cli("train", pairs, *shlex.split(chosen), "-q", "--out", "again").exit_code == 0
    assert Path("first/merged.npz").read_bytes() == Path("again/merged.npz").read_bytes()


def test_a_resumed_run_has_them_too(
    run_cli: Call, pairs: Path, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    assert run_cli("train", pairs, *WITH, "-q", "--out", "whole").exit_code == 0

    def die() -> None:
        raise KeyboardInterrupt

    at_step(10, die)
    run_cli("train", pairs, *WITH, "--out", "part", "--save-every", "5")
    at_step(10**9, die)
    assert not Path("part/merged.npz").exists()
    assert run_cli("train", "--resume", "part", "-q").exit_code == 0
    assert Path("part/merged.npz").read_bytes() == Path("whole/merged.npz").read_bytes()


@pytest.mark.parametrize("order", ["4", -1, 99, True, None, 3.0])
def test_a_changed_run_json_asks_for_none(run_cli: Call, pairs: Path, order: object) -> None:
    assert run_cli("train", pairs, *SHORT, "-q", "--out", "run").exit_code == 0
    facts = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps(facts | {"ngrams": order, "scored": False}))
    result = run_cli("train", "--resume", "run", "-q")
    assert result.exit_code == 0, result.stderr
    assert not Path("run/merged.npz").exists()


def test_an_export_holds_the_networks_and_says_so(run_cli: Call, pairs: Path) -> None:
    assert run_cli("train", pairs, *WITH, "-q", "--out", "run").exit_code == 0
    result = run_cli("export", "run", "--to", "safetensors")
    assert result.exit_code == 0
    assert "the n-grams of this model are left out" in result.stderr
    assert run_cli("import", "run.safetensors").exit_code == 0


def test_ngrams_that_do_not_help_are_left_out(run_cli: Call, empty_folder: Path) -> None:
    rng = random.Random(3)
    rows = [f"{''.join(rng.choices('abcdefgh', k=7))}\t{rng.choice('xyz')}\n" for _ in range(500)]
    (empty_folder / "noise.tsv").write_text("".join(rows), encoding="utf-8")
    result = run_cli("train", "noise.tsv", *WITH, "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "n-grams of the inputs make the model no better, and are left out" in result.stderr
    assert not Path("run/merged.npz").exists()


def test_without_validation_pairs_the_reason_is_said(run_cli: Call, pairs: Path) -> None:
    options = ("--steps", "16", "--val-fraction", "0", "--ngrams", "3")
    result = run_cli("train", pairs, *OPTIONS, *options, "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "n-grams of the inputs need 20 validation pairs, and are left out" in result.stderr
    assert not Path("run/merged.npz").exists()


def test_they_are_the_default_of_a_budget_in_minutes() -> None:
    def order(budget: Budget, ngrams: int | None = None, *, labels: bool = True) -> int:
        plan: NetworkPlan = networks_in(
            None, 8, budget, in_rounds=False, closing_seconds=1, ngrams=ngrams, classifies=labels
        )
        return plan.ngrams

    assert order(Budget(minutes=3)) == DEFAULT_NGRAMS
    assert order(Budget(steps=9)) == 0
    assert order(Budget(minutes=3), 0) == 0
    assert order(Budget(steps=9), 2) == 2
    assert order(Budget(minutes=3), labels=False) == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--layout synced --ngrams 2", "--ngrams is for labels"),
        ("--ngrams 8", "charrnn combine RUN --ngrams 8 after training"),
        ("--layout many-to-one --ngrams 9", "--ngrams"),
        ("--layout many-to-one --ngrams -1", "--ngrams"),
    ],
)
def test_it_is_refused_where_it_makes_no_sense(
    run_cli: Call, pairs: Path, options: str, problem: str
) -> None:
    result = run_cli("train", pairs, *options.split())
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert problem in line
