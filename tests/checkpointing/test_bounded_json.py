"""JSON from files: what is read, and each limit at its edge."""

import sys

import pytest

from charrnn.checkpointing.bounded_json import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_INTEGER_DIGITS,
    parse_json,
)

LONGEST = "9" * MAX_INTEGER_DIGITS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (LONGEST, int(LONGEST)),
        (f"-{LONGEST}", -int(LONGEST)),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
        (f"[{'[],' * (MAX_CONTAINERS - 2)}[]]", [[]] * (MAX_CONTAINERS - 1)),
        ('{"a": {"a": 1.5}}', {"a": {"a": 1.5}}),
    ],
)
def test_what_is_within_the_limits_is_read(text: str, value: object) -> None:
    found = parse_json(text)
    assert value is None or found == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{LONGEST}9", "an integer has over 40 digits"),
        (f'{{"step": -{LONGEST}9}}', "an integer has over 40 digits"),
        ("9" * (sys.get_int_max_str_digits() + 1), "an integer has over 40 digits"),
        ("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH, "is nested deeper than 50"),
        ("[" * 9_000 + "]" * 9_000, "is nested deeper than 50"),
        (f"[{'[],' * (MAX_CONTAINERS - 1)}[]]", "has over 10,000 lists"),
        ('{"a": 1, "a": 1}', "a key occurs twice"),
        ("[NaN]", "a number is not finite"),
        ("-Infinity", "a number is not finite"),
        ("1e999", "a number is not finite"),
        ("{'a': 1}", "is not strict JSON"),
        ("", "is not strict JSON"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_json(text)
