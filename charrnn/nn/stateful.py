"""Stateful networks `RNN`, `LSTM` and `GRU`: objects with one method, `step`.

    rnn = RNN(input_size, hidden_size, output_size)
    y = rnn.step(x)                  # h ← tanh(x W_xh + h W_hh + b_h);  y = h W_hy + b_y
    y = rnn2.step(rnn1.step(x))      # two of them stacked

The state is kept inside and is zero at first. These are the networks of training with T = 1, not a
second implementation. The interface is that of Karpathy's essay "The Unreasonable Effectiveness of
Recurrent Neural Networks" (2015).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from charrnn.errors import UsageError
from charrnn.limits import SEED, format_value
from charrnn.nn.model_config import FORGET_BIAS, ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.types import Array


class RecurrentNetwork:
    """One recurrent layer with a linear readout: the base class of `RNN`, `LSTM` and `GRU`.

    A subclass for another cell of the registry needs one line, `cell = "name"`.

    Args:
        input_size: length D of the input vectors.
        hidden_size: units H of the layer.
        output_size: length V of the output vectors.
        seed: seed of the initial weights.
        dtype: type of weights and outputs, of floating-point numbers.
        init: initialiser of W_hh: `orthogonal`, `identity`, `uniform[:LIMIT]` or `normal[:SD]`.
        gain: factor on the initial W_hh.
        input_init: initialiser of W_xh; None means the default of the cell.
        forget_bias: initial bias of the forget gate of an LSTM; other cells ignore it.

    Raises `UsageError` for a size, a seed, a type or an initialiser that is not allowed.

    `parameters` holds the weights by name (`layers.0.W_xh` (G, D, H), `layers.0.W_hh` (G, H, H),
    `layers.0.b_h` (G, H), `W_hy` (H, V), `b_y` (V,)); what is written into them counts from the
    next `step` on.
    """

    cell: ClassVar[str]
    """Name of the cell in `charrnn.nn.cells.CELLS`."""

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
        try:
            floating = np.issubdtype(np.dtype(dtype), np.floating)
        except TypeError:
            floating = False
        if not floating:
            raise UsageError(f"dtype is {format_value(dtype)}; it must be float32 or float64")
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
        """Return the output y for one input vector x, and update the state.

        Args:
            x: one vector (D,), or B of them (B, D) that are independent sequences.

        Returns y (V,) or (B, V), a new array. Raises `UsageError` for what is no array of real
        numbers, for another shape, or for another B than that of the previous step.
        """
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise UsageError("x has rows of different lengths") from error
        if x.dtype.kind not in "buif":
            raise UsageError(f"x is an array of type {x.dtype}; it must hold real numbers")
        x = x.astype(self.parameters.vector.dtype)
        if x.ndim not in (1, 2) or x.shape[-1] != self.config.inputs:
            D = self.config.inputs
            raise UsageError(f"x has shape {x.shape}; it must be ({D},) or (B, {D})")
        batch = np.atleast_2d(x)
        if self._network is None:
            self._network = Network(self.config, self.parameters, 1, len(batch))
        if len(batch) != self._network.B:
            raise UsageError(
                f"x has {len(batch)} rows, the state {self._network.B}", "reset() first"
            )
        y = self._network.forward(batch[None])[0]
        self._network.carry_state()
        return np.array(y.reshape(x.shape[:-1] + y.shape[-1:]))

    def reset(self) -> None:
        """Set the state to zero; the next `step` may have another B."""
        self._network = None

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the state by name, each (B, H): `h`, and `c` for an LSTM.

        Empty before the first step.
        """
        if self._network is None:
            return {}
        return {
            name.rpartition(".")[2]: state.copy() for name, state in self._network.states().items()
        }


class RNN(RecurrentNetwork):
    """Vanilla recurrent network: h′ = tanh(x W_xh + h W_hh + b_h), y = h′ W_hy + b_y.

    See `RecurrentNetwork` for the arguments and `charrnn.nn.cells.rnn` for the source.

    Example:
        >>> import numpy as np
        >>> from charrnn import RNN
        >>> rnn1, rnn2 = RNN(3, 100, 50), RNN(50, 100, 2)
        >>> y = rnn2.step(rnn1.step(np.array([0.0, 1.0, 0.0])))
        >>> y.shape, rnn1.state["h"].shape
        ((2,), (1, 100))
    """

    cell = "rnn"


class LSTM(RecurrentNetwork):
    """Long short-term memory with a linear readout; its state is `h` and `c`.

    See `RecurrentNetwork` for the arguments and `charrnn.nn.cells.lstm` for formula and source.

    Example:
        >>> import numpy as np
        >>> from charrnn import LSTM
        >>> lstm = LSTM(3, 8, 2, forget_bias=2.0)
        >>> y = lstm.step(np.eye(3))  # three independent sequences
        >>> y.shape, sorted(lstm.state)
        ((3, 2), ['c', 'h'])
    """

    cell = "lstm"


class MLSTM(RecurrentNetwork):
    """Multiplicative LSTM with a linear readout; its state is `h` and `c`.

    See `RecurrentNetwork` for the arguments and `charrnn.nn.cells.mlstm` for formula and source.

    Example:
        >>> import numpy as np
        >>> from charrnn import MLSTM
        >>> mlstm = MLSTM(3, 8, 2)
        >>> mlstm.step(np.ones(3)).shape, sorted(mlstm.state)
        ((2,), ['c', 'h'])
    """

    cell = "mlstm"


class GRU(RecurrentNetwork):
    """Gated recurrent unit with a linear readout, in the reset-after form.

    See `RecurrentNetwork` for the arguments and `charrnn.nn.cells.gru` for formula and source.

    Example:
        >>> import numpy as np
        >>> from charrnn import GRU
        >>> gru = GRU(3, 8, 2)
        >>> first = gru.step(np.ones(3))
        >>> gru.reset()
        >>> bool((gru.step(np.ones(3)) == first).all())
        True
    """

    cell = "gru"
