"""Checkpoint format: contents of the .npz file, and how it is validated on loading.

    metadata                           UTF-8 JSON in a uint8 array, see below
    layers.0.W_xh … W_hy b_y           the parameters of the model, to sample from and to evaluate
    layers.0_reverse.W_xh …            those of cells that read from the end, in models of pairs
    training.parameters.NAME           the parameters in training, if the model is their average
    training.optimiser.SLOT.NAME       the accumulators of the optimiser
    training.states.layers.0.h …       the carried state of every batch row (B, H)
    training.rollback.0.…              weights and accumulators of earlier steps, to return to
    ngrams.…                           counts of n-grams of a model of labels (`label_ngram_arrays`)

The metadata are `format`, `charrnn` (the version that wrote it), `step`, `model` (the fields of
`ModelConfig`), `vocabulary` or, in format 2, `pairs` (the fields of `PairVocabulary`), `corpus`
(the fields of `CorpusRecord`), `validation` (the loss and other metrics) and `training` (the
fields of `TrainingConfig` and `Progress`, and the steps of the rollback points), which is null in a
checkpoint that cannot be resumed. A model of labels may also have `ngrams`, see
`label_ngram_arrays`.
Random numbers and the position in the corpus are functions of seed and step, so no other state of
the generator is stored.

A file is never trusted: `npz_format` verifies its bytes, and this module compares every value with
the configuration before it is used. `numpy.load(path, allow_pickle=False)` reads it too.
"""

import json
import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

import numpy as np

from charrnn import __version__
from charrnn.checkpointing.checkpoint_checks import (
    check_bidirectional,
    check_corpus,
    check_metrics,
    check_names,
    check_range,
    check_symbols,
    check_training,
    check_version,
    one_line_problem,
)
from charrnn.checkpointing.label_ngram_arrays import (
    arrays_of,
    parse_label_ngrams,
    settings_of,
)
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.npz_format import MAX_ARCHIVE_BYTES, MAX_METADATA_BYTES, bounded_repr
from charrnn.checkpointing.records import (
    MAX_ROLLBACK_POINTS,
    Checkpoint,
    CorpusRecord,
    RollbackPoint,
    TrainingState,
)
from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CharRNNError, CheckpointError, TextError, UsageError
from charrnn.limits import PROGRESS_LIMITS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training_config import Progress, TrainingConfig, stored_name
from charrnn.types import JSON, Array, Shapes

FORMAT, PAIR_FORMAT, MIXTURE_FORMAT = 1, 2, 3
"""Versions of the format: for texts, for pairs, for mixtures; newer versions are refused."""

KEYS = ("format", "charrnn", "step", "model", "corpus", "validation", "training")
"""Keys of the metadata, besides that of the symbols."""

NGRAMS = "ngrams"
"""Key of the n-grams of a model of labels, which most checkpoints lack."""

ADDED_LATER: dict[str, JSON] = {
    "evaluated": 0,
    "solved": False,
    "recurrent_dropout": 0.0,
    "kernel": "numpy",
    "on_nonfinite": "stop",
    "earlier_plans": "",
    "skipped": 0,
    "nonfinite": 0,
    "lr_scale": 1.0,
    "imported": None,
    "generated": None,
    "bidirectional": None,
    "attention": 0,
    "balance": 0.0,
    "label_smoothing": 0.0,
    "best_exact_match": None,
    "unknown": None,
    "val_limit": 0,
}
"""Fields that were added to the format later, and their values in files that lack them."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file, which is replaced.
        checkpoint: its contents. `check_storable` tells in advance whether they fit.

    Raises `StorageError` if the file cannot be written; the old file is then kept.
    """
    arrays: dict[str, Array] = dict(checkpoint.parameters)
    state = checkpoint.training
    if state is not None:
        if state.parameters is not None:
            arrays |= _with_prefix("training.parameters", state.parameters)
        for slot, parameters in state.optimiser.items():
            arrays |= _with_prefix(f"training.optimiser.{slot}", parameters)
        arrays |= _with_prefix("training.states", state.states)
        for number, point in enumerate(state.rollback):
            for name, parameters in point.arrays().items():
                arrays |= _with_prefix(f"training.rollback.{number}.{name}", parameters)
    symbols, ngrams = checkpoint.symbols, checkpoint.ngrams
    if ngrams is not None:
        arrays |= arrays_of(ngrams)
    metadata: dict[str, JSON] = {
        "format": symbols.format_version,
        "charrnn": __version__,
        "step": checkpoint.step,
        "model": as_json(checkpoint.config),
        symbols.metadata_key: as_json(symbols),
        "corpus": as_json(checkpoint.corpus),
        "validation": dict(checkpoint.validation),
        "training": None
        if state is None
        else {
            "config": as_json(state.config),
            "progress": as_json(state.progress),
            "updates": state.updates,
            "rollback": [
                {"step": point.step, "updates": point.updates} for point in state.rollback
            ],
        },
        **({} if ngrams is None else {NGRAMS: settings_of(ngrams)}),
    }
    write_archive(path, arrays, metadata)


