"""JSON from files: of bounded depth, and without what Python accepts beyond the standard.

For the metadata of checkpoints, run.json and the rows of metrics.jsonl. The caller bounds the
length of the text.
"""

import json
import math
from typing import Any

MAX_CONTAINERS = 10_000  # lists and objects; 2 bytes may take 100 in memory
MAX_DEPTH = 50  # nested lists and objects
MAX_INTEGER_DIGITS = 40  # 128 bits, as in the states of random generators, have 39


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for what is not JSON, for NaN and infinities, for a key that occurs twice in
    an object, and for more than `MAX_CONTAINERS`, `MAX_DEPTH` or `MAX_INTEGER_DIGITS`. The message
    begins with "is" or "has" and contains nothing of the text.

    Example:
        >>> parse_json('{"step": 5}')
        {'step': 5}
    """
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise ValueError(f"has over {MAX_CONTAINERS:,} lists")
    try:
        value = json.loads(
            text,
            object_pairs_hook=reject_duplicate_keys,
            parse_float=parse_finite_float,
            parse_int=parse_bounded_integer,
            parse_constant=parse_finite_float,
        )
        nesting = nesting_depth(value)
    except ValueError as error:
        reason = str(error).partition(":")[0]
        raise ValueError(f"is not strict JSON: {reason}") from error
    except RecursionError:
        nesting = MAX_DEPTH + 1
    if nesting > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH}")
    return value


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return `pairs` as a dictionary; raise ValueError if a key occurs twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def parse_finite_float(number: str) -> float:
    """Return `number` as a float; raise ValueError for NaN and for what is too large."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def parse_bounded_integer(number: str) -> int:
    """Return `number` as an int; raise ValueError for more than `MAX_INTEGER_DIGITS`.

    No integer that is read overflows a float64.
    """
    if len(number.removeprefix("-")) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer has over {MAX_INTEGER_DIGITS} digits")
    return int(number)


def nesting_depth(value: Any) -> int:
    """Return the number of nested lists and objects, plus one for the innermost value."""
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(
        map(nesting_depth, children if isinstance(value, dict | list) else ()), default=0
    )
