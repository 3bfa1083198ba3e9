"""Whatever a user gets wrong: its own exit code, one line that says what, no traceback."""

import gzip
import io
import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.cli.app import COMMANDS, app, reported
from charrnn.cli.output.safe_text import visible
from charrnn.inference.model import Model
from charrnn.training.trainer import Trainer

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
AtStep = Callable[[int, Callable[[], None]], None]


def assert_one_line(result: Result, code: int, *fragments: str) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("charrnn: error: ")
    assert len(lines[0]) <= 200
    assert "Traceback" not in lines[0]
    for fragment in fragments:
        assert fragment in lines[0]


FILES = {
    "good.txt": b"to be or not to be, that is the question\n" * 10,
    "empty.txt": b"",
    "one.txt": b"a",
    "same.txt": b"aaaaaaaaaaaaaaaaaaaa",
    "mark.txt": b"\xef\xbb\xbf",
    "latin.txt": b"plain\ncaf\xe9 au lait, again and again\n" * 3,
    "windows.txt": b"she said \x93no\x94\n" * 3,
    "cut.txt": "schön und gut".encode() + b"\xc3",
    "sixteen.txt": "to be or not to be\n".encode("utf-16"),
    "bare-sixteen.txt": ("to be or not to be\n" * 5).encode("utf-16-le"),
    "cut.gz": gzip.compress(b"to be or not to be\n" * 99)[:-20],
    "broken.gz": b"\x1f\x8bnothing of the kind",
    "garbage.npz": b"this is no archive at all",
    "nothing.npz": b"",
    "folder/picture.png": b"\x89PNG\r\n\0\0\0",
    "void/.hidden": b"hidden text is not looked at\n",
}

TEXT_ERRORS = [
    ("a missing file", "train nowhere.txt", ["nowhere.txt", "try"]),
    ("a file in a file", "train good.txt/more", ["good.txt/more"]),
    ("an empty file", "train empty.txt", ["empty.txt is empty"]),
    ("an empty file among others", "train one.txt empty.txt", ["at least two different"]),
    ("one character", "train one.txt", ["one.txt needs at least two different characters"]),
    ("one character again and again", "train same.txt", ["two different characters"]),
    ("nothing behind the byte order mark", "train mark.txt", ["mark.txt is empty"]),
    ("Latin-1", "train latin.txt", ["0xe9 at offset 9, line 2", "--encoding latin-1"]),
    ("Windows quotes", "train windows.txt", ["0x93", "line 1", "--encoding cp1252"]),
    ("cut UTF-8", "train cut.txt", ["offset 14", "line 1", "--bytes"]),
    ("UTF-16", "train sixteen.txt", ["offset 0", "--encoding utf-16"]),
    ("UTF-16 without a mark", "train bare-sixteen.txt", ["--encoding utf-16-le"]),
    ("wrong encoding", "train latin.txt --encoding ascii", ["not ASCII", "0xe9"]),
    ("cut gzip", "train cut.gz", ["cut.gz", "ends too early"]),
    ("broken gzip", "train broken.gz", ["broken.gz", "damaged"]),
    ("a folder without text", "train folder", ["no text in the folder folder"]),
    ("a folder with hidden files only", "train void", ["no text in the folder void"]),
    ("a device", "train /dev/zero", ["/dev/zero is a device"]),
    ("nothing on standard input", "train -", ["standard input is empty"]),
    ("too little to hold out", "train good.txt --val-fraction 0.001", ["--val-fraction"]),
    ("all characters rare", "train good.txt --min-count 999", ["--min-count"]),
    ("an unknown prime", "sample RUN --prime Ω", ["'Ω' U+03A9"]),
    ("a missing prime file", "sample RUN --prime-file nowhere.txt", ["nowhere.txt"]),
    ("an undecodable prime file", "sample RUN --prime-file latin.txt", ["latin.txt", "offset 9"]),
    ("a missing text to score", "eval RUN nowhere.txt", ["nowhere.txt"]),
    ("an empty text to score", "eval RUN empty.txt", ["empty.txt is empty"]),
    ("unknown characters to score", "eval RUN good.txt", ["vocabulary lacks ','"]),
]

