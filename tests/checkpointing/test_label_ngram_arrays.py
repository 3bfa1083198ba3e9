"""N-grams of a model of labels in a checkpoint: read as they were written, and never trusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, parse_checkpoint, save_checkpoint
from charrnn.checkpointing.npz_file import read_archive
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.label_ngrams import LabelCounts, LabelNgrams
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_ngrams import Ngrams
from charrnn.errors import CheckpointError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.types import Array

IDS, STARTS = np.array([0, 1, 2, 1, 1, 0]), np.array([0, 3, 5, 6])


def made(layout: str = "many-to-one") -> Checkpoint:
    """Return a model of three characters and two labels with 3-grams."""
    pairing = PairVocabulary(layout, ("a", "b", "c"), ("x", "y"))
    config = ModelConfig(pairing.inputs, pairing.outputs, hidden=4)
    record = CorpusRecord("pairs", "0" * 64, 10, 0.1)
    counts = LabelCounts.of(Ngrams.of(IDS, STARTS, 3, 3), np.array([0, 1, 1]), 2)
    ngrams = LabelNgrams(counts, 3, alpha=0.03, network=0.5, ngrams=0.05, fitted=40)
    weights = initialise(config, np.random.default_rng(0))
    return Checkpoint(config, pairing, weights, record, 7, ngrams=ngrams)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "m.npz", made())
    return tmp_path / "m.npz"


def test_they_are_read_as_they_were_written(file: Path) -> None:
    written, read = made().ngrams, load_checkpoint(file).ngrams
    assert written is not None
    assert read is not None
    assert vars(read) == vars(written) | {"counts": read.counts}
    np.testing.assert_array_equal(read.counts.texts, written.counts.texts)
    for side in ("keys", "counts"):
        for a, b in zip(getattr(read.counts, side), getattr(written.counts, side), strict=True):
            np.testing.assert_array_equal(a, b)
    logits = np.zeros((3, 2))
    np.testing.assert_array_equal(
        read.mixed(logits, IDS, STARTS), written.mixed(logits, IDS, STARTS)
    )


def test_a_checkpoint_without_them_has_no_key_for_them(tmp_path: Path) -> None:
    whole = made()
    plain = Checkpoint(whole.config, whole.symbols, whole.parameters, whole.corpus, 7)
    save_checkpoint(tmp_path / "plain.npz", plain)
    arrays, metadata = read_archive(tmp_path / "plain.npz")
    assert "ngrams" not in metadata
    assert not [name for name in arrays if name.startswith("ngrams")]
    assert load_checkpoint(tmp_path / "plain.npz").ngrams is None


def setting(name: str, value: object) -> Callable[[dict[str, Array], dict[str, Any]], None]:
    """Return what changes a setting."""
    return lambda _, metadata: metadata["ngrams"].update({name: value})


def array(name: str, change: Callable[[Array], Array]) -> Callable[..., None]:
    """Return what changes an array."""

    def damage(arrays: dict[str, Array], _: dict[str, Any]) -> None:
        arrays[name] = change(arrays[name])

    return damage


DAMAGES: dict[str, tuple[Callable[..., None], str]] = {
    "null": (lambda _, m: m.update(ngrams=None), "ngrams is not an object"),
    "no alpha": (lambda _, m: m["ngrams"].pop("alpha"), "ngrams.alpha is missing"),
    "alpha 0": (setting("alpha", 0), "alpha"),
    "alpha NaN": (setting("alpha", float("nan")), "alpha"),
    "exponent": (setting("network", 99.0), "network"),
    "text": (setting("ngrams", "1"), "ngrams.ngrams has a value of the wrong type"),
    "whole": (setting("order", 3.0), "ngrams.order has a value of the wrong type"),
    "order": (setting("order", 8), "array 'ngrams.4.keys' is missing"),
    "less": (setting("order", 2), "has no place"),
    "texts": (array("ngrams.texts", lambda a: a[:1]), "has 1 labels, the model 2"),
    "type": (array("ngrams.texts", lambda a: a.astype(np.uint8)), "not uint32"),
    "axes": (array("ngrams.1.keys", lambda a: a.reshape(1, -1)), "not uint64"),
    "keys": (array("ngrams.2.keys", lambda a: a[::-1].copy()), "'ngrams.2.keys' does not ascend"),
    "large key": (array("ngrams.1.keys", lambda a: a + np.uint64(5)), "does not ascend below 4"),
    "cells": (array("ngrams.2.cells", lambda a: a * 0), "'ngrams.2.cells' does not ascend"),
    "far cell": (array("ngrams.2.cells", lambda a: a + np.uint32(99)), "does not ascend below"),
    "fewer": (array("ngrams.2.counts", lambda a: a[1:]), "does not fit its cells"),
    "zero": (array("ngrams.2.counts", lambda a: a * 0), "does not fit its cells"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_flaw_is_named(name: str, file: Path) -> None:
    arrays, metadata = read_archive(file)
    damage, problem = DAMAGES[name]
    damage(arrays, metadata)
    with pytest.raises(CheckpointError) as caught:
        parse_checkpoint(arrays, metadata)
    assert problem in caught.value.problem


def test_counts_beyond_the_memory_of_a_model_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.checkpointing.label_ngram_arrays.MODEL_CELLS", 10)
    with pytest.raises(CheckpointError, match="more than 10 counts"):
        load_checkpoint(file)


def test_models_whose_answers_are_texts_have_none(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.npz", made("synced"))
    with pytest.raises(CheckpointError, match="whose answers are labels"):
        load_checkpoint(tmp_path / "m.npz")
