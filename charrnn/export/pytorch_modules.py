"""Recognition of a character model among the tensors of a PyTorch file.

Read are the tensors of one `nn.RNN` (with tanh), `nn.LSTM` or `nn.GRU`, of one `nn.Linear` behind
it, and of an `nn.Embedding` before it, if there is one, whatever the modules are called; of an
mlstm also those of the modules `scale.0` and so on. An
embedding E is multiplied into the input weights, which changes no output: x E Wᵀ = x (E Wᵀ) for
one-hot x. A model of pairs may be bidirectional; one that writes answers of open length then has a
module `context` too, and one with attention the modules `query` and `combine`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from charrnn.data.layouts import PairVocabulary
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.export.expressible import GATES
from charrnn.export.pytorch_weights import COMBINE, COMBINE_BIAS, CONTEXT, QUERY, from_pytorch
from charrnn.limits import format_value
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

RECURRENT = re.compile(r"(?:(.*)\.)?((?:weight|bias)_(?:ih|hh|hr))_l(0|[1-9][0-9]{0,3})(_reverse)?")
PLAIN = re.compile(r"(?:(.*)\.)?(weight|bias)")
CELL_OF_GATES = {len(gates): cell for cell, gates in GATES.items() if cell != "mlstm"}


@dataclass
class Linear:
    """The tensors of a module that is not recurrent."""

    name: str
    tensors: dict[str, Array] = field(default_factory=dict)

    @property
    def weight(self) -> Array:
        """The matrix; an empty one if there is none."""
        return self.tensors.get("weight", np.zeros((0, 0), np.float32))


def recognise(
    tensors: Mapping[str, Array], pairing: PairVocabulary | None = None, heads: int = 1
) -> tuple[ModelConfig, Parameters]:
    """Return the network of a file and its parameters, float32.

    Args:
        tensors: the tensors of the file by name, of any floating-point type.
        pairing: the layout and the symbols of a model of pairs; None for a model of texts.
        heads: those of its attention, if it has one.

    Raises `CheckpointError`, which names the tensor, for one that has no place in a network of
    charrnn, for one that is missing or of another shape, and for numbers that are not finite.

    Example:
        >>> from charrnn.export.pytorch_weights import to_pytorch
        >>> config = ModelConfig(7, 7, cell="gru", hidden=4, layers=2)
        >>> found, parameters = recognise(to_pytorch(config, Parameters(config.shapes())))
        >>> found.cell, found.hidden, found.layers, found.inputs
        ('gru', 4, 2, 7)
    """
    layers, others = sort_by_module(tensors)
    H, G, D = recurrent_sizes(layers)
    use = backward_use(layers, pairing)
    width = H if use is None else 2 * H
    found: dict[str, Array] = {}
    attention = 0
    if use == "context":
        found[CONTEXT] = own_tensor(others, CONTEXT, (G * H, H))
        if "query" in others or "combine" in others:
            attention = heads
            found[COMBINE_BIAS] = own_tensor(others, COMBINE_BIAS, (H,), keep=True)
            found[COMBINE] = own_tensor(others, COMBINE, (H, 2 * H))
            found[QUERY] = own_tensor(others, QUERY, (H, H))
    scales = own_scales(others, H, D, len(layers)) if "scale.0" in others else {}
    if scales and (len(GATES["mlstm"]) != G or use is not None):
        raise CheckpointError("scale.0 belongs to an mlstm, which has four gates and reads one way")
    found |= scales
    readout, embedding = find_readout(others, H if attention else width, D)
    inputs, outputs = (D if embedding is None else len(embedding.weight)), len(readout.weight)
    require_symbols(inputs, outputs, pairing)
    cell = "mlstm" if scales else CELL_OF_GATES[G]
    try:
        config = ModelConfig(
            inputs,
            outputs,
            cell=cell,
            hidden=H,
            layers=len(layers),
            bidirectional=use,
            attention=attention,
        )
    except CharRNNError as error:
        raise CheckpointError(f"its sizes are no network: {error.problem}") from error
    found["readout.weight"] = readout.weight
    found["readout.bias"] = readout.tensors.get("bias", np.zeros(outputs, np.float32))
    require_shape(f"{readout.name}.bias", found["readout.bias"], (outputs,))
    ends = ("",) if use is None else ("", "_reverse")
    for layer, own in layers.items():
        shapes = layer_shapes(G, H, width if layer else D)
        for kind, end in product(shapes, ends):
            name = f"{kind}_l{layer}{end}"
            missing = None if kind.startswith("weight") else np.zeros(shapes[kind], np.float32)
            tensor = own.get(name, missing)
            if tensor is None:
                raise CheckpointError(f"{name} is missing")
            require_shape(name, tensor, shapes[kind])
            found[f"rnn.{name}"] = tensor
    if embedding is not None:
        for end in ends:
            weights = found[f"rnn.weight_ih_l0{end}"].astype(np.float64)
            found[f"rnn.weight_ih_l0{end}"] = weights @ embedding.weight.T
        if scales:
            found["scale.0.weight"] = found["scale.0.weight"] @ embedding.weight.T
    require_finite(found)
    return config, from_pytorch(config, found)


def backward_use(
    layers: Mapping[int, Mapping[str, Array]], pairing: PairVocabulary | None
) -> str | None:
    """Return how backward cells are used; None if there are none.

    Raises `CheckpointError` for a network with such cells whose layout has no use for them.
    """
    names = (name for own in layers.values() for name in own)
    reverse = next((name for name in names if name.endswith("_reverse")), None)
    if reverse is None:
        return None
    use = None if pairing is None else pairing.layout_spec.backward_use
    if use is None:
        what = "predicts a text" if pairing is None else f"has the layout {pairing.layout}"
        raise CheckpointError(
            f"{format_value(reverse)} is of a bidirectional network, and none of charrnn {what}"
        )
    return use


def own_tensor(
    others: dict[str, Linear], name: str, shape: tuple[int, ...], *, keep: bool = False
) -> Array:
    """Return a tensor of a module that is no readout, and take the module out of the others.

    With `keep` the module stays among them. Raises `CheckpointError` for a tensor that is missing
    or of another shape.
    """
    module, _, kind = name.rpartition(".")
    found = others.get(module, Linear(module)).tensors.get(kind)
    if found is None:
        raise CheckpointError(f"{name} is missing")
    require_shape(name, found, shape)
    if not keep:
        del others[module]
    return found


def own_scales(others: dict[str, Linear], H: int, D: int, layers: int) -> dict[str, Array]:
    """Return the tensors of the scales of an mlstm, and take their modules out of the others."""
    found: dict[str, Array] = {}
    for layer in range(layers):
        name = f"scale.{layer}"
        found[f"{name}.bias"] = own_tensor(others, f"{name}.bias", (H,), keep=True)
        found[f"{name}.weight"] = own_tensor(others, f"{name}.weight", (H, H if layer else D))
    return found


def require_symbols(inputs: int, outputs: int, pairing: PairVocabulary | None) -> None:
    """Raise `CheckpointError` for numbers of symbols that are not those of the model's texts."""
    if pairing is None and inputs != outputs:
        raise CheckpointError(f"it reads {inputs} characters and predicts {outputs}")
    if pairing is not None and (inputs, outputs) != (pairing.inputs, pairing.outputs):
        raise CheckpointError(
            f"it reads {inputs} symbols and predicts {outputs}, its pairs have {pairing.inputs} "
            f"and {pairing.outputs}"
        )


