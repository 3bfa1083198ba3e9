"""Character-level recurrent networks in NumPy: training, sampling, gradient analysis.

    model = charrnn.load("checkpoints/corpus")          # language model: step, generate, evaluate
    pairs = charrnn.Predictor.load("checkpoints/dates") # model of pairs: answer, sample
    rnn = charrnn.RNN(input_size, 100, output_size)     # untrained network: y = rnn.step(x)

`LSTM`, `MLSTM` and `GRU` are used as `RNN`. Errors that the caller can do something about are
subclasses of `CharRNNError`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from charrnn.errors import CharRNNError
    from charrnn.inference.loading import load
    from charrnn.inference.model import Model
    from charrnn.inference.predictor import Predictor
    from charrnn.nn.stateful import GRU, LSTM, MLSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "MLSTM",
    "RNN",
    "CharRNNError",
    "Model",
    "Predictor",
    "__version__",
    "load",
]

LAZY_IMPORTS = {
    "CharRNNError": "charrnn.errors",
    "GRU": "charrnn.nn.stateful",
    "LSTM": "charrnn.nn.stateful",
    "MLSTM": "charrnn.nn.stateful",
    "Model": "charrnn.inference.model",
    "Predictor": "charrnn.inference.predictor",
    "RNN": "charrnn.nn.stateful",
    "load": "charrnn.inference.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that `charrnn --help` is quick."""
    if name not in LAZY_IMPORTS:
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(LAZY_IMPORTS[name]), name)
