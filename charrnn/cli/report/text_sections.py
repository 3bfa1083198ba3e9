"""Sections of a report on a model of texts: score, samples, the gradient beside the text."""

import math
from collections.abc import Sequence

from charrnn.analysis.dataset_profile import data_profile
from charrnn.analysis.diagnosis import diagnose
from charrnn.analysis.gradient_profile import (
    DEFAULT_LAGS,
    DEFAULT_WINDOWS,
    GRADIENT_HORIZON_SHARE,
    GradientProfile,
    StateProfile,
    exp_or_none,
)
from charrnn.analysis.memory_lengths import MemoryLengths, dependence, measure_lengths
from charrnn.analysis.text_memory import TextMemory
from charrnn.cli.inspect.models import MAX_TEXT_CHARACTERS
from charrnn.cli.output.console import baseline_rows
from charrnn.cli.output.safe_text import decode_utf_8, shell_command
from charrnn.cli.report.content import Chart, Command, Figures, Paragraph, Quote, Section, Series
from charrnn.cli.report.run_data import RunData, TextParts
from charrnn.cli.runs.load_text import spelling
from charrnn.cli.train.text_report import verdict
from charrnn.data.pair_batches import Examples
from charrnn.errors import TextError
from charrnn.evaluation.baselines import MAX_VALIDATION_CHARS, Baselines, baselines
from charrnn.evaluation.text import Score
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.types import Ids

TEMPERATURES = (0.5, 0.8, 1.0)
SAMPLE_LENGTH = 400

SHOWN_LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

NO_HELD_OUT = "No part of the text was held out (--val-fraction 0), so that nothing can be scored."


def score_section(model: Model, parts: TextParts) -> tuple[Section, Score | None]:
    """Score the held-out part beside the baselines; return the section and the score."""
    title = "Score beside baselines"
    held_out = parts.validation[:MAX_VALIDATION_CHARS]
    if len(held_out) < 2:
        return Section.missing("score", title, NO_HELD_OUT), None
    score = model.score(held_out)
    size, spell = len(model.vocabulary), spelling(model.vocabulary)
    table = baselines(parts.train, held_out, size, spell)
    if table is None:
        raise ValueError("the measurement ended without a reason to stop")
    unit = "byte" if model.vocabulary.as_bytes else "character"
    about = (
        f"The model read the held-out part of {len(held_out):,} {unit}s as one stream from the "
        f"zero state and predicted each {unit} from all before it. The baselines were fitted on "
        "the part that the model was trained on, and predict the same."
    )
    blocks = (
        Paragraph(about),
        loss_figures(score, table, unit),
        Paragraph(verdict(score.nats_per_char, table)),
    )
    return Section("score", title, blocks), score


def loss_figures(score: Score, table: Baselines, unit: str) -> Figures:
    """Return the losses, best first, with a bar for each."""
    losses = {"this model": score.nats_per_char}
    losses |= {name: nats for name, nats in baseline_rows(table).items() if nats is not None}
    ordered = sorted(losses.items(), key=lambda item: item[1])
    largest = max(losses.values())
    rows = tuple(
        (
            name,
            f"{nats:.4f}",
            f"{nats / math.log(2):.4f}",
            f"{math.exp(nats):.2f}" if nats < 20 else "-",
        )
        for name, nats in ordered
    )
    return Figures(
        (f"per {unit}", "nats", "bits", "perplexity"),
        rows,
        highlighted=[name for name, _ in ordered].index("this model"),
        bars=tuple(nats / largest if largest > 0 else 0.0 for _, nats in ordered),
    )


def samples_section(model: Model, run: RunData, seed: int) -> Section:
    """Sample the model at some temperatures."""
    quotes = []
    for temperature in TEMPERATURES:
        sampling = Sampling(temperature, seed=seed)
        drawn = next(iter(model.samples("", SAMPLE_LENGTH, sampling)))
        text = "".join(decode_utf_8(drawn) if model.vocabulary.as_bytes else drawn)
        quotes.append(Quote(f"Temperature {temperature:g}, seed {seed}", text))
    settings = (f"--temperature={TEMPERATURES[1]:g}", f"--length={SAMPLE_LENGTH}", f"--seed={seed}")
    return Section(
        "samples",
        "Samples",
        (
            Paragraph(
                "Nothing was chosen: these are the first texts that the model writes after a "
                "newline with this seed. A lower temperature gives more likely text."
            ),
            *quotes,
            Paragraph("The second one again, in the folder that holds the run:"),
            Command(shell_command("charrnn", "sample", run.name, *settings)),
        ),
    )


