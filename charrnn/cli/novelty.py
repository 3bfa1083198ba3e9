"""`charrnn novelty`: whether a model copies its training text."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import chop_cells
from rich.table import Table
from rich.text import Text

from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.checkpointing.records import CorpusRecord
from charrnn.cli.model_novelty import (
    LENGTH,
    MIN_LENGTH,
    SAMPLES,
    ModelNovelty,
    Passage,
    conclusion,
    measure_novelty,
    novelty_as_json,
)
from charrnn.cli.options import CheckpointArgument, Json, TopK, TopP
from charrnn.cli.output.console import MAX_COLUMNS, answer, progress_bar, say, warn
from charrnn.cli.output.safe_text import label, one_line, unicode_ok, write_plain
from charrnn.cli.output.text_columns import decoded_text
from charrnn.cli.output.text_plots import bar
from charrnn.cli.runs.load_text import find_text_again
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.large_text_files import AnyCorpus
from charrnn.errors import TextError, UsageError
from charrnn.evaluation.novelty import VERDICT_LENGTH, Novelty
from charrnn.inference.loading import load
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.limits import Limits
from charrnn.types import Ids

NOVELTY_SCHEMA = 1
SAMPLE_LIMITS = Limits(1, 1_000, SAMPLES)
LENGTH_LIMITS = Limits(VERDICT_LENGTH, 100_000, LENGTH)
MAX_CHARACTERS = 2_000_000
"""Characters of all samples together: the memory of the search grows with them."""

SHOWN_LENGTHS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)
BAR_COLUMNS, FIGURE_COLUMNS = 18, 13
MAX_PASSAGE = 600
"""Characters of the longest run that are shown."""

SHOWN_PROGRESS = 20_000_000
"""Characters of a training text from which on a progress bar is shown."""


def novelty(
    checkpoint: CheckpointArgument = None,
    samples: Annotated[int, typer.Option(help="Number of samples to draw.")] = SAMPLES,
    length: Annotated[
        int | None,
        typer.Option(
            help=f"Characters of each sample. Default: {LENGTH:,}, or less, down to {MIN_LENGTH}, "
            "if the held-out part is short.",
            show_default=False,
        ),
    ] = None,
    temp: Annotated[
        float, typer.Option("--temperature", "--temp", help="Softmax temperature, as for sample.")
    ] = 1.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 0,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="File or folder of the text that the model was trained on, if it has moved; may "
            "be given several times. Default: the files that run.json names.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure whether a model copies its training text: charrnn novelty checkpoints/corpus.

    Draws samples and counts the n-grams that occur nowhere in the training text, and finds the
    longest run of characters that does. As much held-out text of the run is measured in the same
    way: what an author repeats of himself is no sign of copying.
    """
    SAMPLE_LIMITS.check("--samples", samples)
    if length is not None:
        LENGTH_LIMITS.check("--length", length)
        if samples * length > MAX_CHARACTERS:
            raise UsageError(
                f"--samples {samples} with --length {length} is more than {MAX_CHARACTERS:,} "
                "characters",
                "fewer --samples",
            )
    sampling = Sampling(temp, top_k, top_p, seed=seed)
    path = find_checkpoint(checkpoint)
    model = load(path)
    if isinstance(model, Mixture):
        say(f"charrnn: measuring {label(str(path))}, a {model.title}")
    elif checkpoint is None:
        say(f"charrnn: measuring {label(str(path))}")
    try:
        corpus = find_text_again(model.corpus, path.parent, text or ())
    except TextError as error:
        raise TextError(error.problem, "--text FILE with the text of the run") from error
    found = measure_novelty(
        model, corpus, sampling, samples, length, lambda chunks: shown_progress(chunks, corpus)
    )
    note_sizes(found, samples, model.corpus)
    if json:
        facts = {"schema": NOVELTY_SCHEMA, "checkpoint": str(path), "text": corpus.name}
        if isinstance(model, Mixture):
            facts["model"] = model.title
        drawn = {
            "length": found.length,
            "temperature": temp,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
        }
        write_plain(f"{to_json(facts | {'sampling': drawn} | novelty_as_json(found))}\n")
    else:
        show_novelty(model, corpus, found)


