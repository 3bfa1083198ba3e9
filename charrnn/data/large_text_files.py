"""Large text files: read in chunks, encoded to a file of ids that is mapped into memory.

A first pass counts the characters and computes the fingerprint, a second one writes the ids. The
characters are those of `charrnn.data.text_files`, decoded as strictly, but memory holds one chunk
at a time.
"""

import codecs
import contextlib
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar, TypeAlias

import numpy as np

from charrnn.data.decoding import (
    TextFacts,
    TextOptions,
    check_characters,
    check_head,
    check_zeros,
    undecodable,
)
from charrnn.data.encoding_detection import HEAD_BYTES, with_order
from charrnn.data.file_discovery import GZIP_MAGIC, READ_CHUNK_BYTES, STDIN, naming, shown
from charrnn.data.file_notes import FileNotes
from charrnn.data.text_files import (
    SIZE_LIMIT,
    Corpus,
    Fingerprint,
    check_packed_once,
    check_variety,
    unpacking,
)
from charrnn.data.vocabulary import CodeCounts, Vocabulary, add_counts
from charrnn.errors import StorageError, TextError
from charrnn.system.files import write_atomically
from charrnn.types import Ids

LARGE_TEXT_BYTES = 64 * 2**20
"""Total bytes of files from which on a text is large; gzip files count four times."""


@dataclass(frozen=True)
class LargeCorpus:
    """Corpus whose files are read again at each use instead of being kept in memory."""

    paths: tuple[str, ...]
    name: str
    sources: tuple[str, ...]
    options: TextOptions = field(default_factory=TextOptions)
    file_notes: tuple[str, ...] = ()

    def chunks(self, notes: FileNotes | None = None) -> Iterator[str]:
        """Yield the characters of all files, joined by one newline, some at a time.

        Remarks about the files are added to `notes`. Raises TextError for what cannot be decoded,
        StorageError where reading is refused.
        """
        begun = False
        for path in self.paths:
            facts = TextFacts()
            first = True
            for chunk in decoded(path, self.options, facts):
                if begun and first:
                    yield "\n"
                begun, first = True, False
                yield chunk
            if notes is not None:
                notes.add(shown(path), *facts.remarks())

    @cached_property
    def scan(self) -> "Scan":
        """Count and hash all characters: one pass over the files."""
        counts: CodeCounts = np.zeros(0x100, np.intp)
        digest, characters = hashlib.sha256(), 0
        notes, sample = FileNotes(), []
        for number, chunk in enumerate(self.chunks(notes)):
            counts = add_counts(counts, chunk)
            digest.update(chunk.encode("utf-8", "surrogatepass"))
            characters += len(chunk)
            if number & (number - 1) == 0:  # 0 and the powers of 2
                sample.append(chunk)
        check_variety(characters, int(counts.max()), self.paths)
        fingerprint: Fingerprint = {"sha256": digest.hexdigest(), "characters": characters}
        return Scan(counts, fingerprint, notes.lines(), tuple(sample))

    on_disk: ClassVar[bool] = True
    """Whether ids are written to a file instead of being held."""

    @property
    def sample(self) -> tuple[str, ...]:
        """Parts of the text that are held."""
        return self.scan.sample

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
        size = self.fingerprint["characters"]
        many = f"{size:,} characters are many: their ids are kept in a file"
        return (*self.file_notes, *self.scan.notes, many)

    def head(self, characters: int) -> str:
        """Return the first characters."""
        return self.part(0, characters)

    def part(self, begin: int, end: int) -> str:
        """Return the characters from `begin` to before `end`; reads all that come before."""
        found, place = [], 0
        for chunk in self.chunks():
            found.append(chunk[max(0, begin - place) : max(0, end - place)])
            place += len(chunk)
            if place >= end:
                break
        return "".join(found)

    def encode(self, vocabulary: Vocabulary, path: Path) -> Ids:
        """Write the ids of the known characters to `path`, atomically; return them mapped.

        Raises StorageError if there is no room for them, TextError if the text has changed since
        it was counted or holds no known character; then nothing is left behind.
        """
        new_folders = [folder for folder in path.parents if not folder.exists()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self._encoded_chunks(vocabulary))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StorageError(
                f"cannot write {str(path)!r}: {reason}", "a disk with room, writable"
            ) from error
        finally:
            for folder in new_folders:  # those that are empty
                with contextlib.suppress(OSError):
                    folder.rmdir()
        return mapped(path, vocabulary)

    def _encoded_chunks(self, vocabulary: Vocabulary) -> Iterator[bytes]:
        size = characters = 0
        for chunk in self.chunks():
            characters += len(chunk)
            content = vocabulary.encode(chunk, "skip").tobytes()
            size += len(content)
            yield content
        if characters != self.fingerprint["characters"]:
            raise TextError(f"{self.name!r} has changed while it was read", "a copy of it")
        if not size:
            raise TextError(f"the model knows no character of {self.name!r}", "another text")


