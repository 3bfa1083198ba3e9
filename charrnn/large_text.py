"""Texts too large to be held: read twice, piece by piece, and left on the disk as ids.

The first pass counts the characters and takes the fingerprint, the second writes an id for each to
a file that is mapped into memory. Decoding is as strict as for small texts, and gives the same
characters; nothing larger than a piece is ever held.
"""

import codecs
import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charrnn.arrays import Ids
from charrnn.decoding import MARKS, TextOptions
from charrnn.errors import StorageError, TextError
from charrnn.text import GZIP_MAGIC, STDIN, Fingerprint, naming, shown
from charrnn.vocabulary import CodeCounts, Vocabulary, add_counts

LARGE = 64 * 2**20
"""Bytes of files from which on a text is large; packed ones count four times."""

PIECE = 2**20
"""Bytes that are decoded at a time."""


@dataclass(frozen=True)
class LargeCorpus:
    """Files that are read anew each time they are asked for; otherwise as a `Corpus`."""

    paths: tuple[str, ...]
    name: str
    sources: tuple[str, ...]
    options: TextOptions = field(default_factory=TextOptions)
    file_notes: tuple[str, ...] = ()

    def pieces(self) -> Iterator[str]:
        """Yield the characters of all files, joined by one newline, some at a time.

        Raises TextError for what cannot be decoded, StorageError where reading is refused.
        """
        begun = False
        for path in self.paths:
            for piece in decoded(path, self.options):
                if begun and piece.first:
                    yield "\n"
                begun = True
                yield piece.text

    @cached_property
    def scan(self) -> "Scan":
        """Count and hash all characters: one pass over the files."""
        counts: CodeCounts = np.zeros(0x100, np.intp)
        digest, characters = hashlib.sha256(), 0
        for piece in self.pieces():
            counts = add_counts(counts, piece)
            digest.update(piece.encode("utf-8", "surrogatepass"))
            characters += len(piece)
        if np.count_nonzero(counts) < 2:
            raise TextError(f"{self.name} needs at least two different characters; try another")
        return Scan(counts, {"sha256": digest.hexdigest(), "characters": characters})

    @property
    def counts(self) -> CodeCounts:
        """How often each code point occurs, from 0 to the highest."""
        return self.scan.counts

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the text."""
        return self.scan.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for stderr."""
        found = list(self.file_notes)
        if "\r" in self.head(PIECE):
            found.append(f"{self.name} has CRs at its line ends, kept")
        size = self.fingerprint["characters"]
        return (*found, f"{size:,} characters are many: their ids are kept in a file")

    def head(self, characters: int) -> str:
        """Return the first characters."""
        return self.part(0, characters)

    def part(self, begin: int, end: int) -> str:
        """Return the characters from `begin` to before `end`; reads all that come before."""
        found, place = [], 0
        for piece in self.pieces():
            found.append(piece[max(0, begin - place) : max(0, end - place)])
            place += len(piece)
            if place >= end:
                break
        return "".join(found)

    def encode(self, vocabulary: Vocabulary, path: Path) -> Ids:
        """Write the ids of the known characters to `path`, atomically; return them mapped.

        Raises StorageError if there is no room for them.
        """
        temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        size = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                for piece in self.pieces():
                    size += file.write(vocabulary.encode(piece, "skip").tobytes())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            reason = error.strerror or type(error).__name__
            raise StorageError(f"cannot write {str(path)!r}: {reason}; try --out DIR") from error
        if not size:
            path.unlink()
            raise TextError(f"the model knows no character of {self.name!r}; try another text")
        return mapped(path, vocabulary)


@dataclass(frozen=True)
class Scan:
    """What one pass over a text tells."""

    counts: CodeCounts
    fingerprint: Fingerprint


def mapped(path: Path, vocabulary: Vocabulary) -> Ids:
    """Map a file of ids (N,), read only."""
    found: Ids = np.asarray(np.memmap(path, vocabulary.id_type, "r"))
    return found


def is_large(paths: tuple[str, ...] | list[str], options: TextOptions) -> bool:
    """Whether these files are better not held; a normal form needs all of a text at once."""
    if STDIN in paths or options.normalise is not None:
        return False
    size = 0
    for path in paths:
        with naming(path):
            place = Path(path)
            if not place.is_file():
                return False
            with place.open("rb") as file:
                packed = file.read(2) == GZIP_MAGIC
            size += place.stat().st_size * (4 if packed else 1)
    return size >= LARGE


@dataclass(frozen=True)
class Piece:
    """Some characters of a file; the first ones of it are marked."""

    text: str
    first: bool


def decoded(path: str, options: TextOptions) -> Iterator[Piece]:
    """Yield a file's characters, without a byte order mark, strictly decoded."""
    codec = "latin-1" if options.as_bytes else codecs.lookup(options.encoding).name
    decoder = codecs.getincrementaldecoder(codec)()
    mark = b"" if options.as_bytes else MARKS.get(codec, b"")
    consumed, lines, first = 0, 0, True
    with opened(path) as file:
        while True:
            try:
                content = file.read(max(PIECE, len(mark)))
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise TextError(
                    f"{shown(path)} is gzip data that is damaged or ends too early; "
                    "try to fetch it again"
                ) from error
            at_end = not content
            if consumed == 0 and mark and content.startswith(mark):
                content = content[len(mark) :]
                consumed = len(mark)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(content, final=at_end)
            except UnicodeError as error:
                start = getattr(error, "start", 0)
                offset = consumed - pending + start
                line = lines + content[: max(0, start - pending)].count(b"\n") + 1
                raise TextError(
                    f"{shown(path)} is not {codec.upper()} (offset {offset:,}, line {line:,}); "
                    "try another --encoding, or --bytes"
                ) from error
            if text:
                yield Piece(text, first)
                first = False
                lines += text.count("\n")
            if at_end:
                return
            consumed += len(content)


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO | gzip.GzipFile]:
    """Open a file, unpacked if it is gzip; what the system refuses names the file."""
    with naming(path), Path(path).open("rb") as raw:
        if raw.read(2) == GZIP_MAGIC:
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked
        else:
            raw.seek(0)
            yield raw


def ids_path(folder: Path) -> Path:
    """Return where a run keeps the ids of a large text."""
    return folder / "ids.bin"
