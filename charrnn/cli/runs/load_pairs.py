"""Loading the pairs of a run: from the command line, built in, or from the paths in run.json."""

from collections.abc import Sequence
from pathlib import Path

from charrnn.checkpointing.records import CorpusRecord
from charrnn.cli.runs.load_text import Say, advising_resume, announced, nothing, source_names
from charrnn.data.builtin_pairs import DEMONSTRATIONS, demonstration
from charrnn.data.builtin_texts import refuse_encoding
from charrnn.data.corpus_checks import check_pairs
from charrnn.data.decoding import TextOptions
from charrnn.data.layouts import layout_called
from charrnn.data.pair_files import (
    PairCorpus,
    normalised_pairs,
    read_pairs,
    refuse_bytes,
)
from charrnn.errors import TextError, UsageError

MAX_BYTES_PER_CHARACTER, SPARE_BYTES = 1_000, 2**26
"""Bytes of a file for each character of different pairs, at most, and for no characters.

A pair that occurs often is counted once.
"""


def read_given_pairs(
    paths: Sequence[str], built_in: str | None, layout: str, options: TextOptions
) -> PairCorpus:
    """Read files of pairs, or generate built-in ones.

    Raises `UsageError` for an unknown layout, for files and built-in pairs at once, or for neither
    of them, and `TextError` for files that cannot be used.
    """
    layout_called(layout)
    if paths and built_in is not None:
        raise UsageError("files and --builtin contradict each other; try one of them")
    if not paths and built_in is None:
        raise UsageError(f"--layout {layout} needs pairs", "a file", built_in_for(layout))
    if built_in is None:
        return read_pairs(paths, options)
    refuse_bytes(options)
    refuse_encoding(built_in, options)
    return normalised_pairs(demonstration(built_in, layout), options)


def built_in_for(layout: str) -> str:
    """Return the option that selects built-in pairs of this layout."""
    names = [name for name, layouts in DEMONSTRATIONS.items() if layout in layouts]
    return f"--builtin {names[0]}" if names else "another --layout"


def pairs_remarks(corpus: PairCorpus, layout: str) -> tuple[str, ...]:
    """Return warnings about pairs before training on them, one line each."""
    label = layout_called(layout).label_side
    return tuple(check_pairs([pair[:2] for pair in corpus.pairs], label=label))


def find_pairs_again(
    record: CorpusRecord,
    layout: str,
    folder: Path,
    paths: Sequence[str] = (),
    say: Say = nothing,
) -> PairCorpus:
    """Read the pairs of an existing run, and verify their SHA-256.

    Args:
        record: the pairs as the checkpoint records them.
        layout: the layout of the run.
        folder: the run; its run.json has the paths.
        paths: other paths to read the pairs from.
        say: is called with a line that names the files of run.json, before they are read.

    Raises `TextError` if the pairs are missing, or are others.
    """
    if record.built_in is not None and not paths:
        options = TextOptions(normalise=record.normalise)
        corpus = normalised_pairs(demonstration(record.built_in, layout), options)
    else:
        options = TextOptions(record.encoding, normalise=record.normalise)
        with advising_resume(folder, paths):
            most = MAX_BYTES_PER_CHARACTER * record.characters + SPARE_BYTES
            corpus = read_pairs(paths or announced(folder, most, say), options)
    if corpus.fingerprint["sha256"] != record.sha256:
        raise TextError(
            f"{source_names(corpus.sources)} are not the pairs of this run "
            f"({record.characters:,} characters, "
            f"sha256 {record.sha256[:12]}…)",
            "the originals",
            "--init-from for a new run",
        )
    return corpus
