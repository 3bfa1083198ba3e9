"""Compression with a mixture: exact integers, there and back, and lengths near its loss."""

import hashlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.checkpointing.records import Checkpoint, CorpusRecord, MixtureRecord, NgramRecord
from charrnn.compression.coding_model import CodingModel
from charrnn.compression.compressor import CodeLength, compressed, decompressed, read_header
from charrnn.compression.file_header import Division
from charrnn.compression.fixed_point import SUM_BITS
from charrnn.compression.mixture_coding import (
    MixtureCodingModel,
    coding_model,
    fixed_probabilities,
    hashed,
    log2,
    log_table,
    mixture_hash,
)
from charrnn.compression.text_codec import measure
from charrnn.data.decoding import TextOptions
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, UsageError
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model
from charrnn.inference.ngram_model import NgramModel
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

VOCABULARY = Vocabulary("\n abcdefghé日")
COUNTED = "abc add the bad cafe\nbed chad é日 dead\n".replace("t", "a") * 20
CONTENT = ("a bad cafe\nchad fed a bee\nabc add é日 dead\n" * 40).encode()
SMALL = Division(streams=4, stream_characters=8, block_characters=50)


def network(seed: int, cell: str) -> Checkpoint:
    V = len(VOCABULARY)
    config = ModelConfig(V, V, cell, hidden=7, init="normal:0.6")
    parameters = initialise(config, np.random.default_rng(seed))
    parameters.vector *= 2
    return Checkpoint(config, VOCABULARY, parameters, CorpusRecord("x", "0" * 64, 0, 0.1), 0)


def record(order: int = 4, networks: int = 2) -> MixtureRecord:
    members = tuple(network(seed, cell) for seed, cell in enumerate(("lstm", "gru")))[:networks]
    ids = VOCABULARY.encode(COUNTED)
    return MixtureRecord(members, NgramRecord(ids, order, 0.4, 0.7, 0.5, 0.3, fitted=9))


MIXTURES = {
    "two networks and 4-grams": Mixture(record()),
    "one network and 6-grams": Mixture(record(6, 1)),
    "one network and 1-grams": Mixture(record(1, 1)),
}
CODERS = {name: coding_model([mixture]) for name, mixture in MIXTURES.items()}


def pack(
    content: bytes,
    model: CodingModel,
    division: Division | None = None,
    length: CodeLength | None = None,
) -> bytes:
    file = io.BytesIO(content)
    measured = measure(file, "file", VOCABULARY, TextOptions())
    length = length or CodeLength()
    return b"".join(compressed(file, "file", measured, model, length, division=division))


def unpack(packed: bytes, model: CodingModel) -> bytes:
    file = io.BytesIO(packed)
    return b"".join(decompressed(file, "file", read_header(file, "file"), model))


@given(st.sampled_from(sorted(CODERS)), st.text(VOCABULARY.characters, max_size=170))
@settings(max_examples=40)
def test_every_text_of_the_vocabulary_is_restored(name: str, text: str) -> None:
    content = text.encode()
    assert unpack(pack(content, CODERS[name], SMALL), CODERS[name]) == content


@pytest.mark.parametrize("name", CODERS)
def test_the_length_is_near_the_loss_of_the_mixture_and_of_each_part(name: str) -> None:
    length, mixture = CodeLength(), MIXTURES[name]
    packed = pack(CONTENT, CODERS[name], length=length)
    assert unpack(packed, CODERS[name]) == CONTENT
    scores = mixture.scores(CONTENT.decode())
    assert scores.ngrams is not None
    n = len(CONTENT.decode())
    assert length.bits / n == pytest.approx(scores.whole.bits_per_char, rel=0.01)
    for bits, score in zip(length.member_bits, (*scores.members, scores.ngrams), strict=True):
        assert bits / n == pytest.approx(score.bits_per_char, rel=0.01)


def test_frequencies_are_those_of_the_mixture() -> None:
    """Of each step; the weights of the networks are rounded."""
    coder, mixture = CODERS["two networks and 4-grams"], MIXTURES["two networks and 4-grams"]
    ids = VOCABULARY.encode("\nabc add é日 dead chad")
    coder.begin(1)
    mixture.reset()
    for id_ in ids:
        found = coder.frequencies(coder.shares(np.array([id_])))[0]
        assert (found >= 1).all()
        assert found / found.sum() == pytest.approx(np.exp(mixture.step(int(id_))), rel=0.01)


