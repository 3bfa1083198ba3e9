"""Progress of trials: running ones count by the steps that they have logged."""

import json
import time
from pathlib import Path

import pytest

from charrnn.cli.output import console
from charrnn.cli.trials import progress
from charrnn.cli.trials.progress import part_done, trials_bar


def running_trial(folder: Path, step: int, steps: object) -> Path:
    """Make the files of a run that is at a step of so many."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"steps": steps}))
    rows = [json.dumps({"step": number, "nats_per_char": 2.0}) for number in range(1, step + 1)]
    (folder / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("step", "steps", "share"), [(30, 120, 0.25), (120, 120, 1.0), (150, 120, 1.0), (0, 120, 0.0)]
)
def test_a_run_has_done_the_share_of_its_steps_that_it_has_logged(
    tmp_path: Path, step: int, steps: int, share: float
) -> None:
    assert part_done(running_trial(tmp_path, step, steps)) == share


@pytest.mark.parametrize("steps", [0, -5, None, "many", [1]])
def test_damaged_files_and_missing_ones_are_no_progress(tmp_path: Path, steps: object) -> None:
    assert part_done(running_trial(tmp_path, 7, steps)) == 0
    (tmp_path / "metrics.jsonl").write_bytes(b"\x00{")
    assert part_done(tmp_path) == 0
    assert part_done(tmp_path / "none") == 0


def test_the_bar_moves_while_a_trial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "stderr_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    folders = [running_trial(tmp_path / name, 30, 120) for name in "ab"]
    shown = ""
    with trials_bar(folders, 4) as count_ended:  # two of the four have ended before
        until = time.monotonic() + 10
        while " 62% " not in shown and time.monotonic() < until:
            time.sleep(0.01)
            shown += capsys.readouterr().err
        running_trial(folders[1], 90, 120)
        count_ended(folders[0])
        shown += capsys.readouterr().err
    assert " 50% " in shown
    assert " 62% " in shown  # 2 + 1/4 + 1/4 of 4
    assert " 94% " in shown  # 3 + 3/4 of 4


def test_nothing_is_shown_and_no_file_is_read_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> float:
        raise AssertionError("read")

    monkeypatch.setattr(progress, "part_done", refuse)
    with trials_bar([tmp_path], 1) as count_ended:
        count_ended(tmp_path)
    assert capsys.readouterr().err == ""
