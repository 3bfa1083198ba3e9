"""Fuzz: edge values of every option.

Whatever is typed, a command ends with a code of `errors`, without a traceback or a warning of
NumPy, and says at most one error, in one line.
"""

import os
import random
import re
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from charrnn.cli.app import COMMANDS, app, load_command

CODES = {0, 1, 2, 3, 4, 5, 6}
MAX_LINE = 200
SEED = 20

INTEGERS = (
    *("0", "-1", "1", "2", "10", "1000000000", "4294967296", "9223372036854775807"),
    *("9223372036854775808", str(10**30), str(2**200), "-" + "9" * 40, "9" * 5000),
    *("1.5", "1e3", "0x10", "1_000", "\u0663", "", " ", "nan", "inf"),
)
NUMBERS = (
    *("0", "-0", "-1", "1", "0.5", "1e-320", "1e-30", "1e30", "3e38", "1e39", "1e307", "1e308"),
    *("-1e308", "1e999", "nan", "inf", "-inf", "1e", "", "0,5", "\u0661"),
)
TEXTS = (
    *("", " ", "\0", "a\0b", "\x1b[31m", "\n", "\r\n", "\t", "a" * 5000, "é\u0301", "\u202e"),
    *("\udcff", "😀", "-", "--", "/", ".", "..", "/dev/null", "/dev/zero", "/dev/full"),
    *("nowhere", "nowhere/x.npz", "folder", "corpus.txt", "corpus.txt/x", "broken.npz", "a,b"),
    *(",", "5,20", "normal:1e40", "normal:-1", "orthogonal", "utf-16", "france:99999", "a" * 300),
)
PATHS = ("--out", "--name", "--plot", "--output")
"""Options that make files: only places inside the folder of the test are tried."""

SAFE_PLACES = ("", "\0", "a\0b", ".", "x" * 300, "\x1b[31m", "corpus.txt", "corpus.txt/x", "\n")

QUICK: dict[str, tuple[str, ...]] = {
    "train": (
        *("corpus.txt", "--hidden", "4", "--steps", "2", "--workers", "1", "--batch-size", "2"),
        *("--seq-length", "8", "--eval-every", "2", "--backend", "numpy"),
    ),
    "sweep": (
        *("corpus.txt", "--grid", "hidden=4", "--steps", "2", "--set", "backend=numpy"),
        *("--set", "batch-size=2", "--set", "seq-length=8", "--jobs", "1"),
    ),
    "ensemble": (
        *("corpus.txt", "--members", "2", "--steps", "2", "--set", "hidden=4"),
        *("--set", "backend=numpy", "--set", "batch-size=2", "--set", "seq-length=8"),
    ),
    "sample": ("run", "--length", "5", "--seed", "1"),
    "predict": ("pairs", "the cat"),
    "inspect-gradients": ("run", "--lags", "3", "--windows", "2"),
    "inspect-text": ("corpus.txt", "--lags", "3"),
    "eval": ("run", "corpus.txt", "--no-baselines"),
    "combine": ("run", "--ngrams", "3", "--force"),
    "neurons": ("run", "corpus.txt"),
    "novelty": ("run", "--samples", "2", "--length", "20"),
    "compress": ("run", "corpus.txt", "--output", "-"),
    "decompress": ("run", "packed.charrnn", "--output", "-"),
    "export": ("run", "--to", "safetensors", "--force"),
    "import": ("run.safetensors", "--force"),
    "info": ("run",),
    "report": ("run",),
    "runs": (".",),
    "plot": ("run", "--metric", "loss"),
}
UNTRIED = {
    "--members": "takes as long as it is told",
    "--probe": "trains for minutes; `test_probe` has it",
    "--minutes": "takes the time that it is given; `test_limits` has its values",
    "--workers": "starts processes",
    "--epochs": "takes as long as it is told",
    "--steps": "takes as long as it is told",
    "--length": "takes as long as it is told",
    "--samples": "takes as long as it is told",
    "--beam": "takes as long as it is told",
}
LIMITED = {"--members", "--epochs", "--steps", "--minutes", "--workers"}
REFUSED = ("0", "-1", "nan", "inf", "1e308", "-1e308", str(10**30), "", "x", "9" * 5000)
"""Values of the limited options, all of which are refused."""


