"""`charrnn inspect-text`: how far characters of a text depend on each other, without a model."""

import csv
import io
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from charrnn.analysis.text_memory import MAX_LAG, TextMemory, text_memory
from charrnn.cli.options import Encoding, Json, Quiet, option
from charrnn.cli.output.console import answer, facts_table, say
from charrnn.cli.output.image_plots import AxisLabels, Curve, check_plot, save_plot
from charrnn.cli.output.log_chart import log_chart
from charrnn.cli.output.safe_text import label, unicode_ok, write_plain
from charrnn.cli.runs.load_text import read_text
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.decoding import TextOptions
from charrnn.data.large_text_files import AnyCorpus
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError
from charrnn.limits import LAG_LIMITS, SEED

TEXT_SCHEMA = 1
CORPUS, HOW, OUTPUT = "Corpus", "Measuring", "Output"
SHOWN_LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
TEXT_CHART_ROWS = 12
HINTS = ("at 1: one character decides the other", "under the dotted 1% line: little")
PLOT_LABELS = AxisLabels(
    "characters between", "share of a character's entropy", "shaded: one standard error", True
)


def inspect_text(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="Text files (.gz too), folders, or - for standard input. Default: the built-in "
            "corpus python-docs.",
            show_default=False,
        ),
    ] = None,
    built_in: Annotated[
        str | None, option(CORPUS, "A built-in corpus, as for train.", "--builtin")
    ] = None,
    encoding: Encoding = "utf-8",
    as_bytes: Annotated[
        bool, option(CORPUS, "Measure bytes instead of characters.", "--bytes")
    ] = False,
    normalize: Annotated[
        str | None, option(CORPUS, "Unicode normal form, such as nfc.", "--normalize")
    ] = None,
    lags: Annotated[int, option(HOW, "The largest distance in characters.")] = MAX_LAG,
    seed: Annotated[int, option(HOW, "Seed of the pairings that measure bias and error.")] = 0,
    json: Json = False,
    as_table: Annotated[
        bool, option(OUTPUT, "CSV: a row for each distance and each context.", "--csv")
    ] = False,
    plot: Annotated[
        str | None, option(OUTPUT, "Draw to FILE.png, .svg or .pdf.", metavar="FILE")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Measure how far the characters of a text depend on each other: charrnn inspect-text FILE.

    Needs no model. Mutual information by distance, and the loss of n-gram counts by the length of
    their context: how much there is for a network to remember, before one is trained.
    """
    if json and as_table:
        raise UsageError("--json and --csv contradict each other", "one of them")
    LAG_LIMITS.check("--lags", lags)
    SEED.check("--seed", seed)
    if plot is not None:
        check_plot(Path(plot))
    corpus = read_text(files or [], built_in, TextOptions(encoding, as_bytes, normalize))
    if not quiet:
        for note in corpus.notes:
            say(f"charrnn: note: {label(note)}")
    found = measure(corpus, as_bytes=as_bytes, lags=lags, seed=seed)
    if json:
        write_plain(f"{to_json(memory_as_json(corpus.name, found))}\n")
    elif as_table:
        write_plain(memory_as_csv(found))
    else:
        show_memory(corpus.name, found, everything=not quiet)
    if plot is not None:
        save_plot(
            Path(plot),
            [curve_of(corpus.name, found)],
            title=f"Mutual information of characters, {corpus.name}",
            labels=PLOT_LABELS,
        )


def measure(corpus: AnyCorpus, *, as_bytes: bool, lags: int, seed: int) -> TextMemory:
    """Measure a text, or a sample in parts of one that is too large to be held in memory."""
    parts, characters = corpus.sample, corpus.fingerprint["characters"]
    vocabulary = Vocabulary.from_text("".join(parts), as_bytes=as_bytes)
    ids = [vocabulary.encode(part) for part in parts]
    text = ids[0] if len(ids) == 1 else ids
    found = text_memory(text, characters=characters, max_lag=lags, seed=seed)
    if found is None:
        raise ValueError("the measurement ended without a reason to stop")
    return found


def memory_as_json(name: str, found: TextMemory) -> dict[str, Any]:
    """Return what was measured as JSON values."""
    return {
        "schema": TEXT_SCHEMA,
        "text": name,
        "characters": found.characters,
        "characters_counted": found.counted,
        "symbols": found.symbols,
        "entropy_bits": found.entropy_bits,
        "lags": found.lags,
        "mutual_information_bits": found.bits,
        "standard_error_bits": found.error_bits,
        "threshold_bits": found.threshold_bits,
        "horizon_chars": found.horizon_chars,
        "detected_chars": found.detected_chars,
        "ngram_nats_per_char": found.ngram_nats,
        "ngram_context_chars": found.ngram_context_chars,
        "seed": found.seed,
    }


def memory_as_csv(found: TextMemory) -> str:
    """Return a row for each distance, then one for each context of n-gram counts."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("quantity", "characters", "value", "standard_error"))
    for lag, bits, error in zip(found.lags, found.bits, found.error_bits, strict=True):
        writer.writerow(("mutual_information_bits", lag, bits, error))
    for context, nats in enumerate(found.ngram_nats):
        writer.writerow(("ngram_nats_per_char", context, nats, ""))
    return out.getvalue()


def shares(found: TextMemory) -> list[float]:
    """Return mutual information as a share of the entropy of a character, 0 or more."""
    entropy = found.entropy_bits or 1.0
    return [max(0.0, bits / entropy) for bits in found.bits]


def curve_of(name: str, found: TextMemory) -> Curve:
    """Return the curve of a plot, with a band of one standard error."""
    entropy = found.entropy_bits or 1.0
    errors = [error / entropy for error in found.error_bits]
    values = shares(found)
    return Curve(
        name,
        found.lags,
        values,
        [max(0.0, value - error) for value, error in zip(values, errors, strict=True)],
        [value + error for value, error in zip(values, errors, strict=True)],
    )


def show_memory(name: str, found: TextMemory, *, everything: bool) -> None:
    """Print the tables, the chart and the conclusion; only the conclusion if not `everything`."""
    if everything:
        counted = f"{found.characters:,}"
        if found.counted < found.characters:
            counted += f", {found.counted:,} of them counted, in parts"
        facts = {
            "text": name,
            "characters": counted,
            "symbols": f"{found.symbols:,} told apart, entropy {found.entropy_bits:.3f} bits each",
        }
        answer(facts_table(facts))
        answer(Text())
        answer(information_table(found))
        answer(Text())
        chart = log_chart(
            {name: shares(found)},
            x_label="characters between (logarithmic)",
            y_label="share of a character that another one tells, by the distance between them",
            height=TEXT_CHART_ROWS,
            unicode=unicode_ok(sys.stdout),
            lags=found.lags,
            hints=HINTS,
        )
        answer(chart)
        answer(Text())
        answer(ngram_table(found))
        answer(Text())
    for sentence in conclusions(found):
        answer(Text(sentence))


def information_table(found: TextMemory) -> Table:
    """Lay out the mutual information at some distances."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("characters between", "bits", "standard error", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    by_lag = zip(found.lags, found.bits, found.error_bits, shares(found), strict=True)
    chosen = {min(found.lags, key=lambda lag: abs(lag - wanted)) for wanted in SHOWN_LAGS}
    for lag, bits, error, share in by_lag:
        if lag in chosen:
            table.add_row(f"{lag:,}", f"{bits:.5f}", f"{error:.5f}", f"{share:.2%}")
    return table


def ngram_table(found: TextMemory) -> Table:
    """Lay out the held-out loss of n-gram counts by their context."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("counts with context", no_wrap=True)
    for title in ("nats", "bits", "gain in nats"):
        table.add_column(title, justify="right", no_wrap=True)
    before = None
    for context, nats in enumerate(found.ngram_nats):
        gain = "" if before is None else f"{before - nats:.4f}"
        table.add_row(f"{context} characters", f"{nats:.4f}", f"{nats / math.log(2):.4f}", gain)
        before = nats
    return table


def conclusions(found: TextMemory) -> list[str]:
    """Return what a reader should conclude, a sentence each."""
    last = found.lags[-1]
    if not found.detected_chars:
        return [f"No dependence between characters is detected at distances from 1 to {last:,}."]
    if found.horizon_chars is None:
        reach = f"stays above 1% of its maximum at all distances up to {last:,} characters"
    else:
        reach = f"falls below 1% of its maximum after {found.horizon_chars:,} characters"
    further = " or more" if found.reaches_last_lag else ""
    sentences = [
        f"The mutual information {reach}; it is detected up to {found.detected_chars:,}{further}.",
    ]
    if found.ngram_nats:
        sentences.append(
            f"Counts gain less than 1% from more than {found.ngram_context_chars} characters of "
            f"context; a network can use more, since it need not have seen a context before."
        )
    return sentences
