"""`charrnn export` and `charrnn import`: files, refusals, what is said, what is kept."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save_file
from typer.testing import Result

import charrnn
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.run_files import NUMBERED
from tests.cli.conftest import WORDS

Call = Callable[..., Result]
Untrained = Callable[..., charrnn.Model]


def facts_of(shown: str) -> dict[str, str]:
    """Return the lines of `charrnn info` by their titles, without continuations."""
    lines = (line.partition("  ") for line in shown.splitlines() if line[0] != " ")
    return {title: value.strip() for title, _, value in lines}


@pytest.fixture
def model(untrained: Untrained) -> charrnn.Model:
    """Return a model, stored as m.npz and as the run `poems`."""
    made = untrained("abc\n", cell="gru", layers=2)
    made.save("m.npz")
    folder = Path("checkpoints/poems")
    folder.mkdir(parents=True)
    made.save(folder / "best.npz")
    made.save(folder / "step-000007.npz")
    assert NUMBERED.fullmatch("step-000007.npz")
    return made


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("m.npz", "m"),
        ("checkpoints/poems", "poems"),
        ("checkpoints/poems/step-000007.npz", "poems"),
    ],
)
@pytest.mark.usefixtures("model")
def test_the_file_is_named_after_the_run(argument: str, name: str, run_cli: Call) -> None:
    result = run_cli("export", argument, "--to", "safetensors")
    assert result.exit_code == 0, result.stderr
    size = Path(f"{name}.safetensors").stat().st_size
    source = argument if argument.endswith("npz") else f"{argument}/best.npz"
    assert result.stderr == f"charrnn: {source} is now in {name}.safetensors, {size:,} bytes\n"
    assert f"safe_open('{name}.safetensors', \"pt\")" in result.stdout
    compile(result.stdout, "snippet", "exec")


def test_an_onnx_file_has_the_model_and_its_vocabulary(
    model: charrnn.Model, run_cli: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_cli("export", "m.npz", "--to", "onnx")
    assert result.exit_code == 0, result.stderr
    names: dict[str, Any] = {}
    exec(result.stdout, names)
    assert names["characters"] == list("abc\n")
    greedy = "".join(model.generate("a", 20, temperature=0))
    assert capsys.readouterr().out == " ".join(map(repr, greedy)) + " \n"


@pytest.mark.usefixtures("model")
def test_a_file_that_exists_is_kept_unless_forced(run_cli: Call) -> None:
    for words, kept in (
        (("export", "m.npz", "--to", "safetensors", "-o", "kept"), "kept"),
        (("import", "m.safetensors", "-o", "kept.npz"), "kept.npz"),
    ):
        run_cli("export", "m.npz", "--to", "safetensors", "-q", "--force")
        Path(kept).write_text("a letter", encoding="utf-8")
        refused = run_cli(*words)
        assert refused.exit_code == 5
        assert f"{kept} exists; try another --output, or --force" in refused.stderr
        assert Path(kept).read_text(encoding="utf-8") == "a letter"
        assert run_cli(*words, "--force").exit_code == 0
        assert Path(kept).stat().st_size > 100


def test_a_model_comes_back_and_says_that_it_was_imported(
    model: charrnn.Model, run_cli: Call
) -> None:
    assert run_cli("export", "m.npz", "--to", "safetensors", "--quiet").output == ""
    result = run_cli("import", "m.safetensors", "-o", "again.npz")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr == (
        "charrnn: m.safetensors is now in again.npz: 2 × 8 gru, 4 characters\n"
        "charrnn: try charrnn sample again.npz\n"
    )
    again = charrnn.load("again.npz")
    assert np.array_equal(again.parameters.vector, model.parameters.vector)
    sampled = run_cli("sample", "again.npz", "--length", "20", "--seed", "1")
    assert sampled.stdout == run_cli("sample", "m.npz", "--length", "20", "--seed", "1").stdout
    lines = facts_of(run_cli("info", "again.npz").stdout)
    assert lines["imported"] == "from m.safetensors"
    assert lines["training"].startswith("no training state")
    absent = facts_of(run_cli("info", "m.npz").stdout).keys() - lines.keys()
    assert absent == {"initialised", "step", "fingerprint"}


def test_a_corpus_that_is_not_known_is_said_to_be(model: charrnn.Model, run_cli: Call) -> None:
    run_cli("export", "m.npz", "--to", "safetensors", "-q")
    save_file(load(Path("m.safetensors").read_bytes()), "bare.safetensors")
    refused = run_cli("import", "bare.safetensors")
    assert refused.exit_code == 3
    assert "no vocabulary, which says what its ids stand for; try --vocabulary" in refused.stderr
    Path("v.json").write_text(json.dumps(list(model.vocabulary.characters)), encoding="utf-8")
    assert run_cli("import", "bare.safetensors", "--vocabulary", "v.json").exit_code == 0
    lines = facts_of(run_cli("info", "bare.npz").stdout)
    assert lines["corpus"] == "not known"
    assert "fingerprint" not in lines
    record = load_checkpoint(Path("bare.npz")).corpus
    assert (record.characters, record.imported) == (0, "bare.safetensors")
    facts = json.loads(run_cli("info", "bare.npz", "--json").stdout)
    assert facts["corpus"]["imported"] == "bare.safetensors"


def test_another_vocabulary_can_be_given_for_a_model_of_bytes(
    untrained: Untrained, run_cli: Call
) -> None:
    untrained("ab\xff", as_bytes=True).save("b.npz")
    run_cli("export", "b.npz", "--to", "safetensors", "-q")
    Path("v.json").write_text('["x", "y", "\u00fe"]', encoding="utf-8")
    result = run_cli("import", "b.safetensors", "--vocabulary", "v.json", "--force")
    assert result.exit_code == 0, result.stderr
    symbols = charrnn.load("b.npz").vocabulary
    assert (symbols.characters, symbols.as_bytes) == ("xy\xfe", True)


@pytest.mark.usefixtures("model")
def test_an_imported_model_can_be_scored_and_trained_further(run_cli: Call) -> None:
    run_cli("export", "m.npz", "--to", "safetensors", "-q")
    run_cli("import", "m.safetensors", "-o", "again.npz", "-q")
    Path("t.txt").write_text("abc\n" * 200, encoding="utf-8")
    scored = run_cli("eval", "again.npz", "t.txt", "--no-baselines")
    assert scored.exit_code == 0, scored.stderr
    assert scored.stdout == run_cli("eval", "m.npz", "t.txt", "--no-baselines").stdout
    small = ("--steps", "2", "--workers", "1", "--quiet", "--out", "further")
    further = run_cli("train", "t.txt", "--init-from", "again.npz", *small)
    assert further.exit_code == 0, further.stderr
    assert load_checkpoint(Path("further/best.npz")).corpus.imported is None
    resumed = run_cli("train", "--resume", "again.npz")
    assert resumed.exit_code in (2, 3)
    assert "training state" in resumed.stderr


@pytest.mark.usefixtures("model")
def test_the_figures_are_json_on_request(run_cli: Call) -> None:
    result = run_cli("export", "m.npz", "--to", "safetensors", "--json")
    assert result.stderr == ""
    facts = json.loads(result.stdout)
    assert facts["bytes"] == Path(facts["output"]).stat().st_size
    assert facts["tensors"]["rnn.weight_ih_l0"] == [24, 4]
    facts = json.loads(run_cli("import", "m.safetensors", "-o", "n.npz", "--json").stdout)
    assert facts["model"]["cell"] == "gru"
    assert facts["vocabulary"]["characters"] == "abc\n"


def test_a_page_states_what_its_weights_cost(run_cli: Call) -> None:
    Path("poems.txt").write_text("the cat sat on a mat, all by itself\n" * 400, encoding="utf-8")
    small = ("--steps", "20", "--hidden", "8", "--workers", "1", "--quiet")
    assert run_cli("train", "poems.txt", *small).exit_code == 0
    result = run_cli("export", "--to", "html")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    stated = re.fullmatch(
        r"weights stored as int8: ([+-]0\.00\d\d) nats per character \(at most \+0\.01\)", lines[0]
    )
    assert stated is not None
    measured = re.fullmatch(
        r"losses: float32 (\d\.\d{4}), int8 (\d\.\d{4})",
        lines[1],
    )
    assert lines[2] == "measured on 1,440 characters of the held-out part of poems"
    assert measured is not None
    assert abs(float(measured[2]) - float(measured[1]) - float(stated[1])) < 2e-4
    Path("tail.txt").write_text(Path("poems.txt").read_text(encoding="utf-8")[-1440:])
    score = run_cli("eval", "checkpoints/poems", "tail.txt", "--json", "--no-baselines")
    nats = json.loads(score.stdout)["nats_per_char"]
    assert abs(nats - float(measured[1])) < 0.01  # as one stream there, in parts here
    page = Path("poems.html").read_text(encoding="utf-8")
    assert f"loss {measured[2]} nats per character, {measured[1]} without rounding" in page
    assert run_cli("export", "--to", "html").exit_code == 5
    facts = json.loads(run_cli("export", "--to", "html", "--json", "--force").stdout)
    assert facts["precision"] == "int8"
    assert facts["added_nats_per_char"] <= 0.01
    assert set(facts["nats_per_char"]) == {"float32", "int8"}


@pytest.mark.usefixtures("model")
def test_a_page_without_the_text_is_measured_on_the_models_own(run_cli: Call) -> None:
    result = run_cli("export", "m.npz", "--to", "html")
    assert result.exit_code == 0, result.stderr
    assert "; measuring the loss on text of the model itself" in result.stderr
    assert "measured on 20,000 characters that the model wrote\n" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("export m.npz", 2, "--to"),
        ("export m.npz --to torch", 2, "--to is 'torch'; it must be"),
        ("export gone.npz --to safetensors", 3, "no checkpoint at 'gone.npz'"),
        ("export m.npz --to safetensors -o folder", 5, "folder is no file to write to"),
        ("export m.npz --to safetensors -o gone/x", 5, "no folder gone to write to"),
        ("export m.npz --to safetensors -o -", 2, "is not the name of a file"),
        ("import gone.safetensors", 3, "no file gone.safetensors"),
        ("import folder", 3, "folder is a directory, not a file"),
        ("import empty", 3, "empty cannot be imported: is no safetensors file"),
        ("import m.npz -o n.npz", 3, "m.npz cannot be imported: is no safetensors file"),
        ("import m.npz", 5, "m.npz exists"),
        ("import empty -o n.bin", 2, "a checkpoint ends in .npz, unlike n.bin"),
        ("import w --vocabulary gone", 3, "no file gone; try another --vocabulary FILE"),
        ("import w --vocabulary latin", 3, "latin is not UTF-8"),
        ("import w --vocabulary empty", 3, "empty is no vocabulary: the vocabulary is not"),
        ("import w --vocabulary folder", 3, "folder is a directory, not a file"),
        ("import '' -o n.npz", 3, "is a directory"),
        ("import ''", 3, "is a directory"),
        ("import .", 3, ". is a directory"),
        ("import ..", 3, ".. is a directory"),
        ("import /", 3, "/ is a directory"),
    ],
)
@pytest.mark.usefixtures("model")
def test_careless_uses_end_in_one_line(words: str, code: int, message: str, run_cli: Call) -> None:
    Path("folder").mkdir()
    Path("empty").touch()
    Path("latin").write_bytes(b'["\xe9"]')
    save_file({"w": np.zeros(1, np.float32)}, "w")
    before = sorted(Path().rglob("*"))
    result = run_cli(*(word.strip("'") for word in words.split()))
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


def test_a_page_of_pairs_is_refused(run_cli: Call) -> None:
    small = ("--steps", "2", "--hidden", "4", "--workers", "1", "--quiet", "--out", "pairs")
    assert run_cli("train", "--builtin", "vowels", *small).exit_code == 0
    refused = run_cli("export", "pairs", "--to", "html")
    assert refused.exit_code == 2
    assert "this model was trained on pairs" in refused.stderr
    assert not Path("pairs.html").exists()


SMALL = ("--steps", "9", "--hidden", "8", "--batch-size", "4", "--workers", "1", "--quiet")
ANSWERS: dict[str, Callable[[str], str]] = {
    "one-to-one": lambda word: word[::-1],
    "one-to-many": lambda word: word[:3],
    "many-to-one": lambda word: f"{word[0]}!",
    "many-to-many": lambda word: word[:3],
    "synced": str.upper,
}
"""Answers to words by layout."""


def trained(run_cli: Call, layout: str, direction: str) -> Path:
    """Train a model of pairs, and return its run."""
    lines = (f"{word}\t{ANSWERS[layout](word)}\n" for word in WORDS)
    Path("pairs.tsv").write_text("".join(lines), encoding="utf-8")
    words = ("--layout", layout, *(direction and (f"--{direction}",)), "--out", layout)
    result = run_cli("train", "pairs.tsv", *words, *SMALL)
    assert result.exit_code == 0, result.stderr
    return Path(layout)


def with_input(code: str, word: str) -> str:
    """Return printed code with another input."""
    for example, other in (("[sources[0]]", [word]), ("sources[0]", word)):
        if f"text = {example}" in code:
            return code.replace(f"text = {example}", f"text = {other!r}")
    raise ValueError("the code names no input")


@pytest.mark.parametrize(
    ("layout", "direction"),
    [
        ("one-to-one", ""),
        ("one-to-many", ""),
        ("many-to-one", "no-bidirectional"),
        ("many-to-one", "bidirectional"),
        ("many-to-many", "no-bidirectional"),
        ("synced", "no-bidirectional"),
        ("synced", "bidirectional"),
    ],
)
def test_printed_code_answers_as_predict_does_and_the_model_comes_back(
    layout: str, direction: str, run_cli: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(run_cli, layout, direction)
    code = run_cli("export", run, "--to", "onnx").stdout
    assert run_cli("export", run, "--to", "safetensors", "-o", "m.safetensors").exit_code == 0
    imported = run_cli("import", "m.safetensors")
    assert imported.exit_code == 0, imported.stderr
    assert "charrnn: try charrnn predict m.npz" in imported.stderr
    again = charrnn.Predictor.load("m.npz")
    before = charrnn.Predictor.load(run)
    assert np.array_equal(again.parameters.vector, before.parameters.vector)
    assert again.config.bidirectional == before.config.bidirectional
    assert "from m.safetensors" in run_cli("info", "m.npz").stdout
    for word in WORDS[:3]:
        capsys.readouterr()
        names: dict[str, Any] = {}
        exec(with_input(code, word), names)
        said = capsys.readouterr().out
        if before.pairing.layout_spec.answer_is_text:
            assert said == f"{again.answer([word])[0].text}\n"
            continue
        expected = before.label_probabilities([word])[0]
        np.testing.assert_allclose(names["probabilities"], expected, rtol=0, atol=1e-5)
        assert len(said.splitlines()) == len(expected) > 1
        assert again.answer([word]) == before.answer([word])


def test_printed_code_reads_unknown_characters_as_predict_does(run_cli: Call) -> None:
    words = [*(a + b for a in "abcdef" for b in "abcdef"), "aé", "bß"]
    lines = "".join(f"{word}\t{word[0]}!\n" for word in words)
    Path("pairs.tsv").write_text(lines, encoding="utf-8")
    options = ("--layout", "many-to-one", "--val-fraction", "0", "--out", "run", *SMALL)
    assert run_cli("train", "pairs.tsv", *options).exit_code == 0
    model = charrnn.Predictor.load("run")
    assert model.pairing.unknown is not None
    names: dict[str, Any] = {}
    word = "ab\u4e00"
    exec(with_input(run_cli("export", "run", "--to", "onnx").stdout, word), names)
    expected = model.label_probabilities([word])[0]
    np.testing.assert_allclose(names["probabilities"], expected, rtol=0, atol=1e-5)


def test_a_decoder_with_a_context_is_refused_for_onnx_by_name(run_cli: Call) -> None:
    run = trained(run_cli, "many-to-many", "bidirectional")
    refused = run_cli("export", run, "--to", "onnx")
    assert refused.exit_code == 2
    assert "ONNX has no form of --bidirectional" in refused.stderr
    result = run_cli("export", run, "--to", "safetensors")
    assert result.exit_code == 0, result.stderr
    compile(result.stdout, "snippet", "exec")


def test_a_model_of_labels_from_elsewhere_is_read(run_cli: Call) -> None:
    rng = np.random.default_rng(1)
    shapes = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4)}
    tensors = {
        f"net.{name}{end}": rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
        for end in ("", "_reverse")
    }
    tensors["head.weight"] = rng.normal(size=(2, 8)).astype(np.float32)
    save_file(tensors, "elsewhere.safetensors")
    symbols = {"layout": "many-to-one", "sources": ["a", "b", "c"], "answers": ["good", "bad"]}
    Path("symbols.json").write_text(json.dumps(symbols), encoding="utf-8")
    words = ("import", "elsewhere.safetensors", "--vocabulary", "symbols.json")
    result = run_cli(*words)
    assert result.exit_code == 0, result.stderr
    assert "1 × 4 lstm, 3 symbols" in result.stderr
    predicted = run_cli("predict", "elsewhere.npz", "abacab", "--probabilities", "--json")
    assert set(json.loads(predicted.stdout)["probabilities"]) == {"good", "bad"}


def test_names_reach_a_terminal_without_control_codes(
    untrained: Untrained, run_cli: Call, dangerous: frozenset[str]
) -> None:
    untrained("ab\n").save("a\x1b]0;x\x07.npz")
    exported = run_cli("export", "a\x1b]0;x\x07.npz", "--to", "safetensors")
    assert exported.exit_code == 0, exported.stderr
    assert r"safe_open('a\x1b]0;x\x07.safetensors'" in exported.stdout
    imported = run_cli("import", "a\x1b]0;x\x07.safetensors", "-o", "b.npz")
    shown = run_cli("info", "b.npz")
    assert facts_of(shown.stdout)["imported"] == "from a␛]0;x␇.safetensors"
    for text in (exported.output, imported.output, shown.output):
        assert not dangerous & set(text)
