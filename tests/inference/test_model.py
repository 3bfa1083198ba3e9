"""Language model API: loading, steps, generation, scores and errors."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, StorageError, TextError, UsageError
from charrnn.inference.model import Model, before
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.types import Array

CHARACTERS = "zyx wé\n"
TEXT = "xyz zyx\nwé wé" * 30


def make(cell: str = "lstm", characters: str = CHARACTERS, as_bytes: bool = False) -> Model:
    vocabulary = Vocabulary(characters, as_bytes)
    V = len(vocabulary)
    config = ModelConfig(inputs=V, outputs=V, cell=cell, hidden=6, layers=2, init="normal:0.5")
    parameters = initialise(config, np.random.default_rng(1))
    record = CorpusRecord("nothing", "0" * 64, 0, 0.1, as_bytes=as_bytes)
    return Model(Checkpoint(config, vocabulary, parameters, record, 0))


@pytest.fixture
def model() -> Model:
    return make()


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max()
    result: Array = shifted - np.log(np.exp(shifted).sum())
    return result


@pytest.mark.parametrize("cell", CELLS)
def test_a_saved_model_is_the_same_model(cell: str, tmp_path: Path) -> None:
    saved = make(cell)
    saved.save(tmp_path / "best.npz")
    for place in (tmp_path / "best.npz", str(tmp_path / "best.npz"), tmp_path):
        loaded = charrnn.load(place)
        assert isinstance(loaded, charrnn.Model)
        assert loaded.config == saved.config
        assert loaded.vocabulary == saved.vocabulary
        assert loaded.parameters.vector.tobytes() == saved.parameters.vector.tobytes()
        assert loaded.evaluate(TEXT) == saved.evaluate(TEXT)
        assert "".join(loaded.generate("x", 50)) == "".join(saved.generate("x", 50))


def test_the_vocabulary_turns_text_to_ids_and_back(model: Model) -> None:
    ids = model.vocabulary.encode(TEXT)
    assert model.vocabulary.decode(ids) == TEXT
    assert list(model.vocabulary.encode("zyx")) == [0, 1, 2]


@pytest.mark.parametrize("cell", CELLS)
def test_steps_from_the_zero_state_give_the_loss_of_the_text(cell: str) -> None:
    model = make(cell)
    for character in TEXT[:9]:
        model.step(int(model.vocabulary.encode(character)[0]))
    model.reset()
    ids = [int(id_) for id_ in model.vocabulary.encode(TEXT)]
    nats = [
        -float(log_softmax(model.step(now).astype(np.float64))[then]) for now, then in pairwise(ids)
    ]
    score = model.evaluate(TEXT)
    assert score.nats_per_char == pytest.approx(np.mean(nats), rel=1e-5)
    assert score.bits_per_char == pytest.approx(score.nats_per_char / math.log(2))
    assert score.perplexity == pytest.approx(math.exp(score.nats_per_char))
    assert score.characters == len(TEXT)


def test_a_step_returns_logits_of_its_own(model: Model) -> None:
    first = model.step(0)
    assert first.shape == (len(CHARACTERS),)
    kept = first.copy()
    second = model.step(0)
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)
    model.reset()
    np.testing.assert_array_equal(model.step(0), kept)


def test_numpy_ids_are_ids_too(model: Model) -> None:
    first = [model.step(id_) for id_ in model.vocabulary.encode("xyz")][-1]
    model.reset()
    np.testing.assert_array_equal(first, [model.step(id_) for id_ in (2, 1, 0)][-1])


def test_generating_and_scoring_leave_the_state_of_step_alone(model: Model) -> None:
    undisturbed = [model.step(id_) for id_ in (0, 1, 2)]
    model.reset()
    disturbed = []
    for id_ in (0, 1, 2):
        disturbed.append(model.step(id_))
        "".join(model.generate("xyz", 20))
        model.evaluate(TEXT)
    np.testing.assert_array_equal(undisturbed, disturbed)


def test_generate_yields_single_characters_after_the_prime(model: Model) -> None:
    pieces = list(model.generate("xyz", 40, 0.7, 3, 0.9, seed=5))
    assert len(pieces) == 40
    assert all(len(piece) == 1 and piece in CHARACTERS for piece in pieces)
    assert pieces == list(model.generate("xyz", 40, 0.7, 3, 0.9, seed=5))
    assert pieces != list(model.generate("xyz", 40, 0.7, 3, 0.9, seed=6))
    assert list(model.generate(length=0)) == []


def test_greedy_text_takes_the_most_probable_characters(model: Model) -> None:
    text = "".join(model.generate("xy", 30, temperature=0))
    model.step(2)
    logits = model.step(1)
    for character in text:
        likeliest = int(logits.argmax())
        assert model.vocabulary.decode([likeliest]) == character
        logits = model.step(likeliest)


def test_generation_ends_before_its_stop(model: Model) -> None:
    text = "".join(model.generate(length=200, seed=1))
    stop = text[90:92]
    assert "".join(model.generate(length=200, seed=1, stop=stop)) == text[: text.index(stop)]


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("abcabd", "abd", "abc"),
        ("aaab", "aab", "a"),
        ("ababac", "abac", "ab"),
        ("abc", "", "abc"),
        ("abc", "abc", ""),
        ("abc", "bcd", "abc"),
        ("xaab", "aab", "x"),
    ],
)
def test_a_stop_is_found_wherever_it_begins(text: str, stop: str, expected: str) -> None:
    assert "".join(before(stop, iter(text))) == expected


def test_without_a_prime_a_line_end_or_the_next_best_is_read() -> None:
    for characters, start in (("ab\n ", "\n"), ("ab ", " "), ("ba", "b")):
        model = make(characters=characters)
        unprimed = list(model.generate(length=60, seed=2))
        assert unprimed == list(model.generate(start, 60, seed=2))


def test_a_model_of_bytes_reads_text_as_utf_8() -> None:
    model = make(characters="".join(map(chr, range(256))), as_bytes=True)
    assert model.evaluate("é" * 9).characters == 18
    raw = list(model.generate("é", 40, seed=3))
    assert all(len(piece) == 1 and piece <= "\xff" for piece in raw)


def test_errors_have_their_class_and_a_common_base(model: Model, tmp_path: Path) -> None:
    for kind in (CheckpointError, StorageError, TextError, UsageError):
        assert issubclass(kind, charrnn.CharRNNError)
    with pytest.raises(CheckpointError, match=r"nowhere\.npz"):
        charrnn.load(tmp_path / "nowhere.npz")
    with pytest.raises(CheckpointError):
        charrnn.load(tmp_path)
    for id_ in (-1, len(CHARACTERS)):
        with pytest.raises(UsageError, match="ids go from 0 to 6"):
            model.step(id_)
    with pytest.raises(TextError, match=r"U\+03A9"):
        next(model.generate("Ω"))
    with pytest.raises(TextError, match=r"U\+03A9"):
        model.evaluate("xyzΩ")
    for short in ("", "x"):
        with pytest.raises(TextError, match="nothing to predict"):
            model.evaluate(short)
    with pytest.raises(UsageError):
        next(model.generate(length=-1))
    with pytest.raises(UsageError):
        next(model.generate(temperature=-1.0))
    with pytest.raises(StorageError, match="cannot write"):
        model.save(tmp_path / "no" / "such" / "folder.npz")
