"""A long run: its memory and its open files stay the same, and what it wrote can be read (R24)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import numbered_saves
from tests.reliability.processes import REPOSITORY, write_corpus

MINUTES = "CHARRNN_SOAK_MINUTES"
"""Environment variable: how long the whole test trains."""

WARM_UP = 0.2
"""Fraction of the time after which the memory is measured first."""

MAX_GROWTH_MB = 5.0
KEEP = 3


def memory_mb(process: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "seconds", [2.0, pytest.param(60.0, marks=pytest.mark.reliability)], ids=["quick", "whole"]
)
def test_a_long_run_takes_no_more_memory_and_no_more_files(
    seconds: float, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    if seconds > 2 and MINUTES in os.environ:
        seconds = 60 * float(os.environ[MINUTES])
    write_corpus(tmp_path)
    options = (
        *("--steps", "4000000", "--hidden", "8", "--batch-size", "2", "--seq-length", "8"),
        *("--workers", "1", "--backend", "numpy", "--eval-every", "2000", "--quiet"),
        *("--save-every", "500", "--keep", str(KEEP), "--dropout", "0.1"),
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "charrnn", "train", "corpus.txt", *options, "--out", "run"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )
    run = tmp_path / "run"
    try:
        while len(numbered_saves(run)) < KEEP:
            assert running.poll() is None
            time.sleep(0.02)
        began = time.monotonic()
        memory: list[float] = []
        files: list[int] = []
        while (passed := time.monotonic() - began) < seconds:
            assert running.poll() is None
            if passed > WARM_UP * seconds:
                memory.append(memory_mb(running.pid))
                files.append(open_files(running.pid))
            time.sleep(seconds / 200)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait(60)
    growth = max(memory) - memory[0]
    part = len(files) // 4
    assert growth <= MAX_GROWTH_MB
    assert min(files[:part]) == min(files[-part:])  # a save opens one for a moment
    assert max(files) <= min(files) + 2
    rows = (run / "metrics.jsonl").read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    steps = [json.loads(row)["step"] for row in rows]
    assert steps == sorted(steps)
    assert KEEP <= len(numbered_saves(run)) <= KEEP + 1
    step = load_checkpoint(run / "last.npz").step
    record_figure(
        "soak",
        f"{seconds / 60:.0f} min, {step:,} steps: memory {memory[0]:.1f} MB, at most "
        f"{growth:+.1f} MB; open files {min(files)} to {max(files)}",
    )
    assert step > 500
