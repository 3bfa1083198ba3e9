"""Weight initialisers: `orthogonal`, `identity`, `uniform[:LIMIT]`, `normal[:SD]`.

The initial recurrent matrix decides how far a gradient travels through time: an orthogonal matrix
preserves lengths, a small random one shrinks them at every step (Saxe et al. 2013, arXiv 1312.6120;
Le, Jaitly & Hinton 2015, arXiv 1504.00941, for the identity).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn.errors import UsageError
from charrnn.limits import INIT_SCALE, check_kind, format_value, unknown
from charrnn.types import Array


def orthogonal(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Array:
    """Draw a matrix with orthonormal rows or columns, uniformly (Mezzadri 2007, by QR)."""
    tall = (max(shape), min(shape))
    Q, R = np.linalg.qr(rng.standard_normal(tall))
    Q *= np.sign(np.diag(R))
    return Q if shape == tall else Q.T


def identity(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Array:
    """Return ones on the diagonal and zeros elsewhere."""
    return np.eye(*shape)


def uniform(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Array:
    """Draw from U(−scale, scale)."""
    return rng.uniform(-scale, scale, shape)


def normal(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Array:
    """Draw from N(0, scale²)."""
    return rng.normal(0.0, scale, shape)


Draw = Callable[[tuple[int, int], float, np.random.Generator], Array]

INITIALISERS: dict[str, Draw] = {
    "orthogonal": orthogonal,
    "identity": identity,
    "uniform": uniform,
    "normal": normal,
}
SCALED = ("uniform", "normal")
"""The initialisers that take a number."""


@dataclass(frozen=True)
class Initialiser:
    """One way to draw a matrix, written `NAME` or `NAME:SCALE`.

    Args:
        name: a key of `INITIALISERS`.
        scale: the limit of `uniform` or the standard deviation of `normal`; None means 1/√hidden.

    Example:
        >>> Initialiser.parse("normal:0.01")
        Initialiser(name='normal', scale=0.01)
        >>> rng = np.random.default_rng(0)
        >>> Initialiser.parse("identity").draw((1, 2, 2), gain=0.5, hidden=2, rng=rng)
        array([[[0.5, 0. ],
                [0. , 0.5]]])
    """

    name: str
    scale: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Initialiser":
        """Return the initialiser that `text` describes.

        Raises `UsageError` for an unknown name, for a number where the initialiser takes none, and
        for a number outside `charrnn.limits.INIT_SCALE`.
        """
        check_kind("an initialiser", text, str)
        name, colon, scale = text.partition(":")
        if name not in INITIALISERS:
            raise unknown("initialiser", name, INITIALISERS)
        if not colon:
            return cls(name)
        if name not in SCALED:
            raise UsageError(
                f"{name!r} takes no scale, got {format_value(text)}", "--recurrent-gain"
            )
        try:
            number = float(scale)
        except ValueError:
            number = float("nan")
        if number not in INIT_SCALE:
            raise UsageError(
                f"{format_value(scale)} in {format_value(text)} is no scale {INIT_SCALE}",
                f"for example {name}:0.01",
            )
        return cls(name, number)

    def draw(
        self, shape: tuple[int, ...], gain: float, hidden: int, rng: np.random.Generator
    ) -> Array:
        """Return `gain` times a new matrix of `shape` (D, H), or one for each gate (G, D, H).

        Args:
            shape: the shape of the result.
            gain: a factor on all numbers.
            hidden: the units of the layer, for the default scale.
            rng: the source of the numbers.
        """
        *gates, inputs, units = shape
        scale = hidden**-0.5 if self.scale is None else self.scale
        draw = INITIALISERS[self.name]
        matrices = [draw((inputs, units), scale, rng) for _ in range(math.prod(gates))]
        return gain * np.stack(matrices).reshape(shape)


def chrono_bias(length: float) -> float:
    """Return ln(length − 1), the forget-gate bias that remembers for `length` characters.

    A gate σ(b_f) = 1 − 1/length keeps 1/e of a state over that many steps. Tallec & Ollivier 2018,
    ICLR, arXiv 1804.11188, draw the number under the logarithm from U(1, length − 1) for each unit
    and set b_i = −b_f; here all units get the longest memory, and b_i stays zero.

    Args:
        length: characters to remember; below 3 the bias is 0.

    Example:
        >>> round(chrono_bias(80), 2)
        4.37
    """
    return math.log(max(length - 1, 1))
