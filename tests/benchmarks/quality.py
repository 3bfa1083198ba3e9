"""Seconds until a text is predicted as well as 1.6, 1.5 and 1.47 nats a character.

    python -m tests.benchmarks.quality TEXT [--rows charrnn,recipe,char-rnn,gpt] [--json FILE]

The last tenth of TEXT is held out and scored whole, from the zero state (the GPT, which has none:
every character with at least half a window before it). Rows:

    charrnn    `charrnn train TEXT --minutes M` for several M; the whole command's wall time
    recipe     our recipe, read from the checkpoint of --minutes 3, on PyTorch's fused LSTM
    char-rnn   the classic recipe: LSTM 2 × 128, Adam 2e-3, 50 sequences of 50 characters
    gpt        nanoGPT's recipe for a CPU: 4 layers, 4 heads, 128 units, 64 characters, batch 12,
               2,000 steps of AdamW at 1e-3, warm-up 100, cosine to 1e-4

A row ends when its time does (`--limit`, seconds), or with its own recipe; validation is not
counted in the rows of PyTorch. Two threads for all. Needs `pip install '.[bench]'` for the others.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.data.vocabulary import Vocabulary
from tests.benchmarks.measuring import options, show, torch_is_there, write_json

TARGETS = (1.6, 1.5, 1.47)
MINUTES = (0.25, 0.4, 0.6, 1, 1.5, 2, 3, 4, 6)

Curve = list[tuple[float, float]]
"""Seconds and validation loss, in order of time."""


def charrnn(text: Path, minutes: float, folder: Path) -> tuple[float, float]:
    """Run the command for so long; return its seconds and its loss."""
    began = time.perf_counter()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "charrnn", "train", str(text.absolute()), "--json", "--quiet"),
            *("--minutes", str(minutes), "--out", f"m{minutes:g}"),
        ],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began, json.loads(done.stdout)["validation_nats_per_char"]


def ours(text: Path, folder: Path, limit: float) -> Iterator[tuple[float, float]]:
    """Yield a point for each budget, until the last target is met."""
    for minutes in MINUTES:
        if 60 * minutes > limit:
            return
        point = charrnn(text, minutes, folder)
        yield point
        if point[1] <= TARGETS[-1]:
            return


def peer(name: str, text: Path, folder: Path, limit: float) -> Iterator[tuple[float, float]]:
    """Yield points of a PyTorch row."""
    from tests.benchmarks import peer_runs

    characters = text.read_text(encoding="utf-8")
    vocabulary = Vocabulary.from_text(characters)
    ids = vocabulary.encode(characters).astype(np.int64)
    split = int(len(ids) * 0.9)
    train, held = ids[:split], ids[split:]
    if name == "gpt":
        yield from peer_runs.gpt(train, held, len(vocabulary), limit)
    elif name == "char-rnn":
        yield from peer_runs.char_rnn(train, held, len(vocabulary), limit)
    else:
        path = folder / "m3" / "last.npz"
        if not path.exists():
            charrnn(text, 3, folder)
        checkpoint = load_checkpoint(path)
        if checkpoint.training is None:
            raise RuntimeError(f"{path} holds no training state")
        run = (checkpoint.config, checkpoint.training.config)
        yield from peer_runs.our_recipe(train, held, *run, limit)


def reached(curve: Curve, target: float) -> str:
    """Return the first time at which a curve is at the target or below."""
    times = [seconds for seconds, nats in curve if nats <= target]
    return f"{min(times):.0f} s" if times else "-"


def main() -> None:
    """Run the rows one after the other."""
    parser = options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("text", type=Path)
    parser.add_argument("--rows", default="charrnn,recipe,char-rnn,gpt")
    parser.add_argument("--limit", type=float, default=400.0, help="seconds a row may take")
    asked = parser.parse_args()
    limit = 20.0 if asked.quick else asked.limit
    curves: dict[str, Curve] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.rows.split(","):
            if name != "charrnn" and not torch_is_there():
                continue
            place = Path(folder)
            points = (
                ours(asked.text, place, limit)
                if name == "charrnn"
                else peer(name, asked.text, place, limit)
            )
            curves[name] = []
            for seconds, nats in points:
                curves[name].append((seconds, nats))
                print(f"{name}: {nats:.4f} nats after {seconds:.0f} s", flush=True)
    rows: list[list[str]] = []
    for name, curve in curves.items():
        best = min(curve, key=lambda point: point[1], default=(math.nan, math.nan))
        times = [reached(curve, target) for target in TARGETS]
        rows.append([name, *times, f"{best[1]:.3f} ({best[0]:.0f} s)"])
    show(("row", *(f"{target:g} nats" for target in TARGETS), "best"), rows)
    figures: dict[str, Any] = dict(curves)
    write_json(asked.json, figures)


if __name__ == "__main__":
    main()
