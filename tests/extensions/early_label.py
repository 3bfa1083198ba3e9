"""A layout: a text to a label that is predicted after each of its characters."""

import numpy as np

from charrnn.data.layouts import LAYOUTS, Example, Layout, PairVocabulary
from charrnn.types import Ids


def early_label(symbols: PairVocabulary, x: Ids, y: Ids) -> Example:
    """Lay out the label as the target of every position."""
    return Example(x, np.full(len(x), y[0]), np.ones(len(x), bool))


LAYOUTS["early-label"] = Layout(
    "early-label", "a text to a label, predicted at each character", True, False, False, early_label
)
