"""Scores of models whose answers are labels, from the logits after each whole input."""

from collections.abc import Mapping

import numpy as np

from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.pair_batches import Examples
from charrnn.evaluation.pairs import PairScore, forward_by_length
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.ops import cross_entropy
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids, StopFlag


def labels_of(examples: Examples) -> Ids:
    """Return the label of each example (n,)."""
    return examples.targets[examples.starts[1:] - 1].astype(np.int64)


def label_logits(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    stop: StopFlag | None = None,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> Array | None:
    """Return the logits of a network after each whole input (n, L); None if `stop` said so.

    Args:
        config: the shape of the network.
        parameters: its weights.
        examples: the inputs, each with a label.
        stop: tells whether to stop.
        cells: the classes of the cells by name, those of a compute backend.
    """
    found = np.zeros((len(examples), config.outputs), parameters.vector.dtype)
    for chosen, _, logits in forward_by_length(config, parameters, examples, cells):
        if stop is not None and stop():
            return None
        found[chosen] = logits[examples.lengths[chosen] - 1, np.arange(len(chosen))]
    return found


def score_of_logits(logits: Array, labels: Ids) -> PairScore:
    """Return the loss and the accuracy of logits (n, L), and the likeliest labels.

    Example:
        >>> found = score_of_logits(np.log([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1]))
        >>> round(found.nats_per_symbol, 4), found.symbol_accuracy
        (0.4581, 1.0)
    """
    nats = cross_entropy(logits, labels, out=np.empty_like(logits))
    answers = logits.argmax(axis=1)
    right, count = float(np.mean(answers == labels)), len(labels)
    return PairScore(float(nats.mean()), right, right, count, count, answers)


def score_with_ngrams(
    config: ModelConfig,
    parameters: Parameters,
    ngrams: LabelNgrams,
    examples: Examples,
    stop: StopFlag | None = None,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> PairScore | None:
    """Score the mixture of a network and n-grams; arguments as for `label_logits`."""
    logits = label_logits(config, parameters, examples, stop, cells)
    if logits is None:
        return None
    mixed = ngrams.mixed(logits, examples.inputs, examples.starts)
    return score_of_logits(mixed, labels_of(examples))
