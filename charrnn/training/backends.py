"""Compute backends for training: NumPy, or Numba if it is installed."""

from dataclasses import dataclass

from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS, Cell
from charrnn.optim.optimisers import OPTIMISERS, Optimiser


@dataclass(frozen=True)
class Kernel:
    """Cells and optimisers by name."""

    cells: dict[str, type[Cell]]
    optimisers: dict[str, type[Optimiser]]


def kernel(name: str) -> Kernel:
    """Return the backend of this name; `UsageError` if it is not installed."""
    if name == "numpy":
        return Kernel(CELLS, OPTIMISERS)
    try:
        from charrnn.training import numba_backend as compiled
    except ImportError as error:  # not there, or not for this NumPy
        raise UsageError(
            f"the kernel {name} cannot be used ({error})", "pip install numba"
        ) from error
    return Kernel(CELLS | compiled.CELLS, OPTIMISERS | compiled.OPTIMISERS)


def usual_kernel() -> str:
    """Return the name of the fastest kernel that is installed."""
    try:
        kernel("numba")
    except UsageError:
        return "numpy"
    return "numba"
