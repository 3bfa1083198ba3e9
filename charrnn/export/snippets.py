"""Python code that loads an exported model, to be printed and copied.

The code of each target runs with the packages it imports and without charrnn.
"""

from charrnn.export.pytorch_weights import MODULES
from charrnn.nn.model_config import ModelConfig

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
        """Map ids (T, B) to the logits (T, B, {outputs}) of the {answers}, and a state."""
        x = nn.functional.one_hot(ids, {inputs}).to(self.readout.weight.dtype)
        h, state = self.rnn(x, state)
        return self.readout(h), state


model = CharRNN()
with safe_open({path}, "pt") as file:
    model.load_state_dict({{name: file.get_tensor(name) for name in file.keys()}})
    characters = json.loads(file.metadata()["vocabulary"])  # of each id{note}
'''

NEXT_CHARACTER = """logits, state = model(torch.zeros(1, 1, dtype=torch.long))
print("most probable after", repr(characters[0]), "is", repr(characters[logits.argmax()]))
"""

LABEL = """    labels = json.loads(file.metadata()["labels"])
text = characters[0]  # any text of these characters
logits, _ = model(torch.tensor([[characters.index(character)] for character in text]))
for label, probability in zip(labels, logits[-1, 0].softmax(-1).tolist()):
    print(repr(label), round(probability, 4))
"""

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
"""

ONNX_CHARACTERS = """ids = np.zeros((1, 1), np.int64)  # (T, B)
for _ in range(20):
    logits, *states = session.run(None, {{"ids": ids, **state}})  # logits (T, B, {outputs})
    state = dict(zip(state, states))
    ids = logits.argmax(-1)
    print(repr(characters[ids[0, 0]]), end=" ")
print()
"""

ONNX_LABEL = """labels = json.loads(metadata["labels"])
text = characters[0]  # any text of these characters
ids = np.array([[characters.index(character)] for character in text])  # (T, B)
logits = session.run(None, {{"ids": ids, **state}})[0][-1, 0]
probabilities = np.exp(logits - logits.max())
probabilities /= probabilities.sum()
for label, probability in zip(labels, probabilities.tolist()):
    print(repr(label), round(probability, 4))
"""

BYTES_NOTE = "; U+0000 to U+00FF stand for bytes"


def pytorch_snippet(
    config: ModelConfig, path: str, *, as_bytes: bool = False, labels: bool = False
) -> str:
    """Return code that loads a safetensors file into PyTorch and computes logits.

    Args:
        config: the network.
        path: the file, as the code is to open it.
        as_bytes: whether the characters stand for bytes.
        labels: whether it answers a text with a label.

    Example:
        >>> code = pytorch_snippet(ModelConfig(5, 5, hidden=4), "a.safetensors")
        >>> "self.rnn = nn.LSTM(5, 4, num_layers=1)" in code
        True
    """
    return (PYTORCH + (LABEL if labels else NEXT_CHARACTER)).format(
        answers="labels" if labels else "next characters",
        module=MODULES[config.cell],
        inputs=config.inputs,
        outputs=config.outputs,
        hidden=config.hidden,
        layers=config.layers,
        path=ascii(path),
        note=BYTES_NOTE if as_bytes else "",
    )


def onnx_snippet(
    config: ModelConfig, path: str, *, as_bytes: bool = False, labels: bool = False
) -> str:
    """Return code that runs an ONNX file step by step with onnxruntime.

    The arguments are those of `pytorch_snippet`.

    Example:
        >>> code = onnx_snippet(ModelConfig(5, 5, hidden=4), "a.onnx")
        >>> "InferenceSession('a.onnx')" in code
        True
    """
    return (ONNX + (ONNX_LABEL if labels else ONNX_CHARACTERS)).format(
        outputs=config.outputs,
        hidden=config.hidden,
        layers=config.layers,
        path=ascii(path),
        note=BYTES_NOTE if as_bytes else "",
    )
