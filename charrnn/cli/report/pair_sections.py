"""Sections of a report on a model of pairs: score, confusion matrix, answers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.cli.report.content import Block, Figures, Paragraph, Section
from charrnn.cli.report.run_data import RunData, file_names
from charrnn.cli.runs.load_pairs import find_pairs_again
from charrnn.cli.train.pair_comparison import comparison, figure, own_figures
from charrnn.cli.train.pair_metrics import PairMetrics, validation_metrics
from charrnn.evaluation.pair_baselines import pair_baselines
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling, finite_logits
from charrnn.training.prepared_data import PreparedPairs, prepare_pairs

MAX_MATRIX_LABELS = 30
"""Labels of a confusion matrix that a page has room for."""

MAX_LABEL_ROWS = 60

ANSWERS_SHOWN, WRONG_SHOWN, MAX_FIELD = 6, 12, 200
"""Answers and wrong answers that are shown, and characters of each side."""

LABELS_SHOWN, DRAWS = 5, 4
"""Labels of one-to-many for which texts are drawn, and texts for each."""


@dataclass(frozen=True)
class Pairs:
    """The pairs of a run, ready to score, and the names of their files."""

    prepared: PreparedPairs
    names: tuple[str, ...]


def pairs_of(run: RunData) -> Pairs:
    """Read the pairs of a run again. Raises `TextError` if they are missing or others."""
    pairing, record = run.checkpoint.pairing, run.checkpoint.corpus
    corpus = find_pairs_again(record, pairing.layout, run.folder)
    state = None if run.last is None else run.last.training
    seed = 0 if state is None else state.config.seed
    prepared = prepare_pairs(corpus, pairing.layout, record, seed, pairing)
    return Pairs(prepared, () if record.built_in else file_names(corpus.sources))


def pair_score_section(run: RunData, prepared: PreparedPairs) -> tuple[Section, PairMetrics | None]:
    """Score the held-out pairs beside the baselines."""
    title = "Score beside baselines"
    held_out = prepared.dataset.validation
    if not len(held_out):
        reason = "No pairs were held out (--val-fraction 0), so that nothing can be scored."
        return Section.missing("score", title, reason), None
    found = validation_metrics(run.checkpoint, held_out, None)
    if found is None:
        raise ValueError("the measurement ended without a reason to stop")
    finite_logits(np.array(found.score.nats_per_symbol))
    compared = pair_baselines(prepared.symbols, prepared.dataset.train, held_out)
    titles = {"nats_per_symbol": "nats", "symbol_accuracy": "accuracy"}
    titles |= {"exact_match": "exact match", "macro_f1": "macro F1"}
    lines = [own_figures(found), *compared]
    used = [name for name in titles if any(getattr(one, name) is not None for one in lines)]
    rows = tuple(
        (one.title, *(figure(name, getattr(one, name)) or "-" for name in used)) for one in lines
    )
    seen = (
        "They are the pairs it was trained on: a table of labels has no unseen inputs. "
        if prepared.symbols.layout_spec.is_table
        else "None of their inputs was in the training part. "
        if prepared.symbols.layout_spec.source_is_text
        else ""
    )
    blocks: tuple[Block, ...] = (
        Paragraph(
            f"Of {len(held_out):,} held-out pairs. {seen}Nats are per predicted symbol, with the "
            "true symbols before it; an exact match is a whole answer without a fault."
        ),
        Figures(("", *(titles[name] for name in used)), rows, highlighted=0),
        Paragraph(comparison(found, compared)),
        *label_blocks(found),
    )
    return Section("score", title, blocks), found


def label_blocks(found: PairMetrics) -> Iterator[Block]:
    """Yield the confusion matrix and the scores of each label, if answers are labels."""
    if found.confusion is None:
        return
    labels = found.pairing.answers
    if len(labels) <= MAX_MATRIX_LABELS:
        rows = tuple(
            (label[:MAX_FIELD], *(str(count) if count else "·" for count in row))
            for label, row in zip(labels, found.confusion.tolist(), strict=True)
        )
        columns = ("true label", *(label[:MAX_FIELD] for label in labels))
        yield Figures(columns, rows, title="Confusion matrix: a column for each answer")
    scores = tuple(
        (label[:MAX_FIELD], f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", f"{s.count:,}")
        for label, s in zip(labels, found.labels, strict=True)
    )
    yield Figures(
        ("label", "precision", "recall", "F1", "examples"),
        scores[:MAX_LABEL_ROWS],
        title="Scores of each label",
    )
    if len(scores) > MAX_LABEL_ROWS:
        more = f"{len(scores) - MAX_LABEL_ROWS:,} more labels are not shown."
        yield Paragraph(more)


def answers_section(run: RunData, prepared: PreparedPairs, seed: int) -> Section:
    """Show answers to held-out inputs, right and wrong ones; or texts drawn for some labels."""
    title = "Answers"
    predictor = Predictor.of(run.checkpoint)
    if prepared.symbols.layout_spec.is_sampled:
        rows = tuple(
            (label[:MAX_FIELD], text[:MAX_FIELD])
            for number, label in enumerate(prepared.symbols.sources[:LABELS_SHOWN])
            for text in predictor.sample(label, Sampling(seed=seed), DRAWS, number)
        )
        about = f"Texts drawn from the model for some labels, with seed {seed}; none was chosen."
        return Section("answers", title, (Paragraph(about), Figures(("read", "wrote"), rows, 2)))
    pairs = prepared.examined
    if not pairs:
        reason = "There are no held-out inputs to answer."
        return Section.missing("answers", title, reason)
    answers = predictor.answer([pair.input for pair in pairs])
    shown = [
        (pair.input[:MAX_FIELD], one.text[:MAX_FIELD], pair.output[:MAX_FIELD])
        for pair, one in zip(pairs, answers, strict=True)
    ]
    wrong = [
        row for row, pair, one in zip(shown, pairs, answers, strict=True) if one.text != pair.output
    ]
    first = tuple(
        (row[0], row[1], "right" if row not in wrong else f"wrong: {row[2]}")
        for row in shown[:ANSWERS_SHOWN]
    )
    columns = ("read", "answered", "right would be")
    blocks: list[Block] = [
        Figures(("read", "answered", ""), first, 3, title="The first held-out pairs"),
        Paragraph(
            f"{len(wrong):,} of the first {len(pairs):,} held-out pairs are answered wrongly."
        ),
    ]
    if wrong:
        blocks.append(Figures(columns, tuple(wrong[:WRONG_SHOWN]), 3, title="Wrong answers"))
    return Section("answers", title, tuple(blocks))
