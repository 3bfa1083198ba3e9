"""Compilation of functions by Numba, an optional dependency."""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
from numba.core import config


def processor() -> str | None:
    """Return LLVM's name of the processor that Numba compiles for; None if it does not compile.

    With the environment variable NUMBA_DISABLE_JIT functions run in Python.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # Numba sets it at import
        return None
    forced = config.CPU_NAME  # type: ignore[attr-defined]  # as above
    name: str = forced or llvmlite.binding.get_host_cpu_name()
    return name


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function at its first call, and caches it on disk.

    Multiplications and additions may always be fused; `fastmath` names further freedoms of LLVM.
    """
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", *fastmath}}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher: Callable[..., Any]
        try:
            dispatcher = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # Numba finds no writable folder for its cache
            dispatcher = numba.njit(**options)(function)
        return dispatcher

    return decorate
