"""Exchange of checkpoints with tensor files: the metadata that goes along, and what comes back.

    producer       charrnn and its version
    cell           rnn, lstm or gru
    vocabulary     of texts: JSON list of the characters in the order of their ids
    as_bytes       of texts: true if the characters U+0000 to U+00FF stand for bytes, else false
    pairs          of pairs, instead of these two: JSON object with the fields of `PairVocabulary`
    attention      of a model with attention: its heads
    corpus         JSON object: the fields of `CorpusRecord`

All of them are texts, as safetensors and ONNX demand.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from charrnn import __version__
from charrnn.checkpointing.bounded_json import parse_json
from charrnn.checkpointing.checkpoint import parse_corpus_record, parse_pairing
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError
from charrnn.export.pytorch_modules import recognise
from charrnn.export.vocabulary_file import parse_vocabulary, vocabulary_json
from charrnn.limits import format_value
from charrnn.types import Array

MAX_NAME_CHARACTERS = 100
"""Characters of a file's name that an imported checkpoint keeps."""


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the metadata of a file with the weights of a checkpoint."""
    symbols = checkpoint.symbols
    found = {
        "producer": f"charrnn {__version__}",
        "cell": checkpoint.config.cell,
        "corpus": json.dumps(vars(checkpoint.corpus)),
    }
    if checkpoint.config.attention:
        found["attention"] = str(checkpoint.config.attention)
    if isinstance(symbols, PairVocabulary):
        return found | {"pairs": json.dumps(symbols.describe())}
    return found | {
        "vocabulary": vocabulary_json(symbols.characters),
        "as_bytes": json.dumps(symbols.as_bytes),
    }


def imported_checkpoint(
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str],
    source: str,
    given: Vocabulary | PairVocabulary | None = None,
) -> Checkpoint:
    """Return the checkpoint of a model from named tensors.

    It holds weights and symbols only: no step, no validation, no state of training. Its corpus is
    the one in the metadata; without one it is the empty text.

    Args:
        tensors: the tensors by name (see `pytorch_modules`).
        metadata: the texts that came with them.
        source: the name of the file, which the checkpoint records.
        given: the characters, or the layout and the symbols of pairs; those of the metadata by
            default.

    Raises `CheckpointError` for tensors that are no network of charrnn, for metadata that are
    damaged, and if there are no symbols or other numbers of them.

    Example:
        >>> import numpy as np
        >>> tensors = {"rnn.weight_ih_l0": np.ones((2, 3)), "rnn.weight_hh_l0": np.ones((2, 2)),
        ...            "readout.weight": np.ones((3, 2))}
        >>> checkpoint = imported_checkpoint(tensors, {}, "model.safetensors", Vocabulary("abc"))
        >>> checkpoint.config.cell, checkpoint.step, checkpoint.corpus.imported
        ('rnn', 0, 'model.safetensors')
    """
    symbols = symbols_in(metadata) if given is None else given
    pairing = symbols if isinstance(symbols, PairVocabulary) else None
    config, parameters = recognise(tensors, pairing, heads_in(metadata))
    if symbols is None:
        raise CheckpointError(f"it does not say what its {config.inputs} ids stand for")
    if isinstance(symbols, Vocabulary) and len(symbols) != config.inputs:
        raise CheckpointError(
            f"the vocabulary has {len(symbols)} characters, the model {config.inputs}"
        )
    record = replace(record_in(metadata, symbols, source), imported=source[-MAX_NAME_CHARACTERS:])
    return Checkpoint(config, symbols, parameters, record, step=0)


def heads_in(metadata: Mapping[str, str]) -> int:
    """Return the heads of attention in some metadata; 1 if they do not say.

    Raises `CheckpointError` if they are damaged.
    """
    text = metadata.get("attention", "1")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise CheckpointError(f"its attention is {format_value(text)}, which is no number of heads")
    return int(text)


def symbols_in(metadata: Mapping[str, str]) -> Vocabulary | PairVocabulary | None:
    """Return the symbols in some metadata; None if there are none.

    Raises `CheckpointError` if they are damaged.
    """
    if "pairs" in metadata:
        return parse_pairing(parsed_object("pairs", metadata["pairs"]))
    if "vocabulary" in metadata:
        return parse_vocabulary(metadata["vocabulary"], as_bytes=stands_for_bytes(metadata))
    return None


def parse_symbols(text: str, *, as_bytes: bool = False) -> Vocabulary | PairVocabulary:
    """Return the symbols in the text of a file.

    Args:
        text: JSON: characters in a form of `vocabulary_file`, or an object with the fields of
            `PairVocabulary`, `longest` being 1 unless it is given.
        as_bytes: whether characters, U+0000 to U+00FF, stand for bytes.

    Raises `CheckpointError` for anything else.

    Example:
        >>> parse_symbols('{"layout": "many-to-one", "sources": ["a"], "answers": ["b"]}').answers
        ('b',)
    """
    if "layout" in (stored := object_in(text)):
        return parse_pairing({"longest": 1} | stored)
    return parse_vocabulary(text, as_bytes=as_bytes)


def object_in(text: str) -> dict[str, Any]:
    """Return the JSON object in a text, or an empty one."""
    try:
        stored = parse_json(text)
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) else {}


def stands_for_bytes(metadata: Mapping[str, str]) -> bool:
    """Return whether the characters of a model stand for bytes, by its metadata."""
    return metadata.get("as_bytes") == "true"


def record_in(
    metadata: Mapping[str, str], symbols: Vocabulary | PairVocabulary, source: str
) -> CorpusRecord:
    """Return the record of the corpus in some metadata; without one, that of the empty text."""
    if "corpus" not in metadata:
        nothing = hashlib.sha256(b"").hexdigest()
        name = source[-MAX_NAME_CHARACTERS:]
        return CorpusRecord(name, nothing, 0, 0.0, as_bytes=symbols.as_bytes)
    return parse_corpus_record(parsed_object("corpus", metadata["corpus"]), symbols)


def parsed_object(name: str, text: str) -> dict[str, Any]:
    """Return the JSON object in a text of the metadata; `CheckpointError` for anything else."""
    try:
        stored = parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"its {name} {error}") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"its {name} is no JSON object")
    return stored
