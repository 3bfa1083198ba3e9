"""Exact resume: a run interrupted ten times ends as if it had never stopped, bit for bit (R4, R5).

The settings cover all pairs of values of cell, optimiser, layers, layout, dropout, averaging and
backend, as the registries list them.
"""

import itertools
import json
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.layouts import LAYOUTS
from charrnn.data.pair_files import PairCorpus
from charrnn.data.pair_formats import Pair
from charrnn.data.vocabulary import Vocabulary
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training.backends import default_backend
from charrnn.training.prepared_data import PreparedData, PreparedText, prepare_pairs
from charrnn.training.snapshot import restore, snapshot
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer, train
from charrnn.training_config import BACKENDS, TrainingConfig
from tests.reliability.processes import Reporting, write_corpus
from tests.reliability.scale import tries

TEXT = "text"
FACTORS: dict[str, tuple[Any, ...]] = {
    "cell": tuple(CELLS),
    "optimiser": tuple(OPTIMISERS),
    "layers": (1, 2),
    "layout": (TEXT, *LAYOUTS),
    "dropout": (0.0, 0.3),
    "ema_decay": (0.0, 0.9),
    "label_smoothing": (0.0, 0.1),
    "backend": BACKENDS if default_backend() == "numba" else ("numpy",),
}
Settings = Mapping[str, Any]
INTERRUPTIONS = 10
PAUSE = "0.02"
"""Seconds after each save of the real command, so that it does not outrun the signals."""

RECORD = CorpusRecord("corpus", "0" * 64, 1000, 0.2)


def pairs_of(settings: Settings) -> set[tuple[str, Any, str, Any]]:
    """Return the pairs of values in a combination."""
    return {(a, settings[a], b, settings[b]) for a, b in itertools.combinations(FACTORS, 2)}


def covering_combinations() -> list[Settings]:
    """Return combinations that contain every pair of values of two factors.

    Each is the best of some that are drawn around a pair that is still missing.
    """
    draw = random.Random(0)
    missing = {
        (a, x, b, y)
        for a, b in itertools.combinations(FACTORS, 2)
        for x, y in itertools.product(FACTORS[a], FACTORS[b])
    }
    found: list[Settings] = []
    while missing:
        a, x, b, y = min(missing, key=repr)
        drawn = [
            {name: draw.choice(values) for name, values in FACTORS.items()} | {a: x, b: y}
            for _ in range(60)
        ]
        found.append(max(drawn, key=lambda settings: len(pairs_of(settings) & missing)))
        missing -= pairs_of(found[-1])
    return found


COMBINATIONS = covering_combinations()


def title(settings: Settings) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def pairs_for(layout: str, count: int = 60) -> list[tuple[str, str]]:
    """Return pairs of different lengths that fit a layout."""
    draw = random.Random(3)
    made = {}
    for number in range(count):
        text = "".join(draw.choices("abcd", k=draw.randint(1, 12)))
        made[text] = {
            "one-to-one": (str(number), f"n{number % 7}"),
            "one-to-many": (f"L{number % 3}", text),
            "many-to-one": (text, "long" if len(text) > 5 else "short"),
            "many-to-many": (text, text[::-1][:4]),
            "synced": (text, text.upper()),
        }[layout]
    return list(dict.fromkeys(made.values()))


def prepared(layout: str) -> PreparedData:
    """Return a small text, or pairs of a layout, ready to train on."""
    if layout == TEXT:
        vocabulary = Vocabulary("abcdef")
        ids = np.random.default_rng(8).integers(6, size=150).astype(np.uint8)
        return PreparedText(vocabulary, TextDataset(ids[:120], ids[120:]), RECORD)
    pairs = tuple(Pair(*pair, f"line {n}") for n, pair in enumerate(pairs_for(layout), 1))
    return prepare_pairs(PairCorpus(pairs, "pairs"), layout, RECORD, seed=6)


def begin(settings: Settings, data: PreparedData, steps: int) -> Trainer:
    """Return a trainer at step 0."""
    model = ModelConfig(
        data.symbols.inputs,
        data.symbols.outputs,
        cell=settings["cell"],
        hidden=5,
        layers=settings["layers"],
        dropout=settings["dropout"],
        recurrent_dropout=settings["dropout"] / 2,
    )
    config = TrainingConfig(
        steps=steps,
        optimiser=settings["optimiser"],
        lr=OPTIMISERS[settings["optimiser"]].default_lr,
        warmup_steps=3,
        weight_decay=0.01,
        seq_length=5,
        batch_size=6,
        state_reset_prob=0.3 if settings["layout"] == TEXT else 1.0,
        ema_decay=settings["ema_decay"],
        label_smoothing=settings["label_smoothing"],
        eval_every=4,
        seed=6,
        backend=settings["backend"],
    )
    return Trainer(model, config, data.dataset, initialise(model, np.random.default_rng(1)))


def train_for(trainer: Trainer, events: int | None = None) -> int:
    """Train to the end, or for so many events; return how many there were."""
    count = 0
    for _ in train(trainer):
        count += 1
        if count == events:
            break
    return count


def saved(trainer: Trainer, data: PreparedData, path: Path) -> bytes:
    """Save a trainer and return the bytes: all arrays and the progress."""
    checkpoint = snapshot(trainer, data.symbols, data.record, resumable=True)
    save_checkpoint(path, checkpoint)
    return path.read_bytes()


