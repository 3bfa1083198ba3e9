"""Registry of the recurrent cells, by the name that `--cell` takes.

A new cell is one class and one line in `CELLS`, here or in a module of your own. `Cell` says what
the class declares. A module outside this package becomes a program with the new cell by ending in

    if __name__ == "__main__":
        from charrnn.__main__ import main

        main()

so that `python my_cell.py train corpus.txt --cell NAME` trains with it. `charrnn.load` needs the
module to be imported first. Worker processes receive the class of the cell, which must be at the
top level of its module. Without a form in `inference.fast_step` or `training.numba_backend` the
general one is used.
"""

from charrnn.nn.cells.base import Cell
from charrnn.nn.cells.gru import GRUCell
from charrnn.nn.cells.lstm import LSTMCell
from charrnn.nn.cells.mlstm import MLSTMCell
from charrnn.nn.cells.rnn import RNNCell

CELLS: dict[str, type[Cell]] = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "mlstm": MLSTMCell,
}

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "MLSTMCell", "RNNCell"]
