"""Two runs in one folder, and the lock of a run that was killed (R23)."""

import signal
from pathlib import Path

from charrnn.checkpointing.checkpoint import load_checkpoint
from tests.reliability.processes import Reporting, write_corpus

RUN = (
    *("train", "corpus.txt", "--steps", "1000000", "--hidden", "8", "--workers", "1", "--quiet"),
    *("--batch-size", "4", "--seq-length", "8", "--backend", "numpy", "--save-every", "20"),
)
RESUME = ("train", "--resume", "run", "--quiet", "--save-every", "20")


def test_a_second_run_is_refused_and_the_lock_of_a_killed_one_is_taken_over(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    with Reporting((*RUN, "--out", "run"), tmp_path) as first:
        first.wait_for_reports(2)
        second_place = tmp_path / "second"
        second_place.mkdir()
        write_corpus(second_place)
        (second_place / "run").symlink_to(tmp_path / "run")
        with Reporting(RESUME, second_place) as second:
            assert second.process.wait(60) == 5
            (line,) = second.stderr().splitlines()
            assert line.startswith("charrnn: error: another run is writing to 'run'")
            assert second.reports() == []
        first.wait_for_reports(len(first.reports()) + 4)
        assert first.process.poll() is None
        assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    stopped = load_checkpoint(tmp_path / "run" / "last.npz").step
    with Reporting(RESUME, tmp_path) as resumed:
        resumed.wait_for(lambda event, step: event == "saved" and step > stopped)
        assert resumed.end(signal.SIGINT)[0] == 130
