"""Text codec: between the bytes of a file and characters of a vocabulary, exactly.

A byte order mark at the beginning is kept apart from the characters. Line ends and all else are
characters. Before anything is coded, `measure` proves that the bytes can be restored: it decodes
the whole file, encodes the characters again, and looks each of them up in the vocabulary.
"""

import bz2
import codecs
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from charrnn.data.decoding import TextOptions, check_head, undecodable
from charrnn.data.encoding_detection import HEAD_BYTES, MARKS, mark_of, with_order
from charrnn.data.file_discovery import READ_CHUNK_BYTES
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError

BYTES_CODEC = "latin-1"
"""Codec whose characters U+0000 to U+00FF stand for the bytes of a model of bytes."""

GZIP_FRAME_BYTES = 18
"""Header and trailer of gzip around a deflated content, without a file name."""


@dataclass(frozen=True)
class Measured:
    """Facts about a file that can be restored exactly.

    Args:
        codec: Python's name of the encoding, with its byte order.
        mark: the byte order mark at the beginning, or nothing.
        characters: number of characters, without the mark.
        size: number of bytes.
        sha256: SHA-256 of the bytes.
        packed: bytes of the file as other compressors store it, by their names.
    """

    codec: str
    mark: bytes
    characters: int
    size: int
    sha256: bytes
    packed: dict[str, int]


def codec_of(head: bytes, name: str, options: TextOptions) -> tuple[str, bytes]:
    """Return the codec of a file with its byte order, and its byte order mark.

    Raises `TextError` if the first bytes show another encoding than the given one.
    """
    if options.as_bytes:
        return BYTES_CODEC, b""
    check_head(head, name, options)
    codec = with_order(options.codec, head)
    if codec in ("utf-16", "utf-32"):  # with a mark; UTF-16 may go on with a NUL
        marked = mark_of(head) or ""
        codec = marked if marked.startswith(codec) else "utf-16-le"
    mark = MARKS.get(codec, b"")
    return codec, mark if head.startswith(mark) else b""


def measure(
    file: BinaryIO,
    name: str,
    vocabulary: Vocabulary,
    options: TextOptions,
    advance: Callable[[int], object] = lambda _: None,
) -> Measured:
    """Read a file once, from its beginning, and return what a header needs.

    Args:
        file: a seekable file; its position is undefined afterwards.
        name: stands for the file in messages.
        vocabulary: the characters that can be coded.
        options: the encoding; `as_bytes` for a model of bytes.
        advance: is called with the number of bytes of each chunk.

    Raises `TextError` for bytes that cannot be decoded, or that encoding does not give back, and
    for characters outside the vocabulary.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    codec, mark = codec_of(head, name, options)
    file.seek(0)
    digest, again = hashlib.sha256(), hashlib.sha256(mark)
    packers = Packers()
    encode = codecs.getincrementalencoder(codec)().encode
    size, count = 0, 0

    def chunks() -> Iterator[bytes]:
        nonlocal size
        for chunk in read_in_chunks(file):
            digest.update(chunk)
            packers.add(chunk)
            size += len(chunk)
            advance(len(chunk))
            yield chunk

    def whole() -> Iterator[bytes]:
        file.seek(0)
        return read_in_chunks(file)

    inexact = TextError(
        f"{name} cannot be restored exactly from its characters in {codec.upper()}",
        "another --encoding",
        "a model of bytes",
    )
    for text in decoded(chunks(), codec, mark, name, whole):
        check_known(text, count, name, vocabulary)
        try:
            again.update(encode(text))
        except UnicodeError as error:
            raise inexact from error
        count += len(text)
    again.update(encode("", True))
    if again.digest() != digest.digest():
        raise inexact
    return Measured(codec, mark, count, size, digest.digest(), packers.sizes())


def read_in_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file chunk by chunk."""
    return iter(partial(file.read, READ_CHUNK_BYTES), b"")


def decoded(
    chunks: Iterator[bytes],
    codec: str,
    mark: bytes,
    name: str,
    whole: Callable[[], Iterator[bytes]],
) -> Iterator[str]:
    """Yield the characters of a file chunk by chunk, without its mark.

    `whole` returns all bytes again, for the error. Raises `TextError` for bytes that cannot be
    decoded.
    """
    decoder = codecs.getincrementaldecoder(codec)()
    offset, lines = 0, 1
    for number, chunk in enumerate(with_end(chunks)):
        content = chunk[len(mark) :] if number == 0 else chunk
        offset += len(chunk) - len(content)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(content, not chunk)
        except UnicodeError as error:
            at = offset - pending + getattr(error, "start", 0)
            raise undecodable(name, codec, at, lines, whole) from error
        offset += len(content)
        lines += text.count("\n")
        yield text


def with_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks, and an empty one at the end."""
    yield from chunks
    yield b""


def check_known(text: str, position: int, name: str, vocabulary: Vocabulary) -> None:
    """Raise `TextError` for a text, at a position of its file, with unknown characters."""
    unknown = vocabulary.unknown(text)
    if unknown:
        missing = set(unknown)
        first = next(at for at, character in enumerate(text) if character in missing)
        other = () if vocabulary.as_bytes else ("a model of bytes, from charrnn train --bytes",)
        raise TextError(
            f"{name} cannot be coded: the vocabulary lacks {vocabulary.named(unknown)}, first at "
            f"position {position + first:,}",
            "a text without",
            *other,
        )


class Packers:
    """Sizes of a file as gzip, bzip2 and xz store it, in flat memory."""

    def __init__(self) -> None:
        self._packers: dict[str, Any] = {  # the classes of zlib, bz2 and lzma have no common base
            "gzip -9": zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS),
            "bzip2 -9": bz2.BZ2Compressor(9),
            "xz -6": lzma.LZMACompressor(preset=6),
        }
        self._sizes = dict.fromkeys(self._packers, 0) | {"gzip -9": GZIP_FRAME_BYTES}

    def add(self, chunk: bytes) -> None:
        """Add bytes to all of them."""
        for name, packer in self._packers.items():
            self._sizes[name] += len(packer.compress(chunk))

    def sizes(self) -> dict[str, int]:
        """Return the sizes in bytes; nothing may be added afterwards."""
        return {
            name: self._sizes[name] + len(packer.flush()) for name, packer in self._packers.items()
        }