def check_storable(
    config: ModelConfig, training: TrainingConfig, symbols: Vocabulary | PairVocabulary
) -> None:
    """Check before training that a checkpoint of this run can be written.

    Raises `TextError` for more symbols than fit into the metadata, and `UsageError` for more
    parameters than fit into a file.
    """
    size = len(json.dumps(as_json(symbols)))
    if size > MAX_METADATA_BYTES - RESERVED_METADATA_BYTES:
        raise TextError(
            f"{config.outputs:,} different symbols take {size:,} bytes, a checkpoint has room for "
            f"{MAX_METADATA_BYTES:,}",
            symbols.size_advice,
        )
    numbers = sum(math.prod(shape) for shape in config.shapes().values())
    copies = 1 + len(OPTIMISERS[training.optimiser].slots) + (training.ema_decay > 0)
    if training.on_nonfinite == "rollback":
        copies *= 1 + MAX_ROLLBACK_POINTS
    if 4 * numbers * copies > 0.99 * MAX_ARCHIVE_BYTES:
        raise UsageError(
            f"{numbers:,} parameters and the optimiser's state do not fit into a checkpoint of "
            f"{MAX_ARCHIVE_BYTES:,} bytes",
            "a smaller --hidden",
        )


RESERVED_METADATA_BYTES = 64_000
"""Bytes of the metadata that are reserved for everything except the symbols."""


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and validate a checkpoint.

    Raises `CheckpointError` if there is no file, or if it is damaged or inconsistent,
    `StorageError` if it cannot be read, and `UsageError` if it is a mixture.
    """
    arrays, metadata = read_archive(path)
    if metadata.get("format") == MIXTURE_FORMAT:
        raise refused_mixture(path)
    with naming_file(path):
        return parse_checkpoint(arrays, metadata)


def refused_mixture(path: Path) -> UsageError:
    """Return the error for a mixture where a single network is needed."""
    command = f"charrnn combine {shlex.quote(str(path))} --member 1 --output one.npz"
    return UsageError(
        f"{bounded_repr(path.name, 40)} is a mixture, and this needs a single network", command
    )


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Add the name of the file to a `CheckpointError`, and keep it to one line."""
    try:
        yield
    except CheckpointError as error:
        problem = one_line_problem(str(error))
        raise CheckpointError(
            f"{bounded_repr(path.name, 40)} is no usable checkpoint: {problem}"
        ) from error


def parse_checkpoint(arrays: dict[str, Array], metadata: dict[str, Any]) -> Checkpoint:
    """Return the checkpoint of an archive after all of it is checked.

    Args:
        arrays: its arrays; those that are used are removed.
        metadata: its metadata.

    Raises `CheckpointError` for the first flaw.
    """
    return _Reader(arrays, metadata).checkpoint()


def parse_corpus_record(
    stored: dict[str, Any], symbols: Vocabulary | PairVocabulary
) -> CorpusRecord:
    """Return the record of a corpus from its JSON object.

    Raises `CheckpointError` for unknown or missing fields, values of another type or out of range,
    and a record that contradicts the symbols.
    """
    record = _build_record(CorpusRecord, stored, "corpus")
    check_corpus(record, symbols)
    return record


def _value(mapping: dict[str, Any], key: str, kind: type[Any], prefix: str = "") -> Any:
    value = mapping.get(key)
    if type(value) is not kind:
        raise CheckpointError(f"{prefix}{key} is missing or not of type {kind.__name__}")
    return value


