"""Recurrent products in blocks: equal to plain products, and the choice of blocks."""

from collections.abc import Callable

import numpy as np
import pytest

from charrnn.nn import recurrent_matmul
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.recurrent_matmul import (
    MAX_UNPACKED_PRODUCT,
    MIN_BLOCK_COLUMNS,
    RecurrentProduct,
    block_count,
)
from charrnn.types import Array

Kernels = Callable[[bool], None]


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """Return a function that sets whether this BLAS has kernels without packing."""

    def say(there: bool) -> None:
        monkeypatch.setattr(recurrent_matmul, "small_products_unpacked", lambda: there)

    return say


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    """Cut even the products of tiny networks, into four blocks of 3 columns."""
    kernels(True)
    monkeypatch.setattr(recurrent_matmul, "MIN_BLOCK_COLUMNS", 2)
    monkeypatch.setattr(recurrent_matmul, "MAX_UNPACKED_PRODUCT", 5 * 12 * 3)


@pytest.mark.parametrize("B", [1, 7, 16, 32, 64])
@pytest.mark.parametrize("H", [64, 100, 192, 256, 300, 512])
def test_blocks_are_the_widest_without_packing(B: int, H: int, kernels: Kernels) -> None:
    kernels(True)
    P = block_count(B, H, H)
    assert H % P == 0
    if P == 1:
        cut = [H // n for n in range(1, H + 1) if H % n == 0]
        assert B * H * H <= MAX_UNPACKED_PRODUCT or not any(
            MIN_BLOCK_COLUMNS <= width <= MAX_UNPACKED_PRODUCT // (B * H) for width in cut
        )
    else:
        assert B * H * (H // P) <= MAX_UNPACKED_PRODUCT
        wider = next(H // n for n in range(P - 1, 0, -1) if H % n == 0)
        assert B * H * wider > MAX_UNPACKED_PRODUCT


def test_a_width_that_cannot_be_cut_stays_whole(kernels: Kernels) -> None:
    kernels(True)
    assert block_count(32, 257, 257) == 1


def test_other_kernels_multiply_in_one_piece(kernels: Kernels) -> None:
    kernels(False)
    assert block_count(16, 512, 512) == 1


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("T", [1, 9])
def test_products_of_blocks_are_the_product(T: int, rng: np.random.Generator) -> None:
    G, B, H = 3, 5, 12
    W, h = rng.standard_normal((G, H, H)), rng.standard_normal((G, B, H))
    forward = RecurrentProduct(W, T, B)
    backward = RecurrentProduct(W.transpose(0, 2, 1), T, B)
    assert forward.P == backward.P == 4
    for product in (forward, backward):
        product.refresh_weights()
    np.testing.assert_allclose(forward.multiply(h[0]), h[0] @ W, rtol=1e-12)
    summed = np.empty((B, H))
    backward.multiply_summed(h, summed)
    np.testing.assert_allclose(summed, (h @ W.transpose(0, 2, 1)).sum(axis=0), rtol=1e-12)


@pytest.mark.usefixtures("narrow")
def test_changed_weights_count_once_the_weights_are_refreshed(rng: np.random.Generator) -> None:
    W, h = rng.standard_normal((2, 12, 12)), rng.standard_normal((5, 12))
    product = RecurrentProduct(W, 9, 5)
    product.refresh_weights()
    W *= 2
    product.refresh_weights()
    np.testing.assert_allclose(product.multiply(h), h @ W, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_network_in_blocks_has_the_gradients_of_one_in_one_piece(
    cell: str, layers: int, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    config = ModelConfig(6, 6, cell=cell, hidden=12, layers=layers)
    parameters = initialise(config, rng, np.float64)
    ids = rng.integers(6, size=(10, 5))

    def compute() -> tuple[int, Array]:
        gradients = parameters.like()
        network = Network(config, parameters, 9, 5, gradients)
        network.forward(ids[:-1])
        network.loss(ids[1:])
        network.backward(ids[1:], 1 / 45)
        return network.layers[0].recurrent.P, gradients.vector

    (P, whole) = compute()
    assert P == 1
    request.getfixturevalue("narrow")
    (P, cut) = compute()
    assert P == 4
    assert np.linalg.norm(whole) > 0.01
    np.testing.assert_allclose(cut, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("blocks", [False, True])
def test_the_product_of_a_single_gate_is_a_matrix(
    blocks: bool, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    if blocks:
        request.getfixturevalue("narrow")
    W, h = rng.standard_normal((1, 12, 12)), rng.standard_normal((5, 12))
    product = RecurrentProduct(W, 9, 5)
    assert (product.P > 1) == blocks
    product.refresh_weights()
    np.testing.assert_allclose(product.multiply_single(h), h @ W[0], rtol=1e-12)
    assert np.shares_memory(product.multiply_single(h), product.out)
