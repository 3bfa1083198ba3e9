"""Help pages: every option and default, 80 columns, and no heavy imports."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from charrnn import __version__
from charrnn.cli.app import COMMANDS, PANELS, load_command

Call = Callable[..., Result]


def words(text: str) -> str:
    """Leave out boxes and line breaks, so that wrapped sentences can be found."""
    return re.sub(r"\s+", " ", re.sub("[│╭╮╰╯─|+]", " ", text))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_parameter_is_explained_on_80_columns(command: str, run_cli: Call) -> None:
    result = run_cli(command, "--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert run_cli(command, "-h").stdout == result.stdout
    page = words(result.stdout)
    for parameter in load_command(command).params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{parameter.name} is not explained"
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in result.stdout
        beginning = " ".join(parameter.help.split()[:2])
        assert beginning in page, f"{parameter.name}: {beginning!r} is not on the page"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_default_is_on_the_page_or_means_nothing(command: str, run_cli: Call) -> None:
    page = words(run_cli(command, "--help").stdout)
    for parameter in load_command(command).params:
        default: Any = parameter.default
        if parameter.name == "help" or parameter.param_type_name != "option":
            continue
        said = re.search(r"[Dd]efault|instead|Go on|Begin|normal form|built-in", parameter.help)
        shown = f"[default: {parameter.opts[0][2:] if default is True else default}]"
        assert said or shown in page or default in (None, "", False), parameter.name


def test_the_four_panels_of_training_are_there(run_cli: Call) -> None:
    page = run_cli("train", "--help").stdout
    for panel in ("Corpus", "Model", "Optimisation", "Run"):
        assert f"─ {panel} ─" in page


def test_the_names_of_all_registries_are_on_the_page(run_cli: Call) -> None:
    page = words(run_cli("train", "--help").stdout)
    for name in (
        "rnn, lstm, gru",
        "adagrad, adagrad-damped, muon, adam, adamw, rmsprop, sgd",
        "min-char-rnn",
    ):
        assert name in page
    for name in ("orthogonal, identity, uniform, normal", "python-docs, python-source, france"):
        assert name in page


def test_the_program_alone_shows_its_help(run_cli: Call) -> None:
    alone = run_cli()
    assert alone.exit_code == 0
    assert alone.stdout.strip() == run_cli("--help").stdout.strip()
    for command in COMMANDS:
        assert re.search(rf"^\W*{command} ", alone.stdout, re.MULTILINE)


def test_the_version_is_the_packages(run_cli: Call) -> None:
    assert run_cli("--version").stdout == f"charrnn {__version__}\n"


HEAVY = {"charrnn.nn", "charrnn.training", "matplotlib", "numba", "numpy", "tqdm", "threadpoolctl"}
"""Modules that the list of commands does not need; most of the start of a command is theirs."""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_list_of_commands_imports_no_heavy_module(arguments: list[str]) -> None:
    script = f"""
import sys
from charrnn.cli.app import app
try:
    app({arguments})
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert "charrnn" in done.stdout
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert not HEAVY & loaded


def test_the_list_of_commands_has_each_under_one_heading(run_cli: Call) -> None:
    listed = [name for names in PANELS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)
    page = run_cli("--help").stdout
    places = [page.index(title) for title in PANELS]
    assert places == sorted(places)
    assert all(f"│ {name} " in page for name in COMMANDS)