def parse_pairing(stored: dict[str, Any]) -> PairVocabulary:
    """Return the symbols of pairs from their JSON object.

    Raises `CheckpointError` for unknown or missing fields, and values of another type, out of range
    or contradictory.
    """
    for side in ("sources", "answers"):
        symbols = _value(stored, side, list, "pairs.")
        if not all(isinstance(symbol, str) for symbol in symbols):
            raise CheckpointError(f"pairs.{side} holds something that is not a text")
        stored = stored | {side: tuple(symbols)}
    pairing = _build_record(PairVocabulary, stored, "pairs")
    check_symbols(pairing)
    return pairing


class _Reader:
    """Validates the contents of an archive; raises `CheckpointError` for the first flaw."""

    def __init__(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        self.arrays = arrays
        self.metadata = metadata

    def checkpoint(self) -> Checkpoint:
        version = _value(self.metadata, "format", int)
        if version > PAIR_FORMAT:
            raise CheckpointError(
                f"its format is {version}, this charrnn reads up to {MIXTURE_FORMAT}; "
                "try a newer charrnn"
            )
        if version < FORMAT:
            raise CheckpointError(f"there is no format {version}")
        counted = [NGRAMS] if version == PAIR_FORMAT and NGRAMS in self.metadata else []
        named = "pairs" if version == PAIR_FORMAT else "vocabulary"
        check_names(self.metadata, (*KEYS, named, *counted))
        check_version(self.metadata["charrnn"])
        config = _build_record(ModelConfig, _value(self.metadata, "model", dict), "model")
        if config.layers > len(self.arrays):
            raise CheckpointError(f"model.layers is {config.layers}, with fewer arrays")
        symbols = self._pairing() if version == PAIR_FORMAT else self._vocabulary()
        if (config.inputs, config.outputs) != (symbols.inputs, symbols.outputs):
            raise CheckpointError(
                f"model.inputs or model.outputs does not match {symbols.inputs} characters to read "
                f"and {symbols.outputs} to guess"
            )
        check_bidirectional(config.bidirectional, symbols)
        parameters = self._take("", config.shapes())
        corpus = parse_corpus_record(_value(self.metadata, "corpus", dict), symbols)
        step = _value(self.metadata, "step", int)
        check_range(PROGRESS_LIMITS["step"], "step", step)
        training = self.metadata["training"]
        state = None if training is None else self._training(config, training, step)
        metrics = check_metrics(_value(self.metadata, "validation", dict))
        ngrams = self._ngrams(self.metadata[NGRAMS], symbols) if counted else None
        if self.arrays:
            raise CheckpointError(f"array {next(iter(self.arrays))!r} has no place in it")
        return Checkpoint(config, symbols, parameters, corpus, step, metrics, state, ngrams)

    def _ngrams(self, stored: Any, symbols: Vocabulary | PairVocabulary) -> LabelNgrams:
        if not isinstance(symbols, PairVocabulary) or not symbols.layout_spec.classifies:
            raise CheckpointError("ngrams are for models whose answers are labels of texts")
        return parse_label_ngrams(stored, self.arrays, symbols.inputs, symbols.outputs)

    def _training(self, config: ModelConfig, training: Any, step: int) -> TrainingState:
        if not isinstance(training, dict):
            raise CheckpointError("training is not an object")
        training = {"rollback": []} | training  # files from before it was added lack it
        check_names(training, ("config", "progress", "updates", "rollback"), "training.")
        stored = _value(training, "config", dict, "training.")
        run = _build_record(TrainingConfig, stored, "training.config")
        stored = _value(training, "progress", dict, "training.")
        progress = _build_record(Progress, stored, "training.progress")
        updates = _value(training, "updates", int, "training.")
        check_training(run, progress, updates, step)
        shapes = config.shapes()
        slots = OPTIMISERS[run.optimiser].slots
        return TrainingState(
            config=run,
            progress=progress,
            updates=updates,
            parameters=self._take("training.parameters.", shapes) if run.ema_decay else None,
            optimiser={slot: self._take(f"training.optimiser.{slot}.", shapes) for slot in slots},
            states=self._take("training.states.", config.state_shapes(run.batch_size)),
            rollback=self._rollback(training["rollback"], run, progress.step, shapes),
        )

    def _rollback(
        self, stored: Any, run: TrainingConfig, step: int, shapes: Shapes
    ) -> tuple[RollbackPoint, ...]:
        if not isinstance(stored, list) or len(stored) > MAX_ROLLBACK_POINTS:
            raise CheckpointError(
                f"training.rollback is not a list of at most {MAX_ROLLBACK_POINTS}"
            )
        points = []
        for number, entry in enumerate(stored):
            where = f"training.rollback.{number}."
            if not isinstance(entry, dict) or entry.keys() != {"step", "updates"}:
                raise CheckpointError(f"{where[:-1]} is not an object with step and updates")
            at = _value(entry, "step", int, where)
            updates = _value(entry, "updates", int, where)
            if not 0 <= updates <= at <= step:
                raise CheckpointError(f"{where}step or updates is out of range")
            average = self._take(f"{where}average.", shapes) if run.ema_decay else None
            slots = OPTIMISERS[run.optimiser].slots
            accumulators = {slot: self._take(f"{where}optimiser.{slot}.", shapes) for slot in slots}
            weights = self._take(f"{where}parameters.", shapes)
            points.append(RollbackPoint(at, updates, weights, average, accumulators))
        return tuple(points)

    def _take(self, prefix: str, shapes: Shapes) -> Parameters:
        """Remove the arrays of these shapes from `arrays`, check all of them, and copy them."""
        found: dict[str, Array] = {}
        for name, shape in shapes.items():
            array = self.arrays.pop(prefix + name, None)
            if array is None:
                raise CheckpointError(f"array {prefix + name!r} is missing")
            if array.shape != shape or array.dtype != np.float32:
                raise CheckpointError(
                    f"array {prefix + name!r} is {array.dtype} {array.shape}, "
                    f"the configuration wants float32 {shape}"
                )
            if not np.isfinite(array).all():
                raise CheckpointError(f"array {prefix + name!r} holds numbers that are not finite")
            found[name] = array
        parameters = Parameters(shapes)
        parameters.fill_from(found)
        return parameters

    def _pairing(self) -> PairVocabulary:
        return parse_pairing(_value(self.metadata, "pairs", dict))

    def _vocabulary(self) -> Vocabulary:
        stored = _value(self.metadata, "vocabulary", dict)
        check_names(stored, ("characters", "as_bytes"), "vocabulary.")
        characters = _value(stored, "characters", str, "vocabulary.")
        as_bytes = _value(stored, "as_bytes", bool, "vocabulary.")
        try:
            return Vocabulary(characters, as_bytes=as_bytes)
        except ValueError as error:
            raise CheckpointError(f"vocabulary.characters: {error}") from error


Record = TypeVar("Record")


def _build_record(kind: type[Record], stored: dict[str, Any], where: str) -> Record:
    """Make a dataclass of its stored fields; CheckpointError for a wrong name or type."""
    hints = get_type_hints(kind)
    names = {stored_name(item): item.name for item in _fields_of(kind)}
    stored = {key: value for key, value in ADDED_LATER.items() if key in names} | stored
    check_names(stored, names, f"{where}.")
    values = {}
    for key, name in names.items():
        value, hint = stored[key], hints[name]
        allowed = (tuple,) if get_origin(hint) is tuple else getattr(hint, "__args__", (hint,))
        if float in allowed and type(value) is int:
            value = float(value)
        if type(value) not in allowed:
            raise CheckpointError(f"{where}.{key} has a value of the wrong type")
        values[name] = value
    try:
        return kind(**values)
    except CharRNNError as error:
        raise CheckpointError(f"{where}: {error.problem}") from error


def _fields_of(kind: Any) -> tuple[Field[Any], ...]:
    return fields(kind)


def as_json(record: Any) -> dict[str, JSON]:
    """Return the fields of a record under their names in a file."""
    return {stored_name(item): getattr(record, item.name) for item in fields(record)}


def _with_prefix(prefix: str, parameters: Parameters) -> dict[str, Array]:
    return {f"{prefix}.{name}": array for name, array in parameters.items()}
