"""R16, R17: files that are no usable text, files that change, and the memory of a large text.

`tests/data/test_bad_files.py` reads many more kinds of files in every way; here each kind goes
through the real command, whose exit code and line are compared.
"""

import gzip
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint

LINES = "".join(f"the cat sat on mat {number % 97} by noon\n" for number in range(200))
SMALL = ("--hidden", "4", "--workers", "1", "--batch-size", "2", "--seq-length", "8", "--quiet")
TRAIN = ("train", "{}", *SMALL, "--steps", "2", "--backend", "numpy", "--out", "run")

GALLERY: dict[str, tuple[bytes, tuple[str, ...], int, str]] = {
    # name: content, more options, exit code, what the line on stderr holds
    "empty": (b"", (), 4, "t.txt is empty; try"),
    "one byte": (b"a", (), 4, "t.txt needs at least two different characters; try"),
    "all the same": (b"a" * 999, (), 4, "t.txt needs at least two different characters; try"),
    "shorter than a window": (LINES[:60].encode(), ("--seq-length", "64"), 0, ""),
    "a mark": (LINES.encode("utf-8-sig"), (), 0, "byte order mark"),
    "CRLF": (LINES.replace("\n", "\r\n").encode(), (), 0, "CRLF"),
    "CR": (LINES.replace("\n", "\r").encode(), (), 0, "CR"),
    "UTF-16": (LINES.encode("utf-16"), (), 4, "--encoding utf-16"),
    "UTF-16 announced": (LINES.encode("utf-16"), ("--encoding", "utf-16"), 0, ""),
    "Latin-1": (b"caf\xe9 au lait\n" * 99, (), 4, "try --encoding latin-1"),
    "Latin-1 announced": (b"caf\xe9 au lait\n" * 99, ("--encoding", "latin-1"), 0, ""),
    "cut UTF-8": (LINES.encode() + b"\xc3", (), 4, "t.txt is not UTF-8 (byte 0xc3"),
    "cut UTF-8 as bytes": (LINES.encode() + b"\xc3", ("--bytes",), 0, ""),
    "gzip": (gzip.compress(LINES.encode()), (), 0, ""),
    "cut gzip": (gzip.compress(LINES.encode())[:-9], (), 4, "gzip data that ends too early"),
    "gzip twice": (gzip.compress(gzip.compress(LINES.encode())), (), 4, "gzip twice"),
}
QUICK = ("empty", "cut UTF-8", "gzip")


def limit_memory() -> None:
    """Let a process have 1.5 GiB of addresses, so that what takes all memory fails at once."""
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29, 3 * 2**29))


def charrnn(
    arguments: Sequence[str], stdin: bytes = b"", prefix: Sequence[str] = ()
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in its own process of limited memory."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "charrnn", *arguments],
        capture_output=True,
        timeout=120,
        check=False,
        preexec_fn=limit_memory,
        input=stdin,
    )


def assert_ended(
    done: "subprocess.CompletedProcess[bytes]", code: int, expected: str, what: str
) -> None:
    """Check an exit code, that an error is one line, and what stderr holds."""
    said = done.stderr.decode()
    assert done.returncode == code, (what, said)
    assert "Traceback" not in said, (what, said)
    errors = [line for line in said.splitlines() if line.startswith("charrnn: error: ")]
    assert len(errors) == (code > 1), (what, said)
    assert all(len(line) <= 200 for line in errors)
    assert re.search(re.escape(expected), errors[0] if errors else said), (what, said)
    assert Path("run").exists() == (code == 0), what


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.reliability)
        for name in GALLERY
    ],
)
def test_every_kind_of_text_has_its_exit_code_and_its_line(name: str) -> None:
    content, options, code, expected = GALLERY[name]
    Path("t.txt").write_bytes(content)
    words = [word.format("t.txt") for word in TRAIN if word != "--quiet"]
    assert_ended(charrnn((*words, *options)), code, expected, name)


