"""`charrnn neurons`: the unit and the feature that it names, spans, states, page and JSON."""

import json
import math
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import Result

from charrnn.analysis.unit_states import unit_states
from charrnn.cli.neurons.view import ShownUnit, excerpt, unit_glyphs
from charrnn.cli.output.marked_text import marked_lines
from charrnn.inference.model import Model

Call = Callable[..., Result]
Untrained = Callable[..., Model]
Process = Callable[..., object]


def drawn_text(seed: int = 0) -> str:
    """Return lines of words, some in quotes, at random places."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcde"), rng.integers(1, 7))) for _ in range(500)]
    quoted = (f"“{word} {word}”" if rng.random() < 0.15 else word for word in words)
    return "".join(word + ("\n" if rng.random() < 0.15 else " ") for word in quoted)


@pytest.fixture
def quoting(untrained: Untrained) -> Model:
    """A model of two layers: the memory of unit 5 of the first is 0.9 inside quotes, else 0."""
    model = untrained("abcde “”\n", layers=2)
    weights = model.parameters.subset("layers.0")
    for name in ("W_xh", "W_hh", "b_h"):
        weights[name][..., 5] = 0
    weights["b_h"][:, 5] = (30, 30, 0, 0)  # i, f, o, g: what is added stays
    weights["W_xh"][3, model.vocabulary.encode("“")[0], 5] = math.atanh(0.9)
    weights["W_xh"][1, model.vocabulary.encode("”")[0], 5] = -60  # and is forgotten here
    model.save("m.npz")
    Path("t.txt").write_text(drawn_text(), encoding="utf-8")
    return model


def test_the_unit_that_follows_quotes_is_named_and_shown(run_cli: Call, quoting: Model) -> None:
    result = run_cli("neurons", "m.npz", "t.txt")
    assert result.exit_code == 0, result.stderr
    row = re.search(r"^inside quotes +0 +5 +\+1.00 +0\.(\d+) +0\.(\d+)$", result.stdout, re.M)
    assert row is not None, result.stdout
    assert int(row[1]) < 50
    assert "Not in this text: depth of brackets, indentation, capital letter." in " ".join(
        result.stdout.split()
    )
    assert "position in the line)" in result.stdout  # in brackets: not above its controls
    shown = result.stdout[result.stdout.index("inside quotes: unit 5 of layer 0, c from 0.00") :]
    text, marks = shown.splitlines()[1:3]
    assert "“" in text
    inside = False
    for character, mark in zip(text, marks.ljust(len(text)), strict=True):
        inside = character == "“" or (inside and character != "”")
        assert mark == ("#" if inside else "="), (text, marks)


def test_json_has_the_same_and_the_controls(run_cli: Call, quoting: Model) -> None:
    found = json.loads(run_cli("neurons", "m.npz", "t.txt", "--json").stdout)
    assert (found["cell"], found["layers"], found["hidden"], found["state"]) == ("lstm", 2, 8, "c")
    assert found["characters"] == len(drawn_text())
    followed = [feature for feature in found["features"] if feature["followed"]]
    assert [feature["name"] for feature in followed] == ["inside quotes"]
    [quotes] = followed
    best = quotes["units"][0]
    assert (best["layer"], best["unit"]) == (0, 5)
    assert best["correlation"] > 0.99 > max(quotes["shifted"], quotes["untrained"])
    assert len(quotes["units"]) == 5


def test_a_model_before_training_follows_nothing(run_cli: Call, untrained: Untrained) -> None:
    untrained("abcde “”\n", seed=7).save("m.npz")
    Path("t.txt").write_text(drawn_text(), encoding="utf-8")
    result = run_cli("neurons", "m.npz", "t.txt")
    assert "no unit is above both controls" in result.stdout
    found = json.loads(run_cli("neurons", "m.npz", "t.txt", "--json").stdout)
    assert not any(feature["followed"] for feature in found["features"])


def test_without_arguments_the_newest_run_reads_its_validation_part(
    run_cli: Call, corpus: Path, tiny: tuple[str, ...]
) -> None:
    corpus.write_text(corpus.read_text(encoding="utf-8") * 3, encoding="utf-8")
    assert run_cli("train", corpus, *tiny).exit_code == 0
    result = run_cli("neurons")
    assert result.exit_code == 0, result.stderr
    assert "charrnn: reading with checkpoints/corpus/best.npz" in result.stderr
    text = corpus.read_text(encoding="utf-8")
    held_out = len(text) - int(len(text) * 0.9)
    assert result.stdout.startswith(f"corpus, validation part: {held_out:,} characters; mlstm of 8")


def test_a_short_validation_part_is_read_with_what_stands_before_it(
    run_cli: Call, finished_run: Path
) -> None:
    result = run_cli("neurons", finished_run)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("corpus, end: 500 characters; ")


def test_a_unit_is_shown_over_the_text_and_its_values_are_its_states(
    run_cli: Call, quoting: Model
) -> None:
    command = ("neurons", "m.npz", "t.txt", "--unit", "3", "--length", "90", "--state", "h")
    states = unit_states(
        quoting.config, quoting.parameters, quoting.vocabulary.encode(drawn_text()[:90])
    )
    for layer, options in ((1, ()), (0, ("--layer", "0"))):
        found = json.loads(run_cli(*command, *options, "--json").stdout)
        assert (found["unit"]["layer"], found["unit"]["unit"]) == (layer, 3)
        expected = states[f"layers.{layer}.h"][:, 3]
        assert found["unit"]["values"] == pytest.approx(expected.tolist())
        assert found["features"] is None
    shown = run_cli(*command).stdout
    low, high = np.percentile(states["layers.1.h"][:, 3].astype(float), (1, 99))
    assert f"unit 3 of layer 1, h from {low:.2f} to {high:.2f}" in shown


def test_levels_are_fifths_and_every_level_has_a_colour_and_a_mark() -> None:
    shown = ShownUnit(0, 0, "h", np.linspace(-1.0, 1.0, 1000))
    assert shown.levels(0, 1000) == sorted(shown.levels(0, 1000))
    assert np.bincount(shown.levels(0, 1000)).tolist() == pytest.approx([200] * 5, abs=12)
    text = "abcde" * 200
    glyphs = [
        glyph
        for begin in (0, 300, 500, 700, 900)
        for glyph in unit_glyphs(shown, text, begin, begin + 1, as_bytes=False)
    ]
    marked = [line.plain for line in marked_lines(glyphs, 40, colour=False)]
    assert marked == ["aaaaa", "=- +#"]
    [coloured] = marked_lines(glyphs, 40, colour=True)
    assert [str(span.style).split()[-1] for span in coloured.spans] == [
        *("blue", "cyan", "yellow", "red")
    ]
    assert ShownUnit(0, 0, "h", np.ones(9)).levels(0, 9) == [2] * 9


def test_an_excerpt_is_where_the_values_vary_from_the_beginning_of_a_line() -> None:
    text = ("a" * 9 + "\n") * 30
    values = np.zeros(300)
    values[204:209] = 1
    begin, end = excerpt(values, text, 20)
    assert begin % 10 == 0
    assert begin <= 204 < end == begin + 20
    assert excerpt(values, text, 300) == (0, 300)


def test_a_span_has_its_units_and_the_other_places(run_cli: Call, quoting: Model) -> None:
    text = drawn_text()
    begin = text.index("“", 1000) + 1
    end = text.index("”", begin)
    found = json.loads(
        run_cli("neurons", "m.npz", "t.txt", "--span", f"{begin}:{end}", "--json").stdout
    )["span"]
    assert (found["begin"], found["end"]) == (begin, end)
    first = found["units"][0]
    assert (first["layer"], first["unit"]) == (0, 5)
    assert first["inside"] > 1 > first["around"]
    assert len(found["places"]) == 5
    for place in found["places"]:
        assert place["end"] - place["begin"] == end - begin
        assert place["end"] <= begin or place["begin"] >= end
        assert place["share"] > found["mean_share"]
    shown = run_cli("neurons", "m.npz", "t.txt", "--layer", "0", "--span", text[begin:end]).stdout
    first_place = text.index(text[begin:end])
    assert f"span {first_place}:{first_place + end - begin}" in shown
    assert f"»{text[begin:end]}«" in shown


def test_states_are_written_with_their_characters(run_cli: Call, quoting: Model) -> None:
    command = ("neurons", "m.npz", "t.txt", "--states", "s.npz", "--length", "600")
    assert run_cli(*command).exit_code == 0
    expected = unit_states(
        quoting.config, quoting.parameters, quoting.vocabulary.encode(drawn_text()[:600])
    )
    with np.load("s.npz") as file:
        assert {*file} == {"metadata", "ids", *expected}
        for name, states in expected.items():
            np.testing.assert_array_equal(file[name], states)
            assert file[name].shape == (600, 8)
        facts = json.loads(bytes(file["metadata"]))
        text = "".join(facts["characters"][i] for i in file["ids"])
    assert text == drawn_text()[:600]
    before = Path("s.npz").read_bytes()
    again = run_cli(*command)
    assert again.exit_code == 5
    assert "s.npz exists; try another --states, or --force" in again.stderr
    assert run_cli(*command, "--force").exit_code == 0
    assert Path("s.npz").read_bytes() == before


class Page(HTMLParser):
    """The text of the <pre> elements of a page, whose elements must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.opened.append(tag)
        if tag == "pre":
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        if "pre" in self.opened:
            self.texts[-1] += data


