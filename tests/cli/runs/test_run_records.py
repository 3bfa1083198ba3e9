"""run.json and metrics.jsonl, damaged or hostile: what does not fit is left out."""

import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from charrnn.checkpointing import run_records
from charrnn.checkpointing.run_records import (
    complete_lines,
    open_metrics,
    parse_row,
    read_facts,
    sources_in,
)
from charrnn.cli.output.gradient_panel import GradientPanel
from charrnn.cli.runs import metrics_log
from charrnn.cli.runs.metrics_log import MetricsLog
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.errors import StorageError

DEEP = "[" * 100_000
ROW = {"step": 5, "nats_per_char": 2.5, "gradient_norm": 1.0, "gradient_norm_clipped": 0.25}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", DEEP.encode(), b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_damaged_facts_are_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert read_facts(tmp_path) == {}


def test_facts_are_read_from_a_regular_file_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    os.mkfifo(path)
    assert read_facts(tmp_path) == {}
    path.unlink()
    path.symlink_to("/dev/zero")
    assert read_facts(tmp_path) == {}
    path.unlink()
    path.write_text(json.dumps({"machine": "A" * 3_000_000}), encoding="utf-8")
    assert read_facts(tmp_path) == {}


@pytest.mark.parametrize(
    "sources", [5, "/proc", None, ["a\0b"], ["\ud800"], [""], [3], ["x" * 9999]]
)
def test_sources_are_paths(sources: Any) -> None:
    assert sources_in({"sources": sources}) == []
    assert sources_in({"sources": ["a.txt", "-", "b.txt"]}) == ["a.txt", "b.txt"]


def test_sources_are_named_in_the_encoding_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run of a UTF-8 locale, read in the C locale."""
    monkeypatch.setattr(os, "fsencode", lambda path: path.encode("ascii", "surrogateescape"))
    monkeypatch.setattr(os, "fsdecode", lambda path: path.decode("ascii", "surrogateescape"))
    assert sources_in({"sources": ["a", "é"]}) == ["a", "\udcc3\udca9"]


@pytest.mark.parametrize(
    "line",
    [
        *("", "5", "[]", "{}", DEEP, '{"step": ' + "9" * 5000 + "}"),
        *('{"step": "x"}', '{"step": null}', '{"step": -1}', '{"step": true}', '{"step": 1e3}'),
    ],
)
def test_a_line_without_a_step_is_no_row(line: str) -> None:
    assert parse_row(line) is None


ODD: list[dict[str, Any]] = [
    {"gradient_norm": 1.0},
    {"gradient_norm": None},
    {"gradient_norm": 10**39},
    {"gradient_norm": "1"},
    {**ROW, "nats_per_char": None},
    {"validation_nats_per_char": None},
    {"gradient_norms": [1]},
    {"gradient_norms": {"a": 1.0}},
    {"gradient_norms": {"a": "x"}, "update_to_weight": 3},
    {"gradient_by_lag": [1]},
    {"gradient_by_lag": {"a": 1}},
    {"gradient_by_lag": {"a": {"ratio": ["x", None, 1.0], "horizon_chars": "far"}}},
    {"gradient_by_lag": {"a": {"ratio": []}}},
]


@pytest.mark.parametrize("fields", ODD, ids=repr)
def test_a_row_with_odd_fields_is_shown_without_them(fields: dict[str, Any]) -> None:
    watched = GradientPanel()
    watched.add(ROW)
    row = parse_row(json.dumps({"step": 6} | fields))
    assert row is not None
    watched.add(row)
    console = Console(width=80, file=io.StringIO())
    console.print(watched)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir])
def test_metrics_are_a_regular_file(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    make(path)
    with pytest.raises(OSError, match="not a file"):
        open_metrics(path)


def test_a_link_that_leads_out_of_the_folder_is_not_written_to(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").symlink_to("../outside")
    log = MetricsLog(run / "metrics.jsonl")
    log.add(ROW)
    log.flush()
    assert log.failure is not None
    (run / "lock").symlink_to("../outside")
    with pytest.raises(StorageError, match="cannot write"):
        RunFolder(run)
    assert not (tmp_path / "outside").exists()


def test_rows_after_a_step_and_lines_that_are_none_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    good = [json.dumps({"step": step}) for step in (1, 2, 3)]
    path.write_bytes("\n".join([good[0], DEEP, good[1], good[2], "{"]).encode() + b"\n\xff\n")
    MetricsLog(path).drop_after(2, 2)
    assert path.read_text(encoding="utf-8") == f"{good[0]}\n{good[1]}\n"


@pytest.mark.parametrize("loss", ["validation_nats_per_char", "validation_nats_per_symbol"])
def test_a_validation_that_is_repeated_has_one_row(tmp_path: Path, loss: str) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": 2}, {"step": 2, loss: 1.5}, {"step": 4}, {"step": 4, loss: 1.25}]
    lines = [f"{json.dumps(row)}\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    MetricsLog(path).drop_after(4, 2)
    assert path.read_text(encoding="utf-8") == "".join(lines[:3])


def test_a_line_is_read_up_to_a_largest_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_records, "MAX_ROW_CHARACTERS", 12)
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{"x" * 30}\n{{"step": 2}}\n')
    with open_metrics(tmp_path / "metrics.jsonl") as file:
        assert list(complete_lines(file)) == ['{"step": 1}\n']


def test_rows_are_read_up_to_a_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [f'{{"step": {step}}}\n' for step in range(1, 6)]
    monkeypatch.setattr(metrics_log, "MAX_METRICS_BYTES", 3 * len(lines[0]))
    path.write_text("".join(lines), encoding="utf-8")
    MetricsLog(path).drop_after(5, 5)
    assert path.read_text(encoding="utf-8") == "".join(lines[:3])


def test_rows_are_dropped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    row = json.dumps({"step": 1, "x": "x" * 10_000}) + "\n"
    path.write_text(row * 2_000 + '{"step": 9}\n', encoding="utf-8")
    size = path.stat().st_size
    tracemalloc.start()
    try:
        MetricsLog(path).drop_after(2, 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == size - len('{"step": 9}\n')
    assert peak < size / 3
