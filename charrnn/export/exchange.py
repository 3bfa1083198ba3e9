"""Exchange of checkpoints with tensor files: the metadata that goes along, and what comes back.

    producer       charrnn and its version
    cell           rnn, lstm or gru
    vocabulary     JSON list of the characters in the order of their ids
    as_bytes       true if the characters U+0000 to U+00FF stand for bytes, else false
    corpus         JSON object: the fields of `CorpusRecord`
    labels         for a model of labels only: JSON list of them in the order of the logits

All of them are texts, as safetensors and ONNX demand.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from charrnn import __version__
from charrnn.checkpointing.bounded_json import parse_json
from charrnn.checkpointing.checkpoint import parse_corpus_record
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError
from charrnn.export.pytorch_modules import recognise
from charrnn.export.vocabulary_file import parse_vocabulary, vocabulary_json
from charrnn.types import Array

LABELS = "many-to-one"
"""The layout of pairs whose models can be exported: a text read, then one label."""

MAX_NAME_CHARACTERS = 100
"""Characters of a file's name that an imported checkpoint keeps."""


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the metadata of a file with the weights of a checkpoint.

    Raises `UsageError` for a model of pairs, unless it is one of labels.
    """
    labels = labels_of(checkpoint)
    characters = checkpoint.vocabulary.characters if labels is None else checkpoint.pairing.sources
    found = {
        "producer": f"charrnn {__version__}",
        "cell": checkpoint.config.cell,
        "vocabulary": vocabulary_json(characters),
        "as_bytes": json.dumps(checkpoint.symbols.as_bytes),
        "corpus": json.dumps(vars(checkpoint.corpus)),
    }
    return found if labels is None else found | {"labels": json.dumps(labels)}


def labels_of(checkpoint: Checkpoint) -> list[str] | None:
    """Return the labels of a model that reads a text and answers one; None for any other model."""
    symbols = checkpoint.symbols
    if isinstance(symbols, PairVocabulary) and symbols.layout == LABELS:
        return list(symbols.answers)
    return None


def imported_checkpoint(
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str],
    source: str,
    vocabulary: Vocabulary | None = None,
) -> Checkpoint:
    """Return the checkpoint of a model from named tensors.

    It holds weights and symbols only: no step, no validation, no state of training. Its corpus is
    the one in the metadata; without one it is the empty text.

    Args:
        tensors: the tensors by name (see `pytorch_modules`).
        metadata: the texts that came with them.
        source: the name of the file, which the checkpoint records.
        vocabulary: the characters; those of the metadata by default.

    Raises `CheckpointError` for tensors that are no network of charrnn, for metadata that are
    damaged, for a model of labels, and if there is no vocabulary or one of another size.

    Example:
        >>> import numpy as np
        >>> tensors = {"rnn.weight_ih_l0": np.ones((2, 3)), "rnn.weight_hh_l0": np.ones((2, 2)),
        ...            "readout.weight": np.ones((3, 2))}
        >>> checkpoint = imported_checkpoint(tensors, {}, "model.safetensors", Vocabulary("abc"))
        >>> checkpoint.config.cell, checkpoint.step, checkpoint.corpus.imported
        ('rnn', 0, 'model.safetensors')
    """
    if "labels" in metadata:
        raise CheckpointError("it is a model of labels, which only other programs take")
    config, parameters = recognise(tensors)
    if vocabulary is None:
        if "vocabulary" not in metadata:
            raise CheckpointError(f"it does not say what its {config.inputs} ids stand for")
        vocabulary = parse_vocabulary(metadata["vocabulary"], as_bytes=stands_for_bytes(metadata))
    if len(vocabulary) != config.inputs:
        raise CheckpointError(
            f"the vocabulary has {len(vocabulary)} characters, the model {config.inputs}"
        )
    record = replace(
        record_in(metadata, vocabulary, source), imported=source[-MAX_NAME_CHARACTERS:]
    )
    return Checkpoint(config, vocabulary, parameters, record, step=0)


def stands_for_bytes(metadata: Mapping[str, str]) -> bool:
    """Return whether the characters of a model stand for bytes, by its metadata."""
    return metadata.get("as_bytes") == "true"


def record_in(metadata: Mapping[str, str], vocabulary: Vocabulary, source: str) -> CorpusRecord:
    """Return the record of the corpus in some metadata; without one, that of the empty text."""
    if "corpus" not in metadata:
        nothing = hashlib.sha256(b"").hexdigest()
        name = source[-MAX_NAME_CHARACTERS:]
        return CorpusRecord(name, nothing, 0, 0.0, as_bytes=vocabulary.as_bytes)
    try:
        stored = parse_json(metadata["corpus"])
    except ValueError as error:
        raise CheckpointError(f"its corpus {error}") from error
    if not isinstance(stored, dict):
        raise CheckpointError("its corpus is no JSON object")
    return parse_corpus_record(stored, vocabulary)
