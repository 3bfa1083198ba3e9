"""Reading run.json and metrics.jsonl, which may be damaged or made by somebody else.

Nothing in them is trusted: files are regular ones of bounded size, values have the expected types
and ranges, and what does not fit is left out.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from charrnn.system.files import open_regular_file, read_regular_file

MAX_FACTS_BYTES = 2**20
MAX_ROW_CHARACTERS = 2**20
MAX_METRICS_BYTES = 2**28
MAX_JSON_INTEGER = 2**53
"""Largest step that is read: the largest integer of a float64."""

MAX_PATH_CHARACTERS = 4096
"""Characters of a path, as of most file systems."""

NUMBERS = (
    *("epoch", "characters", "nats_per_char", "bits_per_char", "lr", "chars_per_second"),
    *("gradient_norm", "gradient_norm_clipped", "profile_every"),
    *("validation_nats_per_char", "validation_bits_per_char", "validation_nats_per_symbol"),
)
"""Fields of a row that hold a finite number."""


def read_facts(folder: Path) -> dict[str, Any]:
    """Return run.json of a run's folder, or nothing if it is missing, damaged or no file."""
    try:
        content = read_regular_file(folder / "run.json", MAX_FACTS_BYTES)
    except OSError:
        return {}
    facts = parse_json(content.decode("utf-8", "replace"))
    return facts if isinstance(facts, dict) else {}


def sources_in(facts: dict[str, Any]) -> list[str]:
    """Return the files that run.json names as the run's text, except for standard input."""
    found = facts.get("sources")
    if not isinstance(found, list):
        return []
    return [local_path(source) for source in found if is_path(source) and source != "-"]


def is_path(value: object) -> bool:
    """Return whether a value can be the path of a file."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PATH_CHARACTERS or "\0" in value:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def local_path(path: str) -> str:
    """Return a path under the name that it has in this process's file system encoding.

    A run that was trained under UTF-8 is read with `LC_ALL=C`, for example.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return os.fsdecode(path.encode("utf-8", "surrogateescape"))
    return path


def planned_steps(facts: dict[str, Any]) -> int | None:
    """Return the number of steps of a run, or None if run.json does not tell."""
    return as_count(facts.get("steps"))


def parse_json(text: str) -> Any:
    """Return a JSON value, or None for what is no JSON or too deeply nested."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def as_count(value: object) -> int | None:
    """Return a value if it is a count, else None."""
    return value if type(value) is int and 0 <= value <= MAX_JSON_INTEGER else None


def as_number(value: object) -> float | None:
    """Return a value as a float if it is a finite number, else None."""
    if type(value) not in (int, float):
        return None
    try:
        found = float(value)  # type: ignore[arg-type]  # an int or a float
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def parse_row(line: str) -> dict[str, Any] | None:
    """Return a row of metrics.jsonl with the fields that make sense; None without a step."""
    row = parse_json(line)
    if not isinstance(row, dict) or (step := as_count(row.get("step"))) is None:
        return None
    found: dict[str, Any] = {"step": step}
    for name in NUMBERS:
        if (value := as_number(row.get(name))) is not None:
            found[name] = value
    if "gradient_norm" in found:
        found.setdefault("gradient_norm_clipped", found["gradient_norm"])
    norms = numbers_by_name(row.get("gradient_norms"))
    if norms:
        found["gradient_norms"] = norms
        found["update_to_weight"] = numbers_by_name(row.get("update_to_weight"))
    lags = row.get("gradient_by_lag")
    if isinstance(lags, dict):
        lines = {name: line_by_lag(line) for name, line in lags.items()}
        found["gradient_by_lag"] = {name: line for name, line in lines.items() if line is not None}
    return found


def numbers_by_name(values: object) -> dict[str, float]:
    """Return the finite numbers of an object."""
    if not isinstance(values, dict):
        return {}
    found = {name: as_number(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def line_by_lag(line: object) -> dict[str, Any] | None:
    """Return what a row tells about the gradient by lag of one state, or None."""
    if not isinstance(line, dict) or not isinstance(line.get("ratio"), list):
        return None
    return {
        "ratio": [as_number(value) for value in line["ratio"]],
        "horizon_chars": as_number(line.get("horizon_chars")),
        "rate_per_char": as_number(line.get("rate_per_char")),
    }


def open_metrics(path: Path) -> IO[str]:
    """Open metrics.jsonl for reading. Raises OSError if it is a pipe, a device or a folder."""
    descriptor = open_regular_file(path, os.O_RDONLY, follow_links=True)
    return os.fdopen(descriptor, encoding="utf-8", errors="replace")


def complete_lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines that end, from where the file stands; leave it before one that does not."""
    while True:
        begin = file.tell()
        line = file.readline(MAX_ROW_CHARACTERS)
        if not line.endswith("\n"):
            file.seek(begin)
            return
        yield line
