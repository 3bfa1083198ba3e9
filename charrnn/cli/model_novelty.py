"""Novelty of a model: its samples, and its held-out text, compared with its training text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from charrnn.cli.runs.text_ids import TextIds
from charrnn.data.large_text_files import AnyCorpus
from charrnn.evaluation.novelty import (
    VERDICT_LENGTH,
    Novelty,
    Verdict,
    novelties,
    spread_pieces,
    verdict,
)
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.types import Ids

SAMPLES = 20
"""Samples that are drawn, unless the user says otherwise."""

LENGTH, MIN_LENGTH = 1000, 100
"""Characters of each, at most and at least; less if the held-out part is short."""


@dataclass(frozen=True)
class Passage:
    """The longest run of characters that some texts share with the training text.

    Attributes:
        text: the characters; of a model of bytes each stands for a byte.
        text_number: the text that it is in, from 0.
        begin: where it begins there, from 0.
        position: where it first occurs in the training text, in characters that the model knows.
        line: the line of the training text, from 1.
    """

    text: str
    text_number: int
    begin: int
    position: int
    line: int


@dataclass(frozen=True)
class ModelNovelty:
    """Samples of a model and held-out text, compared with the training text.

    Attributes:
        training_characters: length of the training text.
        length: most characters of a sample.
        samples: novelty of the samples.
        held_out: novelty of pieces of the held-out part; None if there is none.
        verdict: whether the model copies.
        passage: the longest run of the samples; None if nothing is shared.
        held_out_passage: that of the held-out text.
    """

    training_characters: int
    length: int
    samples: Novelty
    held_out: Novelty | None
    verdict: Verdict
    passage: Passage | None
    held_out_passage: Passage | None


def measure_novelty(
    model: Model,
    corpus: AnyCorpus,
    sampling: Sampling,
    samples: int = SAMPLES,
    length: int | None = None,
    watch: Callable[[Iterable[Ids]], Iterable[Ids]] = lambda chunks: chunks,
) -> ModelNovelty:
    """Draw samples and compare them, and as much held-out text, with the training text.

    Args:
        model: the model.
        corpus: its whole text, as `find_text_again` returns it.
        sampling: temperature, limits and seed.
        samples: number of samples, each from the zero state; one if the likeliest character is
            always taken.
        length: characters of each; None for as many as the held-out part allows, from
            `MIN_LENGTH` to `LENGTH`.
        watch: passes on the chunks of the training text, to show progress.

    Raises:
        TextError: if the text is too short to be split.
        UsageError: if more samples are wanted than can be drawn at once.
        DivergedError: if the predictions of the model are not finite.
    """
    text = TextIds(corpus, model.vocabulary, model.corpus.val_fraction)
    if length is None:
        room = text.held_out_characters // samples if text.held_out_characters else LENGTH
        length = max(MIN_LENGTH, min(LENGTH, room))
    greedy = sampling.temperature == 0 or sampling.top_k == 1  # all samples would be the same
    written = [
        model.vocabulary.encode("".join(characters))
        for characters in model.samples("", length, sampling, 1 if greedy else samples)
    ]
    groups = [written]
    if pieces := spread_pieces(text.held_out_characters, samples, length):
        groups.append(text.held_out(pieces))
    found = novelties(groups, watch(text.training_chunks()))
    passages = [passage_of(*group, text) for group in zip(found, groups, strict=True)]
    held_out = found[1] if pieces else None
    return ModelNovelty(
        training_characters=text.train_characters,
        length=length,
        samples=found[0],
        held_out=held_out,
        verdict=verdict(found[0], held_out),
        passage=passages[0],
        held_out_passage=passages[1] if pieces else None,
    )


def passage_of(found: Novelty, texts: Sequence[Ids], text: TextIds) -> Passage | None:
    """Return the longest run that texts share with the training text, its characters and line."""
    run = found.longest
    if run is None:
        return None
    ids = texts[run.text][run.begin : run.begin + run.characters]
    return Passage(
        text.vocabulary.decode(ids), run.text, run.begin, run.position, text.line_of(run.position)
    )


def conclusion(found: ModelNovelty, unit: str = "character") -> str:
    """Return the verdict as a sentence, with the figures that it rests on."""
    samples, held_out = found.samples, found.held_out
    ours = f"{copied_share(samples)} of their {VERDICT_LENGTH}-grams occur in the training text"
    if held_out is None:
        return f"No text was held out, so there is no verdict on the samples: {ours}."
    if found.verdict is Verdict.UNKNOWN:
        return (
            f"The held-out text has no {VERDICT_LENGTH} {unit}s, so there is no verdict on the "
            f"samples: {ours}."
        )
    figures = f"{ours}, {copied_share(held_out)} of those of held-out text"
    if found.verdict is Verdict.COPIES:
        return f"The samples copy more than held-out text does: {figures}."
    if found.verdict is Verdict.QUOTES:
        return (
            f"The samples copy in places: the longest run they share is {samples.longest_run:,} "
            f"{unit}s, that of held-out text {held_out.longest_run:,}; {figures}."
        )
    if (samples.share(VERDICT_LENGTH) or 0) >= (held_out.share(VERDICT_LENGTH) or 0):
        return f"The samples copy no more than held-out text does: {figures}."
    return f"The samples do not clearly copy more than held-out text does: {figures}."


def copied_share(novelty: Novelty) -> str:
    """Return the share of n-grams that occur in the training text and its standard error."""
    share, error = novelty.share(VERDICT_LENGTH), novelty.error(VERDICT_LENGTH)
    return "none" if share is None else f"{1 - share:.1%} ± {error:.1%}"


def novelty_as_json(found: ModelNovelty) -> dict[str, Any]:
    """Return all figures as JSON values."""
    held_out = found.held_out
    return {
        "verdict": found.verdict.value,
        "training_characters": found.training_characters,
        "samples": group_as_json(found.samples, found.passage),
        "held_out": None if held_out is None else group_as_json(held_out, found.held_out_passage),
    }


def group_as_json(novelty: Novelty, passage: Passage | None) -> dict[str, Any]:
    """Return the figures of the samples, or of the held-out pieces."""
    return {
        "texts": novelty.texts,
        "characters": novelty.characters,
        "ngram_lengths": list(novelty.lengths),
        "novel_share": list(novelty.novel),
        "standard_error": list(novelty.errors),
        "longest_run_characters": novelty.longest_run,
        "longest_run": None if passage is None else asdict(passage),
    }