def shown_progress(chunks: Iterable[Ids], corpus: AnyCorpus) -> Iterator[Ids]:
    """Pass on chunks of ids with a progress bar on stderr, if the text is long."""
    whole = corpus.fingerprint["characters"]
    with progress_bar(whole, shown=whole >= SHOWN_PROGRESS, leave=False) as progress:
        for chunk in chunks:
            yield chunk
            progress.update(len(chunk))


def note_sizes(found: ModelNovelty, samples: int, record: CorpusRecord) -> None:
    """Warn if there is less held-out text than samples, or none."""
    if found.held_out is None:
        warn("the run held no text out (--val-fraction 0), so there is nothing to compare with")
    elif found.held_out.characters < found.samples.characters:
        warn(
            f"only {found.held_out.characters:,} characters of text were held out, and the samples "
            f"have {found.samples.characters:,}: the longest runs cannot be compared directly"
        )


def show_novelty(model: Model, corpus: AnyCorpus, found: ModelNovelty) -> None:
    """Print the table of n-grams, the longest runs, and the verdict."""
    unit = "byte" if model.vocabulary.as_bytes else "character"
    answer(Text(f"share of n-grams of n {unit}s that are not in the training text"))
    answer(novelty_table(found))
    answer("")
    runs = [("samples", found.samples, found.passage)]
    if found.held_out is not None:
        runs.append(("held-out text", found.held_out, found.held_out_passage))
    for name, group, passage in runs:
        answer(Text(run_title(name, group, passage, corpus, unit)))
        if passage is not None:
            shown = decoded_text(passage.text[:MAX_PASSAGE], as_bytes=model.vocabulary.as_bytes)
            more = len(passage.text) - MAX_PASSAGE
            rest = f" and {more:,} {unit}s more" if more > 0 else ""
            for line in chop_cells(one_line(shown) + rest, MAX_COLUMNS - 2):
                answer(Text(f"  {line}", style="bold", no_wrap=True))
    answer("")
    answer(Text(conclusion(found, unit)))


def run_title(
    name: str, group: Novelty, passage: Passage | None, corpus: AnyCorpus, unit: str
) -> str:
    """Say how long the longest shared run of a group is, and where it stands."""
    run = group.longest_run
    title = f"longest run of {name}: {run:,} {unit}{'s' * (run != 1)}"
    if passage is None:
        return title
    source = "the text"
    if len(corpus.sources) == 1:
        source = label(Path(corpus.sources[0]).name) or source
    where = f", in sample {passage.text_number + 1:,}" if name == "samples" else ""
    return f"{title}{where}, first in line {passage.line:,} of {source}"


def novelty_table(found: ModelNovelty) -> Table:
    """Lay out the share of novel n-grams, with a bar, for samples and held-out text."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("n", justify="right", no_wrap=True)
    groups = {"samples": found.samples}
    if found.held_out is not None:
        groups["held-out text"] = found.held_out
    for title in groups:
        table.add_column(title, justify="right", no_wrap=True, min_width=FIGURE_COLUMNS)
        table.add_column("", no_wrap=True, width=BAR_COLUMNS)
    for n in SHOWN_LENGTHS:
        cells = [cell for group in groups.values() for cell in share_cells(group, n)]
        if any(cells):
            table.add_row(str(n), *cells)
    return table


def share_cells(novelty: Novelty, n: int) -> tuple[str, str]:
    """Return the share of novel n-grams with its standard error, and a bar; both may be empty."""
    share, error = novelty.share(n), novelty.error(n)
    if share is None or error is None:
        return "", ""
    return f"{share:.1%} ± {error:.1%}", bar(share, 1.0, BAR_COLUMNS, unicode_ok())
