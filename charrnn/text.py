"""Files to one `str`, decided rather than guessed.

    path → bytes → unpacked, if gzip → decoded, strictly → normalised, if asked → joined → Corpus

Nothing changes that was not asked for: line ends stay as they are, and what cannot be decoded is an
error that names the place. Only a byte order mark is dropped. What a reader of the corpus might
want to know is collected in its `notes`.
"""

import codecs
import gzip
import hashlib
import io
import os
import stat
import sys
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypedDict

from charrnn.decoding import FORMS, HEAD, STRICT_UTF_8, TextOptions, decode
from charrnn.errors import StorageError, TextError, UsageError

STDIN = "-"
PAIR_ENDINGS = (".tsv", ".tsv.gz")
GZIP_MAGIC = b"\x1f\x8b"

SIZE_LIMIT = 4 * 2**30
"""Bytes that one source may hold, unpacked; more is taken for a mistake or a bomb."""

PIECE = 2**20
"""Bytes or characters handled at a time where a second copy of the whole would be too much."""


class Fingerprint(TypedDict):
    """What tells one text from another: the hash of its UTF-8 bytes, and its length."""

    sha256: str
    characters: int


def fingerprint(text: str) -> Fingerprint:
    """Return the fingerprint of `text`."""
    digest = hashlib.sha256()
    for start in range(0, len(text), PIECE):
        digest.update(text[start : start + PIECE].encode("utf-8", "surrogatepass"))
    return {"sha256": digest.hexdigest(), "characters": len(text)}


