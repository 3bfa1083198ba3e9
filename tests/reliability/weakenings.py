"""Proof that the tests bite: the package is weakened in one place at a time, and a test must fail.

    python -m tests.reliability.weakenings            # all, two at a time
    python -m tests.reliability.weakenings --list
    python -m tests.reliability.weakenings --only fsync-of-file-dropped

Each weakening of `weakening_list` is applied to a copy of the tree. There, ordinary use must still
work (`ordinary_use`), and one of the tests that the weakening names must fail. Before that, all
these tests must pass in the unchanged copy. The exit code is 1 unless every weakening is caught.
"""

import argparse
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from tests.reliability.weakening_list import WEAKENINGS, Weakening

ROOT = Path(__file__).parents[2]
NEEDED = ("charrnn", "data", "tests", "pyproject.toml")
"""What the tests need of the tree."""

OF_WORKERS = (
    "charrnn/system/child_processes.py",
    "charrnn/system/shared_arrays.py",
    "charrnn/system/signals.py",
    "charrnn/training/worker_pool.py",
)
"""Files that matter for ordinary use with two processes, which takes longer."""

MAX_SECONDS = 180.0
"""Time after which the tests of a weakening are ended; it then counts as not caught."""

MAX_UNCHANGED_SECONDS, UNCHANGED_TESTS = 900.0, 20
"""Time for some of the tests in the unchanged tree, and how many are run at a time."""

RUNNING: set["subprocess.Popen[bytes]"] = set()
"""The processes of this module that have not ended yet."""

