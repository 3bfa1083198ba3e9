"""Loading the text of a run: from the command line, built in, or from the paths in run.json."""

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from charrnn.checkpointing.records import CorpusRecord
from charrnn.checkpointing.run_records import read_facts, sources_in
from charrnn.cli.output.safe_text import shell_command, stdin_is_terminal, write_message
from charrnn.data.builtin_texts import built_in_corpus
from charrnn.data.corpus_checks import check_character_counts, check_text, sample_of
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import (
    PAIR_ENDINGS,
    READ_CHUNK_BYTES,
    find_files,
    name_of,
    place,
    shown,
)
from charrnn.data.file_notes import FileNotes
from charrnn.data.large_text_files import (
    AnyCorpus,
    LargeCorpus,
    is_large,
    is_packed,
    raw_chunks,
)
from charrnn.data.text_files import join_files
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.types import Ids

DEFAULT_CORPUS = "python-docs"

MAX_BYTES_PER_CHARACTER, SPARE_BYTES = 16, 2**20
"""Bytes of a file for each character of the text, at most, and for a text of no characters.

A character composed of three takes 12 bytes in UTF-8, an escape in `unicode_escape` takes 10.
"""

Say: TypeAlias = Callable[[str], object]
"""Shows a line."""


def nothing(_line: str) -> None:
    """Do not show a line."""


def read_text(paths: Sequence[str], built_in: str | None, options: TextOptions) -> AnyCorpus:
    """Read files or a built-in corpus; by default `DEFAULT_CORPUS`.

    Raises `UsageError` for both at once, and `TextError` for files that cannot be used.
    """
    if paths and built_in is not None:
        raise UsageError("files and --builtin contradict each other; try one of them")
    if "-" in paths and stdin_is_terminal():
        write_message("charrnn: reading the text from the terminal; end it with Ctrl-D")
    if not paths:
        return built_in_corpus(built_in or DEFAULT_CORPUS, options=options)
    return read_files(paths, options)


def read_files(paths: Sequence[str], options: TextOptions) -> AnyCorpus:
    """Read files into memory, or return a `LargeCorpus` if they are too large for it."""
    files, notes = find_files(paths, options)
    if not is_large(files, options):
        return join_files(files, notes, paths, options)
    sources = tuple(map(place, files))
    return LargeCorpus(tuple(files), name_of(paths), sources, options, tuple(notes))


def text_remarks(corpus: AnyCorpus, vocabulary: Vocabulary, *, min_count: bool) -> tuple[str, ...]:
    """Return warnings about a text before training on it, one line each.

    Args:
        corpus: the text.
        vocabulary: characters outside it are ignored.
        min_count: whether the option `--min-count` may be advised.
    """
    found = FileNotes()
    for source in corpus.sources:
        if source.endswith(PAIR_ENDINGS):
            found.add(shown(source), "is read as plain text (for pairs try --layout)")
    parts, whole = list(corpus.sample), corpus.fingerprint["characters"]
    if len(parts) == 1:
        parts = sample_of(parts[0])
    sampled = sum(map(len, parts)) < whole
    if vocabulary.as_bytes:
        parts = [part.encode("latin-1").decode("utf-8", "replace") for part in parts]
        return (*found.lines(), *check_text(parts, sampled=sampled))
    counts = corpus.counts.copy()
    counts[list(map(ord, vocabulary.unknown_of(counts)))] = 0
    about_characters = check_character_counts(counts, min_count=min_count)
    return (*found.lines(), *check_text(parts, sampled=sampled), *about_characters)


def announced(folder: Path, most_bytes: int, say: Say) -> list[str]:
    """Return `sources_of` after `say` has been called with a line that names them."""
    sources = sources_of(folder, most_bytes)
    say(f"reading {source_names(sources)}, which run.json names")
    return sources


def find_text_again(
    record: CorpusRecord, folder: Path, paths: Sequence[str] = (), say: Say = nothing
) -> AnyCorpus:
    """Read the text of an existing run, and verify its SHA-256.

    Args:
        record: the text as the checkpoint records it.
        folder: the run; its run.json has the paths.
        paths: other paths to read the text from.
        say: is called with a line that names the files of run.json, before they are read.

    Raises `TextError` if the text is missing, or is another one.
    """
    options = TextOptions(record.encoding, record.as_bytes, record.normalise)
    corpus: AnyCorpus
    if record.built_in is not None and not paths:
        options = TextOptions(as_bytes=record.as_bytes, normalise=record.normalise)
        corpus = built_in_corpus(record.built_in, options=options)
    else:
        with advising_resume(folder, paths):
            corpus = read_files(paths or announced(folder, most_text_bytes(record), say), options)
    if corpus.fingerprint["sha256"] != record.sha256:
        raise TextError(
            f"{source_names(corpus.sources)} is not the text of this run "
            f"({record.characters:,} characters, "
            f"sha256 {record.sha256[:12]}…)",
            "the original",
            "--init-from for a new run",
        )
    return corpus


@contextmanager
def advising_resume(folder: Path, paths: Sequence[str]) -> Iterator[None]:
    """Replace the advice of a `TextError` by that for `--resume`, which accepts other files only.

    Options for reading the files are part of the run and cannot be changed.
    """
    try:
        yield
    except TextError as error:
        advice = [text for text in error.advice if "--" not in text]
        if not paths:
            advice = [shell_command("charrnn", "train", "--resume", str(folder), "FILE")]
        raise TextError(error.problem, *advice) from error


def spelling(vocabulary: Vocabulary) -> Callable[[Ids], bytes]:
    """Return a function that decodes ids to the bytes that compressors are given."""
    encoding = "latin-1" if vocabulary.as_bytes else "utf-8"
    return lambda ids: vocabulary.decode(ids).encode(encoding)


def sources_of(folder: Path, most_bytes: int) -> list[str]:
    """Return the paths of a run's training data in run.json, which another person may have written.

    Args:
        folder: the run.
        most_bytes: the bytes that the files may hold together, unpacked.

    Raises `TextError` if there are none, if one is not a regular file, or if they hold more.
    """
    known = sources_in(read_facts(folder))
    kept, left = [], most_bytes
    for source in known:
        size = size_of(source)
        if size == 0:  # nothing, or a file of the kernel, which may block a reader
            continue
        kept.append(source)
        if size is not None:
            left -= unpacked_size(source, left) if is_packed(source) else size
        if left < 0:
            raise TextError(f"{shown(source)}, which run.json names, is too large for this run")
    if not kept:
        raise TextError(f"nothing in {str(folder)!r} says where the text was")
    return kept


def size_of(source: str) -> int | None:
    """Return the bytes of a regular file, or None if there is none, which its reader reports.

    Raises `TextError` for a folder, a pipe or a device.
    """
    try:
        status = Path(source).stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise TextError(f"{shown(source)}, which run.json names, is no file")
    return status.st_size


def unpacked_size(source: str, most: int) -> int:
    """Return the bytes of a gzip file, unpacked, or some number above `most`."""
    size = 0
    for chunk in raw_chunks(source, READ_CHUNK_BYTES):
        size += len(chunk)
        if size > most:
            break
    return size


def most_text_bytes(record: CorpusRecord) -> int:
    """Return the most bytes that the text of a record can have had."""
    return MAX_BYTES_PER_CHARACTER * record.characters + SPARE_BYTES


def source_names(sources: Sequence[str]) -> str:
    """Name the files of a corpus for a message: the first, and how many more."""
    more = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
    return f"{shown(sources[0])}{more}"