@dataclass(frozen=True)
class Scan:
    """Result of one pass over a text: counts, fingerprint, remarks and a sample."""

    counts: CodeCounts
    fingerprint: Fingerprint
    notes: tuple[str, ...]
    sample: tuple[str, ...]
    """Some of the chunks, from all over the text."""


AnyCorpus: TypeAlias = Corpus | LargeCorpus
"""A text in memory, or one that is read from disk."""


def mapped(path: Path, vocabulary: Vocabulary) -> Ids:
    """Map a file of ids (N,), read only."""
    found: Ids = np.asarray(np.memmap(path, vocabulary.id_type, "r"))
    return found


def is_large(paths: tuple[str, ...] | list[str], options: TextOptions) -> bool:
    """Return whether to read files in chunks; a normal form needs the whole text at once."""
    if STDIN in paths or options.normalise is not None:
        return False
    size = 0
    for path in paths:
        with naming(path):
            place = Path(path)
            if not place.is_file():
                return False
            size += place.stat().st_size * (4 if is_packed(path) else 1)
    return size >= LARGE_TEXT_BYTES


def is_packed(path: str) -> bool:
    """Return whether a file begins as gzip data; what the system refuses names the file."""
    with naming(path), Path(path).open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def decoded(path: str, options: TextOptions, facts: TextFacts | None = None) -> Iterator[str]:
    """Yield a file's characters, strictly decoded, with the checks that `decode` makes.

    Counts of line ends, NULs and byte order marks are added to `facts`.
    """
    facts = TextFacts() if facts is None else facts
    name = shown(path)
    head = next(raw_chunks(path, HEAD_BYTES), b"")
    codec = with_order(options.codec, head)
    if not options.as_bytes:
        check_head(head, name, options)
    decoder = codecs.getincrementaldecoder(codec)()
    consumed, lines = 0, 0
    for content in raw_chunks(path, READ_CHUNK_BYTES, end=b""):
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            before = (pending + content)[:start]
            line = lines + str(before, codec, "ignore").count("\n") + 1
            offset = consumed - len(pending) + start
            raise undecodable(
                name,
                codec,
                offset,
                line,
                lambda: raw_chunks(path, max(READ_CHUNK_BYTES, HEAD_BYTES)),
            ) from error
        consumed += len(content)
        lines += text.count("\n")
        if text := facts.add(text):
            check_characters(text, name, options)
            yield text
    if facts.nul:
        check_zeros(head, consumed, name, options)


def raw_chunks(path: str, size: int, end: bytes | None = None) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file, up to `size` at a time, and then `end` if given."""
    name = shown(path)
    with opened(path) as file:
        packed, total = isinstance(file, gzip.GzipFile), 0
        while True:
            with unpacking(name):
                content = file.read(size)
            if not content:
                break
            if packed and not total:
                check_packed_once(content, name)
            total += len(content)
            if packed and total > SIZE_LIMIT:
                raise TextError(f"{name} holds more than {SIZE_LIMIT:,} bytes", "a part of it")
            yield content
    if end is not None:
        yield end


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
