"""Weights in PyTorch's names: its stored outputs, round trips, what cannot be expressed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import CheckpointError, UsageError
from charrnn.export.expressible import GATES, NO_EFFECT, require_expressible
from charrnn.export.pytorch_modules import recognise
from charrnn.export.pytorch_weights import MODULES, PYTORCH_GATES, from_pytorch, to_pytorch
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

with np.load(Path(__file__).parents[1] / "nn" / "golden" / "pytorch.npz") as file:
    GOLDEN: dict[str, Array] = dict(file)

Tensors = dict[str, Array]


def golden(network: str, kind: str) -> Tensors:
    """Return what PyTorch stored of a network: its weights w, or its states s."""
    prefix = f"{network}.{kind}."
    return {name.removeprefix(prefix): a for name, a in GOLDEN.items() if name.startswith(prefix)}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_weights_of_a_pytorch_model_give_its_outputs(cell: str, layers: int) -> None:
    name = f"{cell}{layers}"
    config, parameters = recognise(golden(name, "w"))
    assert (config.cell, config.layers) == (cell, layers)
    expected = GOLDEN[f"{name}.logits"]
    network = Network(config, parameters, *expected.shape[:2])
    states = golden(name, "s")
    for key, state in network.states().items():
        _, layer, letter = key.split(".")
        state[...] = states[letter][int(layer)]
    logits = network.forward(GOLDEN[f"{name}.ids"][:-1])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


@given(
    cell=st.sampled_from(sorted(GATES)),
    layers=st.integers(1, 3),
    hidden=st.integers(1, 5),
    inputs=st.integers(1, 7),
)
def test_a_round_trip_gives_the_same_bits(cell: str, layers: int, hidden: int, inputs: int) -> None:
    config = ModelConfig(inputs, inputs, cell=cell, hidden=hidden, layers=layers)
    parameters = Parameters(config.shapes())
    parameters.vector[...] = np.random.default_rng(1).normal(size=parameters.vector.shape)
    tensors = to_pytorch(config, parameters)
    found, again = recognise(tensors)
    assert (found.cell, found.hidden, found.layers, found.inputs) == (cell, hidden, layers, inputs)
    assert np.array_equal(again.vector, parameters.vector)
    assert np.array_equal(from_pytorch(config, tensors).vector, parameters.vector)


def test_the_tables_are_those_of_the_cells() -> None:
    for cell, gates in GATES.items():
        assert CELLS[cell].gates == gates
        assert sorted(PYTORCH_GATES[cell]) == sorted(gates)
    assert set(MODULES) == set(GATES)


@dataclass(frozen=True)
class Wider(ModelConfig):
    """A network with an option that PyTorch's modules do not have."""

    skip_connections: bool = False


def test_every_field_of_a_network_has_no_effect_or_is_refused() -> None:
    config = ModelConfig(5, 5, cell="rnn", hidden=4, dropout=0.5, forget_bias=3.0, init="normal")
    require_expressible(config, "PyTorch")
    require_expressible(Wider(5, 5), "PyTorch")
    with pytest.raises(UsageError, match=r"PyTorch has no form of --skip-connections; try a model"):
        require_expressible(Wider(5, 5, skip_connections=True), "PyTorch")
    assert set(ModelConfig.__dataclass_fields__) >= NO_EFFECT


def test_another_cell_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "mgu", CELLS["gru"])
    config = ModelConfig(5, 5, cell="mgu")
    with pytest.raises(UsageError, match="no form of the cell 'mgu'; it has rnn, lstm, mlstm, gru"):
        to_pytorch(config, Parameters(config.shapes()))


def model(cell: str = "lstm", V: int = 7, H: int = 4, layers: int = 2) -> Tensors:
    """Return the tensors of a small model with random weights."""
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=layers)
    return to_pytorch(config, initialise(config, np.random.default_rng(0)))


def renamed(**modules: str) -> Tensors:
    """Return the tensors of a model whose modules have other names."""
    return {
        f"{modules[module]}{'.' * bool(modules[module])}{rest}": tensor
        for module, _, rest in (name.partition(".") for name in model())
        for tensor in [model()[f"{module}.{rest}"]]
    }


@pytest.mark.parametrize(
    "names",
    [
        {"rnn": "lstm", "readout": "fc"},
        {"rnn": "", "readout": "decoder.out"},
        {"rnn": "net.body", "readout": "embed_out"},
    ],
)
def test_modules_may_have_any_name(names: dict[str, str]) -> None:
    _, expected = recognise(model())
    _, found = recognise(renamed(**names))
    assert np.array_equal(found.vector, expected.vector)


