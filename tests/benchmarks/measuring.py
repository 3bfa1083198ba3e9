"""How the benchmarks measure: rivals in processes of their own, one at a time, in turn.

A machine is shared and its clock changes, so that two figures taken one after the other say little.
Each rival lives in its own process, with its own threads, and works only when it is told to; rounds
go through all rivals in turn, and what is compared is the ratio within a round.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.table import Table

Work = Callable[[], float]
"""Does a piece of work, and returns how much it was: characters, or operations."""

PAUSE = 0.1
"""Seconds between rivals, for threads that spin while they wait for more work."""


class Rival:
    """A maker of `Work`, run in a process of its own; a context manager.

    It is ready once it is made: a rival that chooses among its ways by trying them must be alone.
    """

    def __init__(self, name: str, make: Callable[..., Work], *arguments: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments))
        self._process.start()
        theirs.close()
        self.rate(0.0)

    def rate(self, seconds: float) -> float:
        """Let it work for about so long; return its work per second."""
        self._connection.send(seconds)
        return float(self._connection.recv())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., Work], arguments: Sequence[Any]) -> None:
    try:
        work = make(*arguments)
        while True:
            seconds = connection.recv()
            connection.send(rate_of(work, seconds))
    except (EOFError, ConnectionResetError):
        return


def rate_of(work: Work, seconds: float) -> float:
    """Return work per second, over as many whole pieces as fit."""
    began, done = time.perf_counter(), 0.0
    while True:
        done += work()
        passed = time.perf_counter() - began
        if passed >= seconds:
            return done / passed


@dataclass(frozen=True)
class Rates:
    """What each round found, by rival."""

    rounds: tuple[Mapping[str, float], ...]

    def middle(self, name: str) -> float:
        """Return the median rate."""
        return median(one[name] for one in self.rounds)

    def ratios(self, name: str, other: str) -> list[float]:
        """Return name / other of every round, sorted."""
        return sorted(one[name] / one[other] for one in self.rounds)


def in_turn(rivals: Mapping[str, tuple[Any, ...]], rounds: int, seconds: float) -> Rates:
    """Start rivals, (maker, arguments …) by name, and let them work in turn."""
    found = []
    with ExitStack() as stack:
        running = [
            stack.enter_context(Rival(name, make, *arguments))
            for name, (make, *arguments) in rivals.items()
        ]
        for rival in running:  # warm, and everything is there
            rival.rate(seconds / 4)
        for number in range(rounds):
            order = running if number % 2 == 0 else running[::-1]
            row = {}
            for rival in order:
                time.sleep(PAUSE)
                row[rival.name] = rival.rate(seconds)
            found.append(row)
    return Rates(tuple(found))


def sgemm(threads: int, size: int = 2048) -> Work:
    """Multiply square float32 matrices: work in operations, 2 n³ a product."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    out = np.empty_like(A)

    def work() -> float:
        np.matmul(A, B, out=out)
        return 2.0 * size**3

    return work


def blas_kernels() -> str:
    """Return OpenBLAS's name of the kernels that NumPy multiplies with: they decide its speed."""
    from threadpoolctl import threadpool_info

    names = {str(library.get("architecture", "unknown")) for library in threadpool_info()}
    return ", ".join(sorted(names))


def spread(ratios: Sequence[float]) -> str:
    """Write a median with its least and greatest."""
    return f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Lay rows out, the first column to the left, the others to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    Console(width=110, highlight=False).print(table_of(columns, rows))


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="little of everything, to see it run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures too")
    return parser


def write_json(path: Path | None, figures: Any) -> None:
    """Write figures, if a file was named."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def torch_is_there() -> bool:
    """Say whether the peer is installed: pip install '.[bench]'."""
    from importlib.util import find_spec

    return find_spec("torch") is not None
