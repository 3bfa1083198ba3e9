"""The gradient of a run under way: `train --watch-gradients`, `inspect-gradients --live`."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from charrnn.analysis.gradient_monitor import NORMS_EVERY, PROFILE_LAGS
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.npz_file import read_archive
from charrnn.checkpointing.run_records import complete_lines, planned_steps, read_facts
from charrnn.cli.app import app
from charrnn.cli.inspect.live import MetricsReader
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.runs.run_status import how_it_ended, is_training
from charrnn.errors import StorageError
from charrnn.nn.cells import CELLS
from charrnn.system.file_lock import is_locked

Call = Callable[..., Result]
Rows = Callable[[Path], list[dict[str, Any]]]
AtStep = Callable[[int, Callable[[], None]], None]
AssertSame = Callable[[Path, Path], None]

RUN = Path("checkpoints/corpus")
WATCHED = ("--watch-gradients", "--layers", "2")
LOOK_KEYS = ["step", "gradient_norms", "update_to_weight", "profile_every"]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory, sentences: str, tiny: Sequence[str]) -> Path:
    """A finished run that was watched, to be read only."""
    place = tmp_path_factory.mktemp("watched")
    (place / "corpus.txt").write_text(sentences, encoding="utf-8")
    words = ["train", str(place / "corpus.txt"), *tiny, *WATCHED, "--out", str(place / "run")]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    return place / "run"


@pytest.fixture
def watched_run(empty_folder: Path, pristine: Path) -> Path:
    """The same run under ./checkpoints."""
    shutil.copytree(pristine, RUN)
    return RUN


class TestWatchGradients:
    @pytest.mark.parametrize("cell", CELLS)
    def test_the_run_is_the_same_with_it_and_without(
        self, cell: str, run_cli: Call, corpus: Path, tiny: Sequence[str], assert_same: AssertSame
    ) -> None:
        options = ("train", corpus, *tiny, "--cell", cell, "--dropout", "0.2")
        assert run_cli(*options, "--name", "plain").exit_code == 0
        result = run_cli(*options, "--name", "watched", "--watch-gradients")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
        assert_same(Path("checkpoints/plain"), Path("checkpoints/watched"))

    def test_its_rows_name_every_parameter(self, watched_run: Path, rows: Rows) -> None:
        checkpoint = load_checkpoint(watched_run / "last.npz")
        names = list(checkpoint.parameters)
        every = rows(watched_run)
        looks = [row for row in every if "gradient_norms" in row]
        steps = {row["step"]: row for row in every if "lr" in row}
        assert [row["step"] for row in looks] == [NORMS_EVERY, 2 * NORMS_EVERY]
        for row in looks:
            assert [key for key in row if key != "gradient_by_lag"] == LOOK_KEYS
            assert list(row["gradient_norms"]) == names
            assert set(row["update_to_weight"]) <= set(names)
            assert row["profile_every"] % NORMS_EVERY == 0
            squares = sum(norm**2 for norm in row["gradient_norms"].values())
            assert np.sqrt(squares) == pytest.approx(steps[row["step"]]["gradient_norm"], rel=1e-5)
        assert set(looks[-1]["update_to_weight"]) == set(names)
        by_lag = looks[0]["gradient_by_lag"]
        assert list(by_lag) == ["layers.0.c", "layers.1.c"]
        for line in by_lag.values():
            assert list(line) == ["ratio", "horizon_chars", "rate_per_char"]
            assert len(line["ratio"]) == PROFILE_LAGS + 1
            assert line["ratio"][0] == 1

    def test_without_it_there_are_no_such_rows(self, finished_run: Path, rows: Rows) -> None:
        assert not any("gradient_norms" in row for row in rows(finished_run))

    def test_the_panel_stands_on_stderr_and_fits(
        self, run_cli: Call, corpus: Path, tiny: Sequence[str]
    ) -> None:
        loud = [option for option in tiny if option != "--quiet"]
        result = run_cli("train", corpus, *loud, *WATCHED)
        assert result.exit_code == 0
        assert result.stderr.count("gradient at step") == 2
        assert "gradient at step" not in result.stdout
        for part in ("before clipping", "binds in", "spikes", "readout", "layers.1.c by lag"):
            assert part in result.stderr
        for name in load_checkpoint(RUN / "last.npz").parameters:
            assert re.search(rf"^{re.escape(name)} +\d\S+ +\d\S+$", result.stderr, re.MULTILINE)
        assert all(cell_len(line) <= 80 for line in result.stderr.splitlines())

    def test_a_resumed_run_can_be_watched_and_ends_the_same(
        self,
        run_cli: Call,
        corpus: Path,
        tiny: Sequence[str],
        at_step: AtStep,
        rows: Rows,
        assert_same: AssertSame,
    ) -> None:
        run_cli("train", corpus, *tiny, "--out", "whole")
        at_step(13, lambda: signal.raise_signal(signal.SIGINT))
        assert run_cli("train", corpus, *tiny).exit_code == 130
        at_step(0, lambda: None)
        assert run_cli("train", "--resume", RUN, "--watch-gradients", "--quiet").exit_code == 0
        assert_same(Path("whole"), RUN)
        assert [row["step"] for row in rows(RUN) if "gradient_norms" in row] == [20]

    def test_even_a_few_characters_can_be_watched(self, run_cli: Call) -> None:
        Path("few.txt").write_text("abab", encoding="utf-8")
        options = ("--hidden", "4", "--steps", "10", "--workers", "1", "--val-fraction", "0")
        assert run_cli("train", "few.txt", *options, "--watch-gradients").exit_code == 0

    @pytest.mark.slow
    def test_workers_change_neither_the_norms_nor_the_run(
        self, run_cli: Call, corpus: Path, tiny: Sequence[str], rows: Rows, assert_same: AssertSame
    ) -> None:
        shared = (*tiny, "--workers", "2")
        run_cli("train", corpus, *shared, "--name", "plain")
        run_cli("train", corpus, *shared, "--name", "watched", "--watch-gradients")
        assert_same(Path("checkpoints/plain"), Path("checkpoints/watched"))
        for row in rows(Path("checkpoints/watched")):
            if "gradient_norms" in row:
                assert all(norm > 0 for norm in row["gradient_norms"].values())


def live(*arguments: str | Path, code: int = 0, charset: str = "utf-8") -> Result:
    """Follow a run where stdout is no terminal."""
    words = ["inspect-gradients", "--live", *map(str, arguments)]
    result = CliRunner(charset=charset).invoke(app, words, catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return result


class TestLiveOnce:
    @pytest.mark.parametrize("charset", ["utf-8", "ascii"])
    def test_a_finished_run_is_shown_once(self, charset: str, watched_run: Path) -> None:
        shown = live(watched_run, charset=charset).stdout
        assert shown.startswith("gradient at step 20\n")
        for fact in ("loss", "norm", "clip", "spikes", "layers", "layers.0.c by lag"):
            assert re.search(rf"^{re.escape(fact)}  ", shown, re.MULTILINE)
        assert re.search(r", validation \d\.\d{3}", shown)
        assert "of the last 20 steps" in shown
        for name in load_checkpoint(watched_run / "last.npz").parameters:
            assert re.search(rf"^{re.escape(name)} +\d\S+ +\d\S+$", shown, re.MULTILINE)
        assert all(cell_len(line) <= 80 for line in shown.splitlines())
        if charset == "ascii":
            assert shown.isascii()
            assert "\\" not in shown
        else:
            assert re.search(r"^layers.0.c by lag  █[▁-█]* .*, ×0\.\d\d each", shown, re.MULTILINE)

    def test_the_newest_run_is_meant_where_none_is_named(self, watched_run: Path) -> None:
        shutil.copytree(watched_run, "checkpoints/old")
        lines = (watched_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(True)
        Path("checkpoints/old/metrics.jsonl").write_text("".join(lines[:5]), encoding="utf-8")
        os.utime("checkpoints/old/metrics.jsonl", (1e9, 1e9))
        assert live().stdout.startswith("gradient at step 20\n")
        assert live("checkpoints/old").stdout.startswith("gradient at step 5\n")

    def test_a_run_that_was_not_watched_still_has_its_norms(self, finished_run: Path) -> None:
        shown = live(finished_run).stdout
        assert "before clipping" in shown
        assert "by lag" not in shown

    def test_before_the_first_step_it_says_so(self) -> None:
        Path("metrics.jsonl").write_text("", encoding="utf-8")
        assert "no step has been logged yet" in live(".").stdout

    def test_a_line_half_written_is_left_for_later(self, watched_run: Path) -> None:
        path = watched_run / "metrics.jsonl"
        whole = path.read_text(encoding="utf-8").splitlines(True)
        path.write_text("".join(whole[:7]) + whole[7][:30], encoding="utf-8")
        assert live(watched_run).stdout.startswith("gradient at step 7\n")

    def test_lines_that_are_no_rows_are_passed_over(self, finished_run: Path) -> None:
        text = (finished_run / "metrics.jsonl").read_text(encoding="utf-8")
        odd = b'\n{broken\n[1]\n7\n{}\n{"step": "x", "gradient_norm": 1}\n\xff\n'
        Path("metrics.jsonl").write_bytes(odd + text.encode())
        assert live(".").stdout == live(finished_run).stdout

    def test_names_in_the_file_do_not_steer_the_terminal(
        self, watched_run: Path, rows: Rows, dangerous: frozenset[str]
    ) -> None:
        hostile = "[red]\x1b[31m\u202e"
        with (watched_run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            for row in rows(watched_run):
                if "gradient_by_lag" in row:
                    [line, *_] = row["gradient_by_lag"].values()
                    row["gradient_by_lag"] = {hostile: line}
                    row["gradient_norms"] = row["update_to_weight"] = {hostile: 1.0}
                    file.write(json.dumps(row) + "\n")
        shown = live(watched_run).stdout
        assert "[red]␛[31m" in shown
        assert not dangerous & set(shown)

    @pytest.mark.parametrize(
        ("arguments", "code", "fragment"),
        [
            ([], 3, "no run under 'checkpoints'; try charrnn train"),
            (["nowhere"], 3, "no metrics.jsonl in 'nowhere'"),
            (["one", "two"], 2, "one run at a time"),
        ],
    )
    def test_no_such_run_is_one_line(self, arguments: list[str], code: int, fragment: str) -> None:
        result = live(*arguments, code=code)
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        assert line.startswith("charrnn: error: ")
        assert fragment in line


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_rows_arrive_whole_however_the_file_grows(size: int) -> None:
    rows = [{"step": number, "name": "x" * number} for number in range(12)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path = Path("metrics.jsonl")
    path.touch()
    found: list[str] = []
    with path.open(encoding="utf-8") as reader, path.open("a", encoding="utf-8") as writer:
        for begin in range(0, len(text), size):
            writer.write(text[begin : begin + size])
            writer.flush()
            found += complete_lines(reader)
            assert found == text.splitlines(keepends=True)[: text[: begin + size].count("\n")]
    assert [json.loads(line) for line in found] == rows


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"steps": "many"}', '{"steps": null}'])
def test_a_run_that_does_not_tell_its_plan_is_followed_without_one(content: str) -> None:
    assert planned_steps(read_facts(Path())) is None
    Path("run.json").write_text(content, encoding="utf-8")
    assert planned_steps(read_facts(Path())) is None


class Terminal:
    """`--live` in a terminal of its own, and all that it wrote so far."""

    def __init__(self, folder: str) -> None:
        self.screen, inner = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "charrnn", "inspect-gradients", "--live", folder],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=os.environ | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        )
        os.close(inner)
        self.written = b""

    def wait_for(self, text: str, seconds: float = 20) -> None:
        """Read until a text has been written."""
        end = time.monotonic() + seconds
        while text.encode() not in self.written:
            assert time.monotonic() < end, self.written.decode()
            if select.select([self.screen], [], [], 0.1)[0]:
                self.written += self._read()

    def _read(self) -> bytes:
        try:
            return os.read(self.screen, 1 << 16)
        except OSError:  # Linux's way to say that the other side has closed
            return b""

    def end(self) -> int:
        """Return the exit code once the process has ended, reading what it still writes."""
        end = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < end
            if select.select([self.screen], [], [], 0.1)[0]:
                self.written += self._read()
        return self.process.returncode


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Follow the run in this folder, which has one row and a half so far, and three planned."""
    Path("run.json").write_text('{"steps": 3}', encoding="utf-8")
    Path("metrics.jsonl").write_text(step(1) + step(2)[:25], encoding="utf-8")
    terminal = Terminal(".")
    yield terminal
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait()
    os.close(terminal.screen)


