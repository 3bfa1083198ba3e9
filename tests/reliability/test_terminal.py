"""R18, R19: nothing steers a terminal, and markup of rich is text like any other."""

import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

import charrnn
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.output.console import Screen, answer, facts_table, say
from charrnn.cli.output.safe_text import label, one_line, visible, write_plain, write_text
from charrnn.data.vocabulary import Vocabulary
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from tests.reliability.scale import tries
from tests.reliability.terminal import BAR, DANGEROUS, TerminalStream, on_pty

STYLE = re.compile("\x1b\\[(0|1|2|1;2)m")
"""The codes of rich for bold and dim text, which it writes with NO_COLOR too."""

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b[31mred\x9b1m\u202eabc\u2066\x7f\x08\r\u2028\u061c"
    "[/b][bold]:smile:\n"
)
NAME = "a\x1b]0;x\x07\x9b\u202e[b]"
SOURCES: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: chr(draw.randrange(0x110000)),
    lambda draw: chr(draw.randrange(0x100)),
    lambda draw: draw.choice("[]\\/:=#@ab \n\t"),
    lambda draw: draw.choice("\x1b\x9b\x07\x7f\u202e\u2066\u200f\u061c\u2028\ud800\udc80\0"),
)


def strings(count: int) -> list[str]:
    """Draw strings of all of Unicode, of Latin-1, of markup, and of control characters."""
    draw = random.Random(18)
    return [
        "".join(draw.choice(SOURCES)(draw) for _ in range(draw.choice((1, 3, 20, 60))))
        for _ in range(count)
    ]


@pytest.mark.parametrize("count", tries(300, whole=10_000))
def test_the_sanitiser_removes_all_danger_once_and_in_bounded_length(
    count: int, record_figure: Callable[[str, str], None]
) -> None:
    harmful = 0
    for text in strings(count):
        harmful += bool(DANGEROUS & set(text))
        for clean, bound in ((visible, 8), (one_line, 8), (label, 10)):
            shown = clean(text)
            assert not DANGEROUS & set(shown), (clean, ascii(text))
            assert clean(shown) == shown, (clean, ascii(text))
            assert len(text) <= len(shown) <= bound * len(text) or clean is label
            assert len(shown) <= bound * len(text)
            shown.encode()
        harmless = "".join(one for one in text if one not in DANGEROUS)
        assert visible(harmless) == harmless
    assert harmful >= count / 2
    record_figure("strings through the sanitiser", f"{count:,}, {harmful:,} of them harmful")


WRITERS: tuple[Callable[[str], object], ...] = (
    lambda text: write_text([text]),
    lambda text: write_plain(f"{text}\n"),
    lambda text: answer(Text(text)),
    lambda text: Screen(width=200).print(Text(text)),
)


