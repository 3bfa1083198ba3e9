"""A picture file is a picture of the kind its name says, or one line says why there is none."""

import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from charrnn.cli.output import image_plots
from charrnn.cli.output.image_plots import (
    Curve,
    HeatMap,
    check_plot,
    matplotlib_text,
    profile_figure,
    save_plot,
)
from charrnn.errors import StorageError, UsageError

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed"
)

LAGS = range(101)
HOSTILE = "_a $x$ \x1b[31m\n\u202e漢 $"


def curve(name: str, rate: float = 0.9) -> Curve:
    """Return a geometric profile with a band."""
    values = [rate**lag for lag in LAGS]
    return Curve(name, LAGS, values, [v / 2 for v in values], [v * 2 for v in values])


LAYERS = HeatMap(LAGS, {"layer 1": curve("").values, "layer 2": [None, 0.0, 1e300, 1.0]})
ODD = {
    "nothing": [],
    "no values": [Curve("a", [], [])],
    "only gaps": [Curve("a", [0, 1], [None, None])],
    "one lag": [Curve("a", [0], [1.0], [0.5], [2.0])],
    "zeros": [Curve("a", [0, 1], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])],
    "extremes": [Curve("a", [0, 1, 2, 3], [1.0, 1e-300, 1e300, float("inf")])],
    "not numbers": [Curve("a", [0, 1], [float("nan"), -1.0])],
    "hostile": [curve(HOSTILE)],
    "many": [curve(f"curve {index}") for index in range(12)],
}


@pytest.mark.parametrize("name", ["profile", "profile.jpg", ".png", "profile.png.txt"])
def test_an_ending_that_names_no_format_is_refused_before_anything_is_computed(name: str) -> None:
    with pytest.raises(UsageError, match=r"names no format; try \.png, \.svg or \.pdf"):
        check_plot(Path(name))


def test_without_matplotlib_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = r"--plot needs matplotlib; try pip install matplotlib"
    with pytest.raises(UsageError, match=f"^{line}$") as raised:
        check_plot(tmp_path / "a.png")
    assert raised.value.exit_code == 2
    with pytest.raises(UsageError, match=f"^{line}$"):
        save_plot(tmp_path / "a.png", [curve("a")], title="a")
    assert not list(tmp_path.iterdir())


@needs_matplotlib
@pytest.mark.parametrize(
    ("ending", "begins"), [("png", b"\x89PNG\r\n"), ("SVG", b"<?xml"), ("pdf", b"%PDF-")]
)
def test_the_ending_decides_the_format_and_equal_data_give_equal_bytes(
    tmp_path: Path, ending: str, begins: bytes
) -> None:
    paths = [tmp_path / f"{number}.{ending}" for number in (1, 2)]
    for path in paths:
        save_plot(path, [curve("a"), curve("b", 1.1)], title="two", heat_map=LAYERS)
    assert paths[0].read_bytes().startswith(begins)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths


@needs_matplotlib
def test_an_svg_is_well_formed_and_undated(tmp_path: Path) -> None:
    save_plot(tmp_path / "a.svg", [curve(HOSTILE)], title=HOSTILE, heat_map=LAYERS)
    content = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ET.fromstring(content).tag.endswith("svg")
    assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", content)


@needs_matplotlib
@pytest.mark.parametrize("name", ODD)
def test_odd_data_make_a_picture_and_no_noise(tmp_path: Path, name: str) -> None:
    save_plot(tmp_path / "a.png", ODD[name], title=name)
    assert (tmp_path / "a.png").stat().st_size > 1000


@needs_matplotlib
@pytest.mark.parametrize("heat_map", [LAYERS, HeatMap([], {}), HeatMap([0], {"l": []})])
def test_odd_layers_make_a_picture_and_no_noise(tmp_path: Path, heat_map: HeatMap) -> None:
    save_plot(tmp_path / "a.png", ODD["hostile"], title="$", heat_map=heat_map)
    assert (tmp_path / "a.png").stat().st_size > 1000


@needs_matplotlib
@pytest.mark.parametrize("name", ["lstm", "checkpoints/a rather long name of a run/best.npz" * 3])
@pytest.mark.parametrize("curves", [1, 4, 9])
def test_no_text_is_clipped_and_the_legend_lies_outside_the_data(name: str, curves: int) -> None:
    layers = HeatMap(LAGS, {name: curve(name).values, "layer 2": curve(name).values})
    with image_plots.default_style():
        figure = profile_figure(
            [curve(f"{index} {name}") for index in range(curves)], title=name, heat_map=layers
        )
        figure.draw_without_rendering()
        used, page = figure.get_tightbbox(), figure.bbox_inches
        assert page.x0 <= used.x0 <= used.x1 <= page.x1
        assert page.y0 <= used.y0 <= used.y1 <= page.y1
        legend = figure.legends[0].get_window_extent()
        assert not any(legend.overlaps(panel.get_tightbbox()) for panel in figure.axes)


@needs_matplotlib
def test_axes_have_labels_with_units_and_the_guide_lies_at_1_percent() -> None:
    figure = profile_figure([curve("a")], title="t", heat_map=LAYERS)
    figure.draw_without_rendering()
    curves_panel, layers_panel, *_ = figure.axes
    assert curves_panel.get_xlabel() == layers_panel.get_xlabel() == "characters back"
    assert curves_panel.get_ylabel() == "gradient norm relative to lag 0"
    assert curves_panel.get_yscale() == "log"
    assert [0.01, 0.01] in [list(line.get_ydata()) for line in curves_panel.lines]
    labels = [label.get_text() for label in curves_panel.get_yticklabels()]
    assert {"1", "10%", "1%", "0.1%"} <= set(labels)
    assert [label.get_text() for label in layers_panel.get_yticklabels()] == ["layer 1", "layer 2"]
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert shown == {"a", "shaded: p10 to p90"}


@needs_matplotlib
def test_the_legend_shows_names_that_matplotlib_would_hide_or_typeset() -> None:
    figure = profile_figure([Curve("_a", [0], [1.0]), Curve("$x$", [0], [1.0])], title="t")
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_a", r"\$x\$"]


def test_names_are_on_one_line_short_and_no_formula() -> None:
    assert matplotlib_text("a\n\x1b$x$", 20) == r"a␊␛\$x\$"
    assert len(matplotlib_text("x" * 500, 76)) == 76


@needs_matplotlib
def test_a_picture_that_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.svg"
    path.write_text("before", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match=r"cannot write .*a\.svg': No space left"):
        save_plot(path, [curve("a")], title="t")
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


@needs_matplotlib
def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory; try another place"):
        save_plot(tmp_path / "no" / "a.png", [curve("a")], title="t")


@needs_matplotlib
def test_nobodys_settings_count_and_none_are_left_behind(tmp_path: Path) -> None:
    save_plot(tmp_path / "1.png", [curve("a")], title="t")
    matplotlib: Any = sys.modules["matplotlib"]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        save_plot(tmp_path / "2.png", [curve("a")], title="t")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


@needs_matplotlib
def test_pyplot_is_never_loaded(tmp_path: Path, process: Callable[..., Any]) -> None:
    program = (
        "import sys; from pathlib import Path; from charrnn.cli.output.image_plots import *; "
        "assert 'matplotlib' not in sys.modules; "
        "save_plot(Path('a.png'), [Curve('a', [0, 1], [1.0, 0.5])], title='t'); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    result = process(f'{sys.executable} -W error -c "{program}"')
    assert result.returncode == 0, result.stderr
