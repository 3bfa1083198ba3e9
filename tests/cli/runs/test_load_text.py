"""Loading the text of a run from the paths in its run.json, which may come from a stranger."""

import gzip
import json
import os
from pathlib import Path

import pytest

from charrnn.cli.runs.load_text import sources_of
from charrnn.errors import TextError


def name_sources(run: Path, *sources: str) -> None:
    """Write the run.json of a run."""
    (run / "run.json").write_text(json.dumps({"sources": sources}), encoding="utf-8")


def test_files_are_sources(tmp_path: Path) -> None:
    sources = [str(tmp_path / "run.json"), str(tmp_path / "missing.txt")]
    name_sources(tmp_path, *sources)
    assert sources_of(tmp_path, 10_000) == sources


def test_pipes_devices_and_folders_are_no_sources(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would block; a folder may be the whole file system."""
    os.mkfifo(tmp_path / "pipe")
    for source in (str(tmp_path / "pipe"), "/dev/zero", "/"):
        name_sources(tmp_path, source)
        with pytest.raises(TextError, match=r"which run\.json names, is no file"):
            sources_of(tmp_path, 10_000)


def test_all_files_together_have_a_largest_size(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two.gz"
    one.write_bytes(b"x" * 100)
    two.write_bytes(gzip.compress(b"x" * 5_000))
    name_sources(tmp_path, str(one), str(two))
    assert sources_of(tmp_path, 5_100) == [str(one), str(two)]
    with pytest.raises(TextError, match=r"two\.gz, which run\.json names, is too large"):
        sources_of(tmp_path, 5_099)


def test_empty_files_and_those_of_the_kernel_are_left_out(tmp_path: Path) -> None:
    """A file of the kernel has no size and may block its reader."""
    (tmp_path / "empty").touch()
    name_sources(tmp_path, str(tmp_path / "empty"), "/proc/kmsg")
    with pytest.raises(TextError, match="says where the text was"):
        sources_of(tmp_path, 10_000)