def options() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield every command and option with the values to try."""
    for command, (home, _) in COMMANDS.items():
        module, function = home.split(":")
        hints = get_type_hints(getattr(import_module(module), function))
        for parameter in load_command(command).params:
            if parameter.param_type_name != "option" or parameter.name == "help":
                continue
            flag = parameter.opts[0]
            hint = hints[parameter.name]
            kinds = {hint, *get_args(hint)}
            if flag in LIMITED:
                yield command, flag, REFUSED
            elif flag in UNTRIED:
                continue
            elif bool in kinds:
                yield command, flag, ()
            elif int in kinds:
                yield command, flag, INTEGERS
            elif float in kinds:
                yield command, flag, NUMBERS
            else:
                yield command, flag, SAFE_PLACES if flag in PATHS else TEXTS


def cases() -> list[tuple[str, str, str | None]]:
    """Return every command, option and value (None for a flag), in an order drawn by `SEED`."""
    found: list[tuple[str, str, str | None]] = []
    for command, flag, values in options():
        found += [(command, flag, value) for value in values] or [(command, flag, None)]
    random.Random(SEED).shuffle(found)
    return found


CASES = cases()
QUICK_CASES = 150


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sentences: str) -> Path:
    """A folder with a text, a run, a model of pairs, and what is none of them."""
    place = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    os.chdir(place)
    try:
        Path("corpus.txt").write_text(sentences, encoding="utf-8")
        Path("folder").mkdir()
        Path("broken.npz").write_bytes(b"PK\3\4 nothing")
        small = ("--hidden", "4", "--steps", "2", "--workers", "1", "--quiet", "--backend", "numpy")
        runner = CliRunner()
        for words in (("corpus.txt", "--out", "run"), ("--builtin", "vowels", "--out", "pairs")):
            assert runner.invoke(app, ["train", *words, *small]).exit_code == 0
        packed = ("compress", "run", "corpus.txt", "--output", "packed.charrnn")
        assert runner.invoke(app, packed).exit_code == 0
        assert runner.invoke(app, ["export", "run", "--to", "safetensors"]).exit_code == 0
    finally:
        os.chdir(before)
    return place


def assert_ended_well(code: int, stderr: str, what: object) -> None:
    """Check the code, and that stderr holds at most one short error and nothing of Python's."""
    assert code in CODES, f"{what}: exit {code}: {stderr}"
    for forbidden in ("Traceback", "Warning", "Error:", "Exception"):
        assert forbidden not in stderr, f"{what}: {stderr}"
    errors = [line for line in stderr.splitlines() if line.startswith("charrnn: error: ")]
    assert len(errors) == (code > 1), f"{what}: exit {code}: {stderr}"
    assert all(len(line) <= MAX_LINE for line in errors), f"{what}: {stderr}"
    if errors:
        assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]*", errors[0]), f"{what}: {errors[0]!r}"


def try_case(case: tuple[str, str, str | None]) -> None:
    """Run one command with one odd value in this process."""
    command, flag, value = case
    words = [command, *QUICK[command], flag] + ([] if value is None else [value])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(app, words, input="the cat\n")
    error = result.exception
    assert error is None or isinstance(error, SystemExit), f"{case}: {error!r}"
    assert_ended_well(result.exit_code, result.stderr, case)


@pytest.mark.parametrize("part", range(5))
def test_no_value_of_an_option_ends_in_a_traceback(
    part: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for case in CASES[part : QUICK_CASES + part : 5]:
        try_case(case)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "flag"), sorted({(command, flag) for command, flag, _ in CASES})
)
def test_no_other_value_of_an_option_does_either(
    command: str, flag: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for case in CASES[QUICK_CASES:]:
        if case[:2] == (command, flag):
            try_case(case)


def test_the_edges_are_really_tried() -> None:
    tried = {(command, flag) for command, flag, _ in CASES}
    for command in COMMANDS:
        for parameter in load_command(command).params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                flag = parameter.opts[0]
                assert (command, flag) in tried or flag in UNTRIED, (command, flag)