def sort_by_module(
    tensors: Mapping[str, Array],
) -> tuple[dict[int, dict[str, Array]], dict[str, Linear]]:
    """Return the tensors of each recurrent layer, and the other modules, by name."""
    layers: dict[int, dict[str, Array]] = {}
    others: dict[str, Linear] = {}
    homes: set[str] = set()
    for name, tensor in tensors.items():
        if match := RECURRENT.fullmatch(name):
            home, kind, layer, reverse = match.groups()
            homes.add(home or "")
            if kind.endswith("hr"):
                raise CheckpointError(f"{format_value(name)} is of a projection (proj_size)")
            layers.setdefault(int(layer), {})[f"{kind}_l{layer}{reverse or ''}"] = tensor
        elif match := PLAIN.fullmatch(name):
            module = others.setdefault(match[1] or "", Linear(match[1] or ""))
            module.tensors[match[2]] = tensor
        else:
            raise CheckpointError(f"{format_value(name)} has no place in a network of charrnn")
    if len(homes) > 1:
        raise CheckpointError(f"there are {len(homes)} recurrent modules, charrnn has one")
    if sorted(layers) != list(range(len(layers))) or not layers:
        raise CheckpointError("there is no weight_ih_l0, or a layer between others is missing")
    return dict(sorted(layers.items())), others