def test_biases_may_be_missing() -> None:
    tensors = {name: a for name, a in model("gru").items() if "bias" not in name}
    config, parameters = recognise(tensors)
    for layer in range(config.layers):
        assert not parameters[f"layers.{layer}.b_h"].any()
        assert not parameters[f"layers.{layer}.b_n"].any()
    assert not parameters["b_y"].any()


@pytest.mark.parametrize("width", [3, 4, 7, 9])
def test_an_embedding_is_multiplied_into_the_input_weights(
    width: int, rng: np.random.Generator
) -> None:
    tensors = model(layers=1)
    embedding = rng.normal(size=(7, width))
    tensors["embed.weight"] = embedding
    tensors["rnn.weight_ih_l0"] = rng.normal(size=(16, width))
    config, parameters = recognise(tensors)
    assert (config.inputs, config.outputs) == (7, 7)
    projected = tensors["rnn.weight_ih_l0"] @ embedding.T  # (16, 7)
    network = Network(config, parameters, 1, 7)
    network.layers[0].embed_ids(np.arange(7)[None])
    a = network.layers[0].a[:, 0]  # (4, 7, 4), gates i, f, o, g
    bias = tensors["rnn.bias_ih_l0"].reshape(4, 1, 4)
    expected = projected.reshape(4, 4, 7).transpose(0, 2, 1) + bias
    np.testing.assert_allclose(a, expected[[0, 1, 3, 2]], atol=1e-5)


Change = Callable[[Tensors], object]
BAD: dict[str, tuple[str, Change]] = {
    "bidirectional": ("l0_reverse' is of a bidirectional network, and none", lambda t: t.update(
        {"rnn.weight_ih_l0_reverse": t["rnn.weight_ih_l0"]})),
    "projection": ("weight_hr_l0' is of a projection", lambda t: t.update(
        {"rnn.weight_hr_l0": np.ones((2, 4))})),
    "two recurrent modules": ("2 recurrent modules", lambda t: t.update(
        {"other.weight_hh_l0": np.ones((16, 4))})),
    "another tensor": ("'mask' has no place", lambda t: t.update({"mask": np.ones(3)})),
    "a norm": ("'norm' is no linear module", lambda t: t.update({"norm.weight": np.ones(4)})),
    "three others": ("beside the recurrent module are 3 others: 'readout', 'a', 'b'",
        lambda t: t.update({"a.weight": np.ones((4, 4)), "b.weight": np.ones((4, 4))})),
    "two readouts": ("'fc' is no embedding into 7 inputs", lambda t: t.update(
        {"fc.weight": np.ones((5, 4))})),
    "an unclear readout": ("none is clearly the readout", lambda t: t.update(
        {"fc.weight": np.ones((7, 4)), "fc.bias": np.ones(7)})),
    "no readout": ("beside the recurrent module are 0 others", lambda t: [
        t.pop("readout.weight"), t.pop("readout.bias")]),
    "no first layer": ("no weight_ih_l0", lambda t: [t.pop(n) for n in list(t) if "l0" in n]),
    "no weight": ("weight_hh_l1 is missing", lambda t: t.pop("rnn.weight_hh_l1")),
    "no weight below": ("weight_ih_l0 is missing", lambda t: t.pop("rnn.weight_ih_l0")),
    "two gates": (r"has shape \(8, 4\); its rows are not 1, 3 or 4", lambda t: t.update(
        {"rnn.weight_hh_l0": np.ones((8, 4))})),
    "an empty matrix": ("not that of a matrix", lambda t: t.update(
        {"rnn.weight_hh_l0": np.ones((0, 4))})),
    "another shape": (r"'bias_ih_l1' has shape \(4,\), expected \(16,\)", lambda t: t.update(
        {"rnn.bias_ih_l1": np.ones(4)})),
    "a wide readout": (r"'readout.weight' has shape \(7, 5\), expected", lambda t: t.update(
        {"readout.weight": np.ones((7, 5))})),
    "a bias of the readout": (r"'readout.bias' has shape \(6,\)", lambda t: t.update(
        {"readout.bias": np.ones(6)})),
    "other characters": ("reads 7 characters and predicts 6", lambda t: t.update(
        {"readout.weight": np.ones((6, 4)), "readout.bias": np.ones(6)})),
    "NaN": ("readout.bias holds numbers that are not finite", lambda t: t.update(
        {"readout.bias": np.full(7, np.nan)})),
    "overflow": ("weight_hh_l1 holds numbers that are not finite in float32", lambda t: t.update(
        {"rnn.weight_hh_l1": np.full((16, 4), 1e300)})),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_network_of_charrnn_is_refused_by_name(name: str) -> None:
    message, change = BAD[name]
    tensors = model()
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        recognise(tensors)
