"""SIGINT and SIGTERM at random instants: saved, one line, quick, and nothing is left (R9)."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint
from tests.reliability.processes import Reporting, eventually, in_session, write_corpus
from tests.reliability.scale import tries

RUN = (
    *("train", "corpus.txt", "--out", "run", "--steps", "1000000", "--hidden", "8", "--quiet"),
    *("--batch-size", "4", "--seq-length", "8", "--backend", "numpy", "--dropout", "0"),
    *("--eval-every", "4", "--save-every", "1", "--val-fraction", "0.2"),
)
LINE = "stopped at step {:,}; go on with: charrnn train --resume run"
ENDED = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM"}
"""What a command says that has nothing to save."""

SECONDS, SECONDS_TWICE = 2.0, 0.5
"""From the signal, or the second one, to the exit, on a machine with nothing else to do."""

PAUSE, FSYNC_SECONDS = 0.4, "0.5"
"""Seconds between two signals, and what an fsync then takes: the second one meets a save."""

FIRST_SEED = 12
"""Seeds 12 and 13 are runs in training with one process and with two, ended by SIGINT."""

GROUP = 0.7
"""Fraction of the signals that go to the group, as from a terminal, and not to the process only."""

STARTING = 0.2
"""Fraction of the signals that may strike before the run has begun."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@dataclass(frozen=True)
class Ended:
    """How a run ended by signals: in what it was at that moment, and after how many seconds."""

    phase: str
    seconds: float
    twice: bool


def busy() -> float:
    """Return how many times slower than alone a process may be here now."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def phase_of(reports: list[tuple[str, int]]) -> str:
    """Return in what a run is after these reports."""
    phases = {"save": "saving", "validate": "validating"}
    return phases.get(reports[-1][0], "training") if reports else "start-up"


def end_at_random(seed: int, folder: Path) -> Ended:
    """Send a signal, or two, to a run at a random instant, and check what is left."""
    draw = random.Random(seed)
    workers, number = 1 + seed % 2, (signal.SIGINT, signal.SIGTERM)[seed // 2 % 2]
    starting = draw.random() < STARTING
    twice = seed % 3 == 2 and not starting
    settings = {"CHARRNN_TEST_FSYNC": FSYNC_SECONDS} if twice else {}
    folder.mkdir()
    write_corpus(folder)
    command = (*RUN, "--workers", str(workers))
    with Reporting(command, folder, settings, plain=starting) as running:
        if not starting:
            running.wait_for_reports(3)
        time.sleep(draw.uniform(0, 1.5 if starting else 0.3))
        phase = phase_of(running.reports())
        group = draw.random() < GROUP
        code, seconds = running.end(*[number] * (1 + twice), group=group, pause=PAUSE)
        reports, stderr = running.reports(), running.stderr()
        assert eventually(lambda: not in_session(running.process.pid))
        assert not list(Path("/dev/shm").glob(f"*-{running.process.pid}-*"))
    run = folder / "run"
    saved = [step for event, step in reports if event == "saved"]
    last = load_checkpoint(run / "last.npz").step if (run / "last.npz").exists() else 0
    assert last >= max(saved, default=0)
    if code == -number:  # Python itself was starting
        assert starting
        assert not run.exists()
        return Ended("start-up", seconds, twice)
    assert code == 128 + number, stderr
    assert "Traceback" not in stderr
    assert seconds < (SECONDS_TWICE if twice else SECONDS) * busy()
    *notes, line = stderr.splitlines() or [""]
    assert all(note.startswith("charrnn: note: ") for note in notes)
    if not twice and last:
        assert line == LINE.format(last)
        assert starting or reports[-1] == ("saved", last)
        assert not list(run.glob(".*.tmp-*"))
    elif not twice:
        assert (
            line == f"charrnn: {'interrupted' if number == signal.SIGINT else 'ended by SIGTERM'}"
        )
        assert not run.exists()
    return Ended(phase, seconds, twice)


@pytest.fixture
def _default_interrupt() -> Iterator[None]:
    """Let children end by SIGINT from their first moment, also if a shell's `&` ignores it here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_default_interrupt")
@pytest.mark.parametrize("number", tries(2, whole=60))
def test_a_signal_at_any_instant_saves_and_ends_the_run(
    number: int, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    with ThreadPoolExecutor(2) as pool:
        seeds = range(FIRST_SEED, FIRST_SEED + number)
        found = list(pool.map(lambda seed: end_at_random(seed, tmp_path / f"{seed}"), seeds))
    assert len(found) == number
    phases = Counter(one.phase for one in found)
    once, twice = ([one.seconds for one in found if one.twice is kind] for kind in (False, True))
    if number >= 60:
        assert set(phases) == {"start-up", "saving", "validating", "training"}
        assert len(twice) >= number // 5
        record_figure(
            "signals",
            f"{number} by SIGINT or SIGTERM, half with two processes: "
            + ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
            + f"; ended after at most {max(once):.1f} s, the {len(twice)} that were sent twice "
            f"after {max(twice):.1f} s",
        )
