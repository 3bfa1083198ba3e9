"""Threads for blocks of rows: as many as the BLAS may use, which then uses one in each.

Threads of a BLAS share only its products; here they share the elementwise work too. NumPy lets
threads run side by side in both.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Self

import numpy as np
from threadpoolctl import ThreadpoolController


@cache
def blas_controller() -> ThreadpoolController:
    """Return what reads and sets the number of threads of the BLAS."""
    return ThreadpoolController().select(user_api="blas")


def blas_threads() -> int:
    """Return the number of threads that the BLAS may use."""
    return max((one.num_threads for one in blas_controller().lib_controllers), default=1)


class BlockThreads:
    """Threads, inside of the context of this object; outside of it there is one.

    Example:
        >>> found = []
        >>> with BlockThreads() as threads:
        ...     threads.for_each(lambda part: found.append(part.stop), [(slice(0, 3),)])
        >>> found
        [3]
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        threads = blas_threads()
        if threads > 1:
            self._open.enter_context(blas_controller().limit(limits=1))
            self._pool = self._open.enter_context(ThreadPoolExecutor(threads))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool = None
        self._open.close()

    def for_each(self, work: Callable[..., object], parts: Sequence[tuple[slice, ...]]) -> None:
        """Call `work` with each of the parts; the first error in their order is raised.

        NumPy does not warn of an overflow, as in `Network.forward`.
        """

        def quietly(part: tuple[slice, ...]) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # of this thread
                work(*part)

        if self._pool is None or len(parts) == 1:
            for part in parts:
                quietly(part)
            return
        for _ in self._pool.map(quietly, parts):
            pass
