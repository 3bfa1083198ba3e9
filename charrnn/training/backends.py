"""Compute backends for training: NumPy, or Numba if it is installed."""

from dataclasses import dataclass

from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS, Cell
from charrnn.optim.optimisers import OPTIMISERS, Optimiser


@dataclass(frozen=True)
class Backend:
    """The classes that a backend trains with, by the names of the registries."""

    cells: dict[str, type[Cell]]
    """One for every name in `CELLS`."""
    optimisers: dict[str, type[Optimiser]]
    """One for every name in `OPTIMISERS`."""


def load_backend(name: str) -> Backend:
    """Return the backend `numpy` or `numba`.

    Cells and optimisers that have no compiled form are those of NumPy in both. Raises `UsageError`
    if Numba is not installed or does not support the installed NumPy.
    """
    if name == "numpy":
        return Backend(CELLS, OPTIMISERS)
    try:
        from charrnn.training.numba_backend import COMPILED_CELLS, COMPILED_OPTIMISERS
    except ImportError as error:  # not there, or not for this NumPy
        raise UsageError(
            f"the backend {name} cannot be used ({error})", "pip install numba"
        ) from error
    return Backend(
        {name: COMPILED_CELLS.get(cell, cell) for name, cell in CELLS.items()},
        {name: COMPILED_OPTIMISERS.get(kind, kind) for name, kind in OPTIMISERS.items()},
    )


def default_backend() -> str:
    """Return the name of the fastest backend that is installed."""
    try:
        load_backend("numba")
    except UsageError:
        return "numpy"
    return "numba"
