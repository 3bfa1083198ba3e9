"""Gradient profile of bidirectional models of pairs: towards both ends of an input.

The loss is that of one target symbol of an example. A forward cell is followed back from that
target towards the first input; lag 0 is the state at the target. A backward cell is followed from
the state that the readout takes, at the target or, where it takes the last one, at the first input,
towards the last input: its lags count characters further on, and its states are named `h_reverse`
and so on. As in training, the gradient of a state is the total one, by way of all cells above it.
"""

from collections.abc import Sequence

import numpy as np

from charrnn.analysis.gradient_profile import (
    GradientProfile,
    finite_or_none,
    nonfinite_names,
    summarise_state,
)
from charrnn.analysis.layer_backprop import Logs, row_norms
from charrnn.data.pair_batches import Examples
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

BATCH_ROWS = 32
"""Examples whose gradients are computed at the same time."""

NOT_MEASURED = (
    "Jacobians, Lyapunov exponents and units are not measured where cells read from both ends"
)


def recording(kind: type[Cell]) -> type[Cell]:
    """Return a subclass of a cell that keeps ln ‖∂ℓ/∂s‖ of every step in `log_norms`."""

    class RecordingCell(kind):  # type: ignore[valid-type,misc]  # a class that is not known here
        """Cell whose `log_norms` (T, S, B) hold the gradients of its S reported states."""

        def begin_backward(self) -> None:
            """Make room for the norms."""
            super().begin_backward()
            self.log_norms = np.full((self.T, len(kind.reported_states()), self.B), -np.inf)

        def step_backward(self, t: int) -> None:
            """Keep the norms of slot t + 1 before the step."""
            self.log_norms[t] = [np.log(row_norms(one)) for one in self.total_state_gradients(t)]
            super().step_backward(t)

    return RecordingCell


def bidirectional_profile(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    chosen: Ids,
    targets: Ids,
    K: int,
    *,
    seed: int,
    notes: Sequence[str],
) -> GradientProfile:
    """Measure the profile from one target in each of the examples `chosen`.

    Args:
        config: the network; its `bidirectional` is not None.
        parameters: its weights in float64; they are not changed.
        examples: the pairs.
        chosen: which of them are used (n,).
        targets: the position (n,) of the target in each.
        K: the largest lag, for which `lags_within` has room in each of them.
        seed: chose the targets.
        notes: sentences for the user.
    """
    order = np.argsort(examples.lengths[chosen], kind="stable")
    parts = [
        _measure(config, parameters, examples, chosen[rows], targets[rows], K)
        for rows in np.array_split(order, -(-len(order) // BATCH_ROWS))
    ]
    nats = np.concatenate([part[0] for part in parts])
    logs = np.concatenate([part[1] for part in parts], axis=2)
    names = [
        (layer, f"{state}{suffix}")
        for layer in range(config.layers)
        for suffix in ("", "_reverse")
        for state in CELLS[config.cell].reported_states()
    ]
    lines = tuple(summarise_state(*name, logs[:, n]) for n, name in enumerate(names))
    mean = finite_or_none(nats.mean())
    wrong = nonfinite_names(parameters)
    return GradientProfile(K, len(nats), seed, mean, lines, wrong, (*notes, NOT_MEASURED))


def lags_within(config: ModelConfig, examples: Examples, targets: Ids) -> Ids:
    """Return the largest lag (n,) that every cell can be followed to from each target."""
    everything = np.arange(len(examples))
    lengths, taken = _read(config, examples, everything, targets)
    room: Ids = np.minimum(targets, lengths - 1 - taken)
    return room


def _read(config: ModelConfig, examples: Examples, chosen: Ids, targets: Ids) -> tuple[Ids, Ids]:
    """Return the inputs (n,) of each example, and the input whose backward state is read out."""
    lengths = config.read_lengths(examples.lengths[chosen], examples.first_targets[chosen])
    return lengths, targets if config.bidirectional == "each" else np.zeros_like(targets)


def _measure(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    chosen: Ids,
    targets: Ids,
    K: int,
) -> tuple[Logs, Logs]:
    """Return losses (B,) and ln ‖g_k‖ (K + 1, states of all cells, B) of one batch."""
    T, B = int(examples.lengths[chosen].max()), len(chosen)
    inputs, answers, _ = examples.padded(chosen, T)
    lengths, taken = _read(config, examples, chosen, targets)
    cells = {config.cell: recording(CELLS[config.cell])}
    network = Network(config, parameters, T, B, parameters.like(), cells)
    network.forward(inputs, lengths=lengths)
    columns = np.arange(B)
    nats = network.loss(answers)[targets, columns]
    weights = np.zeros((T, B))
    weights[targets, columns] = 1
    network.backward(answers, weights)
    lags = np.arange(K + 1)[:, None]
    found: list[Array] = []
    for forward, backward in zip(network.layers, network.backward_cells, strict=True):
        for cell, steps in ((forward, targets - lags), (backward, lengths - 1 - taken - lags)):
            norms: Array = getattr(cell, "log_norms")  # noqa: B009  # of `recording`, not of Cell
            found += [norms[steps, state, columns] for state in range(norms.shape[1])]
    return nats, np.stack(found, axis=1)
