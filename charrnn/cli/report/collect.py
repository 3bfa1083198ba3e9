"""Collection of a report: runs the measurements and returns the content."""

from collections.abc import Callable

from charrnn import __version__
from charrnn.cli.output.console import warn
from charrnn.cli.report.common_sections import curve_section, repeat_section, trained_section
from charrnn.cli.report.content import Report, Section
from charrnn.cli.report.novelty_section import novelty_section
from charrnn.cli.report.pair_sections import answers_section, pair_score_section, pairs_of
from charrnn.cli.report.passage import passage_section
from charrnn.cli.report.run_data import RunData, text_parts
from charrnn.cli.report.text_sections import memory_section, samples_section, score_section
from charrnn.errors import CharRNNError
from charrnn.inference.model import Model

PARTS = 6
"""Parts of the work that are announced, at most."""

GONE = "The training data could not be read again when this report was written."
"""Sentence in place of what is measured on the training data; the reason may name folders."""


def collect(run: RunData, seed: int, announce: Callable[[str], object]) -> Report:
    """Measure everything that a report on a run shows.

    Args:
        run: the run.
        seed: seed of samples, windows and controls.
        announce: is called with the name of each part before it is measured.

    A section whose input is missing says so; `DivergedError` is raised for a model whose
    predictions are not finite.
    """
    if run.checkpoint.symbols.of_pairs:
        return _of_pairs(run, seed, announce)
    return _of_text(run, seed, announce)


def _of_text(run: RunData, seed: int, announce: Callable[[str], object]) -> Report:
    """Return the report on a language model."""
    model = Model(run.checkpoint)
    announce("samples")
    samples = samples_section(model, run, seed)
    announce("reading the text")
    unit = "bytes" if model.vocabulary.as_bytes else "characters"
    try:
        parts = text_parts(run)
    except CharRNNError as error:
        warn(f"{error.problem}; what is measured on the text is left out")
        sections = [
            trained_section(run, {}),
            curve_section(run),
            Section.missing("score", "Score beside baselines", GONE),
            samples,
            Section.missing("text", "The text as the model sees it", GONE),
            Section.missing("memory", "How far back it looks", GONE),
            Section.missing("novelty", "Does it copy?", GONE),
        ]
        score = None
    else:
        announce("score and baselines")
        scored, score = score_section(model, parts)
        announce("surprisal and units")
        passage = passage_section(model, parts, seed)
        announce("gradient and dependence")
        memory = memory_section(run, parts.train, parts.train, seed)
        announce("novelty")
        novelty = novelty_section(model, parts.corpus, seed)
        split = f"{len(parts.train):,} {unit} to train on, {len(parts.validation):,} held out"
        more = {"split": split} | ({"files": ", ".join(parts.names)} if parts.names else {})
        sections = [
            trained_section(run, more),
            curve_section(run),
            scored,
            samples,
            passage,
            memory,
            novelty,
        ]
    result = ""
    if score is not None:
        result = (
            f" It needs {score.bits_per_char:.3f} bits per {unit[:-1]} for the held-out part "
            f"({score.nats_per_char:.4f} nats)."
        )
    return _report(run, result, sections)


def _of_pairs(run: RunData, seed: int, announce: Callable[[str], object]) -> Report:
    """Return the report on a model of pairs."""
    announce("reading the pairs")
    result = ""
    try:
        pairs = pairs_of(run)
    except CharRNNError as error:
        warn(f"{error.problem}; what is measured on the pairs is left out")
        sections = [
            trained_section(run, {}),
            curve_section(run),
            Section.missing("score", "Score beside baselines", GONE),
            Section.missing("answers", "Answers", GONE),
            Section.missing("memory", "How far back it looks", GONE),
        ]
    else:
        prepared = pairs.prepared
        announce("score and baselines")
        scored, found = pair_score_section(run, prepared)
        announce("answers")
        answers = answers_section(run, prepared, seed)
        announce("gradient")
        memory = memory_section(run, prepared.dataset.train, None, seed)
        held_out = len(prepared.dataset.validation)
        more = {
            "split": f"{len(prepared.dataset.train):,} pairs to train on, {held_out:,} held out"
        }
        more |= {"files": ", ".join(pairs.names)} if pairs.names else {}
        sections = [trained_section(run, more), curve_section(run), scored, answers, memory]
        if found is not None:
            share = found.score.symbol_accuracy
            result = f" It predicts {share:.2%} of the held-out symbols correctly."
    return _report(run, result, sections)


def _report(run: RunData, result: str, sections: list[Section]) -> Report:
    """Put the sections together, with a summary of one or two sentences."""
    config, record = run.checkpoint.config, run.checkpoint.corpus
    layers = f"{config.layers} layer" + ("s" if config.layers > 1 else "")
    parameters = len(run.checkpoint.parameters.vector)
    cell = config.cell.upper()
    summary = (
        f"{cell} of {layers} with {config.hidden:,} units, {parameters:,} parameters, trained on "
        f"{record.name}.{result}"
    )
    kind = "pairs" if run.checkpoint.symbols.of_pairs else "language-model"
    tags = ("charrnn", "character-level", kind, config.cell)
    everything = (*sections, repeat_section(run))
    return Report(run.name, summary, everything, tags, __version__)
