"""Configuration of a network: its shape, its dropout rates, and how its weights are initialised."""

from dataclasses import dataclass, fields
from math import prod

from charrnn.errors import UsageError
from charrnn.limits import MODEL_LIMITS, check_fields, check_kind, unknown
from charrnn.nn.attention import attention_shapes
from charrnn.nn.bidirectional import USES, W_CTX
from charrnn.nn.cells import CELLS
from charrnn.nn.initialisers import Initialiser
from charrnn.types import Ids, Shapes

FORGET_BIAS = 1.0
"""Default initial bias of the LSTM's forget gate (Jozefowicz, Zaremba & Sutskever 2015, ICML)."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network, its dropout rates, and how its weights are initialised.

    Raises `UsageError` for a name that is not registered or a number outside its limits
    (`charrnn.limits.MODEL_LIMITS`). An initialiser is `orthogonal`, `identity`, `uniform`,
    `uniform:LIMIT`, `normal` or `normal:SD`; without a number, limit and standard deviation are
    1/√hidden (`charrnn.nn.initialisers`).

    Example:
        >>> config = ModelConfig(inputs=65, outputs=65, cell="gru", hidden=128)
        >>> config.size
        83009
        >>> config.shapes()["layers.0.W_xh"]
        (3, 65, 128)
    """

    inputs: int
    """Length D of an input vector; for characters the size V of the vocabulary."""
    outputs: int
    """Number of logits; for a language model the size V of the vocabulary."""
    cell: str = "lstm"
    """Name of the recurrent cell, one of `charrnn.nn.cells.CELLS`."""
    hidden: int = 256
    """Units H of each layer."""
    layers: int = 1
    """Number L of recurrent layers."""
    dropout: float = 0.0
    """Probability, from 0 to below 1, that training sets an output of a layer to zero."""
    recurrent_dropout: float = 0.0
    """Probability, from 0 to below 1, that training sets a recurrent weight to zero for a batch."""
    init: str = "orthogonal"
    """Initialiser of the recurrent matrices W_hh, drawn for each gate."""
    gain: float = 1.0
    """Factor on the initial W_hh."""
    input_init: str | None = None
    """Initialiser of the input matrices W_xh. None means the default of the cell for the first
    layer and `uniform` for the layers above it."""
    input_gain: float = 1.0
    """Factor on the initial W_xh."""
    readout_init: str = "uniform"
    """Initialiser of the readout matrix W_hy."""
    forget_bias: float = FORGET_BIAS
    """Initial bias of the forget gate of an LSTM. Other biases, and other cells, begin at 0."""
    bidirectional: str | None = None
    """How a second cell in each layer, which reads from the end, is used: one of
    `charrnn.nn.bidirectional.USES`, by the layout of pairs. None for no such cells."""
    attention: int = 0
    """Heads of the attention of an answer over its inputs (`charrnn.nn.attention`), which needs
    `bidirectional="context"`; 0 for none."""

    def __post_init__(self) -> None:
        check_kind("cell", self.cell, str)
        if self.cell not in CELLS:
            raise unknown("cell", self.cell, CELLS)
        check_fields(MODEL_LIMITS, self, none_allowed=False)
        if self.bidirectional is not None:
            check_kind("bidirectional", self.bidirectional, str)
            if self.bidirectional not in USES:
                raise unknown("use of backward states", self.bidirectional, USES)
        if self.attention:
            self._check_attention()
        for init in (self.init, self.readout_init):
            Initialiser.parse(init)
        if self.input_init is not None:
            Initialiser.parse(self.input_init)

    def _check_attention(self) -> None:
        """Raise `UsageError` for attention without cells of both directions, or too many heads."""
        if self.bidirectional != "context":
            raise UsageError(
                "--attention needs inputs that are read in both directions and answered by a text",
                "--layout many-to-many --bidirectional",
            )
        if self.hidden % self.attention:
            raise UsageError(
                f"--attention {self.attention} does not divide --hidden {self.hidden}",
                "--attention 1",
            )

    @property
    def output_size(self) -> int:
        """Length of a layer's output: H, or 2H if a second cell reads from the end."""
        return self.hidden if self.bidirectional is None else 2 * self.hidden

    @property
    def read_size(self) -> int:
        """Length of what the readout reads: a layer's output, or H with attention."""
        return self.hidden if self.attention else self.output_size

    def cell_names(self, layer: int) -> tuple[str, ...]:
        """Return the prefixes of the parameters of a layer's cells, the forward one first."""
        name = f"layers.{layer}"
        return (name,) if self.bidirectional is None else (name, f"{name}_reverse")

    def shapes(self) -> Shapes:
        """Return the name and shape of every parameter, from the inputs to the outputs."""
        shapes: dict[str, tuple[int, ...]] = {}
        cell = CELLS[self.cell]
        for layer in range(self.layers):
            D = self.output_size if layer else self.inputs
            for prefix in self.cell_names(layer):
                for name, shape in cell.shapes(D, self.hidden).items():
                    shapes[f"{prefix}.{name}"] = shape
        if self.bidirectional == "context":
            shapes[W_CTX] = (len(cell.gates), self.hidden, self.hidden)
        if self.attention:
            shapes |= attention_shapes(self.hidden)
        return shapes | {"W_hy": (self.read_size, self.outputs), "b_y": (self.outputs,)}

    def state_shapes(self, B: int) -> Shapes:
        """Return the name and shape (B, H) of every state that B sequences carry along."""
        shapes = {}
        for layer in range(self.layers):
            for state in CELLS[self.cell].states:
                shapes[f"layers.{layer}.{state}"] = (B, self.hidden)
            if self.bidirectional == "context":
                shapes[f"layers.{layer}.context"] = (B, self.hidden)
        return shapes

    def read_lengths(self, lengths: Ids, first_targets: Ids) -> Ids:
        """Return the inputs (B,) of each row that backward cells read, for `Network.forward`.

        Args:
            lengths: positions of each row, without padding.
            first_targets: the first position of each row that has a target: where an answer of
                open length begins.
        """
        return first_targets if self.bidirectional == "context" else lengths

    @property
    def size(self) -> int:
        """Number of weights and biases."""
        return sum(prod(shape) for shape in self.shapes().values())

    @property
    def layers_line(self) -> str:
        """The recurrent layers in words, such as `1 × 256 lstm, bidirectional, attention`."""
        parts = [f"{self.layers} × {self.hidden} {self.cell}"]
        if self.bidirectional is not None:
            parts.append("bidirectional")
        if self.attention:
            heads = f" with {self.attention} heads" if self.attention > 1 else ""
            parts.append(f"attention{heads}")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
