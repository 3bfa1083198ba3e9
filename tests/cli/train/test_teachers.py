"""`train --teacher` from the command line: what is stored, resumed, repeated and refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.train.distillation import GENERATED, TEACHERS

Charrnn = Callable[..., Result]
AssertSame = Callable[[Path, Path], None]
TINY = ("--hidden", "6", "--workers", "1", "--backend", "numpy", "--quiet", "--save-every", "1")


@pytest.fixture
def teachers(run_cli: Charrnn, corpus: Path) -> None:
    """Two runs of a few steps, `a` and `b`."""
    for seed, name in enumerate("ab"):
        options = ("--steps", "8", "--seed", seed, "--out", name)
        assert run_cli("train", corpus, *TINY, *options).exit_code == 0


TAUGHT = ("--teacher", "a", "--teacher", "b", "--steps", "9")


def facts(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(run) / "run.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.usefixtures("teachers")
def test_a_run_with_teachers_is_repeated_by_its_options_and_by_like(
    run_cli: Charrnn, corpus: Path, assert_same: AssertSame
) -> None:
    options = (*TINY[:-3], *TAUGHT, "--weight-decay", "0.002")
    said = run_cli("train", corpus, *options, "--out", "s")
    assert said.exit_code == 0, said.stderr
    characters = load_checkpoint(Path("s/best.npz")).corpus.characters
    wanted = 3 * round(0.9 * characters)
    assert wanted <= facts("s")[GENERATED] < wanted + 512 + 3
    assert [Path(path).parent.name for path in facts("s")[TEACHERS]] == ["a", "b"]
    assert "2 teachers: generating" in said.stderr
    assert "generated characters" in said.stderr
    chosen = facts("s")["chosen"].split()
    assert "--weight-decay" in chosen
    assert run_cli("train", corpus, *chosen, "--quiet", "--out", "t").exit_code == 0
    assert_same(Path("s"), Path("t"))
    assert run_cli("train", "--like", "s", "--quiet", "--out", "u").exit_code == 0
    assert_same(Path("s"), Path("u"))
    alone = run_cli("train", corpus, *TINY, "--steps", "9", "--out", "v")
    assert alone.exit_code == 0
    assert load_checkpoint(Path("v/best.npz")).corpus.generated is None


def interrupt(run: str, copy: str) -> None:
    """Make of a finished run one that was ended at its step 5, as --keep stored it."""
    shutil.copytree(run, copy)
    shutil.copy(f"{copy}/step-000005.npz", f"{copy}/last.npz")
    told = facts(copy) | {"scored": False}
    Path(copy, "run.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture
def ended(run_cli: Charrnn, corpus: Path, teachers: None) -> None:
    """A run with teachers, `s`, and the same ended before, `r`."""
    options = (*TINY, *TAUGHT, "--keep", "9", "--generated", "1024", "--out", "s")
    assert run_cli("train", corpus, *options).exit_code == 0
    interrupt("s", "r")


@pytest.mark.usefixtures("ended")
def test_a_resumed_run_ends_with_the_same_bits(run_cli: Charrnn, assert_same: AssertSame) -> None:
    result = run_cli("train", "--resume", "r", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert_same(Path("s"), Path("r"))


@pytest.mark.usefixtures("ended")
def test_teachers_that_have_changed_or_are_gone_stop_a_resume(run_cli: Charrnn) -> None:
    shutil.copy("b/best.npz", "a/best.npz")
    result = run_cli("train", "--resume", "r", "--quiet")
    assert result.exit_code == 3
    assert "generate another text than before" in result.stderr


@pytest.mark.usefixtures("teachers")
def test_a_run_without_teachers_is_resumed_without_any(run_cli: Charrnn, corpus: Path) -> None:
    assert (
        run_cli("train", corpus, *TINY, "--steps", "9", "--keep", "9", "--out", "s").exit_code == 0
    )
    interrupt("s", "r")
    result = run_cli("train", "--resume", "r", "--quiet", "--teacher", "a")
    assert result.exit_code == 2
    assert "has no teachers; try --resume without --teacher" in result.stderr
    assert run_cli("train", "--resume", "r", "--quiet").exit_code == 0


@pytest.mark.usefixtures("ended")
def test_teachers_that_were_moved_are_named_anew(run_cli: Charrnn, assert_same: AssertSame) -> None:
    shutil.move("a", "moved")
    result = run_cli("train", "--resume", "r", "--quiet")
    assert result.exit_code == 3
    assert "there is no teacher" in result.stderr
    assert "--resume r --teacher CKPT, 2 in all" in result.stderr
    words = ("--teacher", "moved", "--teacher", "b")
    result = run_cli("train", "--resume", "r", "--quiet", *words)
    assert result.exit_code == 0, result.stderr
    assert_same(Path("s"), Path("r"))
    assert [Path(path).parent.name for path in facts("r")[TEACHERS]] == ["moved", "b"]


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("lacking", [{TEACHERS: []}, {TEACHERS: [3]}, {GENERATED: "x"}])
def test_a_resume_needs_to_know_the_teachers(run_cli: Charrnn, lacking: dict[str, Any]) -> None:
    Path("r/run.json").write_text(json.dumps(facts("r") | lacking), encoding="utf-8")
    result = run_cli("train", "--resume", "r", "--quiet")
    assert result.exit_code == 3
    assert "does not tell which" in result.stderr


@pytest.mark.usefixtures("teachers")
def test_a_teacher_of_another_split_may_know_the_validation_text(
    run_cli: Charrnn, corpus: Path
) -> None:
    options = (*TINY, "--steps", "2", "--teacher", "a", "--out", "s", "--val-fraction", "0.3")
    result = run_cli("train", corpus, *options)
    assert result.exit_code == 0
    assert "may know the validation text" in result.stderr


@pytest.mark.usefixtures("teachers")
def test_one_teacher_and_no_generated_text_will_do(run_cli: Charrnn, corpus: Path) -> None:
    options = (*TINY, "--steps", "2", "--teacher", "a", "--generated", "0", "--out", "s")
    assert run_cli("train", corpus, *options).exit_code == 0
    assert facts("s")[GENERATED] == 0
