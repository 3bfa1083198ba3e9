"""Checkpoints and folders of runs that another person made (R10 to R14, R26)."""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.npz_format import deserialise
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.app import app
from charrnn.cli.info import readable
from charrnn.cli.output.safe_text import one_line
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.inference.description import describe
from charrnn.inference.model import Model
from charrnn.inference.predictor import Predictor
from charrnn.nn.cells import CELLS
from charrnn.system.files import END_BYTES
from tests.checkpointing.test_npz_file import HOSTILE, many_members
from tests.reliability.mutants import (
    NUMBERS,
    ODD,
    RAW,
    STRINGS,
    Mutants,
    seal,
    write_checkpoint,
)
from tests.reliability.scale import tries

Record = Callable[[str, str], None]

MAX_SECONDS = 1.0
MAX_GROWTH = 64 * 2**20
"""Bytes of memory that all mutants together may add: they are of a few kB."""

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
PROGRAM = (sys.executable, "-m", "charrnn")


def checked(message: str) -> None:
    """Check that a message is one line of at most 200 printable characters."""
    assert len(message) <= 200, message
    assert message.isprintable(), ascii(message)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small checkpoints of every cell and of pairs."""
    folder = tmp_path_factory.mktemp("originals")
    for cell in CELLS:
        write_checkpoint(folder / f"{cell}.npz", cell)
    write_checkpoint(folder / "pairs.npz", "gru", pairs=True)
    write_checkpoint(folder / "model.npz", "lstm", resumable=False)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("resumable", tries(0, whole=1))
@pytest.mark.parametrize("cell", CELLS)
def test_every_flipped_bit_and_every_truncation_is_refused(
    cell: str, resumable: int, tmp_path: Path, record_figure: Record
) -> None:
    """R11, of a whole checkpoint of each cell, one with a training state if `resumable`."""
    write_checkpoint(tmp_path / "a.npz", cell, resumable=bool(resumable))
    original = (tmp_path / "a.npz").read_bytes()
    deserialise(original)
    damaged, refused = bytearray(original), 0
    for position in range(len(original)):
        with contextlib.suppress(CheckpointError):
            deserialise(original[:position])
            pytest.fail(f"cut at {position}")
        for bit in range(8):
            damaged[position] ^= 1 << bit
            with contextlib.suppress(CheckpointError):
                deserialise(bytes(damaged))
                pytest.fail(f"bit {bit} of {position}")
            damaged[position] ^= 1 << bit
            refused += 1
    assert refused == 8 * len(original)
    record_figure(
        f"R11, {cell}", f"{refused:,} flipped bits and {len(original):,} truncations refused"
    )


def use(loaded: Checkpoint) -> None:
    """Show a checkpoint and answer with it, as `info`, `sample` and `predict` do."""
    for line in readable({"path": "a.npz"} | describe(loaded)).values():
        one_line(line)
    json.dumps(describe(loaded))
    with contextlib.suppress(CharRNNError):
        if loaded.symbols.of_pairs:
            Predictor.of(loaded).answer([loaded.pairing.sources[0]])
        else:
            "".join(Model(loaded).generate(length=3))


@pytest.mark.parametrize("count", tries(1_500, whole=100_000))
def test_a_mutant_is_loaded_as_valid_or_refused_in_one_line(
    count: int,
    originals: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    record_figure: Record,
) -> None:
    """R10: no crash, no unsigned change accepted, memory and time bounded.

    The mutants are read from memory: writing a file takes longer than checking it.
    """
    mutants = Mutants(originals)
    refused, accepted, slowest, slowest_content, reasons = 0, 0, 0.0, b"", set()
    for original in originals:
        use(load_checkpoint(original))
    before, content = peak_bytes(), b""

    def read(_path: Path, _most: int, check: Callable[[bytes, bytes, int], object]) -> bytes:
        check(content[:END_BYTES], content[-END_BYTES:], len(content))
        return content

    monkeypatch.setattr("charrnn.checkpointing.npz_file.read_regular_file", read)
    for seed in range(count):
        kind, content = mutants.make(seed)
        began = time.process_time()
        try:
            loaded = load_checkpoint(Path("a.npz"))
        except CheckpointError as error:
            refused += 1
            checked(f"charrnn: error: {error}")
            reasons.add(re.sub(r"'.*?'|[0-9]+", "", str(error)))
        else:
            accepted += 1
            assert kind != "plain", f"seed {seed}: a change with the old checksum was accepted"
            use(loaded)
        if (took := time.process_time() - began) > slowest:
            slowest, slowest_content = took, content
    content = slowest_content
    for _ in range(3):  # other programs can have made it slow
        began = time.process_time()
        with contextlib.suppress(CheckpointError):
            use(load_checkpoint(Path("a.npz")))
        slowest = min(slowest, time.process_time() - began)
    grown = peak_bytes() - before
    assert slowest < MAX_SECONDS
    assert grown < MAX_GROWTH
    assert accepted > count / 200, "no mutant passed the checks: they hardly alter anything"
    assert len(reasons) > 50, "the mutants are too much alike"
    record_figure(
        "R10, mutants",
        f"{count:,} tried, {refused:,} refused, {accepted:,} valid and used, no traceback; "
        f"slowest {slowest:.2f} s, memory grew by {grown / 2**20:.0f} MB",
    )


def peak_bytes() -> int:
    """Return the most memory that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def call_program(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run the command in a process of its own."""
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("count", tries(3, whole=300))
def test_a_mutant_ends_a_command_with_one_line(
    count: int, originals: list[Path], tmp_path: Path, record_figure: Record
) -> None:
    """R10, through the real command."""
    mutants = Mutants(originals)

    def run(seed: int) -> int:
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "a.npz").write_bytes(mutants.make(seed)[1])
        command = ("info", "sample", "inspect-gradients")[seed % 3]
        done = call_program(folder, command, "a.npz", *(["--length", "5"] * (command == "sample")))
        out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        assert done.returncode in (0, 2, 3, 4, 6), err
        assert "Traceback" not in err
        assert "Warning" not in err
        assert not CONTROL.search(err)
        assert command == "sample" or not CONTROL.search(out)
        errors = [line for line in err.splitlines() if "error:" in line]
        assert len(errors) == (done.returncode != 0), err
        for line in errors:
            checked(line)
        return done.returncode

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(run, range(count)))
    record_figure(
        "R10, commands", f"{count} mutants, exit codes {sorted(set(codes))}, no traceback"
    )


WATCH = """
import json, os, resource, sys
from pathlib import Path
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.errors import CharRNNError

folder, good = Path(sys.argv[1]), Path(sys.argv[2])
load_checkpoint(good)
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]) * 2**30,) * 2)
events, watching = [], True

