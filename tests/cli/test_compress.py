"""`charrnn compress` and `decompress`: files, streams, refusals, and what is shown."""

import json
import os
import pty
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.testing import Result

from charrnn.inference.model import Model

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
Untrained = Callable[..., Model]
CONTENT = b"\xef\xbb\xbf" + b"the cat sat on a mat\r\nthe hat\n" * 40
CHARACTERS = "".join(sorted(set(CONTENT.decode("utf-8-sig"))))


@pytest.fixture
def text(empty_folder: Path, untrained: Untrained) -> Path:
    """A file, and the models one.npz, two.npz and, in the newest run, another one."""
    for seed, name in ((1, "one.npz"), (2, "two.npz")):
        untrained(CHARACTERS, seed=seed).save(name)
    path = empty_folder / "text.txt"
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_restored_byte_for_byte(run_cli: Call, text: Path) -> None:
    packed = run_cli("compress", "one.npz", "text.txt")
    assert packed.exit_code == 0
    assert packed.stderr == ""
    text.rename("original.txt")
    restored = run_cli("decompress", "one.npz", "text.txt.charrnn")
    assert restored.exit_code == 0
    assert "1,203 bytes in" in restored.stdout
    assert text.read_bytes() == CONTENT


def test_the_summary_stands_beside_other_compressors(run_cli: Call, text: Path) -> None:
    shown = run_cli("compress", "one.npz", "text.txt", "-o", "out").stdout
    split = [line.rsplit(maxsplit=3) for line in shown.splitlines()[1:6]]
    rows = {name.strip(): figures for name, *figures in split}
    assert set(rows) == {"bzip2 -9", "gzip -9", "xz -6", "this file", "uncompressed"}
    sizes = [int(row[1].replace(",", "")) for row in rows.values()]
    assert sizes == sorted(sizes)
    size = Path("out").stat().st_size
    assert rows["this file"] == [f"{8 * size / 1200:.4f}", f"{size:,}", f"{size / 1203:.1%}"]
    assert "1,200 characters in" in shown
    figures = json.loads(run_cli("compress", "one.npz", "text.txt", "-o", "out2", "--json").stdout)
    assert (figures["bytes"], figures["characters"], figures["compressed_bytes"]) == (
        1203,
        1200,
        size,
    )
    assert figures["bits_per_char"] == 8 * size / 1200
    assert list(figures["other_compressors"]) == ["gzip -9", "bzip2 -9", "xz -6"]
    assert "members" not in figures


