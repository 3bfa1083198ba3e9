"""Bidirectional layers: beside each cell a second one that reads every row from its end.

    h→ₜ = cell(xₜ, h→ₜ₋₁)          the forward cell, from the first input on
    h←ₜ = cell(xₜ, h←ₜ₊₁)          the backward cell, with weights of its own, from the last input
    output = [h→ₜ, h←ₜ]            what the layer above or the readout reads, (T, B, 2H)

Schuster & Paliwal 1997, IEEE Transactions on Signal Processing 45(11). Rows of a batch differ in
length and are padded at their end. The backward cell reads each row reversed within its own n
inputs, so that it begins with the last input, from the zero state, and reads padding only after the
first one: no padding reaches a state that is used. Three uses of the backward states are known, by
`ModelConfig.bidirectional`:

    each     the readout at t reads h→ₜ and h←ₜ: one prediction for each input
    last     the readout reads the two last states, h→ₙ and h←₁: one prediction for all inputs
    context  the n inputs are followed by positions where an answer is written. There h←₁ of a
             layer, its context, takes the place of h←ₜ. At the first of them, where GO is read,
             c W_ctx is added to the pre-activations of the first forward cell, c the context of
             the first layer. The decoder of Cho et al. 2014, EMNLP, reads its context at every
             step, which was worse here
"""

from collections.abc import Sequence

import numpy as np

from charrnn.nn.cells import Cell
from charrnn.types import Array, Ids

W_CTX = "layers.0.W_ctx"
"""Name of the weights of the context."""

USES = ("each", "last", "context")
"""Uses of the backward states."""


