"""R22: consoles, terminals, streams, folders and clocks that are not as usual.

Whatever surrounds a command, it ends with a defined exit code, and without a traceback.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle, product, repeat
from pathlib import Path

import pytest

from charrnn.cli.runs import environment
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.training.events import Step
from tests.reliability.scale import tries
from tests.reliability.terminal import CODES, assert_ended_well, on_pty, run

TINY = ("--hidden", "4", "--steps", "2", "--workers", "1", "--backend", "numpy")

STREAMS = {
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "stdin closed": "<&-",
    "all closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "stderr full": "2>/dev/full",
    "both full": ">/dev/full 2>/dev/full",
    "one line read": "| head -n 1",
    "no reader": "> >(true)",
    "no reader of stderr": "2> >(true)",
}
LINES = {
    "train": f"train corpus.txt {' '.join(TINY)} --eval-every 2",
    "train --json": f"train corpus.txt {' '.join(TINY)} --json",
    "sample": "sample run --length 5 --seed 1",
    "sample, long": "sample run --length 100000 --seed 1",
    "predict": "predict pairs 'the cat'",
    "predict, standard input": "predict pairs",
    "inspect": "inspect-gradients run --lags 3 --windows 2",
    "inspect --csv": "inspect-gradients run --lags 3 --windows 2 --csv",
    "inspect --show": "inspect-gradients run --show 'the cat' --csv",
    "inspect --live": "inspect-gradients run --live",
    "inspect-text": "inspect-text corpus.txt",
    "novelty": "novelty run --samples 2 --length 40",
    "eval": "eval run corpus.txt --no-baselines",
    "combine": "combine run --ngrams 3 --force",
    "compress": "compress run corpus.txt --output -",
    "info": "info run",
    "report": "report run",
    "help": "train --help",
    "an error": "train nowhere.txt",
    "a usage error": "train --hiden 3",
}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CONSOLES: dict[str, dict[str, str]] = {
    "UTF-8": {"PYTHONUTF8": "1"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C locale": C_LOCALE,
}
TERMINALS = {"dumb": {"TERM": "dumb"}, "20 columns": {"TERM": "xterm", "COLUMNS": "20"}}
QUICK = {
    ("inspect --csv", "stdout closed"),
    ("inspect --live", "stdout closed"),
    ("info", "all closed"),
    ("train", "stderr full"),
    ("a usage error", "stderr closed"),
}
"""What runs in every run of the tests; all else only with the marker, a process each."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a run, and a model of pairs."""
    place = tmp_path_factory.mktemp("surroundings")
    text = "".join(f"the cat sat {n % 7} on a mat → é 😀\n" for n in range(80))
    (place / "corpus.txt").write_text(text, encoding="utf-8")
    for words in (("corpus.txt", "--out", "run"), ("--builtin", "vowels", "--out", "pairs")):
        done = charrnn(("train", *words, *TINY, "--quiet"), place)
        assert done.returncode == 0, done.stderr
    return place


def charrnn(
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run a command in its own process, with pipes; an environment given is all there is."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "charrnn", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env=variables,
    )


def side_by_side(check: Callable[..., None], *columns: Iterable[object]) -> int:
    """Call a check for each row of arguments, one on each processor; return the number of rows."""
    rows = list(zip(*columns, strict=False))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda row: check(*row), rows))
    return len(rows)


