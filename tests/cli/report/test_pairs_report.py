"""`charrnn report` on models of pairs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.report.test_report import flat, read

Call = Callable[..., Result]

SMALL = ("--hidden", "8", "--steps", "30", "--workers", "1", "--quiet", "--backend", "numpy")


def test_a_classifier_has_a_confusion_matrix_and_wrong_examples(run_cli: Call) -> None:
    lines = [f"{'ab'[n % 2] * (1 + n % 7)}{n}\t{'xy'[n % 2]}<b>" for n in range(80)]
    Path("p.tsv").write_text("\n".join(lines), encoding="utf-8")
    trained = run_cli("train", "p.tsv", "--layout", "many-to-one", *SMALL, "--out", "run")
    assert trained.exit_code == 0, trained.stderr
    result = run_cli("report", "run")
    assert result.exit_code == 0, result.stderr
    page = read("run/report.html")
    assert list(page.sections) == ["trained", "curve", "score", "answers", "memory", "repeat"]
    score = flat(page.sections["score"])
    assert "naive Bayes" in score
    captions = [text.strip() for _, text in page.of("figcaption")]
    assert "Confusion matrix: a column for each answer" in captions
    assert "x<b>" in score
    assert not page.of("b")
    assert "of the held-out symbols correctly" in flat(page.texts[0])


def test_the_figures_are_those_of_the_run(run_cli: Call) -> None:
    trained = run_cli("train", "--builtin", "vowels", *SMALL, "--json", "--out", "run")
    found = json.loads(trained.stdout)["validation"]
    assert run_cli("report", "run", "--quiet").exit_code == 0
    page = read("run/report.html")
    assert f"{found['nats_per_symbol']:.4f}" in page.sections["score"]
    assert f"{found['symbol_accuracy']:.2%}" in page.sections["score"]
    command = page.of("code")[0][1]
    assert command.startswith("charrnn train --builtin vowels --layout ")


def test_wrong_answers_are_listed_with_the_right_ones(run_cli: Call) -> None:
    Path("p.tsv").write_text("".join(f"{n}\t{7 * n}\n" for n in range(100, 180)), encoding="utf-8")
    words = ("--layout", "many-to-many", *SMALL, "--out", "run")
    assert run_cli("train", "p.tsv", *words).exit_code == 0
    assert run_cli("report", "run", "--quiet").exit_code == 0
    page = read("run/report.html")
    answers = flat(page.sections["answers"])
    assert "8 of the first 8 held-out pairs are answered wrongly." in answers
    rows = [text for found, text in page.of("tr") if "wrong: " in text]
    assert len(rows) == 6


def test_a_bidirectional_model_has_a_curve_for_each_direction(run_cli: Call) -> None:
    lines = [f"{'ab'[n % 2] * 30}{n}\t{'xy'[n % 2]}\n" for n in range(80)]
    Path("p.tsv").write_text("".join(lines), encoding="utf-8")
    words = ("--layout", "many-to-one", "--bidirectional", *SMALL, "--out", "run")
    assert run_cli("train", "p.tsv", *words).exit_code == 0
    result = run_cli("report", "run", "--quiet")
    assert result.exit_code == 0, result.stderr
    keys = [text.strip() for found, text in read("run/report.html").of("span")]
    assert {"gradient, layer 1", "gradient, layer 1, from the end"} <= set(keys)


def test_texts_are_drawn_for_labels(run_cli: Call) -> None:
    Path("p.tsv").write_text("x\tab\ny\tba\n" * 9, encoding="utf-8")
    words = ("--layout", "one-to-many", "--val-fraction", "0", *SMALL, "--out", "run")
    assert run_cli("train", "p.tsv", *words).exit_code == 0
    assert run_cli("report", "run", "--quiet").exit_code == 0
    page = read("run/report.html")
    assert "Texts drawn from the model for some labels" in page.sections["answers"]
    assert "No pairs were held out" in page.sections["score"]


@pytest.mark.parametrize("options", [(), ("--markdown",)])
def test_pairs_that_have_moved_are_said(options: tuple[str, ...], run_cli: Call) -> None:
    Path("p.tsv").write_text("x\tab\ny\tba\n" * 9, encoding="utf-8")
    words = ("--layout", "one-to-many", "--val-fraction", "0", *SMALL, "--out", "run")
    assert run_cli("train", "p.tsv", *words).exit_code == 0
    Path("p.tsv").unlink()
    result = run_cli("report", "run", "--out", "r", *options)
    assert result.exit_code == 0, result.stderr
    assert "is left out" in result.stderr
    assert "could not be read again" in Path("r").read_text(encoding="utf-8")
