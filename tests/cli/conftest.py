"""The command line under test: in this process where it can be, in one of its own where it must."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from charrnn.checkpointing.npz_file import read_archive
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.app import COMMANDS, app, options_of
from charrnn.cli.runs.metrics_log import MetricsLog
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.cli.train.loop import Run
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.data.vocabulary import Vocabulary
from charrnn.inference.model import Model
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.events import Step

LINE = "the cat sat on a mat and it was happy to see all of them there by noon"
WORDS = tuple(LINE.split())
PROGRAM = (sys.executable, "-m", "charrnn")


def call(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    """Run a command in this process; an exception that is no exit is ours, and passes through."""
    runner = CliRunner()
    return runner.invoke(app, [str(a) for a in arguments], input=stdin, catch_exceptions=False)


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def assert_advice_can_be_followed(stderr: str, words: Sequence[str]) -> None:
    """Check the options that errors and notes advise: the command they are for has them.

    That is the command an advice names (`charrnn X …`), else the one at hand.
    """
    at_hand = next((word for word in words if word in COMMANDS), None)
    for line in stderr.splitlines():
        if not line.startswith(("charrnn: error: ", "charrnn: note: ")):
            continue
        _, found, advice = line.partition("; try ")
        if not found or "…" in line:  # a long line is cut in its middle
            continue
        named = re.search(r"charrnn ([a-z-]+)", advice)
        command = named[1] if named and named[1] in COMMANDS else at_hand
        known = {"--help", "--version"} | (options_of(command) or set())
        missing = sorted(set(OPTION.findall(advice)) - known)
        assert not missing, f"charrnn {command} has no {missing}: {line}"


@pytest.fixture(autouse=True)
def _advice_can_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the advice in the messages of every command that a test runs in this process."""
    plain = CliRunner.invoke

    def invoke(self: CliRunner, app: Any, args: Any = None, *more: Any, **extra: Any) -> Result:
        result = plain(self, app, args, *more, **extra)
        assert_advice_can_be_followed(result.stderr, list(args or ()))
        return result

    monkeypatch.setattr(CliRunner, "invoke", invoke)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder of its own, on a plain screen of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.fixture
def run_cli() -> Callable[..., Result]:
    """Run a command in this process."""
    return call


@pytest.fixture
def process() -> Callable[..., "subprocess.CompletedProcess[bytes]"]:
    """Run a command in its own process, by a shell line in which `charrnn` is the program."""

    def run(
        line: str, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        program = " ".join(PROGRAM)
        done = subprocess.run(
            ["bash", "-c", f'set -o pipefail; charrnn() {{ {program} "$@"; }}; {line}'],
            capture_output=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(environment or {}),
        )
        assert_advice_can_be_followed(done.stderr.decode("utf-8", "replace"), line.split())
        return done

    return run


@pytest.fixture
def spawn() -> Callable[..., "subprocess.Popen[bytes]"]:
    """Start a command in its own process, to be killed."""

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    return start


@pytest.fixture(scope="session")
def sentences() -> str:
    """A small text of short lines."""
    draw = random.Random(1)
    lines = (" ".join(draw.choice(WORDS) for _ in range(8)) + "." for _ in range(80))
    return "\n".join(lines) + "\n"


@pytest.fixture
def corpus(empty_folder: Path, sentences: str) -> Path:
    """The small text in a file."""
    path = empty_folder / "corpus.txt"
    path.write_text(sentences, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Options of a run that takes a moment; its windows fit the small text without a note."""
    return (
        *("--hidden", "8", "--steps", "20", "--workers", "1", "--quiet"),
        *("--batch-size", "4", "--seq-length", "16", "--eval-every", "10", "--dropout", "0"),
    )


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, sentences: str, tiny: Sequence[str]
) -> Path:
    """A finished run's folder, to be read only; its corpus lies beside it."""
    place = tmp_path_factory.mktemp("finished")
    (place / "corpus.txt").write_text(sentences, encoding="utf-8")
    result = call("train", place / "corpus.txt", *tiny, "--out", place / "run")
    assert result.exit_code == 0, result.stderr
    return place / "run"


@pytest.fixture
def untrained() -> Callable[..., Model]:
    """Make a model with random weights that knows the given characters."""

    def make(characters: str, as_bytes: bool = False, seed: int = 0, **settings: Any) -> Model:
        vocabulary = Vocabulary(characters, as_bytes)
        size = len(vocabulary)
        config = ModelConfig(inputs=size, outputs=size, **{"hidden": 8} | settings)
        parameters = initialise(config, np.random.default_rng(seed))
        record = CorpusRecord("nothing", "0" * 64, 0, 0.1, as_bytes=as_bytes)
        return Model(Checkpoint(config, vocabulary, parameters, record, 0))

    return make


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Read a run's metrics.jsonl, strictly."""

    def read(folder: Path) -> list[dict[str, Any]]:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line, parse_constant=_refuse) for line in lines]

    return read


def _refuse(literal: str) -> None:
    raise AssertionError(f"{literal} is not JSON")


@pytest.fixture
def metadata() -> Callable[[Path], dict[str, Any]]:
    """Read the metadata of a checkpoint."""
    return lambda path: read_archive(path)[1]


@pytest.fixture
def assert_same() -> Callable[[Path, Path], None]:
    """Compare both checkpoints of two runs: first what they hold, then every byte."""

    def compare(one: Path, other: Path) -> None:
        for name in ("last.npz", "best.npz"):
            arrays, facts = read_archive(one / name)
            other_arrays, other_facts = read_archive(other / name)
            assert facts == other_facts
            assert arrays.keys() == other_arrays.keys()
            different = [
                key for key in arrays if arrays[key].tobytes() != other_arrays[key].tobytes()
            ]
            assert not different, f"{name} differs in {different}"
            assert (one / name).read_bytes() == (other / name).read_bytes()

    return compare


@pytest.fixture
def at_step(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[int, Callable[[], None]], None]]:
    """Let something happen just after training has taken this step.

    An exception that it raises stands for SIGKILL: nothing more is written.
    """
    plain = TrainingDisplay.step
    dead = pytest.MonkeyPatch()

    def arrange(step: int, happens: Callable[[], None]) -> None:
        dead.undo()

        def watch(self: TrainingDisplay, event: Step) -> None:
            plain(self, event)
            if event.step == step:
                try:
                    happens()
                except BaseException:
                    dead.setattr(Run, "_rescue", lambda _: False)
                    dead.setattr(RunFolder, "discard", lambda _: None)
                    dead.setattr(MetricsLog, "close", MetricsLog.discard_rows)
                    raise

        monkeypatch.setattr(TrainingDisplay, "step", watch)

    yield arrange
    dead.undo()


@pytest.fixture(scope="session")
def dangerous() -> frozenset[str]:
    """What may not reach a terminal: control characters, C1, separators, direction marks."""
    codes = [*range(9), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F]
    codes += [*range(0x2028, 0x202F), *range(0x2066, 0x206A)]
    return frozenset(map(chr, codes))
