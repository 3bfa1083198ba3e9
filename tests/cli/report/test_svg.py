"""Charts as inline SVG."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.cli.report.common_sections import means
from charrnn.cli.report.content import Chart, Figures, Series
from charrnn.cli.report.markdown import fenced, inline
from charrnn.cli.report.svg import NARROW, WIDE, line_chart, percent, round_step

NO_FIGURES = Figures((), ())


def chart(*series: Series, logarithmic: bool = False, guide: float | None = None) -> Chart:
    return Chart("<title> & more", "x<", "y", series, NO_FIGURES, logarithmic, guide)


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("logarithmic", [False, True])
@given(st.lists(st.floats(-1e6, 1e6) | st.none() | st.just(float("nan")), max_size=30))
def test_any_values_give_well_formed_svg_within_its_box(
    size: tuple[int, int], logarithmic: bool, values: list[float | None]
) -> None:
    x = list(range(len(values)))
    source = line_chart(chart(Series("s", x, values), logarithmic=logarithmic), size)
    if not source:
        return
    root = ElementTree.fromstring(source)
    assert root.attrib["aria-label"] == "<title> & more"
    for path in root.iter("path"):
        for a, b in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path.attrib["d"]):
            assert 0 <= float(a) <= size[0]
            assert 0 <= float(b) <= size[1]


def test_a_gap_divides_a_line_and_marks_are_circles() -> None:
    lines = chart(Series("s", [0, 1, 2, 3], [1.0, None, 2.0, 3.0]))
    assert re.search(r'd="M[^ML]+M[^ML]+L[^ML]+"', line_chart(lines, WIDE))
    marks = chart(Series("s", [0, 1], [1.0, 2.0], marked=True))
    assert line_chart(marks, WIDE).count("<circle") == 2
    assert line_chart(chart(Series("s", [0], [None])), WIDE) == ""


def test_points_stand_where_the_axes_say() -> None:
    shares = chart(Series("s", [1, 10, 100], [1.0, 0.1, 0.01]), logarithmic=True, guide=0.01)
    source = line_chart(shares, WIDE)
    at = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", source)]
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.2)
    (guide,) = re.findall(r'class="guide".*?y1="([\d.]+)"', source)
    assert float(guide) == pytest.approx(at[2], abs=0.1)
    assert re.findall(r">([\d.]+%)<", source) == ["1%", "10%", "100%"]


@given(st.floats(1e-6, 1e6))
def test_steps_are_round_and_large_enough(step: float) -> None:
    found = round_step(step)
    assert 0.999 * step <= found <= 2.6 * step
    assert float(f"{found:.6e}"[0]) in (1, 2, 5)


@pytest.mark.parametrize("value", [1.0, 10.0, 1e-5, 3.0])
def test_equal_shares_have_an_axis_too(value: float) -> None:
    source = line_chart(chart(Series("s", [1, 2], [value, value]), logarithmic=True), WIDE)
    at = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", source)]
    assert at[0] == at[1]
    assert 0 < at[0] < WIDE[1]


def test_shares_are_written_plainly() -> None:
    assert [percent(x) for x in (1.0, 0.01, 0.00001)] == ["100%", "1%", "0.001%"]


def test_the_points_of_a_curve_are_means_of_neighbours() -> None:
    assert means([1, 2, 3, 4, 5], [1.0, 3.0, 5.0, 7.0, 9.0], 3) == ([1.5, 3.5, 5], [2, 6, 9])
    assert means([], [], 3) == ([], [])


@given(st.text(alphabet="`ab\n", max_size=30))
def test_a_fence_is_longer_than_any_run_of_backticks(text: str) -> None:
    first, *content, last = fenced(text)
    assert first == last
    assert "\n".join(content) == text
    assert first not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("# title", r"\# title"),
        ("12. item", r"12\. item"),
        ("1.5 bits", "1.5 bits"),
        ("- item", r"\- item"),
        ("a - b", "a - b"),
        ("http://x www.x.y", r"http\://x ww&#119;.x.y"),
        ("a\nb", "a␊b"),
        ("![x](y)", r"!\[x\](y)"),
        ("&amp;<b>", "&amp;amp;&lt;b>"),
    ],
)
def test_markdown_gives_no_text_a_meaning(text: str, expected: str) -> None:
    assert inline(text) == expected
