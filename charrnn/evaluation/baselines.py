"""Baselines for the loss of a text: n-gram count tables and compressors, in nats per character.

Each method predicts a character of the validation set from the training set and from the validation
characters before it, as the network does. The first validation character is context only, so that N
characters give N − 1 predictions.
"""

import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from math import log
from threading import Event
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
    """Losses of the baseline methods on the validation set, in nats per character."""

    uniform: float
    unigram: float
    five_gram: float
    gzip: float
    xz: float
    characters: int
    """Number of predicted characters."""
    sampled: bool
    """Whether a set exceeded its limit, so that only the characters next to the split were used."""

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Return all losses by method name, in nats and in bits per character."""
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
    """Compute all baselines of `validation` given `train`.

    Args:
        train: ids of the training set; the last `limit` are used.
        validation: ids of the validation set (N,); the first `validation_limit` are used.
        size: vocabulary size V.
        as_bytes: converts ids to the bytes that are compressed: UTF-8 for text.
        limit: maximum number of training characters.
        validation_limit: maximum number of validation characters.
        stop: is called between chunks, also from the threads of the compressors.

    Returns:
        The baselines, or None if `stop()` became true.

    Raises:
        TextError: if `validation` has fewer than two characters.
    """
    if len(validation) < 2:
        raise TextError(
            f"no character to predict, the held-out part has {len(validation)}; "
            "try a longer text or a larger share to hold out"
        )
    sampled = len(train) > limit or len(validation) > validation_limit
    train, validation = train[max(0, len(train) - limit) :], validation[:validation_limit]
    characters = len(validation) - 1
    known, unknown = as_bytes(train) + as_bytes(validation[:1]), as_bytes(validation[1:])
    ended = Event()

    def stopped() -> bool:
        return ended.is_set() or (stop is not None and stop())

    with ThreadPoolExecutor(COMPRESSOR_THREADS) as threads:
        try:
            sizes = [
                extra_bytes(compressor, known, unknown, stopped, threads)
                for compressor in (lzma.LZMACompressor, gzip_compressor)
            ]
            unigram, *_, five_gram = (
                float(np.log(1 / p[1:]).mean())
                for p in interruptible(witten_bell(train, validation, size, order=5), stopped)
            )
            xz, gzip = (extra() * 8 * log(2) / characters for extra in sizes)
        except StoppedError:
            return None
        finally:
            ended.set()  # so that an error here does not wait for the compressors
    return Baselines(log(size), unigram, five_gram, gzip, xz, characters, sampled)


COMPRESSOR_THREADS = 2
"""Threads that compress while the n-grams are counted: xz takes longer than these."""


class StoppedError(Exception):
    """`stop()` became true before the baselines were complete."""


Item = TypeVar("Item")


def interruptible(items: Iterable[Item], stop: StopFlag | None) -> Iterator[Item]:
    """Yield `items`; call `stop()` before each and raise `StoppedError` if it returns true."""
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
    # that character. Numbered for each n, there are no more of them than characters in the stream,
    # so that no vocabulary and no n is too large for the keys.
    gram = np.zeros(len(stream), smallest_id_type(len(stream)))  # n = 0: the empty one, everywhere
    for n in range(1, order + 1):
        gram[1:] = gram[:-1]
        keys = renumber(gram, stream, symbols)
        context = keys // symbols
        count = np.zeros(len(keys), np.int64)
        for chunk in chunk_slices(n - 1, len(train)):  # what ends earlier is shorter than n
            count += np.bincount(gram[chunk], minlength=len(keys))
        context_count = np.bincount(context, weights=count)
        context_kinds = np.bincount(context, weights=count > 0)
        c, h = gram[in_held], context[gram[in_held]]
        # One kind, counted 0 times: so a context that nothing followed leaves p as it is.
        kinds = np.maximum(context_kinds[h], 1)
        p = (count[c] + kinds * p) / (context_count[h] + kinds)
        yield p


def renumber(gram: Ids, stream: Ids, symbols: int) -> Array:
    """Return the different keys = gram · symbols + stream, sorted; `gram` becomes their indices.

    Works in chunks: sorting them is faster than sorting all, and takes a fraction of the memory.
    """
    found: list[Array] = []
    for chunk in chunk_slices(0, len(stream)):
        key = gram[chunk] * np.int64(symbols) + stream[chunk]
        different, gram[chunk] = np.unique(key, return_inverse=True)
        found.append(different)
    keys = np.unique(np.concatenate(found))
    for chunk, different in zip(chunk_slices(0, len(stream)), found, strict=True):
        gram[chunk] = np.searchsorted(keys, different)[gram[chunk]]
    return keys


CHUNK_SIZE = 2**18
"""Characters or bytes of a chunk: fits the cache, and `stop()` is called often enough."""


def chunk_slices(start: int, stop: int) -> Iterator[slice]:
    """Cut the range from `start` to `stop` into slices, all but the last of equal length."""
    for begin in range(start, stop, CHUNK_SIZE):
        yield slice(begin, min(begin + CHUNK_SIZE, stop))


class Compressor(Protocol):
    """Interface of the incremental compressors of the standard library."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress more data; return the output that is complete."""

    def flush(self) -> bytes:
        """Return the remaining output."""


def gzip_compressor() -> Compressor:
    """Return a compressor like `gzip -9`; its window is 32 kB, less than most training sets."""
    return zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)


def extra_bytes(
    new: Callable[[], Compressor],
    known: bytes,
    unknown: bytes,
    stop: StopFlag | None,
    threads: Executor,
) -> Callable[[], int]:
    """Return a function that waits for C(known + unknown) − C(known), at least 0.

    C is the compressed size in bytes. Both are computed in `threads`.

    Use xz with its standard preset, 6: on 10 MB of Python source, preset 9 gains less than a
    hundredth of a nat per character, and it takes seven times the memory.
    """
    whole, part = (
        threads.submit(compressed_size, new, data, stop) for data in (known + unknown, known)
    )
    return lambda: max(0, whole.result() - part.result())


def compressed_size(new: Callable[[], Compressor], data: bytes, stop: StopFlag | None) -> int:
    """Return the compressed size of `data` in bytes, with a compressor made by `new`."""
    compressor = new()
    size = sum(
        len(compressor.compress(data[chunk]))
        for chunk in interruptible(chunk_slices(0, len(data)), stop)
    )
    return size + len(compressor.flush())
