"""Loading of a language model from a file: a single network, or a mixture."""

import os

from charrnn.checkpointing.lookup import checked_path, checkpoint_in
from charrnn.checkpointing.mixture_file import load_any
from charrnn.checkpointing.records import Checkpoint
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model


def load(path: str | os.PathLike[str]) -> Model:
    """Return the language model of a checkpoint: a `Mixture` if it holds one.

    Args:
        path: a checkpoint file, or the folder of a run: then `best.npz`, or `last.npz` if there is
            no best one.

    Raises `CheckpointError` if there is none or it cannot be trusted, `StorageError` if it cannot
    be read, and `UsageError` if it is a model of pairs (see `Predictor.load`) or no path.

    Example:
        >>> import charrnn
        >>> model = charrnn.load("checkpoints/corpus")
        >>> for character in model.generate("the", length=3, seed=1):
        ...     assert character in model.vocabulary
    """
    found = load_any(checkpoint_in(checked_path(path)))
    return Model(found) if isinstance(found, Checkpoint) else Mixture(found)
