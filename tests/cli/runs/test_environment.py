"""Environment of a run: the time since the process was started."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from charrnn.cli.runs.environment import process_age, seconds_since_start

SCRIPT = """
import time
time.sleep(0.5)
from charrnn.cli.runs.environment import seconds_since_start
print(seconds_since_start())
"""


def test_the_time_counts_from_the_start_of_the_process() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    whole = time.monotonic() - began
    assert 0 <= whole - float(done.stdout) < 0.5 * whole
    if sys.platform == "linux":
        assert float(done.stdout) > 0.5


def test_a_system_that_does_not_tell_gives_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert process_age() == pytest.approx(time.process_time(), abs=0.05)
    assert seconds_since_start() > 0
