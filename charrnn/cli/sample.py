"""`charrnn sample`: text from a trained model; stdout carries the text and nothing else."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.cli.ensemble_arguments import (
    CheckpointArguments,
    EnsembleOption,
    load_ensemble,
    single_checkpoint,
)
from charrnn.cli.options import Encoding, OnUnknown, TopK, TopP, Unknown, on_the_command_line
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import label, stdin_is_terminal, write_text
from charrnn.cli.output.text_columns import listed, listed_bytes
from charrnn.cli.sample_notes import note_prompt, note_repetition, note_stop
from charrnn.cli.sample_prompt import converse
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import STDIN, find_files
from charrnn.data.text_files import read_source
from charrnn.data.typed_text import ESCAPES_HELP, typed_with_escapes, without_mark
from charrnn.errors import TextError, UsageError
from charrnn.inference.ensemble import Ensemble
from charrnn.inference.loading import load
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model, check_size
from charrnn.inference.sampling import Sampling
from charrnn.inference.session import Session
from charrnn.randomness import new_seed

KEPT = 100_000
"""Characters of a greedy sample that are searched for repetition."""


def sample(
    context: typer.Context,
    checkpoints: CheckpointArguments = None,
    temp: Annotated[
        float,
        typer.Option(
            "--temperature",
            "--temp",
            help="Softmax temperature: below 1 more likely text, above 1 more varied text; 0: "
            "always the likeliest character.",
        ),
    ] = 1.0,
    length: Annotated[int, typer.Option(help="Characters to write, excluding the prime.")] = 500,
    prime: Annotated[
        str,
        typer.Option(
            help="Text to start with, taken literally (no escapes). Default: start after a newline."
        ),
    ] = "",
    prime_file: Annotated[
        str | None, typer.Option(help="File with the text to start with; - for standard input.")
    ] = None,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the random numbers. Default: a new one each time.")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of samples, drawn in one batch.")] = 1,
    separator: Annotated[
        str, typer.Option(help="Line between two samples; escapes as for --stop.")
    ] = "---",
    stop: Annotated[
        str, typer.Option(help=f"End a sample before this text. Escapes: {ESCAPES_HELP}.")
    ] = "",
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            help="Read lines and continue each; /help lists commands such as /temp and /undo.",
        ),
    ] = False,
    ensemble: EnsembleOption = False,
    on_unknown: OnUnknown = Unknown.ERROR,
    encoding: Encoding = "utf-8",
    raw: Annotated[
        bool, typer.Option("--raw", help="Print control characters to a terminal unchanged.")
    ] = False,
) -> None:
    """Write text, character by character: charrnn sample --temperature 0.8 --prime "To be".

    Into a pipe or file only the text is written, in UTF-8; with --count, a newline after each.

    On a terminal, control characters are made visible, and a newline is added at the end.

    With --interactive the text is continued line by line, from a terminal or a pipe.

    With --ensemble A B the probabilities of several models of one vocabulary are averaged.
    """
    check_options(dict(on_the_command_line(context)), count, prime_file)
    check_size(length, count)
    sampling = Sampling(temp, top_k, top_p, seed=new_seed() if seed is None else seed)
    model: Model | Ensemble
    if ensemble:
        model, (path, *_) = load_ensemble(checkpoints)
        first = model.members[0]
    else:
        checkpoint = single_checkpoint(checkpoints)
        path = find_checkpoint(checkpoint)
        model = first = load(path)
        if isinstance(model, Mixture):
            first = model.members[0]
            say(f"charrnn: sampling from {label(str(path))}, a {model.title}")
        elif checkpoint is None:
            say(f"charrnn: sampling from {label(str(path))}")
    vocabulary = model.vocabulary
    stop = typed_with_escapes(stop, "--stop", vocabulary, first.checkpoint.corpus.normalise)
    separator = typed_with_escapes(separator, "--separator", vocabulary)
    skip = on_unknown is Unknown.SKIP
    prime = read_prime(model, prime, prime_file, encoding, skip=skip)
    check_stop(model, stop, skip=skip)
    if interactive:
        session = Session(model, sampling, length, stop)
        converse(session, prime, first.checkpoint.corpus.normalise, raw=raw)
        return
    if prime and model is first:
        note_prompt(first, path, prime)
    greedy = temp == 0 or top_k == 1
    recorder = Recorder(KEPT if greedy else 0)
    texts = model.samples(prime, length, sampling, count, stop)
    recorded = (recorder.watch(text) if number == 0 else text for number, text in enumerate(texts))
    write_text(
        with_separators(prime, recorded, separator if count > 1 else None),
        raw=raw,
        as_bytes=vocabulary.as_bytes,
    )
    if greedy:
        unit = "byte" if vocabulary.as_bytes else "character"
        advice = "--temperature 0.8" if temp == 0 else "a larger --top-k"
        note_repetition(recorder.text, unit, advice)
    if stop and 0 < recorder.count == length and not vocabulary.unknown(stop):
        note_stop(first, path, stop, length)


def check_options(given: dict[str, str], count: int, prime_file: str | None) -> None:
    """Raise `UsageError` for options that contradict each other or would not be read."""
    if "prime" in given and "prime_file" in given:
        raise UsageError("--prime and --prime-file contradict each other; try one of them")
    if "interactive" in given:
        for name in ("count", "separator"):
            if name in given:
                raise UsageError(f"{given[name]} is not for --interactive", "it without")
        if prime_file == STDIN:
            raise UsageError("--interactive reads standard input itself", "--prime", "a file")
    if "encoding" in given and "prime_file" not in given:
        raise UsageError("--encoding is for --prime-file, which is not given; try without it")
    if "on_unknown" in given and not {"prime", "prime_file", "stop"} & given.keys():
        raise UsageError(
            "--on-unknown is for --prime, --prime-file and --stop, none is given; try without it"
        )
    if "separator" in given and count == 1:
        raise UsageError(
            "--separator stands between samples, and there is one", "--count 2", "it without"
        )


def read_prime(
    model: Model | Ensemble, prime: str, prime_file: str | None, encoding: str, *, skip: bool
) -> str:
    """Return the text to begin with, in characters that the model knows.

    With `skip` unknown ones are left out, with a note; otherwise they are a `TextError`.
    """
    vocabulary = model.vocabulary
    if prime_file is not None:
        prime = read_prime_file(prime_file, encoding, as_bytes=vocabulary.as_bytes)
        prime = without_mark(prime, vocabulary) if vocabulary.as_bytes else model.typed(prime)
    else:
        prime = model.typed(prime)
    if skip and (unknown := vocabulary.unknown(prime)):
        names = listed_bytes(unknown) if vocabulary.as_bytes else listed(unknown)
        say(f"charrnn: left out of the prime: {names}")
    return vocabulary.decode(vocabulary.encode(prime, "skip" if skip else "error"))


def read_prime_file(path: str, encoding: str, *, as_bytes: bool) -> str:
    """Return the characters of a file; `TextError` if it is missing, empty or undecodable."""
    if as_bytes and encoding != "utf-8":
        raise UsageError("--encoding is not for a model of bytes, which reads them as they are")
    options = TextOptions(encoding, as_bytes)
    if Path(path).is_dir():
        raise TextError(f"--prime-file {label(path)} is a folder", "a file")
    if path == STDIN and stdin_is_terminal():
        say("charrnn: reading the prime from the terminal; end it with Ctrl-D")
    find_files([path], options)  # refuses what is missing, or may never end
    text, _ = read_source(path, options)
    if not text:
        raise TextError(f"--prime-file {label(path)} is empty", "another file")
    return text


def check_stop(model: Model | Ensemble, stop: str, *, skip: bool) -> None:
    """Raise `TextError` if the model cannot write the stop text; with `skip` only warn."""
    lacking = model.vocabulary.lacking(stop)
    if not lacking:
        return
    problem = f"--stop can never occur: {lacking}"
    if not skip:
        raise TextError(problem, "another --stop", "--on-unknown skip")
    warn(problem)


class Recorder:
    """Counts the characters of a text that passes through, and keeps the first ones."""

    def __init__(self, limit: int) -> None:
        self.limit, self.count = limit, 0
        self._kept: list[str] = []

    def watch(self, characters: Iterator[str]) -> Iterator[str]:
        """Yield the characters as they come."""
        for character in characters:
            self.count += 1
            if self.count <= self.limit:
                self._kept.append(character)
            yield character

    @property
    def text(self) -> str:
        """The first characters of the text, at most `limit`."""
        return "".join(self._kept)


def with_separators(
    prime: str, texts: Iterator[Iterator[str]], separator: str | None
) -> Iterator[str]:
    """Chain samples, each after the prime.

    Several are each ended by a newline, with a line that holds the separator between two; a single
    one, for which `separator` is None, stays as it is.
    """
    for number, text in enumerate(texts):
        if number:
            yield f"{separator}\n"
        last = ""
        for last in chain([prime] if prime else [], text):
            yield last
        if separator is not None and not last.endswith("\n"):
            yield "\n"
