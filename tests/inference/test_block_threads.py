"""Threads for blocks: their number, errors, and the BLAS as it was before."""

import threading

import pytest
from threadpoolctl import threadpool_limits

from charrnn.inference.block_threads import BlockThreads, blas_threads

PARTS = [(slice(number, number + 1),) for number in range(4)]


def test_threads_are_as_many_as_the_blas_may_use() -> None:
    with threadpool_limits(1, user_api="blas"), BlockThreads() as threads:
        seen = set()
        threads.for_each(lambda _: seen.add(threading.get_ident()), PARTS)
        assert seen == {threading.get_ident()}
    with threadpool_limits(2, user_api="blas"):
        both = threading.Barrier(2, timeout=20)
        with BlockThreads() as threads:
            assert blas_threads() == 1
            threads.for_each(lambda _: both.wait(), PARTS)  # passes with two threads only
        assert blas_threads() == 2


def test_an_error_in_a_thread_is_raised_and_the_blas_keeps_its_threads() -> None:
    def fail(part: slice) -> None:
        if part.start:
            raise MemoryError(part.start)

    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(MemoryError, match="1"), BlockThreads() as threads:
            threads.for_each(fail, PARTS)
        assert blas_threads() == 2


def test_there_is_one_thread_outside_of_the_context() -> None:
    with threadpool_limits(2, user_api="blas"):
        threads, seen = BlockThreads(), set()
        threads.for_each(lambda _: seen.add(threading.get_ident()), PARTS)
        assert seen == {threading.get_ident()}
