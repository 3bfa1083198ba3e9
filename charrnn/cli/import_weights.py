"""`charrnn import`: a checkpoint from the weights of a PyTorch model in a safetensors file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from charrnn.checkpointing.checkpoint import save_checkpoint
from charrnn.checkpointing.npz_format import MAX_ARCHIVE_BYTES
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.compressed_files import Force, check_output
from charrnn.cli.options import Json, Quiet
from charrnn.cli.output.console import say
from charrnn.cli.output.safe_text import label, shell_command, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, StorageError, UsageError
from charrnn.export.exchange import imported_checkpoint, parse_symbols, stands_for_bytes
from charrnn.export.safetensors_file import read_tensors
from charrnn.system.files import UnsuitableFileError, read_regular_file

MAX_VOCABULARY_BYTES = 2**24


def import_weights(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A safetensors file: from charrnn export, or another."),
    ],
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            help="JSON file with the characters: a list in the order of their ids, or an object "
            "of ids by character, or one with the layout, sources and answers of pairs. "
            "Default: those in FILE, if charrnn wrote it.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Checkpoint to write. Default: FILE with the ending .npz."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read weights of a PyTorch model: charrnn import model.safetensors.

    FILE has the tensors of one nn.RNN (tanh), nn.LSTM or nn.GRU and of the
    nn.Linear behind it; also of an nn.Embedding before it, if there is one.
    """
    target = default_output(file) if output is None else output
    if not target.endswith(".npz"):
        raise UsageError(f"a checkpoint ends in .npz, unlike {label(target)}", "--output FILE.npz")
    check_output(target, force=force)
    checkpoint = read_checkpoint(file, vocabulary)
    save_checkpoint(Path(target), checkpoint)
    config = checkpoint.config
    if json:
        facts = {"source": file, "output": target, "model": config.as_dict()}
        write_plain(f"{to_json(facts | {'vocabulary': checkpoint.symbols.describe()})}\n")
    elif not quiet:
        of_pairs = checkpoint.symbols.of_pairs
        read = f"{config.inputs} {'symbols' if of_pairs else 'characters'}"
        size = f"{config.layers} × {config.hidden} {config.cell}, {read}"
        command = shell_command("charrnn", "predict" if of_pairs else "sample", target)
        say(f"charrnn: {label(file)} is now in {label(target)}: {size}")
        say(f"charrnn: try {command}")


def default_output(file: str) -> str:
    """Return the path of the checkpoint for a file: beside it, with the ending .npz."""
    path = Path(file)
    return str(path.with_suffix(".npz") if path.name else path / "imported.npz")


def read_checkpoint(file: str, vocabulary: str | None) -> Checkpoint:
    """Return the checkpoint made of a safetensors file and a vocabulary file, or None."""
    content = read(file, MAX_ARCHIVE_BYTES, "FILE")
    with naming(file):
        tensors, metadata = read_tensors(content)
    known = None
    if vocabulary is not None:
        known = read_vocabulary(vocabulary, as_bytes=stands_for_bytes(metadata))
    elif not {"vocabulary", "pairs"} & metadata.keys():
        raise CheckpointError(
            f"{label(file)} has no vocabulary, which says what its ids stand for",
            "--vocabulary FILE",
        )
    with naming(file):
        return imported_checkpoint(tensors, metadata, label(Path(file).name), known)


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Add the name of the file to a `CheckpointError`."""
    try:
        yield
    except CheckpointError as error:
        problem = f"{label(file)} cannot be imported: {error.problem}"
        raise CheckpointError(problem, *error.advice) from error


def read_vocabulary(path: str, *, as_bytes: bool) -> Vocabulary | PairVocabulary:
    """Return the symbols in a file; `CheckpointError` if it has none."""
    content = read(path, MAX_VOCABULARY_BYTES, "--vocabulary FILE")
    try:
        return parse_symbols(content.decode("utf-8-sig"), as_bytes=as_bytes)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{label(path)} is not UTF-8", "--vocabulary FILE") from error
    except CheckpointError as error:
        problem = f"{label(path)} is no vocabulary: {error.problem}"
        raise CheckpointError(problem, '--vocabulary FILE with ["a", "b"]') from error


def read(path: str, max_bytes: int, another: str) -> bytes:
    """Return the content of a file.

    Raises `CheckpointError` for one that is missing or no file, and `StorageError` for one that
    cannot be read; `another` says what to give instead.
    """
    try:
        return read_regular_file(Path(path), max_bytes)
    except UnsuitableFileError as error:
        raise CheckpointError(f"{label(path)} {error.strerror}", f"another {another}") from error
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise CheckpointError(f"no file {label(path)}", f"another {another}") from error
    except OSError as error:
        problem = f"cannot read {label(path)} ({error.strerror})"
        raise StorageError(problem, f"another {another}") from error