def watch(event, arguments):
    if not watching:
        return
    if event in ("import", "exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        events.append(event)
    elif event.startswith(("subprocess.", "socket.", "pickle.", "marshal.", "ctypes.", "shutil.")):
        events.append(event)
    elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        events.append(f"open {arguments[0]}")

sys.addaudithook(watch)
refusals = {}
for path in sorted(folder.iterdir()):
    try:
        load_checkpoint(path)
        refusals[path.name] = None
    except CharRNNError as error:
        refusals[path.name] = str(error)
watching = False
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"events": events, "refusals": refusals, "peak": peak}))
"""


@pytest.mark.parametrize("gibibytes", tries(2, whole=1))
def test_the_gallery_is_refused_without_a_trace(
    gibibytes: int, originals: list[Path], tmp_path: Path, record_figure: Record
) -> None:
    """R12, with little address space: nothing is executed, imported or written."""
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for number, (_, content, _) in enumerate(HOSTILE):
        (gallery / f"{number:03}.npz").write_bytes(content)
    os.mkfifo(gallery / "pipe.npz")
    (gallery / "folder.npz").mkdir()
    (gallery / "zero.npz").symlink_to("/dev/zero")
    (gallery / "dangling.npz").symlink_to("nowhere")
    (gallery / "loop.npz").symlink_to("loop.npz")
    with (gallery / "sparse.npz").open("wb") as file:
        file.truncate(4 * 2**30 - 2)
    (gallery / "members.npz").write_bytes(many_members())
    arrays, _ = read_archive(originals[0])
    for number, text in enumerate(RAW):
        (gallery / f"text-{number}.npz").write_bytes(seal(arrays, b'{"format":' + text + b"}"))
    done = subprocess.run(
        [sys.executable, "-c", WATCH, gallery, originals[0], str(gibibytes)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found["events"] == []
    assert len(found["refusals"]) == len(list(gallery.iterdir()))
    for name, message in found["refusals"].items():
        assert message is not None, f"{name} was accepted"
        checked(message)
    assert done.stderr == b""
    record_figure(
        "R12", f"{len(found['refusals'])} files refused, peak {found['peak'] / 1024:.0f} MB"
    )


TEXT = "the cat sat on a mat and the dog sat on a log\n" * 60
RUN = ("--hidden", "4", "--batch-size", "2", "--seq-length", "8", "--workers", "1", "--quiet")


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run`, which has two of six steps to go, and its text."""
    folder = tmp_path_factory.mktemp("unfinished")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    result = invoke("train", folder / "corpus.txt", *RUN, "--steps", "4", "--out", folder / "run")
    assert result[0] == 0, result[2]
    path = folder / "run" / "last.npz"
    arrays, metadata = read_archive(path)
    metadata["training"]["config"]["steps"] = 6
    write_archive(path, arrays, metadata)
    return folder