USAGE_ERRORS = [
    ("an unknown cell", "train good.txt --cell gnu", ["'gnu'", "rnn, lstm, gru"]),
    (
        "an unknown optimiser",
        "train good.txt --optimizer adamax",
        ["'adamax'", "adagrad, adagrad-damped"],
    ),
    ("an unknown preset", "train good.txt --preset huge", ["'huge'", "default, small, large"]),
    ("an unknown schedule", "train good.txt --schedule linear", ["'linear'", "constant, cosine"]),
    (
        "an unknown initialiser",
        "train good.txt --recurrent-init xavier",
        ["'xavier'", "orthogonal"],
    ),
    ("an unknown input initialiser", "train good.txt --input-init xavier", ["'xavier'"]),
    ("a bad scale", "train good.txt --recurrent-init normal:much", ["'much'", "normal:0.01"]),
    ("a scale too many", "train good.txt --recurrent-init orthogonal:2", ["--recurrent-gain"]),
    ("an unknown corpus", "train --builtin shakespeare", ["'shakespeare'", "python-docs"]),
    ("a bad gap", "train --builtin france:wide", ["'wide'"]),
    ("a gap too small", "train --builtin france:3", ["gap of 3"]),
    ("an unknown encoding", "train good.txt --encoding utf-9", ["'utf-9'"]),
    ("an unknown normal form", "train good.txt --normalize nfx", ["'nfx'", "nfc"]),
    ("bytes in a normal form", "train good.txt --bytes --normalize nfc", ["--bytes"]),
    ("no words for a number", "train good.txt --hidden many", ["--hidden", "integer"]),
    ("half a unit", "train good.txt --hidden 1.5", ["--hidden", "integer"]),
    ("no units", "train good.txt --hidden 0", ["--hidden is 0"]),
    ("negative units", "train good.txt --hidden -3", ["hidden is -3"]),
    ("no layers", "train good.txt --layers 0", ["layers is 0"]),
    ("endless layers", "train good.txt --layers 99999999", ["layers"]),
    ("full dropout", "train good.txt --dropout 1", ["dropout is 1"]),
    ("a dropout that is no number", "train good.txt --dropout nan", ["dropout is nan"]),
    ("no rate", "train good.txt --lr 0", ["lr is 0"]),
    ("a rate that is no number", "train good.txt --lr nan", ["lr is nan"]),
    ("an endless rate", "train good.txt --lr inf", ["lr is inf"]),
    ("a negative clip", "train good.txt --clip-norm -1", ["--clip-norm is -1", "try --clip-norm"]),
    ("an endless gain", "train good.txt --recurrent-gain inf", ["gain"]),
    ("a negative decay", "train good.txt --weight-decay -1", ["--weight-decay is -1"]),
    ("too much average", "train good.txt --ema-decay 1.5", ["ema-decay"]),
    ("batch size 0", "train good.txt --batch-size 0", ["batch-size"]),
    ("no window", "train good.txt --seq-length 0", ["--seq-length"]),
    ("an impossible rate of resets", "train good.txt --state-reset-prob 2", ["--state-reset-prob"]),
    ("no steps", "train good.txt --steps 0", ["--steps is 0"]),
    ("negative minutes", "train good.txt --minutes -1", ["--minutes is -1"]),
    ("two budgets", "train good.txt --minutes 1 --steps 5", ["exactly one", "--minutes"]),
    ("no threads", "train good.txt --steps 5 --workers 0", ["--workers"]),
    ("a negative seed", "train good.txt --seed -1", ["seed"]),
    ("a negative patience", "train good.txt --patience -1", ["patience"]),
    ("a negative count", "train good.txt --min-count 0", ["--min-count"]),
    ("too much held out", "train good.txt --val-fraction 0.9", ["--val-fraction"]),
    ("a share that is no number", "train good.txt --val-fraction nan", ["--val-fraction"]),
    ("a negative interval of saves", "train good.txt --steps 1 --save-every -1", ["save"]),
    ("a negative interval of samples", "train good.txt --steps 1 --sample-every -1", ["sample"]),
    ("a negative number to keep", "train good.txt --steps 1 --keep -1", ["keep"]),
    ("a file and a corpus", "train good.txt --builtin france", ["--builtin"]),
    ("an empty path", "train ''", ["empty path"]),
    ("a folder and a name", "train good.txt --out a --name b", ["--out", "--name"]),
    ("an unknown option", "train good.txt --hiden 8", ["--hiden"]),
    ("an unknown command", "trian good.txt", ["trian"]),
    ("an option without its value", "train good.txt --hidden", ["--hidden"]),
    ("an argument too many", "info RUN RUN", ["argument"]),
    ("nothing to score", "eval", ["FILE", "--help"]),
    ("a checkpoint to score alone", "eval RUN", ["no text to score"]),
    ("a temperature below zero", "sample RUN --temperature -0.5", ["temperature is -0.5"]),
    ("two primes", "sample RUN --prime a --prime-file good.txt", ["--prime-file"]),
]

