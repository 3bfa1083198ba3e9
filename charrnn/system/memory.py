"""Memory: the limit of this process, its peak use, and the check before large arrays are allocated.

That an allocation succeeds proves nothing: Linux hands out memory that it does not have, and ends
the process that writes to it.
"""

import os
import sys
from pathlib import Path

from charrnn.errors import StorageError

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


PEAK_MEGABYTES = 120.0
"""Assumed peak use where it cannot be measured: a small run on Linux."""


def memory_limit() -> int | None:
    """Return the bytes that this process may use at most, or None on Windows.

    That is the memory of the machine, or the limit of a control group on Linux if it is smaller.
    """
    try:
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    if min(pages, page_bytes) <= 0:  # -1: not known
        return None
    known = [pages * page_bytes]
    for path in CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdecimal():
            known.append(int(text))
    return min(known)


def require_memory(size: int, what: str, *advice: str) -> None:
    """Raise `StorageError` if `size` bytes for `what` exceed the memory of this machine."""
    limit = memory_limit()
    if limit is not None and size > limit:
        raise StorageError(
            f"{what} would need {size / 1e9:,.1f} GB of memory, this machine has "
            f"{limit / 1e9:,.1f} GB",
            *advice,
        )


def peak_megabytes() -> float:
    """Return the most memory that this process has used so far; `PEAK_MEGABYTES` on Windows."""
    try:
        import resource
    except ImportError:
        return PEAK_MEGABYTES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
