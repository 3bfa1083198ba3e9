"""Texts through every command that reads one: the same exit code, and advice it can follow."""

import gzip
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.cli.app import options_of
from charrnn.data import file_discovery as text_files
from charrnn.data import large_text_files as large_text
from charrnn.errors import OPTION

Call = Callable[..., Result]

LATIN = "to be or not to be\n" * 20
BAD = {
    "empty": b"",
    "one": b"a",
    "mark": b"\xef\xbb\xbf",
    "cp1251": ("все счастливые семьи\n" * 20).encode("cp1251"),
    "cp1256": ("هل ذهبت الي السوق\n" * 20).encode("cp1256"),
    "latin": b"caf\xe9 au lait\n" * 9,
    "sixteen": LATIN.encode("utf-16"),
    "bare-sixteen": LATIN.encode("utf-16-be"),
    "odd": LATIN.encode("utf-16") + b"a",
    "cut": "schön".encode()[:-1] + b"\xc3",
    "cut.gz": gzip.compress(LATIN.encode())[:-9],
    "twice.gz": gzip.compress(gzip.compress(LATIN.encode())),
    "surrogate": b"to be \xed\xa0\x80\n",
}
PLACES = {"gone": None, "/dev/zero": None, "void": None}
COMMANDS = {
    "train": "train {}",
    "large": "train {}",
    "train --layout": "train {} --layout many-to-one",
    "eval": "eval RUN {}",
    "neurons": "neurons RUN {} --unit 0",
    "sample": "sample RUN --prime-file {} --length 3",
    "inspect": "inspect-gradients RUN --text {} --quiet",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", [*BAD, *PLACES])
def test_every_command_refuses_a_bad_file_with_advice_that_it_can_follow(
    name: str,
    command: str,
    run_cli: Call,
    finished_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if (name, command) in (("one", "sample"), ("empty", "sample")):
        pytest.skip("another check")
    Path("void").mkdir()
    if name in BAD:
        Path(name).write_bytes(BAD[name])
    if command == "large":
        monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 0)
    line = COMMANDS[command].format(name).replace("RUN", str(finished_run))
    result = run_cli(*line.split())
    assert result.exit_code == 4, result.stderr
    (message,) = [line for line in result.stderr.splitlines() if "error" in line]
    assert message.startswith("charrnn: error: ")
    assert len(message) <= 200
    known = options_of(line.split()[0]) or set()
    assert set(OPTION.findall(message)) <= known, message
    if "--layout" in line:
        assert "--bytes" not in message
        assert "python-docs" not in message
    for encoding in re.findall(r"--encoding ([\w-]+)", message):
        cured = run_cli(
            *line.split(), "--encoding", encoding, *(["--steps", "1"] if "train" in line else [])
        )
        assert "not UTF" not in cured.stderr
        assert "decode" not in cured.stderr


def test_a_table_is_told_about_layouts_by_train_only(
    run_cli: Call, tiny: Sequence[str], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("t.tsv").write_text("the cat\tsat\n" * 40, encoding="utf-8")
    for large in (2**26, 0):
        monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", large)
        trained = run_cli("train", "t.tsv", *tiny, "--out", f"out{large}")
        assert "t.tsv is read as plain text (for pairs try --layout)" in trained.stderr
    scored = run_cli("eval", finished_run, "t.tsv", "--on-unknown", "skip")
    assert "--layout" not in scored.stderr


@pytest.mark.parametrize("large", [2**26, 0])
def test_a_search_for_texts_leaves_out_runs(
    large: int, run_cli: Call, corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", large)

    def train(*arguments: str) -> str:
        assert run_cli("train", *arguments, *tiny).exit_code == 0
        return str(json.loads(run_cli("info", "--json").stdout)["corpus"]["sha256"])

    first = train(".")
    assert train(".") == first
    assert train(".", "--out", "elsewhere") == first
    assert train(".", "--out", "numbered", "--save-every", "5", "--keep", "3") == first
    assert train(".") == first
    interrupted = Path("interrupted")
    interrupted.mkdir()
    for name in ("run.json", "lock", "metrics.jsonl"):
        shutil.copy(Path("elsewhere") / name, interrupted)
    assert train(".") == first
    shutil.copy(corpus, "elsewhere")  # a text in a run's own folder
    assert train("elsewhere") == first
    refused = run_cli("train", "numbered", *tiny)
    assert refused.exit_code == 4
    assert refused.stderr == (
        "charrnn: error: numbered is the folder of a run, without a text; try a file of text\n"
    )


@pytest.mark.parametrize("name", ["python-docs", "france:30"])
def test_built_in_texts_obey_bytes_and_normal_forms_and_refuse_encodings(
    name: str, run_cli: Call, tiny: Sequence[str]
) -> None:
    def train(*options: str) -> dict[str, dict[str, object]]:
        result = run_cli("train", "--builtin", name, *tiny, *options)
        assert result.exit_code == 0, result.stderr
        found = json.loads(run_cli("info", "--json").stdout)
        assert isinstance(found, dict)
        return found

    assert max(str(train("--bytes")["vocabulary"]["characters"])) <= "\xff"
    assert train("--bytes")["corpus"]["as_bytes"] is True
    plain, decomposed = train(), train("--normalize", "nfkd")
    assert "…" not in str(decomposed["vocabulary"]["characters"])
    if name == "python-docs":
        assert plain["corpus"]["sha256"] != decomposed["corpus"]["sha256"]
    train("--encoding", "utf-8")
    refused = run_cli("train", "--builtin", name, *tiny, "--encoding", "latin-1")
    assert refused.exit_code == 2
    assert "--encoding latin-1 is for files" in refused.stderr
    pairs = run_cli("train", "--builtin", "case", *tiny[:6], "--encoding", "cp1252")
    assert pairs.exit_code == 2


@pytest.mark.parametrize("layout", [None, "many-to-one"])
def test_a_run_whose_text_has_moved_says_how_to_resume_it(
    layout: str | None,
    run_cli: Call,
    corpus: Path,
    tiny: Sequence[str],
    at_step: Callable[[int, Callable[[], None]], None],
) -> None:
    kind = ["--layout", layout, "--patience", "0"] if layout else []
    options = tiny[:-4] if layout is None else tiny[:6]
    if layout:
        corpus.write_text("".join(f"w{n}\t{n % 3}\n" for n in range(99)), encoding="utf-8")
    at_step(12, lambda: os.kill(os.getpid(), signal.SIGINT))
    begun = run_cli("train", corpus, *options, *kind, "--name", "my run")
    assert begun.exit_code == 130, begun.stderr
    at_step(10**9, lambda: None)
    corpus.rename("moved.txt")
    refused = run_cli("train", "--resume", "checkpoints/my run")
    assert refused.exit_code == 4
    reading, error = refused.stderr.splitlines()
    assert reading.startswith("reading ")
    assert error.endswith("; try charrnn train --resume 'checkpoints/my run' FILE")
    assert len(error) <= 200
    missing = run_cli("train", "--resume", "checkpoints/my run", "nowhere.txt")
    assert missing.stderr == "charrnn: error: there is no file nowhere.txt; try another path\n"
    Path("other.txt").write_text("other\t1\nothers\t2\n" * 9, encoding="utf-8")
    other = run_cli("train", "--resume", "checkpoints/my run", "other.txt")
    assert other.exit_code == 4
    assert "of this run" in other.stderr
    resumed = run_cli("train", "--resume", "checkpoints/my run", "moved.txt")
    assert resumed.exit_code == 0, resumed.stderr


def test_pairs_of_one_character_are_told_before_training(run_cli: Call) -> None:
    rows = "".join(f"w{n % 50}{'?!'[n % 2]}\t{'ab'[n % 2]}\n" for n in range(100))
    Path("p.tsv").write_text(rows, encoding="utf-8")
    options = ("--layout", "many-to-one", "--hidden", "4", "--steps", "1", "--workers", "1", "-q")
    result = run_cli("train", "p.tsv", *options)
    assert result.exit_code == 0, result.stderr
    assert "charrnn: note: the last character alone decides 100.0% of the labels" in result.stderr


@pytest.mark.parametrize("large", [2**26, 0])
def test_what_looks_wrong_in_a_text_is_told_before_training(
    large: int, run_cli: Call, corpus: Path, tiny: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", large)
    text = corpus.read_text(encoding="utf-8") * 3 + "</html>\n" * 30 + "a\u200bb\xad\n"
    corpus.write_text(text, encoding="utf-8")
    result = run_cli("train", corpus, *tiny)
    assert result.exit_code == 0, result.stderr
    for words in (
        "the line '</html>' occurs 30 times",
        "lines of 12 characters or more repeat",
        "invisible characters: U+00AD SOFT HYPHEN once, U+200B ZERO WIDTH SPACE once",
    ):
        assert words in result.stderr
    as_bytes = run_cli("train", corpus, *tiny, "--bytes")
    assert "the line '</html>' occurs 30 times" in as_bytes.stderr
    assert "invisible" not in as_bytes.stderr


def test_a_folder_of_too_many_files_is_refused_before_any_is_read(
    run_cli: Call, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "MAX_FILES", 2)
    for number in range(3):
        (empty_folder / f"{number}.txt").write_text("to be or not\n", encoding="utf-8")
    result = run_cli("train", ".", "--steps", "2")
    assert result.exit_code == 4
    assert result.stderr == (
        "charrnn: error: the folder . holds more than 2 files; try a folder inside it\n"
    )
