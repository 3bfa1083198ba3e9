"""Progress of a run: a bar where stderr is a terminal, else a line now and then."""

import math
import shutil
import time
from typing import NoReturn

from rich.console import RenderableType
from tqdm import tqdm

from charrnn.cli.output.console import (
    MAX_COLUMNS,
    describe,
    print_above_bar,
    progress_bar,
    say,
)
from charrnn.cli.output.safe_text import one_line, stderr_is_terminal
from charrnn.cli.output.text_columns import cut
from charrnn.training.events import Evaluation, Step

LINE_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal for a bar."""


class TrainingDisplay:
    """A bar over the whole run where stderr is a terminal, else a plain line now and then."""

    def __init__(self, steps: int, done: int, quiet: bool) -> None:
        self.steps, self.done, self.quiet = steps, done, quiet
        self.live = stderr_is_terminal() and not quiet
        self._spoke = -math.inf
        self._speed = 0.0
        self._bar: tqdm[NoReturn] | None = None

    def step(self, event: Step) -> None:
        """Move the bar, or say where the run stands."""
        keep = 0.9 if self._speed else 0.0
        self._speed = keep * self._speed + (1 - keep) * event.chars_per_second
        if self.live:
            if self._bar is None:
                self._bar = progress_bar(self.steps, self.done)
            self._bar.total = event.steps  # a run may be planned again
            describe(self._bar, self._figures(event))
            self._bar.update()
            return
        if not self.quiet and time.monotonic() - self._spoke >= LINE_EVERY:
            self._spoke = time.monotonic()
            say(f"step {event.step:,}/{event.steps:,}  {self._figures(event)}")

    def evaluation(self, event: Evaluation, epoch: float, sample: str) -> None:
        """Show the validation loss and, a little set off, what the model writes now."""
        if self.quiet:
            return
        best = f"{event.best_nats:.4f}"
        if event.best_exact_match is not None:
            best = f"{event.best_exact_match:.2%}"
        mark = "  best so far" if event.best else f"  (best {best})"
        shares = "".join(
            f"{name.replace('_', ' ')} {event.metrics[name]:.2%}, "
            for name in ("exact_match", "symbol_accuracy")
            if name in event.metrics
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
        print_above_bar(renderable, quiet=self.quiet)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

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
