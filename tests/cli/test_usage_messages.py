"""Messages of the parser: the value that was typed, its option, and what to try."""

from collections.abc import Callable
from importlib import import_module
from typing import get_args, get_type_hints

import pytest
from typer.testing import Result

from charrnn.cli.app import COMMANDS, load_command
from charrnn.cli.usage_messages import closest

Call = Callable[..., Result]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --hidden many", "--hidden is 'many'; it must be an integer; try --hidden 1"),
        ("train --hidden 1.5", "--hidden is '1.5'; it must be an integer; try --hidden 1"),
        ("train --lr fast", "--lr is 'fast'; it must be a number; try --lr 1"),
        ("train --workers 0", "--workers is 0; it must be at least 1; try --workers 1"),
        ("train --workers 1000000", "--workers is 1000000; it must be at most 256"),
        ("train --eval-every 0", "--eval-every is 0; it must be at least 1; try --eval-every 1"),
        ("train --eval-every -1", "--eval-every is -1; it must be at least 1"),
        ("train --keep -1", "--keep is -1; it must be at least 0; try --keep 0"),
        ("train --hiden 8", "No such option: --hiden; try --hidden"),
        ("train --epoch 3", "No such option: --epoch; try --epochs"),
        ("train --xyzzy", "No such option: --xyzzy; try charrnn train --help"),
        ("train --hidden", "Option '--hidden' requires an argument; try --hidden VALUE"),
        ("train --bytes=3", "Option '--bytes' does not take a value; try --bytes"),
        ("sample --temperatur 1", "No such option: --temperatur; try --temperature"),
        ("sample --lenght 3", "No such option: --lenght; try --length"),
        ("sample --lr 3", "No such option: --lr; try charrnn sample --help"),
        ("info a b", "Got unexpected extra argument(s) (b); try charrnn info --help"),
        ("trian a.txt", "No such command 'trian'; try charrnn train"),
        ("'", "No such command"),
        ("xyzzy", "No such command 'xyzzy'; try charrnn --help"),
        ("--bogus", "No such option: --bogus; try charrnn --help"),
    ],
)
def test_a_mistyped_command_is_told_what_to_try(line: str, message: str, run_cli: Call) -> None:
    result = run_cli(*line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    [shown] = result.stderr.splitlines()
    assert shown.startswith(f"charrnn: error: {message}")
    assert "; try " in shown
    assert len(shown) <= 200


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_is_refused_with_the_value_that_was_typed(command: str, run_cli: Call) -> None:
    home, function = COMMANDS[command][0].split(":")
    hints = get_type_hints(getattr(import_module(home), function))
    for parameter in load_command(command).params:
        hint = hints.get(parameter.name)
        if {int, float} & {hint, *get_args(hint)}:
            result = run_cli(command, parameter.opts[0], "a\x1b[31m")
            assert result.exit_code == 2
            assert result.stderr.startswith(f"charrnn: error: {parameter.opts[0]} is 'a")
            assert "\x1b" not in result.stderr


def test_only_what_is_alike_is_suggested() -> None:
    options = ["--separator", "--temperature", "--seed", "--top-k"]
    assert closest("--temperatur", options) == "--temperature"
    assert closest("--topk", options) == "--top-k"
    assert closest("--reset", options) is None
    assert closest("--x", []) is None
