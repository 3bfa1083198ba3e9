"""`charrnn sample --interactive`: scripts from a pipe, and a real terminal."""

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.inference.model import Model

Call = Callable[..., Result]
Untrained = Callable[..., Model]
CHARACTERS = "thecasonm .\né/"


@pytest.fixture
def model(untrained: Untrained) -> Model:
    """An untrained model, also in model.npz."""
    made = untrained(CHARACTERS, seed=1)
    made.save("model.npz")
    return made


def script(run_cli: Call, *lines: str, options: tuple[str, ...] = ("--length", "20")) -> Result:
    """Send lines from a pipe."""
    given = "".join(f"{line}\n" for line in lines)
    return run_cli("sample", "--interactive", "model.npz", "--seed", "3", *options, stdin=given)


def ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def test_a_script_continues_line_by_line(run_cli: Call, model: Model) -> None:
    first = "".join(model.generate("the cat", 20, seed=3))
    second = "".join(model.generate(f"the cat{first}", 20, seed=4))
    third = "".join(model.generate(f"the cat{first}{second}\nso", 20, seed=5))
    result = script(run_cli, "the cat", "", r"\nso")
    assert result.exit_code == 0
    expected = f"the cat{first}", second, f"\nso{third}"
    assert result.stdout == "".join(map(ended, expected))
    assert result.stderr == ""


def test_settings_hold_from_the_next_line_on(run_cli: Call, model: Model) -> None:
    lines = ("/temp 0.5", "/top-p 0.9", "/top-k 5", "/seed 11", "/length 8", "the")
    expected = "".join(model.generate("the", 8, 0.5, 5, 0.9, seed=11))
    assert script(run_cli, *lines).stdout == ended(f"the{expected}")


def test_undo_takes_a_line_and_its_continuation_back(run_cli: Call, model: Model) -> None:
    first = "".join(model.generate("the", 20, seed=3))
    other = "".join(model.generate(f"the{first}", 20, seed=5))
    lines = script(
        run_cli, "the", "cat", "/undo", "/length 0", "/text", "/length 20", "/seed 5", ""
    )
    assert lines.stdout.endswith(ended(f"the{first}") + ended(other))
    assert script(run_cli, "/undo").exit_code == 2


def test_a_prime_stands_before_the_first_line(run_cli: Call, model: Model) -> None:
    expected = "".join(model.generate("the cat", 20, seed=3))
    options = ("--length", "20", "--prime", "the ")
    assert script(run_cli, "cat", options=options).stdout == ended(f"the cat{expected}")


def test_a_line_that_begins_with_a_slash(run_cli: Call, model: Model) -> None:
    expected = "".join(model.generate("/the", 20, seed=3))
    assert script(run_cli, "//the").stdout == ended(f"/the{expected}")


def test_quit_ends_and_nothing_after_it_is_read(run_cli: Call, model: Model) -> None:
    result = script(run_cli, "/quit", "the")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("/temp warm", 2, "/temp needs a number, not 'warm'"),
        ("/temp -1", 2, "temperature is -1"),
        ("/top-p 2", 2, "top-p is 2"),
        ("/seed 1.5", 2, "/seed needs an integer, not '1.5'"),
        ("/length -1", 2, "--length is -1"),
        ("/length", 2, "/length needs a value N"),
        ("/undo 2", 2, "/undo needs no value"),
        ("/undo", 2, "nothing to undo"),
        ("/tmp 1", 2, "no command '/tmp'; /help lists them"),
        ("xyz", 4, "the vocabulary lacks 'x' U+0078"),
        (r"the\q", 2, r"the line holds \q, which is no escape"),
    ],
)
def test_an_error_ends_a_script(
    line: str, code: int, message: str, run_cli: Call, model: Model
) -> None:
    result = script(run_cli, line, "the")
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_bytes_that_are_not_utf_8_are_named(run_cli: Call, model: Model) -> None:
    result = run_cli("sample", "--interactive", "model.npz", stdin=b"the\xff\n")
    assert result.exit_code == 4
    assert "the vocabulary lacks" in result.stderr


def test_an_ensemble_and_a_model_of_bytes(
    run_cli: Call, model: Model, untrained: Untrained
) -> None:
    untrained(CHARACTERS, seed=2).save("other.npz")
    options = ("--ensemble", "other.npz", "--length", "5")
    assert script(run_cli, "the", options=options).stdout.startswith("the")
    bytes_model = untrained("the\xc3\xa9\n", as_bytes=True, seed=2)
    bytes_model.save("model.npz")
    expected = "".join(bytes_model.generate("é", 9, seed=3)).encode("latin-1")
    result = script(run_cli, "é", options=("--length", "9"))
    assert result.stdout_bytes.startswith("é".encode() + expected)


