"""The cells by the name the user types. A new cell is one file and one line here."""

from charrnn.nn.cells.base import Cell
from charrnn.nn.cells.gru import GRUCell
from charrnn.nn.cells.lstm import LSTMCell
from charrnn.nn.cells.rnn import RNNCell

CELLS: dict[str, type[Cell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "RNNCell"]
