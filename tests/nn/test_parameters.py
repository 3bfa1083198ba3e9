"""Parameters: named arrays are views of one vector; copies and subsets."""

import numpy as np
import pytest

from charrnn.nn.parameters import Parameters

SHAPES = {
    "layers.0.W_xh": (2, 3, 4),
    "layers.0.b_h": (2, 4),
    "layers.01.b_h": (5,),
    "W_hy": (4, 3),
    "b_y": (3,),
}
SIZE = 24 + 8 + 5 + 12 + 3


@pytest.fixture
def parameters() -> Parameters:
    return Parameters(SHAPES, vector=np.arange(float(SIZE)))


def test_arrays_lie_one_behind_the_other_in_the_order_of_their_names(
    parameters: Parameters,
) -> None:
    assert list(parameters) == list(SHAPES)
    assert len(parameters) == 5
    flat = np.concatenate([parameters[name].ravel() for name in parameters])
    np.testing.assert_array_equal(flat, np.arange(SIZE))
    assert {name: array.shape for name, array in parameters.items()} == SHAPES


def test_writing_to_an_array_writes_to_the_vector_and_back(parameters: Parameters) -> None:
    parameters["b_y"][1] = -1
    assert parameters.vector[-2] == -1
    parameters.vector[0] = -2
    assert parameters["layers.0.W_xh"][0, 0, 0] == -2


def test_a_vector_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="52 numbers needed, the vector has shape"):
        Parameters(SHAPES, vector=np.zeros(SIZE + 1))


def test_like_shares_a_given_vector_and_else_begins_at_zero(parameters: Parameters) -> None:
    vector = np.ones(SIZE)
    shared = parameters.like(vector)
    shared["b_y"][...] = 3
    np.testing.assert_array_equal(vector[-3:], 3)
    fresh = parameters.like()
    np.testing.assert_array_equal(fresh.vector, 0)
    assert fresh.vector.dtype == parameters.vector.dtype
    np.testing.assert_array_equal(parameters.vector, np.arange(SIZE))


def test_astype_is_a_copy(parameters: Parameters) -> None:
    copy = parameters.astype(np.float32)
    assert copy.vector.dtype == np.float32
    copy.vector += 1
    np.testing.assert_array_equal(parameters.vector, np.arange(SIZE))


def test_subset_takes_whole_words_only(parameters: Parameters) -> None:
    subset = parameters.subset("layers.0")
    assert list(subset) == ["W_xh", "b_h"]
    subset["b_h"][...] = 9
    np.testing.assert_array_equal(parameters["layers.0.b_h"], 9)


def test_fill_from_copies_by_name(parameters: Parameters) -> None:
    twin = parameters.like()
    twin.fill_from(dict(reversed(list(parameters.items()))))
    np.testing.assert_array_equal(twin.vector, parameters.vector)
    assert not np.shares_memory(twin.vector, parameters.vector)


def test_fill_from_refuses_what_is_missing_or_of_another_shape(parameters: Parameters) -> None:
    arrays = dict(parameters)
    with pytest.raises(ValueError, match=r"b_y is \(1,\), expected \(3,\)"):
        parameters.fill_from(arrays | {"b_y": np.zeros(1)})
    del arrays["W_hy"]
    with pytest.raises(KeyError, match="W_hy"):
        parameters.fill_from(arrays)
