"""Launchers of MPI programs, recognised by what they tell the processes they start.

Imports nothing large: every command looks here first.
"""

import os
from dataclasses import dataclass

LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, MVAPICH, srun with PMI 1 or 2
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMIX_RANK", "SLURM_NTASKS"),  # srun with PMIx
)
"""Environment variables by which a launcher tells a process its rank and the number of ranks."""


@dataclass(frozen=True)
class Launch:
    """The place of this process among those that a launcher has started."""

    rank: int
    size: int


def launched() -> Launch | None:
    """Return the place of this process; None unless a launcher has started several."""
    for rank, size in LAUNCHERS:
        words = os.environ.get(rank, ""), os.environ.get(size, "")
        if all(word.isdecimal() for word in words):
            found = Launch(*map(int, words))
            return found if found.size > 1 else None
    return None
