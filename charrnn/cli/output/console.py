"""Console output: tables on stdout, messages and notes on stderr."""

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from charrnn.cli.output.safe_text import (
    byte_writer,
    label,
    one_line,
    stderr_is_terminal,
    unicode_ok,
    utf_8,
    visible,
    writing,
)
from charrnn.evaluation.baselines import Baselines
from charrnn.evaluation.text import LOSS_UNITS, loss_figures

MIN_COLUMNS = 40
"""Least width of tables in columns, so that numbers stay whole on a narrower terminal."""

MAX_COLUMNS = 78
"""Columns of a line that shows text of a model."""


class Screen(Console):
    """A console that makes control characters visible in everything it prints.

    Lines in a pipe or file have no blanks at their ends. A broken pipe is raised as
    `BrokenPipeError`, which `app` handles.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of `renderable`: text is made visible, codes of rich are kept."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text)
            yield segment if text == segment.text else segment._replace(text=text)

    def print(self, *objects: Any, **settings: Any) -> None:
        if self.is_terminal:
            super().print(*objects, **settings)
            return
        with self.capture() as capture:
            super().print(*objects, **settings)
        self.file.write(without_blanks(capture.get()))


def without_blanks(text: str) -> str:
    """Return lines without the blanks at their ends."""
    return re.sub(r"[ ]+$", "", text, flags=re.MULTILINE)


def answer(renderable: RenderableType) -> None:
    """Print an answer on stdout: UTF-8 in a pipe or file.

    Raises `StorageError` if stdout is closed or full.
    """
    with writing() as out:
        console = Screen(highlight=False, file=out)
        console.width = max(console.width, MIN_COLUMNS)
        with console.capture() as capture:
            Console.print(console, renderable)
        if console.is_terminal:
            out.write(capture.get())
        else:
            byte_writer(out)(utf_8(without_blanks(capture.get())))


def facts_table(facts: Mapping[str, str]) -> Table:
    """Return a table of names and values, one per line; control characters are made visible."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True, min_width=len("vocabulary"))
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text(label(value)))
    return table


def loss_table(
    losses: Mapping[str, float | None], highlighted: str, per: str = "character"
) -> Table:
    """Return a table of losses, best first, in nats and in bits per character or byte."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"per {per}", overflow="fold")
    for unit in LOSS_UNITS:
        table.add_column(unit, justify="right", no_wrap=True, min_width=6)
    known = {name: nats for name, nats in losses.items() if nats is not None}
    for name, nats in sorted(known.items(), key=lambda item: item[1]):
        style = "bold green" if name == highlighted else ""
        table.add_row(name, *loss_figures(nats), style=style)
    return table


def baseline_rows(baselines: Baselines) -> dict[str, float | None]:
    """Return the losses of the baselines by the names shown in tables."""
    return {
        "uniform": baselines.uniform,
        "unigram counts": baselines.unigram,
        "5-gram counts (Witten-Bell)": baselines.five_gram,
        "gzip -9": baselines.gzip,
        "xz": baselines.xz,
    }


def say(message: str) -> None:
    """Print one line on stderr, above the bar if there is one."""
    tqdm.write(visible(message), file=sys.stderr)


def warn(message: str) -> None:
    """Print one line of warning on stderr."""
    say(f"charrnn: note: {label(message)}")


def progress_bar(
    total: int, done: int = 0, *, shown: bool = True, leave: bool = True
) -> "tqdm[NoReturn]":
    """Return a bar on stderr; `describe` sets the text after it.

    Args:
        total: steps of the whole bar.
        done: steps already taken.
        shown: whether it is shown if stderr is a terminal.
        leave: whether it stays on the screen once it is closed.
    """
    tqdm.monitor_interval = 0  # no thread beside worker processes
    return tqdm(
        total=total,
        initial=done,
        disable=not (shown and stderr_is_terminal()),
        file=sys.stderr,
        ascii=not unicode_ok(),
        dynamic_ncols=True,
        leave=leave,
        bar_format="{percentage:3.0f}% |{bar}| {elapsed}<{remaining} {desc}",
    )


def describe(bar: "tqdm[NoReturn]", text: str) -> None:
    """Set the text after a bar, which is shown when the bar is next drawn."""
    bar.set_description_str(one_line(text), refresh=False)


def print_above_bar(renderable: RenderableType, *, quiet: bool) -> None:
    """Print something that is more than a line on stderr, above the bar if there is one."""
    with tqdm.external_write_mode(file=sys.stderr):
        Screen(stderr=True, highlight=False, quiet=quiet).print(renderable)


def duration(seconds: float) -> str:
    """Return a duration as text: 42 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
