"""Resuming a run that another person made: it decides nothing about this machine."""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.run_records import read_facts
from charrnn.cli.runs.load_text import SPARE_BYTES

Call = Callable[..., Result]


def forge(path: Path, values: Mapping[str, Any]) -> None:
    """Replace values in the metadata of a checkpoint: `{"training.config.steps": 5}`."""
    arrays, metadata = read_archive(path)
    for place, value in values.items():
        *keys, last = place.split(".")
        mapping = metadata
        for key in keys:
            mapping = mapping[key]
        mapping[last] = value
    write_archive(path, arrays, metadata)


@pytest.fixture
def foreign(finished_run: Path, empty_folder: Path) -> Callable[..., Path]:
    """Return a function that makes a run with five steps to go, from another person."""

    def make(sources: object = None, **values: Any) -> Path:
        run = empty_folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(finished_run, run)
        shutil.copy(finished_run.parent / "corpus.txt", empty_folder)
        forge(run / "last.npz", {"training.config.steps": 25} | values)
        facts = read_facts(run) | {"scored": False}
        facts["sources"] = [str(empty_folder / "corpus.txt")] if sources is None else sources
        (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        return run

    return make


def test_the_text_that_run_json_names_is_named_before_it_is_read(
    foreign: Callable[..., Path], run_cli: Call
) -> None:
    run = foreign()
    result = run_cli("train", "--resume", run)
    assert result.exit_code == 0
    where = str(run.parent / "corpus.txt")
    named = f"reading {where if len(where) <= 60 else '…' + where[-59:]}, which run.json names\n"
    assert named in result.stderr
    assert result.stderr.index(named) < result.stderr.index("resuming ")


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_another_text_is_refused_by_its_path(
    quiet: tuple[str, ...], foreign: Callable[..., Path], run_cli: Call, empty_folder: Path
) -> None:
    (empty_folder / "secret").write_text("another text\n" * 20, encoding="utf-8")
    before = (run := foreign(["secret"])).joinpath("last.npz").read_bytes()
    result = run_cli("train", "--resume", run, *quiet)
    assert result.exit_code == 4
    assert "secret is not the text of this run" in result.stderr.splitlines()[-1]
    assert (run / "last.npz").read_bytes() == before


@pytest.mark.parametrize("packed", [False, True])
def test_a_text_too_large_for_the_run_is_not_read(
    packed: bool, foreign: Callable[..., Path], run_cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = foreign(["large"])
    characters = load_checkpoint(run / "last.npz").corpus.characters
    size = 16 * characters + SPARE_BYTES + 1
    Path("large").write_bytes(gzip.compress(b"x" * size) if packed else b"x" * size)
    monkeypatch.setattr("charrnn.cli.runs.load_text.read_files", None)
    result = run_cli("train", "--resume", run)
    assert result.exit_code == 4
    assert "large, which run.json names, is too large for this run" in result.stderr


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_read(
    kind: str, foreign: Callable[..., Path], run_cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("device").symlink_to("/dev/zero")
    run = foreign([kind])
    for command in (("train", "--resume", run), ("eval", run, "corpus.txt")):
        result = run_cli(*command)
        assert f"{kind}, which run.json names, is no file" in result.stderr
        assert (result.exit_code == 4) == (command[0] == "train")


def test_files_of_the_kernel_and_empty_ones_are_not_opened(
    foreign: Callable[..., Path], run_cli: Call
) -> None:
    Path("empty").touch()
    run = foreign(["empty", "/proc/self/mounts", "/proc/kmsg"])
    result = run_cli("train", "--resume", run)
    assert result.exit_code == 4
    assert "says where the text was" in result.stderr


def test_a_folder_that_the_user_names_is_kept_as_its_files(
    foreign: Callable[..., Path], run_cli: Call
) -> None:
    run = foreign(["gone"])
    Path("texts").mkdir()
    shutil.move("corpus.txt", "texts")
    assert run_cli("train", "--resume", run, "texts", "-q").exit_code == 0
    assert read_facts(run)["sources"] == [str(Path("texts/corpus.txt").absolute())]


def test_a_checkpoint_does_not_decide_how_many_processes_start(
    foreign: Callable[..., Path], run_cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    run = foreign(**{"training.config.workers": 256})
    result = run_cli("train", "--resume", run, "--quiet")
    assert result.exit_code == 0
    assert (
        "note: the run had 256 worker processes, now 1 with 1 core: the last bits may differ; try "
        "--workers 256 for the same" in result.stderr
    )
    state = load_checkpoint(run / "last.npz").training
    assert state is not None
    assert state.config.workers == 1


def test_the_user_may_ask_for_more_processes_than_cores(
    foreign: Callable[..., Path], run_cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    run = foreign(**{"training.config.workers": 2})
    result = run_cli("train", "--resume", run, "--workers", "2", "--quiet")
    assert result.exit_code == 0
    assert "worker process" not in result.stderr
    state = load_checkpoint(run / "last.npz").training
    assert state is not None
    assert state.config.workers == 2
    refused = run_cli("train", "--resume", foreign(), "--workers", "0")
    assert refused.exit_code == 2
    assert "workers is 0" in refused.stderr


@pytest.mark.parametrize("name", ["metrics.jsonl", "lock", "run.json", "last.npz", "best.npz"])
def test_no_link_in_the_folder_is_written_through(
    name: str, foreign: Callable[..., Path], run_cli: Call
) -> None:
    run = foreign()
    content = (run / name).read_bytes()
    victim = Path("victim")
    victim.write_bytes(content)
    (run / name).unlink()
    (run / name).symlink_to("../victim")
    result = run_cli("train", "--resume", run, "--quiet")
    assert result.exit_code == (5 if name == "lock" else 0), result.stderr
    assert victim.read_bytes() == content


def test_ids_are_written_anew_and_never_read(
    foreign: Callable[..., Path], run_cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a lowered limit the text is a large one, whose ids are kept in a file."""
    monkeypatch.setattr("charrnn.data.large_text_files.LARGE_TEXT_BYTES", 1)
    run = foreign()
    outside = Path("outside")
    outside.write_bytes(b"\xff" * 100_000)
    (run / "ids.bin").symlink_to("../outside")
    result = run_cli("train", "--resume", run, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert outside.read_bytes() == b"\xff" * 100_000
    assert not (run / "ids.bin").is_symlink()
    assert max((run / "ids.bin").read_bytes()) < 100
