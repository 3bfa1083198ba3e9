"""`train --attention`: learned, kept in checkpoints, resumed, merged, predicted, and refused."""

import json
import random
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.errors import UsageError
from charrnn.inference.predictor import Predictor
from charrnn.nn.network import Network
from charrnn.training.pair_presets import MANY_TRANSDUCED, MAX_ATTENDED, plan_pairs
from charrnn.training.presets import Budget

Call = Callable[..., Result]
OPTIONS = ("--layout", "many-to-many", "--hidden", "16", "--workers", "1", "--backend", "numpy")
SHORT = (*OPTIONS, "--attention", "2", "--steps", "40", "--patience", "0", "--eval-every", "10")


@pytest.fixture
def turned(empty_folder: Path) -> Path:
    """Write words of eight letters with the same word read backwards."""
    rng = random.Random(4)
    words = sorted({"".join(rng.choices("abcdefgh", k=8)) for _ in range(1500)})
    path = empty_folder / "turned.tsv"
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    return path


def test_it_learns_in_few_steps_what_a_context_alone_does_not(run_cli: Call, turned: Path) -> None:
    """To turn eight letters round, an answer has to attend to each of them."""
    right = []
    for heads in ("1", "0"):
        words = (*OPTIONS[:2], "--hidden", "32", "--bidirectional", "--attention", heads)
        options = (*words, "--steps", "400", "--workers", "1", "--json", "-q")
        result = run_cli("train", turned, *options, "--out", f"run{heads}")
        assert result.exit_code == 0, result.stderr
        right.append(json.loads(result.stdout)["validation"]["exact_match"])
    assert right[0] > 0.9
    assert right[1] < 0.5


def test_it_is_named_kept_and_answers_alike_for_few_and_many(run_cli: Call, turned: Path) -> None:
    assert run_cli("train", turned, *SHORT, "--out", "run").exit_code == 0
    best = load_checkpoint(Path("run/best.npz"))
    assert (best.config.attention, best.config.bidirectional) == (2, "context")
    assert best.parameters["attention.W_query"].shape == (16, 16)
    assert "1 × 16 lstm, bidirectional, attention with 2 heads" in run_cli("info", "run").stdout
    words = [line.split("\t")[0] for line in turned.read_text().splitlines()[:100]]
    predictor = Predictor.load("run")
    many = predictor.answer(words)
    few = [predictor.answer([word])[0] for word in words]
    assert [one.text for one in many] == [one.text for one in few]
    np.testing.assert_allclose(
        [one.probability for one in many], [one.probability for one in few], rtol=1e-4
    )
    assert run_cli("predict", "run", words[0]).stdout == f"{few[0].text}\n"
    assert run_cli("eval", "run", turned, "--json").exit_code == 0
    assert run_cli("inspect-gradients", "run").exit_code == 0
    refused = run_cli("export", "run", "--to", "onnx")
    assert refused.exit_code == 2
    assert "ONNX has no form of --" in refused.stderr


def test_an_alignment_shows_what_each_symbol_took(run_cli: Call, turned: Path) -> None:
    assert run_cli("train", turned, *SHORT, "--out", "run", "-q").exit_code == 0
    predictor = Predictor.load("run")
    found = predictor.alignment("abca")
    assert (found.inputs, found.answer) == (tuple("abca"), predictor.answer(["abca"])[0])
    assert found.weights.shape == (2, len(found.answer.text) + 1, 4)
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1, rtol=1e-5)

    ids = np.concatenate(
        [
            predictor.prompt("abca"),
            predictor.pairing.fed_back(predictor.pairing.answer_ids(found.answer.text)),
        ]
    )
    network = Network(predictor.config, predictor.parameters, len(ids), 1)
    network.forward(ids[:, None], lengths=np.array([4]))
    h, reverse = network.layers[0].h[1:, 0], network.backward_cells[0].h[1:5, 0][::-1]
    keys = (h[:4] + reverse).reshape(4, 2, 8)
    queries = (h[4:] @ predictor.parameters["attention.W_query"]).reshape(-1, 2, 8)
    scores = np.einsum("akd,skd->kas", queries, keys) / np.sqrt(8)
    alpha = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found.weights, alpha, rtol=1e-3)

    shown = run_cli("predict", "run", "abca", "--alignment")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == found.answer.text
    assert lines[1] == "head 1 of 2"
    assert lines[2].split() == list("abca")
    assert lines[3].split()[:2] == ["1", found.answer.text[0]]
    assert sum("END" in line for line in lines) == 2
    assert "over 10" not in shown.stdout
    stored = json.loads(run_cli("predict", "run", "abca", "--alignment", "--json").stdout)
    assert (stored["input"], stored["output"]) == ("abca", found.answer.text)
    np.testing.assert_allclose(stored["weights"], found.weights, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("run",), "--alignment needs inputs on the command line"),
        (("run", "abca", "--probabilities"), "do not go together"),
        (("plain", "abca"), "this model has none"),
    ],
)
def test_an_alignment_is_refused_where_there_is_none(
    run_cli: Call, turned: Path, words: tuple[str, ...], problem: str
) -> None:
    attention = "2" if words[0] == "run" else "0"
    options = (*OPTIONS, "--steps", "2", "--attention", attention)
    assert run_cli("train", turned, *options, "--out", words[0], "-q").exit_code == 0
    result = run_cli("predict", *words, "--alignment")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert problem in line


