"""Metrics log of a run: metrics.jsonl, one JSON object per line. A failure never stops the run.

Rows are kept in memory until `flush`. If they cannot be written (for instance to a full disk), the
file is truncated to its last complete line, the rows are kept, and the next `flush` tries again.
"""

import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.checkpointing.run_records import (
    MAX_METRICS_BYTES,
    complete_lines,
    open_metrics,
    parse_row,
)
from charrnn.system.files import CHUNK_BYTES, open_regular_file, write_all, write_atomically
from charrnn.types import JSON

VALIDATION_FIELDS = {"validation_nats_per_char", "validation_nats_per_symbol"}
"""Fields of which a row of a validation has one."""

MAX_PENDING_ROWS = 20_000
"""Largest number of rows in memory; the oldest ones beyond it are dropped."""

FLUSH_ROWS, FLUSH_SECONDS = 100, 2.0
"""Rows and seconds after which `add` calls `flush`, so that `--live` can read them."""


class MetricsLog:
    """Appends rows to a file.

    The attribute `failure` is the reason why the last attempt to write failed, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: str | None = None
        self._pending_rows: deque[str] = deque(maxlen=MAX_PENDING_ROWS)
        self._descriptor: int | None = None
        self._complete_bytes: int | None = None
        """Size of the file before a write that failed; None if the last write did not."""
        self._flushed_at = time.monotonic()

    def add(self, row: Mapping[str, JSON]) -> None:
        """Append a row; numbers that are not finite become null."""
        self._pending_rows.append(to_json(row) + "\n")
        waited = time.monotonic() - self._flushed_at >= FLUSH_SECONDS
        if waited or (len(self._pending_rows) >= FLUSH_ROWS and self.failure is None):
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory; on failure set `failure` and keep them."""
        self._flushed_at = time.monotonic()
        if not self._pending_rows:
            return
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._descriptor = open_regular_file(self.path, flags)
            if self._complete_bytes is not None:
                os.ftruncate(self._descriptor, self._complete_bytes)
            self._complete_bytes = os.fstat(self._descriptor).st_size
            write_all(self._descriptor, "".join(self._pending_rows).encode())
            self._complete_bytes = None
        except OSError as error:
            self.failure = error.strerror or type(error).__name__
            self._truncate()
            return
        self.failure = None
        self._pending_rows.clear()

    def _truncate(self) -> None:
        """Remove what a failed write has left; if that fails too, the next `flush` does it."""
        if self._descriptor is not None and self._complete_bytes is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._complete_bytes)

    def sync(self) -> None:
        """Write the rows in memory and make them survive a loss of power; see `flush`."""
        self.flush()
        if self._descriptor is not None and self.failure is None:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self.failure = error.strerror or type(error).__name__

    def drop_after(self, step: int, validated: int) -> None:
        """Remove the rows that a killed run wrote after its last checkpoint.

        Args:
            step: the step of the checkpoint; rows of later steps are removed.
            validated: the step of its last validation; rows of later validations are removed.

        Raises OSError if the file cannot be read or replaced.
        """
        if not self.path.exists():
            return
        write_atomically(self.path, self._rows_until(step, validated))

    def _rows_until(self, step: int, validated: int) -> Iterator[bytes]:
        """Yield the rows that `drop_after` keeps, about `CHUNK_BYTES` at a time."""
        kept, waiting, size = [], 0, 0
        with open_metrics(self.path) as file:
            for line in complete_lines(file):  # the last line of a killed run may be incomplete
                size += len(line)
                if size > MAX_METRICS_BYTES:
                    break
                row = parse_row(line)
                if row is None or row["step"] > step:
                    continue
                if row["step"] <= validated or not VALIDATION_FIELDS & row.keys():
                    kept.append(line)
                    waiting += len(line)
                if waiting > CHUNK_BYTES:
                    yield "".join(kept).encode()
                    kept, waiting = [], 0
        yield "".join(kept).encode()

    def close(self) -> None:
        """Write the rows in memory, and close the file."""
        self.flush()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard_rows(self) -> None:
        """Delete the rows in memory."""
        self._pending_rows.clear()


def to_json(value: Any) -> str:
    """Return `value` as one line of JSON; NaN and infinities become null.

    Example:
        >>> to_json({"loss": float("nan"), "step": 5})
        '{"loss": null, "step": 5}'
    """
    return json.dumps(_nan_to_null(value), allow_nan=False)


def _nan_to_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nan_to_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_nan_to_null(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
