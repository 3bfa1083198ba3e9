"""Compiled matrix products: equal to NumPy's, and used only where they apply."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.products import Products
from charrnn.nn.recurrent_matmul import RecurrentProduct
from charrnn.training.backends import load_backend
from charrnn.types import Array

compiled = pytest.importorskip("charrnn.training.numba_products", exc_type=ImportError)
llvm = pytest.importorskip("llvmlite.binding")


PRODUCTS = ("recurrent", "project", "project_backward", "weight_gradients", "lookup_backward")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that sets whether the kernel counts as faster on this processor."""

    def say(faster: bool) -> None:
        monkeypatch.setattr(compiled, "kernel_is_faster", lambda **_: faster)

    return say


@pytest.fixture
def refuse_numpy(monkeypatch: pytest.MonkeyPatch, kernel: Callable[[bool], None]) -> None:
    """Use the kernel, and let no product fall back."""
    kernel(True)

    def refuse(*_: object) -> None:
        raise AssertionError("fell back to NumPy")

    for name in PRODUCTS:
        monkeypatch.setattr(Products, name, refuse)


def draw(*shape: int) -> Array:
    rng = np.random.default_rng(sum(shape))
    return rng.standard_normal(shape, dtype=np.float32)


def assert_product(found: Array, expected: Array, terms: int) -> None:
    """Compare with the product in float64; its rounding error grows with the terms of a sum."""
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-6 * terms**0.5)


M_SIZES = (4, 5, 13, 64, 300, 513)
WIDTHS = ((32, 64), (7, 32), (65, 96))


@pytest.mark.usefixtures("refuse_numpy")
@pytest.mark.parametrize("M", M_SIZES)
@pytest.mark.parametrize("G", [1, 3])
@pytest.mark.parametrize(("K", "N"), WIDTHS)
def test_products_are_those_of_float64(M: int, G: int, K: int, N: int) -> None:
    products, wide = compiled.CompiledProducts(), np.float64
    x, W, dy = draw(M, K), draw(G, K, N), draw(G, M, N)
    out = np.full((G, M, N), np.nan, np.float32)
    products.project(x, W, out)
    assert_product(out, x.astype(wide) @ W, K)
    dW = np.full((G, K, N), np.nan, np.float32)
    products.weight_gradients(x, dy, dW)
    assert_product(dW, x.T.astype(wide) @ dy, M)
    back, dx = draw(G, N, K), np.full((M, N), np.nan, np.float32)
    products.project_backward(out := draw(G, M, K), back, dx)
    assert_product(dx, (out.astype(wide) @ back.transpose(0, 2, 1)).sum(axis=0), G * K)


@pytest.mark.usefixtures("refuse_numpy")
@pytest.mark.parametrize("B", [4, 8, 9, 25])
@pytest.mark.parametrize("G", [1, 4])
def test_recurrent_products_are_those_of_float64(B: int, G: int) -> None:
    W, T, H = draw(G, 64, 64), 5, 64
    forward = compiled.CompiledProducts().recurrent(W, T, B)
    backward = compiled.CompiledProducts().recurrent(W.transpose(0, 2, 1), T, B)
    du = draw(G, T, B, H)[:, 2]  # a view, as the cells pass it
    for factor in (1, 2):
        W *= factor
        forward.refresh_weights()
        backward.refresh_weights()
        assert_product(forward.multiply(du[0]), du[0].astype(np.float64) @ W, 4 * H)
        assert_product(forward.multiply_single(du[0]), du[0].astype(np.float64) @ W[0], 4 * H)
        summed = np.full((B, H), np.nan, np.float32)
        backward.multiply_summed(du, summed)
        exact = (du.astype(np.float64) @ W.transpose(0, 2, 1)).sum(axis=0)
        assert_product(summed, exact, 4 * G * H)


@pytest.mark.usefixtures("refuse_numpy")
@pytest.mark.parametrize(("G", "T", "B", "N"), [(1, 1, 1, 1), (4, 30, 5, 33)])
def test_the_gradient_of_looked_up_rows_is_their_sum(G: int, T: int, B: int, N: int) -> None:
    V = 6
    dy, ids = draw(G, T, B, N), np.random.default_rng(0).integers(V - 1, size=(T, B))
    out = np.full((G, V, N), np.nan, np.float32)
    assert compiled.CompiledProducts().lookup_backward(dy, ids, out) is out
    expected = np.eye(V)[ids].reshape(-1, V).T @ dy.reshape(G, -1, N).astype(np.float64)
    assert_product(out, expected, T * B)
    assert not out[:, V - 1].any()  # an id that does not occur


@pytest.mark.parametrize("wrong", [-1, 6, 255])
def test_an_id_outside_the_table_is_an_error(wrong: int) -> None:
    out = np.zeros((1, 6, 32), np.float32)
    with pytest.raises(IndexError, match="one of the 6 rows"):
        compiled.CompiledProducts().lookup_backward(draw(1, 1, 2, 32), np.array([[0, wrong]]), out)
    assert not out.any()


