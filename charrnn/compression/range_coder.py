"""Range coder: arithmetic coding with integer frequencies and whole bytes.

Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised message";
Witten, Neal & Cleary 1987, "Arithmetic coding for data compression", CACM 30(6). `total` is the sum
of the frequencies of all symbols. A symbol of frequency `size`, before which symbols with a sum of
`start` stand, turns the interval [low, low + width) into

    r = ⌊width / total⌋        [low + r · start, low + r · (start + size))

The width is kept above 2⁵⁶ by moving the highest byte of `low` to the output. Carries go into the
last byte that was not 0xFF: that byte is held back, and the bytes 0xFF after it are counted. Unlike
most coders the state has 64 bits, not 32, so that totals of up to `MAX_TOTAL` lose nothing by
the rounding of r. Only integers are computed: the result is the same on every machine.
"""

from collections.abc import Callable, Sequence

STATE_BITS = 64
TOP = 1 << STATE_BITS
BOTTOM = TOP >> 8
"""Least width of the interval between two symbols."""

MAX_TOTAL = 2**40
"""Largest total of the frequencies: r is then at least 2¹⁶."""

STATE_BYTES = STATE_BITS // 8


class RangeEncoder:
    """Encoder of symbols that are given by their intervals of frequencies.

    Example:
        >>> encoder = RangeEncoder()
        >>> encoder.encode([0, 3], [3, 1], [4, 4])  # of four: the first three, then the last one
        >>> encoder.finish().hex()
        'a0'
    """

    def __init__(self) -> None:
        self._low, self._width = 0, TOP - 1
        self._held: int | None = None
        """The last byte that a carry may change; None before the first."""
        self._pending = 0
        """Number of bytes 0xFF after it."""
        self._out = bytearray()

    def encode(self, starts: Sequence[int], sizes: Sequence[int], totals: Sequence[int]) -> None:
        """Encode symbols, for each of which start + size ≤ total ≤ `MAX_TOTAL` and size ≥ 1."""
        low, width = self._low, self._width
        for start, size, total in zip(starts, sizes, totals, strict=True):
            r = width // total
            low += r * start
            width = r * size
            while width < BOTTOM:
                low = self._shift(low)
                width <<= 8
        self._low, self._width = low, width

    def _shift(self, low: int) -> int:
        """Move the highest byte of `low`, and a carry, to the output; return the rest."""
        byte, carry = (low >> STATE_BITS - 8) & 0xFF, low >> STATE_BITS
        if byte == 0xFF and not carry:
            self._pending += 1
        else:
            if self._held is not None:
                self._out.append((self._held + carry) & 0xFF)
            if self._pending:
                self._out += bytes([(0xFF + carry) & 0xFF]) * self._pending
                self._pending = 0
            self._held = byte
        return (low << 8) & (TOP - 1)

    def take(self) -> bytes:
        """Return the bytes that are final, and remove them."""
        done = bytes(self._out)
        self._out.clear()
        return done

    def finish(self) -> bytes:
        """End the code; return the remaining bytes, as few as the decoder needs.

        The decoder reads zeros after the end, so that up to `STATE_BYTES` zeros are left out.
        """
        low, end = self._low, self._low + self._width
        number = low
        for bits in range(STATE_BITS, -1, -1):  # the number in [low, end) with the most zeros
            number = -(-low >> bits) << bits
            if number < end:
                break
        for _ in range(STATE_BYTES):
            number = self._shift(number)
        if self._held is not None:
            self._out.append(self._held)
        self._out += b"\xff" * self._pending
        self._pending = 0
        code = self.take()
        kept = max(0, len(code) - STATE_BYTES)
        return code[:kept] + code[kept:].rstrip(b"\0")


class RangeDecoder:
    """Decoder of what a `RangeEncoder` wrote.

    Args:
        read: returns the next bytes of the code, at most as many as it is asked for, and none
            at the end.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._buffer, self._at = b"", 0
        self.missing = 0
        """Number of zeros that were read after the end."""
        self._code, self._width = 0, TOP - 1
        for _ in range(STATE_BYTES):
            self._code = self._code << 8 | self._next_byte()
        self._r = 1

    @property
    def exhausted(self) -> bool:
        """Whether more was read than `RangeEncoder.finish` leaves out."""
        return self.missing > STATE_BYTES

    def _next_byte(self) -> int:
        if self._at == len(self._buffer):
            self._buffer, self._at = self._read(CHUNK_BYTES), 0
            if not self._buffer:
                self.missing += 1
                return 0
        byte = self._buffer[self._at]
        self._at += 1
        return byte

    def target(self, total: int) -> int:
        """Return a number from 0 to total − 1 that lies in the interval of the next symbol."""
        self._r = self._width // total
        return min(self._code // self._r, total - 1)

    def consume(self, start: int, size: int) -> None:
        """Step over the symbol of this interval, after `target`."""
        self._code -= self._r * start
        self._width = self._r * size
        while self._width < BOTTOM:
            self._code = self._code << 8 | self._next_byte()
            self._width <<= 8


CHUNK_BYTES = 2**16
