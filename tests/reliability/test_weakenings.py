"""The list of weakenings: each applies and compiles, some are tried, and all with the marker."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.reliability import weakenings
from tests.reliability.weakening_list import WEAKENINGS, Weakening
from tests.reliability.weakenings import check_weakening, main, run_weakenings, weakened

MIN_WEAKENINGS = 40


def test_every_weakening_applies_compiles_and_names_tests_that_exist() -> None:
    names = [weakening.name for weakening in WEAKENINGS]
    assert len(set(names)) == len(names) >= MIN_WEAKENINGS
    for weakening in WEAKENINGS:
        check_weakening(weakening)
        assert weakening.tests


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
def test_no_weakened_file_has_an_undefined_name(tmp_path: Path) -> None:
    """Else a test would fail for the name, whatever it tests."""
    for weakening in WEAKENINGS:
        (tmp_path / f"{weakening.name}.py").write_text(weakened(weakening), encoding="utf-8")
    command = ["-m", "ruff", "check", "--isolated", "--select", "E9,F63,F7,F82", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("*.py"))) == len(WEAKENINGS)


def test_a_weakening_is_caught_by_a_test_and_not_by_ordinary_use() -> None:
    """One that a test sees, one that none sees, and one that breaks every training run."""
    clipping, tests = "charrnn/optim/clipping.py", ("optim/test_clipping.py",)
    chosen = (
        Weakening("seen", clipping, "    gradient *= max_norm / norm_before\n", "", tests),
        Weakening("unseen", clipping, "1e-20", "1e-21", tests),
        Weakening("crash", clipping, "if norm_before <= max_norm:", "if 1 / 0:", tests),
    )
    found = run_weakenings(chosen, check_first=False)
    results = {result.weakening.name: result for result in found}
    caught = "optim/test_clipping.py::test_clipping_by_norm_keeps_the_direction_and_the_limit"
    assert {name: result.caught_by for name, result in results.items()} == {
        "seen": caught,
        "unseen": None,
        "crash": None,
    }
    assert results["unseen"].problem.startswith("pytest ends with 0")
    assert results["crash"].problem.startswith("ordinary use fails")


@pytest.mark.parametrize("failing", ["ordinary_use", "pytest"])
def test_nothing_is_weakened_if_the_tests_fail_already(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_python(_tree: Path, *arguments: str, seconds: float = 0.0) -> tuple[int, str]:
        return (1, "1 failed") if failing in arguments[1] else (0, "")

    monkeypatch.setattr(weakenings, "run_python", run_python)
    with pytest.raises(RuntimeError, match=r"without any weakening, (.|\n)*1 failed"):
        next(run_weakenings(WEAKENINGS[:3]))


@pytest.mark.reliability
def test_every_weakening_is_caught(record_figure: Callable[[str, str], None]) -> None:
    results = list(run_weakenings(WEAKENINGS))
    assert [str(result) for result in results if result.caught_by is None] == []
    assert len(results) == len(WEAKENINGS)
    record_figure("weakenings of the package caught by a test", f"all {len(results)}")


def test_a_weakening_that_does_not_apply_is_refused() -> None:
    clipping = "charrnn/optim/clipping.py"
    tests = ("optim/test_clipping.py::test_norm_of_nothing_zeros_and_what_is_not_finite",)
    for old, new, problem in (
        ("no such text", "", "occurs 0 times"),
        ("return", "yield", "times in"),
    ):
        with pytest.raises(ValueError, match=problem):
            check_weakening(Weakening("one", clipping, old, new, tests))
    comment = "  # not supported here"
    with pytest.raises(ValueError, match="changes no code"):
        check_weakening(Weakening("one", "charrnn/system/files.py", comment, "", tests))
    with pytest.raises(SyntaxError):
        check_weakening(Weakening("one", clipping, "import math", "import", tests))
    tests = ("optim/test_clipping.py::test_no_such",)
    with pytest.raises(ValueError, match="there is no test"):
        check_weakening(Weakening("one", clipping, "1e-20", "1e-21", tests))


def test_the_command_lists_weakenings_and_refuses_unknown_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(WEAKENINGS)
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "no-such-weakening"])
