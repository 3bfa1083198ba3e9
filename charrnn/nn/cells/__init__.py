"""Registry of the recurrent cells, by the name that `--cell` takes.

A new cell is one class and one line in `CELLS`, here or in a module of your own.
"""

from charrnn.nn.cells.base import Cell
from charrnn.nn.cells.gru import GRUCell
from charrnn.nn.cells.lstm import LSTMCell
from charrnn.nn.cells.rnn import RNNCell

CELLS: dict[str, type[Cell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "RNNCell"]
