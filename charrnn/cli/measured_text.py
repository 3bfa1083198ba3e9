"""Text to measure the loss of a model on: what it has not been trained on, or its own."""

from pathlib import Path

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import warn
from charrnn.cli.output.safe_text import label
from charrnn.cli.runs.load_text import find_text_again
from charrnn.data.text_files import validation_start
from charrnn.errors import CharRNNError
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.types import Ids

MEASURED_CHARACTERS = 20_000
"""Characters of the text that the loss of rounded weights is measured on."""

MIN_MEASURED = 1_000
"""Characters below which a text is too short to tell 0.01 nats."""

OWN_SAMPLES = 20


def held_out(checkpoint: Checkpoint, path: Path) -> tuple[Ids, str]:
    """Return a text to measure losses on, and its name: held-out text, or the model's own."""
    record, vocabulary = checkpoint.corpus, checkpoint.vocabulary
    try:
        corpus = find_text_again(record, path.parent)
        begin = validation_start(record.characters, record.val_fraction)
        ids = vocabulary.encode(corpus.part(begin, begin + MEASURED_CHARACTERS), "skip")
        if len(ids) >= MIN_MEASURED:
            return ids, f"characters of the held-out part of {label(corpus.name)}"
        reason = "the held-out text is too short"
    except CharRNNError as error:
        reason = error.problem
    warn(f"{reason}; measuring the loss on text of the model itself")
    length = MEASURED_CHARACTERS // OWN_SAMPLES
    samples = Model(checkpoint).samples("", length, Sampling(), OWN_SAMPLES)
    text = "".join("".join(sample) for sample in samples)
    return vocabulary.encode(text), "characters that the model wrote"