def invoke(*words: str | Path) -> tuple[int, str, str]:
    """Run a command in this process; an exception that is no exit passes through."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def hostile_facts(facts: dict[str, Any], draw: random.Random) -> bytes:
    """Return a run.json with some values replaced, or no JSON at all."""
    if draw.random() < 0.2:
        return draw.choice((*RAW, b"", b"\xff\xfe", b"null", b"[" * 100_000, b"{" * 5))
    facts = dict(facts)
    places = [
        "/dev/zero",
        "/proc",
        "/",
        "pipe",
        "corpus.txt",
        "a\0b",
        "\ud800",
        "",
        "-",
        "x" * 5000,
    ]
    for _ in range(draw.randrange(1, 4)):
        value = draw.choice((*STRINGS, *NUMBERS[:-2], *ODD))
        key = draw.choice((*facts, "x", "\x1b[2J"))
        if draw.random() < 0.4:
            key, value = "sources", [draw.choice(places) for _ in range(draw.randrange(4))]
        facts[key] = value
    return json.dumps(facts).encode()


FIELDS = (
    *("nats_per_char", "gradient_norm", "gradient_norm_clipped", "lr", "gradient_norms"),
    *("update_to_weight", "gradient_by_lag", "profile_every", "validation_nats_per_char", "epoch"),
)


def hostile_rows(content: bytes, draw: random.Random) -> bytes:
    """Return a metrics.jsonl with rows of odd values, and lines that are no rows."""
    lines = content.splitlines()
    for _ in range(draw.randrange(1, 6)):
        row: dict[str, Any] = {"step": draw.choice((1, 2, 3, 5, *NUMBERS, *ODD))}
        for name in draw.sample(FIELDS, draw.randrange(1, 4)):
            value = draw.choice((*STRINGS, *NUMBERS, *ODD))
            row[name] = draw.choice((value, {"a": value}, {"a": {"ratio": [value, 1.0]}}, [value]))
        odd = (*RAW, b"\xff" * 50, b"[" * 100_000, b'{"step": 1', b"9" * 5_000, b"\0" * 100)
        lines.insert(
            draw.randrange(len(lines) + 1),
            draw.choice(odd) if draw.random() < 0.2 else json.dumps(row).encode(),
        )
    return b"\n".join(lines) + draw.choice((b"", b"\n"))


@pytest.mark.parametrize("count", tries(6, whole=120))
def test_a_hostile_run_folder_ends_each_command_properly(
    count: int, unfinished: Path, tmp_path: Path, record_figure: Record
) -> None:
    """run.json and metrics.jsonl drawn by seeds, through all commands that read them."""
    facts = json.loads((unfinished / "run" / "run.json").read_text(encoding="utf-8"))
    rows = (unfinished / "run" / "metrics.jsonl").read_bytes()
    commands: tuple[tuple[str, ...], ...] = (
        ("train", "--resume", "run", "--quiet"),
        ("eval", "run", "corpus.txt"),
        ("info", "run"),
        ("inspect-gradients", "--live", "run"),
        ("sample", "run", "--length", "5", "--prime", "the cat sat on"),
    )
    codes: dict[int, int] = {}
    calls = 0
    with contextlib.chdir(tmp_path):
        os.mkfifo("pipe")
        shutil.copy(unfinished / "corpus.txt", "corpus.txt")
        for seed in range(count):
            draw = random.Random(seed)
            shutil.rmtree("run", ignore_errors=True)
            shutil.copytree(unfinished / "run", "run")
            which = draw.choice(("facts", "rows", "both"))
            if which != "rows":
                Path("run/run.json").write_bytes(hostile_facts(facts, draw))
            if which != "facts":
                Path("run/metrics.jsonl").write_bytes(hostile_rows(rows, draw))
            before = {path.name for path in Path().iterdir()}
            for command in reversed(commands):
                code, out, err = invoke(*command)
                calls += 1
                codes[code] = codes.get(code, 0) + 1
                assert code in (0, 4, 5), (seed, command, err)
                assert len(err) < 4_000
                assert not CONTROL.search(err), (seed, command, ascii(err))
                assert command[0] == "sample" or not CONTROL.search(out), (seed, command)
            assert {path.name for path in Path().iterdir()} == before
    assert codes.keys() >= {0, 4}
    record_figure(
        "run folders", f"{count} hostile folders, {calls} commands, exit codes {sorted(codes)}"
    )


HOOK = r"""
import os, sys
def _watch(event, arguments):
    if event.startswith("socket."):
        descriptor = os.open(os.environ["SOCKETS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{event} {arguments[1:2]}\n".encode())
        os.close(descriptor)
sys.addaudithook(_watch)
"""


@pytest.mark.parametrize("workers", tries(1, whole=2))
def test_no_command_opens_a_socket(workers: int, tmp_path: Path, record_figure: Record) -> None:
    """R26, in every process of every command; the pipes between workers are no network."""
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text(HOOK, "utf-8")
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("ab\tx\nba\ty\naab\tx\nbba\ty\nabb\tx\n" * 3, "utf-8")
    log = tmp_path / "sockets"
    package = str(Path(__file__).parents[2])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(tmp_path / "hooks"), package)),
        "SOCKETS": str(log),
    }

    def call(*words: str) -> None:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    call(sys.executable, "-c", "import socket; socket.socket().close()")
    assert log.read_text(encoding="utf-8") == f"socket.__new__ ({int(socket.AF_INET)},)\n"
    log.unlink()
    short = ("--hidden", "4", "--batch-size", "2", "--quiet", "--steps", "3")
    training = (
        (
            "train",
            "corpus.txt",
            *short,
            "--seq-length",
            "8",
            "--workers",
            str(workers),
            "--out",
            "run",
        ),
        ("train", "pairs.tsv", "--layout", "many-to-one", *short, "--workers", "1", "--out", "p"),
    )
    using = (
        ("train", "--resume", "run"),
        ("sample", "run", "--length", "5"),
        ("eval", "run", "corpus.txt"),
        ("info", "run"),
        ("inspect-gradients", "run"),
        ("inspect-text", "corpus.txt"),
        ("predict", "p", "ab"),
    )
    with ThreadPoolExecutor(2) as pool:
        for commands in (training, using):
            list(pool.map(lambda command: call(*PROGRAM, *command), commands))
    events = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    assert [line for line in events if line != f"socket.__new__ ({int(socket.AF_UNIX)},)"] == []
    record_figure("R26", f"{len(training) + len(using)} commands, no socket of a network")
