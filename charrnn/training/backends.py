"""Compute backends for training: NumPy, or Numba if it is installed."""

from dataclasses import dataclass

from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS, Cell
from charrnn.optim.optimisers import OPTIMISERS, Optimiser


@dataclass(frozen=True)
class Backend:
    """Cells and optimisers by name."""

    cells: dict[str, type[Cell]]
    optimisers: dict[str, type[Optimiser]]


def load_backend(name: str) -> Backend:
    """Return the backend of this name; `UsageError` if it is not installed."""
    if name == "numpy":
        return Backend(CELLS, OPTIMISERS)
    try:
        from charrnn.training import numba_backend as compiled
    except ImportError as error:  # not there, or not for this NumPy
        raise UsageError(
            f"the backend {name} cannot be used ({error})", "pip install numba"
        ) from error
    return Backend(CELLS | compiled.CELLS, OPTIMISERS | compiled.OPTIMISERS)


def default_backend() -> str:
    """Return the name of the fastest backend that is installed."""
    try:
        load_backend("numba")
    except UsageError:
        return "numpy"
    return "numba"
