"""`charrnn plot`: charts, images, CSV and JSON of the metrics of runs."""

import csv
import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from charrnn.cli.app import app
from charrnn.cli.runs.run_metrics import Line, grid, read_metrics

Call = Callable[..., Result]
Rows = Callable[[Path], list[dict[str, Any]]]

TITLES = ["loss, nats per character", "learning rate", "gradient norm before clipping"]
REACH_TITLE = "gradient reach: characters back until it is below 1%"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, sentences: str, tiny: Sequence[str]) -> Path:
    """A finished run that was watched, to be read only."""
    place = tmp_path_factory.mktemp("watched")
    (place / "corpus.txt").write_text(sentences, encoding="utf-8")
    words = ["train", str(place / "corpus.txt"), *tiny, "--watch-gradients", "--layers", "2"]
    done = CliRunner().invoke(app, [*words, "--out", str(place / "run")], catch_exceptions=False)
    assert done.exit_code == 0
    return place / "run"


@pytest.fixture
def runs(finished_run: Path, watched: Path) -> tuple[Path, Path]:
    """A run that was not watched, and one that was, which is newer."""
    plain = Path(shutil.copytree(finished_run, "checkpoints/plain"))
    deep = Path(shutil.copytree(watched, "checkpoints/watched"))
    (deep / "metrics.jsonl").touch()
    return plain, deep


def titles(shown: str) -> list[str]:
    """Return the titles of the charts in an output."""
    return [line for line in shown.splitlines() if line in (*TITLES, REACH_TITLE)]


