"""Base class of the recurrent cells: buffers, input projection, and the loop over time steps.

`project_inputs` or `embed_ids` write the part of the pre-activations that comes from the inputs
into `a`, for all time steps at once. `step(t)` turns `a[:, t]` and the state in slot t into the
state in slot t + 1; `step_backward(t)` is its backward pass. Products that do not depend on the
recurrence are done once for the whole batch, outside the loop.

State arrays have T + 1 slots: `h[0]` is the state carried in, `h[1:]` are the outputs, `h[:-1]` the
states before each step. Backpropagation is truncated: no gradient leaves through slot 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from charrnn.nn.initialisers import chrono_bias
from charrnn.nn.ops import lookup, rows
from charrnn.nn.products import Products
from charrnn.types import Array, Ids, Shapes

if TYPE_CHECKING:
    from charrnn.nn.model_config import ModelConfig


class Cell(ABC):
    """One recurrent layer for batches of B sequences of T steps.

    A subclass declares `gates` and `input_init`, more states or weights if it has them, and defines
    `step` and `step_backward`. `charrnn.nn.cells.CELLS` makes it known by a name. `W_xh` and `b_h`
    may have more slices than there are gates: `a` then has more of what the inputs alone decide.

    Args:
        weights: `W_xh` (G, D, H), `W_hh` (G, H, H), `b_h` (G, H), and what else `shapes` names:
            views of the network's parameters, read at every call.
        gradients: arrays of the same names and shapes, which `backward`,
            `project_inputs_backward` and `embed_ids_backward` overwrite. None for a cell that only
            goes forward.
        T: time steps of a batch.
        B: sequences of a batch.
    """

    gates: ClassVar[tuple[str, ...]]
    """Names of the first G pre-activations in `a`. The last one is the candidate; all before it are
    gates, whose values after a step lie between 0 (shut) and 1 (open)."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the state arrays, the output `h` first. `backward` keeps the gradient of each in an
    attribute with the prefix d: `dh`, `dc`."""
    keep_gate: ClassVar[str | None] = None
    """The gate that the old state is multiplied by: at 1 it is kept whole, at 0 forgotten. None
    for a cell without such a gate."""
    forget_bias_gate: ClassVar[str | None] = None
    """The gate whose bias `ModelConfig.forget_bias` sets; None if the cell takes none."""
    input_init: ClassVar[str]
    """Default initialiser of W_xh for the first layer."""
    lr_scale: ClassVar[float] = 1.0
    """Factor on an optimiser's default learning rate for this cell."""

    products: ClassVar[Products] = Products()
    """The matrix products of the cell, those of a compute backend."""

    @classmethod
    def shapes(cls, D: int, H: int) -> Shapes:
        """Return the name and shape of every weight of a layer with D inputs and H units.

        A subclass may add weights to these three, not remove any.
        """
        G = len(cls.gates)
        return {"W_xh": (G, D, H), "W_hh": (G, H, H), "b_h": (G, H)}

    @classmethod
    def initialise_biases(cls, weights: Mapping[str, Array], forget_bias: float) -> None:
        """Set the biases of one layer, all zero before: `forget_bias` for `forget_bias_gate`.

        Other weights have been drawn; a subclass may set those that begin elsewhere.
        """
        if cls.forget_bias_gate is not None:
            weights["b_h"][cls.gates.index(cls.forget_bias_gate)] = forget_bias

    @classmethod
    def reported_states(cls) -> tuple[str, ...]:
        """Return the states whose gradients are reported, the one that holds the memory first."""
        return tuple(reversed(cls.states))

    @classmethod
    def memory_remedies(cls, config: "ModelConfig", gap: int | None = None) -> list[str]:
        """Return options of `charrnn train` that make a network use more of its past.

        Each was shown to lower the loss where `inspect-gradients` prints it, by
        `python -m tests.benchmarks.advice`.

        Args:
            config: the network that remembers too little; its cell is this one.
            gap: the characters between what decides an answer and the answer; None for a text.
        """
        return [] if gap is None else ["--cell lstm"]

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Allocate the buffers; the dtype is that of the weights."""
        self.weights = weights
        self.gradients = gradients
        self.W_xh, self.W_hh, self.b_h = weights["W_xh"], weights["W_hh"], weights["b_h"]
        G, self.D, H = self.W_xh.shape
        dtype = self.W_xh.dtype
        self.T, self.B, self.H = T, B, H
        self.a = np.zeros((G, T, B, H), dtype)  # pre-activations; after `step`, gates
        self.h = np.zeros((T + 1, B, H), dtype)
        self.recurrent = self.products.recurrent(self.W_hh, T, B)
        if gradients is not None:
            self.da = np.zeros((G, T, B, H), dtype)
            # The gradient of h W_hh: that of the gates in a, unless one of them scales it.
            self.du = self.da[: len(self.W_hh)]
            self.dh = np.zeros((B, H), dtype)
            self.recurrent_T = self.products.recurrent(self.W_hh.transpose(0, 2, 1), T, B)

    @property
    def state_history(self) -> dict[str, Array]:
        """The state arrays by name, each (T + 1, B, H): not copies."""
        return {name: getattr(self, name) for name in self.states}

    def carry_state(self) -> None:
        """Copy the last state into slot 0: the next batch continues these sequences."""
        for state in self.state_history.values():
            state[0] = state[-1]

    def reset_state(self, mask: Array | slice = slice(None)) -> None:
        """Set slot 0 to zero for the sequences that `mask` (B,) selects; for all by default."""
        for state in self.state_history.values():
            state[0, mask] = 0

    def embed_ids(self, ids: Ids) -> None:
        """a = x W_xh + b_h for one-hot x: looks up the rows of W_xh that `ids` (T, B) select."""
        bias = self.b_h[:, None, :]
        if ids.size < self.D:
            lookup(self.W_xh, ids, out=self.a)
            self.a += bias[..., None, :]
        else:  # a bias for each character is cheaper than one for each position
            lookup(self.W_xh + bias, ids, out=self.a)

    def embed_ids_backward(self, ids: Ids) -> None:
        """Overwrite dW_xh and db_h: each position adds to the row it looked up and to the bias."""
        assert self.gradients is not None
        dtable = self.products.lookup_backward(self.da, ids, self.gradients["W_xh"])
        if ids.size < self.D:  # the sum over positions equals the sum over characters
            dtable = self.da.reshape(len(dtable), -1, self.H, copy=False)
        np.add.reduce(dtable, axis=1, out=self.gradients["b_h"])

    def project_inputs(self, x: Array) -> None:
        """a = x W_xh + b_h for x (T, B, D), all time steps in one product."""
        a = self.a.reshape(len(self.a), -1, self.H, copy=False)
        self.products.project(rows(x), self.W_xh, out=a)
        self.a += self.b_h[:, None, None, :]

    def project_inputs_backward(self, x: Array, dx: Array | None) -> None:
        """Overwrite dW_xh and db_h from `da`, and dx (T, B, D) unless it is None."""
        assert self.gradients is not None
        da = self.da.reshape(len(self.da), -1, self.H, copy=False)
        self.products.weight_gradients(rows(x), da, self.gradients["W_xh"])
        np.sum(da, axis=1, out=self.gradients["b_h"])
        if dx is not None:
            self.products.project_backward(da, self.W_xh, rows(dx))

    def forward(self) -> Array:
        """Run all steps from the state in slot 0; return the outputs h[1:] (T, B, H), a view."""
        self.run_steps()
        return self.h[1:]

    def run_steps(self) -> None:
        """Run the steps t = 0 … T − 1."""
        self.recurrent.refresh_weights()
        for t in range(self.T):
            self.step(t)

    def backward(self, dh: Array) -> None:
        """Run the backward pass of all steps: fills `da` and overwrites dW_hh.

        `dh` (T, B, H) is the gradient of the outputs; it is not changed.
        """
        assert self.gradients is not None
        self.run_steps_backward(dh)
        G = len(self.du)
        du = self.du.reshape(G, -1, self.H, copy=False)
        self.products.weight_gradients(rows(self.recurrent_inputs), du, self.gradients["W_hh"])

    def run_steps_backward(self, dh: Array) -> None:
        """Run the backward passes of the steps T − 1 … 0; fills `da`."""
        self.begin_backward()
        for t, dh_t in reversed(list(enumerate(dh))):
            self.dh += dh_t
            self.step_backward(t)

    @property
    def recurrent_inputs(self) -> Array:
        """What W_hh multiplies at each step (T, B, H): the states before it."""
        return self.h[:-1]

    def recurrent_projection(self, t: int) -> Array:
        """u = h W_hh (G, B, H) for the state before step t: a buffer, overwritten by the next."""
        return self.recurrent.multiply(self.h[t])

    def recurrent_projection_backward(self, t: int, dh: Array) -> None:
        """Overwrite dh (B, H) with Σ over the gates of du W_hhᵀ."""
        self.recurrent_T.multiply_summed(self.du[:, t], dh)

    @abstractmethod
    def step(self, t: int) -> None:
        """Turn `a[:, t]` and the state in slot t into the state in slot t + 1.

        Leaves the gates in `a[:, t]`. Allocates nothing where it can, and writes no other slot.
        """

    @abstractmethod
    def step_backward(self, t: int) -> None:
        """Fill `da[:, t]` and turn the state gradient of slot t + 1 into that of slot t.

        `dh` (B, H), and the gradients of other states, hold ∂ℓ/∂s of slot t + 1 before the call
        and that of slot t afterwards.
        """

    def total_state_gradients(self, t: int) -> list[Array]:
        """Return ∂ℓ/∂s in slot t + 1, each (B, H), for each s of `reported_states`.

        To be called before `step_backward(t)`. A state that the step computes from another one of
        the same slot, as h = o ⊙ tanh(c) of the LSTM, is taken as a function of it here.
        """
        return [getattr(self, f"d{state}") for state in self.reported_states()]

    def jacobian_bounds(self) -> Array | None:
        """Return an upper bound of ‖∂s/∂s of the step before‖₂ for every step (T,), or None.

        To be called after `forward`. The bound holds for all rows of the batch.
        """
        return None

    def begin_backward(self) -> None:
        """Prepare the backward pass: read the weights, start from a zero gradient at slot T.

        The zero is the truncation: nothing flows back from later batches.
        """
        self.recurrent_T.refresh_weights()
        self.dh.fill(0)


def bias_for_gap(gap: int) -> float:
    """Return the `chrono_bias` of a gap of `gap` characters, to one decimal."""
    return round(chrono_bias(gap), 1)