@pytest.mark.reliability
def test_what_is_no_file_of_text_has_its_exit_code_and_its_line() -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with Path("sparse").open("wb") as file:
        file.truncate(200_000_000)
    with gzip.open("bomb.gz", "wb", compresslevel=1) as packed:
        for _ in range(600):
            packed.write(bytes(2**20))
    for name, code, expected in (
        ("folder", 4, "folder"),
        ("nowhere", 4, "there is no file nowhere; try another path"),
        ("/dev/zero", 4, "/dev/zero"),
        ("sparse", 4, "sparse"),
    ):
        began = time.monotonic()
        done = charrnn([word.format(name) for word in TRAIN])
        assert_ended(done, code, expected, name)
        assert time.monotonic() - began < 60
    bomb = charrnn([word.format("bomb.gz") for word in TRAIN])
    assert bomb.returncode in (4, 5)  # of zeros only, or too large for the memory allowed
    assert_ended(bomb, bomb.returncode, "try", "bomb")
    Path("closed").write_text(LINES, encoding="utf-8")
    Path("closed").chmod(0)
    if os.geteuid():
        assert_ended(charrnn([word.format("closed") for word in TRAIN]), 5, "closed", "closed")


@pytest.mark.reliability
def test_standard_input_and_a_pipe_are_read_to_their_end() -> None:
    done = charrnn([word.format("-") for word in TRAIN], stdin=LINES.encode())
    assert_ended(done, 0, "", "stdin")
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text(LINES, encoding="utf-8"))
    writer.start()
    done = charrnn([*(word.format("pipe") for word in TRAIN[:-1]), "piped"])
    writer.join()
    assert done.returncode == 0, done.stderr
    one, other = (load_checkpoint(Path(run) / "last.npz") for run in ("run", "piped"))
    assert one.corpus.sha256 == other.corpus.sha256
    assert (one.parameters.vector == other.parameters.vector).all()


@pytest.mark.reliability
def test_a_text_that_changes_harms_neither_a_run_nor_what_it_saved() -> None:
    text = Path("t.txt")
    text.write_text(LINES, encoding="utf-8")
    begin = ["train", "t.txt", *SMALL, "--steps", "200000", "--backend", "numpy", "--out", "run"]
    with subprocess.Popen(
        [sys.executable, "-m", "charrnn", *begin, "--save-every", "20"], stderr=subprocess.PIPE
    ) as process:
        while not Path("run/last.npz").exists():
            assert process.poll() is None
            time.sleep(0.02)
        text.write_text("something else\n" * 300, encoding="utf-8")  # during the run
        saved = Path("run/last.npz").stat().st_mtime_ns
        while Path("run/last.npz").stat().st_mtime_ns == saved:
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert process.returncode == 143, said
    resume = ("train", "--resume", "run", "--steps", "1")
    for other in (b"something else\n" * 300, b"", LINES.encode() + b"more"):  # and after it
        text.write_bytes(other)
        refused = charrnn(("train", "--resume", "run"))
        assert_ended_unchanged(refused, resume)
    text.unlink()
    assert_ended_unchanged(charrnn(("train", "--resume", "run")), resume)


def assert_ended_unchanged(done: "subprocess.CompletedProcess[bytes]", what: object) -> None:
    """Check that a resume was refused for its text, in one line."""
    said = done.stderr.decode()
    assert done.returncode == 4, (what, said)
    assert said.count("charrnn: error: ") == 1, said
    assert "Traceback" not in said


MEASURE = """
import resource, sys
from charrnn.cli.app import app
try:
    app(sys.argv[1:])
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.reliability
def test_a_text_of_100_mb_takes_bounded_memory(record_figure: Callable[[str, str], None]) -> None:
    with Path("t.txt").open("w", encoding="ascii") as file:
        for _ in range(100_000_000 // (10 * len(LINES)) + 1):
            file.write(LINES * 10)
    size = Path("t.txt").stat().st_size
    assert size >= 100_000_000
    words = [word.format("t.txt") for word in TRAIN]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words, "--val-fraction", "0.001"],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"peak (\d+)", done.stdout)
    assert found is not None
    peak = int(found[1]) * 1024
    assert peak <= 2 * size + 150 * 2**20
    record_figure("peak memory of training on 100 MB", f"{peak / 2**20:,.0f} MiB")
