"""Scores of a mixture for `charrnn eval`: its own figures, and those of each part beside them."""

from pathlib import Path
from typing import Any

from charrnn.checkpointing.records import networks_title
from charrnn.cli.runs.load_text import spelling
from charrnn.evaluation.baselines import Baselines, baselines
from charrnn.evaluation.text import Score
from charrnn.inference.mixture import Mixture, MixtureScore
from charrnn.types import Ids


def mixture_rows(mixture: Mixture, scores: MixtureScore) -> dict[str, float | None]:
    """Return the losses of a mixture and of its parts, by the names that tables show."""
    rows: dict[str, float | None] = {mixture.title: scores.whole.nats_per_char}
    if scores.networks is not None:
        title = f"{networks_title(len(scores.members))} (mean of probabilities)"
        rows[title] = scores.networks.nats_per_char
    for number, member in enumerate(scores.members, 1):
        rows[f"network {number} alone"] = member.nats_per_char
    if scores.ngrams is not None and mixture.record.ngrams is not None:
        rows[f"{mixture.record.ngrams.order}-grams alone"] = scores.ngrams.nats_per_char
    return rows


def parts_as_json(mixture: Mixture, scores: MixtureScore, path: Path) -> dict[str, Any]:
    """Return what a mixture is, and the losses of its parts alone, as JSON values."""
    found: dict[str, Any] = {
        "checkpoint": str(path),
        "model": mixture.title,
        "members": [
            {"member": number} | loss_as_json(member)
            for number, member in enumerate(scores.members, 1)
        ],
    }
    if scores.networks is not None:
        found["networks"] = loss_as_json(scores.networks)
    if scores.ngrams is not None and mixture.record.ngrams is not None:
        found["ngrams"] = {"order": mixture.record.ngrams.order} | loss_as_json(scores.ngrams)
    return found


def loss_as_json(score: Score) -> dict[str, float]:
    """Return the loss of one part alone."""
    return {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
    }


def stored_text_baselines(mixture: Mixture, ids: Ids) -> Baselines | None:
    """Return baselines fitted on the text that a mixture contains; None without n-grams."""
    record = mixture.record.ngrams
    if record is None:
        return None
    return baselines(record.ids, ids, len(mixture.vocabulary), spelling(mixture.vocabulary))
