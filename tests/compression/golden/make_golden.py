"""Write the golden files of compression: python tests/compression/golden/make_golden.py.

Tiny untrained models, and `CONTENT` as each of `FILES` compresses it. The files must not change as
long as the version of the format is the same.
"""

from io import BytesIO
from pathlib import Path

import numpy as np

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.compression.coding_model import CodingModel
from charrnn.compression.compressor import CodeLength, compressed
from charrnn.compression.file_header import Division
from charrnn.compression.text_codec import measure
from charrnn.data.decoding import TextOptions
from charrnn.data.vocabulary import Vocabulary
from charrnn.inference.model import Model
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

FOLDER = Path(__file__).parent
LAYERS = {"lstm": 1, "gru": 1, "rnn": 2, "mlstm": 1}
"""The layers of a model of each cell."""

FILES = {"text.txt.charrnn": ("lstm", "gru", "rnn"), "mlstm.txt.charrnn": ("mlstm",)}
"""The cells of the models that compress together, by the name of the file."""

TEXT = "the cat sat on a mat\r\non té\n" * 60
CONTENT = b"\xef\xbb\xbf" + TEXT.encode()
"""With a byte order mark."""

DIVISION = Division(streams=5, stream_characters=128, block_characters=1_000)
"""Two blocks, the first of several sequences of which the last is shorter."""


def make_model(cell: str) -> Model:
    """Return an untrained model with weights far from zero."""
    vocabulary = Vocabulary("".join(sorted(set(TEXT))))
    V = len(vocabulary)
    layers = LAYERS[cell]
    config = ModelConfig(V, V, cell, hidden=2, layers=layers, init="normal:1")
    parameters = initialise(config, np.random.default_rng(len(cell)))
    parameters.vector *= 2
    record = CorpusRecord("golden", "0" * 64, 0, 0.1)
    return Model(Checkpoint(config, vocabulary, parameters, record, 0))


def main() -> None:
    """Write the models and the compressed text."""
    for name, cells in FILES.items():
        models = [make_model(cell) for cell in cells]
        for cell, model in zip(cells, models, strict=True):
            model.save(FOLDER / f"{cell}.npz")
        coding, file = CodingModel(models), BytesIO(CONTENT)
        measured = measure(file, "text.txt", coding.vocabulary, TextOptions())
        parts = compressed(file, "text.txt", measured, coding, CodeLength(), division=DIVISION)
        (FOLDER / name).write_bytes(b"".join(parts))


if __name__ == "__main__":
    main()
