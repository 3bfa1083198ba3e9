"""File discovery: the text files that paths stand for, their order and names."""

import codecs
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from charrnn.data.decoding import TextOptions, check_head
from charrnn.data.encoding_detection import CONTROLS, HEAD_BYTES, mark_of, with_order, zeros_of
from charrnn.data.file_notes import FileNotes, list_names
from charrnn.errors import StorageError, TextError, UsageError
from charrnn.run_files import is_run, is_run_file

STDIN = "-"
PAIR_ENDINGS = (".tsv", ".tsv.gz")
GZIP_MAGIC = b"\x1f\x8b"

READ_CHUNK_BYTES = 2**20
"""Bytes of a file that are read, checked or decoded at a time."""

Kind: TypeAlias = Literal["text", "another encoding", "not text", "empty"]


def find_files(paths: Sequence[str], options: TextOptions) -> tuple[list[str], list[str]]:
    """Return the files meant by `paths`, each once and sorted, and notes about the others.

    Raises TextError for a path that is missing, a device, or a folder without text.
    """
    if not paths or "" in paths:
        raise UsageError("the corpus has an empty path; try a file, a folder, or - for stdin")
    found: dict[str, str] = {}
    notes: list[str] = []
    repeated = FileNotes()
    for path in paths:
        files = [path]
        if is_folder(path):
            files, remarks = _search(path, options)
            notes += remarks
        for file in files:
            if place(file) in found:
                repeated.add(shown(file), "is named twice and read once")
            found[place(file)] = file
    return [found[place] for place in sorted(found)], [*notes, *repeated.lines()]


MAX_FILES = 100_000
"""Files that a folder may hold; more is taken for a mistake, such as the root of a file system."""


def _search(folder: str, options: TextOptions) -> tuple[list[str], list[str]]:
    """Return the text files in `folder` and below, and notes about other files.

    Hidden files, folders of runs and their files are left out silently. Other file systems that are
    mounted below the folder, such as /proc, are left out.
    """
    files: dict[Kind, list[str]] = {kind: [] for kind in get_args(Kind)}
    paths = list(islice(_visible_files(folder), MAX_FILES + 1))
    if len(paths) > MAX_FILES:
        raise TextError(
            f"the folder {shown(folder)} holds more than {MAX_FILES:,} files", "a folder inside it"
        )
    for path in paths:
        files[kind_of(path, options)].append(str(path))
    others = sorted(files["another encoding"])
    what = "UTF-8" if options.codec == "utf-8" else options.codec.upper()
    notes = []
    if others:
        notes.append(f"skipped, not {what}: {list_names(map(shown, others))}")
    if files["not text"]:
        notes.append(f"skipped, not text: {list_names(map(shown, sorted(files['not text'])))}")
    empty = FileNotes()
    for source in files["empty"]:
        empty.add(shown(source), "is empty")
    notes += empty.lines()
    if files["text"]:
        return files["text"], notes
    if is_run(Path(folder)):
        raise TextError(f"{shown(folder)} is the folder of a run, without a text", "a file of text")
    if others:
        which = others[0] if len(others) == 1 else f"{len(others):,} files, {others[0]} the first"
        problem = f"no text in the folder {shown(folder)}: not {what} ({shown(which)})"
        raise TextError(problem, "a file", "--encoding NAME")
    raise TextError(f"no text in the folder {shown(folder)}", "a file")


def _visible_files(folder: str) -> Iterator[Path]:
    """Yield the files in a folder and below, except for hidden ones and those of runs."""

    def refuse(error: OSError) -> None:
        raise error

    with naming(folder):
        device = Path(folder).stat().st_dev
        for root, folders, names in os.walk(folder, onerror=refuse):
            here = Path(root)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".")
                and not is_run(here / name)
                and (here / name).lstat().st_dev == device
            ]
            of_run = root == folder and is_run(here)
            for name in names:
                if not name.startswith(".") and not (of_run and is_run_file(name)):
                    yield here / name


def kind_of(path: Path, options: TextOptions) -> Kind:
    """Return the kind of a file; a text decodes completely and has no NUL in its first bytes."""
    if path.suffix == ".npz" or not path.is_file():
        return "not text"
    if not path.stat().st_size:  # nothing, or a file of the kernel, which may block a reader
        return "empty"
    with naming(str(path)), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        packed = head.startswith(GZIP_MAGIC)
        if packed:  # of which the rest is checked when it is read
            try:
                head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
            except zlib.error:
                return "not text"
        try:
            check_head(head, path.name, options)
            decoder = codecs.getincrementaldecoder(with_order(options.codec, head))()
            if "\0" in decoder.decode(head):
                return _other_kind(head)
            while not packed and (chunk := file.read(READ_CHUNK_BYTES)):
                decoder.decode(chunk)
            decoder.decode(b"", final=not packed)
        except (UnicodeError, TextError):
            return _other_kind(head)
    return "text"


def _other_kind(head: bytes) -> Kind:
    """Return whether the first bytes look like a text in another encoding or like no text."""
    wide = mark_of(head) is not None or zeros_of(head)
    return "another encoding" if wide or not set(CONTROLS) & set(head) else "not text"


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Convert an OSError into a TextError or StorageError with the name of the file."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"there is no file {shown(source)}"
        raise TextError(message, "another path", "--builtin python-docs") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(f"cannot read {shown(source)} ({reason})", "another file") from error


def is_folder(source: str) -> bool:
    """Return whether `source` is a folder; TextError if it is missing, a device or a socket."""
    if source == STDIN:
        return False
    with naming(source):
        mode = Path(source).stat().st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise TextError(f"{shown(source)} is a device or a socket", "a file, or - for stdin")
    return stat.S_ISDIR(mode)


def place(source: str) -> str:
    """Return the absolute path of a source, by which sources are sorted; `-` stays as it is."""
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