@pytest.mark.parametrize("count", tries(60, whole=10_000))
def test_markup_is_printed_as_it_is(
    count: int, monkeypatch: pytest.MonkeyPatch, record_figure: Callable[[str, str], None]
) -> None:
    draw = random.Random(19)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    for _ in range(count):
        text = "".join(draw.choice("[]\\/:=#@bold red") for _ in range(draw.randrange(1, 40)))
        text = f"{text}[/nope]:smile:[bold]x"
        for write in WRITERS:
            terminal, pipe = TerminalStream(), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
            for stream in (terminal, pipe):
                monkeypatch.setattr("sys.stdout", stream)
                write(text)
                stream.flush()
            assert terminal.getvalue().rstrip() == text
            pipe.seek(0)
            assert pipe.read().rstrip() == text
    record_figure("texts of markup printed unchanged", f"{count:,}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a hostile corpus, and models of a text, of bytes and of pairs that know it."""
    monkeypatch.chdir(tmp_path)
    Path(NAME + ".txt").write_text(HOSTILE * 60, encoding="utf-8")
    Path("p.tsv").write_text(
        "".join(f"a{n % 3}\x1b\x9b\t\u202e\x1b[3{n % 4}m\n" for n in range(60)), encoding="utf-8"
    )
    characters = "".join(sorted(set(HOSTILE)))
    for name, vocabulary in (
        (f"{NAME}.npz", Vocabulary(characters)),
        ("bytes.npz", Vocabulary("".join(map(chr, range(256))), as_bytes=True)),
    ):
        size = len(vocabulary)
        config = ModelConfig(size, size, hidden=4)
        weights = initialise(config, np.random.default_rng(0))
        record = CorpusRecord(NAME, "0" * 64, 0, 0.1, as_bytes=vocabulary.as_bytes)
        charrnn.Model(Checkpoint(config, vocabulary, weights, record, 0)).save(name)
    return tmp_path


SMALL = (
    "--hidden",
    "4",
    "--steps",
    "6",
    "--workers",
    "1",
    "--batch-size",
    "2",
    "--backend",
    "numpy",
)
MODEL = f"{NAME}.npz"
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "sample": (("sample", MODEL, "--prime", "a\x1b\u202e", "--length", "3000"), 0),
    "sample bytes": (("sample", "bytes.npz", "--length", "3000", "--count", "2"), 0),
    "train": (
        *(
            (
                "train",
                f"{NAME}.txt",
                *SMALL,
                "--seq-length",
                "8",
                "--eval-every",
                "2",
                "--out",
                NAME,
            ),
        ),
        0,
    ),
    "train pairs": (("train", "p.tsv", "--layout", "many-to-one", *SMALL, "--out", "pairs"), 0),
    "train --watch-gradients": (
        ("train", f"{NAME}.txt", *SMALL, "--watch-gradients", "--sample-every", "2", "--out", "w"),
        0,
    ),
    "inspect --show": (("inspect-gradients", MODEL, "--show", "a\x1b[31m\u202e"), 0),
    "inspect --show --csv": (("inspect-gradients", MODEL, "--show", "a\x1b\u202e", "--csv"), 0),
    "inspect --csv": (
        *(("inspect-gradients", MODEL, "--text", f"{NAME}.txt", "--lags", "3", "--csv"),),
        0,
    ),
    "inspect": (("inspect-gradients", MODEL, "--text", f"{NAME}.txt", "--all", "--lags", "3"), 0),
    "inspect-text": (("inspect-text", f"{NAME}.txt"), 0),
    "inspect-text --json": (("inspect-text", f"{NAME}.txt", "--json"), 0),
    "eval": (("eval", MODEL, f"{NAME}.txt"), 0),
    "info": (("info", MODEL), 0),
    "info --json": (("info", MODEL, "--json"), 0),
    "no such checkpoint": (("sample", f"{NAME}{NAME}.npz"), 3),
    "no such text": (("train", f"{NAME}{NAME}.txt"), 4),
    "unknown prime": (("sample", MODEL, "--prime", "\x9d\u2067\x01"), 4),
    "unknown option": (("sample", MODEL, f"--{NAME}"), 2),
    "unknown value": (("train", f"{NAME}.txt", "--cell", NAME), 2),
    "unknown command": ((NAME,), 2),
}
QUICK = {"train": "xterm", "sample": "dumb", "inspect --csv": "dumb"}
"""What runs in every run of the tests, and at which terminal."""


@pytest.mark.parametrize(
    ("name", "terminal"),
    [
        pytest.param(name, kind, marks=() if QUICK.get(name) == kind else pytest.mark.reliability)
        for name in COMMANDS
        for kind in ("dumb", "xterm")
    ],
)
def test_no_command_sends_a_control_character_to_a_terminal(
    name: str, terminal: str, place: Path
) -> None:
    arguments, code = COMMANDS[name]
    ended, written = on_pty(*arguments, TERM=terminal, PYTHONUTF8="1")
    text = written.decode()
    assert ended == code, text
    assert "Traceback" not in text
    harmless = BAR.sub("", STYLE.sub("", text) if terminal == "xterm" else text)
    assert not DANGEROUS & set(harmless), ascii(harmless)
    assert len(harmless) > 40
    assert any(shown in harmless for shown in ("␛", "\\x1b", "\\u001b", "U+009D")), text


@pytest.mark.reliability
@pytest.mark.parametrize("terminal", ["dumb", "xterm"])
def test_answers_and_labels_are_made_visible_too(terminal: str, place: Path) -> None:
    for arguments in (
        ("train", "p.tsv", "--layout", "many-to-one", *SMALL, "--patience", "0", "--out", "pairs"),
        ("predict", "pairs", "a0\x1b\x9b"),
        ("predict", "pairs", "a0\x1b\x9b", "--probabilities"),
        ("predict", "pairs", "a0\x1b\x9b", "--json"),
        ("predict", "pairs", "\x1b\u2067"),
        ("info", "pairs"),
        ("eval", "pairs", "p.tsv"),
        ("inspect-gradients", "pairs", "--text", "p.tsv", "--lags", "3"),
    ):
        _, written = on_pty(*arguments, TERM=terminal, PYTHONUTF8="1")
        text = written.decode()
        assert "Traceback" not in text
        harmless = BAR.sub("", STYLE.sub("", text) if terminal == "xterm" else text)
        assert harmless.strip()
        assert not DANGEROUS & set(harmless), (arguments, ascii(harmless))


def test_lines_of_messages_and_tables_hold_no_control_character(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = TerminalStream()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    for text in strings(50):
        say(text)
        answer(facts_table({label(text): text}))
    assert len(terminal.getvalue()) > 1000
    assert not DANGEROUS & set(terminal.getvalue())
