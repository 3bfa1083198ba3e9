"""Memory limits: how much this process may use, and the check before large arrays are allocated.

Allocation alone proves nothing, for Linux hands out memory that it does not have and ends the
process when it is written to.
"""

import os
from pathlib import Path

from charrnn.errors import StorageError

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_limit() -> int | None:
    """Return the bytes that this process may use at most, or None if the system does not tell."""
    known = []
    try:
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return None
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
