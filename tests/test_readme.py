"""The README holds: its commands exist, its Python runs, its tree is the package."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from charrnn.cli.app import COMMANDS, app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^(?:\$ |.*&& \.venv/bin/)?(charrnn [^#\n&]*)", README, re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_shows_commands_and_python() -> None:
    assert len(SHELL) >= 10
    assert PYTHON


@pytest.mark.parametrize("line", sorted(set(SHELL)))
def test_every_command_and_option_of_the_readme_exists(line: str) -> None:
    words = line.split()
    assert words[1].startswith("--") or words[1] in COMMANDS
    if words[1] in COMMANDS:
        help_text = CliRunner(env={"COLUMNS": "200"}).invoke(app, [words[1], "--help"]).stdout
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in help_text


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_of_the_readme_runs_and_prints_what_it_says(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for expected in re.findall(r"print\(.*\) +# (.*)", code):
        assert expected in done.stdout


def test_the_tree_names_every_package() -> None:
    tree = README[README.index("```\ncharrnn/\n") :]
    named = set(re.findall(r"^  ([a-z]+)/", tree[: tree.index("\n```\n")], re.MULTILINE))
    assert named == {path.parent.name for path in (ROOT / "charrnn").glob("*/__init__.py")}


def test_the_two_commands_are_one_line_each_and_in_a_virtual_environment() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert [("pytest" in line, "charrnn train" in line) for line in lines] == [
        (False, True),
        (True, False),
    ]