@pytest.mark.usefixtures("refuse_numpy")
def test_a_row_of_a_product_does_not_depend_on_the_other_rows() -> None:
    """So that the split of a batch among workers changes only the sum of their gradients."""
    x, W = draw(29, 64), draw(2, 64, 64)
    whole, part = np.empty((2, 29, 64), np.float32), np.empty((2, 10, 64), np.float32)
    products = compiled.CompiledProducts()
    products.project(x, W, whole)
    products.project(x[7:17], W, part)
    np.testing.assert_array_equal(part, whole[:, 7:17])


@pytest.mark.usefixtures("refuse_numpy")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_reach_the_product(value: float) -> None:
    x, W = draw(8, 32), draw(1, 32, 32)
    x[3, 5] = value
    out = np.zeros((1, 8, 32), np.float32)
    compiled.CompiledProducts().project(x, W, out)
    assert not np.isfinite(out[0, 3]).any()
    assert np.isfinite(np.delete(out[0], 3, axis=0)).all()


@pytest.mark.parametrize(
    ("faster", "B", "N", "T", "dtype"),
    [
        (False, 8, 64, 9, np.float32),
        (True, 3, 64, 9, np.float32),
        (True, 8, 65, 9, np.float32),
        (True, 8, 64, 3, np.float32),
        (True, 8, 64, 9, np.float64),
    ],
)
def test_other_products_are_those_of_numpy(
    faster: bool, B: int, N: int, T: int, dtype: type, kernel: Callable[[bool], None]
) -> None:
    kernel(faster)
    products = compiled.CompiledProducts()
    W: Array = draw(2, 64, N).astype(dtype)
    assert type(products.recurrent(W, T, B)) is RecurrentProduct
    x: Array = draw(B, 64).astype(dtype)
    found: Array = np.empty((2, B, N), dtype)
    expected = np.empty_like(found)
    products.project(x, W, found)
    Products().project(x, W, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("processor", "recurrent", "many_rows"),
    [
        ("znver5", True, True),
        ("znver3", True, False),
        ("generic", False, False),
        (None, False, False),
    ],
)
def test_the_kernel_is_used_where_it_was_measured_to_be_faster(
    processor: str | None, recurrent: bool, many_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "processor", lambda: processor)
    monkeypatch.setattr(compiled, "kernel_is_faster", compiled.kernel_is_faster.__wrapped__)
    W, x = draw(2, 64, 64), draw(8, 64)
    product = compiled.CompiledProducts().recurrent(W, 9, 8)
    assert isinstance(product, compiled.CompiledRecurrentProduct) == recurrent
    assert compiled.applies(8, 64, x, W) == many_rows


def test_nothing_needs_the_kernel_where_numba_does_not_compile() -> None:
    script = "from charrnn.training.numba_products import *; print(kernel_is_faster(many_rows=0))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_CPU_NAME": "znver3", "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "False\n"


SCRIPT = """
import numpy as np
from charrnn.training import numba_matmul, numba_products
assert numba_matmul.LANES == 8 and numba_products.kernel_is_faster(many_rows=False)
rng = np.random.default_rng(0)
W, x = rng.standard_normal((2, 32, 48), np.float32), rng.standard_normal((17, 32), np.float32)
product = numba_products.CompiledRecurrentProduct(W, 4, 17)
product.refresh_weights()
print(np.abs(product.multiply(x) - x.astype(np.float64) @ W).max())
"""


@pytest.mark.skipif(
    not llvm.get_host_cpu_features().get("fma"), reason="the processor has no AVX2 with FMA"
)
def test_the_tile_for_avx2_is_right_on_processors_with_avx512_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "NUMBA_CPU_NAME": "znver3"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert float(done.stdout) < 1e-4


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("B", [4, 12])
def test_a_network_has_the_gradients_of_float64(
    cell: str, layers: int, B: int, kernel: Callable[[bool], None]
) -> None:
    kernel(True)
    config = ModelConfig(6, 6, cell=cell, hidden=32, layers=layers)
    exact = initialise(config, np.random.default_rng(1), np.float64)
    rounded = initialise(config, np.random.default_rng(1))
    rounded.vector[...] = exact.vector
    ids = np.random.default_rng(2).integers(6, size=(10, B))
    gradients = []
    for parameters, cells in ((exact, CELLS), (rounded, load_backend("numba").cells)):
        gradients.append(parameters.like(np.full_like(parameters.vector, np.nan)))
        network = Network(config, parameters, 9, B, gradients[-1], cells)
        network.forward(ids[:-1])
        network.loss(ids[1:])
        network.backward(ids[1:], 1 / ids[1:].size)
    uses_kernel = isinstance(network.layers[0].recurrent, compiled.CompiledRecurrentProduct)
    assert uses_kernel == (type(network.layers[0]) is not CELLS[cell])
    assert np.linalg.norm(gradients[0].vector) > 0.01
    np.testing.assert_allclose(gradients[1].vector, gradients[0].vector, rtol=0, atol=2e-6)
