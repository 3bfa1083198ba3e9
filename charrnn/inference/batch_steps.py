"""Batched inference: one time step of many sequences, without a history of states.

A `Network` keeps the states of all time steps, which a backward pass needs. Here a step makes new
states from those of other sequences: each row of a batch names the row that it continues, so that
prefixes are shared, sequences that have ended are left out, and hypotheses of a beam are chosen,
all without a copy. All gates are one product, and one tanh serves gates and candidates alike, as in
`fast_step`. Rows are processed in blocks that stay in the cache, by as many threads as the BLAS may
use.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from charrnn.inference.block_threads import BlockThreads
from charrnn.inference.fast_step import FAST_STEPS, join_gates
from charrnn.nn.cells import CELLS, Cell, GRUCell, LSTMCell, MLSTMCell, RNNCell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

BLOCK_NUMBERS = 2**18
"""Pre-activations of a block of rows, 1 MB in float32: what stays in a level-2 cache, or nearly so.
Smaller blocks lose in the products what they gain elsewhere (measured, H 128 and 256)."""

MIN_BLOCK_ROWS = 64
"""Fewest rows of a block: products of fewer are slower."""

LayerStates: TypeAlias = dict[str, Array]
"""The states of one layer by name, (N, H) each."""


class BatchLayer(ABC):
    """One recurrent layer for any number of rows.

    Args:
        weights: the layer's weights by name, as its cell declares them.
        sigmoid_gates: the first of the gates, as many as pass through σ: their weights are halved.
    """

    kept: ClassVar[str | None] = None
    """The state, if there is one, that a step reads besides h W_hh."""
    scales_state: ClassVar = False
    """Whether W_hh multiplies h times the last H numbers of x, which may differ among the rows that
    continue one parent."""

    def __init__(self, weights: Mapping[str, Array], sigmoid_gates: int) -> None:
        scale = np.ones(len(weights["W_xh"]), weights["W_hh"].dtype)
        scale[:sigmoid_gates] = 0.5
        self.scale = scale[: len(weights["W_hh"])]
        self.W_hh = join_gates(weights["W_hh"], self.scale)  # (H, G H)
        self.W_xh = join_gates(weights["W_xh"], scale)  # (D, G H)
        self.b_h = (weights["b_h"] * scale[:, None]).ravel()  # (G H,)
        self.H = len(self.W_hh)

    @abstractmethod
    def update(self, u: Array, x: Array, states: LayerStates) -> None:
        """Turn u = h W_hh and x W_xh + b_h, both (N, G H) and overwritten, into new states.

        `states` holds the old values of `kept`, and is overwritten.
        """


class RNNBatch(BatchLayer):
    """h′ = tanh(x + u)."""

    def update(self, u: Array, x: Array, states: LayerStates) -> None:
        """Write h′."""
        np.add(u, x, out=u)
        np.tanh(u, out=states["h"])


class LSTMBatch(BatchLayer):
    """c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    kept: ClassVar = "c"

    def update(self, u: Array, x: Array, states: LayerStates) -> None:
        """Write c′ and h′, with σ(a) = ½ (1 + tanh(a/2)) and both halves taken out."""
        np.add(u, x, out=u)
        np.tanh(u, out=u)
        H, h, c = self.H, states["h"], states["c"]
        u[:, : 3 * H] += 1
        i, f, o, g = (u[:, gate * H : (gate + 1) * H] for gate in range(4))
        g *= i
        c *= f
        c += g
        c *= 0.5
        np.tanh(c, out=h)
        h *= o
        h *= 0.5


class MLSTMBatch(LSTMBatch):
    """m = s ⊙ h;  c′ = f ⊙ c + i ⊙ g;  h′ = o ⊙ tanh(c′)."""

    scales_state: ClassVar = True


class GRUBatch(BatchLayer):
    """n = tanh(a_n + r ⊙ (h W_hh + b_n));  h′ = n + z ⊙ (h − n)."""

    kept: ClassVar = "h"

    def __init__(self, weights: Mapping[str, Array], sigmoid_gates: int) -> None:
        """Add the bias of the candidate inside the reset."""
        super().__init__(weights, sigmoid_gates)
        self.b_n = weights["b_n"]

    def update(self, u: Array, x: Array, states: LayerStates) -> None:
        """Write h′."""
        H, h = self.H, states["h"]
        gates = u[:, : 2 * H]
        gates += x[:, : 2 * H]
        np.tanh(gates, out=gates)
        gates += 1
        gates *= 0.5
        r, z, n = (u[:, gate * H : (gate + 1) * H] for gate in range(3))
        n += self.b_n
        n *= r
        n += x[:, 2 * H :]
        np.tanh(n, out=n)
        h -= n
        h *= z
        h += n


