"""The lecture's recurrent network: an object with one method, `step`.

    rnn = RNN(input_size, hidden_size, output_size)
    y = rnn.step(x)                  # h ← tanh(x W_xh + h W_hh + b_h);  y = h W_hy + b_y
    y = rnn2.step(rnn1.step(x))      # two of them stacked

The state lives inside and is zero at first. It is the network of training with T = 1, not a second
implementation.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from charrnn.errors import UsageError
from charrnn.limits import SEED
from charrnn.nn.network import FORGET_BIAS, ModelConfig, Network, initialise
from charrnn.types import Array


class RecurrentNetwork:
    """One recurrent layer with a linear readout; use `RNN`, `LSTM` or `GRU`.

    `parameters` holds the weights by name (`layers.0.W_xh` … `b_y`), to look at or to overwrite.
    `ModelConfig` says what `init` and the other options of their beginning mean.
    """

    cell: ClassVar[str]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        seed: int = 0,
        dtype: DTypeLike = np.float64,
        init: str = "orthogonal",
        gain: float = 1.0,
        input_init: str | None = None,
        forget_bias: float = FORGET_BIAS,
    ) -> None:
        SEED.check("seed", seed)
        self.config = ModelConfig(
            input_size,
            output_size,
            cell=self.cell,
            hidden=hidden_size,
            init=init,
            gain=gain,
            input_init=input_init,
            forget_bias=forget_bias,
        )
        self.parameters = initialise(self.config, np.random.default_rng(seed), dtype)
        self._network: Network | None = None

    def step(self, x: ArrayLike) -> Array:
        """Read x (D,) or B of them side by side (B, D); return y (V,) or (B, V).

        Raises `UsageError` for another shape, or for another B than the state inside has.
        """
        x = np.asarray(x, dtype=self.parameters.vector.dtype)
        if x.ndim not in (1, 2) or x.shape[-1] != self.config.inputs:
            D = self.config.inputs
            raise UsageError(f"x has shape {x.shape}; it must be ({D},) or (B, {D})")
        lanes = np.atleast_2d(x)
        if self._network is None:
            self._network = Network(self.config, self.parameters, 1, len(lanes))
        if len(lanes) != self._network.B:
            raise UsageError(
                f"x has {len(lanes)} lanes, the state {self._network.B}", "reset() first"
            )
        y = self._network.forward(lanes[None])[0]
        self._network.carry_state()
        return np.array(y.reshape(x.shape[:-1] + y.shape[-1:]))

    def reset(self) -> None:
        """Return to the zero state, ready for any number of lanes."""
        self._network = None

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the state by name, each (B, H): `h`, and `c` for an LSTM; empty at first."""
        if self._network is None:
            return {}
        return {
            name.rpartition(".")[2]: state.copy() for name, state in self._network.states().items()
        }


class RNN(RecurrentNetwork):
    """The vanilla network, `RNNCell`: h′ = tanh(x W_xh + h W_hh + b_h)."""

    cell = "rnn"


class LSTM(RecurrentNetwork):
    """Long short-term memory, `LSTMCell`."""

    cell = "lstm"


class GRU(RecurrentNetwork):
    """The gated recurrent unit, `GRUCell`."""

    cell = "gru"
