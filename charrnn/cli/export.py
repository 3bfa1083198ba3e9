"""`charrnn export`: the weights of a model in the file format of another program."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.compressed_files import Force, check_output, write_output
from charrnn.cli.measured_text import held_out
from charrnn.cli.options import CheckpointArgument, Json, Quiet
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import label, write_plain
from charrnn.cli.runs.metrics_log import to_json
from charrnn.errors import UsageError
from charrnn.export.exchange import metadata_of
from charrnn.export.onnx_model import OPSET, onnx_model
from charrnn.export.pytorch_weights import to_pytorch
from charrnn.export.quantisation import MAX_ADDED_NATS, smallest
from charrnn.export.safetensors_file import write_tensors
from charrnn.export.snippets import onnx_snippet, pytorch_snippet
from charrnn.export.web_page import require_page, web_page
from charrnn.run_files import NUMBERED


class Target(StrEnum):
    """File formats of `charrnn export`, each also the ending of the file."""

    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    HTML = "html"


@dataclass(frozen=True)
class Exported:
    """A model in a format.

    Attributes:
        content: the bytes of the file.
        answer: what is printed on stdout.
        figures: what is known of it, as JSON values.
    """

    content: bytes
    answer: str
    figures: dict[str, Any]


def export(
    to: Annotated[
        Target,
        typer.Option(
            "--to",
            help="Format: safetensors (PyTorch), onnx, or html: a page that writes text.",
            show_default=False,
        ),
    ],
    checkpoint: CheckpointArgument = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="File to write. Default: the name of the run and the format."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model for another program: charrnn export --to safetensors.

    Prints Python code that loads the file, or for html the loss of its weights.

    charrnn import takes safetensors back.
    """
    path = find_checkpoint(checkpoint)
    target = f"{name_of(path)}.{to}" if output is None else output
    if not target or target == "-":
        raise UsageError("--output is not the name of a file", "--output FILE")
    check_output(target, force=force)
    loaded = load_checkpoint(path)
    made = EXPORTERS[to](loaded, path, target)
    write_output(target, [made.content])
    size = len(made.content)
    if loaded.ngrams is not None:
        warn(f"the n-grams of this model are left out: {label(target)} holds its networks alone")
    if json:
        facts = {"checkpoint": str(path), "output": target, "to": str(to), "bytes": size}
        write_plain(f"{to_json(facts | made.figures)}\n")
    elif not quiet:
        say(f"charrnn: {label(str(path))} is now in {label(target)}, {size:,} bytes")
        write_plain(made.answer)


def name_of(path: Path) -> str:
    """Return the name of a checkpoint: that of its run, or of its file."""
    in_run = path.name in ("merged.npz", "best.npz", "last.npz") or NUMBERED.fullmatch(path.name)
    return (in_run and path.absolute().parent.name) or path.stem


def export_safetensors(checkpoint: Checkpoint, _: Path, target: str) -> Exported:
    """Return a model as a safetensors file for PyTorch, and the code that loads it."""
    metadata = metadata_of(checkpoint)
    tensors = to_pytorch(checkpoint.config, checkpoint.parameters)
    snippet = pytorch_snippet(checkpoint.config, target, checkpoint.symbols)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    return Exported(write_tensors(tensors, metadata), snippet, {"tensors": shapes})


def export_onnx(checkpoint: Checkpoint, _: Path, target: str) -> Exported:
    """Return a model as an ONNX file, and code that runs it with onnxruntime."""
    config = checkpoint.config
    metadata = metadata_of(checkpoint)
    content = onnx_model(config, checkpoint.parameters, metadata)
    snippet = onnx_snippet(config, target, checkpoint.symbols)
    return Exported(content, snippet, {"opset": OPSET})


def export_html(checkpoint: Checkpoint, path: Path, _: str) -> Exported:
    """Return a model as a web page, and what its rounded weights cost."""
    require_page(checkpoint)
    ids, text = held_out(checkpoint, path)
    quantised = smallest(checkpoint.config, checkpoint.parameters, ids)
    measured_on = f"{len(ids):,} {text}"
    page = web_page(checkpoint, quantised, measured_on)
    losses = ", ".join(f"{name} {nats:.4f}" for name, nats in quantised.nats.items())
    added = round(quantised.added_nats, 4) + 0.0  # not minus zero
    answer = (
        f"weights stored as {quantised.precision}: {added:+.4f} nats per character (at most "
        f"{MAX_ADDED_NATS:+g})\nlosses: {losses}\nmeasured on {measured_on}\n"
    )
    facts = {
        "precision": quantised.precision,
        "added_nats_per_char": quantised.added_nats,
        "nats_per_char": quantised.nats,
        "measured_on": measured_on,
    }
    return Exported(page.encode("utf-8", "backslashreplace"), answer, facts)


EXPORTERS: dict[Target, Callable[[Checkpoint, Path, str], Exported]] = {
    Target.SAFETENSORS: export_safetensors,
    Target.ONNX: export_onnx,
    Target.HTML: export_html,
}
