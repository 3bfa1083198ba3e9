"""metrics.jsonl: rows that cannot be written wait, and what a failed write has left is removed."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from charrnn.cli.runs.metrics_log import MetricsLog

ONE, TWO = '{"step": 1}\n', '{"step": 2}\n'


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MetricsLog]:
    """A log with a row that is written, and one that is not."""
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.add({"step": 1})
    log.flush()
    log.add({"step": 2})
    yield log
    log.close()


def fail_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full after five bytes of the row."""
    write = os.write

    def fail(descriptor: int, content: bytes) -> int:
        if len(content) < len(TWO):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[:5])

    monkeypatch.setattr(os, "write", fail)


def refuse(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_part_of_a_row_is_removed_at_once(
    log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        fail_in_the_middle(full)
        log.flush()
    assert log.failure == os.strerror(errno.ENOSPC)
    assert log.path.read_text() == ONE
    log.flush()
    assert log.failure is None
    assert log.path.read_text() == ONE + TWO


def test_a_part_of_a_row_that_cannot_be_removed_is_removed_later(
    log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        fail_in_the_middle(full)
        full.setattr(os, "ftruncate", refuse)
        log.flush()
    assert log.path.read_text() == ONE + TWO[:5]
    log.flush()
    assert log.path.read_text() == ONE + TWO


def test_rows_are_fsynced_after_they_are_written(
    log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append((descriptor, log.path.read_text()))
    )
    log.sync()
    assert synced == [(log._descriptor, ONE + TWO)]


def test_rows_that_cannot_be_fsynced_are_a_failure(
    log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse)
    log.sync()
    assert log.failure == os.strerror(errno.EIO)
