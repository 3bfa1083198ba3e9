"""A text that is left on the disk trains as one that is held, to the last bit."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.data import large_text_files as large_text

Charrnn = Callable[..., Result]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be too large to be held."""
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 1)
    monkeypatch.setattr(large_text, "READ_CHUNK_BYTES", 100)


def test_it_trains_as_if_it_were_held(
    run_cli: Charrnn,
    corpus: Path,
    tiny: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    assert_same: Callable[[Path, Path], None],
) -> None:
    assert run_cli("train", corpus, *tiny, "--out", "held").exit_code == 0
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 1)
    result = run_cli("train", corpus, *tiny, "--out", "left")
    assert result.exit_code == 0, result.stderr
    assert "ids are kept in a file" in result.stderr
    assert_same(Path("held"), Path("left"))
    assert Path("left/ids.bin").stat().st_size == len(corpus.read_text(encoding="utf-8"))
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]
    two = run_cli("train", corpus, *tiny[:-6], "--workers", "2", "--out", "two")
    assert two.exit_code == 0, two.stderr


def test_resume_makes_the_ids_again(
    run_cli: Charrnn,
    corpus: Path,
    tiny: tuple[str, ...],
    large: None,
    at_step: Callable[[int, Callable[[], None]], None],
    assert_same: Callable[[Path, Path], None],
) -> None:
    assert run_cli("train", corpus, *tiny, "--out", "whole").exit_code == 0
    at_step(12, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run_cli("train", corpus, *tiny, "--out", "parts").exit_code == 130
    Path("parts/ids.bin").unlink()
    at_step(10**9, lambda: None)
    result = run_cli("train", "--resume", "parts")
    assert result.exit_code == 0, result.stderr
    assert_same(Path("whole"), Path("parts"))
    corpus.write_text(corpus.read_text(encoding="utf-8") + "more", encoding="utf-8")
    assert run_cli("train", "--resume", "parts").exit_code in (0, 4)


def test_eval_and_inspection_find_it(
    run_cli: Charrnn, corpus: Path, tiny: tuple[str, ...], large: None
) -> None:
    assert run_cli("train", corpus, *tiny, "--out", "run").exit_code == 0
    Path("other.txt").write_text("the cat sat on the mat\n" * 4, encoding="utf-8")
    scored = run_cli("eval", "run", "other.txt")
    assert scored.exit_code == 0, scored.stderr
    assert "5-gram" in scored.stdout
    looked = run_cli("inspect-gradients", "run", "--quiet")
    assert looked.exit_code == 0, looked.stderr
