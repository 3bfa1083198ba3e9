"""Remarks about a sample: a prompt unlike the training text, a stop text, a text in a cycle."""

import math
import shlex
from pathlib import Path

import numpy as np

from charrnn.checkpointing.records import CorpusRecord
from charrnn.cli.output.console import warn
from charrnn.cli.runs.load_text import find_text_again
from charrnn.data.typed_text import escaped
from charrnn.errors import CharRNNError
from charrnn.evaluation.text import evaluate
from charrnn.evaluation.text_statistics import ngram_share, repetition
from charrnn.inference.model import Model

MAX_CHARACTERS = 4_000_000
"""Characters of a training text that is read again for a remark."""

MIN_PROMPT = 8
"""Characters of a prompt from which on it is compared with the training text."""

MAX_SCORED = 2_000
"""Characters at the end of a prompt that are scored."""

LOW_SHARE, MEDIUM_SHARE = 0.25, 0.5
"""Shares of known n-grams below which a prompt is unlike, the second with a high loss only."""

MIN_EXCESS_NATS = 0.5
"""Nats per character above the validation loss that count as a high loss."""

LARGE_VOCABULARY = 200
"""Characters of a vocabulary above which 2-grams are compared instead of 4-grams."""


def training_text(record: CorpusRecord, folder: Path) -> str | None:
    """Return the text of a run, if it is small and still where it was; otherwise None."""
    if record.characters > MAX_CHARACTERS:
        return None
    try:
        return find_text_again(record, folder).part(0, record.characters)
    except CharRNNError:
        return None


def note_prompt(model: Model, path: Path, prompt: str) -> None:
    """Warn if a prompt is unlike the training text, by its n-grams and by its surprisal."""
    if len(prompt) < MIN_PROMPT:
        return
    vocabulary, checkpoint = model.vocabulary, model.checkpoint
    ids = np.concatenate([model.start(""), vocabulary.encode(prompt[-MAX_SCORED:])])
    nats = evaluate(model.config, model.parameters, ids)
    expected = checkpoint.validation.get("nats_per_char")
    excess = None if nats is None or expected is None else nats - expected
    text = training_text(checkpoint.corpus, path.parent)
    n = 4 if len(vocabulary) <= LARGE_VOCABULARY or vocabulary.as_bytes else 2
    share = None if text is None else ngram_share(prompt, text, n)
    if not _is_unlike(share, excess, len(ids) - 1):
        return
    unit = "byte" if vocabulary.as_bytes else "character"
    reasons = []
    if nats is not None and expected is not None:
        reasons.append(f"{nats:.2f} nats per {unit}, {expected:.2f} on its validation text")
    if share is not None:
        reasons.append(f"{share:.0%} of its {n}-grams occur in the training text")
    warn(f"the prompt is unlike the training text: {'; '.join(reasons)}")


def _is_unlike(share: float | None, excess: float | None, scored: int) -> bool:
    """Judge a prompt; the fewer characters are scored, the more surprisal is due to chance."""
    if share is not None:
        return share < LOW_SHARE or (
            share < MEDIUM_SHARE and excess is not None and excess > MIN_EXCESS_NATS
        )
    return excess is not None and excess > max(1.2, 5 / math.sqrt(scored))


def note_stop(model: Model, path: Path, stop: str, drawn: int) -> None:
    """Warn if a stop text that did not occur in the sample is not in the training text either."""
    crlf = "\n" in stop and "\r" not in stop and "\r" in model.vocabulary
    text = training_text(model.checkpoint.corpus, path.parent)
    if (text is None and not crlf) or (text is not None and stop in text):
        return
    where = "" if text is None else ", nor in the training text"
    advice = ""
    if crlf:
        ends = escaped(stop.replace("\n", "\r\n"))
        advice = f"; if its lines end with \\r\\n, try --stop {shlex.quote(ends)}"
    warn(f"--stop did not occur in {drawn:,} characters{where}{advice}")


def note_repetition(text: str, unit: str, advice: str) -> None:
    """Warn if a text ends in a cycle."""
    found = repetition(text)
    if found is not None:
        begin, period = found
        every = f"every {period:,} {unit}s" if period > 1 else f"every {unit}"
        warn(f"the text repeats itself {every} from {unit} {begin + 1:,} on; try {advice}")
