"""`charrnn compress`: lossless compression of a text with the probabilities of a model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.cli.compressed_files import (
    ENDING,
    Force,
    check_output,
    seekable,
    split_arguments,
    write_output,
)
from charrnn.cli.ensemble_arguments import EnsembleOption, load_ensemble, single_checkpoint
from charrnn.cli.options import Encoding, Json, Quiet, on_the_command_line
from charrnn.cli.output.console import answer, describe, print_above_bar, progress_bar, say
from charrnn.cli.output.safe_text import label, stdout_is_terminal, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.compression.compressor import CodeLength, compressed
from charrnn.compression.mixture_coding import coding_model
from charrnn.compression.text_codec import Measured, measure
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import STDIN, shown
from charrnn.errors import UsageError
from charrnn.inference.loading import load
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model


def compress(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] FILE",
            help="First an .npz file or the folder of a run (default: the newest run; several with "
            "--ensemble), then the file, or - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help=f"File to write; - for standard output. Default: FILE with {ENDING} added.",
        ),
    ] = None,
    force: Force = False,
    ensemble: EnsembleOption = False,
    encoding: Encoding = "utf-8",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress a text without loss, by the probabilities of a model: charrnn compress book.txt.

    Only charrnn decompress with the same model restores the file, byte for byte.

    Every character must be in the model's vocabulary; a file that cannot be restored is refused.
    """
    checkpoints, file = split_arguments(arguments, "compress")
    target = output_of(file, output, json=json)
    if target != STDIN:
        check_output(target, force=force)
    if ensemble:
        joint, paths = load_ensemble(checkpoints)
        members: tuple[Model, ...] = joint.members
    else:
        checkpoint = single_checkpoint(checkpoints)
        paths = [find_checkpoint(checkpoint)]
        members = (load(paths[0]),)
        if checkpoint is None:
            say(f"charrnn: compressing with {label(str(paths[0]))}")
    parts = parts_of(members, paths)
    as_bytes = members[0].vocabulary.as_bytes
    if as_bytes and "encoding" in dict(on_the_command_line(context)):
        raise UsageError(
            "--encoding is not for a model of bytes, which reads them as they are", "without it"
        )
    model, length = coding_model(members), CodeLength()
    name = shown(file)
    with seekable(file) as source:
        measured = measure(source, name, model.vocabulary, TextOptions(encoding, as_bytes))
        begin = time.perf_counter()
        with progress_bar(measured.characters, shown=not quiet) as bar:
            describe(bar, "compressing")
            content = compressed(source, name, measured, model, length, advance=bar.update)
            write_output(target, content)
    seconds = time.perf_counter() - begin
    if quiet and not json:
        return
    if json:
        found = summary(target, measured, length, paths, parts, seconds)
        write_plain(f"{to_json(found)}\n")
        return
    unit = "byte" if as_bytes else "character"
    show = answer if target != STDIN else show_on_stderr
    show(sizes_table(measured, length, parts, unit))
    speed = f"{measured.characters / max(seconds, 1e-9):,.0f} {unit}s per second"
    show(f"{measured.characters:,} {unit}s in {seconds:.1f} s, {speed}")
    if target != STDIN:
        show(f"{label(name)} is now in {label(target)}")


def show_on_stderr(renderable: Any) -> None:
    """Print a part of the summary on stderr: stdout has the compressed file."""
    print_above_bar(renderable, quiet=False)


def output_of(file: str, output: str | None, *, json: bool) -> str:
    """Return the path to write to, `-` for standard output; `UsageError` for what cannot be."""
    target = output if output is not None else STDIN if file == STDIN else f"{file}{ENDING}"
    if not target:
        raise UsageError("--output is empty", "--output FILE")
    if target == STDIN and json:
        raise UsageError("--json and the compressed file are both for stdout", "--output FILE")
    if target == STDIN and stdout_is_terminal():
        raise UsageError("a compressed file is not for a terminal", "--output FILE", "a pipe")
    return target


@dataclass(frozen=True)
class Parts:
    """What compresses a file, and the names of the parts whose code alone is measured too.

    Attributes:
        title: the name of the file's row in the table.
        combination: how the parts are combined; None for one network.
        names: of each part.
        key: what a name is: `checkpoint` or `part`.
    """

    title: str = "this file"
    combination: str | None = None
    names: tuple[str, ...] = ()
    key: str = "checkpoint"


def parts_of(members: Sequence[Model], paths: Sequence[Path]) -> Parts:
    """Return the parts of one network, of a mixture, or of an ensemble."""
    first = members[0]
    if isinstance(first, Mixture):
        names = [f"network {number + 1}" for number in range(len(first.members))]
        if first.record.ngrams is not None:
            names.append(f"{first.record.ngrams.order}-grams")
        return Parts(f"this file, {first.title}", first.title, tuple(names), "part")
    if len(paths) == 1:
        return Parts()
    title = f"this file, ensemble of {len(paths)}"
    return Parts(title, "arithmetic mean of probabilities", tuple(map(str, paths)))


def sizes_table(measured: Measured, length: CodeLength, parts: Parts, unit: str) -> Table:
    """Return the table of sizes beside other compressors, the smallest first.

    The parts alone have the length of their code and the same header.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"bits per {unit}", overflow="fold", min_width=12)
    for heading in ("bits", "bytes", "share"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=6)
    this = parts.title
    rows = {this: length.written, **measured.packed, "uncompressed": measured.size}
    for name, size in zip(parts.names, member_sizes(length), strict=True):
        rows[f"with {label(name)} alone"] = size
    for name, size in sorted(rows.items(), key=lambda item: item[1]):
        share = f"{size / measured.size:.1%}" if measured.size else "-"
        bits = f"{8 * size / measured.characters:.4f}" if measured.characters else "-"
        style = "bold green" if name == this else ""
        table.add_row(name, bits, f"{size:,}", share, style=style)
    return table


def member_sizes(length: CodeLength) -> list[int]:
    """Return the bytes that a file would have with each member of an ensemble alone, rounded."""
    return [length.written + round((bits - length.bits) / 8) for bits in length.member_bits]


def summary(
    target: str,
    measured: Measured,
    length: CodeLength,
    paths: Sequence[Path],
    parts: Parts,
    seconds: float,
) -> dict[str, Any]:
    """Return the sizes as JSON values, units in the names."""
    characters = measured.characters
    per_char = (lambda bits: bits / characters) if characters else (lambda _: None)
    found: dict[str, Any] = {
        "output": target,
        "bytes": measured.size,
        "characters": characters,
        "compressed_bytes": length.written,
        "bits_per_char": per_char(8 * length.written),
        "code_bits_per_char": per_char(length.bits),
        "other_compressors": {
            name: {"bytes": size, "bits_per_char": per_char(8 * size)}
            for name, size in measured.packed.items()
        },
        "checkpoints": [str(path) for path in paths],
        "seconds": seconds,
        "chars_per_second": characters / max(seconds, 1e-9),
    }
    if parts.names:
        found["combination"] = parts.combination
        found["members"] = [
            {parts.key: name, "code_bits_per_char": per_char(bits)}
            for name, bits in zip(parts.names, length.member_bits, strict=True)
        ]
    return found