def test_how_many_sequences_are_computed_at_a_time_changes_nothing() -> None:
    coder = CODERS["two networks and 4-grams"]
    ids = np.random.default_rng(1).integers(0, len(VOCABULARY), (30, 8))
    coder.begin(8)
    together = []
    for step, row in enumerate(ids):
        n = 8 if step < 20 else 5  # the last sequences have ended
        together.append(coder.frequencies(coder.shares(row[:n])))
    for b in range(5):
        coder.begin(1)
        for row, expected in zip(ids, together, strict=True):
            assert (coder.frequencies(coder.shares(row[b : b + 1]))[0] == expected[b]).all()


@given(st.integers(1, 2**53 - 1))
def test_the_logarithm_is_that_of_a_number_within_a_step(x: int) -> None:
    found = float(log2(np.array([x]))[0]) / 2**SUM_BITS
    assert found == pytest.approx(math.log2(x), abs=math.log2(1 + 2**-13) + 2**-SUM_BITS)


def test_tables_and_ngrams_have_the_bits_that_files_were_made_with() -> None:
    """All are integers, so that every machine has these; another value breaks existing files."""
    digest = hashlib.sha256(log_table().astype("<i8").tobytes()).hexdigest()
    assert digest == LOG_TABLE
    ngrams = NgramModel(np.arange(200) ** 2 % 7, 7, 4)
    p = fixed_probabilities(ngrams, ngrams.contexts_of(np.arange(50) ** 3 % 7))
    assert hashlib.sha256(p.astype("<i8").tobytes()).hexdigest() == PROBABILITIES


LOG_TABLE = "cb449f90dd7286065175defa243de1e18fdbc45c6f8de7947f050c80aa6e7dc4"
PROBABILITIES = "c025f8dbfceaa612452d2119cd52114841ab9aa5dccaf9f2cc71cb965efec254"


def test_fixed_probabilities_are_those_of_the_ngrams() -> None:
    rng = np.random.default_rng(2)
    ngrams = NgramModel(rng.integers(0, 9, 500), 9, 5)
    contexts = ngrams.contexts_of(rng.integers(0, 9, 200))
    p = fixed_probabilities(ngrams, contexts)
    assert p / 2**30 == pytest.approx(ngrams.probabilities(contexts), abs=1e-8)
    assert (p.sum(axis=1) <= 2**30).all()
    assert (p.sum(axis=1) > 2**30 - 100).all()


def test_another_mixture_is_refused() -> None:
    """The hash covers the weights, the text, the order and the exponents, and nothing else."""
    first = record()
    assert first.ngrams is not None
    packed = pack(CONTENT, CODERS["two networks and 4-grams"])
    others = (
        replace(first, members=first.members[:1]),
        replace(first, members=first.members[::-1]),
        replace(first, ngrams=replace(first.ngrams, order=5)),
        replace(first, ngrams=replace(first.ngrams, ids=first.ngrams.ids[:-1])),
        replace(first, ngrams=replace(first.ngrams, ngrams_matched=0.31)),
    )
    hashes = {mixture_hash(Mixture(other)) for other in (first, *others)}
    assert len(hashes) == 6
    for other in others:
        with pytest.raises(CheckpointError, match="was compressed with another model"):
            unpack(packed, MixtureCodingModel(Mixture(other)))
    same = replace(first, ngrams=replace(first.ngrams, fitted=0))
    assert unpack(packed, MixtureCodingModel(Mixture(same))) == CONTENT


def test_networks_without_ngrams_are_an_ensemble() -> None:
    members = record().members
    mixture = Mixture(MixtureRecord(members))
    models = [Model(member) for member in members]
    packed = pack(CONTENT, coding_model([mixture]))
    assert packed == pack(CONTENT, CodingModel(models))
    assert list(hashed(mixture)) == [*hashed(models[0]), *hashed(models[1])]
    with pytest.raises(UsageError, match="a mixture is no part of an ensemble"):
        coding_model([mixture, models[0]])