def recurrent_sizes(layers: Mapping[int, Mapping[str, Array]]) -> tuple[int, int, int]:
    """Return units H, gates G and inputs D by the shapes of the first layer."""
    shapes = []
    for kind in ("weight_hh", "weight_ih"):
        tensor = layers[0].get(f"{kind}_l0")
        if tensor is None:
            raise CheckpointError(f"{kind}_l0 is missing")
        if tensor.ndim != 2 or not tensor.size:
            raise CheckpointError(f"{kind}_l0 has shape {tensor.shape}, not that of a matrix")
        shapes.append(tensor.shape)
    (rows, H), (_, D) = shapes
    if rows % H or rows // H not in CELL_OF_GATES:
        raise CheckpointError(
            f"weight_hh_l0 has shape {(rows, H)}; its rows are not 1, 3 or 4 times its columns"
        )
    return H, rows // H, D


def layer_shapes(G: int, H: int, D: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a recurrent layer, by its kind."""
    return {
        "weight_ih": (G * H, D),
        "weight_hh": (G * H, H),
        "bias_ih": (G * H,),
        "bias_hh": (G * H,),
    }


def find_readout(others: Mapping[str, Linear], H: int, D: int) -> tuple[Linear, Linear | None]:
    """Return the module that reads out H numbers, and the embedding into D inputs or None."""
    for name, module in others.items():
        if module.weight.ndim != 2 or not module.weight.size:
            raise CheckpointError(f"{format_value(name)} is no linear module and no embedding")
    names = ", ".join(map(format_value, others))
    if len(others) == 1:
        (readout,) = others.values()
        embedding = None
    elif len(others) == 2:
        embedding, readout = sorted(others.values(), key=lambda module: readout_score(module, H))
        if readout_score(embedding, H) == readout_score(readout, H):
            raise CheckpointError(f"of {names}, none is clearly the readout; rename one embedding")
        if "bias" in embedding.tensors or embedding.weight.shape[1] != D:
            raise CheckpointError(f"{format_value(embedding.name)} is no embedding into {D} inputs")
    else:
        raise CheckpointError(f"beside the recurrent module are {len(others)} others: {names}")
    require_shape(f"{readout.name}.weight", readout.weight, (len(readout.weight), H))
    return readout, embedding


def readout_score(module: Linear, H: int) -> tuple[bool, bool, bool]:
    """Return how much a module looks like the readout: by its bias, its shape, its name."""
    named = re.search("emb|enc", module.name, re.IGNORECASE) is None
    return "bias" in module.tensors, module.weight.shape[1] == H, named


def require_shape(name: str, tensor: Array, shape: tuple[int, ...]) -> None:
    """Raise `CheckpointError` for a tensor of another shape."""
    if tensor.shape != shape:
        raise CheckpointError(f"{format_value(name)} has shape {tensor.shape}, expected {shape}")


def require_finite(tensors: dict[str, Array]) -> None:
    """Turn tensors into float32; `CheckpointError` for numbers that are not finite in it."""
    for name, tensor in tensors.items():
        with np.errstate(over="ignore"):
            tensors[name] = tensor.astype(np.float32)
        if not np.isfinite(tensors[name]).all():
            raise CheckpointError(f"{name} holds numbers that are not finite in float32")
