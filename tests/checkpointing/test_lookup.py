"""Lookup of checkpoints: which file of a run's folder is used, and which run is the newest."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charrnn.checkpointing.lookup import checkpoint_in, newest_run, resumable_in, saved_runs
from charrnn.errors import CheckpointError

SAVES = ("best.npz", "last.npz", "step-000020.npz", "step-1000000.npz")


def make_run(folder: Path, *names: str, time: int = 0) -> Path:
    """Make the folder of a run with these checkpoints."""
    folder.mkdir(parents=True)
    for name in ("run.json", "lock", *names):
        (folder / name).touch()
        os.utime(folder / name, ns=(time, time))
    return folder


@pytest.mark.parametrize(
    ("names", "used", "resumed"),
    [
        (SAVES, "best.npz", "last.npz"),
        (SAVES[1:], "last.npz", "last.npz"),
        (SAVES[2:], "step-1000000.npz", "step-1000000.npz"),
        (("best.npz", "step-000020.npz"), "best.npz", "step-000020.npz"),
    ],
)
def test_the_checkpoint_of_a_folder(
    names: tuple[str, ...], used: str, resumed: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", *names)
    assert checkpoint_in(run).name == used
    assert resumable_in(run).name == resumed


@pytest.mark.parametrize("find", [checkpoint_in, resumable_in])
def test_a_path_of_a_file_stands_for_that_file(
    find: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert find(tmp_path / "none.npz") == tmp_path / "none.npz"


@pytest.mark.parametrize("find", [checkpoint_in, resumable_in, newest_run])
def test_a_folder_without_a_checkpoint_is_an_error(
    find: Callable[[Path], Path], tmp_path: Path
) -> None:
    make_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="; try "):
        find(tmp_path)


@pytest.mark.parametrize("name", SAVES)
def test_a_run_with_any_checkpoint_is_a_saved_run(name: str, tmp_path: Path) -> None:
    make_run(tmp_path / "a", "last.npz", time=1_000)
    newest = make_run(tmp_path / "b", name, time=2_000)
    make_run(tmp_path / "c")
    (tmp_path / "d").mkdir()
    assert saved_runs(tmp_path) == {tmp_path / "a": 1_000, newest: 2_000}
    assert newest_run(tmp_path) == newest
