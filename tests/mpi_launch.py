"""Runs of `mpiexec` in tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
WITH_MPI = MPIEXEC is not None and find_spec("mpi4py") is not None
needs_mpi = pytest.mark.skipif(not WITH_MPI, reason="needs mpi4py and mpiexec (the extra mpi)")

PATIENCE = 120.0
"""Seconds after which a launch that should end counts as hanging."""


def launch(ranks: int, *words: str | Path) -> list[str]:
    """Return the words that start a Python program (`-m charrnn …`, or a file) in some ranks."""
    return [str(MPIEXEC), "-n", str(ranks), sys.executable, *map(str, words)]


def mpiexec(
    ranks: int, *words: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python program in some ranks to its end."""
    return subprocess.run(
        launch(ranks, *words),
        env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
