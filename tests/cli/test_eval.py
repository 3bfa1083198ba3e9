"""`charrnn eval`: the same figure as the API's, beside baselines where they can be had."""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from charrnn import load
from charrnn.evaluation.text import evaluate
from charrnn.inference.model import Model

Call = Callable[..., Result]
Untrained = Callable[..., Model]

KEYS = [
    "nats_per_char",
    "bits_per_char",
    "perplexity",
    "total_bits",
    "characters",
    "skipped_characters",
    "baselines",
]
BASELINES = ["uniform", "unigram", "5-gram", "gzip", "xz"]
TEXT = "the cat was happy.\nall of them sat on a mat.\n" * 5


@pytest.fixture
def text(empty_folder: Path) -> str:
    """A text that is not in the corpus; returns the file's name."""
    (empty_folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return "text.txt"


def test_the_figure_is_the_models_own(run_cli: Call, finished_run: Path, text: str) -> None:
    score = load(finished_run).evaluate(TEXT)
    result = run_cli("eval", finished_run, text, "--json")
    figures = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert list(figures) == KEYS
    assert figures["nats_per_char"] == score.nats_per_char
    assert figures["bits_per_char"] == pytest.approx(score.nats_per_char / math.log(2))
    assert figures["perplexity"] == pytest.approx(math.exp(score.nats_per_char))
    assert figures["characters"] == len(TEXT)
    assert figures["skipped_characters"] == 0
    assert list(figures["baselines"]) == BASELINES
    plain = run_cli("eval", finished_run, text).stdout
    assert f"{score.nats_per_char:.4f}" in plain
    assert f"{len(TEXT)} characters" in plain
    for baseline in figures["baselines"].values():
        assert f"{baseline['nats_per_char']:.4f}" in plain


def test_baselines_are_fitted_on_the_training_part_only(
    run_cli: Call, finished_run: Path, sentences: str
) -> None:
    begin = int(len(sentences) * 0.9)
    figures = []
    for part in (sentences[:begin], sentences[begin:]):
        Path("part.txt").write_text(part, encoding="utf-8")
        figures.append(json.loads(run_cli("eval", finished_run, "part.txt", "--json").stdout))
    seen, unseen = (figure["baselines"]["5-gram"]["nats_per_char"] for figure in figures)
    assert seen < unseen


def test_baselines_can_be_left_out(run_cli: Call, finished_run: Path, text: str) -> None:
    figures = json.loads(run_cli("eval", finished_run, text, "--json", "--no-baselines").stdout)
    assert figures["baselines"] is None
    assert "xz" not in run_cli("eval", finished_run, text, "--no-baselines").stdout


def test_a_corpus_that_is_gone_leaves_the_figure_and_a_note(
    run_cli: Call, finished_run: Path, text: str
) -> None:
    shutil.copytree(finished_run, "moved")
    facts = json.loads(Path("moved/run.json").read_text(encoding="utf-8"))
    Path("moved/run.json").write_text(
        json.dumps(facts | {"sources": ["/no/such/corpus.txt"]}), encoding="utf-8"
    )
    here = run_cli("eval", finished_run, text, "--json", "--no-baselines")
    for _ in range(2):
        result = run_cli("eval", "moved", text, "--json")
        assert result.exit_code == 0
        assert result.stdout == here.stdout
        assert result.stderr.startswith("charrnn: note: no baselines: ")
        assert result.stderr.count("\n") == 1
        Path("moved/run.json").unlink(missing_ok=True)


def test_the_text_can_come_from_standard_input_and_several_files(
    run_cli: Call, finished_run: Path, text: str
) -> None:
    piped = run_cli("eval", finished_run, "-", "--json", stdin=TEXT)
    assert piped.stdout == run_cli("eval", finished_run, text, "--json").stdout
    Path("a.txt").write_text(TEXT[:60], encoding="utf-8")
    Path("b.txt").write_text(TEXT[61:], encoding="utf-8")
    joined = json.loads(run_cli("eval", finished_run, "b.txt", "a.txt", "--json").stdout)
    expected = load(finished_run).evaluate(f"{TEXT[:60]}\n{TEXT[61:]}")
    assert joined["nats_per_char"] == expected.nats_per_char


def test_unknown_characters_are_refused_or_left_out_and_counted(
    run_cli: Call, finished_run: Path
) -> None:
    Path("odd.txt").write_text(f"Ω{TEXT}ΩÄ", encoding="utf-8")
    refused = run_cli("eval", finished_run, "odd.txt")
    assert refused.exit_code == 4
    assert refused.stdout == ""
    assert "Ω" in refused.stderr
    options = ("eval", finished_run, "odd.txt", "--on-unknown", "skip")
    figures = json.loads(run_cli(*options, "--json").stdout)
    assert figures["nats_per_char"] == load(finished_run).evaluate(TEXT).nats_per_char
    assert (figures["characters"], figures["skipped_characters"]) == (len(TEXT), 3)
    assert "3 unknown ones left out" in run_cli(*options).stdout
    assert run_cli(*options[:3], "--on-unknown", "guess").exit_code == 2


def test_without_a_checkpoint_the_newest_run_is_scored_and_named(
    run_cli: Call, finished_run: Path, text: str
) -> None:
    Path("checkpoints").mkdir()
    shutil.copytree(finished_run, "checkpoints/new")
    shutil.copytree(finished_run, "checkpoints/old")
    os.utime("checkpoints/old/last.npz", (1000, 1000))
    result = run_cli("eval", text, "--json")
    assert result.stderr == "charrnn: evaluating checkpoints/new/best.npz\n"
    assert result.stdout == run_cli("eval", finished_run, text, "--json").stdout
    only = run_cli("eval", "checkpoints/new")
    assert only.exit_code == 2
    assert "no text to score" in only.stderr


def test_the_checkpoint_comes_first(run_cli: Call, finished_run: Path, text: str) -> None:
    file = run_cli("eval", finished_run / "best.npz", text, "--json")
    assert file.stdout == run_cli("eval", finished_run, text, "--json").stdout
    swapped = run_cli("eval", text, finished_run / "best.npz")
    assert swapped.exit_code == 3


def test_bytes_are_scored_as_bytes(run_cli: Call, untrained: Untrained) -> None:
    model = untrained("".join(map(chr, range(256))), as_bytes=True)
    model.save("bytes.npz")
    content = bytes(range(256)) * 2
    Path("any.bin").write_bytes(content)
    figures = json.loads(run_cli("eval", "bytes.npz", "any.bin", "--json").stdout)
    ids = np.arange(512) % 256
    assert figures["nats_per_char"] == evaluate(model.config, model.parameters, ids)
    assert figures["characters"] == 512


def test_a_text_of_one_character_has_nothing_to_predict(run_cli: Call, finished_run: Path) -> None:
    Path("one.txt").write_text("a", encoding="utf-8")
    result = run_cli("eval", finished_run, "one.txt")
    assert result.exit_code == 4
    assert result.stderr.startswith("charrnn: error: ")


def test_the_dynamic_figure_stands_beside_the_static_one(
    run_cli: Call, finished_run: Path, text: str
) -> None:
    plain = json.loads(run_cli("eval", finished_run, text, "--json", "--no-baselines").stdout)
    options = ("--dynamic", "--no-baselines")
    both = json.loads(run_cli("eval", finished_run, text, "--json", *options).stdout)
    assert both["nats_per_char"] == plain["nats_per_char"]
    assert both["dynamic_nats_per_char"] != both["nats_per_char"]
    assert "this model, dynamic" in run_cli("eval", finished_run, text, *options).stdout


def test_scoring_what_was_learnt_is_remarked(
    run_cli: Call, finished_run: Path, sentences: str, text: str
) -> None:
    begin = int(len(sentences) * 0.9)
    for part, words in (
        (sentences, "the very text that the model was trained on (its last 10% for validation)"),
        (sentences[:begin], "part of the text that the model was trained on"),
        (sentences[100:400], "part of the text that the model was trained on"),
        (sentences[begin:], ""),
        (TEXT, ""),
    ):
        Path("part.txt").write_text(part, encoding="utf-8")
        for options in (("--no-baselines",), ("--no-baselines", "--json")):
            noted = run_cli("eval", finished_run, "part.txt", *options).stderr
            assert noted.count("\n") == bool(words)
            assert words in noted


def test_a_text_that_is_gone_is_known_by_its_fingerprint(
    run_cli: Call, finished_run: Path, corpus: Path
) -> None:
    shutil.copy(finished_run / "best.npz", "alone.npz")
    noted = run_cli("eval", "alone.npz", corpus, "--no-baselines").stderr
    assert "the very text that the model was trained on" in noted


def test_bytes_are_counted_as_bytes(run_cli: Call, untrained: Untrained) -> None:
    untrained("".join(map(chr, range(256))), as_bytes=True).save("bytes.npz")
    Path("any.txt").write_text("é" * 60 + "a", encoding="utf-8")
    shown = run_cli("eval", "bytes.npz", "any.txt", "--no-baselines").stdout
    assert "121 bytes\n" in shown
    assert "per byte" in shown
    assert "character" not in shown
