"""Compression and decompression of files with a language model.

A block of the text is divided into sequences of equal length that are coded side by side
(`Division`), each from the zero state after a newline: 64 sequences are one matrix product instead
of 64. Their symbols go into one range coder, step by step: the first characters of all sequences,
then the second ones. How many are computed at a time does not change the probabilities, because
`fixed_point` is exact.
"""

import codecs
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from charrnn.compression.coding_model import CodingModel
from charrnn.compression.file_header import (
    DIGEST_BYTES,
    Division,
    Header,
    altered,
    check_digest,
)
from charrnn.compression.fixed_point import Integers
from charrnn.compression.range_coder import RangeDecoder, RangeEncoder
from charrnn.compression.text_codec import BYTES_CODEC, Measured, decoded, read_in_chunks
from charrnn.data.decoding import TextOptions
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, StorageError, TextError, UsageError
from charrnn.types import Ids

Advance = Callable[[int], object]
"""Is called with the number of characters that were coded."""


@dataclass
class CodeLength:
    """Length of a code by the probabilities, before it is rounded to bytes.

    Attributes:
        bits: −Σ log₂ p of all characters.
        member_bits: the same for each part alone: the models of an ensemble, the networks and the
            n-grams of a mixture; empty for one model.
        written: bytes of the file.
    """

    bits: float = 0.0
    member_bits: list[float] = field(default_factory=list)
    written: int = 0


def compressed(
    file: BinaryIO,
    name: str,
    measured: Measured,
    model: CodingModel,
    length: CodeLength,
    *,
    division: Division | None = None,
    advance: Advance = lambda _: None,
) -> Iterator[bytes]:
    """Yield the compressed file in parts.

    Args:
        file: the seekable file that was measured.
        name: stands for the file in messages.
        measured: its facts, from `charrnn.compression.text_codec.measure`.
        model: the source of probabilities.
        length: is filled while the parts are yielded.
        division: how the text is divided; a file of version 1 may have any.
        advance: reports progress.

    Raises `StorageError` if the file has changed since it was measured.
    """
    division = division or Division()
    codec = "" if model.vocabulary.as_bytes else measured.codec
    header = Header(
        model.hashes(),
        model.fingerprint(),
        division,
        measured.characters,
        measured.size,
        measured.sha256,
        codec,
        measured.mark,
    )
    length.member_bits = [0.0] * model.parts
    digest = hashlib.sha256()
    encoder = RangeEncoder()

    def parts() -> Iterator[bytes]:
        yield header.pack()
        for ids in blocks(file, name, measured, model.vocabulary, division.block_characters):
            yield from encode_block(encoder, model, ids, division, length, advance)
        yield encoder.finish()

    for part in parts():
        digest.update(part)
        length.written += len(part)
        yield part
    length.written += DIGEST_BYTES
    yield digest.digest()


def blocks(
    file: BinaryIO, name: str, measured: Measured, vocabulary: Vocabulary, size: int
) -> Iterator[Ids]:
    """Yield the ids of a measured file, `size` at a time; the last ones may be fewer."""
    file.seek(0)
    digest = hashlib.sha256()
    changed = StorageError(f"{name} changed while it was read", "again")

    def chunks() -> Iterator[bytes]:
        for chunk in read_in_chunks(file):
            digest.update(chunk)
            yield chunk
        if digest.digest() != measured.sha256:
            raise changed

    waiting: list[Ids] = []
    count = 0
    whole = lambda: iter(())  # noqa: E731  # for an error that the check of the digest precedes
    try:
        for text in decoded(chunks(), measured.codec, measured.mark, name, whole):
            ids = vocabulary.encode(text)
            while count + len(ids) >= size:
                cut = size - count
                yield np.concatenate([*waiting, ids[:cut]])
                waiting, count, ids = [], 0, ids[cut:]
            waiting.append(ids)
            count += len(ids)
    except TextError as error:
        raise changed from error
    if count:
        yield np.concatenate(waiting)