@pytest.mark.parametrize("as_bytes", [False, True])
def test_page_and_screen_show_the_text_and_no_control_character(
    as_bytes: bool, run_cli: Call, untrained: Untrained, dangerous: frozenset[str]
) -> None:
    text = "a\x1b[2J\u202e界\t<b>&\x9b é\n" * 9
    known = text.encode().decode("latin-1") if as_bytes else text
    untrained("".join(sorted(set(known))), as_bytes=as_bytes).save("m.npz")
    Path("t.txt").write_text(text, encoding="utf-8")
    result = run_cli("neurons", "m.npz", "t.txt", "--unit", "1", "--html", "p.html")
    assert result.exit_code == 0, result.stderr
    page = Path("p.html").read_text(encoding="utf-8")
    for output in (result.stdout, page):
        assert not dangerous & set(output)
        assert "界" in output
        assert "é" in output
    assert max(map(cell_len, result.stdout.splitlines())) <= 80
    assert "<b>" not in page
    assert "<script" not in page
    assert "http" not in page
    parser = Page()
    parser.feed(page)
    assert parser.opened == []
    [shown] = parser.texts
    assert shown.count("<b>&") == shown.count("↵\n") == 9
    titles = re.findall(r'title="(\d+): (-?\d+\.\d+)"', page)
    values = json.loads(run_cli("neurons", "m.npz", "t.txt", "--unit", "1", "--json").stdout)
    by_position = values["unit"]["values"]
    for position, value in titles:
        assert float(value) == pytest.approx(by_position[int(position)], abs=6e-4)
    assert len(titles) == len(text)


