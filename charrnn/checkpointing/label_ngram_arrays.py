"""The n-grams of a model of labels as arrays and metadata of a checkpoint, and back.

    ngrams.texts               the number of training inputs with each label (L,)
    ngrams.N.keys              the numbers of the n-grams, ascending (m,)
    ngrams.N.cells             places row · L + label of the counts that are not 0, ascending (c,)
    ngrams.N.counts            those counts (c,)

for N = 1 … the order. See `charrnn.data.pair_ngrams` for how n-grams are numbered.
"""

from typing import Any

import numpy as np

from charrnn.checkpointing.checkpoint_checks import check_settings
from charrnn.data.label_ngrams import MAX_ORDER, MODEL_CELLS, LabelCounts, LabelNgrams
from charrnn.errors import CheckpointError
from charrnn.limits import EXPONENT, MAX_COUNT, Limits
from charrnn.types import JSON, Array, Ids

SETTINGS = {
    "order": Limits(1, MAX_ORDER, 4),
    "alpha": Limits(1e-6, 1e3, 0.1),
    "network": EXPONENT,
    "ngrams": EXPONENT,
    "fitted": Limits(1, MAX_COUNT, 100),
}
"""Fields of `ngrams` in the metadata."""


def settings_of(ngrams: LabelNgrams) -> dict[str, JSON]:
    """Return everything except the counts, by name."""
    return {name: getattr(ngrams, name) for name in SETTINGS}


def arrays_of(ngrams: LabelNgrams) -> dict[str, Array]:
    """Return the counts as arrays, by name."""
    found: dict[str, Array] = {"ngrams.texts": ngrams.counts.texts.astype(np.uint32)}
    each = zip(ngrams.counts.keys, ngrams.counts.counts, strict=True)
    for n, (keys, counts) in enumerate(each, 1):
        cells = np.flatnonzero(counts)
        found[f"ngrams.{n}.keys"] = keys.astype(np.uint64)
        found[f"ngrams.{n}.cells"] = cells.astype(np.uint32)
        found[f"ngrams.{n}.counts"] = counts.reshape(-1)[cells].astype(np.uint32)
    return found


def parse_label_ngrams(
    stored: Any, arrays: dict[str, Array], inputs: int, labels: int
) -> LabelNgrams:
    """Return the n-grams of a checkpoint after all of them are checked.

    Args:
        stored: the metadata of the n-grams.
        arrays: the arrays of the checkpoint; those of the n-grams are removed.
        inputs: symbols that the model reads.
        labels: labels that it answers with.

    Raises `CheckpointError` for the first flaw.
    """
    if not isinstance(stored, dict):
        raise CheckpointError("ngrams is not an object")
    check_settings(stored, SETTINGS, "ngrams.")
    order = stored["order"]
    if (inputs + 1) ** order >= 2**63:
        raise CheckpointError(f"ngrams.order is {order}, too many for {inputs} symbols")
    texts = take(arrays, "ngrams.texts", np.uint32)
    if len(texts) != labels:
        raise CheckpointError(f"array 'ngrams.texts' has {len(texts)} labels, the model {labels}")
    keys, counts, cells = [], [], 0
    for n in range(1, order + 1):
        found = take(arrays, f"ngrams.{n}.keys", np.uint64)
        check_ascending(f"ngrams.{n}.keys", found, (inputs + 1) ** n)
        cells += len(found) * labels
        if cells > MODEL_CELLS:
            raise CheckpointError(f"ngrams has more than {MODEL_CELLS:,} counts")
        keys.append(found)
        counts.append(take_counts(arrays, n, len(found), labels))
    exponents = {name: float(stored[name]) for name in ("alpha", "network", "ngrams")}
    counted = LabelCounts(texts, tuple(keys), tuple(counts))
    return LabelNgrams(counted, inputs, **exponents, fitted=stored["fitted"])


def take_counts(arrays: dict[str, Array], n: int, rows: int, labels: int) -> Ids:
    """Return the counts (rows, labels) of n-grams; `CheckpointError` for wrong arrays."""
    at = take(arrays, f"ngrams.{n}.cells", np.uint32)
    values = take(arrays, f"ngrams.{n}.counts", np.uint32)
    check_ascending(f"ngrams.{n}.cells", at, rows * labels)
    if len(values) != len(at) or not values.all():
        raise CheckpointError(f"array 'ngrams.{n}.counts' does not fit its cells")
    counts = np.zeros(rows * labels, np.uint32)
    counts[at] = values
    return counts.reshape(rows, labels)


def take(arrays: dict[str, Array], name: str, dtype: type[np.unsignedinteger[Any]]) -> Ids:
    """Remove an array of one axis; `CheckpointError` if it is missing or of another type."""
    array = arrays.pop(name, None)
    if array is None:
        raise CheckpointError(f"array {name!r} is missing")
    if array.ndim != 1 or array.dtype != dtype:
        raise CheckpointError(
            f"array {name!r} is {array.dtype} {array.shape}, not {dtype.__name__}"
        )
    return array


def check_ascending(name: str, values: Ids, limit: int) -> None:
    """Raise `CheckpointError` unless values ascend strictly and lie below a limit."""
    if len(values) and (int(values[-1]) >= limit or (values[1:] <= values[:-1]).any()):
        raise CheckpointError(f"array {name!r} does not ascend below {limit:,}")