def encode_block(
    encoder: RangeEncoder,
    model: CodingModel,
    ids: Ids,
    division: Division,
    length: CodeLength,
    advance: Advance,
) -> Iterator[bytes]:
    """Encode one block of ids (N,); yield what the encoder has finished."""
    S, T = division.parts(len(ids))
    padded = np.full(S * T, model.start, np.int64)
    padded[: len(ids)] = ids
    rows = padded.reshape(S, T)
    model.begin(S)
    previous: Ids = np.full(S, model.start)
    for t in range(T):
        n = active(S, T, len(ids), t)
        targets = rows[:n, t]
        shares = model.shares(previous[:n])
        found = model.frequencies(shares)
        ends, every = found.cumsum(axis=1), np.arange(n)
        sizes, totals = found[every, targets], ends[:, -1]
        starts = ends[every, targets] - sizes
        encoder.encode(starts.tolist(), sizes.tolist(), totals.tolist())
        length.bits += code_length(sizes, totals)
        for number in range(len(length.member_bits)):
            own = shares[number]
            total = own.sum(axis=1) + own.shape[1]
            length.member_bits[number] += code_length(own[every, targets] + 1, total)
        previous = targets
        advance(n)
        yield encoder.take()


def code_length(sizes: Integers, totals: Integers) -> float:
    """Return Σ log₂ (total / size)."""
    return float(np.log2(totals / sizes).sum())


def active(S: int, T: int, N: int, t: int) -> int:
    """Return the number of sequences that have a character at step t; only the last is shorter."""
    return S if t < N - (S - 1) * T else S - 1


def read_header(file: BinaryIO, name: str) -> Header:
    """Verify a compressed file and return its header; leaves the position at the payload.

    Raises `TextError` for a file that is no compressed one, is of another version, or is truncated
    or altered.
    """
    file.seek(0)
    Header.read(file, name)  # names what is no such file, before the digest is computed
    check_digest(file, name)
    return Header.read(file, name)


def decompressed(
    file: BinaryIO,
    name: str,
    header: Header,
    model: CodingModel,
    *,
    advance: Advance = lambda _: None,
) -> Iterator[bytes]:
    """Yield the content of a compressed file in parts.

    The parts are the content only if the iterator ends without an error: what was written so far
    must be thrown away otherwise.

    Args:
        file: the file, positioned behind its header by `read_header`.
        name: stands for the file in messages.
        header: its header.
        model: the models that the header names, in its order.
        advance: reports progress.

    Raises `CheckpointError` for other models, `StorageError` if this machine computes other
    frequencies than the one that compressed, and `TextError` if the content is not what was
    compressed.
    """
    if model.hashes() != header.models:
        raise CheckpointError(f"{name} was compressed with another model", "that model")
    if model.fingerprint() != header.fingerprint:
        raise StorageError(
            f"{name} cannot be decoded here: this machine computes other frequencies than the one "
            "that compressed it",
            "another build of NumPy",
        )
    encode = codecs.getincrementalencoder(codec_in(header, model.vocabulary, name))().encode
    end = file.seek(0, 2) - DIGEST_BYTES
    file.seek(len(header.pack()))
    decoder = RangeDecoder(lambda count: file.read(min(count, end - file.tell())))
    digest, size = hashlib.sha256(), 0

    def parts() -> Iterator[bytes]:
        yield header.mark
        for begin in range(0, header.characters, header.division.block_characters):
            count = min(header.division.block_characters, header.characters - begin)
            ids = decode_block(decoder, model, count, header.division, name, advance)
            yield encode(model.vocabulary.decode(ids))
        yield encode("", True)

    try:
        for part in parts():
            digest.update(part)
            size += len(part)
            yield part
    except UnicodeError as error:
        raise altered(name) from error
    if (size, digest.digest()) != (header.size, header.sha256):
        raise altered(name)


def codec_in(header: Header, vocabulary: Vocabulary, name: str) -> str:
    """Return the codec of a header; `TextError` for one that this Python does not have."""
    if vocabulary.as_bytes:
        return BYTES_CODEC
    try:
        return TextOptions(header.codec).codec
    except UsageError as error:
        raise TextError(f"{name}: {error.problem}", "another Python") from error


def decode_block(
    decoder: RangeDecoder,
    model: CodingModel,
    count: int,
    division: Division,
    name: str,
    advance: Advance,
) -> Ids:
    """Decode one block of `count` ids."""
    S, T = division.parts(count)
    rows = np.zeros((S, T), np.int64)
    model.begin(S)
    previous: Ids = np.full(S, model.start)
    for t in range(T):
        n = active(S, T, count, t)
        ends = model.frequencies(model.shares(previous[:n])).cumsum(axis=1)
        totals = ends[:, -1].tolist()
        found = []
        for row, total in zip(ends, totals, strict=True):
            id_ = int(row.searchsorted(decoder.target(total), side="right"))
            start = row.item(id_ - 1) if id_ else 0
            decoder.consume(start, row.item(id_) - start)
            found.append(id_)
        if decoder.exhausted:
            raise altered(name)
        rows[:n, t] = found
        previous = rows[:n, t]
        advance(n)
    return rows.ravel()[:count]
