"""Only named modules write to the standard streams, and none lets control characters through."""

import ast
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.text import Text
from typer.testing import Result

import charrnn
from charrnn.cli.output import safe_text
from charrnn.cli.output.console import (
    Screen,
    answer,
    describe,
    facts_table,
    print_above_bar,
    progress_bar,
    say,
    warn,
)

ROOT = Path(charrnn.__file__).parent

WRITERS = {
    "cli/output/safe_text.py": "plain text, generated text and messages",
    "cli/output/console.py": "tables, charts and bars",
    "cli/output/standard_streams.py": "wraps the streams themselves",
}
"""Modules that may write to the standard streams, and what they write."""

CONSTANT = {
    ("__main__.py", "print('charrnn: interrupted', file=sys.stderr)"),
    ("cli/runs/signals.py", "os.write"),
    ("cli/sample_prompt.py", "input"),
}
"""Calls elsewhere; what they write does not depend on any input."""

LIVE = {("cli/inspect/live.py", "rich.live.Live")}
"""Other parts of rich or tqdm that write; this one writes through a `Screen`."""

HARMLESS = {
    "sys.stdout.flush": "writes nothing new",
    "GradientPanel(sys.stdout)": "reads the encoding",
    "unicode_ok(sys.stdout)": "reads the encoding",
}
"""Uses of the streams that any module may make."""

WRITING_CALLS = {"print", "input", "os.write", "typer.echo", "typer.secho", "warnings.warn"}
WRITING_IMPORTS = {"rich.print", "rich.live.Live", "rich.progress", "rich.status", "logging"}
STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}


def writing_parts(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield what in a module writes to the standard streams, or could."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in STREAMS:
            user = parents[node]
            around = ast.unparse(parents[user] if isinstance(user, ast.keyword) else user)
            if around not in HARMLESS and not around.startswith("print("):
                yield around
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            *WRITING_CALLS,
            "Console",
            "tqdm",
        }:
            name = ast.unparse(node.func)
            text = ast.unparse(node) if name == "print" else name
            if (module, text) not in CONSTANT:
                yield text
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            yield from (
                name for name in sorted(names & WRITING_IMPORTS) if (module, name) not in LIVE
            )
            if node.module == "sys":
                yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in WRITING_IMPORTS)


MODULES = {
    str(path.relative_to(ROOT).as_posix()): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
}


@pytest.mark.parametrize("module", [name for name in MODULES if name not in WRITERS])
def test_only_named_modules_write_to_the_standard_streams(module: str) -> None:
    found = list(writing_parts(module, MODULES[module]))
    if module == "system/files.py":  # writes to files that it opened
        found.remove("os.write")
    assert not found, f"{module} writes by itself; use charrnn.cli.output.safe_text or console"


@pytest.mark.parametrize(
    "source",
    [
        "print(name)",
        "import sys\nsys.stdout.write(name)",
        "import sys\nout = sys.stderr",
        "import sys\nprint(name, file=sys.stderr)",
        "import sys\nshow(name, file=sys.stderr)",
        "from sys import stdout",
        "import os\nos.write(1, name)",
        "from rich import print",
        "import logging",
        "from rich.console import Console\nConsole().print(name)",
        "from tqdm import tqdm\nwith tqdm(desc=name):\n    pass",
    ],
)
def test_a_new_writer_is_found(source: str) -> None:
    assert list(writing_parts("cli/new.py", ast.parse(source)))


def test_the_writers_are_found_too() -> None:
    for module in WRITERS:
        assert list(writing_parts(module, MODULES[module])), module


HOSTILE = "a\x1b]0;x\x07\x1b[31m\x7f\x9b\u202e\u200f\u2028b"


class Terminal:
    """A text stream that claims to be a terminal and keeps what it receives."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.received = ""

    def write(self, text: str) -> int:
        """Keep the text."""
        self.received += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Raise OSError: there is no descriptor."""
        raise OSError


TEXT = Text(HOSTILE)
CALLS: dict[str, Callable[[], object]] = {
    "write_plain": lambda: safe_text.write_plain(HOSTILE),
    "write_message": lambda: safe_text.write_message(HOSTILE),
    "write_text": lambda: safe_text.write_text([HOSTILE]),
    "answer": lambda: answer(TEXT),
    "facts_table": lambda: answer(facts_table({"name": HOSTILE})),
    "Screen": lambda: Screen().print(TEXT),
    "print_above_bar": lambda: print_above_bar(TEXT, quiet=False),
    "say": lambda: say(HOSTILE),
    "warn": lambda: warn(HOSTILE),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_writer_lets_control_characters_reach_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, dangerous: frozenset[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "dumb")  # without codes of rich
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    CALLS[name]()
    assert "a" in terminal.received
    assert "b" in terminal.received
    assert not dangerous & set(terminal.received)


def test_a_bar_shows_control_characters(
    monkeypatch: pytest.MonkeyPatch, dangerous: frozenset[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar(2) as bar:
        describe(bar, HOSTILE)
        bar.refresh()
    assert "␛]0;x␇" in terminal.received
    assert not (dangerous - set("\r\x1b")) & set(terminal.received)
    assert "\x1b]" not in terminal.received


def on_terminal(arguments: Sequence[str]) -> str:
    """Run a command whose stdout and stderr are a pseudo-terminal; return all that it writes."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "charrnn", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "dumb", "PYTHONUTF8": "1"},
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                chunk = os.read(ours, 2**16)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            written += chunk
    os.close(ours)
    assert process.returncode == 0, written
    return written.decode("utf-8").replace("\r\n", "\n")


def test_csv_shows_names_and_texts_on_a_terminal_and_keeps_them_in_a_pipe(
    run_cli: Callable[..., Result],
    untrained: Callable[..., charrnn.Model],
    dangerous: frozenset[str],
) -> None:
    name = "a\x1b]0;x\x07.npz"
    untrained("ab\x1b\u202e\x7f\n").save(name)
    view = ("inspect-gradients", name, "--show", "a\x1b\u202e\x7f", "--csv")
    shown = on_terminal(view)
    assert not dangerous & set(shown)
    assert "a␛]0;x␇.npz,1,␛," in shown
    assert "a␛]0;x␇.npz,2,<U+202E>," in shown
    piped = run_cli(*view)
    assert piped.exit_code == 0, piped.stderr
    assert f"{name},1,\x1b," in piped.stdout
    assert f"{name},2,\u202e," in piped.stdout
