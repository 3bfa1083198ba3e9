"""Header of a compressed file, and the SHA-256 at its end.

    magic (8)  version (2)  K (1)  SHA-256 of each model (32 K)  fingerprint (8)
    streams (4)  stream characters (4)  block characters (4)
    characters (8)  bytes (8)  SHA-256 of the content (32)
    codec, byte order mark (each 1 + length)
    payload, the output of the range coder
    SHA-256 of all that stands before it (32)

Integers are unsigned and big-endian. `docs/using-a-model.md` describes the fields.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from charrnn.compression.coding_model import FINGERPRINT_BYTES
from charrnn.errors import TextError

MAGIC = b"\x89CRNN\r\n\x1a"
"""Not ASCII at its beginning, and with a line end that a transfer as text would change."""

VERSION = 1
"""Stands for all constants of `fixed_point`, `coding_model` and `range_coder`."""

DIGEST_BYTES = 32
FIXED = struct.Struct(">IIIQQ")
MAX_MEMBERS = 64
MAX_STREAMS = 2**12
MAX_BLOCK_CHARACTERS = 2**24
CHUNK_BYTES = 2**20
WHOLE_COPY = "an undamaged copy"


@dataclass(frozen=True)
class Division:
    """How a text is divided into sequences that are coded side by side, each from the zero state.

    Args:
        streams: most sequences at a time.
        stream_characters: fewest characters of each of several sequences.
        block_characters: characters that are divided at a time.
    """

    streams: int = 64
    stream_characters: int = 4_096
    block_characters: int = 2**20

    def parts(self, characters: int) -> tuple[int, int]:
        """Return the number of sequences of a block, and the characters of each but the last."""
        S = max(1, min(self.streams, characters // self.stream_characters))
        return S, -(-characters // S)

    def valid(self) -> bool:
        """Return whether the numbers are within what a decoder accepts."""
        return (
            1 <= self.streams <= MAX_STREAMS
            and self.streams <= self.stream_characters <= MAX_BLOCK_CHARACTERS
            and 1 <= self.block_characters <= MAX_BLOCK_CHARACTERS
        )


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first character.

    Args:
        models: SHA-256 of each model, by `charrnn.compression.coding_model.model_hash`.
        fingerprint: hash of frequencies that the encoder's machine computed.
        division: how the text is divided.
        characters: number of characters of the text, without byte order mark.
        size: number of bytes of the content.
        sha256: SHA-256 of the content.
        codec: Python's name of the encoding; empty for a model of bytes.
        mark: the byte order mark at the beginning, or nothing.
    """

    models: tuple[bytes, ...]
    fingerprint: bytes
    division: Division
    characters: int
    size: int
    sha256: bytes
    codec: str
    mark: bytes

    def pack(self) -> bytes:
        """Return the header as bytes."""
        numbers = FIXED.pack(
            self.division.streams,
            self.division.stream_characters,
            self.division.block_characters,
            self.characters,
            self.size,
        )
        codec = self.codec.encode("ascii")
        return b"".join(
            (
                *(MAGIC, VERSION.to_bytes(2, "big"), bytes([len(self.models)]), *self.models),
                *(self.fingerprint, numbers, self.sha256),
                *(bytes([len(codec)]), codec, bytes([len(self.mark)]), self.mark),
            )
        )

    @classmethod
    def read(cls, file: BinaryIO, name: str) -> "Header":
        """Read the header at the position of `file`.

        Raises `TextError` for what is no header, or one of a newer version; `name` stands for the
        file in the message.
        """

        def take(count: int) -> bytes:
            found = file.read(count)
            if len(found) < count:
                raise altered(name)
            return found

        if file.read(len(MAGIC)) != MAGIC:
            raise TextError(f"{name} is no file of charrnn compress", "a file that it wrote")
        version = int.from_bytes(take(2), "big")
        if version != VERSION:
            raise TextError(f"{name} is of version {version}, not {VERSION}", "another charrnn")
        count = take(1)[0]
        if not 1 <= count <= MAX_MEMBERS:
            raise altered(name)
        models = tuple(take(DIGEST_BYTES) for _ in range(count))
        fingerprint = take(FINGERPRINT_BYTES)
        streams, least, block, characters, size = FIXED.unpack(take(FIXED.size))
        division = Division(streams, least, block)
        sha256 = take(DIGEST_BYTES)
        codec = take(take(1)[0])
        mark = take(take(1)[0])
        if not (codec.isascii() and division.valid()):
            raise altered(name)
        known = codec.decode("ascii")
        return cls(models, fingerprint, division, characters, size, sha256, known, mark)


def altered(name: str) -> TextError:
    """Return the error for a compressed file that is not as it was written."""
    return TextError(f"{name} is truncated or altered; nothing is written", WHOLE_COPY)


def check_digest(file: BinaryIO, name: str) -> int:
    """Compare the SHA-256 at the end of a file with its content; return the offset of that end.

    Leaves the position at the beginning. Raises `TextError` if they differ.
    """
    file.seek(0, 2)
    end = file.tell() - DIGEST_BYTES
    file.seek(0)
    if end < len(MAGIC):
        raise altered(name)
    digest = hashlib.sha256()
    for chunk in limited_chunks(file, end):
        digest.update(chunk)
    if file.read() != digest.digest():
        raise altered(name)
    file.seek(0)
    return end


def limited_chunks(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the bytes from the position of `file` to before offset `end`."""
    while (left := end - file.tell()) > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
        yield chunk