@pytest.mark.parametrize("options", ["--count 2", "--separator x", "--prime-file -"])
def test_options_of_another_kind_of_sampling_are_refused(
    options: str, run_cli: Call, model: Model
) -> None:
    result = script(run_cli, "the", options=tuple(options.split()))
    assert result.exit_code == 2
    assert "--interactive" in result.stderr


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.pid, self.descriptor = pty.fork()
        if not self.pid:
            os.environ["TERM"] = "dumb"
            os.execv(sys.executable, [sys.executable, "-m", "charrnn", *words])
        self.shown = ""

    def send(self, keys: str) -> None:
        """Type something."""
        os.write(self.descriptor, keys.encode())

    def read(self, pattern: str, seconds: float = 60) -> str:
        """Return what is shown until a pattern occurs, and take it away."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown, re.DOTALL)):
            left = end - time.monotonic()
            assert left > 0, f"{pattern!r} does not occur in {self.shown[-500:]!r}"
            if select.select([self.descriptor], [], [], left)[0]:
                try:
                    new = os.read(self.descriptor, 2**16)
                except OSError:  # Linux says so at the end
                    new = b""
                assert new, f"ended before {pattern!r}: {self.shown[-500:]!r}"
                self.shown += new.decode("utf-8", "replace")
        before, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return before

    def wait(self) -> int:
        """Return the exit code; of a command that does not end within a minute, of a kill."""
        end = time.monotonic() + 60
        while True:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                break
            if select.select([self.descriptor], [], [], 0.05)[0]:
                try:
                    os.read(self.descriptor, 2**16)
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(model: Model) -> Iterator[Terminal]:
    """A session on a terminal, at its first prompt."""
    opened = Terminal("sample", "--interactive", "model.npz", "--seed", "3", "--length", "20")
    try:
        opened.read(r"Ctrl-D ends\r\n")
        opened.read("> ")
        yield opened
    finally:
        os.close(opened.descriptor)


def test_a_session_on_a_terminal(terminal: Terminal, model: Model) -> None:
    expected = "".join(model.generate("the", 20, seed=3))
    terminal.send("the\n")
    shown = terminal.read(r"the\r\nthe.*> ")
    assert f"the{expected}".replace("\n", "\r\n") in shown
    terminal.send("/temp warm\n")
    assert "/temp needs a number" in terminal.read(r"not 'warm'\r\n.*> ")
    terminal.send("xyz\n")
    assert "the vocabulary lacks" in terminal.read(r"lacks .*> ")
    terminal.send("/temp 0.5\n")
    terminal.read(r"temperature 0\.5, top-p 1, top-k 0, length 20, next seed 4; 23 characters\r\n")
    terminal.send("/undo\n")
    terminal.read(r"; 0 characters\r\n")
    terminal.send("/help\n")
    assert "/length N" in terminal.read("Ctrl-C stops the present text, Ctrl-D ends.*> ")
    terminal.send("\x04")
    assert terminal.wait() == 0


def test_ctrl_c_stops_the_present_text_only(terminal: Terminal) -> None:
    terminal.send("/length 100000000\n")
    terminal.read("length 100000000.*> ")
    for _ in range(3):  # a second one is no second signal of the same interrupt
        terminal.send("the\n")
        terminal.read("the\r\nthe.{200}")
        terminal.send("\x03")
        terminal.read(r"\^C.*> ")
        time.sleep(0.3)  # longer than signals that are taken for one
    terminal.send("\x03")  # at the prompt: a new one
    terminal.read("> ")
    terminal.send("/undo\n")
    terminal.read(r"next seed 6; [1-9][\d,]+ characters")
    terminal.send("/quit\n")
    assert terminal.wait() == 0


def test_sigterm_ends_the_session(terminal: Terminal) -> None:
    terminal.send("/length 100000000\n")
    terminal.read("length 100000000.*> ")
    terminal.send("the\n")
    terminal.read("the\r\nthe.{200}")
    os.kill(terminal.pid, 15)
    assert terminal.wait() == 143


def test_the_history_brings_a_line_back(terminal: Terminal) -> None:
    pytest.importorskip("readline")
    terminal.send("/seed 77\n")
    terminal.read("next seed 77.*> ")
    terminal.send("/length 5\n")
    terminal.read("length 5,.*> ")
    terminal.send("\x10\x10\n")  # Ctrl-P twice
    terminal.read("length 5, next seed 77.*> ")
    terminal.send("\x04")
    assert terminal.wait() == 0


def test_control_characters_are_made_visible(empty_folder: Path, untrained: Untrained) -> None:
    untrained("\x1b[2J", seed=2).save("model.npz")
    opened = Terminal("sample", "--interactive", "model.npz", "--seed", "3", "--length", "40")
    opened.read("> ")
    opened.send("[2\n")
    assert "\x1b[2J" not in opened.read("␛.*> ").replace("\x1b[?2004h", "")
    opened.send("\x04")
    assert opened.wait() == 0