@dataclass(frozen=True)
class Corpus:
    """A text to learn, what its run is called, where it came from, and remarks for stderr.

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

    def part(self, begin: int, end: int) -> str:
        """Return the characters from `begin` to before `end`."""
        return self.text[begin:end]


def read_corpus(paths: Sequence[str], options: TextOptions = STRICT_UTF_8) -> Corpus:
    """Read files, folders and `-`, sorted by absolute path and joined by one newline.

    Raises TextError for a text that is missing, empty or undecodable, and StorageError where the
    operating system refuses.
    """
    sources, notes = find_files(paths, options)
    texts = []
    for source in sources:
        text, remarks = read_source(source, options)
        if source.endswith(PAIR_ENDINGS):
            remarks.append(f"{shown(source)} is read as plain text; for pairs try --layout")
        texts.append(text)
        notes += remarks
    text = "\n".join(filter(None, texts))
    if text.count(text[:1]) >= len(text):
        lack = "needs at least two different characters" if text else "is empty"
        which = shown(paths[0]) if len(paths) == 1 else f"the text in {len(paths)} places"
        raise TextError(f"{which} {lack}; try a longer text")
    return Corpus(text, name_of(paths), tuple(map(place, sources)), tuple(notes))


def split(text_length: int, val_fraction: float) -> int:
    """Return where validation begins: at the last `val_fraction` of the text, or at its end."""
    if not 0 <= val_fraction <= 0.5:
        raise UsageError(f"--val-fraction {val_fraction} is not within 0 and 0.5; try 0.1")
    begin = int(text_length * (1 - val_fraction))
    if begin < 2 or (val_fraction > 0 and text_length - begin < 2):
        raise TextError(
            f"a text of {text_length} characters cannot be split with --val-fraction "
            f"{val_fraction:g}, 2 on each side are needed; try a longer text or --val-fraction 0"
        )
    return begin


def find_files(paths: Sequence[str], options: TextOptions) -> tuple[list[str], list[str]]:
    """Return the files meant by `paths`, each once and sorted, and notes about the others."""
    if not paths or "" in paths:
        raise UsageError("the corpus has an empty path; try a file, a folder, or - for stdin")
    found: dict[str, str] = {}
    notes = []
    for path in paths:
        files = [path]
        if _is_folder(path):
            files, skipped = _search(path, options)
            if not files:
                raise TextError(f"no text in the folder {shown(path)}; try a file or --encoding")
            if skipped:
                notes.append(f"skipped, not text: {_listed(skipped)}")
        for file in files:
            if place(file) in found:
                notes.append(f"{shown(file)} is named twice and read once")
            found[place(file)] = file
    return [found[place] for place in sorted(found)], notes


def _search(folder: str, options: TextOptions) -> tuple[list[str], list[str]]:
    """Return what is text in `folder` and below, and what is not; hidden files are neither."""

    def refuse(error: OSError) -> None:
        raise error

    texts: list[str] = []
    others: list[str] = []
    with naming(folder):
        for root, folders, files in os.walk(folder, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if not name.startswith("."):
                    path = Path(root, name)
                    (texts if _is_text(path, options) else others).append(str(path))
    return texts, sorted(others)


def _is_text(path: Path, options: TextOptions) -> bool:
    """Look at the head of a file: it is text if it decodes and holds no NUL."""
    if path.suffix == ".npz" or not path.is_file():
        return False
    with naming(str(path)), path.open("rb") as file:
        head = file.read(HEAD)
    decoder = codecs.getincrementaldecoder("latin-1" if options.as_bytes else options.encoding)()
    try:
        if head.startswith(GZIP_MAGIC):
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD)
        return "\0" not in decoder.decode(head)
    except (UnicodeError, zlib.error):
        return False


def read_source(source: str, options: TextOptions) -> tuple[str, list[str]]:
    """Return the text of one file or of standard input, and remarks about it."""
    name = shown(source)
    content = _content(source)
    if content.startswith(GZIP_MAGIC):
        content = _unpack(content, name)
    text, remarks = decode(content, name, options)
    if not text:
        remarks.append("is empty")
    if "\r" in text:
        remarks.append("has CRLF line ends, kept" if "\r\n" in text else "has lone CRs, kept")
    if "\0" in text:
        remarks.append("has NUL characters, kept")
    if options.normalise is not None:
        text = unicodedata.normalize(FORMS[options.normalise], text)
    return text, [f"{name} {remark}" for remark in remarks]


def _content(source: str) -> bytearray:
    """Return the bytes of a file or of standard input."""
    with naming(source):
        if source != STDIN:
            with Path(source).open("rb") as file:
                return _drain(file, shown(source))
        if sys.stdin is None:
            raise TextError("standard input is closed; try a file, or pipe a text into charrnn")
        return _drain(sys.stdin.buffer, "standard input")


def _drain(stream: BinaryIO | gzip.GzipFile, name: str) -> bytearray:
    """Read a stream to its end."""
    content = bytearray()
    for piece in _pieces(stream, name):
        content += piece
    return content


def _pieces(stream: BinaryIO | gzip.GzipFile, name: str) -> Iterator[bytes]:
    """Yield a stream piece by piece; raise TextError if it does not end within SIZE_LIMIT."""
    size = 0
    while piece := stream.read(PIECE):
        size += len(piece)
        if size > SIZE_LIMIT:
            raise TextError(f"{name} holds more than {SIZE_LIMIT:,} bytes; try a part of it")
        yield piece


def _unpack(packed: bytearray, name: str) -> bytearray:
    """Decompress gzip data, once to count and once to keep: a bomb costs time but no memory."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            for _ in _pieces(stream, name):
                pass
            stream.seek(0)
            return _drain(stream, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        damage = "ends too early" if isinstance(error, EOFError) else "is damaged"
        raise TextError(f"{name} is gzip data that {damage}; try to fetch it again") from error


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Turn a refusal of the operating system into an error that names the file."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"there is no file {shown(source)}; try another path, or --corpus python-docs"
        raise TextError(message) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(f"cannot read {shown(source)} ({reason}); try another file") from error


def _is_folder(source: str) -> bool:
    """Tell a folder from a file or pipe, and refuse what may never end."""
    if source == STDIN:
        return False
    with naming(source):
        mode = Path(source).stat().st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise TextError(f"{shown(source)} is a device or a socket; try a file, a folder, or -")
    return stat.S_ISDIR(mode)


def place(source: str) -> str:
    """Return what finds a source again from any folder, and what the order goes by."""
    return source if source == STDIN else str(Path(source).absolute())


def name_of(paths: Sequence[str]) -> str:
    """Name a run after the first of its sources."""
    return run_name(min(paths, key=place))


def run_name(source: str) -> str:
    """Name a run after its source: the folder, or the file without its endings."""
    if source == STDIN:
        return "stdin"
    path = Path(source)
    if path.is_dir():
        return path.resolve().name or "corpus"
    return Path(path.stem).stem if path.suffix == ".gz" else path.stem


def shown(source: str) -> str:
    """Shorten a path so that a message about it fits on its line."""
    name = "standard input" if source == STDIN else source
    return name if len(name) <= 60 else "…" + name[-59:]


def _listed(sources: Sequence[str]) -> str:
    """Name the first few of many paths."""
    names = ", ".join(map(shown, sources[:5]))
    return names if len(sources) <= 5 else f"{names} and {len(sources) - 5} more"
