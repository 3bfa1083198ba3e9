"""`charrnn report`: a run as one HTML page to hand in or to publish, or as a model card."""

from pathlib import Path
from typing import Annotated

import typer

from charrnn.checkpointing.lookup import checked_path
from charrnn.cli.options import CheckpointArgument, Quiet
from charrnn.cli.output.console import describe, progress_bar, say
from charrnn.cli.output.safe_text import label, write_plain
from charrnn.cli.report import markdown as markdown_writer
from charrnn.cli.report import page as page_writer
from charrnn.cli.report.collect import PARTS, collect
from charrnn.cli.report.content import Report
from charrnn.cli.report.run_data import RunData, load_run
from charrnn.errors import StorageError
from charrnn.system.files import read_regular_file, write_atomically

MARKERS = (page_writer.MARKER.encode(), markdown_writer.MARKER.encode())

MARKER_BYTES = 2_000
"""Bytes at the beginning of a file in which the mark of a report is."""

MAX_REPORT_BYTES = 2**26
"""Largest file that is taken for an earlier report."""


def report(
    checkpoint: CheckpointArgument = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File to write. Default: report.html, or report.md, in the folder of the run. An "
            "earlier report is replaced, any other file is kept.",
        ),
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Write a model card in Markdown instead of a page."),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of samples and of measured windows.")
    ] = 0,
    quiet: Quiet = False,
) -> None:
    """Write a report on a run: one HTML page that shows what was trained and how well.

    The page needs no network and no other file. It shows the training data, the loss curve, the
    score beside baselines, samples, the text by surprisal with the activity of every unit, how far
    the gradient reaches, and the command that repeats the run.
    """
    if not markdown:
        page_writer.check_jinja()
    run = load_run(checkpoint)
    target = target_of(run, out, markdown=markdown)
    check_target(target)
    if checkpoint is None and not quiet:
        say(f"charrnn: reporting on {label(str(run.path))}")
    found = measured(run, seed, quiet=quiet)
    text = markdown_writer.markdown(found) if markdown else page_writer.page(found)
    write_report(target, text)
    if not quiet:
        write_plain(f"{label(str(target))}\n")


def target_of(run: RunData, out: str | None, *, markdown: bool) -> Path:
    """Return the file to write."""
    if out is not None:
        return checked_path(out)
    return run.folder / ("report.md" if markdown else "report.html")


def check_target(path: Path) -> None:
    """Raise `StorageError` unless a report can be written there: nothing, or an earlier report."""
    try:
        if not path.parent.is_dir():
            problem = f"no folder {label(str(path.parent))} to write to"
            raise StorageError(problem, "another --out")
        if not path.exists():
            return
        content = read_regular_file(path, MAX_REPORT_BYTES)[:MARKER_BYTES]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(
            f"cannot write {label(str(path))} ({reason})", "another --out"
        ) from error
    if not any(marker in content for marker in MARKERS):
        raise StorageError(f"{label(str(path))} exists and is no report", "another --out")


def measured(run: RunData, seed: int, *, quiet: bool) -> Report:
    """Measure everything, with a bar on stderr."""
    with progress_bar(PARTS, shown=not quiet, leave=False) as bar:

        def announce(part: str) -> None:
            describe(bar, part)
            bar.refresh()
            bar.update(1)

        return collect(run, seed, announce)


def write_report(path: Path, text: str) -> None:
    """Write a report atomically; `StorageError` if that fails."""
    try:
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(
            f"cannot write {label(str(path))} ({reason})", "another --out"
        ) from error
