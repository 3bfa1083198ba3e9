"""`charrnn decompress`: restores a file of `charrnn compress`, byte for byte."""

import codecs
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO

import typer

from charrnn.checkpointing.lookup import (
    RUNS,
    checkpoint_in,
    find_checkpoint,
    numbered_saves,
    saved_runs,
)
from charrnn.cli.compressed_files import (
    ENDING,
    Force,
    check_output,
    seekable,
    split_arguments,
    write_output,
)
from charrnn.cli.options import Json, Quiet
from charrnn.cli.output.console import answer, describe, progress_bar
from charrnn.cli.output.safe_text import label, stdout_is_terminal, write_plain, write_text
from charrnn.cli.runs.metrics_log import to_json
from charrnn.compression.coding_model import CodingModel
from charrnn.compression.compressor import codec_in, decompressed, read_header
from charrnn.compression.file_header import CHUNK_BYTES, Header
from charrnn.compression.mixture_coding import coding_model, hashed
from charrnn.data.file_discovery import STDIN, shown
from charrnn.errors import CharRNNError, CheckpointError, UsageError
from charrnn.inference.loading import load
from charrnn.inference.model import Model


def decompress(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] FILE",
            help="First the checkpoint that compressed the file, or all of an ensemble (default: "
            "they are looked for under ./checkpoints), then the file, or - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help=f"File to write; - for standard output. Default: FILE without its {ENDING}.",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore a file that charrnn compress wrote: charrnn decompress book.txt.charrnn.

    Nothing is written before all of it is known to be right.

    A file that is truncated or altered is an error, as is another model.
    """
    checkpoints, file = split_arguments(arguments, "decompress")
    target = output_of(file, output, json=json)
    if target != STDIN:
        check_output(target, force=force)
    name = shown(file)
    with seekable(file) as source:
        header = read_header(source, name)
        members = members_of(header, checkpoints, name)
        model = coding_model(members)
        begin = time.perf_counter()
        with progress_bar(header.characters, shown=not quiet) as bar:
            describe(bar, "decompressing")
            parts = decompressed(source, name, header, model, advance=bar.update)
            if target == STDIN:
                write_verified(parts, codec_in(header, model.vocabulary, name), model)
            else:
                write_output(target, parts)
    seconds = time.perf_counter() - begin
    if json:
        found = {
            "output": target,
            "bytes": header.size,
            "characters": header.characters,
            "seconds": seconds,
            "chars_per_second": header.characters / max(seconds, 1e-9),
        }
        write_plain(f"{to_json(found)}\n")
    elif target != STDIN and not quiet:
        speed = f"{header.characters / max(seconds, 1e-9):,.0f} per second"
        answer(f"{label(target)}: {header.size:,} bytes in {seconds:.1f} s, {speed}; verified")


def output_of(file: str, output: str | None, *, json: bool) -> str:
    """Return the path to write to, `-` for standard output; `UsageError` for what cannot be."""
    if output == "":
        raise UsageError("--output is empty", "--output FILE")
    if output is None and file != STDIN and not file.endswith(ENDING):
        raise UsageError(f"{label(file)} does not end in {ENDING}", "--output FILE")
    target = output or (STDIN if file == STDIN else file.removesuffix(ENDING))
    if target == STDIN and json:
        raise UsageError("--json and the text are both for stdout", "--output FILE")
    return target


def members_of(header: Header, checkpoints: Sequence[str], name: str) -> list[Model]:
    """Return the models that a header names, in its order.

    Raises `CheckpointError` if one of them is not among the checkpoints that are named, or, if
    none is, under ./checkpoints.
    """
    found: dict[bytes, Model] = {}
    candidates = map(find_checkpoint, checkpoints) if checkpoints else saved_checkpoints()
    for path in candidates:
        if checkpoints:
            model = load(path)
        else:
            try:
                model = load(path)
            except CharRNNError:  # of pairs, or damaged: not what compressed the file
                continue
        found |= hashed(model)
        if all(needed in found for needed in header.models):
            break
    missing = [needed for needed in header.models if needed not in found]
    if missing:
        what = f"the model {missing[0].hex()[:12]}…, which compressed {label(name)}"
        if checkpoints:
            raise CheckpointError(f"{what}, is not among the checkpoints named", "that checkpoint")
        where = label(str(RUNS))
        raise CheckpointError(f"{what}, is not under {where}", "the path of that checkpoint")
    return [found[needed] for needed in header.models]


def saved_checkpoints() -> Iterator[Path]:
    """Yield the checkpoints of all runs under ./checkpoints, those of newer runs first."""
    runs = saved_runs()
    for folder in sorted(runs, key=lambda folder: runs[folder], reverse=True):
        best = checkpoint_in(folder)
        yield best
        for path in (folder / "last.npz", *reversed(numbered_saves(folder))):
            if path != best and path.exists():
                yield path


def write_verified(parts: Iterator[bytes], codec: str, model: CodingModel) -> None:
    """Write a restored file to stdout after all of it is decoded and verified.

    Until then it is in a temporary file. A terminal receives it as text, made visible.
    """
    with TemporaryFile() as copy:
        for part in parts:
            copy.write(part)
        copy.seek(0)
        chunks = iter(lambda: copy.read(CHUNK_BYTES), b"")
        if stdout_is_terminal():
            as_bytes = model.vocabulary.as_bytes
            write_text(decoded_for_terminal(copy, codec), as_bytes=as_bytes)
        else:
            write_output(STDIN, chunks)


def decoded_for_terminal(file: BinaryIO, codec: str) -> Iterator[str]:
    """Yield the characters of a file, chunk by chunk."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    while chunk := file.read(CHUNK_BYTES):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)
