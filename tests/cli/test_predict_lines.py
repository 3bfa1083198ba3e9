"""`charrnn predict` on many lines: order, timeliness, memory, and lines that cannot be answered."""

import os
import random
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli import answer_writer, input_lines
from charrnn.cli.answer_writer import AnswerWriter
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def run_of_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says whether a text ends in a; trained for a few steps."""
    from typer.testing import CliRunner

    from charrnn.cli.app import app

    place = tmp_path_factory.mktemp("lines")
    rng = random.Random(1)
    texts = {"".join(rng.choice("abcé") for _ in range(rng.randint(2, 9))) for _ in range(200)}
    pairs = "".join(f"{text}\t{'yes' if text[-1] == 'a' else 'no'}\n" for text in sorted(texts))
    (place / "pairs.tsv").write_text(pairs, encoding="utf-8")
    arguments = [
        *("train", str(place / "pairs.tsv"), "--layout", "many-to-one", "--hidden", "12"),
        *("--steps", "40", "--workers", "1", "--lr", "0.1", "--out", str(place / "run"), "--quiet"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    return place / "run"


def texts_of(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice("abcé") for _ in range(rng.randint(1, 12))) for _ in range(count)]


def test_many_lines_are_answered_as_one_by_one_in_their_order(
    run_cli: Call, run_of_labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = texts_of(700)
    model = Predictor.of(load_checkpoint(run_of_labels / "best.npz"))
    expected = "".join(f"{model.answer([text])[0].text}\n" for text in texts)
    content = "\n".join(texts).encode()
    assert run_cli("predict", run_of_labels, stdin=content).stdout == expected
    assert {"yes", "no"} == set(expected.split())
    monkeypatch.setattr(input_lines, "READ_BYTES", 100)
    monkeypatch.setattr(answer_writer, "MAX_AT_ONCE", 90)
    assert run_cli("predict", run_of_labels, stdin=content).stdout == expected


@pytest.mark.parametrize("at_once", [1, 7, 2**13])
@pytest.mark.parametrize("read_bytes", [1, 50, 2**18])
def test_wrong_lines_anywhere_leave_the_others_in_their_places(
    run_cli: Call,
    run_of_labels: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    read_bytes: int,
) -> None:
    monkeypatch.setattr(input_lines, "READ_BYTES", read_bytes)
    monkeypatch.setattr(answer_writer, "MAX_AT_ONCE", at_once)
    monkeypatch.setattr(answer_writer, "MIN_AT_ONCE", 1)
    rng = random.Random(at_once)
    lines = [text.encode() for text in texts_of(60, at_once)]
    wrong = {at: rng.choice([b"", b"q", b"a\xffb"]) for at in rng.sample(range(59), 20)}
    for at, line in wrong.items():
        lines[at] = line
    content = b"\r\n".join(lines)
    skipping = run_cli("predict", run_of_labels, "--on-error", "skip", stdin=content)
    rows = skipping.stdout.split("\n")[:-1]
    assert [at for at, row in enumerate(rows) if not row] == sorted(wrong)
    bad = sorted(at for at, line in wrong.items() if line)
    assert f"skipped {len(bad)} lines, the first of them: standard input line {bad[0] + 1}:" in (
        " ".join(skipping.stderr.split())
    )
    empty = sorted(at for at, line in wrong.items() if not line)
    assert f"{len(empty)} empty lines have no answer, first line {empty[0] + 1}" in skipping.stderr
    stopping = run_cli("predict", run_of_labels, stdin=content)
    assert stopping.exit_code == 4
    assert f"standard input line {bad[0] + 1}" in stopping.stderr
    before = [row for row, line in zip(rows, lines[: bad[0]], strict=False)]
    while before and not before[-1]:
        before.pop()
    assert stopping.stdout == "".join(f"{row}\n" for row in before)


@pytest.fixture
def process(run_of_labels: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`charrnn predict` between two pipes."""
    command = [sys.executable, "-m", "charrnn", "predict", str(run_of_labels)]
    environment = {name: it for name, it in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as running:
        yield running
        running.kill()


@pytest.mark.skipif(os.name == "nt", reason="pipes cannot be selected on Windows")
def test_a_slow_pipe_is_answered_line_by_line(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    for content, answers in ((b"ab\n", 1), (b"cab\nbaa\n", 2), (b"c", 0), (b"c\n", 1)):
        os.write(process.stdin.fileno(), content)
        found = b""
        while found.count(b"\n") < answers:
            assert select.select([process.stdout], [], [], 30)[0], "the answer is kept back"
            found += os.read(process.stdout.fileno(), 100)
        assert set(found.split()) <= {b"yes", b"no"}
    process.stdin.close()
    assert process.wait(30) == 0


MEMORY = """
import resource, sys
from charrnn.__main__ import main

lines = int(sys.argv.pop())
text = "".join(f"{'abc'[n % 3]}{'cab'[n // 7 % 3] * (n % 11)}{n % 2 * 'b'}\\n" for n in range(1000))
class Lines:
    left = lines
    def read1(self, size):
        self.left -= 1000
        return text.encode() if self.left >= 0 else b""
class Stdin:
    buffer = Lines()
    def isatty(self):
        return False
sys.stdin = Stdin()
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_memory_does_not_grow_with_the_number_of_lines(run_of_labels: Path) -> None:
    peaks = []
    for lines in (20_000, 120_000):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, "predict", str(run_of_labels), str(lines)],
            capture_output=True,
            check=True,
        )
        assert done.stdout.count(b"\n") == lines
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] - peaks[0] < 8_000  # kilobytes; the lines alone are a megabyte, as objects 7


def test_no_input_is_encoded_twice(run_of_labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Predictor.of(load_checkpoint(run_of_labels / "best.npz"))
    writer = AnswerWriter(
        model, proba=False, beam=1, sampling=Sampling(), count=1, json=False, skip_errors=True
    )
    asked: list[str] = []
    real = model.prompt

    def prompt(field: str) -> np.ndarray[tuple[int, ...], np.dtype[np.integer]]:
        asked.append(field)
        return real(field)

    monkeypatch.setattr(model, "prompt", prompt)
    assert len(list(writer.lines([*texts_of(50), "q"], "utf-8"))) == 1
    assert asked == ["q"]  # only for its error


def test_unknown_characters_are_answered_and_counted_where_the_model_reads_them(
    run_cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = [(f"{a}{b}{c}", a) for a in "ab" for b in "abcde" for c in "abcde"]
    pairs += [("a\u00e7", "a"), ("b\u00f1", "b")]
    lines = "".join(f"{text}\t{answer}\n" for text, answer in pairs)
    Path("pairs.tsv").write_text(lines, encoding="utf-8")
    options = ("--layout", "many-to-one", "--hidden", "8", "--steps", "4", "--workers", "1")
    trained = run_cli("train", "pairs.tsv", *options, "--val-fraction", "0", "--out", "run")
    assert "read as one unknown symbol, in 2 of 52 training inputs" in trained.stderr
    content = "".join(f"{line}\n" for line in ["ab", "\u4e00", "", "a\u00e7", *["ba"] * 9]).encode()
    found = run_cli("predict", "run", stdin=content)
    assert len(found.stdout.splitlines()) == 13
    assert set(found.stdout.split()) <= {"a", "b"}
    assert (
        "2 inputs have characters that the model does not know, which it reads as one unknown "
        "symbol; the first is standard input line 2\n"
    ) in found.stderr
    assert "1 input has" in run_cli("predict", "run", "a\u4e00").stderr
    assert "not know" not in run_cli("predict", "run", "ab").stderr
    Path("scored.tsv").write_text("a\u4e00\ta\nb\u4e00\tb\nab\ta\n", encoding="utf-8")
    assert '"unknown_inputs": 0' in run_cli("eval", "run", "scored.tsv", "--json").stdout
    assert "unseen" in run_cli("info", "run").stdout
