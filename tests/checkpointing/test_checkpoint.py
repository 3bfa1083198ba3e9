"""Checkpoints: saved and loaded bit for bit, and every value validated when loading."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, DivergedError, StorageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training.snapshot import restore, snapshot
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

CHARACTERS = "cab \n"
IDS = np.random.default_rng(0).integers(0, len(CHARACTERS), 400).astype(np.uint8)
RECORD = CorpusRecord("text", "ab" * 32, 400, 0.1, min_count=2, normalise="nfc")


def make_trainer(
    cell: str = "lstm", optimiser: str = "adam", average: float = 0.9, steps: int = 12
) -> Trainer:
    V = len(CHARACTERS)
    config = ModelConfig(inputs=V, outputs=V, cell=cell, hidden=4, layers=2, dropout=0.2)
    run = TrainingConfig(
        steps=steps,
        optimiser=optimiser,
        lr=0.01,
        ema_decay=average,
        seq_length=5,
        batch_size=3,
        warmup_steps=2,
    )
    return Trainer(
        config, run, TextDataset(IDS, IDS[:50]), initialise(config, np.random.default_rng(1))
    )


def make(**settings: Any) -> Checkpoint:
    """A checkpoint of a run that has taken five steps and one validation."""
    trainer = make_trainer(**settings)
    for _ in range(5):
        trainer.step()
    trainer.evaluate()
    trainer.metrics = {"nats_per_char": 1.5}
    return snapshot(trainer, Vocabulary(CHARACTERS), RECORD, resumable=True)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_everything_comes_back_bit_for_bit(
    cell: str, optimiser: str, average: float, tmp_path: Path
) -> None:
    saved = make(cell=cell, optimiser=optimiser, average=average)
    save_checkpoint(tmp_path / "a.npz", saved)
    loaded = load_checkpoint(tmp_path / "a.npz")
    for name in ("config", "vocabulary", "corpus", "step", "validation"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.parameters.vector.tobytes() == saved.parameters.vector.tobytes()
    before, after = saved.training, loaded.training
    assert before is not None
    assert after is not None
    assert (after.config, after.progress, after.updates) == (
        before.config,
        before.progress,
        before.updates,
    )
    assert after.states.vector.tobytes() == before.states.vector.tobytes()
    assert np.abs(after.states.vector).max() > 0
    assert after.optimiser.keys() == before.optimiser.keys()
    for slot, values in before.optimiser.items():
        assert after.optimiser[slot].vector.tobytes() == values.vector.tobytes()
        assert np.abs(values.vector).max() > 0
    assert (after.parameters is None) == (average == 0.0)
    if before.parameters is not None and after.parameters is not None:
        assert after.parameters.vector.tobytes() == before.parameters.vector.tobytes()
        assert after.parameters.vector.tobytes() != loaded.parameters.vector.tobytes()
    save_checkpoint(tmp_path / "b.npz", loaded)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_restored_run_goes_on_as_if_never_stopped(
    cell: str, optimiser: str, tmp_path: Path
) -> None:
    whole = make_trainer(cell, optimiser)
    for _ in range(12):
        whole.step()

    save_checkpoint(tmp_path / "a.npz", make(cell=cell, optimiser=optimiser))
    resumed = make_trainer(cell, optimiser)
    restore(resumed, load_checkpoint(tmp_path / "a.npz"))
    for _ in range(7):
        resumed.step()
    assert resumed.parameters.vector.tobytes() == whole.parameters.vector.tobytes()
    assert resumed.model.vector.tobytes() == whole.model.vector.tobytes()
    assert resumed.states.vector.tobytes() == whole.states.vector.tobytes()


def test_restoring_does_not_share_progress_with_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = make()
    assert checkpoint.training is not None
    trainer = make_trainer()
    restore(trainer, checkpoint)
    trainer.step()
    assert trainer.progress.step == 6
    assert checkpoint.training.progress.step == 5


def test_plain_numpy_reads_keys_that_explain_themselves(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.npz", make())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        names = set(archive.files)
        metadata = json.loads(bytes(archive["metadata"]).decode())
        shapes = {name: archive[name].shape for name in names}
    weights = {
        *(f"layers.{layer}.{name}" for layer in (0, 1) for name in ("W_xh", "W_hh", "b_h")),
        *("W_hy", "b_y"),
    }
    states = {f"training.states.layers.{layer}.{name}" for layer in (0, 1) for name in "hc"}
    copies = ("training.parameters", "training.optimiser.mean", "training.optimiser.mean_square")
    assert names == {
        *("metadata", *weights, *states),
        *(f"{copy}.{name}" for copy in copies for name in weights),
    }
    assert shapes["layers.0.W_xh"] == (4, len(CHARACTERS), 4)
    assert shapes["layers.1.W_hh"] == (4, 4, 4)
    assert shapes["layers.0.b_h"] == (4, 4)
    assert shapes["W_hy"] == (4, len(CHARACTERS))
    assert shapes["training.states.layers.0.c"] == (3, 4)
    assert set(metadata) == {
        *("format", "charrnn", "step", "model", "vocabulary", "corpus", "validation", "training")
    }
    assert metadata["format"] == 1
    assert metadata["step"] == 5
    assert metadata["vocabulary"] == {"characters": CHARACTERS, "as_bytes": False}
    assert set(metadata["training"]) == {"config", "progress", "updates", "rollback"}


def test_what_is_only_to_be_used_holds_no_training(tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer.step()
    save_checkpoint(
        tmp_path / "a.npz",
        snapshot(trainer, Vocabulary(CHARACTERS), RECORD, resumable=False),
    )
    arrays, metadata = read_archive(tmp_path / "a.npz")
    assert metadata["training"] is None
    assert not any(name.startswith("training") for name in arrays)
    loaded = load_checkpoint(tmp_path / "a.npz")
    assert loaded.training is None
    assert loaded.validation == {}
    assert loaded.parameters.vector.tobytes() == trainer.model.vector.tobytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["parameters", "model"])
def test_what_is_not_finite_is_never_looked_at_as_a_checkpoint(value: float, which: str) -> None:
    trainer = make_trainer()
    trainer.step()
    getattr(trainer, which)["layers.1.W_hh"].flat[3] = value
    with pytest.raises(DivergedError, match=r"layers\.1\.W_hh is not finite at step 1"):
        snapshot(trainer, Vocabulary(CHARACTERS), RECORD, resumable=True)


def test_saving_where_nothing_can_be_written_is_an_error_of_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        save_checkpoint(tmp_path / "missing" / "a.npz", make())


def test_a_run_is_finished_once_its_last_step_is_validated_or_patience_is_at_its_end() -> None:
    state = make().training
    assert state is not None
    assert not state.finished
    state.progress.step = 12
    assert not state.finished
    state.progress.evaluated = 12
    assert state.finished


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4 almost"])
def test_what_is_no_archive_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.npz"):
        load_checkpoint(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=r"b\.npz"):
        load_checkpoint(tmp_path / "b.npz")


Arrays = dict[str, Array]
Metadata = dict[str, Any]
Change = Callable[[Arrays, Metadata], object]


def put(*path: str, value: Any) -> Change:
    """Set one value of the metadata."""

    def change(_arrays: Arrays, metadata: Metadata) -> None:
        place = metadata
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def drop(*path: str) -> Change:
    """Leave one value of the metadata out."""

    def change(_arrays: Arrays, metadata: Metadata) -> None:
        place = metadata
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def array(name: str, alter: Callable[[Array], Array]) -> Change:
    """Alter one array."""
    return lambda arrays, _metadata: arrays.__setitem__(name, alter(arrays[name]))


def set_last(value: float) -> Callable[[Array], Array]:
    """Set the last element of an array to `value`."""

    def alter(good: Array) -> Array:
        bad = good.copy()
        bad.flat[-1] = value
        return bad

    return alter


def transpose(good: Array) -> Array:
    return np.ascontiguousarray(np.swapaxes(good, -1, -2))


NONSENSE: dict[str, tuple[Change, str]] = {
    "no format": (drop("format"), r"format is missing"),
    "a format in words": (put("format", value="1"), r"format is missing or not of type int"),
    "a format that is true": (put("format", value=True), r"format is missing or not of type int"),
    "a format of the future": (put("format", value=4), r"format is 4, .*try a newer charrnn"),
    "no format at all": (put("format", value=0), r"no format 0"),
    "a negative format": (put("format", value=-1), r"no format -1"),
    "no model": (drop("model"), r"model is missing"),
    "a model that is a list": (put("model", value=[1]), r"model is missing or not of type dict"),
    "no cell": (drop("model", "cell"), r"model\.cell is missing"),
    "an unknown cell": (put("model", "cell", value="gnu"), r"model: no cell called 'gnu'"),
    "a cell that is code": (put("model", "cell", value="os.system"), r"no cell called 'os\.sys"),
    "a cell that is a number": (put("model", "cell", value=3), r"model\.cell .* wrong type"),
    "another cell": (put("model", "cell", value="gru"), r"array 'layers\.0\.W_xh' is .*\(4, 5, 4"),
    "an unknown field": (put("model", "depth", value=3), r"model\.depth is .*unknown"),
    "hidden that is true": (put("model", "hidden", value=True), r"model\.hidden .* wrong type"),
    "hidden that is a fraction": (put("model", "hidden", value=4.0), r"model\.hidden .* wrong ty"),
    "hidden that is zero": (put("model", "hidden", value=0), r"model: --hidden is 0"),
    "hidden that is huge": (put("model", "hidden", value=2**40), r"model: --hidden"),
    "another hidden": (put("model", "hidden", value=5), r"array 'layers\.0\.W_xh'"),
    "another number of layers": (put("model", "layers", value=3), r"'layers\.2\.W_xh' is missing"),
    "fewer layers": (put("model", "layers", value=1), r"'\S*layers\.1\.\S+' has no place"),
    "endless layers": (put("model", "layers", value=900), r"model\.layers is 900"),
    "full dropout": (put("model", "dropout", value=1.0), r"model: --dropout is 1"),
    "dropout that is true": (put("model", "dropout", value=True), r"model\.dropout .* wrong type"),
    "an unknown initialiser": (put("model", "init", value="magic"), r"no initialiser .*'magic'"),
    "other inputs": (put("model", "inputs", value=6), r"model\.inputs .* does not match 5"),
    "other outputs": (put("model", "outputs", value=6), r"does not match 5 characters"),
    "no vocabulary": (drop("vocabulary"), r"vocabulary is missing"),
    "an empty vocabulary": (put("vocabulary", "characters", value=""), r"vocabulary\.characters"),
    "a character twice": (
        put("vocabulary", "characters", value="caba\n"),
        r"vocabulary\.characters: .*once",
    ),
    "half a surrogate pair": (
        put("vocabulary", "characters", value="cab \ud800"),
        r"vocabulary\.characters: .*surrogate",
    ),
    "a vocabulary that is a list": (
        put("vocabulary", "characters", value=list(CHARACTERS)),
        r"vocabulary\.characters is missing or not of type str",
    ),
    "bytes beyond bytes": (
        put("vocabulary", value={"characters": "cab €", "as_bytes": True}),
        r"vocabulary\.characters: .*U\+00FF",
    ),
    "bytes or not": (put("vocabulary", "as_bytes", value=1), r"vocabulary\.as_bytes .*type bool"),
    "a shorter vocabulary": (put("vocabulary", "characters", value="cab"), r"match 3 characters"),
    "no corpus": (drop("corpus"), r"corpus is missing"),
    "a hash that is a number": (put("corpus", "sha256", value=7), r"corpus\.sha256 .* wrong type"),
    "a hash of escape codes": (
        put("corpus", "sha256", value="\x1b[31m"),
        r"corpus\.sha256 is '\\x1b\[31m', not 64",
    ),
    "a hash in capitals": (put("corpus", "sha256", value="AB" * 32), r"corpus\.sha256 is 'ABAB"),
    "a hash of generated text in capitals": (
        put("corpus", "generated", value="AB" * 32),
        r"corpus\.generated is 'ABAB",
    ),
    "a negative share": (put("corpus", "val_fraction", value=-1.0), r"corpus\.val_fraction is -1"),
    "a huge share": (put("corpus", "val_fraction", value=1e308), r"corpus\.val_fraction is 1e"),
    "a negative length": (put("corpus", "characters", value=-5), r"corpus\.characters is -5"),
    "a huge length": (put("corpus", "characters", value=10**16), r"corpus\.characters is 1000"),
    "a negative count": (put("corpus", "min_count", value=-3), r"corpus\.min_count is -3"),
    "an unknown encoding": (put("corpus", "encoding", value="nope"), r"no text encoding 'nope'"),
    "an encoding of escape codes": (
        put("corpus", "encoding", value="\x1b[2J"),
        r"corpus\.encoding is '\\x1b\[2J', which is no encoding",
    ),
    "no text encoding": (put("corpus", "encoding", value="rot13"), r"corpus\.encoding .*'rot13'"),
    "an unknown normal form": (put("corpus", "normalise", value="x"), r"no normal form 'x'"),
    "no name": (put("corpus", "name", value=""), r"corpus\.name has 0 characters"),
    "a long name": (put("corpus", "name", value="x" * 256), r"corpus\.name has 256 characters"),
    "a corpus that is a path": (
        put("corpus", "built_in", value="../../etc/passwd"),
        r"corpus\.built_in is '\.\./\.\./etc/passwd', which is not built in",
    ),
    "pairs for a text": (put("corpus", "built_in", value="dates"), r"built_in is 'dates'"),
    "a huge gap": (put("corpus", "built_in", value="france:99999"), r"built_in is 'france:99999'"),
    "bytes of characters": (put("corpus", "as_bytes", value=True), r"corpus\."),
    "no length": (drop("corpus", "characters"), r"corpus\.characters is missing"),
    "a negative step": (put("step", value=-1), r"step is -1"),
    "half a step": (put("step", value=5.5), r"step is missing or not of type int"),
    "a step that is true": (put("step", value=True), r"step is missing or not of type int"),
    "a later step": (put("step", value=6), r"training\.progress\.step"),
    "an earlier step": (put("step", value=4), r"training\.progress\.step"),
    "an unknown key": (put("unknown", value={"a": 1}), r"unknown is missing or unknown"),
    "a key of escape codes": (put("\x1b[2J", value=1), r"'\\x1b\[2J' is missing or unknown"),
    "a huge key": (put("k" * 10_000, value=1), r"'k{39}… is missing or unknown"),
    "a version that is a list": (put("charrnn", value=["1"]), r"charrnn is \['1'\], which is no"),
    "a version of escape codes": (put("charrnn", value="\x1b[2J"), r"charrnn is '\\x1b\[2J'"),
    "an unknown key of training": (put("training", "x", value=1), r"training\.x is .*unknown"),
    "an unknown key of the symbols": (put("vocabulary", "x", value=1), r"vocabulary\.x is .*unkno"),
    "fewer steps than taken": (
        put("training", "config", "steps", value=3),
        r"training\.config\.steps is 3, below the step 5",
    ),
    "a validation of the future": (
        put("training", "progress", "evaluated", value=6),
        r"training\.progress\.evaluated is above the step 5",
    ),
    "a best step of the future": (
        put("training", "progress", "best_step", value=10**9),
        r"training\.progress\.best_step is above the step 5",
    ),
    "a negative loss": (
        put("training", "progress", "smooth_nats", value=-1.0),
        r"training\.progress\.smooth_nats is -1",
    ),
    "a negative figure": (
        put("validation", "nats_per_char", value=-1e308),
        r"validation\.nats_per_char is -1e\+308",
    ),
    "a share of two": (put("validation", "exact_match", value=2), r"validation\.exact_match is 2"),
    "a figure of escape codes": (
        put("validation", "\x1b[2J", value=1.0),
        r"a metric called '\\x1b\[2J'",
    ),
    "many figures": (
        put("validation", value={f"m{i}": 1.0 for i in range(101)}),
        r"validation has 101 metrics",
    ),
    "no figures": (drop("validation"), r"validation is missing"),
    "figures in words": (
        put("validation", "nats_per_char", value="low"),
        r"validation\.nats_per_char .* number",
    ),
    "figures that are true": (put("validation", "nats_per_char", value=True), r"not a number"),
    "training that is a word": (put("training", value="yes"), r"training is not an object"),
    "no settings": (drop("training", "config"), r"training\.config is missing"),
    "no progress": (drop("training", "progress"), r"training\.progress is missing"),
    "no updates": (drop("training", "updates"), r"training\.updates is missing"),
    "negative updates": (put("training", "updates", value=-1), r"training\.updates is -1"),
    "no updates at all": (put("training", "updates", value=0), r"training\.updates is 0"),
    "more updates than steps": (put("training", "updates", value=6), r"training\.updates is 6"),
    "negative patience": (
        put("training", "progress", "since_best", value=-1),
        r"training\.progress\.since_best is -1",
    ),
    "an unknown optimiser": (
        put("training", "config", "optimiser", value="adamax"),
        r"training\.config: no optimiser called 'adamax'",
    ),
    "another optimiser": (
        put("training", "config", "optimiser", value="adagrad"),
        r"'training\.optimiser\.sum_of_squares\.layers\.0\.W_xh' is missing",
    ),
    "an unknown schedule": (
        put("training", "config", "schedule", value="linear"),
        r"training\.config: no schedule called 'linear'",
    ),
    "a negative rate": (put("training", "config", "lr", value=-0.1), r"training\.config: --lr is"),
    "batch size 0": (
        put("training", "config", "batch", value=0),
        r"training\.config: --batch-size is 0",
    ),
    "another batch size": (
        put("training", "config", "batch", value=4),
        r"'training\.states\.layers\.0\.h' is float32 \(3, 4\)",
    ),
    "a seed that is true": (
        put("training", "config", "seed", value=True),
        r"training\.config\.seed .* wrong type",
    ),
    "no average any more": (
        put("training", "config", "average", value=0.0),
        r"'training\.parameters\.\S+' has no place",
    ),
    "a missing weight": (
        lambda arrays, _metadata: arrays.pop("W_hy"),
        r"array 'W_hy' is missing",
    ),
    "a missing state": (
        lambda arrays, _metadata: arrays.pop("training.states.layers.1.c"),
        r"array 'training\.states\.layers\.1\.c' is missing",
    ),
    "an array too many": (
        lambda arrays, _metadata: arrays.update({"W_extra": np.zeros(2, np.float32)}),
        r"array 'W_extra' has no place",
    ),
    "a transposed array": (array("W_hy", transpose), r"array 'W_hy' is float32 \(5, 4\)"),
    "a flat array": (array("layers.0.W_hh", np.ravel), r"'layers\.0\.W_hh' is float32 \(64,\)"),
    "an empty array": (array("b_y", lambda good: good[:0]), r"array 'b_y' is float32 \(0,\)"),
    "double precision": (array("b_y", lambda good: good.astype("f8")), r"array 'b_y' is float64"),
    "whole numbers": (array("W_hy", lambda good: good.astype("i8")), r"array 'W_hy' is int64"),
    "NaN among the weights": (
        array("layers.1.b_h", set_last(math.nan)),
        r"'layers\.1\.b_h' .*finite",
    ),
    "infinity among the weights": (array("W_hy", set_last(math.inf)), r"'W_hy' .*not finite"),
    "NaN in the optimiser": (
        array("training.optimiser.mean.W_hy", set_last(math.nan)),
        r"'training\.optimiser\.mean\.W_hy' .*not finite",
    ),
    "infinity in a state": (
        array("training.states.layers.0.c", set_last(-math.inf)),
        r"'training\.states\.layers\.0\.c' .*not finite",
    ),
}


@pytest.mark.parametrize(
    "record",
    [
        CorpusRecord("a name\x1b[2J", "ab" * 32, 0, 0.0),
        CorpusRecord("n" * 255, "ab" * 32, 10**15, 0.5, min_count=10**15, encoding="mbcs"),
        CorpusRecord("france-60", "ab" * 32, 9, 0.1, built_in="france:60"),
        CorpusRecord("a", "ab" * 32, 9, 0.1, encoding="UTF_16", normalise="nfkd"),
    ],
)
def test_unusual_corpora_are_accepted(record: CorpusRecord, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.npz", replace(make(), corpus=record))
    assert load_checkpoint(tmp_path / "a.npz").corpus == record


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.npz"
    save_checkpoint(path, make())
    return path


@pytest.mark.parametrize(("change", "message"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_by_name(
    change: Change, message: str, good: Path, tmp_path: Path
) -> None:
    arrays, metadata = read_archive(good)
    change(arrays, metadata)
    write_archive(tmp_path / "bad.npz", arrays, metadata)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(tmp_path / "bad.npz")
    assert "'bad.npz' is no usable checkpoint: " in str(caught.value)
    assert len(str(caught.value)) <= 184  # 200 with `charrnn: error: `
    assert str(caught.value).isprintable()


def test_what_was_not_altered_is_accepted(good: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "same.npz", *read_archive(good))
    assert (tmp_path / "same.npz").read_bytes() == good.read_bytes()
    assert load_checkpoint(tmp_path / "same.npz").step == 5


def test_files_from_before_a_setting_existed_are_read(good: Path, tmp_path: Path) -> None:
    arrays, metadata = read_archive(good)
    drop("model", "recurrent_dropout")(arrays, metadata)
    drop("training", "progress", "solved")(arrays, metadata)
    write_archive(tmp_path / "old.npz", arrays, metadata)
    assert load_checkpoint(tmp_path / "old.npz").config == load_checkpoint(good).config


def test_files_store_the_training_settings_under_their_earlier_names() -> None:
    stored = TrainingConfig(1, batch_size=3, warmup_steps=4, ema_decay=0.5).as_dict()
    assert (stored["batch"], stored["warm_up"], stored["average"]) == (3, 4, 0.5)
    assert (stored["reset_rate"], stored["kernel"]) == (0.05, "numpy")
    assert stored.keys().isdisjoint({"batch_size", "warmup_steps", "state_reset_prob", "backend"})
