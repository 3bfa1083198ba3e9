"""Text files: reading, decompressing, decoding and joining them to one `Corpus`.

    path → bytes → unpacked, if gzip → decoded, strictly → normalised, if asked → joined → Corpus

Decoding is strict: bytes that cannot be decoded are an error with their offset. Line ends are kept;
only byte order marks are dropped. Remarks about the files are collected in `Corpus.notes`.
"""

import gzip
import hashlib
import io
import sys
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar, TypedDict

from charrnn.data.decoding import FORMS, STRICT_UTF_8, TextFacts, TextOptions, decode
from charrnn.data.file_discovery import (
    GZIP_MAGIC,
    READ_CHUNK_BYTES,
    STDIN,
    find_files,
    is_folder,
    name_of,
    naming,
    place,
    shown,
)
from charrnn.data.file_notes import FileNotes
from charrnn.data.vocabulary import CodeCounts, Vocabulary, count
from charrnn.errors import TextError, UsageError
from charrnn.types import Ids

SIZE_LIMIT = 4 * 2**30
"""Bytes that one source may hold, unpacked; more is taken for a mistake or a decompression bomb."""


class Fingerprint(TypedDict):
    """Identity of a text: the SHA-256 of its UTF-8 bytes, and its number of characters."""

    sha256: str
    characters: int


def fingerprint(text: str) -> Fingerprint:
    """Return the fingerprint of `text`."""
    digest = hashlib.sha256()
    for start in range(0, len(text), READ_CHUNK_BYTES):
        digest.update(text[start : start + READ_CHUNK_BYTES].encode("utf-8", "surrogatepass"))
    return {"sha256": digest.hexdigest(), "characters": len(text)}


@dataclass(frozen=True)
class Corpus:
    """A text with the name of its run, its sources, and remarks for stderr.

    Sources are absolute paths, `-` for standard input, or the name of a built-in corpus.
    """

    text: str
    name: str
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the text."""
        return fingerprint(self.text)

    on_disk: ClassVar[bool] = False
    """Whether ids are written to a file instead of being held."""

    @property
    def counts(self) -> CodeCounts:
        """How often each code point occurs, from 0 to the highest."""
        return count(self.text)

    @property
    def sample(self) -> tuple[str, ...]:
        """The text, as the one part of it."""
        return (self.text,)

    def encode(self, vocabulary: Vocabulary, path: Path) -> Ids:
        """Return the ids of the known characters; nothing is written to `path`."""
        return vocabulary.encode(self.text, "skip")

    def part(self, begin: int, end: int) -> str:
        """Return the characters from `begin` to before `end`."""
        return self.text[begin:end]


def read_corpus(paths: Sequence[str], options: TextOptions = STRICT_UTF_8) -> Corpus:
    """Read files, folders and `-`, sorted by absolute path and joined by one newline.

    Raises TextError for a text that is missing, empty or undecodable, and StorageError where the
    operating system refuses.
    """
    sources, notes = find_files(paths, options)
    return join_files(sources, notes, paths, options)


def join_files(
    sources: Sequence[str], notes: Sequence[str], paths: Sequence[str], options: TextOptions
) -> Corpus:
    """Read the files `sources`, which `find_files` has found under `paths`, with its `notes`."""
    texts = []
    remarks = FileNotes()
    for source in sources:
        text, facts = read_source(source, options)
        texts.append(text)
        remarks.add(shown(source), *facts.remarks())
    text = "\n".join(filter(None, texts))
    check_variety(len(text), text.count(text[:1]), paths)
    return Corpus(text, name_of(paths), tuple(map(place, sources)), (*notes, *remarks.lines()))


def check_variety(characters: int, commonest: int, paths: Sequence[str]) -> None:
    """Raise TextError for a text that is empty, or in which one character makes up all of it."""
    if commonest >= characters:
        lack = "needs at least two different characters" if characters else "is empty"
        which = shown(paths[0]) if len(paths) == 1 else f"the text in {len(paths)} places"
        raise TextError(f"{which} {lack}", "a longer text")


def validation_start(text_length: int, val_fraction: float) -> int:
    """Return the index of the first validation character; `text_length` for a fraction of 0.

    Raises UsageError for a fraction outside 0 to 0.5, TextError if fewer than two characters would
    be on either side.
    """
    if not 0 <= val_fraction <= 0.5:
        raise UsageError(f"--val-fraction {val_fraction} is not within 0 and 0.5; try 0.1")
    begin = int(text_length * (1 - val_fraction))
    if begin < 2 or (val_fraction > 0 and text_length - begin < 2):
        raise TextError(
            f"a text of {text_length} characters cannot be split with --val-fraction "
            f"{val_fraction:g}, 2 on each side are needed",
            "a longer text",
            "--val-fraction 0",
        )
    return begin


def read_source(source: str, options: TextOptions) -> tuple[str, TextFacts]:
    """Return the text of one file or of standard input, and facts about it."""
    if is_folder(source):
        raise TextError(f"{shown(source)} is a folder", "one of its files")
    name = shown(source)
    content = _content(source)
    if content.startswith(GZIP_MAGIC):
        content = _unpack(content, name)
    text, facts = decode(content, name, options)
    return normalised(text, options), facts


def normalised(text: str, options: TextOptions) -> str:
    """Return `text` in the normal form of `options`, or unchanged if there is none."""
    if options.normalise is None:
        return text
    return unicodedata.normalize(FORMS[options.normalise], text)


def _content(source: str) -> bytearray:
    """Return the bytes of a file or of standard input."""
    with naming(source):
        if source != STDIN:
            with Path(source).open("rb") as file:
                return _drain(file, shown(source))
        if sys.stdin is None:
            raise TextError("standard input is closed", "a file", "a pipe")
        return _drain(sys.stdin.buffer, "standard input")


def _drain(stream: BinaryIO | gzip.GzipFile, name: str) -> bytearray:
    """Read a stream to its end."""
    content = bytearray()
    for chunk in chunks_of(stream, name):
        content += chunk
    return content


def chunks_of(stream: BinaryIO | gzip.GzipFile, name: str) -> Iterator[bytes]:
    """Yield a stream chunk by chunk; raise TextError if it does not end within SIZE_LIMIT."""
    size = 0
    while chunk := stream.read(READ_CHUNK_BYTES):
        size += len(chunk)
        if size > SIZE_LIMIT:
            raise TextError(f"{name} holds more than {SIZE_LIMIT:,} bytes", "a part of it")
        yield chunk


def _unpack(packed: bytearray, name: str) -> bytearray:
    """Decompress gzip data, first to count, then to keep: a decompression bomb takes no memory."""
    with unpacking(name), gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
        for _ in chunks_of(stream, name):
            pass
        stream.seek(0)
        content = _drain(stream, name)
    check_packed_once(content, name)
    return content


def check_packed_once(content: bytes | bytearray, name: str) -> None:
    """Raise TextError if decompressed content is gzip data again."""
    if content.startswith(GZIP_MAGIC):
        raise TextError(f"{name} is packed with gzip twice", "to unpack it once")


@contextmanager
def unpacking(name: str) -> Iterator[None]:
    """Convert errors of gzip about damaged data into a TextError."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        damage = "ends too early" if isinstance(error, EOFError) else "is damaged"
        raise TextError(f"{name} is gzip data that {damage}", "to fetch it again") from error
