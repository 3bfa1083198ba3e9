"""What is a good loss? Count tables and compressors on the same text, in the same unit.

A network that predicts no better than these has not learnt much. All of them see what the network
sees: the training part, and of the held-out part everything before the character in question. The
first held-out character is context only, so N characters make N − 1 predictions.
"""

import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import log
from typing import Protocol, TypeVar

import numpy as np

from charrnn.errors import TextError
from charrnn.types import Array, Ids, StopFlag, smallest_id_type

MAX_TRAIN_CHARS = 10_000_000
"""Characters next to the split of which baselines are computed, by default."""

MAX_VALIDATION_CHARS = 1_000_000
"""Characters of the validation set that baselines score, by default."""


@dataclass(frozen=True)
class Baselines:
    """Nats per character of the held-out part, by what a plain method makes of it."""

    uniform: float
    unigram: float
    five_gram: float
    gzip: float
    xz: float
    characters: int
    """How many characters were predicted."""
    sampled: bool
    """Whether a part was so long that only the characters next to the split were read."""

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Return every figure under its usual name, in nats and in bits per character."""
        nats = {
            "uniform": self.uniform,
            "unigram": self.unigram,
            "5-gram": self.five_gram,
            "gzip": self.gzip,
            "xz": self.xz,
        }
        return {
            name: {"nats_per_char": value, "bits_per_char": value / log(2)}
            for name, value in nats.items()
        }


def baselines(
    train: Ids,
    validation: Ids,
    size: int,
    as_bytes: Callable[[Ids], bytes],
    *,
    limit: int = MAX_TRAIN_CHARS,
    validation_limit: int = MAX_VALIDATION_CHARS,
    stop: StopFlag | None = None,
) -> Baselines | None:
    """Score `validation` (N,) given `train` by every method; None if `stop()` became true.

    `size` is that of the vocabulary, and `as_bytes` spells ids out for the compressors: UTF-8 for
    text. Of longer parts the last `limit` characters of `train` and the first `validation_limit` of
    `validation` are read. Raises `TextError` if `validation` has nothing to predict.
    """
    if len(validation) < 2:
        raise TextError(
            f"no character to predict, the held-out part has {len(validation)}; "
            "try a longer text or a larger share to hold out"
        )
    sampled = len(train) > limit or len(validation) > validation_limit
    train, validation = train[max(0, len(train) - limit) :], validation[:validation_limit]
    characters = len(validation) - 1
    try:
        unigram, *_, five_gram = (
            float(np.log(1 / p[1:]).mean())
            for p in interruptible(witten_bell(train, validation, size, order=5), stop)
        )
        known, unknown = as_bytes(train) + as_bytes(validation[:1]), as_bytes(validation[1:])
        gzip, xz = (
            extra_bytes(compressor, known, unknown, stop) * 8 * log(2) / characters
            for compressor in (gzip_compressor, lzma.LZMACompressor)
        )
    except StoppedError:
        return None
    return Baselines(log(size), unigram, five_gram, gzip, xz, characters, sampled)


class StoppedError(Exception):
    """`stop()` became true: there will be no figures."""


Item = TypeVar("Item")


def interruptible(items: Iterable[Item], stop: StopFlag | None) -> Iterator[Item]:
    """Pass `items` on, asking before each; raises `StoppedError` as soon as `stop()` is true."""
    for item in items:
        if stop is not None and stop():
            raise StoppedError
        yield item


def witten_bell(train: Ids, validation: Ids, size: int, order: int) -> Iterator[Array]:
    """Yield the probability of each character of `validation` (N,) by n-grams, n = 1, …, `order`.

        p₀(c)     = 1 / V
        pₙ(c | h) = (count(h c) + kinds(h) pₙ₋₁(c | h′)) / (count(h) + kinds(h))

    h is the n − 1 characters before c, h′ the same without the oldest; in the training part
    count(h) characters followed h, of kinds(h) different kinds. If none did, pₙ is pₙ₋₁, as it
    is for the first characters of `validation`, which have fewer than n − 1 before them.

    Witten & Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37(4),
    1991, method C, interpolated with all shorter contexts as in Chen & Goodman, "An empirical
    study of smoothing techniques for language modeling", Computer Speech & Language 13, 1999.
    """
    # A symbol of its own between the parts keeps n-grams from straddling them.
    symbols = size + 1
    stream = np.concatenate(
        (train, [size], validation), dtype=smallest_id_type(symbols), casting="unsafe"
    )
    in_held = slice(len(train) + 1, None)
    p = np.full(len(validation), 1 / size)
    # Which n-gram ends at each character: an n-gram is the (n − 1)-gram one character earlier and
    # that character. Numbered anew for each n, they are no more than the stream has characters,
    # so that no vocabulary and no n is too large for the keys.
    gram = np.zeros(len(stream), smallest_id_type(len(stream)))  # n = 0: the empty one, everywhere
    for n in range(1, order + 1):
        gram[1:] = gram[:-1]
        keys = renumber(gram, stream, symbols)
        context = keys // symbols
        count = np.zeros(len(keys), np.int64)
        for piece in pieces(n - 1, len(train)):  # what ends earlier is shorter than n
            count += np.bincount(gram[piece], minlength=len(keys))
        context_count = np.bincount(context, weights=count)
        context_kinds = np.bincount(context, weights=count > 0)
        c, h = gram[in_held], context[gram[in_held]]
        # One kind, counted 0 times: so a context that nothing followed leaves p as it is.
        kinds = np.maximum(context_kinds[h], 1)
        p = (count[c] + kinds * p) / (context_count[h] + kinds)
        yield p


def renumber(gram: Ids, stream: Ids, symbols: int) -> Array:
    """Return the different keys = gram · symbols + stream, sorted; `gram` becomes their indices.

    Works in pieces: sorting them is faster than sorting all, and takes a fraction of the memory.
    """
    found: list[Array] = []
    for piece in pieces(0, len(stream)):
        key = gram[piece] * np.int64(symbols) + stream[piece]
        different, gram[piece] = np.unique(key, return_inverse=True)
        found.append(different)
    keys = np.unique(np.concatenate(found))
    for piece, different in zip(pieces(0, len(stream)), found, strict=True):
        gram[piece] = np.searchsorted(keys, different)[gram[piece]]
    return keys


CHUNK_SIZE = 2**18
"""Characters or bytes in one go: they fit the cache, and `stop()` is asked often enough."""


def pieces(start: int, stop: int) -> Iterator[slice]:
    """Cut the range from `start` to `stop` into slices, all but the last of equal length."""
    for begin in range(start, stop, CHUNK_SIZE):
        yield slice(begin, min(begin + CHUNK_SIZE, stop))


class Compressor(Protocol):
    """What the standard library's compressors have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take in data; return what can already be said of it."""

    def flush(self) -> bytes:
        """Return the rest."""


def gzip_compressor() -> Compressor:
    """As `gzip -9`; it looks back 32 kB, so it knows little of a long training part."""
    return zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)


def extra_bytes(
    new: Callable[[], Compressor], known: bytes, unknown: bytes, stop: StopFlag | None
) -> int:
    """C(known + unknown) − C(known), C being the compressed size in bytes; at least 0.

    xz is meant with its standard preset, 6: on 10 MB of Python source, preset 9 gains less than a
    hundredth of a nat per character, and it takes seven times the memory.
    """
    return max(0, compressed_size(new, known + unknown, stop) - compressed_size(new, known, stop))


def compressed_size(new: Callable[[], Compressor], data: bytes, stop: StopFlag | None) -> int:
    """Bytes that a new compressor makes of `data`."""
    compressor = new()
    size = sum(
        len(compressor.compress(data[piece])) for piece in interruptible(pieces(0, len(data)), stop)
    )
    return size + len(compressor.flush())