CHECKPOINT_ERRORS = [
    ("no run at all", "sample", ["checkpoints", "charrnn train"]),
    ("no run to show", "info", ["checkpoints"]),
    ("no run to score with", "eval good.txt", ["checkpoints"]),
    ("a missing checkpoint", "sample nowhere.npz", ["nowhere.npz"]),
    ("an empty checkpoint", "info nothing.npz", ["nothing.npz", "empty"]),
    ("garbage", "sample garbage.npz", ["garbage.npz", "not an .npz"]),
    ("garbage to score with", "eval garbage.npz good.txt", ["garbage.npz"]),
    ("garbage to begin from", "train good.txt --init-from garbage.npz", ["garbage.npz"]),
    ("a text as a checkpoint", "info good.txt", ["good.txt", "not an .npz"]),
    ("a folder without a run", "sample folder", ["folder"]),
    ("a cut checkpoint", "sample cut.npz", ["cut.npz", "cut short"]),
    ("a changed checkpoint", "info flipped.npz", ["flipped.npz", "damaged"]),
    ("a foreign archive", "sample foreign.npz", ["foreign.npz", "not one that charrnn wrote"]),
    ("a checkpoint of the future", "info future.npz", ["format is 4", "newer charrnn"]),
    ("a device as a checkpoint", "sample /dev/null", ["/dev/null"]),
    ("nothing to resume", "train --resume nowhere", ["nowhere", "last.npz"]),
    ("nothing to begin from", "train good.txt --init-from nowhere.npz", ["nowhere.npz"]),
]

CASES = [
    pytest.param(line, code, fragments, id=name)
    for code, table in ((2, USAGE_ERRORS), (3, CHECKPOINT_ERRORS), (4, TEXT_ERRORS))
    for name, line, fragments in table
]


@pytest.fixture
def gallery(empty_folder: Path, finished_run: Path) -> None:
    """Put every bad input in place."""
    for name, content in FILES.items():
        (empty_folder / name).parent.mkdir(exist_ok=True)
        (empty_folder / name).write_bytes(content)
    good = (finished_run / "best.npz").read_bytes()
    Path("cut.npz").write_bytes(good[:-100])
    Path("flipped.npz").write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])
    np.savez("foreign.npz", W=np.zeros(3))
    arrays, metadata = read_archive(finished_run / "best.npz")
    write_archive(Path("future.npz"), arrays, metadata | {"format": 4})


