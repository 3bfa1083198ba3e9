"""Notebooks: models, evaluations and profiles as HTML; the stored notebook and its cells."""

import html.parser
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import charrnn
from charrnn.analysis.gradient_profile import GradientProfile, gradient_profile
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.info import readable
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.evaluation.pairs import PairScore
from charrnn.inference.description import describe
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.notebook_html import COLOURS, MAX_POINTS, html_table, log_chart

ROOT = Path(charrnn.__file__).parents[1]
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&"


class Cells(html.parser.HTMLParser):
    """Collects the rows of tables, and fails at any tag that is not expected."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.opened: list[str] = []
        self.feed(content)
        assert not self.opened

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "table", "caption", "thead", "tr", "th", "td"} | SVG, tag
        assert not [name for name, _ in attributes if name.startswith("on") or name == "href"]
        self.opened.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in SVG

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.opened[-1:] in (["th"], ["td"]):
            self.rows[-1][-1] += data


SVG = {"svg", "line", "text", "polyline"}


def model(name: str = "nothing", **settings: Any) -> charrnn.Model:
    vocabulary = Vocabulary("abc\n")
    config = ModelConfig(4, 4, **({"hidden": 4} | settings))
    weights = initialise(config, np.random.default_rng(0))
    record = CorpusRecord(name, "0" * 64, 1234, 0.1)
    return charrnn.Model(Checkpoint(config, vocabulary, weights, record, 7))


def profile(**settings: Any) -> GradientProfile:
    one = model(**settings)
    ids = np.random.default_rng(0).integers(0, 4, 500)
    return gradient_profile(one.config, one.parameters, ids, lags=20, windows=10)


def test_a_model_shows_the_lines_of_info() -> None:
    one = model()
    rows = dict(Cells(one._repr_html_()).rows)
    lines = readable({"path": "x"} | describe(one.checkpoint))
    same = lines.keys() - {"checkpoint", "vocabulary", "not visible"}
    assert len(same) >= 6
    assert {name: rows[name] for name in same} == {name: lines[name] for name in same}
    assert rows["vocabulary"] == "4 characters"


def test_names_are_escaped_and_made_visible() -> None:
    shown = model(HOSTILE)._repr_html_()
    assert "<script" not in shown
    assert not set(shown) & set("\x1b\u202e")
    assert "<script>alert(1)</script><U+001B>[31m<U+202E>\"'&, 1,234" in Cells(shown).rows[3][1]
    for content in (html_table([(HOSTILE, HOSTILE)], (HOSTILE,), HOSTILE),):
        assert "<script" not in content
        assert Cells(content).rows[1] == [HOSTILE, HOSTILE]
    assert "<script" not in log_chart({HOSTILE: [1.0]}, HOSTILE, HOSTILE)


def test_an_evaluation_shows_its_loss_in_all_units() -> None:
    score = model().evaluate("abcabcab\n" * 3)
    heading, row = Cells(score._repr_html_()).rows
    assert heading == ["per character", "nats", "bits", "perplexity"]
    assert row[0] == "this model"
    figures = (score.nats_per_char, score.bits_per_char, score.perplexity)
    assert list(map(float, row[1:])) == pytest.approx(figures, abs=0.005)
    assert "27 characters" in score._repr_html_()


def test_a_model_of_pairs_shows_its_layout_and_its_labels_escaped() -> None:
    pairing = PairVocabulary("many-to-one", ("a", "b"), (HOSTILE, *map(str, range(30))))
    config = ModelConfig(2, 31, hidden=4, bidirectional="last")
    one = charrnn.Predictor(config, initialise(config, np.random.default_rng(0)), pairing)
    shown = one._repr_html_()
    assert "<script" not in shown
    assert not set(shown) & set("\x1b\u202e")
    rows = dict(Cells(shown).rows)
    assert rows["model"] == f"1 × 4 lstm, bidirectional, {config.size:,} parameters"
    assert rows["layout"] == "many-to-one: a text to a label"
    assert rows["reads"] == "2 characters"
    assert rows["answers"].startswith("31 labels: ")
    assert "<U+001B>[31m<U+202E>" in rows["answers"]
    assert rows["answers"].endswith("'18' and 11 more")


def test_a_score_of_pairs_shows_its_figures() -> None:
    score = PairScore(0.5, 0.75, 0.25, 1200, 4800, np.zeros(1200, np.int64))
    heading, row = Cells(score._repr_html_()).rows
    assert heading == ["per symbol", "nats", "bits", "accuracy", "exact match"]
    assert row == ["this model", "0.5000", "0.7213", "75.00%", "25.00%"]
    assert "1,200 examples, 4,800 symbols" in score._repr_html_()


@pytest.mark.parametrize("settings", [{"cell": "lstm", "layers": 2}, {"cell": "rnn"}])
def test_a_profile_shows_each_state_and_its_curve(settings: dict[str, Any]) -> None:
    found = profile(**settings)
    content = found._repr_html_()
    heading, *rows = Cells(content).rows
    assert heading == ["state", "halved after", "1% after", "per character"]
    assert [row[0] for row in rows] == [f"layer {line.layer} {line.state}" for line in found.lines]
    for row, line in zip(rows, found.lines, strict=True):
        assert row[2] == ("> 20" if line.horizon_chars is None else str(line.horizon_chars))
    svg = ElementTree.fromstring(content[content.index("<svg") : -len("</div>")])
    drawn = [line for line in svg.iter() if line.tag.endswith("polyline")]
    assert len(drawn) == len(found.lines)


def points(svg: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]
        for line in re.findall('points="([^"]*)"', svg)
    ]


def test_a_chart_is_logarithmic_and_leaves_gaps() -> None:
    (line,) = points(log_chart({"a": [1.0, 0.1, 0.01]}, "x", "y"))
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(line)]
    assert steps[0] == pytest.approx(steps[1], abs=0.11)
    assert steps[0][1] > 10
    gaps = points(log_chart({"a": [1.0, None, 0.5, 0.0, float("nan"), 0.2]}, "x", "y"))
    assert [len(piece) for piece in gaps] == [1, 1, 1]
    nothing: tuple[list[float | None], ...] = ([], [None], [float("inf"), -1.0])
    for values in nothing:
        assert not points(log_chart({"a": values}, "x", "y"))
    ElementTree.fromstring(log_chart({}, "x", "y"))
    huge = points(log_chart({"a": [1e300, 1.0, 1e-300], "b": [1.0] * 5000}, "x", "y"))
    assert all(0 <= x <= 560 and 0 <= y <= 240 for piece in huge for x, y in piece)
    assert MAX_POINTS <= len(huge[-1]) < 2 * MAX_POINTS


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", COLOURS)
def test_curves_are_seen_on_light_and_on_dark(colour: str) -> None:
    light, dark = luminance("#ffffff") + 0.05, luminance("#111111") + 0.05
    own = luminance(colour) + 0.05
    assert light / own >= 3
    assert own / dark >= 3


def stored_notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))
    return found


def from_script(code: str, folder: Path) -> Any:
    """Return the JSON value that a program prints in which docs/make_notebook.py is `made`."""
    paths = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "docs")))}
    done = subprocess.run(
        [sys.executable, "-c", f"import json, make_notebook as made\nprint(json.dumps({code}))"],
        cwd=folder,
        env=os.environ | paths,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def kinds(notebook: dict[str, Any]) -> list[list[tuple[str, list[str]]]]:
    """Return the kinds of outputs of each cell of code."""
    return [
        [(output["output_type"], sorted(output.get("data", ()))) for output in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def tables(notebook: dict[str, Any]) -> list[list[list[str]]]:
    return [
        Cells("".join(output["data"]["text/html"])).rows
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "data" in output
    ]


def test_the_stored_notebook_has_the_cells_of_its_script_and_their_outputs(tmp_path: Path) -> None:
    stored = stored_notebook()
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in stored["cells"]]
    assert cells == from_script("made.CELLS", tmp_path), "run: python docs/make_notebook.py"
    html_output = [("execute_result", ["text/html", "text/plain"])]
    stream: list[tuple[str, list[str]]] = [("stream", [])]
    assert kinds(stored) == [[], html_output, stream, html_output, html_output, stream]
    assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)
    assert len(tables(stored)) == 3
    assert not re.search("/(home|root|tmp|work)/", json.dumps(stored))


@pytest.mark.slow
def test_running_the_cells_gives_the_stored_outputs(tmp_path: Path) -> None:
    """The built-in text differs between versions of Python, and so may the figures a little."""
    stored, made = stored_notebook(), from_script("made.run_cells(made.CELLS)", tmp_path)
    assert kinds(made) == kinds(stored)
    for one, other in zip(tables(made), tables(stored), strict=True):
        assert [row[0] for row in one] == [row[0] for row in other]
    nats = [float(tables(notebook)[1][1][1]) for notebook in (made, stored)]
    assert nats[0] == pytest.approx(nats[1], abs=0.15)
