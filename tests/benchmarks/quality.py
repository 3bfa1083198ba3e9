"""Loss by budget: nats per character of held-out text after so many seconds of training.

    python -m tests.benchmarks.quality TEXT --budgets 15,60,180 --seeds 0,1,2 --json FILE

The last tenth of TEXT is held out and scored whole, from the zero state (the GPT, which has none:
every character with at least half a window before it). Rows:

    charrnn         `charrnn train TEXT --minutes M`; seconds are the wall time of the command
    charrnn+ngrams  that run after `charrnn combine RUN --ngrams 8`, whose seconds are added
    recipe          the settings of that run on PyTorch's LSTM, which takes the place of an mlstm
    gpt             nanoGPT's recipe for a CPU: 4 layers, 4 heads, 128 units, 64 characters,
                    batch 12, AdamW at 1e-3, warm-up of 100 steps, cosine to 1e-4
    gpt-muon        the same with Muon at 0.02 for the matrices of the blocks: torch.optim.Muon,
                    except that its iterations are in float32, which is faster on a CPU
    gpt-2000        as gpt, but of 2,000 steps, as the recipe has it, whatever the budget
    char-rnn        the classic recipe: LSTM 2 × 128, Adam 2e-3, 50 sequences of 50 characters

Each cell is a training of its own, whose schedule ends with the budget. char-rnn, which has no
schedule, and gpt-2000 are trained once and read at each budget. The rows of PyTorch count the time
of training steps only. They report the best of validations at 70, 80, 90 and 100 % of the time, as
`charrnn train` reports its best one. Two threads for all. The exponents of the mixture are fitted
on the beginning of the held-out text: four numbers on about 46,000 characters.

Needs `pip install '.[bench]'` for the rows of PyTorch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.text_files import validation_start
from charrnn.data.vocabulary import Vocabulary
from charrnn.types import Ids
from tests.benchmarks.measuring import options, show, torch_is_there, write_json

ROWS = ("charrnn", "charrnn+ngrams", "recipe", "gpt", "gpt-muon", "char-rnn")
OURS = ("charrnn", "charrnn+ngrams")
ONCE = ("char-rnn", "gpt-2000")
"""Rows whose runs do not depend on the budget."""

HELD_OUT = 0.1
"""Fraction of a text, from its end, that is held out; it is that of `charrnn train`."""

VALIDATED = (0.7, 0.8, 0.9, 1.0)
"""Fractions of the budget after which PyTorch's rows are validated."""


@dataclass(frozen=True)
class Figure:
    """The loss of one run.

    Attributes:
        row: a name of `ROWS`.
        budget: seconds asked for.
        seed: seed of the run.
        nats: held-out loss in nats per character.
        seconds: time taken, without that of the mixture.
        mixture_seconds: time that `charrnn combine` took.
    """

    row: str
    budget: float
    seed: int
    nats: float
    seconds: float
    mixture_seconds: float = 0.0