def test_a_model_without_attention_has_no_alignment(run_cli: Call, turned: Path) -> None:
    options = (*OPTIONS, "--steps", "2", "--attention", "0", "--out", "run", "-q")
    assert run_cli("train", turned, *options).exit_code == 0
    with pytest.raises(UsageError, match="this model has none"):
        Predictor.load("run").alignment("abca")


def test_it_is_repeated_and_resumed_exactly(
    run_cli: Call, turned: Path, assert_same: Callable[[Path, Path], None]
) -> None:
    assert run_cli("train", turned, *SHORT, "-q", "--out", "first").exit_code == 0
    chosen = json.loads(Path("first/run.json").read_text())["chosen"]
    assert "--attention 2" in chosen
    assert run_cli("train", turned, *shlex.split(chosen), "-q", "--out", "again").exit_code == 0
    assert_same(Path("first"), Path("again"))
    assert run_cli("train", "--like", "first", "-q", "--out", "like").exit_code == 0
    assert_same(Path("first"), Path("like"))


def test_merged_networks_have_the_heads_of_all(run_cli: Call, turned: Path) -> None:
    result = run_cli("train", turned, *SHORT, "--networks", "2", "--out", "run", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    merged = load_checkpoint(Path("run/merged.npz"))
    assert (merged.config.attention, merged.config.hidden) == (4, 32)
    own = json.loads(result.stdout)["validation"]["nats_per_symbol"]
    assert own == pytest.approx(merged.validation["nats_per_symbol"], rel=1e-5)
    first = load_checkpoint(Path("run/best.npz"))
    query = merged.parameters["attention.W_query"]
    np.testing.assert_array_equal(query[:16, :16], first.parameters["attention.W_query"])
    assert (query[:16, 16:] == 0).all()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--layout many-to-many --attention 3 --hidden 16", "--attention 3 does not divide"),
        ("--layout many-to-many --attention 1 --no-bidirectional", "read in both directions"),
        ("--layout many-to-one --attention 1", "answered by a text"),
        ("--layout synced --attention 1", "answered by a text"),
        ("--layout many-to-many --attention -1", "--attention is -1"),
        ("--attention 1", "--attention needs inputs that are read in both directions"),
    ],
)
def test_it_is_refused_where_it_makes_no_sense(
    run_cli: Call, turned: Path, words: str, problem: str
) -> None:
    result = run_cli("train", turned, *words.split(), "--steps", "3")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()[-1:]
    assert problem in line


def test_it_is_the_default_for_texts_to_texts() -> None:
    layout = "many-to-many"
    pairing = PairVocabulary(layout, ("a", "b"), ("x", "y"), 3)
    assert LAYOUTS[layout].is_searched

    def heads(count: int, length: int = 4, **given: object) -> int:
        ids, targets = (np.zeros(length * count, np.int64) for _ in range(2))
        mask = np.tile(np.arange(length) >= length // 2, count)
        examples = Examples(ids, targets, mask, np.arange(count + 1) * length)
        settings = {"seed": 0, "backend": "numpy"} | given
        return plan_pairs("default", settings, pairing, examples, Budget(minutes=3)).model.attention

    assert heads(MANY_TRANSDUCED) == 1
    assert heads(500) == 1
    assert heads(MANY_TRANSDUCED, bidirectional=False) == 0
    assert heads(100, attention=1) == 1
    assert heads(10, MAX_ATTENDED) == 1
    assert heads(10, MAX_ATTENDED + 2) == 0
    assert heads(10, MAX_ATTENDED + 2, attention=2) == 2
