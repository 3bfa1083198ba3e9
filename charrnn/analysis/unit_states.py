"""States of every unit over a text: arrays (N, H) for each layer."""

from collections.abc import Sequence

import numpy as np

from charrnn.errors import DivergedError, TextError, UsageError
from charrnn.evaluation.text import SEQ_LENGTH
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.system.memory import require_memory
from charrnn.types import Array, Ids


def unit_states(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    names: Sequence[str] | None = None,
    *,
    parts: int = 1,
) -> dict[str, Array]:
    """Return the states of all units after every character of a text, read from the zero state.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,), at least one character.
        names: states to return, such as `("h",)`; None for all that the cell has (h and c of an
            LSTM).
        parts: parallel sequences that the text is cut into, each read from the zero state. More
            than one is faster and not exact after each cut.

    Returns arrays (N, H) by name, `layers.0.h` and so on, of the type of the weights; row t holds
    the state after `ids[t]`.

    Raises:
        TextError: if the text is empty.
        UsageError: if the cell has no state of that name.
        StorageError: if the arrays exceed the memory of this machine.
        DivergedError: if a state is not finite, because weights are huge.

    Example:
        >>> from charrnn.nn.network import initialise
        >>> config = ModelConfig(inputs=5, outputs=5, cell="lstm", hidden=4, layers=2)
        >>> parameters = initialise(config, np.random.default_rng(0))
        >>> states = unit_states(config, parameters, np.array([0, 3, 1]))
        >>> {name: array.shape for name, array in states.items()}
        {'layers.0.h': (3, 4), 'layers.0.c': (3, 4), 'layers.1.h': (3, 4), 'layers.1.c': (3, 4)}
    """
    if not len(ids):
        raise TextError("there is no character to read", "a longer text")
    known = CELLS[config.cell].states
    for name in names or ():
        if name not in known:
            raise UsageError(f"the cell {config.cell} has no state {name!r}", *known)
    N, H = len(ids), config.hidden
    parts = min(parts, N)
    length = -(-N // parts)  # the last sequence is padded
    keys = [f"layers.{layer}.{name}" for layer in range(config.layers) for name in names or known]
    dtype = parameters.vector.dtype
    size = len(keys) * length * parts * H * dtype.itemsize
    require_memory(size, f"the states of {N:,} characters", "a shorter text")
    found = {key: np.empty((parts, length, H), dtype) for key in keys}
    network = Network(config, parameters, min(SEQ_LENGTH, length), parts)
    starts = np.arange(parts) * length
    for begin in range(0, length, network.T):
        count = min(network.T, length - begin)
        at = starts + np.minimum(begin + np.arange(network.T), length - 1)[:, None]
        network.forward(ids[np.minimum(at, N - 1)])
        for number, layer in enumerate(network.layers):
            for name, history in layer.state_history.items():
                if (states := found.get(f"layers.{number}.{name}")) is not None:
                    states[:, begin : begin + count] = history[1 : count + 1].swapaxes(0, 1)
        network.carry_state()
    if not all(np.isfinite(states).all() for states in found.values()):
        raise DivergedError(
            "the states of this model are not finite: its weights are too large",
            "another checkpoint",
        )
    return {key: states.reshape(-1, H)[:N] for key, states in found.items()}