class BackwardReading:
    """The backward cells of a network, and what joins them to the forward cells.

    Args:
        cells: the backward cells, from the first layer on, for batches (T, B).
        use: one of `USES`.
        context_weights: W_ctx (G, H, H); None unless `use` is `context`.
        context_gradients: its gradient, which is overwritten; None for a network that only goes
            forward.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        use: str,
        context_weights: Array | None,
        context_gradients: Array | None,
    ) -> None:
        self.cells, self.use = cells, use
        self.W_ctx, self.dW_ctx = context_weights, context_gradients
        first = cells[0]
        T, B, H = first.T, first.B, first.H
        dtype = first.h.dtype
        self.joined = [np.zeros((T, B, 2 * H), dtype) for _ in cells]
        self.contexts = [np.zeros((B, H), dtype) for _ in cells]
        """h←₁ of each layer, where `use` is `context`: kept for rows that have no inputs."""
        self.inputs: list[Array | Ids] = []
        self._columns = np.arange(B)
        self._times = np.arange(T)[:, None]
        if first.gradients is not None:
            self.dh = np.zeros((T, B, H), dtype)
            self.dh_backward = np.zeros((T, B, H), dtype)
            self.dcontext = np.zeros((B, H), dtype)

    def begin(self, lengths: Ids | None) -> None:
        """Start a batch whose rows have `lengths` (B,) inputs; None for T in all of them.

        A row of length −1 goes on with an answer, whose GO an earlier batch has read.
        """
        T, B = self.joined[0].shape[:2]
        self.lengths = np.full(B, T) if lengths is None else np.asarray(lengths, np.int64)
        self.after = self._times >= self.lengths  # (T, B): no input, but padding or an answer
        self.begins_answer = (self._times == self.lengths)[None, :, :, None]
        self.reversal = np.where(self.after, self._times, self.lengths - 1 - self._times)
        self.inputs = []

    def read(self, number: int, x: Array | Ids) -> None:
        """Run a layer's backward cell over x, ids (T, B) or vectors (T, B, D)."""
        cell = self.cells[number]
        self.inputs.append(x[self.reversal, self._columns])
        if not (self.lengths > 0).any():
            return
        write_inputs(cell, self.inputs[number])
        cell.forward()
        if self.use == "context":
            read = self.lengths > 0
            self.contexts[number][read] = cell.h[self.lengths, self._columns][read]

    def add_context(self, number: int, cell: Cell) -> None:
        """Add c W_ctx to the pre-activations of the first forward cell where it reads GO."""
        if number or self.W_ctx is None:
            return
        projected = np.matmul(self.contexts[0], self.W_ctx)[:, None]
        a = cell.a[: len(self.W_ctx)]
        np.add(a, projected, out=a, where=self.begins_answer)

    def join(self, number: int, h: Array) -> Array:
        """Return [h→, h←] (T, B, 2H), a buffer, for the outputs h→ (T, B, H) of a layer."""
        joined, H = self.joined[number], h.shape[-1]
        joined[..., :H] = h
        joined[..., H:] = self.cells[number].h[self._slots(number), self._columns]
        if self.use == "context":
            np.copyto(joined[..., H:], self.contexts[number], where=self._whole(number)[..., None])
        return joined

    def split(self, number: int, djoined: Array) -> Array:
        """Return the gradient (T, B, H) of h→, a buffer, and keep that of h← for `backward`."""
        H = self.dh.shape[-1]
        self.dh[...] = djoined[..., :H]
        whole = self._whole(number)[..., None]
        dh = djoined[..., H:]
        np.sum(dh, axis=0, out=self.dcontext, where=whole)
        self.dh_backward.fill(0)
        self.dh_backward[self.reversal, self._columns] = np.where(whole, 0, dh)
        return self.dh

    def aligned(self) -> Array:
        """Return the outputs (T, B, H) of the top backward cell, each at the input it belongs to.

        What stands after the inputs of a row belongs to none.
        """
        aligned: Array = self.cells[-1].h[np.maximum(self.lengths - self._times, 0), self._columns]
        return aligned

    def add_gradients(self, daligned: Array) -> None:
        """Add the gradient of `aligned` (T, B, H); to be called between `split` and `backward`."""
        own = np.where(self.after[..., None], 0, daligned)
        self.dh_backward[self.reversal, self._columns] += own

    def backward(self, number: int, da: Array, dx: Array | None) -> None:
        """Run the backward pass of a layer's backward cell; add the gradient of its inputs to dx.

        Args:
            number: the layer, whose forward cell has run its own backward pass.
            da: the gradient of that cell's pre-activations, (G, T, B, H).
            dx: the gradient of the layer's inputs (T, B, D); None for the first layer.
        """
        if number == 0 and self.W_ctx is not None and self.dW_ctx is not None:
            gates = da[: len(self.W_ctx)]
            summed = np.sum(gates, axis=1, where=self.begins_answer)  # (G, B, H)
            np.matmul(self.contexts[0].T, summed, out=self.dW_ctx)
            self.dcontext += np.matmul(summed, self.W_ctx.transpose(0, 2, 1)).sum(axis=0)
        read = self.lengths > 0
        last = self.lengths[read] - 1, self._columns[read]
        self.dh_backward[last] += self.dcontext[read]
        cell, x = self.cells[number], self.inputs[number]
        cell.backward(self.dh_backward)
        if dx is None:
            write_inputs_backward(cell, x, None)
            return
        reverse = np.empty_like(dx)
        write_inputs_backward(cell, x, reverse)
        dx += reverse[self.reversal, self._columns]

    def _whole(self, number: int) -> Array:
        """Return where (T, B) the output of a layer holds h←₁ instead of h←ₜ."""
        if self.use == "each" or number < len(self.cells) - 1:
            return self.after
        return np.ones_like(self.after)

    def _slots(self, number: int) -> Ids:
        """Return the slot (T, B) of the backward cell's state that each output holds."""
        return np.where(self._whole(number), self.lengths, self.lengths - self._times)


def write_inputs(cell: Cell, x: Array | Ids) -> None:
    """Write the input projection of ids (T, B) or vectors (T, B, D) into a cell."""
    if x.ndim == 2:
        cell.embed_ids(x)
    else:
        cell.project_inputs(x)


def write_inputs_backward(cell: Cell, x: Array | Ids, dx: Array | None) -> None:
    """Overwrite the gradients of a cell's input weights, and dx (T, B, D) unless it is None."""
    if x.ndim == 2:
        cell.embed_ids_backward(x)
    else:
        cell.project_inputs_backward(x, dx)