FAILED = re.compile(r"^FAILED tests/(\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)
TESTS_FAILED = 1
"""Exit code of pytest if tests ran and some failed; others mean that they could not run."""


@dataclass(frozen=True)
class Result:
    """What became of a weakening: the test that caught it, or else why it was not caught."""

    weakening: Weakening
    caught_by: str | None
    problem: str
    seconds: float

    def __str__(self) -> str:
        verdict = self.caught_by or f"NOT CAUGHT: {self.problem}"
        return f"{row(self.weakening)} {self.seconds:5.1f} s  {verdict}"


def row(weakening: Weakening) -> str:
    """Return the name and the file of a weakening as columns."""
    return f"{weakening.name:<44} {weakening.file.removeprefix('charrnn/'):<30}"


def weakened(weakening: Weakening, root: Path = ROOT) -> str:
    """Return the source of the weakened file.

    Raises ValueError if the text to replace does not occur exactly once in the file.
    """
    source = (root / weakening.file).read_text(encoding="utf-8")
    found = source.count(weakening.old)
    if found != 1:
        raise ValueError(f"{weakening.name}: its text occurs {found} times in {weakening.file}")
    return source.replace(weakening.old, weakening.new)


def check_weakening(weakening: Weakening, root: Path = ROOT) -> None:
    """Check a weakening without running it.

    Raises ValueError if its text does not occur exactly once, if it changes nothing, or if a test
    that it names does not exist, and SyntaxError if the weakened file does not compile.
    """
    changed = ast.parse(weakened(weakening, root))
    if ast.dump(changed) == dumped((root / weakening.file).read_text(encoding="utf-8")):
        raise ValueError(f"{weakening.name} changes no code")
    compile(changed, weakening.file, "exec", dont_inherit=True)
    for test in weakening.tests:
        path, *_, function = test.split("::")
        if f"def {function}(" not in (root / "tests" / path).read_text(encoding="utf-8"):
            raise ValueError(f"{weakening.name}: there is no test {test}")


@cache
def dumped(source: str) -> str:
    """Return the syntax tree of a source as text, without comments and positions."""
    return ast.dump(ast.parse(source))


def copy_tree(target: Path) -> None:
    """Copy what the tests need, compiled files included."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            passing = shutil.ignore_patterns(".*", "*.pyc.*", "tmp*")  # compiled files half written
            shutil.copytree(source, target / name, ignore=passing)
        else:
            shutil.copy2(source, target / name)


STAMPS = count(1)
"""Times for changed files, in seconds: no two have the same."""


def write_source(path: Path, source: bytes) -> None:
    """Write a file with a time of its own, so that Python compiles it even at the same size."""
    path.write_bytes(source)
    stamp = next(STAMPS)
    os.utime(path, (stamp, stamp))


def run_python(tree: Path, *arguments: str, seconds: float = MAX_SECONDS) -> tuple[int, str]:
    """Run Python in a copy of the tree; return the exit code and the output.

    Raises TimeoutError after so many seconds.
    """
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    RUNNING.add(process)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        kill(process)
        process.communicate()
        raise TimeoutError(f"no end after {seconds:.0f} s") from error
    finally:
        RUNNING.discard(process)
    return process.returncode, output.decode("utf-8", "replace")


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process of `run_python`, with the processes that the tests in it have started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run_tests(tree: Path, tests: Sequence[str], seconds: float = MAX_SECONDS) -> tuple[int, str]:
    """Run tests in a copy of the tree up to the first failure."""
    paths = [f"tests/{test}" for test in tests]
    quiet = ("-q", "-x", "-rf", "--tb=line", "-p", "no:cacheprovider", "--hypothesis-seed=0")
    with tempfile.TemporaryDirectory() as folder:  # not that of other runs of the tests
        own = f"--basetemp={folder}/tests"
        return run_python(tree, "-m", "pytest", *quiet, own, *paths, seconds=seconds)


def use_ordinarily(tree: Path, workers: int) -> str:
    """Run `ordinary_use` in a copy of the tree; return why it fails, or an empty text."""
    with tempfile.TemporaryDirectory() as folder:
        module = "tests.reliability.ordinary_use"
        code, output = run_python(tree, "-m", module, folder, str(workers))
    return f"ordinary use fails: {output.strip().splitlines()[-1:]}" if code else ""


def run_weakening(weakening: Weakening, tree: Path) -> Result:
    """Apply a weakening to a copy of the tree, run its tests there, and take it back."""
    began = time.perf_counter()
    path = tree / weakening.file
    before = path.read_bytes()
    caught_by = None
    try:
        write_source(path, weakened(weakening, tree).encode())
        problem = use_ordinarily(tree, 2 if weakening.file in OF_WORKERS else 1)
        if not problem:
            code, output = run_tests(tree, weakening.tests)
            failed = FAILED.search(output)
            if code == TESTS_FAILED and failed:
                caught_by = failed[1]
            else:
                problem = f"pytest ends with {code}: {output.strip().splitlines()[-1:]}"
    except (ValueError, TimeoutError) as error:
        problem = str(error)
    finally:
        write_source(path, before)
    return Result(weakening, caught_by, problem, time.perf_counter() - began)


def run_weakenings(
    weakenings: Sequence[Weakening], workers: int = 2, *, check_first: bool = True
) -> Iterator[Result]:
    """Yield the result of each weakening, as soon as it is known.

    Args:
        weakenings: what to try.
        workers: how many to try at a time, each in its own copy of the tree.
        check_first: whether the tests must pass in the unchanged tree first.

    Raises RuntimeError if they do not, or if ordinary use fails there.
    """
    workers = max(1, min(workers, len(weakenings)))
    with tempfile.TemporaryDirectory() as folder, processes(workers) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            tree = Path(folder) / str(number)
            tree.mkdir()
            copy_tree(tree)
            trees.put(tree)

        def in_a_tree(weakening: Weakening) -> Result:
            tree = trees.get()
            try:
                return run_weakening(weakening, tree)
            finally:
                trees.put(tree)

        if check_first:
            named = sorted({test for weakening in weakenings for test in weakening.tests})
            check_unchanged(tree, named, pool)
        for done in as_completed([pool.submit(in_a_tree, one) for one in weakenings]):
            yield done.result()


@contextmanager
def processes(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield an executor; if it is left early, as by Ctrl-C, end what it is running."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(RUNNING):
            kill(process)
        pool.shutdown()


def check_unchanged(tree: Path, tests: Sequence[str], pool: ThreadPoolExecutor) -> None:
    """Raise RuntimeError unless ordinary use and all `tests` succeed in an unchanged copy."""

    def succeed(some: Sequence[str]) -> None:
        code, output = run_tests(tree, some, MAX_UNCHANGED_SECONDS)
        if code:
            raise RuntimeError(f"without any weakening, the tests fail:\n{output}")

    if problem := use_ordinarily(tree, 2):
        raise RuntimeError(f"without any weakening, {problem}")
    starts = range(0, len(tests), UNCHANGED_TESTS)
    list(pool.map(succeed, [tests[start : start + UNCHANGED_TESTS] for start in starts]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability.weakenings",
        description="Weaken the package in one place at a time; a test must fail each time.",
    )
    parser.add_argument("--list", action="store_true", help="show the weakenings, run nothing")
    parser.add_argument("--only", action="append", metavar="NAME", help="run this one (repeatable)")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default 2)")
    options = parser.parse_args(arguments)
    chosen = [one for one in WEAKENINGS if not options.only or one.name in options.only]
    if options.only and len(chosen) < len(set(options.only)):
        parser.error(f"--only has a name that --list does not show: {', '.join(options.only)}")
    if options.list:
        for one in chosen:
            print(row(one).rstrip())
        return 0
    began = time.perf_counter()
    caught = 0
    try:
        for result in run_weakenings(chosen, options.workers):
            print(result, flush=True)
            caught += result.caught_by is not None
    except (RuntimeError, TimeoutError) as error:
        print(error)
        return 1
    print(f"{caught} of {len(chosen)} caught in {time.perf_counter() - began:.0f} s")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