class Bench:
    """A text, in a folder where the runs of charrnn are made.

    Args:
        text: the file.
        folder: an empty folder.
        inner: whether to leave out the last tenth, so that the end of the rest is held out.
    """

    def __init__(self, text: Path, folder: Path, *, inner: bool) -> None:
        self.folder = folder
        characters = text.read_text(encoding="utf-8")
        if inner:
            characters = characters[: validation_start(len(characters), HELD_OUT)]
        split = validation_start(len(characters), HELD_OUT)
        for name, part in (("text.txt", characters), ("held-out.txt", characters[split:])):
            (folder / name).write_text(part, encoding="utf-8", newline="")
        vocabulary = Vocabulary.from_text(characters)
        ids = vocabulary.encode(characters).astype(np.int64)
        self.train: Ids = ids[:split]
        self.held: Ids = ids[split:]
        self.V = len(vocabulary)
        self._runs: dict[tuple[float, int], Figure] = {}

    def command(self, *words: str) -> dict[str, Any]:
        """Run a command of charrnn; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "charrnn", *words, "--json"],
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"charrnn {' '.join(words)}: {done.stderr.decode()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def trained(self, budget: float, seed: int) -> Figure:
        """Return the run of charrnn for a budget and a seed, which is made once."""
        if (budget, seed) not in self._runs:
            began = time.perf_counter()
            found = self.command(
                *("train", "text.txt", "--quiet", "--minutes", str(budget / 60)),
                *("--seed", str(seed), "--out", run_name(budget, seed)),
            )
            seconds = time.perf_counter() - began
            nats = found["validation_nats_per_char"]
            self._runs[budget, seed] = Figure("charrnn", budget, seed, nats, seconds)
        return self._runs[budget, seed]

    def mixture(self, budget: float, seed: int) -> Figure:
        """Return that run with n-grams, scored by `charrnn eval`."""
        run, name = self.trained(budget, seed), run_name(budget, seed)
        began = time.perf_counter()
        self.command("combine", name, "--ngrams", "8", "--text", "text.txt", "-o", f"{name}.npz")
        seconds = time.perf_counter() - began
        scores = self.command("eval", f"{name}.npz", "held-out.txt", "--no-baselines")
        nats = scores["nats_per_char"]
        return Figure("charrnn+ngrams", budget, seed, nats, run.seconds, seconds)

    def points(self, row: str, seed: int, marks: Sequence[float]) -> Iterator[tuple[float, float]]:
        """Yield seconds and loss of a row of PyTorch at each mark, the last of which is the end."""
        from tests.benchmarks import peer_runs

        data = (self.train, self.held)
        if row == "char-rnn":
            return peer_runs.char_rnn(*data, self.V, seed, marks)
        if row != "recipe":
            steps = 2000 if row == "gpt-2000" else None
            muon = row == "gpt-muon"
            return peer_runs.gpt(*data, self.V, seed, marks, muon=muon, steps=steps)
        budget = marks[-1]
        self.trained(budget, seed)
        checkpoint = load_checkpoint(self.folder / run_name(budget, seed) / "last.npz")
        if checkpoint.training is None:
            raise RuntimeError("the last checkpoint of a run holds no training state")
        config = replace(checkpoint.config, cell="lstm")
        return peer_runs.our_recipe(*data, config, checkpoint.training.config, marks)

    def figures(self, row: str, budgets: Sequence[float], seed: int) -> Iterator[Figure]:
        """Yield the figures of a row for rising budgets."""
        if row in OURS:
            for budget in budgets:
                yield (self.trained if row == "charrnn" else self.mixture)(budget, seed)
        elif row in ONCE:
            reached = list(self.points(row, seed, budgets))
            for number, budget in enumerate(budgets):
                seconds, nats = best(reached[: number + 1])
                yield Figure(row, budget, seed, nats, seconds)
        else:
            for budget in budgets:
                reached = list(self.points(row, seed, [part * budget for part in VALIDATED]))
                yield Figure(row, budget, seed, best(reached)[1], reached[-1][0])


def run_name(budget: float, seed: int) -> str:
    """Return the name of the folder of a run."""
    return f"run-{budget:g}-{seed}"


def best(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the point of the lowest loss."""
    return min(points, key=lambda point: point[1])


def cell(figures: Sequence[Figure]) -> str:
    """Return the medians over seeds of loss and seconds, those of the mixture apart."""
    if not figures:
        return "-"
    seconds = f"{median(figure.seconds for figure in figures):.0f}"
    if added := median(figure.mixture_seconds for figure in figures):
        seconds += f" + {added:.0f}"
    return f"{median(figure.nats for figure in figures):.3f} ({seconds} s)"


def table(
    figures: Sequence[Figure], rows: Sequence[str], budgets: Sequence[float]
) -> list[list[str]]:
    """Return the cells of a table of rows by budgets."""
    found: dict[tuple[str, float], list[Figure]] = {}
    for figure in figures:
        found.setdefault((figure.row, figure.budget), []).append(figure)
    return [[row, *(cell(found.get((row, budget), [])) for budget in budgets)] for row in rows]


def main() -> None:
    """Train all rows, one after the other, seed by seed, and print their table."""
    parser = options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("text", type=Path)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"among {', '.join(ROWS)}, gpt-2000")
    parser.add_argument("--budgets", default="15,60,180", help="seconds of training")
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--inner", action="store_true", help="train on the first 81 %% and score the next 9 %%"
    )
    asked = parser.parse_args()
    rows = asked.rows.split(",")
    if unknown := {*rows} - {*ROWS, *ONCE}:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    if not torch_is_there():
        rows = [row for row in rows if row in OURS]
    budgets = [5.0] if asked.quick else sorted(float(part) for part in asked.budgets.split(","))
    seeds = [0] if asked.quick else [int(part) for part in asked.seeds.split(",")]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked.text, Path(folder), inner=asked.inner)
        for seed in seeds:
            for row in rows:
                for figure in bench.figures(row, budgets, seed):
                    figures.append(figure)
                    at = f"{figure.budget:g} s, seed {seed}"
                    print(f"{row}, {at}: {figure.nats:.4f} nats {cell([figure])}", flush=True)
                    write_json(asked.json, [asdict(one) for one in figures])
    show(("row", *(f"{budget:g} s" for budget in budgets)), table(figures, rows, budgets))


if __name__ == "__main__":
    main()