def test_the_page_of_a_search_has_the_table_and_a_section_for_each_followed_feature(
    run_cli: Call, quoting: Model
) -> None:
    assert run_cli("neurons", "m.npz", "t.txt", "--html", "p.html").exit_code == 0
    page = Path("p.html").read_text(encoding="utf-8")
    parser = Page()
    parser.feed(page)
    assert len(parser.texts) == 1
    assert re.findall("<h2>(.*)</h2>", page) == ["inside quotes"]
    assert "<td>+1.00</td>" in page
    assert unescape(page).count("(position in the line)") == 1


def test_unknown_characters_are_refused_or_left_out_and_counted(
    run_cli: Call, quoting: Model
) -> None:
    Path("t.txt").write_text("z" + drawn_text(), encoding="utf-8")
    refused = run_cli("neurons", "m.npz", "t.txt")
    assert refused.exit_code == 4
    assert "--on-unknown skip" in refused.stderr
    shown = run_cli("neurons", "m.npz", "t.txt", "--on-unknown", "skip", "--unit", "0").stdout
    assert f"{len(drawn_text()):,} characters, 1 unknown ones left out; lstm" in shown


def test_a_search_is_over_the_beginning_of_a_long_text(
    run_cli: Call, quoting: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.cli.neurons.measurement.MAX_SEARCHED", 700)
    short = json.loads(run_cli("neurons", "m.npz", "t.txt", "--length", "700", "--json").stdout)
    long = json.loads(run_cli("neurons", "m.npz", "t.txt", "--json").stdout)
    assert long["characters"] == len(drawn_text()) > short["characters"] == 700
    assert long["features"] == short["features"]
    shown = run_cli("neurons", "m.npz", "t.txt", "--html", "p.html").stdout
    assert "Over the first 700 characters." in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("m.npz", "nowhere.txt"), 4, "nowhere.txt"),
        (("m.npz", "empty.txt"), 4, "empty.txt is empty"),
        (("nowhere.npz", "t.txt"), 3, "no checkpoint at"),
        (("m.npz", "t.txt", "--unit", "8"), 2, "--unit is 8; this model has 0 to 7"),
        (("m.npz", "t.txt", "--layer", "2"), 2, "--layer is 2; this model has 0 to 1"),
        (("m.npz", "t.txt", "--length", "0"), 2, "--length is 0; it must be a whole number from 1"),
        (("m.npz", "t.txt", "--span", "9:99999"), 2, "the span 9:99999 is not a part of"),
        (("m.npz", "t.txt", "--unit", "0", "--html", "none/p.html"), 5, "cannot write none/p.html"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], code: int, message: str, run_cli: Call, quoting: Model
) -> None:
    Path("empty.txt").touch()
    result = run_cli("neurons", *words)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_model_of_pairs_is_refused(run_cli: Call, tiny: tuple[str, ...]) -> None:
    assert run_cli("train", "--builtin", "vowels", *tiny[:6], "--quiet").exit_code == 0
    result = run_cli("neurons", "checkpoints/vowels")
    assert result.exit_code == 2
    assert "trained on pairs" in result.stderr


def test_states_that_are_not_finite_are_an_error(run_cli: Call, untrained: Untrained) -> None:
    model = untrained("abcde “”\n", cell="rnn")
    model.parameters.vector[...] = -3e38
    model.save("huge.npz")
    Path("t.txt").write_text(drawn_text(), encoding="utf-8")
    result = run_cli("neurons", "huge.npz", "t.txt")
    assert result.exit_code == 6
    assert "the states of this model are not finite" in result.stderr
