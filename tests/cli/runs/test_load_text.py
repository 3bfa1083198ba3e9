"""Loading the text of a run from the paths in its run.json, which may come from a stranger."""

import json
import os
from pathlib import Path

import pytest

from charrnn.cli.runs.load_text import sources_of
from charrnn.errors import TextError


def test_files_and_folders_are_sources(tmp_path: Path) -> None:
    sources = [str(tmp_path), str(tmp_path / "run.json"), str(tmp_path / "missing.txt")]
    (tmp_path / "run.json").write_text(json.dumps({"sources": sources}), encoding="utf-8")
    assert sources_of(tmp_path) == sources


def test_pipes_and_devices_are_no_sources(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would block."""
    os.mkfifo(tmp_path / "pipe")
    for source in (str(tmp_path / "pipe"), "/dev/zero"):
        content = json.dumps({"sources": [source]})
        (tmp_path / "run.json").write_text(content, encoding="utf-8")
        with pytest.raises(TextError, match=r"which run\.json names, is no file"):
            sources_of(tmp_path)
