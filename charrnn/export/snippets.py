"""Python code that loads an exported model, to be printed and copied.

The code of each target runs with the packages it imports and without charrnn.
"""

from charrnn.export.pytorch_weights import MODULES
from charrnn.nn.network import ModelConfig

PYTORCH = '''import json

import torch
from safetensors import safe_open
from torch import nn


class CharRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.{module}({inputs}, {hidden}, num_layers={layers})
        self.readout = nn.Linear({hidden}, {outputs})

    def forward(self, ids, state=None):
        """Map ids (T, B) to the logits (T, B, {outputs}) of the next characters, and a state."""
        x = nn.functional.one_hot(ids, {inputs}).to(self.readout.weight.dtype)
        h, state = self.rnn(x, state)
        return self.readout(h), state


model = CharRNN()
with safe_open({path}, "pt") as file:
    model.load_state_dict({{name: file.get_tensor(name) for name in file.keys()}})
    characters = json.loads(file.metadata()["vocabulary"])  # of each id{note}
logits, state = model(torch.zeros(1, 1, dtype=torch.long))
print("most probable after", repr(characters[0]), "is", repr(characters[logits.argmax()]))
'''

ONNX = """import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({path})
metadata = session.get_modelmeta().custom_metadata_map
characters = json.loads(metadata["vocabulary"])  # of each id{note}
state = {{
    node.name: np.zeros(({layers}, 1, {hidden}), np.float32)  # (L, B, H)
    for node in session.get_inputs()[1:]
}}
ids = np.zeros((1, 1), np.int64)  # (T, B)
for _ in range(20):
    logits, *states = session.run(None, {{"ids": ids, **state}})  # logits (T, B, {outputs})
    state = dict(zip(state, states))
    ids = logits.argmax(-1)
    print(repr(characters[ids[0, 0]]), end=" ")
print()
"""

BYTES_NOTE = "; U+0000 to U+00FF stand for bytes"


def pytorch_snippet(config: ModelConfig, path: str, *, as_bytes: bool = False) -> str:
    """Return code that loads a safetensors file into PyTorch and computes logits.

    Args:
        config: the network.
        path: the file, as the code is to open it.
        as_bytes: whether the characters stand for bytes.

    Example:
        >>> code = pytorch_snippet(ModelConfig(5, 5, hidden=4), "a.safetensors")
        >>> "self.rnn = nn.LSTM(5, 4, num_layers=1)" in code
        True
    """
    return PYTORCH.format(
        module=MODULES[config.cell],
        inputs=config.inputs,
        outputs=config.outputs,
        hidden=config.hidden,
        layers=config.layers,
        path=ascii(path),
        note=BYTES_NOTE if as_bytes else "",
    )


def onnx_snippet(config: ModelConfig, path: str, *, as_bytes: bool = False) -> str:
    """Return code that runs an ONNX file step by step with onnxruntime.

    The arguments are those of `pytorch_snippet`.

    Example:
        >>> code = onnx_snippet(ModelConfig(5, 5, hidden=4), "a.onnx")
        >>> "InferenceSession('a.onnx')" in code
        True
    """
    return ONNX.format(
        outputs=config.outputs,
        hidden=config.hidden,
        layers=config.layers,
        path=ascii(path),
        note=BYTES_NOTE if as_bytes else "",
    )
