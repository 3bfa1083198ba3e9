"""Fixed-point networks: tables against decimals, layers against float64, products against int64."""

import decimal
import math
from collections.abc import Callable

import numpy as np
import pytest

from charrnn.compression import fixed_point
from charrnn.compression.fixed_point import (
    FIXED_LAYERS,
    MAX_WEIGHT_BITS,
    STATE_BITS,
    SUM_BITS,
    FixedMatrix,
    FixedNetwork,
    power_table,
    tanh_table,
)
from charrnn.errors import StorageError, UsageError
from charrnn.nn.cells import CELLS, LSTMCell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.types import Array

decimal.setcontext(decimal.Context(prec=50))


def test_the_table_of_tanh_is_rounded_correctly(rng: np.random.Generator) -> None:
    table = tanh_table()
    half = len(table) // 2
    for index in [0, 1, half - 1, half, len(table) - 1, *rng.integers(0, len(table), 300).tolist()]:
        x = (decimal.Decimal(index - half) + decimal.Decimal("0.5")) / 2**13
        power = (2 * x).exp()
        exact = (power - 1) / (power + 1) * 2**STATE_BITS
        assert table[index] == int(exact.to_integral_value(decimal.ROUND_HALF_EVEN))
    assert (table == -table[::-1]).all()
    assert (np.diff(table) >= 0).all()
    assert table[-1] == 2**STATE_BITS


def test_the_table_of_powers_is_rounded_down(rng: np.random.Generator) -> None:
    table = power_table()
    assert len(table) == 2**12
    for index in [0, len(table) - 1, *rng.integers(0, len(table), 300).tolist()]:
        x = (decimal.Decimal(index) + decimal.Decimal("0.5")) / 2**12
        assert table[index] == int(decimal.Decimal(2) ** (30 - x))


@pytest.mark.parametrize("layers", [1, 3])
def test_a_network_is_close_to_that_of_float64(
    cell: str, layers: int, rng: np.random.Generator
) -> None:
    config = ModelConfig(inputs=9, outputs=9, cell=cell, hidden=17, layers=layers)
    parameters = initialise(config, rng, np.float64)
    parameters.vector += rng.normal(0, 0.2, parameters.vector.shape)
    S, T = 4, 60
    network, fixed = Network(config, parameters, 1, S), FixedNetwork(config, parameters)
    fixed.begin(S)
    difference, size = 0.0, 0.0
    for ids in rng.integers(0, 9, (T, S)):
        logits = network.forward(ids[None])[0]
        network.carry_state()
        found = fixed.read(ids) / 2**SUM_BITS * math.log(2)
        difference = max(difference, float(np.abs(found - logits).max()))
        size = max(size, float(np.abs(logits).max()))
    assert size > 0.5
    assert difference < 5e-3 * size


def test_sequences_end_one_after_the_other(cell: str, rng: np.random.Generator) -> None:
    config = ModelConfig(inputs=5, outputs=5, cell=cell, hidden=8, layers=2)
    fixed = FixedNetwork(config, initialise(config, rng))
    ids = rng.integers(0, 5, (12, 3))
    fixed.begin(3)
    together = [fixed.read(row[: 3 if t < 6 else 1]) for t, row in enumerate(ids)]
    for b in range(3):
        fixed.begin(1)
        alone = [fixed.read(row[b : b + 1])[0] for row in ids]
        for t in range(12 if b == 0 else 6):
            assert (together[t][b] == alone[t]).all()


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_a_product_of_float64_is_that_of_python_integers(
    rows: int, rng: np.random.Generator
) -> None:
    matrix = FixedMatrix(rng.normal(0, 2, (300, 40)).astype(np.float32), "W")
    h = rng.integers(-(2**STATE_BITS), 2**STATE_BITS + 1, (rows, 300))
    exact = h.astype(object) @ matrix.integers.astype(np.int64).astype(object)
    half = 1 << matrix.shift - 1
    assert (matrix.multiply(h) == (exact + half) >> matrix.shift).all()


def test_the_sums_of_a_product_stay_below_2_to_the_52() -> None:
    W = np.full((4096, 2), 200.0, np.float32)
    matrix = FixedMatrix(W, "W")
    largest = np.full((1, 4096), 2**STATE_BITS)
    exact = 4096 * 200 * 2**SUM_BITS
    assert matrix.shift < MAX_WEIGHT_BITS + STATE_BITS - SUM_BITS  # fewer places than usual
    assert matrix.multiply(largest).tolist() == [[exact, exact]]
    assert abs(matrix.integers).sum(axis=0).max() * 2**STATE_BITS <= 2**52


def test_weights_that_are_too_large_are_refused() -> None:
    with pytest.raises(UsageError, match="the weights W are too large to compress with"):
        FixedMatrix(np.full((4, 4), 1e9, np.float32), "W")


def test_a_machine_whose_products_are_not_exact_is_refused(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    plain: Callable[[FixedMatrix, str], None] = FixedMatrix._check_exact

    def check(self: FixedMatrix, name: str) -> None:
        whole = self.integers
        self.integers = Inexact(whole)  # type: ignore[assignment]  # stands for a faulty BLAS
        try:
            plain(self, name)
        finally:
            self.integers = whole

    monkeypatch.setattr(FixedMatrix, "_check_exact", check)
    with pytest.raises(StorageError, match="a product of integers with W is not exact"):
        FixedMatrix(rng.normal(0, 1, (8, 8)), "W")


class Inexact:
    """A matrix whose products are rounded to float32."""

    __array_ufunc__ = None

    def __init__(self, integers: Array) -> None:
        self.integers = integers

    def __len__(self) -> int:
        return len(self.integers)

    def __rmatmul__(self, h: Array) -> Array:
        product: Array = (h @ self.integers).astype(np.float32)
        return product

    def astype(self, kind: type) -> Array:
        found: Array = self.integers.astype(kind)
        return found


def test_every_cell_of_the_registry_has_a_form_or_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    assert set(FIXED_LAYERS) == set(CELLS.values())
    monkeypatch.setattr(
        fixed_point, "FIXED_LAYERS", {k: v for k, v in FIXED_LAYERS.items() if k is not LSTMCell}
    )
    config = ModelConfig(inputs=3, outputs=3, cell="lstm", hidden=2)
    with pytest.raises(UsageError, match=r"the cell 'lstm' has no .*; try a model of rnn, gru"):
        FixedNetwork(config, initialise(config, rng))