@pytest.mark.parametrize(("line", "code", "fragments"), CASES)
def test_every_mistake_has_its_line_and_its_code(
    line: str,
    code: int,
    fragments: Sequence[str],
    run_cli: Call,
    gallery: None,
    finished_run: Path,
) -> None:
    arguments = [str(finished_run) if word == "RUN" else word for word in shlex.split(line)]
    assert_one_line(run_cli(*arguments, stdin=""), code, *fragments)
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("mark.txt", b"\xef\xbb\xbfto be or not to be\n" * 9, "byte order mark, dropped"),
        ("crlf.txt", b"to be\r\nor not to be\r\n" * 9, "CRLF line ends, kept"),
        ("cr.txt", b"to be\ror not to be\r" * 9, "lone CRs, kept"),
        ("nul.txt", b"to be\0or not to be\n" * 9, "NUL characters, kept"),
        ("short.txt", b"to be\n", "few for 32 sequences"),
        ("table.tsv", b"one\ttwo\n" * 20, "--layout"),
    ],
)
def test_what_is_odd_but_can_be_read_is_a_note(
    name: str, content: bytes, note: str, run_cli: Call
) -> None:
    Path(name).write_bytes(content)
    options = ("--hidden", "4", "--steps", "1", "--workers", "1", "-q", "--val-fraction", "0")
    result = run_cli("train", name, *options)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert any(note in line for line in lines)
    assert all(line.startswith("charrnn: note: ") for line in lines)


def test_names_with_escape_codes_and_line_ends_are_made_visible(
    run_cli: Call, corpus: Path, tiny: Sequence[str], dangerous: frozenset[str]
) -> None:
    name = "a\x1b[31m\nb\u202e.txt"
    assert_one_line(run_cli("train", name), 4, "␛[31m␊b<U+202E>.txt")
    assert_one_line(run_cli("info", f"{name}.npz"), 3)
    assert_one_line(run_cli("sample", "--prime-file", name, "x.npz"), 3)
    assert_one_line(run_cli("train", corpus, "--cell", name), 2)
    assert_one_line(run_cli(name), 2)
    assert_one_line(run_cli("train", f"--{name}"), 2)
    corpus.rename(name)
    loud = [option for option in tiny if option != "--quiet"]
    result = run_cli("train", name, *loud)
    assert result.exit_code == 0
    for shown in (result.stdout, result.stderr):
        assert not dangerous & set(shown)
    [run] = Path("checkpoints").iterdir()
    sampled = run_cli("sample", "--length", "1")
    assert (
        sampled.stderr
        == f"charrnn: sampling from {visible(str(run)).replace(chr(10), '␊')}/best.npz\n"
    )


def test_a_very_long_name_does_not_make_a_very_long_line(run_cli: Call) -> None:
    for name in ("x" * 200, "y" * 3000, "/".join(["deep"] * 300)):
        for arguments in (("train", name), ("info", f"{name}.npz"), ("train", "--resume", name)):
            result = run_cli(*arguments)
            assert result.exit_code in (3, 4, 5)
            assert result.stderr.count("\n") == 1
            assert len(result.stderr) <= 201


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permissions_are_an_error_of_storage(run_cli: Call, corpus: Path) -> None:
    corpus.chmod(0)
    assert_one_line(run_cli("train", corpus), 5, "Permission denied")


def test_a_folder_that_cannot_be_made_is_an_error_of_storage(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    Path("checkpoints").write_text("in the way", encoding="utf-8")
    result = run_cli("train", corpus, *tiny)
    assert_one_line(result, 5, "checkpoints/corpus", "--out")


@pytest.mark.parametrize("line", ["info RUN", "eval RUN corpus.txt", "--help", "--version"])
def test_a_full_disk_behind_stdout_is_one_line(
    line: str, process: Process, finished_run: Path, corpus: Path
) -> None:
    done = process(f"charrnn {line.replace('RUN', shlex.quote(str(finished_run)))} > /dev/full")
    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"charrnn: error: ")
    assert b"No space left on device" in done.stderr


def test_a_reader_who_has_gone_away_is_no_error(process: Process, finished_run: Path) -> None:
    done = process(f"(sleep 1; charrnn info {shlex.quote(str(finished_run))}) | true")
    assert (done.returncode, done.stderr) == (0, b"")


