"""Run records: defensive reading of run.json and metrics.jsonl.

The files may be damaged, or made by another program. They must be regular files of bounded size;
values of an unexpected type or range are left out.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from charrnn.checkpointing.bounded_json import parse_json
from charrnn.system.files import open_regular_file, read_regular_file

MAX_FACTS_BYTES = 2**20
MAX_ROW_CHARACTERS = 2**20
MAX_METRICS_BYTES = 2**28
MAX_JSON_INTEGER = 2**53
"""Largest integer that is read: up to here float64 represents every integer."""

MAX_PATH_CHARACTERS = 4096
"""Characters of a path: the limit of most file systems."""

NUMBERS = (
    *("epoch", "characters", "nats_per_char", "bits_per_char", "lr", "chars_per_second"),
    *("gradient_norm", "gradient_norm_clipped", "profile_every"),
    *("validation_nats_per_char", "validation_bits_per_char", "validation_nats_per_symbol"),
)
"""Fields of a row that hold a finite number."""


def read_facts(folder: Path) -> dict[str, Any]:
    """Return run.json of a run's folder, or an empty dictionary if it cannot be read."""
    try:
        content = read_regular_file(folder / "run.json", MAX_FACTS_BYTES)
    except OSError:
        return {}
    facts = parse_or_none(content.decode("utf-8", "replace"))
    return facts if isinstance(facts, dict) else {}


def sources_in(facts: dict[str, Any]) -> list[str]:
    """Return the paths of the training data in run.json, without standard input."""
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
    """Return a path in the file system encoding of this process.

    Needed, for instance, for a run that was trained in a UTF-8 locale and is read with `LC_ALL=C`.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return os.fsdecode(path.encode("utf-8", "surrogateescape"))
    return path


def planned_steps(facts: dict[str, Any]) -> int | None:
    """Return the planned number of steps in run.json, or None if it is missing."""
    return as_count(facts.get("steps"))


def parse_or_none(text: str) -> Any:
    """Return the value of a JSON text, or None if `bounded_json` refuses it."""
    try:
        return parse_json(text)
    except ValueError:
        return None


def as_count(value: object) -> int | None:
    """Return `value` if it is an integer from 0 to `MAX_JSON_INTEGER`, else None."""
    return value if type(value) is int and 0 <= value <= MAX_JSON_INTEGER else None


def as_number(value: object) -> float | None:
    """Return `value` as a float if it is a finite number, else None."""
    if type(value) not in (int, float):
        return None
    found = float(value)  # type: ignore[arg-type]  # an int or a float
    return found if math.isfinite(found) else None


def parse_row(line: str) -> dict[str, Any] | None:
    """Return the valid fields of a row of metrics.jsonl, or None for a row without a step."""
    row = parse_or_none(line)
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
    """Return the fields of a JSON object that are finite numbers."""
    if not isinstance(values, dict):
        return {}
    found = {name: as_number(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def line_by_lag(line: object) -> dict[str, Any] | None:
    """Return the gradient by lag of one state in a row, or None if it is invalid."""
    if not isinstance(line, dict) or not isinstance(line.get("ratio"), list):
        return None
    return {
        "ratio": [as_number(value) for value in line["ratio"]],
        "horizon_chars": as_number(line.get("horizon_chars")),
        "rate_per_char": as_number(line.get("rate_per_char")),
    }


def open_metrics(path: Path) -> IO[str]:
    """Open metrics.jsonl for reading. Raises OSError, also for what is not a regular file."""
    descriptor = open_regular_file(path, os.O_RDONLY, follow_links=True)
    return os.fdopen(descriptor, encoding="utf-8", errors="replace")


def complete_lines(file: IO[str]) -> Iterator[str]:
    """Yield the complete lines from the current position.

    The position is then at the end of the last complete line.
    """
    while True:
        begin = file.tell()
        line = file.readline(MAX_ROW_CHARACTERS)
        if not line.endswith("\n"):
            file.seek(begin)
            return
        yield line