BATCH_LAYERS: dict[type[Cell], type[BatchLayer]] = {
    RNNCell: RNNBatch,
    LSTMCell: LSTMBatch,
    MLSTMCell: MLSTMBatch,
    GRUCell: GRUBatch,
}
"""The batched form of a cell. Cells without one are stepped by a `Network`."""


class BatchSteps:
    """The recurrent layers of one direction, for batches of any number of rows.

    Args:
        config: the shape of the network; its cell is in `BATCH_LAYERS`.
        parameters: its weights; they are read once and must not change afterwards.
        prefixes: the prefixes of the parameters of each layer.
        threads: what blocks of rows are shared among; None for one thread.
    """

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        prefixes: Sequence[str],
        threads: BlockThreads | None = None,
    ) -> None:
        cell = CELLS[config.cell]
        sigmoid_gates = FAST_STEPS[cell].sigmoid_gates
        self.state_names = cell.states
        self.layers = [
            BATCH_LAYERS[cell](parameters.subset(prefix), sigmoid_gates) for prefix in prefixes
        ]
        self.threads = threads or BlockThreads()
        self.H, self.dtype = config.hidden, parameters.vector.dtype
        self.table = self.layers[0].W_xh + self.layers[0].b_h  # (D, G H)
        self.block = max(MIN_BLOCK_ROWS, BLOCK_NUMBERS // self.table.shape[1])

    def zero_states(self, N: int = 1) -> list[LayerStates]:
        """Return the states (N, H) of sequences that have read nothing."""
        return [
            {name: np.zeros((N, self.H), self.dtype) for name in self.state_names}
            for _ in self.layers
        ]

    def advance(
        self,
        states: Sequence[LayerStates],
        parents: Ids,
        symbols: Ids,
        branches: Ids | None = None,
        added: Array | None = None,
    ) -> list[LayerStates]:
        """Return new states (N, H), those after one more symbol.

        Args:
            states: the states to continue, (M, H) each; not changed.
            parents: rows (K,) of `states` that are continued.
            symbols: the symbol (N,) that each new row reads.
            branches: which of `parents` each new row continues, (N,) ascending; None if it is one
                each, so that N = K.
            added: what is added to the pre-activations of the first layer, (N, G H); None for
                nothing.
        """
        made = [
            {name: np.empty((len(symbols), self.H), self.dtype) for name in self.state_names}
            for _ in self.layers
        ]

        def fill(block: slice, of: slice) -> None:
            """Fill a block of the new states, which continue these of the parents."""
            branch = None if branches is None else branches[block] - of.start
            x = self.table.take(symbols[block], axis=0)
            if added is not None:
                x[:, : added.shape[1]] += added[block]
            for number, (old, new) in enumerate(zip(states, made, strict=True)):
                layer = self.layers[number]
                rows = {name: state[block] for name, state in new.items()}
                if number:
                    x = made[number - 1]["h"][block] @ layer.W_xh
                    x += layer.b_h
                self._step(layer, x, old, parents[of], branch, rows)

        self.threads.for_each(fill, list(self._blocks(branches, len(symbols))))
        return made

    def _step(
        self,
        layer: BatchLayer,
        x: Array,
        old: LayerStates,
        parents: Ids,
        branch: Ids | None,
        rows: LayerStates,
    ) -> None:
        """Fill the `rows` of new states of one layer."""
        h = old["h"].take(parents, axis=0)
        branches = branch is not None and len(branch) > len(h)
        if layer.scales_state:
            if branch is not None and branches:
                h, parents = h.take(branch, axis=0), parents.take(branch)
            h *= x[:, -layer.H :]
            u, x = h @ layer.W_hh, x[:, : -layer.H]
        else:
            u = h @ layer.W_hh
            if branch is not None and branches:
                u, parents = u.take(branch, axis=0), parents.take(branch)
        if layer.kept is not None:
            old[layer.kept].take(parents, axis=0, out=rows[layer.kept], mode="clip")
        layer.update(u, x, rows)

    def _blocks(self, branches: Ids | None, N: int) -> Iterator[tuple[slice, slice]]:
        """Yield slices of new rows and of the parents that they continue."""
        if branches is None:
            for first in range(0, N, self.block):
                rows = slice(first, min(first + self.block, N))
                yield rows, rows
            return
        first = 0
        while first < N:
            end = min(first + self.block, N)
            yield slice(first, end), slice(int(branches[first]), int(branches[end - 1]) + 1)
            first = end
