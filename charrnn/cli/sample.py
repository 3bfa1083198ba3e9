"""`charrnn sample`: text from a trained model; stdout carries the text and nothing else."""

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import typer

from charrnn.cli.options import CheckpointArgument, Encoding, OnUnknown
from charrnn.cli.run import find_checkpoint
from charrnn.cli.terminal import one_line, write_text
from charrnn.decoding import TextOptions
from charrnn.errors import UsageError
from charrnn.model import Model, load
from charrnn.sampling import Sampling
from charrnn.text import read_corpus


def sample(
    checkpoint: CheckpointArgument = None,
    temp: Annotated[
        float,
        typer.Option(help="Temperature: below 1 safer, above 1 bolder, 0 the likeliest always."),
    ] = 1.0,
    length: Annotated[int, typer.Option(help="Characters to write, the prime not counted.")] = 500,
    prime: Annotated[
        str,
        typer.Option(help="Text to begin with. Without it the model reads a line's end, unseen."),
    ] = "",
    prime_file: Annotated[
        str | None, typer.Option(help="A file to begin with, - for standard input.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Only the K likeliest characters; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Only the likeliest that make up this probability; 1: all.")
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed, the same text. Default: a new one each time.")
    ] = None,
    count: Annotated[int, typer.Option(help="Samples, drawn side by side in one pass.")] = 1,
    separator: Annotated[str, typer.Option(help="The line between two samples.")] = "---",
    stop: Annotated[
        str, typer.Option(help="End a sample before this text; \\n stands for a line's end.")
    ] = "",
    on_unknown: OnUnknown = "error",
    encoding: Encoding = "utf-8",
    raw: Annotated[
        bool, typer.Option("--raw", help="Send control characters to a terminal as they are.")
    ] = False,
) -> None:
    """Write text, character by character: charrnn sample --temp 0.8 --prime "To be".

    Exactly the text in a pipe or file; on a terminal control characters are made visible.
    """
    if on_unknown not in ("error", "skip"):
        raise UsageError(f"--on-unknown is {on_unknown!r}; it must be error or skip")
    sampling = Sampling(temp, top_k, top_p, seed=new_seed() if seed is None else seed)
    path = find_checkpoint(checkpoint)
    model = load(path)
    if checkpoint is None:
        print(f"charrnn: sampling from {one_line(str(path))}", file=sys.stderr)
    prime = read_prime(model, prime, prime_file, encoding, on_unknown)
    texts = model.samples(prime, length, sampling, count, stop.replace("\\n", "\n"))
    write_text(
        with_separators(prime, texts, separator), raw=raw, as_bytes=model.vocabulary.as_bytes
    )


def new_seed() -> int:
    """Draw a seed from the system's own randomness."""
    import secrets

    return secrets.randbits(32)


def read_prime(
    model: Model, prime: str, prime_file: str | None, encoding: str, on_unknown: str
) -> str:
    """Return the text to begin with, in characters that the model knows."""
    vocabulary = model.vocabulary
    if prime and prime_file is not None:
        raise UsageError("--prime and --prime-file contradict each other; try one of them")
    if prime_file is not None:
        prime = read_corpus([prime_file], TextOptions(encoding, vocabulary.as_bytes)).text
    else:
        prime = vocabulary.spell(prime)
    if on_unknown == "skip" and (unknown := vocabulary.unknown(prime)):
        print(f"charrnn: left out of the prime: {one_line(unknown)}", file=sys.stderr)
    return vocabulary.decode(vocabulary.encode(prime, "skip" if on_unknown == "skip" else "error"))


def with_separators(prime: str, texts: Iterator[Iterator[str]], separator: str) -> Iterator[str]:
    """Chain samples, each after the prime and ended by a newline, with a line between two."""
    for number, text in enumerate(texts):
        if number:
            yield f"{separator}\n"
        last = ""
        for last in chain([prime] if prime else [], text):
            yield last
        if not last.endswith("\n"):
            yield "\n"
