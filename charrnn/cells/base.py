"""What all cells share: their buffers, their share of the inputs, the walk through time.

The layer below has written its share of every step into `a`; `step(t)` turns `a[t]` and the state
in slot t into the state in slot t + 1; `step_backward(t)` undoes exactly that. Products that do not
depend on the recurrence are done once for the whole window, outside the walk.

State arrays have T + 1 slots: `h[0]` is what was carried in, `h[1:]` the outputs, `h[:-1]` the
state before each step. Truncation is that no gradient leaves through slot 0.

Inside a layer a lane is a column: the walk computes W h with h (H, B), where the public arrays say
h W with h (B, H). All gates of a step then lie side by side, and BLAS multiplies (4H, H) by (H, B)
up to 1.5 times as fast as (B, H) by (H, 4H) for the 16 to 64 lanes that training has. What spans
the whole window is laid out as (features, T, B), so that it is a matrix (features, T·B) as well.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array, Ids
from charrnn.functions import columns, lookup, lookup_backward
from charrnn.parameters import Shapes


class Cell(ABC):
    """One recurrent layer over windows of T steps and B lanes.

    `weights` and `gradients` are views of the network's flat vectors; `backward` overwrites the
    gradients. A cell without `gradients` can only walk forward. `prepare` must follow every change
    of the weights.
    """

    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]] = ("h",)
    input_init: ClassVar[str]
    """How the rows that a character looks up begin, unless the user says otherwise."""
    rate_factor: ClassVar[float] = 1.0
    """What an optimiser's usual learning rate is multiplied by for this cell."""

    @classmethod
    def shapes(cls, D: int, H: int) -> Shapes:
        """Return the name and shape of every weight of a layer with D inputs and H units."""
        G = len(cls.gates)
        return {"W_xh": (G, D, H), "W_hh": (G, H, H), "b_h": (G, H)}

    def __init__(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array] | None, T: int, B: int
    ) -> None:
        """Allocate the window's buffers; the dtype is that of the weights."""
        self.weights = weights
        self.gradients = gradients
        G, self.D, H = weights["W_xh"].shape
        dtype = weights["W_xh"].dtype
        self.T, self.B, self.H = T, B, H
        self.W_x = np.zeros((G, H, self.D), dtype)  # W_xh and W_hh for columns
        self.W_h = np.zeros((G * H, H), dtype)
        self.a = np.zeros((T, G, H, B), dtype)  # pre-activations, then gates
        self.h = np.zeros((T + 1, H, B), dtype)
        self.outputs = np.zeros((H, T + 1, B), dtype)  # h again, as a matrix
        self.u = np.zeros((G, H, B), dtype)  # W_hh h of one step
        if gradients is not None:
            self.W_back = np.zeros((H, G * H), dtype)
            self.da = np.zeros((T, G, H, B), dtype)
            self.du = self.da  # the same, unless a gate treats W_hh h apart
            self.da_window = np.zeros((G, H, T, B), dtype)  # da and du again, as matrices
            self.du_window = self.da_window
            self.dh = np.zeros((H, B), dtype)

    @property
    def slots(self) -> dict[str, Array]:
        """Views of the state arrays by name, each (T + 1, B, H)."""
        return {name: getattr(self, name).transpose(0, 2, 1) for name in self.states}

    @property
    def gate_values(self) -> Array:
        """A view of all gates (G, T, B, H) after `forward`."""
        return self.a.transpose(1, 0, 3, 2)

    def carry(self) -> None:
        """Let the next window begin where this one ended."""
        for state in self.slots.values():
            state[0] = state[-1]

    def reset(self, lanes: Array | slice = slice(None)) -> None:
        """Let the next window of these lanes begin from zero."""
        for state in self.slots.values():
            state[0, lanes] = 0

    def prepare(self) -> None:
        """Copy the weights into the order of the walk."""
        G, H = self.weights["b_h"].shape
        np.copyto(self.W_x, self.weights["W_xh"].transpose(0, 2, 1))
        np.copyto(self.W_h.reshape(G, H, H), self.weights["W_hh"].transpose(0, 2, 1))
        if self.gradients is not None:
            np.copyto(self.W_back.reshape(H, G, H), self.weights["W_hh"].transpose(1, 0, 2))

    def read_ids(self, ids: Ids) -> None:
        """a = W_xh x + b_h for one-hot x: the columns of W_x that `ids` (T, B) name."""
        bias = self.weights["b_h"][..., None]
        if ids.size < self.D:
            lookup(self.W_x, ids, out=self.a)
            self.a += bias
        else:  # a bias for each character is cheaper than one for each position
            lookup(self.W_x + bias, ids, out=self.a)

    def read_ids_backward(self, ids: Ids) -> None:
        """Overwrite dW_xh and db_h: a position adds to the row it looked up and to the bias."""
        assert self.gradients is not None
        lookup_backward(self.da_window, ids, out=self.gradients["W_xh"])
        np.sum(self.gradients["W_xh"], axis=1, out=self.gradients["b_h"])

    def read(self, x: Array) -> None:
        """a = W_xh x + b_h for x (D, T, B)."""
        W_x = self.W_x.reshape(-1, self.D, copy=False)
        out = self.a.reshape(self.T, -1, self.B, copy=False)
        np.matmul(W_x, x.transpose(1, 0, 2), out=out)
        self.a += self.weights["b_h"][..., None]

    def read_backward(self, x: Array, dx: Array | None) -> None:
        """Overwrite dW_xh and db_h, and dx (D, T, B) unless it is None."""
        assert self.gradients is not None
        da = columns(self.da_window, 2)
        np.matmul(columns(x, 1), da.transpose(0, 2, 1), out=self.gradients["W_xh"])
        np.sum(da, axis=-1, out=self.gradients["b_h"])
        if dx is not None:
            W_xh = self.weights["W_xh"].transpose(1, 0, 2).reshape(self.D, -1)
            np.matmul(W_xh, da.reshape(-1, da.shape[-1], copy=False), out=columns(dx, 1))

    def forward(self) -> Array:
        """Walk from slot 0 to slot T; return the outputs (H, T, B)."""
        for t in range(self.T):
            self.step(t)
        np.copyto(self.outputs, self.h.transpose(1, 0, 2))
        return self.outputs[:, 1:]

    def backward(self, dh: Array) -> None:
        """Walk back: dh (H, T, B) is the gradient from above; fills `da`, overwrites dW_hh."""
        assert self.gradients is not None
        self.begin_backward()
        for t in reversed(range(self.T)):
            self.dh += dh[:, t]
            self.step_backward(t)
        np.copyto(self.da_window, self.da.transpose(1, 2, 0, 3))
        if self.du is not self.da:
            np.copyto(self.du_window, self.du.transpose(1, 2, 0, 3))
        before = columns(self.outputs[:, :-1], 1)
        du = columns(self.du_window, 2)
        np.matmul(before, du.transpose(0, 2, 1), out=self.gradients["W_hh"])

    def recur(self, t: int) -> Array:
        """u = W_hh h (G, H, B): what the state before step t says to each gate."""
        np.dot(self.W_h, self.h[t], out=self.u.reshape(-1, self.B, copy=False))
        return self.u

    def recur_backward(self, t: int, dh: Array) -> None:
        """Overwrite dh (H, B) with W_hhᵀ du, all gates added up in the one product."""
        np.dot(self.W_back, self.du[t].reshape(-1, self.B, copy=False), out=dh)

    @abstractmethod
    def step(self, t: int) -> None:
        """Turn `a[t]` and the state in slot t into the state in slot t + 1."""

    @abstractmethod
    def step_backward(self, t: int) -> None:
        """Turn the gradient of slot t + 1, complete in `dh`, into that of slot t and `da[t]`."""

    def begin_backward(self) -> None:
        """Set the gradient that comes from beyond the window to zero: the truncation."""
        self.dh.fill(0)