def resumed(data: PreparedData, path: Path) -> Trainer:
    """Return a new trainer that stands where a saved one stood."""
    checkpoint = load_checkpoint(path)
    assert checkpoint.training is not None
    config = checkpoint.training.config
    trainer = Trainer(checkpoint.config, config, data.dataset, checkpoint.parameters)
    restore(trainer, checkpoint)
    return trainer


def test_the_combinations_contain_every_pair_of_values() -> None:
    covered = set().union(*map(pairs_of, COMBINATIONS))
    sizes = [len(values) for values in FACTORS.values()]
    assert len(covered) == sum(a * b for a, b in itertools.combinations(sizes, 2))
    assert len(COMBINATIONS) < np.prod(sizes) / 5


def check_combination(settings: Settings, path: Path, seed: int, steps: int = 40) -> None:
    """Train without and with ten interruptions at random events, and compare every byte."""
    data = prepared(settings["layout"])
    with begin(settings, data, steps) as whole:
        count = train_for(whole)
        assert whole.progress.step == steps, title(settings)
        expected = saved(whole, data, path)
    at = sorted(random.Random(seed).sample(range(1, count - 1), INTERRUPTIONS))
    trainer = begin(settings, data, steps)
    for events in np.diff([0, *at]):
        with trainer:
            train_for(trainer, int(events))
            saved(trainer, data, path)
        trainer = resumed(data, path)
    with trainer:
        assert not trainer.progress.finished(trainer.config)
        train_for(trainer)
        assert saved(trainer, data, path) == expected, title(settings)


@pytest.mark.parametrize("number", tries(6, whole=len(COMBINATIONS)))
def test_a_run_interrupted_ten_times_is_the_run_never_stopped(
    number: int, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    """In process: trained, saved, loaded, restored, trained."""
    for seed, settings in enumerate(COMBINATIONS[:number]):
        check_combination(settings, tmp_path / "last.npz", seed)
    record_figure(
        "exact resume in process",
        f"{number} combinations with all pairs of values of {', '.join(FACTORS)}; ten "
        "interruptions each; all bytes equal",
    )


def command_for(settings: Settings, workers: int) -> tuple[str, ...]:
    """Return the real command for a combination."""
    layout = settings["layout"]
    source = ("corpus.txt",) if layout == TEXT else ("pairs.tsv", "--layout", layout)
    return (
        *("train", *source, "--cell", settings["cell"], "--optimizer", settings["optimiser"]),
        *("--layers", str(settings["layers"]), "--dropout", str(settings["dropout"])),
        *("--ema-decay", str(settings["ema_decay"]), "--backend", settings["backend"]),
        *("--label-smoothing", str(settings["label_smoothing"])),
        *("--hidden", "6", "--batch-size", "4", "--steps", "120", "--eval-every", "7"),
        *("--patience", "0", "--workers", str(workers), "--quiet", "--save-every", "2"),
    )


def files_of(run: Path) -> tuple[bytes, bytes, list[dict[str, Any]]]:
    """Return best.npz, last.npz and the rows of metrics.jsonl without the speed."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("chars_per_second", None)
    return (run / "best.npz").read_bytes(), (run / "last.npz").read_bytes(), rows


def interrupt_command(settings: Settings, folder: Path, seed: int, times: int) -> None:
    """Run the real command whole and with interruptions, and compare what they write."""
    draw = random.Random(seed)
    folder.mkdir()
    write_corpus(folder)
    if settings["layout"] != TEXT:
        lines = "".join(f"{x}\t{y}\n" for x, y in pairs_for(settings["layout"]))
        (folder / "pairs.tsv").write_text(lines, encoding="utf-8")
    command = command_for(settings, 1 + seed % 2)
    with Reporting((*command, "--out", "whole"), folder) as running:
        assert running.process.wait(120) == 0, running.stderr()
    signals = [signal.SIGKILL, signal.SIGINT] * (times // 2)
    draw.shuffle(signals)
    arguments: Sequence[str] = (*command, "--out", "run")
    for place, number in enumerate(signals, 1):
        step = 8 * place + draw.randrange(8)
        with Reporting(arguments, folder, {"CHARRNN_TEST_PAUSE": PAUSE}) as running:
            running.wait_for(lambda event, at: event == "saved" and at >= step)  # noqa: B023
            code, _ = running.end(number)
            expected = -signal.SIGKILL if number == signal.SIGKILL else 128 + number
            assert code == expected, (title(settings), running.stderr())
        arguments = ("train", "--resume", "run", "--quiet", "--save-every", "2")
    with Reporting(arguments, folder) as running:
        assert running.process.wait(120) == 0, running.stderr()
    assert files_of(folder / "run") == files_of(folder / "whole"), title(settings)


@pytest.mark.parametrize(
    ("number", "times"),
    [(1, 4), pytest.param(12, INTERRUPTIONS, marks=pytest.mark.reliability)],
)
def test_a_command_interrupted_several_times_writes_the_same_bytes(
    number: int, times: int, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    """Half by SIGKILL, half by SIGINT; compared are checkpoints and rows of metrics.jsonl."""
    chosen = COMBINATIONS[:: len(COMBINATIONS) // 12][:number]
    with ThreadPoolExecutor(2) as pool:
        waiting = [
            pool.submit(interrupt_command, settings, tmp_path / str(seed), seed, times)
            for seed, settings in enumerate(chosen)
        ]
    for one in waiting:
        one.result()
    record_figure(
        "exact resume of the command",
        f"{number} combinations × {times} interruptions (half SIGKILL, half SIGINT), every second "
        "with two processes; checkpoints and rows equal",
    )
