"""Baselines against a naive count table written from the formula, and against whole compressors."""

import gzip
import json
import lzma
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import isfinite, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import TextError
from charrnn.evaluation import baselines as module
from charrnn.evaluation.baselines import (
    Baselines,
    Compressor,
    baselines,
    compressed_size,
    extra_bytes,
    gzip_compressor,
    witten_bell,
)
from charrnn.types import Ids

SIZE = 5


def ids(text: list[int]) -> Ids:
    return np.array(text, np.uint8)


def one_byte_each(text: Ids) -> bytes:
    return text.astype(np.uint8).tobytes()


def score(
    train: Ids,
    validation: Ids,
    size: int,
    *,
    limit: int = 10_000_000,
    validation_limit: int = 1_000_000,
) -> Baselines:
    metrics = baselines(
        train,
        validation,
        size,
        as_bytes=one_byte_each,
        limit=limit,
        validation_limit=validation_limit,
    )
    assert metrics is not None
    return metrics


def random_ids(length: int, size: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(0, size, length, dtype=np.uint16)


def naive_witten_bell(
    train: list[int], validation: list[int], size: int, order: int
) -> list[float]:
    """The recursion as the docstring writes it, one dictionary of followers for each n."""
    followers: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for n in range(1, order + 1):
        for i in range(n - 1, len(train)):
            followers[tuple(train[i - n + 1 : i])][train[i]] += 1
    probabilities = []
    for i, c in enumerate(validation):
        p = 1 / size
        for n in range(1, min(order, i + 1) + 1):
            seen = followers[tuple(validation[i - n + 1 : i])]
            if seen:
                p = (seen[c] + len(seen) * p) / (seen.total() + len(seen))
        probabilities.append(p)
    return probabilities


texts = st.lists(st.integers(0, SIZE - 1), max_size=60)


@given(train=texts, validation=texts, order=st.integers(1, 5), chunk=st.integers(1, 80))
def test_witten_bell_equals_the_formula_however_it_is_cut_into_chunks(
    train: list[int], validation: list[int], order: int, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_SIZE", chunk)
        by_order = list(witten_bell(ids(train), ids(validation), SIZE, order))
    assert len(by_order) == order
    for n, p in enumerate(by_order, start=1):
        np.testing.assert_allclose(
            p, naive_witten_bell(train, validation, SIZE, n), rtol=1e-12, atol=1e-12
        )


@given(train=texts, context=st.lists(st.integers(0, SIZE - 1), max_size=6))
def test_the_probabilities_after_any_context_sum_to_one(
    train: list[int], context: list[int]
) -> None:
    total = np.zeros(5)
    for c in range(SIZE):
        total += [p[-1] for p in witten_bell(ids(train), ids([*context, c]), SIZE, order=5)]
    np.testing.assert_allclose(total, 1, rtol=1e-12)


def test_a_vocabulary_whose_fifth_power_overflows_is_counted_exactly() -> None:
    size = 40_000
    assert size**5 > 2**63
    few = np.array([0, 1, 255, 256, size - 2, size - 1], np.uint16)
    train, validation = few[random_ids(2_000, len(few))], few[random_ids(500, len(few), seed=1)]
    *_, p = witten_bell(train, validation, size, order=5)
    expected = naive_witten_bell(train.tolist(), validation.tolist(), size, order=5)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


def test_a_vocabulary_that_fills_its_id_type_leaves_room_for_the_separator() -> None:
    train, validation = random_ids(3_000, 256).astype(np.uint8), np.arange(256, dtype=np.uint8)
    *_, p = witten_bell(train, validation, 256, order=3)
    expected = naive_witten_bell(train.tolist(), validation.tolist(), 256, order=3)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


def test_uniform_and_unigram_have_their_exact_values() -> None:
    metrics = score(ids([0, 0, 0, 1]), ids([2, 0, 1, 3]), 4)
    assert metrics.uniform == log(4)
    # Of 4 characters 2 kinds: p(0) = (3 + 2/4) / 6, p(1) = (1 + 2/4) / 6, p(3) = (0 + 2/4) / 6.
    expected = -(log(3.5 / 6) + log(1.5 / 6) + log(0.5 / 6)) / 3
    assert metrics.unigram == pytest.approx(expected, rel=1e-14)


def test_the_first_held_out_character_is_context_and_not_scored() -> None:
    train = ids([0, 1] * 50)
    surprising = score(train, ids([2, 1, 0, 1]), 3)
    expected = score(train, ids([0, 1, 0, 1]), 3)
    assert surprising.characters == 3
    assert surprising.unigram == expected.unigram
    assert surprising.five_gram > expected.five_gram


def test_a_periodic_text_costs_a_five_gram_nothing_and_a_unigram_the_entropy() -> None:
    period = ids([0, 1, 0, 2, 0, 3, 0, 1])
    metrics = score(np.tile(period, 500), np.tile(period, 50), 4)
    entropy = -(log(1 / 2) / 2 + log(1 / 4) / 4 + log(1 / 8) / 4)
    assert metrics.unigram == pytest.approx(entropy, abs=0.01)
    assert metrics.five_gram < 0.1 * metrics.unigram
    assert metrics.gzip < 0.1 * metrics.unigram


def test_a_text_without_structure_costs_all_of_them_about_the_uniform_figure() -> None:
    metrics = score(random_ids(20_000, 16), random_ids(20_000, 16, seed=1), 16)
    assert metrics.unigram == pytest.approx(log(16), rel=0.01)
    for nats in (metrics.five_gram, metrics.gzip, metrics.xz):
        assert log(16) < nats < 1.5 * log(16)


def extra(new: Callable[[], Compressor], known: bytes, unknown: bytes) -> int:
    with ThreadPoolExecutor(2) as threads:
        return extra_bytes(new, known, unknown, None, threads)()


@pytest.mark.parametrize("length", [0, 1, 1_000, 70_000])
def test_compressors_are_charged_the_difference_of_two_whole_files(length: int) -> None:
    known, unknown = (random_ids(n, 200, seed=n).astype(np.uint8).tobytes() for n in (length, 999))
    unknown += known[-500:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_SIZE", 4_096)
        by_gzip = extra(gzip_compressor, known, unknown)
        by_xz = extra(lzma.LZMACompressor, known, unknown)
    assert by_gzip == len(gzip.compress(known + unknown, 9)) - len(gzip.compress(known, 9))
    assert by_xz == len(lzma.compress(known + unknown)) - len(lzma.compress(known))


class Shrinking:
    """A compressor whose files are the shorter the more it reads."""

    size = 100

    def compress(self, data: bytes, /) -> bytes:
        self.size -= len(data)
        return b""

    def flush(self) -> bytes:
        return bytes(self.size)


def test_a_file_that_shrinks_with_more_text_costs_nothing_rather_than_less() -> None:
    assert compressed_size(Shrinking, b"known, unknown", None) < 100
    assert extra(Shrinking, b"known", b", unknown") == 0


def test_compressed_bytes_become_nats_for_each_character_not_each_byte() -> None:
    def utf8(text: Ids) -> bytes:
        return "".join("äöüß€"[i] for i in text).encode()

    train, validation = random_ids(4_000, SIZE), random_ids(1_001, SIZE, seed=1)
    metrics = baselines(train, validation, SIZE, as_bytes=utf8)
    assert metrics is not None
    known, whole = utf8(np.append(train, validation[0])), utf8(np.append(train, validation))
    assert len(whole) > 2 * 5_001
    bits = 8 * (len(gzip.compress(whole, 9)) - len(gzip.compress(known, 9))) / 1_000
    assert metrics.gzip == pytest.approx(bits * log(2), rel=1e-14)
    bits = 8 * (len(lzma.compress(whole)) - len(lzma.compress(known))) / 1_000
    assert metrics.xz == pytest.approx(bits * log(2), rel=1e-14)


def test_what_the_training_part_has_said_before_is_cheap_for_every_compressor() -> None:
    train = random_ids(8_000, 256)
    known, new = (
        score(train, validation, 256)
        for validation in (train[-4_000:], random_ids(4_000, 256, seed=1))
    )
    assert known.gzip < 0.1 * new.gzip
    assert known.xz < 0.1 * new.xz


@pytest.mark.parametrize(
    ("train", "validation", "size"),
    [
        ([], [0, 0], 1),
        ([0], [0, 0], 1),
        ([0] * 1_000, [0] * 1_000, 1),
        ([], [0, 1], 2),
        ([0, 1, 0], [1, 0], 2),
        ([0, 1, 2, 0], [3, 4, 3, 4, 3, 4], 5),
    ],
)
def test_tiny_texts_and_unseen_characters_get_finite_figures(
    train: list[int], validation: list[int], size: int
) -> None:
    metrics = score(ids(train), ids(validation), size)
    assert metrics.characters == len(validation) - 1
    nats = [entry["nats_per_char"] for entry in metrics.as_dict().values()]
    assert all(isfinite(value) and value >= 0 for value in nats)
    assert "-" not in str(nats)  # not even a minus zero
    if size == 1:
        assert (metrics.uniform, metrics.unigram, metrics.five_gram) == (0, 0, 0)
    elif not train:
        assert metrics.five_gram == pytest.approx(metrics.uniform, rel=1e-15)


@pytest.mark.parametrize("validation", [[], [0]])
def test_nothing_to_predict_is_an_error_that_says_what_to_do(validation: list[int]) -> None:
    with pytest.raises(TextError, match=rf"held-out part has {len(validation)}; try"):
        score(ids([0, 1]), ids(validation), 2)


def test_long_parts_are_sampled_next_to_the_split_and_the_figures_say_so() -> None:
    train, validation = random_ids(300, SIZE), random_ids(90, SIZE, seed=1)
    whole = score(train, validation, SIZE)
    assert not whole.sampled
    assert score(train, validation, SIZE, limit=300, validation_limit=90) == whole

    fewer = score(train, validation, SIZE, limit=200)
    assert fewer.sampled
    assert fewer.characters == 89
    assert fewer.five_gram != whole.five_gram
    alone = score(train[-200:], validation, SIZE)
    assert fewer.as_dict() == alone.as_dict()

    shorter = score(train, validation, SIZE, validation_limit=50)
    assert shorter.sampled
    assert shorter.characters == 49
    assert shorter.as_dict() == score(train, validation[:50], SIZE).as_dict()


def stop_at(call: int) -> tuple[Callable[[], bool], list[int]]:
    """A hook that turns true at the given call, and the list of its calls so far."""
    calls: list[int] = []

    def stop() -> bool:
        calls.append(len(calls) + 1)
        return len(calls) >= call

    return stop, calls


def test_stop_is_asked_between_orders_and_chunks_and_ends_the_work_at_once() -> None:
    train, validation = random_ids(1_000, SIZE), random_ids(100, SIZE, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_SIZE", 300)
        never, calls = stop_at(10**9)
        metrics = baselines(train, validation, SIZE, one_byte_each, stop=never)
        assert metrics == score(train, validation, SIZE)
        questions = len(calls)
        assert questions == 5 + 2 * (4 + 4)  # orders; gzip and xz, each of 1 100 and 1 001 bytes
        for call in range(1, questions + 1):
            stop, calls = stop_at(call)
            assert baselines(train, validation, SIZE, one_byte_each, stop=stop) is None
            assert call <= len(calls) <= call + 4  # each compression asks once more


def test_as_dict_is_json_in_both_units() -> None:
    metrics = Baselines(4.0, 3.0, 2.0, 1.0, 0.5, characters=9, sampled=False)
    entries = json.loads(json.dumps(metrics.as_dict()))
    assert list(entries) == ["uniform", "unigram", "5-gram", "gzip", "xz"]
    assert [entry["nats_per_char"] for entry in entries.values()] == [4.0, 3.0, 2.0, 1.0, 0.5]
    assert entries["gzip"]["bits_per_char"] == pytest.approx(1 / log(2), rel=1e-15)