def test_every_row_has_its_name_on_a_narrow_terminal(
    run_cli: Call, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = run_cli("compress", "--ensemble", "one.npz", "two.npz", "text.txt").stdout
    assert all(len(line) <= 40 for line in shown.splitlines())
    for name in ("this file,", "bzip2 -9", "gzip -9", "xz -6", "uncompressed"):
        assert re.search(rf"^{name} +[\d.]+ ", shown, re.MULTILINE)
    for word in ("one.npz", "two.npz"):
        assert word in shown


def test_streams(text: Path, process: Process) -> None:
    line = (
        "cat text.txt | charrnn compress one.npz - | charrnn decompress one.npz - | cmp - text.txt"
    )
    done = process(line)
    assert done.returncode == 0, done.stderr
    assert b"this file" in done.stderr  # the summary of the first; stdout has the file
    done = process("charrnn compress one.npz text.txt -o a -q && charrnn decompress one.npz a -o -")
    assert (done.stdout, done.stderr) == (CONTENT, b"")
    done = process("charrnn compress one.npz <(cat text.txt) -o b -q && cmp a b")
    assert done.returncode == 0, done.stderr


def test_an_ensemble_shows_its_members_alone(run_cli: Call, text: Path) -> None:
    command = ("compress", "--ensemble", "one.npz", "two.npz", "text.txt")
    shown = run_cli(*command).stdout
    for name in ("this file, ensemble of 2", "with one.npz alone", "with two.npz alone"):
        assert name in shown
    figures = json.loads(run_cli(*command, "--json", "--force").stdout)
    assert [member["checkpoint"] for member in figures["members"]] == ["one.npz", "two.npz"]
    for order in (("one.npz", "two.npz"), ("two.npz", "one.npz")):
        assert run_cli("decompress", *order, "text.txt.charrnn", "--force").exit_code == 0
        assert text.read_bytes() == CONTENT
    lacking = run_cli("decompress", "one.npz", "text.txt.charrnn", "--force")
    assert lacking.exit_code == 3
    assert "is not among the checkpoints named; try that checkpoint" in lacking.stderr


def test_the_model_is_found_among_the_runs(
    run_cli: Call, corpus: Path, tiny: tuple[str, ...]
) -> None:
    for name, moment in (("used", 1000), ("newer", 2000)):
        run_cli("train", "corpus.txt", *tiny, "--name", name, "--seed", str(moment))
        for path in Path("checkpoints", name).glob("*.npz"):
            os.utime(path, (moment, moment))
    Path("checkpoints/newer/last.npz").write_bytes(b"damaged")
    os.utime("checkpoints/newer/last.npz", (2000, 2000))
    packed = run_cli("compress", "checkpoints/used", "corpus.txt", "-o", "a.charrnn")
    assert packed.exit_code == 0
    assert run_cli("decompress", "a.charrnn").exit_code == 0
    assert Path("a").read_bytes() == corpus.read_bytes()
    newest = run_cli("compress", "corpus.txt", "-o", "b.charrnn")
    assert newest.stderr == "charrnn: compressing with checkpoints/newer/best.npz\n"
    for path in Path("checkpoints/used").glob("*.npz"):
        path.unlink()
    gone = run_cli("decompress", "a.charrnn", "--force")
    assert gone.exit_code == 3
    assert "is not under checkpoints; try the path of that checkpoint" in gone.stderr


def test_nothing_is_overwritten_without_being_told(run_cli: Call, text: Path) -> None:
    Path("out").write_text("mine", encoding="utf-8")
    refused = run_cli("compress", "one.npz", "text.txt", "-o", "out")
    assert refused.exit_code == 5
    assert refused.stderr.endswith("out exists; try another --output, or --force\n")
    assert Path("out").read_text(encoding="utf-8") == "mine"
    assert run_cli("compress", "one.npz", "text.txt", "-o", "out", "--force").exit_code == 0
    assert run_cli("decompress", "one.npz", "out", "-o", "text.txt").exit_code == 5
    Path("text.txt").write_text("changed", encoding="utf-8")
    assert run_cli("decompress", "one.npz", "out", "-o", "text.txt", "--force").exit_code == 0
    assert text.read_bytes() == CONTENT


def test_a_refused_file_leaves_nothing_behind(run_cli: Call, text: Path) -> None:
    text.write_bytes(CONTENT + b"!")
    before = sorted(path.name for path in Path().iterdir())
    result = run_cli("compress", "one.npz", "text.txt")
    assert result.exit_code == 4
    assert "the vocabulary lacks '!' U+0021, first at position 1,200; try" in result.stderr
    assert sorted(path.name for path in Path().iterdir()) == before
    piped = run_cli("compress", "one.npz", "-", stdin=CONTENT + b"!")
    assert (piped.exit_code, piped.stdout_bytes) == (4, b"")


@pytest.mark.parametrize("output", ["out", "-"])
def test_a_damaged_file_writes_nothing(output: str, run_cli: Call, text: Path) -> None:
    run_cli("compress", "one.npz", "text.txt", "-o", "packed")
    packed = Path("packed").read_bytes()
    for damaged in (packed[:-1], packed[:200], packed + b"\n", packed[:300] + packed[301:]):
        Path("packed").write_bytes(damaged)
        result = run_cli("decompress", "one.npz", "packed", "-o", output)
        assert (result.exit_code, result.stdout_bytes) == (4, b"")
        assert "packed is truncated or altered; nothing is written" in result.stderr
        assert not Path("out").exists()


def test_a_file_without_characters_is_restored(run_cli: Call, text: Path) -> None:
    for content in (b"", b"\xef\xbb\xbf"):
        text.write_bytes(content)
        assert run_cli("compress", "one.npz", "text.txt", "--force").exit_code == 0
        run_cli("decompress", "one.npz", "text.txt.charrnn", "--force")
        assert text.read_bytes() == content


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("compress one.npz", 2, "no file follows it; try charrnn compress CHECKPOINT FILE"),
        ("compress one.npz none.txt", 4, "there is no file none.txt"),
        ("compress one.npz text.txt -o none/out", 5, "no folder none to write to"),
        ("compress one.npz text.txt -o /dev/null", 5, "/dev/null is no file to write to"),
        ("compress one.npz text.txt -o /dev/null --force", 5, "is no file to write to"),
        ("compress one.npz text.txt -o - --json", 2, "both for stdout"),
        ("compress one.npz two.npz text.txt", 2, "2 checkpoints are named; try one"),
        ("compress none.npz text.txt", 3, "none.npz"),
        ("compress text.txt", 3, "no run under 'checkpoints'"),
        ("decompress one.npz text.txt", 2, "text.txt does not end in .charrnn; try --output"),
        ("decompress one.npz text.txt -o out", 4, "text.txt is no file of charrnn compress"),
        ("decompress one.npz one.npz", 2, "no file follows it"),
        ("decompress one.npz text.txt -o - --json", 2, "both for stdout"),
    ],
)
def test_refusals(words: str, code: int, message: str, run_cli: Call, text: Path) -> None:
    result = run_cli(*words.split())
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_terminal_receives_the_text_made_visible_and_no_compressed_file(
    text: Path, process: Process
) -> None:
    text.write_bytes(CONTENT)
    done = process("charrnn compress one.npz text.txt -o packed -q")
    assert done.returncode == 0
    for command, expected in (
        ("decompress one.npz packed -o - -q", b"the cat sat on a mat\xe2\x90\x8d\r\nthe hat\r\n"),
        ("compress one.npz text.txt -o -", b"a compressed file is not for a terminal; try"),
    ):
        assert expected in on_terminal(command)


def on_terminal(command: str) -> bytes:
    """Run a command on a terminal of its own; return all that it shows."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-m", "charrnn", *command.split()])
    shown = b""
    try:
        while chunk := os.read(terminal, 2**16):
            shown += chunk
    except OSError:  # Linux says so at the end
        pass
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return shown
