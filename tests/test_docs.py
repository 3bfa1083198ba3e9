"""README and docs: their commands and Python run, links lead somewhere, cli.md is fresh."""

import gzip
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from charrnn.cli.app import COMMANDS, app, load_command
from charrnn.cli.options import EARLIER_SPELLINGS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*) ?([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TINY = ("--steps", "2", "--hidden", "4", "--workers", "1")
"""Options that shorten a documented training run."""

SETTLED_BY = {"--steps", "--minutes", "--epochs", "--resume"}
"""Options of which a training command has one or none, so that none can be added."""


class Block(NamedTuple):
    """A block of code of a page."""

    page: Path
    language: str
    mark: str
    code: str


BLOCKS = [
    Block(page, *match.groups())
    for page in PAGES
    for match in FENCE.finditer(page.read_text(encoding="utf-8"))
]


def commands(block: Block) -> Iterator[str]:
    """Yield the charrnn commands of a block without their comments."""
    for line in block.code.splitlines():
        if block.language == "console":
            if not line.startswith("$ charrnn"):
                continue
            line = line.removeprefix("$ ")
        if line.startswith("charrnn "):
            yield re.split(r"\s+# ", line)[0].strip()


COMMAND_LINES = list(
    dict.fromkeys(
        (block.page.name, block.mark, line)
        for block in BLOCKS
        if block.language in ("sh", "console")
        for line in commands(block)
    )
)
PYTHON = [block for block in BLOCKS if block.language == "python"]


def test_pages_show_commands_and_python() -> None:
    assert len(COMMAND_LINES) > 40
    assert {page for page, _, _ in COMMAND_LINES} >= {"README.md", "getting-started.md"}
    assert len(PYTHON) >= 2


@pytest.mark.parametrize("line", sorted({line for _, _, line in COMMAND_LINES}))
def test_every_command_and_option_exists(line: str) -> None:
    words = shlex.split(line)
    assert words[1].startswith("--") or words[1] in COMMANDS
    if words[1] in COMMANDS:
        known = {
            flag
            for parameter in load_command(words[1]).params
            for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert used <= known, used - known
        assert not used & EARLIER_SPELLINGS.keys(), "pages show the present spellings"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the files and runs that the pages name."""
    folder = tmp_path_factory.mktemp("docs")
    text = "the cat sat on a mat. To be or not to be, I grew up in France\n" * 60
    for name in ("corpus.txt", "book.txt", "new.txt", "other.txt", "tinyshakespeare.txt"):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "notes").mkdir()
    (folder / "notes" / "note.txt").write_text(text, encoding="utf-8")
    (folder / "old.txt.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "dates.txt").write_text("March 3rd, 2021\n", encoding="utf-8")
    pairs = "".join(f"{name}{n}\t{kind}\n" for n in range(60) for name, kind in NAMES)
    for name in ("names.tsv", "more-names.tsv"):
        (folder / name).write_text(pairs, encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for line in (
            "train corpus.txt",
            "train corpus.txt --name a",
            "train corpus.txt --name b --cell gru",
            "train names.tsv --layout many-to-one",
            "train --builtin dates",
            "train --builtin languages",
            "train --builtin languages --layout one-to-many",
            "train --builtin france:100 --layout many-to-one",
        ):
            run(["charrnn", *line.split(), "--quiet"])
        run(["charrnn", *["export", "checkpoints/corpus", "--to", "safetensors"]])
    finally:
        os.chdir(before)
    return folder


NAMES = (("Anna", "f"), ("Bert", "m"), ("Ciel", "f"), ("Dora", "f"), ("Emil", "m"))


def run(words: list[str]) -> str:
    """Run a command of a page, training shortened; return its stdout."""
    given = None
    if "<" in words:
        at = words.index("<")
        given = Path(words[at + 1]).read_text(encoding="utf-8")
        words = words[:at] + words[at + 2 :]
    if words[1] == "train":
        if "--minutes" in words:
            at = words.index("--minutes")
            words = words[:at] + words[at + 2 :]
        if not SETTLED_BY & set(words):
            words = [*words, *TINY]
    result = CliRunner().invoke(app, words[1:], input=given)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


def cases() -> Iterator[object]:
    """Yield the commands that are run, the slow ones marked."""
    for page, mark, line in COMMAND_LINES:
        if mark != "no-run":
            slow = mark == "slow" or "--preset large" in line
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(line, id=f"{page}: {line}", marks=marks)


@pytest.mark.parametrize("line", list(cases()))
def test_every_command_runs(line: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = shlex.split(line)
    if "--plot" in words:
        pytest.importorskip("matplotlib")
    run(words)


@pytest.mark.parametrize(
    "block", PYTHON, ids=[f"{block.page.name}-{n}" for n, block in enumerate(PYTHON)]
)
def test_the_python_runs_and_prints_what_it_says(block: Block, place: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", block.code],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for expected in re.findall(r"print\(.*\) +# (.*)", block.code):
        assert expected in done.stdout


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def test_the_page_of_commands_is_fresh(tmp_path: Path) -> None:
    code = "import make_cli, sys; sys.stdout.buffer.write(make_cli.page().encode())"
    path = os.pathsep.join(map(str, (ROOT / "docs", ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == done.stdout.decode(), "run: python docs/make_cli.py"


def test_the_readme_is_short_and_shows_the_chart_first() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 180
    assert any("gradient norm relative to lag 0" in line for line in lines[:40])


def test_the_two_commands_are_one_line_each_and_in_a_virtual_environment() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert [("pytest" in line, "charrnn train" in line) for line in lines] == [
        (False, True),
        (True, False),
    ]


def test_the_architecture_page_names_every_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    packages = {path.parent.name for path in (ROOT / "charrnn").glob("*/__init__.py")}
    assert packages <= named
