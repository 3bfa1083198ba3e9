"""Train, sample and look inside character-level recurrent networks, in NumPy."""

__version__ = "0.1.0"

from charrnn.errors import CharRNNError
from charrnn.layer import GRU, LSTM, RNN
from charrnn.model import Model, load

__all__ = ["GRU", "LSTM", "RNN", "CharRNNError", "Model", "__version__", "load"]
