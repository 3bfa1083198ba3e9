"""Speed of the baselines that a run is compared with, measured on a part of its data."""

import math
import time

from charrnn.cli.runs.load_text import spelling
from charrnn.evaluation.baselines import baselines
from charrnn.evaluation.pair_baselines import head, pair_baselines
from charrnn.training.prepared_data import PreparedData, PreparedPairs, PreparedText

BASELINE_CHARACTERS, BASELINE_EXAMPLES = 100_000, 1_000
"""Characters of a text, and pairs, on which the speed of baselines is measured."""


def baseline_growth(characters: int) -> float:
    """Return how much longer a character takes in baselines of a long text than in a short one.

    Measured on English text and on source code of 1 to 4 million characters: 0.94 to 1.06, in
    relation to the first call on `BASELINE_CHARACTERS`, which later ones are faster than.
    """
    return min(1.1, max(1.0, 1 + 0.06 * math.log2(max(1, characters) / 300_000)))


def measure_baselines(prepared: PreparedData) -> float:
    """Return the seconds per training character that baselines take, measured on a few.

    For pairs a character is a position of an example.
    """
    baselines_of_part(prepared, 0.2)  # with cold caches, and not measured
    began = time.perf_counter()
    count = baselines_of_part(prepared, 1.0)
    return (time.perf_counter() - began) / max(1, count)


def baselines_of_part(prepared: PreparedData, share: float) -> int:
    """Compute the baselines of a small part of the data; return the number of its characters."""
    match prepared:
        case PreparedText(symbols=symbols, dataset=dataset):
            train = dataset.train[-round(share * BASELINE_CHARACTERS) :]
            validation = dataset.validated()[: round(share * BASELINE_CHARACTERS) // 10]
            if len(validation) < 2:
                return 0
            baselines(train, validation, len(symbols), spelling(symbols))
            return len(train) + len(validation)
        case PreparedPairs(symbols=pairing, dataset=pairs) if len(pairs.validation):
            part = head(pairs.train, round(share * BASELINE_EXAMPLES))
            pair_baselines(
                pairing, part, head(pairs.validation, round(share * BASELINE_EXAMPLES) // 10)
            )
            return int(part.starts[-1])
    return 0
