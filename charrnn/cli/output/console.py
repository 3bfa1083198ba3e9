"""What people see: tables on stdout, everything about a run on stderr."""

import math
import re
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from charrnn.cli.output.safe_text import (
    label,
    one_line,
    unicode_ok,
    visible,
    write_plain,
    writing,
)
from charrnn.cli.output.text_columns import cut
from charrnn.evaluation.baselines import Baselines
from charrnn.training.events import Evaluation, Step

LINE_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal for a bar."""


MIN_COLUMNS = 40
"""Columns that tables take at least, so that no digit of a number is lost on a narrower screen."""

MAX_COLUMNS = 78
"""Columns of a line that shows what a model writes."""


class Screen(Console):
    """A console without blanks at the ends of lines in a pipe or file.

    It leaves it to `app` what a reader who has gone away means.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

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
    text = capture.get()
    write_plain(text if console.is_terminal else without_blanks(text))


def facts_table(facts: Mapping[str, str]) -> Table:
    """Lay out names and values, a line each; values may come from a file, and are made safe."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True, min_width=len("vocabulary"))
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text(label(value)))
    return table


def loss_table(
    losses: Mapping[str, float | None], highlighted: str, per: str = "character"
) -> Table:
    """Lay out losses beside each other, best first, in nats and in bits per character or byte."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"per {per}", overflow="fold")
    for unit in ("nats", "bits", "perplexity"):
        table.add_column(unit, justify="right", no_wrap=True, min_width=6)
    known = {name: nats for name, nats in losses.items() if nats is not None}
    for name, nats in sorted(known.items(), key=lambda item: item[1]):
        style = "bold green" if name == highlighted else ""
        perplexity = f"{math.exp(nats):.2f}" if nats < 20 else "-"
        table.add_row(name, f"{nats:.4f}", f"{nats / math.log(2):.4f}", perplexity, style=style)
    return table


def baseline_rows(baselines: Baselines) -> dict[str, float | None]:
    """Return the baselines under names that say what they are."""
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


def duration(seconds: float) -> str:
    """Return a time as people say it: 42 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class TrainingDisplay:
    """A bar over the whole run where stderr is a terminal, else a plain line now and then."""

    def __init__(self, steps: int, done: int, quiet: bool) -> None:
        tqdm.monitor_interval = 0  # no thread beside the worker processes
        self.steps, self.done, self.quiet = steps, done, quiet
        self.live = sys.stderr is not None and sys.stderr.isatty() and not quiet
        self._spoke = -math.inf
        self._speed = 0.0
        self._bar: tqdm[NoReturn] | None = None

    def step(self, event: Step) -> None:
        """Move the bar, or say where the run stands."""
        keep = 0.9 if self._speed else 0.0
        self._speed = keep * self._speed + (1 - keep) * event.chars_per_second
        if self.live:
            if self._bar is None:
                self._bar = self._new_bar()
            self._bar.set_description_str(self._figures(event), refresh=False)
            self._bar.update()
            return
        if not self.quiet and time.monotonic() - self._spoke >= LINE_EVERY:
            self._spoke = time.monotonic()
            say(f"step {event.step:,}/{event.steps:,}  {self._figures(event)}")

    def evaluation(self, event: Evaluation, epoch: float, sample: str) -> None:
        """Show the validation loss and, a little set off, what the model writes now."""
        if self.quiet:
            return
        mark = "  best so far" if event.best else f"  (best {event.best_nats:.4f})"
        shares = "".join(
            f"{name.replace('_', ' ')} {event.figures[name]:.2%}, "
            for name in ("exact_match", "symbol_accuracy")
            if name in event.figures
        )
        say(
            f"step {event.step:,}, epoch {epoch:.2f}: validation {shares}{event.nats:.4f} nats, "
            f"{event.nats / math.log(2):.4f} bits{mark}"
        )
        self._quote(sample)

    def sample(self, step: int, text: str) -> None:
        """Show what the model writes at this step."""
        if not self.quiet:
            say(f"step {step:,}:")
            self._quote(text)

    def panel(self, renderable: RenderableType) -> None:
        """Print something that is more than a line above the bar."""
        with tqdm.external_write_mode(file=sys.stderr):
            Screen(stderr=True, highlight=False, quiet=self.quiet).print(renderable)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _new_bar(self) -> "tqdm[NoReturn]":
        return tqdm(
            total=self.steps,
            initial=self.done,
            file=sys.stderr,
            ascii=not unicode_ok(),
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% |{bar}| {elapsed}<{remaining} {desc}",
        )

    @staticmethod
    def _quote(text: str) -> None:
        columns = min(MAX_COLUMNS, shutil.get_terminal_size().columns - 2)
        for line in text.removesuffix("\n").split("\n") if text else ():
            say(cut(f"  | {one_line(line)}", columns))

    def _figures(self, event: Step) -> str:
        nats = event.smooth_nats
        return (
            f"{nats:.3f} nats {nats / math.log(2):.3f} bits, "
            f"|g| {event.gradient_norm:.2f}, {self._speed / 1000:.1f}k chars/s"
        )
