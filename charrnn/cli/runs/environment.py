"""Environment of a run: machine and library versions, command line, and time since the start."""

import os
import platform
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from charrnn import __version__
from charrnn.types import JSON


def process_age() -> float:
    """Return the seconds since this process was started.

    Where the system does not tell, as macOS and Windows, its processor time, which is about the
    same while modules are being imported.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, AttributeError, IndexError):
        return time.process_time()


START_TIME = time.monotonic() - process_age()
"""When the process was started, on the clock of `time.monotonic`."""


def machine_facts() -> dict[str, JSON]:
    """Return the versions and the hardware that the last bits of a result depend on."""
    blas = [
        f"{library.get('internal_api')} {library.get('version')} {library.get('architecture')}"
        for library in threadpool_info()
        if library.get("user_api") == "blas"
    ]
    return {
        "charrnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba") if find_spec("numba") else None,
        "blas": blas,
        "platform": platform.platform(),
        "cores": os.cpu_count() or 1,
    }


def seconds_since_start() -> float:
    """Return the seconds since `START_TIME`."""
    return time.monotonic() - START_TIME


def command_line() -> list[JSON]:
    """Return the words of the command as they were typed."""
    return ["charrnn", *sys.argv[1:]]
