"""Defaults of `charrnn train` beside their neighbours, on texts of several kinds.

    python -m tests.benchmarks.settings --minutes 0.5,2 --seeds 0 --json FILE

For each text and budget: the loss of the settings that the preset chooses, and by how much it
changes with the next smaller and larger hidden size (with the dropout of the preset for that size),
with less and more dropout, and with a lower and a higher learning rate. All have the same budget,
so that a larger network makes fewer steps. A negative change is one for the better: where it is
larger than the difference between seeds, the rule of the preset could be better.

The last tenth of each text is put aside and not read; the tenth before it is validated on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.text_files import validation_start
from tests.benchmarks.measuring import options, show, write_json
from tests.benchmarks.text_sets import TEXTS

HELD_OUT = 0.1
"""Fraction of a text, from its end, that is put aside."""

SIZES = (64, 128, 256, 384, 512, 768, 1024)
DROPOUTS = (0.0, 0.1, 0.25, 0.5, 0.65)
RATE_FACTORS = (0.6, 1.6)

QUICK_CHARACTERS = 5_000


@dataclass(frozen=True)
class Figure:
    """The loss of one run.

    Attributes:
        text: a name of `TEXTS`, or of a file.
        minutes: budget.
        seed: seed of the run.
        change: the option and value that differ from the preset's choice, or "".
        hidden: hidden size.
        dropout: dropout rate.
        recurrent_dropout: dropout rate of the recurrent weights.
        lr: learning rate.
        steps: training steps.
        nats: validation loss in nats per character.
    """

    text: str
    minutes: float
    seed: int
    change: str
    hidden: int
    dropout: float
    recurrent_dropout: float
    lr: float
    steps: int
    nats: float


def neighbours(values: Sequence[float], chosen: float) -> list[float]:
    """Return the nearest of `values` below and above the chosen one, where there are any.

    >>> neighbours((0.0, 0.1, 0.25), 0.1)
    [0.0, 0.25]
    """
    below = [value for value in values if value < chosen]
    above = [value for value in values if value > chosen]
    return [*below[-1:], *above[:1]]


def changes(default: Figure) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each change of a default, and the options of `charrnn train` for it."""
    for hidden in neighbours(SIZES, default.hidden):
        yield f"hidden {hidden:g}", ["--hidden", f"{hidden:g}"]
    size = ["--hidden", str(default.hidden)]
    for dropout in neighbours(DROPOUTS, default.dropout):
        yield f"dropout {dropout:g}", [*size, "--dropout", f"{dropout:g}"]
    same = [*size, "--dropout", f"{default.dropout:g}"]  # the preset's depends on measured speed
    if default.recurrent_dropout:
        same += ["--recurrent-dropout", f"{default.recurrent_dropout:g}"]
    for factor in RATE_FACTORS:
        yield f"lr × {factor:g}", [*same, "--lr", f"{factor * default.lr:.4g}"]


class Bench:
    """Trains on a file of one text.

    Args:
        name: the name of the text.
        file: what is trained on, and validated on at its end.
        options: further options of `charrnn train`.
    """

    def __init__(self, name: str, file: Path, options: Sequence[str]) -> None:
        self.name, self.file, self.options = name, file, options

    def run(self, minutes: float, seed: int, change: str, given: Sequence[str]) -> Figure:
        """Train once, with no network before it."""
        with tempfile.TemporaryDirectory() as folder:
            words = [*("--seed", str(seed)), *given, *self.options, "--out", folder + "/run"]
            if not {"--steps", "--epochs"} & {*words}:
                words += ["--minutes", f"{minutes:g}", "--train-teachers", "0"]
            done = subprocess.run(
                [sys.executable, "-m", "charrnn", "train", str(self.file), *words, "--json"],
                capture_output=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"charrnn train {' '.join(words)}: {done.stderr.decode()}")
            found: dict[str, Any] = json.loads(done.stdout)
            last = load_checkpoint(Path(folder) / "run" / "last.npz")
        if last.training is None:
            raise RuntimeError("the last checkpoint of a run holds no training state")
        config, nats = last.training.config, found["validation_nats_per_char"]
        return Figure(
            self.name,
            minutes,
            seed,
            change,
            last.config.hidden,
            last.config.dropout,
            last.config.recurrent_dropout,
            config.lr,
            found["steps"],
            nats,
        )


def read_text(name: str) -> str:
    """Return one of `TEXTS`, or the text of a file."""
    return TEXTS[name]() if name in TEXTS else Path(name).read_text(encoding="utf-8")


def inner_part(text: str) -> str:
    """Return a text without the last tenth."""
    return text[: validation_start(len(text), HELD_OUT)]


def main() -> None:
    """Run text by text, and print a table with a row for each text, budget and seed."""
    parser = options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--texts", default=",".join(TEXTS), help="names, or paths of files")
    parser.add_argument("--minutes", default="0.5")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--option", action="append", default=[], help="an option of train")
    asked = parser.parse_args()
    given = ["--steps", "3"] if asked.quick else asked.option
    names = ["python-docs"] if asked.quick else asked.texts.split(",")
    budgets = [0.0] if asked.quick else [float(part) for part in asked.minutes.split(",")]
    figures: list[Figure] = []
    for name in names:
        text = inner_part(read_text(name))[: QUICK_CHARACTERS if asked.quick else None]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "text.txt"
            file.write_text(text, encoding="utf-8", newline="")
            bench = Bench(name, file, given)
            for minutes in budgets:
                for seed in map(int, asked.seeds.split(",")):
                    default = bench.run(minutes, seed, "", [])
                    figures.append(default)
                    print(f"{name}, {minutes:g} min, seed {seed}: {described(default)}", flush=True)
                    for change, words in islice(changes(default), 1 if asked.quick else None):
                        figure = bench.run(minutes, seed, change, words)
                        figures.append(figure)
                        print(f"  {change}: {figure.nats - default.nats:+.4f}", flush=True)
                    write_json(asked.json, [asdict(figure) for figure in figures])
    rows = list(table(figures))
    show(("text", "minutes", "seed", "default", *COLUMNS), rows)


COLUMNS = ("smaller", "larger", "less dropout", "more", "lr lower", "higher")


def described(figure: Figure) -> str:
    """Return the loss and the settings of a run."""
    return (
        f"{figure.nats:.4f} ({figure.hidden} units, dropout {figure.dropout:g}, "
        f"{figure.steps:,} steps)"
    )


def table(figures: Sequence[Figure]) -> Iterator[list[str]]:
    """Yield a row for each default, with the change of the loss in each of `COLUMNS`."""
    for at, default in enumerate(figures):
        if default.change:
            continue
        cells = dict.fromkeys(COLUMNS, "-")
        for figure in figures[at + 1 :]:
            if not figure.change:
                break
            cells[column_of(figure, default)] = f"{figure.nats - default.nats:+.3f}"
        names = (default.text, f"{default.minutes:g}", str(default.seed), described(default))
        yield [*names, *cells.values()]


def column_of(figure: Figure, default: Figure) -> str:
    """Return the column of a run that differs from a default by its `change`."""
    if figure.change.startswith("hidden"):
        return "smaller" if figure.hidden < default.hidden else "larger"
    if figure.change.startswith("dropout"):
        return "less dropout" if figure.dropout < default.dropout else "more"
    return "lr lower" if figure.lr < default.lr else "higher"


if __name__ == "__main__":
    main()