def check_streams(
    line: str, streams: str, place: Path, folder: Path, console: str, terminal: str
) -> None:
    """Run a command with its streams redirected, and check how it ends."""
    folder.mkdir()
    log = folder / "stderr"
    where = STREAMS[streams] if "2>" in STREAMS[streams] else f"2>{log} {STREAMS[streams]}"
    extra = f" --out {shlex.quote(str(folder / 'new'))}" if line.startswith("train") else ""
    program = shlex.join([sys.executable, "-X", "faulthandler", "-m", "charrnn"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program} {LINES[line]}{extra} {where}"],
        cwd=place,
        capture_output=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | CONSOLES[console] | TERMINALS[terminal],
    )
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    said += done.stderr.decode("utf-8", "replace")
    what = f"{line}, {streams}, {console}, {terminal}: exit {done.returncode}: {said}"
    assert done.returncode in CODES, what
    for forbidden in ("Traceback", "Warning", "AttributeError", "ValueError", "Exception ignored"):
        assert forbidden not in said, what
    assert said.count("charrnn: error: ") <= 1, what
    # Those below depend on how `app` and `training_run` treat streams that cannot be written.
    if line == "train" and "stderr" in streams:
        assert (folder / "new" / "best.npz").exists(), what
    plain = not line.startswith("train") and line not in ("help", "an error", "a usage error")
    if streams == "stdout closed" and plain and line != "predict, standard input":
        assert done.returncode == 5, what
        assert said.count("charrnn: error: ") == 1, what
    if streams == "one line read" and plain:
        assert done.returncode == 0, what


def test_the_likeliest_broken_streams_end_no_command_in_a_traceback(
    place: Path, tmp_path: Path
) -> None:
    folders = (tmp_path / str(number) for number in count())
    lines, streams = zip(*sorted(QUICK), strict=True)
    tried = side_by_side(
        check_streams, lines, streams, repeat(place), folders, cycle(CONSOLES), cycle(TERMINALS)
    )
    assert tried == len(QUICK)


