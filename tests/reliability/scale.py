"""Sizes of the reliability tests: small in every run of the tests, full with `-m reliability`."""

from typing import Any

import pytest


def tries(quick: int, *, whole: int) -> tuple[Any, ...]:
    """Return the parameters of a test: `quick` tries in every run, `whole` with the marker.

    Example:
        >>> [parameter.values for parameter in tries(5, whole=200)]
        [(5,), (200,)]
    """
    return pytest.param(quick), pytest.param(whole, marks=pytest.mark.reliability)
