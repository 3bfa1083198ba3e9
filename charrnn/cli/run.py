"""A run's folder: whose it is, what is written there, and the signals that end it politely.

best.npz  last.npz  step-NNNNNN.npz    checkpoints
metrics.jsonl                          one JSON object a line
run.json                               the command, its paths, the machine
lock                                   held while a run writes here
"""

import contextlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any, Self

import numpy as np
from threadpoolctl import threadpool_info

from charrnn import __version__
from charrnn.archive import remove_stale_temporaries
from charrnn.checkpoint import save
from charrnn.errors import CheckpointError, StorageError
from charrnn.npz import JSON
from charrnn.snapshot import Checkpoint

try:
    import fcntl
except ImportError:  # Windows has no flock; there two runs in one folder are not kept apart
    fcntl = None  # type: ignore[assignment]  # a module or None

RUNS = Path("checkpoints")


class RunFolder:
    """The folder of one run, locked; a context manager."""

    def __init__(self, path: Path) -> None:
        """Take possession of an existing folder; `StorageError` if another run has it."""
        self.path = path
        self._lock = self._take_lock()
        remove_stale_temporaries(path)
        self._metrics: IO[str] | None = None

    @classmethod
    def claim(cls, wanted: Path) -> Self:
        """Make a new folder: `wanted`, or `wanted-2`, `-3`, … so that no run is overwritten."""
        number = 1
        path = wanted
        while True:
            try:
                path.mkdir(parents=True)
                return cls(path)
            except FileExistsError:
                number += 1
                path = wanted.with_name(f"{wanted.name}-{number}")
            except OSError as error:
                raise StorageError(
                    f"cannot make the folder {str(path)!r}: {error.strerror}; try --out DIR"
                ) from error

    def log(self, row: Mapping[str, JSON]) -> None:
        """Append one object to metrics.jsonl; numbers that are not finite become null."""
        with storage(self.path / "metrics.jsonl"):
            if self._metrics is None:
                self._metrics = (self.path / "metrics.jsonl").open("a", encoding="utf-8")
            self._metrics.write(to_json(row) + "\n")

    def flush(self) -> None:
        """Let a second terminal see what was logged."""
        if self._metrics is not None:
            with storage(self.path / "metrics.jsonl"):
                self._metrics.flush()

    def drop_rows_after(self, step: int) -> None:
        """Forget the rows that a killed run wrote after its last checkpoint."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        with storage(path):
            kept = []
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the last line of a killed run may be cut
                if isinstance(row, dict) and row.get("step", 0) <= step:
                    kept.append(line + "\n")
            temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(path)

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Write a checkpoint here, atomically, after the rows that led to it."""
        self.flush()
        save(self.path / name, checkpoint)

    def prune(self, keep: int) -> None:
        """Delete all but the newest `keep` numbered checkpoints."""
        numbered = sorted(self.path.glob("step-*.npz"))
        for old in numbered[: len(numbered) - keep]:
            old.unlink(missing_ok=True)

    def write_facts(self, facts: Mapping[str, JSON]) -> None:
        """Write run.json: what is true of this machine and this call, and not of the model."""
        path = self.path / "run.json"
        temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        with storage(path):
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            temporary.replace(path)

    def read_facts(self) -> dict[str, Any]:
        """Return run.json, or nothing if it is gone or broken."""
        try:
            facts = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._metrics is not None:
            with contextlib.suppress(OSError):  # what mattered was flushed before each checkpoint
                self._metrics.close()
        os.close(self._lock)

    def _take_lock(self) -> int:
        with storage(self.path / "lock"):
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                raise StorageError(
                    f"another run is writing to {str(self.path)!r}", "to wait until it has ended"
                ) from error
        return lock


def newest_run(runs: Path = RUNS) -> Path:
    """Return the run whose last.npz was written last; `CheckpointError` if there is none."""
    candidates = list(runs.glob("*/last.npz"))
    if not candidates:
        raise CheckpointError(f"no run under {str(runs)!r}; try charrnn train, or give a path")
    return max(candidates, key=lambda path: (path.stat().st_mtime_ns, path)).parent


def is_checkpoint_argument(argument: str) -> bool:
    """Say whether a first argument names a checkpoint: an .npz, or a folder with a best.npz."""
    path = Path(argument)
    return argument.endswith(".npz") or (path / "best.npz").exists()


def find_checkpoint(argument: str | None) -> Path:
    """Return the file meant by a checkpoint argument; without one, the newest run's best."""
    path = newest_run() if argument is None else Path(argument)
    if path.is_dir():
        best = path / "best.npz"
        return best if best.exists() else path / "last.npz"
    return path


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a `StorageError` that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def to_json(value: Any) -> str:
    """Return one line of JSON without NaN or Infinity, which are not JSON: null instead."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def machine() -> dict[str, JSON]:
    """Return what bit-for-bit claims depend on."""
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


class Signals:
    """Ctrl-C and SIGTERM set a flag that training looks at; a second one ends the program at once.

    Called, it says whether to stop. That it may end at once is safe since saving is atomic.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 without either."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        os.write(2, b"\nstopping after this step; once more to stop at once\n")


def clock() -> float:
    """Return seconds since this process started, as nearly as can be told."""
    return time.monotonic() - STARTED


STARTED = time.monotonic()


def command_line() -> list[JSON]:
    """Return the command as it was typed."""
    return ["charrnn", *sys.argv[1:]]
