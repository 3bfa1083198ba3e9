"""What a character costs to train on, against the size of text and network.

    python -m tests.benchmarks.cost [--quick] [--json FILE] [--plot FILE] [--largest MEGABYTES]

The text is made up and repeated. Starting from one network, each of corpus size, units, layers,
batch size and time steps is changed alone. One worker; microseconds per character, the median of
rounds that go through all settings in turn. With a large text `charrnn train` itself is run too:
seconds until its first step, and the memory of its processes at their peak.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from tests.benchmarks.measuring import options, rate_of, show, write_json

V = 65
USUAL = {"megabytes": 1, "hidden": 256, "layers": 1, "batch": 32, "seq_length": 64}
CHANGES = {
    "megabytes": (1, 10, 100),
    "hidden": (64, 128, 256, 512),
    "layers": (1, 2, 3),
    "batch": (8, 16, 32, 64),
    "seq_length": (16, 32, 64, 128),
}
WORDS = (
    *("the", "of", "and", "to", "a", "in", "that", "it", "is", "was", "he", "for", "on", "with"),
    *("as", "his", "at", "be", "this", "have", "from", "or", "one", "had", "by", "word", "but"),
)


def microseconds(setting: dict[str, int], seconds: float) -> float:
    """Return what a character costs at one setting."""
    count = int(setting["megabytes"] * 1e6)
    ids = np.resize(np.random.default_rng(0).integers(V, size=1_000_000).astype(np.uint8), count)
    config = ModelConfig(V, V, hidden=setting["hidden"], layers=setting["layers"])
    training = TrainingConfig(10**9, seq_length=setting["seq_length"], batch_size=setting["batch"])
    initial = initialise(config, np.random.default_rng(0))
    with Trainer(config, training, TextDataset(ids), initial) as run:
        run.step()

        def work() -> float:
            run.step()
            return run.characters_per_step

        return 1e6 / rate_of(work, seconds)


def settings(quick: bool) -> list[tuple[str, dict[str, int]]]:
    """Return every setting and what is changed in it."""
    return [
        (name, USUAL | {name: value})
        for name, values in CHANGES.items()
        for value in (values[:1] if quick else values)
    ]


def made_up_text(path: Path, megabytes: int) -> None:
    """Write a megabyte of sentences again and again."""
    draw = random.Random(0)
    lines, size = [], 0
    while size < 1_000_000:
        line = " ".join(draw.choices(WORDS, k=draw.randint(4, 14))).capitalize() + ".\n"
        lines.append(line)
        size += len(line)
    piece = "".join(lines)[:1_000_000]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(megabytes):
            file.write(piece)


def train_on(megabytes: int, steps: int) -> dict[str, float]:
    """Run `charrnn train` on so large a text, and watch it."""
    with tempfile.TemporaryDirectory() as folder:
        made_up_text(Path(folder, "text.txt"), megabytes)
        command = [sys.executable, "-m", "charrnn", "train", "text.txt", "--hidden", "128"]
        began = time.perf_counter()
        run = subprocess.Popen(
            [*command, "--steps", str(steps), "--eval-every", str(steps), "--out", "run"],
            cwd=folder,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        anonymous, resident, first = 0.0, 0.0, float("nan")
        rows = Path(folder, "run", "metrics.jsonl")
        while run.poll() is None:
            a, r = memory_of_tree(run.pid)
            anonymous, resident = max(anonymous, a), max(resident, r)
            if first != first and rows.exists():
                first = time.perf_counter() - began
            time.sleep(0.05)
        whole = time.perf_counter() - began
        speeds = [
            row["chars_per_second"]
            for row in map(json.loads, rows.read_text(encoding="utf-8").splitlines())
            if "chars_per_second" in row
        ]
        return {
            "megabytes": megabytes,
            "seconds_to_first_step": first,
            "seconds": whole,
            "own_megabytes": anonymous,
            "resident_megabytes": resident,
            "chars_per_second": median(speeds),
        }


def memory_of_tree(pid: int) -> tuple[float, float]:
    """Return the megabytes of a process and its children: their own, and with mapped files."""
    own = resident = 0.0
    for one in [pid, *children(pid)]:
        try:
            status = Path(f"/proc/{one}/status").read_text(encoding="utf-8")
        except OSError:
            continue
        found = {
            line.split(":")[0]: float(line.split()[1]) / 1000
            for line in status.splitlines()
            if line.startswith(("RssAnon", "VmRSS"))
        }
        own += found.get("RssAnon", 0.0)
        resident += found.get("VmRSS", 0.0)
    return own, resident


def children(pid: int) -> list[int]:
    """Return the processes below one, where the system tells."""
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            text = (task / "children").read_text(encoding="utf-8")
            for child in map(int, text.split()):
                found += [child, *children(child)]
    except OSError:
        return found
    return found


def plot(path: Path, costs: Sequence[tuple[str, int, float]]) -> None:
    """Draw a panel for each thing that was changed."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(CHANGES), figsize=(14, 3), sharey=True)
    for axis, name in zip(axes, CHANGES, strict=True):
        points = [(value, cost) for changed, value, cost in costs if changed == name]
        axis.plot(*zip(*points, strict=True), marker="o", color="black")
        axis.set_xscale("log", base=2 if name != "megabytes" else 10)
        axis.set_xlabel(name.replace("_", " "))
    axes[0].set_ylabel("microseconds a character")
    axes[0].set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measure, tabulate, draw."""
    parser = options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--largest", type=int, default=0, help="megabytes of a run of the command")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    threadpool_limits(1, user_api="blas")
    chosen = settings(asked.quick)
    rounds, seconds = (1, 0.05) if asked.quick else (asked.rounds, 0.5)
    times = [[microseconds(one, seconds) for _, one in chosen] for _ in range(rounds)]
    costs = [
        (name, one[name], median(row[place] for row in times))
        for place, (name, one) in enumerate(chosen)
    ]
    rows = [[name.replace("_", " "), f"{value}", f"{cost:.2f}"] for name, value, cost in costs]
    show(("changed", "to", "µs a character"), rows)
    figures: dict[str, Any] = {"costs": costs}
    if asked.plot is not None:
        plot(asked.plot, costs)
    if asked.largest:
        runs = [train_on(megabytes, 60) for megabytes in (1, asked.largest)]
        show(
            ("a run on", "first step", "own memory", "with mapped files", "characters/s"),
            [
                [
                    f"{run['megabytes']:,} MB",
                    f"{run['seconds_to_first_step']:.1f} s",
                    f"{run['own_megabytes']:,.0f} MB",
                    f"{run['resident_megabytes']:,.0f} MB",
                    f"{run['chars_per_second']:,.0f}",
                ]
                for run in runs
            ],
        )
        figures["runs"] = runs
    write_json(asked.json, figures)


if __name__ == "__main__":
    main()