@pytest.mark.reliability
def test_no_stream_ends_a_command_in_a_traceback(
    place: Path, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    folders = (tmp_path / str(number) for number in count())
    lines, streams = zip(*product(LINES, STREAMS), strict=True)
    tried = side_by_side(
        check_streams, lines, streams, repeat(place), folders, cycle(CONSOLES), cycle(TERMINALS)
    )
    assert tried == len(LINES) * len(STREAMS)
    record_figure(
        "commands × streams, consoles and terminals in turn", f"{len(LINES)} × {len(STREAMS)}"
    )


def check_terminal(line: str, console: str, terminal: str, place: Path, folder: Path) -> None:
    """Run a command at a pseudo-terminal, and check how it ends."""
    extra = ("--out", str(folder)) if line.startswith("train") else ()
    arguments = (*shlex.split(LINES[line]), *extra)
    code, written = on_pty(*arguments, folder=place, **CONSOLES[console], **TERMINALS[terminal])
    text = written.decode("cp1252" if console == "cp1252" else "utf-8", "replace")
    what = f"{line}, {console}, {terminal}: exit {code}: {text}"
    refused = {"an error": 4, "a usage error": 2, "compress": 2}  # a file is not for a terminal
    assert code == refused.get(line, 0), what
    for forbidden in ("Traceback", "Error:"):
        assert forbidden not in text, what
    assert written.strip() or line == "predict, standard input", what


@pytest.mark.reliability
def test_no_console_or_narrow_terminal_ends_a_command(
    place: Path, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    lines, consoles = zip(*product(LINES, CONSOLES), strict=True)
    terminals = [tuple(TERMINALS)[(n + n // len(CONSOLES)) % 2] for n in range(len(lines))]
    folders = (tmp_path / str(number) for number in count())
    tried = side_by_side(check_terminal, lines, consoles, terminals, repeat(place), folders)
    assert len({*zip(consoles, terminals, strict=True)}) == len(CONSOLES) * len(TERMINALS)
    record_figure(
        "commands × consoles at a pseudo-terminal, dumb and of 20 columns in turn",
        f"{len(LINES)} × {len(CONSOLES)}",
    )
    assert tried == len(LINES) * len(CONSOLES)


def without_privileges() -> list[str]:
    """Return a prefix for which permissions count, for root too; skips where there is none."""
    if os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may write everything, and there is no setpriv")
    lost = "-dac_override,-dac_read_search,-fowner"
    return [setpriv, f"--bounding-set={lost}", f"--inh-caps={lost}"]


@pytest.fixture
def locked(place: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the folder with runs, in which nothing can be written."""
    folder = tmp_path / "locked"
    shutil.copytree(place, folder)
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield folder
    for path in folders:
        path.chmod(0o755)


READING = ("sample", "predict", "inspect", "inspect --csv", "inspect-text", "eval", "info")


@pytest.mark.parametrize("commands", tries(1, whole=len(READING)))
def test_a_folder_that_cannot_be_written_is_read_and_trained_elsewhere(
    commands: int, locked: Path, tmp_path: Path
) -> None:
    prefix = without_privileges()
    variables = os.environ | {"HOME": str(locked), "TMPDIR": str(locked)}
    for line in READING[:commands]:
        done = charrnn(shlex.split(LINES[line]), locked, variables, prefix)
        assert done.returncode == 0, (line, done.stderr)
        assert "Traceback" not in done.stderr
        assert "Warning" not in done.stderr
    places: tuple[tuple[tuple[str, ...], int], ...] = (
        ((), 5),
        (("--out", str(tmp_path / "new")), 0),
        (("--out", "new"), 5),
    )
    for extra, code in places[: commands + 1]:
        done = charrnn(("train", "corpus.txt", *TINY, *extra), locked, variables, prefix)
        assert done.returncode == code, done.stderr
        assert done.stderr.count("charrnn: error: ") == (code > 0), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.reliability
@pytest.mark.parametrize("missing", ["HOME", "everything", "TMPDIR"])
def test_commands_run_without_a_home_or_a_place_for_temporary_files(
    missing: str, place: Path, tmp_path: Path
) -> None:
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    if missing != "everything":
        variables = {name: value for name, value in os.environ.items() if name != missing}
    if missing == "TMPDIR":
        variables |= {"TMPDIR": "/nowhere"}
    lines = {name: shlex.split(LINES[name]) for name in READING}
    for backend in ("numpy", "numba"):
        words = ["train", "corpus.txt", *TINY[:4], "--workers", "2", "--backend", backend]
        lines[f"train, {backend}"] = [*words, "--out", str(tmp_path / backend)]
    lines["plot"] = [*lines["inspect"], "--plot", str(tmp_path / "plot.png")]
    for line, arguments in lines.items():
        done = charrnn(arguments, place, variables)
        assert done.returncode == 0, (line, done.stderr)
        assert "Traceback" not in done.stderr, (line, done.stderr)
        assert "Warning" not in done.stderr, (line, done.stderr)


DAY = 86_400.0


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_jumps_changes_neither_budget_nor_saves(
    jump: float, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, shown = time.time, TrainingDisplay.step

    def step(self: TrainingDisplay, event: Step) -> None:
        if event.step == 1:
            monkeypatch.setattr(time, "time", lambda: plain() + jump)
        shown(self, event)

    monkeypatch.setattr(TrainingDisplay, "step", step)
    corpus = str(place / "corpus.txt")
    train = ("train", corpus, "--hidden", "4", "--workers", "1", "--backend", "numpy", "--quiet")
    began = time.monotonic()
    monkeypatch.setattr(environment, "START_TIME", began)
    by_time = run(*train, "--minutes", "0.03", "--out", "timed")
    assert time.monotonic() - began < 60
    assert time.time() - plain() == pytest.approx(jump, abs=60)  # the jump did happen
    monkeypatch.setattr(time, "time", plain)
    by_steps = run(*train, "--steps", "12", "--save-every", "4", "--keep", "5", "--out", "counted")
    for outcome in (by_time, by_steps):
        assert_ended_well(outcome, jump)
        assert outcome.code == 0, outcome.messages
    saved = sorted(path.name for path in Path("counted").glob("step-*.npz"))
    assert saved == ["step-000004.npz", "step-000008.npz"]  # and last.npz
    assert not list(tmp_path.rglob("*.tmp-*"))