def write_rows(*rows: dict[str, Any], folder: str = ".") -> Path:
    Path(folder).mkdir(exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (Path(folder) / "metrics.jsonl").write_text(lines, encoding="utf-8")
    return Path(folder)


@pytest.mark.parametrize("charset", ["utf-8", "ascii"])
def test_one_run_shows_all_that_was_logged(charset: str, runs: tuple[Path, Path]) -> None:
    result = CliRunner(charset=charset).invoke(app, ["plot", str(runs[1])], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    assert titles(result.stdout) == [*TITLES, REACH_TITLE]
    assert "training" in result.stdout
    assert "validation" in result.stdout
    assert all(cell_len(line) <= 80 for line in result.stdout.splitlines())
    assert result.stdout.isascii() == (charset == "ascii")
    plain = CliRunner(charset=charset).invoke(app, ["plot", str(runs[0])]).stdout
    assert titles(plain) == TITLES


def test_without_a_name_the_newest_run_is_shown_and_named(
    run_cli: Call, runs: tuple[Path, Path]
) -> None:
    result = run_cli("plot")
    assert result.stderr == "charrnn: checkpoints/watched\n"
    assert result.stdout == run_cli("plot", runs[1]).stdout
    assert result.stdout == run_cli("plot", runs[1] / "best.npz").stdout


def test_several_runs_share_a_chart_by_their_names(run_cli: Call, runs: tuple[Path, Path]) -> None:
    shown = run_cli("plot", *runs).stdout
    assert "validation loss, nats per character\n" in shown
    assert shown.count("● plain   ■ watched") == 3
    assert "plain (no values)" in shown
    assert "not logged by plain: train with --watch-gradients" in shown
    only = run_cli("plot", *runs, "--metric", "rate", "--metric", "loss").stdout
    assert re.findall(r"^(learning rate|validation loss)", only, re.MULTILINE) == [
        *("learning rate", "validation loss"),
    ]
    twins = (shutil.copytree(runs[0], "a/run"), shutil.copytree(runs[0], "b/run"))
    assert "● a/run   ■ b/run" in run_cli("plot", *twins).stdout


def test_what_was_not_logged_is_said_where_it_was_asked_for(
    run_cli: Call, runs: tuple[Path, Path]
) -> None:
    result = run_cli("plot", runs[0], "--metric", "gradient-reach")
    assert result.exit_code == 0
    assert "nothing to draw: no values" in result.stdout


def test_csv_has_a_row_for_each_step_with_all_that_was_logged_there(
    run_cli: Call, runs: tuple[Path, Path], rows: Rows
) -> None:
    result = run_cli("plot", *runs, "--csv")
    assert result.exit_code == 0
    found = list(csv.DictReader(StringIO(result.stdout)))
    for run in runs:
        mine = {int(row["step"]): row for row in found if row["run"] == str(run)}
        assert list(mine) == list(range(1, 21))
        for logged in rows(run):
            row = mine[logged["step"]]
            for name, value in logged.items():
                if name in row:
                    assert float(row[name]) == value, (name, row)
            for state, line in logged.get("gradient_by_lag", {}).items():
                reach = line["horizon_chars"]
                reach = len(line["ratio"]) - 1 if reach is None else reach
                assert int(row[f"gradient_reach_chars.{state}"]) == reach
    at_ten = next(row for row in found if row["step"] == "10")
    assert at_ten["nats_per_char"]
    assert at_ten["validation_nats_per_char"]
    assert at_ten["gradient_reach_chars.layers.0.c"] == ""


def test_json_holds_the_same(run_cli: Call, runs: tuple[Path, Path]) -> None:
    plain = json.loads(run_cli("plot", runs[0], "--json").stdout)["runs"]
    assert [run["run"] for run in plain] == [str(runs[0])]
    table = list(csv.DictReader(StringIO(run_cli("plot", runs[0], "--csv").stdout)))
    for row, line in zip(plain[0]["rows"], table, strict=True):
        assert {"run": str(runs[0])} | {k: str(v) for k, v in row.items()} == {
            k: v for k, v in line.items() if v
        }


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_images_are_whole_and_the_same_each_time(
    ending: str, magic: bytes, run_cli: Call, runs: tuple[Path, Path]
) -> None:
    written = []
    for name in ("one", "two"):
        result = run_cli("plot", *runs, "--out", f"{name}.{ending}")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
        written.append(Path(f"{name}.{ending}").read_bytes())
    assert written[0].startswith(magic)
    assert written[0] == written[1]
    if ending == "svg":
        text = written[0].decode()
        for part in ("validation loss", "watched", "plain (not logged)", REACH_TITLE):
            assert f"<!-- {part}" in text


def test_names_with_signs_of_matplotlib_are_drawn(run_cli: Call, runs: tuple[Path, Path]) -> None:
    odd = (shutil.copytree(runs[0], "_under$x$"), shutil.copytree(runs[0], "<b>&"))
    assert run_cli("plot", *odd, "--out", "odd.svg").exit_code == 0
    text = Path("odd.svg").read_text(encoding="utf-8")
    assert "_under" in text
    assert "<b>" not in text.replace("<!-- <b>", "")


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        ([], 3, "no run under 'checkpoints'; try charrnn train first"),
        (["nowhere"], 3, "no metrics.jsonl in 'nowhere'; try the folder of a run"),
        (["corpus.txt"], 3, "no metrics.jsonl in 'corpus.txt'"),
        (["a\0b"], 2, "NUL character"),
        (["run", "--out", "plot.gif"], 2, ".png, .svg or .pdf"),
        (["run", "--out", "nowhere/a.png"], 5, "another place for --out"),
        (["run", "--csv", "--json"], 2, "--csv and --json contradict each other; try one of them"),
        (["run", "--metric", "speed"], 2, "gradient-norm"),
        ([f"{number}" for number in range(101)], 2, "101 runs are too many"),
        (["folder"], 5, "cannot read"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], code: int, fragment: str, run_cli: Call, corpus: Path
) -> None:
    write_rows({"step": 1, "nats_per_char": 2.0, "lr": 0.1}, folder="run")
    Path("folder/metrics.jsonl").mkdir(parents=True)
    result = run_cli("plot", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("charrnn: error: ")
    assert fragment in line


def test_without_matplotlib_the_option_is_named(
    run_cli: Call, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run_cli("plot", runs[0], "--out", "plot.png")
    assert result.exit_code == 2
    assert "--out needs matplotlib; try pip install matplotlib" in result.stderr
    assert run_cli("plot", runs[0]).exit_code == 0


def test_a_run_that_exploded_leaves_the_others_readable(run_cli: Call) -> None:
    steps = range(1, 101)
    exploding = [{"step": s, "nats_per_char": 10.0**s} for s in steps]
    write_rows(*({"step": s, "nats_per_char": 3 - s / 100} for s in steps), folder="good")
    write_rows(*exploding[:3], folder="bad")
    shown = run_cli("plot", "good", "bad", "--metric", "loss").stdout
    assert "1e+" not in shown
    assert "bad (training)" in shown
    write_rows(*exploding, folder="bad")
    assert "1e+100 ┤" in run_cli("plot", "good", "bad", "--metric", "loss").stdout


@pytest.mark.parametrize(
    "content", [b"", b"{\n[1]\n\xff\n", b'{"step": 1, "nats_per_char": NaN}\n']
)
def test_files_without_rows_have_nothing_to_draw(content: bytes, run_cli: Call) -> None:
    Path("metrics.jsonl").write_bytes(content)
    for arguments in ((), ("--metric", "rate"), ("--out", "plot.svg"), ("--json",)):
        assert run_cli("plot", ".", *arguments).exit_code == 0
    assert "nothing to draw" in run_cli("plot", ".").stdout
    assert run_cli("plot", ".", "--csv").stdout.startswith("run,step\n")


def test_names_in_a_file_do_not_steer_the_terminal(
    run_cli: Call, dangerous: frozenset[str]
) -> None:
    hostile = "[red]\x1b[31m\u202e"
    line = {"ratio": [1.0, 0.5], "horizon_chars": None, "rate_per_char": None}
    rows = [{"step": s, "nats_per_char": 2.0, "gradient_by_lag": {hostile: line}} for s in (1, 2)]
    write_rows(*rows, folder=hostile)
    write_rows(*rows, folder="other")
    shown = run_cli("plot", hostile, "other").stdout
    assert not dangerous & set(shown)
    assert "[red]␛[31m" in shown


def test_a_run_that_was_resumed_has_each_step_once(
    run_cli: Call, corpus: Path, tiny: Sequence[str], at_step: Callable[..., None]
) -> None:
    at_step(13, lambda: signal.raise_signal(signal.SIGINT))
    assert run_cli("train", corpus, *tiny).exit_code == 130
    at_step(0, lambda: None)
    assert run_cli("train", "--resume", "checkpoints/corpus", "--quiet").exit_code == 0
    assert list(read_metrics(Path("checkpoints/corpus")).rows) == list(range(1, 21))


def test_lines_on_a_grid_are_means_and_lie_between_their_neighbours() -> None:
    assert grid(10, 6) == [0, 2, 4, 6, 8, 10]
    assert grid(3, 100) == [0, 1, 2, 3]
    assert grid(0, 5) == [0]
    line = Line("a", (2, 3, 8), (1.0, 3.0, 5.0))
    assert line.on_grid(10, 11) == [None, None, 1.0, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0, None, None]
    assert line.on_grid(10, 2) == [2.0, 5.0]
    assert line.on_grid(0, 1) == [3.0]
    assert Line("empty", (), ()).on_grid(10, 3) == [None] * 3