@contextmanager
def no_reader() -> Iterator[None]:
    """Make stdout a pipe whose reader has ended, in this process."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as pipe, redirect_stdout(pipe):
        yield


@pytest.mark.parametrize(
    "words", ["", "--help", "--version", *(f"{name} --help" for name in COMMANDS)]
)
def test_help_without_a_reader_is_no_error(words: str) -> None:
    messages = io.StringIO()
    with redirect_stderr(messages), no_reader(), pytest.raises(SystemExit) as ended:
        app(words.split())
    assert (ended.value.code, messages.getvalue()) == (0, "")


def test_an_exit_without_a_broken_pipe_keeps_its_code() -> None:
    with pytest.raises(SystemExit) as ended, reported():
        raise SystemExit(3)
    assert ended.value.code == 3


def every_number_is_finite(folder: Path) -> bool:
    archives = list(folder.glob("*.npz"))
    assert archives
    return all(
        np.isfinite(array).all() for path in archives for array in read_archive(path)[0].values()
    )


def test_divergence_ends_with_its_code_and_the_last_good_checkpoint(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    wild = ("--optimizer", "sgd", "--lr", "1e38", "--clip-norm", "1e30", "--save-every", "1")
    result = run_cli("train", corpus, *tiny, *wild, "--warmup-steps", "0")
    assert_one_line(result, 6, "at step", "--lr")
    assert every_number_is_finite(Path("checkpoints/corpus"))
    sampled = run_cli("sample", "checkpoints/corpus/last.npz", "--length", "20", "--seed", "1")
    assert sampled.exit_code == 0
    assert "NaN" not in Path("checkpoints/corpus/metrics.jsonl").read_text(encoding="utf-8")


def test_a_huge_rate_is_survived_or_ends_with_its_code(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    for optimiser in ("adagrad", "adam", "sgd"):
        options = ("--lr", "1e6", "--optimizer", optimiser, "--save-every", "5", "--json")
        result = run_cli("train", corpus, *tiny, *options, "--name", optimiser)
        assert result.exit_code in (0, 6), result.stderr
        assert every_number_is_finite(Path("checkpoints") / optimiser)
        if result.exit_code == 0:
            json.loads(result.stdout, parse_constant=pytest.fail)


@pytest.mark.parametrize("name", ["layers.0.W_xh", "layers.0.W_hh", "layers.0.b_h", "W_hy", "b_y"])
def test_a_number_gone_bad_is_never_saved(
    name: str,
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Trainer.step

    def spoil(self: Trainer) -> Any:
        event = plain(self)
        if event.step == 7:
            self.parameters[name].flat[0] = np.nan
        return event

    monkeypatch.setattr(Trainer, "step", spoil)
    result = run_cli("train", corpus, *tiny, "--save-every", "5")
    assert_one_line(result, 6, "at step 8")
    last = load_checkpoint(Path("checkpoints/corpus/last.npz"))
    assert last.step == 5
    assert every_number_is_finite(Path("checkpoints/corpus"))


def test_a_number_gone_bad_just_before_a_save_is_not_saved_either(
    run_cli: Call, corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Trainer.step

    def spoil(self: Trainer) -> Any:
        event = plain(self)
        if event.step == 10:
            self.parameters["W_hy"].flat[0] = np.inf
        return event

    monkeypatch.setattr(Trainer, "step", spoil)
    options = [*tiny, "--val-fraction", "0", "--save-every", "5"]
    del options[options.index("--eval-every") : options.index("--eval-every") + 2]
    assert_one_line(run_cli("train", corpus, *options), 6, "W_hy is not finite at step 10")
    assert load_checkpoint(Path("checkpoints/corpus/last.npz")).step == 5


def test_weights_at_the_edge_of_float32_can_be_sampled(
    run_cli: Call, untrained: Callable[..., Model]
) -> None:
    model = untrained("abc \n")
    model.parameters.vector[...] *= np.float32(1e30)
    model.save("huge.npz")
    Path("text.txt").write_text("abc\n" * 4, encoding="utf-8")
    for temperature in ("0", "1e-9", "1", "1e9"):
        options = ("--temperature", temperature, "--length", "30", "--seed", "1")
        result = run_cli("sample", "huge.npz", *options)
        assert result.exit_code == 0
        assert len(result.stdout) in (30, 31)
    scored = run_cli("eval", "huge.npz", "text.txt", "--json")
    assert scored.exit_code == 0
    json.loads(scored.stdout, parse_constant=pytest.fail)
