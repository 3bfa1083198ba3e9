"""Files that leave and come back: safetensors, vocabularies, metadata; hostile ones are refused."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CharRNNError, CheckpointError, UsageError
from charrnn.export import optional, safetensors_file
from charrnn.export.exchange import imported_checkpoint, metadata_of, parse_symbols
from charrnn.export.expressible import GATES
from charrnn.export.onnx_model import onnx_model
from charrnn.export.pytorch_weights import to_pytorch
from charrnn.export.safetensors_file import read_tensors, write_tensors
from charrnn.export.vocabulary_file import parse_vocabulary, vocabulary_json
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

RECORD = CorpusRecord("poems", "ab" * 32, 1000, 0.1, normalise="nfc", min_count=2)


def checkpoint(characters: str = "abc\n<é", **settings: Any) -> Checkpoint:
    """Return a model with random weights."""
    V = len(characters)
    config = ModelConfig(V, V, **{"hidden": 4} | settings)
    parameters = initialise(config, np.random.default_rng(0))
    return Checkpoint(config, Vocabulary(characters), parameters, RECORD, 7, {"nats_per_char": 2.0})


def exported(model: Checkpoint) -> bytes:
    """Return the safetensors file of a model."""
    return write_tensors(to_pytorch(model.config, model.parameters), metadata_of(model))


def test_the_package_reads_the_names_and_shapes_of_pytorch() -> None:
    tensors = load(exported(checkpoint(cell="gru")))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "rnn.weight_ih_l0": (12, 6),
        "rnn.weight_hh_l0": (12, 4),
        "rnn.bias_ih_l0": (12,),
        "rnn.bias_hh_l0": (12,),
        "readout.weight": (6, 4),
        "readout.bias": (6,),
    }


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_model_comes_back_without_its_training(as_bytes: bool) -> None:
    before = checkpoint("abc\n<é", cell="lstm", layers=2, dropout=0.3)
    before = replace(
        before,
        symbols=Vocabulary("abc\n<é", as_bytes),
        corpus=replace(RECORD, as_bytes=as_bytes, normalise=None if as_bytes else "nfc"),
    )
    after = imported_checkpoint(*read_tensors(exported(before)), "m.safetensors")
    assert np.array_equal(after.parameters.vector, before.parameters.vector)
    assert after.symbols == before.symbols
    assert after.corpus == replace(before.corpus, imported="m.safetensors")
    assert (after.step, after.validation, after.training) == (0, {}, None)
    assert after.config == replace(before.config, dropout=0.0)


def test_a_corpus_that_is_not_known_is_the_empty_text() -> None:
    tensors, _ = read_tensors(exported(checkpoint()))
    after = imported_checkpoint(tensors, {}, "m.safetensors", Vocabulary("abcdef"))
    assert after.corpus.characters == 0
    assert after.corpus.sha256.startswith("e3b0c44298fc1c149afbf4c8996fb924")
    assert after.corpus.imported == "m.safetensors"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "does not say what its 6 ids stand for"),
        ({"vocabulary": '["a"]'}, "the vocabulary has 1 characters, the model 6"),
        ({"vocabulary": "abcdef"}, "is not JSON"),
        ({"vocabulary": '"abcdef"', "corpus": "{"}, "its corpus is not strict JSON"),
        ({"vocabulary": '"abcdef"', "corpus": "[]"}, "its corpus is no JSON object"),
        ({"vocabulary": '"abcdef"', "corpus": "{}"}, "corpus.as_bytes is missing"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(metadata: dict[str, str], message: str) -> None:
    tensors, _ = read_tensors(exported(checkpoint()))
    with pytest.raises(CheckpointError, match=message):
        imported_checkpoint(tensors, metadata, "m.safetensors")


def test_a_record_in_the_metadata_is_checked() -> None:
    tensors, metadata = read_tensors(exported(checkpoint()))
    record = json.loads(metadata["corpus"])
    for field, value in (("sha256", "x"), ("as_bytes", True), ("characters", -1), ("name", "")):
        wrong = metadata | {"corpus": json.dumps(record | {field: value})}
        with pytest.raises(CheckpointError, match="corpus"):
            imported_checkpoint(tensors, wrong, "m.safetensors")


def checkpoint_of_pairs(
    layout: str, *, backward: bool = False, cell: str = "gru", heads: int = 0
) -> Checkpoint:
    """Return a model of pairs with random weights."""
    pairs = PairVocabulary(layout, ("a", "é", "<"), ("x", "y"), 5)
    use = pairs.layout_spec.backward_use if backward else None
    sizes = {"cell": cell, "hidden": 4, "layers": 2, "bidirectional": use, "attention": heads}
    config = ModelConfig(pairs.inputs, pairs.outputs, **sizes)  # type: ignore[arg-type] # of fields
    parameters = initialise(config, np.random.default_rng(0))
    return Checkpoint(config, pairs, parameters, RECORD, 7)


@pytest.mark.parametrize(
    ("layout", "backward", "cell"),
    [
        *((name, False, cell) for name, cell in product(LAYOUTS, GATES)),
        *(
            (name, True, cell)
            for (name, layout), cell in product(LAYOUTS.items(), ("rnn", "lstm", "gru"))
            if layout.backward_use
        ),
    ],
)
def test_a_model_of_pairs_comes_back(layout: str, backward: bool, cell: str) -> None:
    before = checkpoint_of_pairs(layout, backward=backward, cell=cell)
    after = imported_checkpoint(*read_tensors(exported(before)), "m.safetensors")
    assert np.array_equal(after.parameters.vector, before.parameters.vector)
    assert after.symbols == before.symbols
    assert after.config == before.config
    assert after.corpus == replace(before.corpus, imported="m.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "one-to-three"}, "no layout called"),
        ({"layout": "one-to-many"}, "and none of charrnn has the layout one-to-many"),
        ({"answers": ["x"]}, "reads 3 symbols and predicts 2, its pairs have 3 and 1"),
        ({"sources": ["a", "é", 3]}, "pairs.sources holds something that is not a text"),
        ({"sources": ["a", "é", "\ud800"]}, "pairs.sources holds half of a surrogate pair"),
        ({"longest": 0}, "pairs: the longest answer must have at least one"),
        ({"more": 1}, "pairs.more"),
    ],
)
def test_symbols_of_pairs_that_do_not_fit_are_refused(
    change: dict[str, object], message: str
) -> None:
    tensors, metadata = read_tensors(exported(checkpoint_of_pairs("synced", backward=True)))
    changed = metadata | {"pairs": json.dumps(json.loads(metadata["pairs"]) | change)}
    with pytest.raises(CheckpointError, match=message):
        imported_checkpoint(tensors, changed, "m.safetensors")


@pytest.mark.parametrize("heads", [1, 2])
def test_a_model_with_attention_comes_back(heads: int) -> None:
    before = checkpoint_of_pairs("many-to-many", backward=True, heads=heads)
    tensors, metadata = read_tensors(exported(before))
    after = imported_checkpoint(tensors, metadata, "m.safetensors")
    assert np.array_equal(after.parameters.vector, before.parameters.vector)
    assert after.config == before.config
    del metadata["attention"]
    assert imported_checkpoint(tensors, metadata, "m.safetensors").config.attention == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query.weight": None}, "query.weight is missing"),
        ({"combine.bias": None}, "combine.bias is missing"),
        ({"combine.weight": None}, "combine.weight is missing"),
        ({"combine.weight": np.ones((4, 4))}, "combine.weight' has shape"),
    ],
    ids=str,
)
def test_attention_needs_weights_of_its_own_shape(
    change: dict[str, np.ndarray | None], message: str
) -> None:
    checkpoint = checkpoint_of_pairs("many-to-many", backward=True, heads=1)
    tensors, metadata = read_tensors(exported(checkpoint))
    changed = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
    with pytest.raises(CheckpointError, match=message):
        imported_checkpoint(changed, metadata, "m.safetensors")


@pytest.mark.parametrize("heads", ["0", "-1", "two", "3", "999999999"])
def test_heads_that_are_no_number_of_heads_are_refused(heads: str) -> None:
    checkpoint = checkpoint_of_pairs("many-to-many", backward=True, heads=1)
    tensors, metadata = read_tensors(exported(checkpoint))
    with pytest.raises(CheckpointError, match=r"attention|sizes are no network"):
        imported_checkpoint(tensors, metadata | {"attention": heads}, "m.safetensors")


def test_a_context_needs_weights_of_its_own_shape() -> None:
    tensors, metadata = read_tensors(exported(checkpoint_of_pairs("many-to-many", backward=True)))
    for weights, message in ((None, "context.weight is missing"), (np.ones((4, 4)), "has shape")):
        changed = {name: tensor for name, tensor in tensors.items() if name != "context.weight"}
        changed |= {} if weights is None else {"context.weight": weights}
        with pytest.raises(CheckpointError, match=message):
            imported_checkpoint(changed, metadata, "m.safetensors")


def test_a_file_of_symbols_may_be_one_of_pairs() -> None:
    stored = {"layout": "many-to-one", "sources": ["a", "b"], "answers": ["good", "bad"]}
    found = parse_symbols(json.dumps(stored))
    assert found == PairVocabulary("many-to-one", ("a", "b"), ("good", "bad"), 1)
    assert parse_symbols('{"a": 0, "b": 1}') == Vocabulary("ab")
    with pytest.raises(CheckpointError, match=r"pairs\.answers is missing"):
        parse_symbols('{"layout": "many-to-one", "sources": ["a"]}')


def file_of(dtype: str, shape: list[int], data: bytes) -> bytes:
    """Return a file with one tensor, w."""
    tensor = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({"w": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_tensors_of_every_floating_point_type_are_read() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        tensors, _ = read_tensors(save({"w": np.array([[1, -2]], dtype)}))
        assert tensors["w"].tolist() == [[1, -2]]
    assert read_tensors(file_of("BF16", [2], b"\x80\x3f\x00\xc0"))[0]["w"].tolist() == [1, -2]
    with pytest.raises(CheckpointError, match="tensor 'w' of the type I64"):
        read_tensors(save({"w": np.array([1])}))


@pytest.mark.parametrize("shape", [[0], [0, 2**40, 2**40], [2**63, 0]])
def test_empty_tensors_are_refused(shape: list[int]) -> None:
    with pytest.raises(CheckpointError, match="an empty tensor 'w'"):
        read_tensors(file_of("F32", shape, b""))


def test_metadata_longer_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = exported(checkpoint())
    monkeypatch.setattr(safetensors_file, "MAX_HEADER_BYTES", 100)
    with pytest.raises(CheckpointError, match="has a header over 100 bytes"):
        read_tensors(content)


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_as_what_it_says(data: st.DataObject) -> None:
    content = bytearray(CONTENT)
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        model = imported_checkpoint(*read_tensors(bytes(content)), "m.safetensors")
    except CharRNNError:
        return
    assert np.isfinite(model.parameters.vector).all()


CONTENT = exported(checkpoint(cell="rnn", hidden=2))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_vocabulary_comes_back_from_each_form(text: str) -> None:
    characters = "".join(dict.fromkeys(text))
    vocabulary = Vocabulary(characters)
    assert parse_vocabulary(vocabulary_json(characters)) == vocabulary
    assert parse_vocabulary(json.dumps(characters)) == vocabulary
    by_character = {c: number for number, c in enumerate(characters)}
    assert parse_vocabulary(json.dumps(by_character)) == vocabulary
    by_id = {str(number): c for number, c in reversed(list(enumerate(characters)))}
    assert parse_vocabulary(json.dumps(by_id)) == vocabulary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("3", "no list, text or object"),
        ('["a", "bc"]', "not a single character"),
        ('["a", 1]', "not a single character"),
        ('["a", "a"]', "repeats some"),
        ("[]", "at least one character"),
        ('["\\ud800"]', "halves of surrogate pairs"),
        ('{"a": 0, "b": 2}', "does not number its entries 0 to 1"),
        ('{"a": 0, "b": 0}', "does not number its entries 0 to 1"),
        ('{"a": true, "b": 0}', "does not number its entries"),
        ('{"1": "a", "x": "b"}', "does not number its entries"),
        ('{"' + "1" * 5000 + '": "a"}', "does not number its entries"),
    ],
)
def test_what_is_no_vocabulary_is_refused(text: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse_vocabulary(text)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(UsageError, match="needs the package safetensors; try pip install"):
        write_tensors({}, {})
    config = ModelConfig(3, 3, hidden=2)
    with pytest.raises(UsageError, match="needs the package onnx; try pip install onnx"):
        onnx_model(config, initialise(config, np.random.default_rng(0)), {})