def memory_section(run: RunData, data: Ids | Examples, text_ids: Ids | None, seed: int) -> Section:
    """Measure the gradient by lag, beside the dependence within the text if there is one.

    Args:
        run: the run.
        data: the ids (N,) of the training text, or the training examples.
        text_ids: the ids (N,) whose dependence is measured; None for pairs.
        seed: chooses the windows.
    """
    title = "How far back it looks"
    config, parameters = run.checkpoint.config, run.checkpoint.parameters
    if text_ids is not None:
        data = text_ids = text_ids[:MAX_TEXT_CHARACTERS]
    try:
        profile = data_profile(
            data, config, parameters, lags=DEFAULT_LAGS, windows=DEFAULT_WINDOWS, seed=seed
        )
    except TextError as error:
        return Section.missing("memory", title, f"Nothing was measured: {error.problem}.")
    memory = None if text_ids is None else dependence(text_ids, seed)
    state = None if run.last is None else run.last.training
    examples = data if isinstance(data, Examples) else None
    lengths = measure_lengths(
        profile,
        config,
        parameters,
        data.inputs if isinstance(data, Examples) else data,
        trained=True,
        text=memory,
        seq_length=None if state is None or examples else state.config.seq_length,
        examples=examples,
        seed=seed,
    )
    found = diagnose(profile, config, trained=True, lengths=lengths)
    return Section(
        "memory",
        title,
        (
            Paragraph(
                "How much of the loss at one character reaches the state of the network some "
                "characters earlier (the norm of the gradient, typical window), and how much "
                "characters of the text that far apart tell about each other (mutual information). "
                "Each is a share of its own largest value; the dotted line is 1%."
                if memory is not None
                else "How much of the loss at one symbol reaches the state of the network some "
                "symbols earlier: the norm of the gradient as a share of that at lag 0. The dotted "
                "line is 1%."
            ),
            memory_chart(profile, memory, "symbols" if examples else "characters"),
            Paragraph("; ".join(length_sentences(lengths)) + "."),
            Paragraph(f"Verdict: {found.sentence.removesuffix('.')}."),
        ),
    )


def memory_chart(profile: GradientProfile, memory: TextMemory | None, unit: str) -> Chart:
    """Return the gradient of each layer's memory, and the dependence within the text, by lag."""
    lags = list(range(1, profile.lags + 1))
    curves = [
        Series(
            "gradient" if len(profile.main_states) == 1 else f"gradient, {state_name(line)}",
            lags,
            [exp_or_none(value) for value in line.log_geometric[1:]],
        )
        for line in profile.main_states
    ]
    if memory is not None:
        largest = max(*memory.bits, 1e-12)
        shares = [
            bits / largest if bits > least else None
            for bits, least in zip(memory.bits, memory.threshold_bits, strict=True)
        ]
        curves.append(Series("dependence in the text", memory.lags, shares))
    return Chart(
        f"Share of the gradient by distance in {unit}"
        + (", and mutual information of the text" if memory is not None else ""),
        f"{unit} back",
        "share",
        tuple(curves),
        lag_figures(curves, unit),
        logarithmic=True,
        guide=GRADIENT_HORIZON_SHARE,
    )


def state_name(line: StateProfile) -> str:
    """Return the layer of a state, and whether it is that of a cell that reads from the end."""
    return f"layer {line.layer + 1}" + (", from the end" if line.reads_from_end else "")


def lag_figures(curves: Sequence[Series], unit: str) -> Figures:
    """Return the curves at some lags; "-" where a curve has no point."""
    rows = []
    for lag in SHOWN_LAGS:
        values = []
        for one in curves:
            near = min(one.x, key=lambda x: abs(x - lag), default=0.0)
            value = one.y[list(one.x).index(near)] if abs(near - lag) <= 0.04 * lag else None
            values.append("-" if value is None else f"{value:.3%}")
        if any(value != "-" for value in values):
            rows.append((str(lag), *values))
    columns = (f"{unit} back", *(one.name for one in curves))
    return Figures(columns, tuple(rows), texts=0, title="Shares at some distances")


def length_sentences(lengths: MemoryLengths) -> list[str]:
    """Return the memory lengths in words."""
    unit = "characters" if lengths.gap_chars is None else "symbols"
    reach = (
        f"stays above 1% for all {lengths.max_lag:,} {unit} that were followed"
        if lengths.reach_chars is None
        else f"falls to 1% after {lengths.reach_chars:,} {unit}"
    )
    found = [f"The gradient {reach}"]
    if lengths.used_chars is not None:
        more = "or more " if lengths.used is not None and lengths.used.chars is None else ""
        found.append(f"the model uses {lengths.used_chars:,} {more}characters of context")
    if lengths.text is not None and lengths.text.detected_chars:
        further = " or more" if lengths.text.reaches_last_lag else ""
        found.append(
            f"characters depend on each other up to a distance of "
            f"{lengths.text.detected_chars:,}{further}"
        )
    if lengths.gap_chars is not None:
        found.append(f"the task spans {lengths.gap_chars:,} symbols (median)")
    return found