def step(number: int) -> str:
    row = {"step": number, "nats_per_char": 2.5, "gradient_norm": 3.0, "gradient_norm_clipped": 1.0}
    return json.dumps(row) + "\n"


def append(text: str) -> None:
    with Path("metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(text)


class TestLiveOnATerminal:
    def test_it_follows_the_rows_to_the_planned_end(
        self, terminal: Terminal, watched_run_look: str
    ) -> None:
        terminal.wait_for("gradient at step 1")
        assert b"gradient at step 2" not in terminal.written
        append(step(2)[25:] + watched_run_look)
        terminal.wait_for("gradient at step 2")
        assert terminal.process.poll() is None
        append(step(3))
        assert terminal.end() == 0
        shown = terminal.written.decode()
        assert "gradient at step 3" in shown
        assert "█" in shown
        assert "×0.90 each" in shown
        assert "Traceback" not in shown

    def test_ctrl_c_leaves_it_quietly(self, terminal: Terminal) -> None:
        terminal.wait_for("gradient at step 1")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert b"Traceback" not in terminal.written

    @pytest.fixture
    def watched_run_look(self) -> str:
        """A row of `--watch-gradients`."""
        line = {
            "ratio": [0.9**lag for lag in range(PROFILE_LAGS + 1)],
            "horizon_chars": 44,
            "rate_per_char": 0.9,
        }
        row = {
            "step": 2,
            "gradient_norms": {"W_hy": 1.0},
            "update_to_weight": {"W_hy": 1e-3},
            "profile_every": 100,
            "gradient_by_lag": {"layers.0.h": line},
        }
        return json.dumps(row) + "\n"


class TestTheEndOfARun:
    def test_a_run_that_holds_no_lock_is_not_waited_for(self, watched_run: Path) -> None:
        facts = json.loads((watched_run / "run.json").read_text(encoding="utf-8"))
        (watched_run / "run.json").write_text(json.dumps(facts | {"steps": 50}), encoding="utf-8")
        terminal = Terminal(str(watched_run))
        assert terminal.end() == 0
        assert b"the run is finished, at step 20 of 50" in terminal.written
        os.close(terminal.screen)

    def test_a_run_is_followed_while_it_holds_its_lock(self, watched_run: Path) -> None:
        facts = json.loads((watched_run / "run.json").read_text(encoding="utf-8"))
        (watched_run / "run.json").write_text(json.dumps(facts | {"steps": 50}), encoding="utf-8")
        with RunFolder(watched_run):
            terminal = Terminal(str(watched_run))
            terminal.wait_for("gradient at step 20")
            time.sleep(2)
            assert terminal.process.poll() is None
            with pytest.raises(StorageError, match="another run"):
                RunFolder(watched_run)
        assert terminal.end() == 0
        os.close(terminal.screen)

    def test_the_lock_is_only_looked_at(self, watched_run: Path) -> None:
        with RunFolder(watched_run):
            assert is_locked(watched_run / "lock") is True
        assert is_locked(watched_run / "lock") is False
        with RunFolder(watched_run):
            pass
        assert is_locked(Path("nowhere")) is None

    def test_without_a_lock_file_the_age_of_the_rows_decides(self, watched_run: Path) -> None:
        (watched_run / "lock").unlink()
        assert is_training(watched_run)
        for name in ("metrics.jsonl", "last.npz"):
            os.utime(watched_run / name, (1e9, 1e9))
        assert not is_training(watched_run)
        assert not is_training(Path("nowhere"))

    def test_it_says_how_the_run_ended(self, watched_run: Path, corpus: Path) -> None:
        assert how_it_ended(watched_run, 20, 20) == "the run has taken all of its 20 steps"
        assert "is finished, at step 20 of 50" in how_it_ended(watched_run, 20, 50)
        killed = how_it_ended(watched_run, 33, 50)
        assert "was killed or diverged after step 33 of 50; last.npz is of step 20" in killed
        (watched_run / "last.npz").unlink()
        assert "at step 33, and nothing was saved" in how_it_ended(watched_run, 33, None)

    def test_an_interrupted_run_can_go_on(
        self, run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: AtStep
    ) -> None:
        at_step(13, lambda: signal.raise_signal(signal.SIGINT))
        assert run_cli("train", corpus, *tiny, "--name", "my run").exit_code == 130
        assert how_it_ended(Path("checkpoints/my run"), 13, 20) == (
            "the run was interrupted at step 13 of 20; go on with: "
            "charrnn train --resume 'checkpoints/my run'"
        )

    def test_a_replaced_file_is_read_from_its_beginning(self) -> None:
        with MetricsReader(Path()) as reader:
            assert reader.poll() == 0
            append(step(1) + step(2) + step(3))
            assert reader.poll() == 3
            Path("new").write_text(step(1), encoding="utf-8")
            Path("new").replace("metrics.jsonl")
            assert reader.poll() == 1
            assert reader.panel.step == 1

    def test_a_checkpoint_of_a_run_stands_for_the_run(self, watched_run: Path) -> None:
        assert live(watched_run / "best.npz").stdout == live(watched_run).stdout


def test_watching_leaves_no_trace_in_the_checkpoint(watched_run: Path) -> None:
    for name in ("best.npz", "last.npz"):
        arrays, facts = read_archive(watched_run / name)
        assert "watch" not in json.dumps(facts)
        assert not any("look" in key for key in arrays)
