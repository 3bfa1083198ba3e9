"""Range coder: against arithmetic coding with one unbounded integer, and there and back."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.compression.range_coder import BOTTOM, MAX_TOTAL, TOP, RangeDecoder, RangeEncoder

Symbol = tuple[int, int, int]
"""start, size and total."""


@st.composite
def symbols(draw: st.DrawFn) -> Symbol:
    total = draw(st.sampled_from([1, 2, 3, 255, 2**16, 2**28 + 7, MAX_TOTAL]))
    start = draw(st.one_of(st.just(0), st.just(total - 1), st.integers(0, total - 1)))
    size = draw(st.one_of(st.just(1), st.just(total - start), st.integers(1, total - start)))
    return start, size, total


def encoded(coded: Sequence[Symbol], piecewise: bool = False) -> bytes:
    encoder = RangeEncoder()
    done = b""
    for start, size, total in coded:
        encoder.encode([start], [size], [total])
        done += encoder.take() if piecewise else b""
    return done + encoder.finish()


def exact_interval(coded: Sequence[Symbol]) -> tuple[int, int, int]:
    """Return low, width and the number of bytes before the point, with one integer of any size.

    There are no carries to handle: low is never cut.
    """
    low, width, scale = 0, TOP - 1, 0
    for start, size, total in coded:
        r = width // total
        low, width = low + r * start, r * size
        while width < BOTTOM:
            low, width, scale = low << 8, width << 8, scale + 1
    return low, width, scale


def decoded(code: bytes, coded: Sequence[Symbol]) -> None:
    """Check that the decoder finds the interval of every symbol."""
    at = 0

    def read(count: int) -> bytes:
        nonlocal at
        at += 3
        return code[at - 3 : at]

    decoder = RangeDecoder(read)
    for start, size, total in coded:
        assert start <= decoder.target(total) < start + size
        decoder.consume(start, size)
    assert not decoder.exhausted


@given(st.lists(symbols(), max_size=60))
def test_the_code_is_a_number_in_the_exact_interval_and_the_shortest(coded: list[Symbol]) -> None:
    code = encoded(coded)
    low, width, scale = exact_interval(coded)
    places = scale + 8  # bytes of the numbers low and low + width
    number = int.from_bytes(code.ljust(places, b"\0"), "big")
    assert low <= number < low + width
    if code.rstrip(b"\0") == code != b"":  # else only some of its zeros are left out
        assert int.from_bytes(code[:-1].ljust(places, b"\0"), "big") < low
    assert places - 8 <= len(code) <= places
    assert encoded(coded, piecewise=True).rstrip(b"\0") == code.rstrip(b"\0")


@given(st.lists(symbols(), max_size=60))
def test_what_is_encoded_is_decoded(coded: list[Symbol]) -> None:
    decoded(encoded(coded), coded)
    decoded(encoded(coded, piecewise=True), coded)


def test_a_carry_passes_through_many_bytes_of_ones() -> None:
    total = 3  # ⅓ + ⅓ of a third + …: low approaches ½ from below through bytes 0x55 and 0x7F
    ones = [(2**40 - 1, 1, 2**40)] * 20  # low becomes 0xFFFF…
    for tail in ([(2, 1, total)] * 40, [(0, 1, total)] * 40, []):
        coded = [*ones, *tail]
        low, width, scale = exact_interval(coded)
        number = int.from_bytes(encoded(coded).ljust(scale + 8, b"\0"), "big")
        assert low <= number < low + width
        decoded(encoded(coded), coded)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_code_of_certain_or_first_symbols_is_short(count: int) -> None:
    assert encoded([(0, 5, 5)] * count) == b""
    decoded(b"", [(0, 5, 5)] * count)
    halves = [(0, 1, 2)] * count
    assert encoded(halves) == bytes(count // 8)
    decoded(encoded(halves, piecewise=True), halves)


def test_the_length_is_that_of_the_probabilities() -> None:
    coded = [(index % 7, 1 + index % 3, 10) for index in range(5000)]
    bits = sum(math.log2(total / size) for _, size, total in coded)
    assert bits <= 8 * len(encoded(coded)) < bits + 16


def test_a_decoder_notices_that_the_code_has_ended() -> None:
    decoder = RangeDecoder(lambda _: b"")
    for _ in range(3):
        decoder.target(2**40)
        decoder.consume(5, 1)
    assert decoder.exhausted
