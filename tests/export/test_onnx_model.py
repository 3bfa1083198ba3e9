"""ONNX models under onnxruntime: outputs, state handed on step by step, metadata, limits."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError
from charrnn.export import onnx_model as module
from charrnn.export.expressible import GATES
from charrnn.export.onnx_model import ONNX_GATES, OPERATORS, onnx_model
from charrnn.export.snippets import onnx_snippet
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

V, H, B = 7, 6, 3

every_network = pytest.mark.parametrize(
    ("cell", "layers"), [(cell, layers) for cell in OPERATORS for layers in (1, 2, 3)]
)


def network(cell: str, layers: int) -> tuple[ModelConfig, Parameters]:
    """Return the settings and random weights of a network."""
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=layers)
    parameters = Parameters(config.shapes())
    parameters.vector[...] = np.random.default_rng(3).normal(0, 0.5, parameters.vector.shape)
    return config, parameters


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    """Return a session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options)


@every_network
def test_each_step_under_onnxruntime_is_that_of_charrnn(cell: str, layers: int) -> None:
    config, parameters = network(cell, layers)
    session = session_of(onnx_model(config, parameters, {}))
    ours = Network(config, parameters, 1, B)
    rng = np.random.default_rng(4)
    state: dict[str, Array] = {}
    for letter in CELLS[cell].states:  # begin from a state that is not zero
        state[f"{letter}0"] = rng.normal(0, 0.5, (layers, B, H)).astype(np.float32)
    for name, value in ours.states().items():
        _, layer, letter = name.split(".")
        value[...] = state[f"{letter}0"][int(layer)]
    for ids in rng.integers(V, size=(50, 1, B)):
        logits, *after = session.run(None, {"ids": ids, **state})
        state = dict(zip(state, after, strict=True))
        expected = ours.forward(ids)
        ours.carry_state()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
        for name, value in ours.states().items():
            _, layer, letter = name.split(".")
            np.testing.assert_allclose(state[f"{letter}0"][int(layer)], value, rtol=0, atol=1e-5)
    assert np.abs(expected).max() > 0.1


@every_network
def test_a_whole_text_gives_the_same_logits(cell: str, layers: int) -> None:
    config, parameters = network(cell, layers)
    ids = np.random.default_rng(5).integers(V, size=(40, B))
    zero = np.zeros((layers, B, H), np.float32)
    states = {f"{letter}0": zero for letter in CELLS[cell].states}
    session = session_of(onnx_model(config, parameters, {}))
    logits, *after = session.run(None, {"ids": ids, **states})
    ours = Network(config, parameters, 40, B)
    np.testing.assert_allclose(logits, ours.forward(ids), rtol=0, atol=1e-5)
    assert len(after) == len(CELLS[cell].states)


@pytest.mark.parametrize("use", ["each", "last"])
@pytest.mark.parametrize(
    ("cell", "layers"), [(cell, layers) for cell in ("rnn", "lstm", "gru") for layers in (1, 2, 3)]
)
def test_whole_texts_are_read_in_both_directions(cell: str, layers: int, use: str) -> None:
    config = ModelConfig(V, 5, cell=cell, hidden=H, layers=layers, bidirectional=use)
    parameters = Parameters(config.shapes())
    parameters.vector[...] = np.random.default_rng(3).normal(0, 0.5, parameters.vector.shape)
    session = session_of(onnx_model(config, parameters, {}))
    assert [node.name for node in session.get_inputs()] == ["ids"]
    assert [node.shape for node in session.get_outputs()] == [["T" if use == "each" else 1, "B", 5]]
    for T in (1, 2, 30):
        ids = np.random.default_rng(T).integers(V, size=(T, B))
        expected = Network(config, parameters, T, B).forward(ids)
        (logits,) = session.run(None, {"ids": ids})
        if use == "last":
            expected = expected[-1:]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
        assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("use", ["each", "last"])
def test_both_directions_of_an_mlstm_are_refused(use: str) -> None:
    config = ModelConfig(V, 5, cell="mlstm", hidden=H, bidirectional=use)
    with pytest.raises(UsageError, match="ONNX has no form of a bidirectional mlstm; try a model"):
        onnx_model(config, Parameters(config.shapes()), {})


def test_a_context_is_refused() -> None:
    config = ModelConfig(V, V, bidirectional="context")
    with pytest.raises(UsageError, match="ONNX has no form of --bidirectional"):
        onnx_model(config, Parameters(config.shapes()), {})


def test_names_and_free_axes_are_those_of_the_documentation() -> None:
    config, parameters = network("lstm", 2)
    session = session_of(onnx_model(config, parameters, {"vocabulary": '["é"]'}))
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    assert inputs == {"ids": ["T", "B"], "h0": [2, "B", H], "c0": [2, "B", H]}
    assert outputs == {"logits": ["T", "B", V], "hn": [2, "B", H], "cn": [2, "B", H]}
    meta = session.get_modelmeta()
    assert json.loads(meta.custom_metadata_map["vocabulary"]) == ["é"]
    assert meta.producer_name == "charrnn"


def test_the_gates_are_those_of_the_cells() -> None:
    for cell, gates in ONNX_GATES.items():
        assert sorted(gates) == sorted(GATES[cell])


def test_what_onnx_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config, parameters = network("gru", 1)
    monkeypatch.setattr(module, "MAX_WEIGHT_BYTES", 4 * config.size - 1)
    with pytest.raises(UsageError, match="weights are too many for ONNX"):
        onnx_model(config, parameters, {})
    monkeypatch.setitem(CELLS, "mgu", CELLS["gru"])
    with pytest.raises(UsageError, match="ONNX has no form of the cell 'mgu'"):
        onnx_model(ModelConfig(V, V, cell="mgu"), parameters, {})


@pytest.mark.parametrize("cell", OPERATORS)
def test_the_printed_code_runs(
    cell: str, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    config, parameters = network(cell, 2)
    path = tmp_path_factory.mktemp("it's") / "é\n.onnx"
    path.write_bytes(onnx_model(config, parameters, {"vocabulary": json.dumps(list("abcdefg"))}))
    exec(onnx_snippet(config, str(path), Vocabulary("abcdefg", as_bytes=True)), {})
    ours = Network(config, parameters, 1, 1)
    ids, expected = np.zeros((1, 1), np.int64), []
    for _ in range(20):
        ids = ours.forward(ids).argmax(-1)
        ours.carry_state()
        expected.append("abcdefg"[int(ids[0, 0])])
    assert capsys.readouterr().out == " ".join(map(repr, expected)) + " \n"


def test_the_file_is_one_that_the_package_accepts() -> None:
    model = onnx.load_from_string(onnx_model(*network("gru", 1), {"cell": "gru"}))
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node].count("GRU") == 1
