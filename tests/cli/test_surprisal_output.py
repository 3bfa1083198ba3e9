"""`charrnn eval --surprise`, `--html`, `--csv` and `--window`."""

import csv
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import Result

from charrnn import load
from charrnn.cli.output.marked_text import marked_lines
from charrnn.cli.surprisal_output import Scored, decoded, html_glyph, marked
from charrnn.evaluation.surprisal import mean_surprisal
from charrnn.inference.model import Model

Call = Callable[..., Result]
Untrained = Callable[..., Model]
BEST = (("o", 0.5), ("␣", 0.2), ("界", 0.1), ("x", 0.05), ("y", 0.01))


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_a_character_and_its_mean_is_the_loss(
    run_cli: Call, finished_run: Path, corpus: Path
) -> None:
    result = run_cli("eval", finished_run, corpus, "--csv", "s.csv", "--json", "--no-baselines")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    rows = rows_of("s.csv")
    assert "".join(row["character"] for row in rows) == corpus.read_text(encoding="utf-8")
    nats = [float(row["nats"]) for row in rows[1:]]
    assert rows[0]["nats"] == ""
    assert math.fsum(nats) / len(nats) == pytest.approx(found["nats_per_char"], rel=1e-6)
    assert math.fsum(nats) / math.log(2) == pytest.approx(found["total_bits"], rel=1e-6)
    for row in rows[1:]:
        if row["character"] == row["likeliest_1"]:
            assert math.exp(-float(row["nats"])) == pytest.approx(float(row["probability_1"]))


def test_the_total_and_what_is_left_out_are_stated(run_cli: Call, finished_run: Path) -> None:
    Path("t.txt").write_text("the cat§ sat", encoding="utf-8")
    command = ("eval", finished_run, "t.txt", "--on-unknown", "skip", "--no-baselines")
    shown = run_cli(*command, "--html", "s.html").stdout
    assert "11 characters, 1 unknown ones left out\n" in shown
    total = re.search(r"[\d.]+ bits in total for 10 predicted characters", shown)
    assert total is not None
    assert re.match(r"\d+\.\d{4} ", total[0])
    page = Path("s.html").read_text(encoding="utf-8")
    assert total[0] in page
    assert "1 unknown ones left out" in page


def test_windows_are_reported_beside_the_stream(
    run_cli: Call, finished_run: Path, corpus: Path
) -> None:
    command = ("eval", finished_run, corpus, "--no-baselines", "--window", "3")
    found = json.loads(run_cli(*command, "--json").stdout)
    model = load(finished_run)
    ids = model.vocabulary.encode(corpus.read_text(encoding="utf-8"))
    expected = mean_surprisal(model.config, model.parameters, ids, 3)
    assert found["window"] == 3
    assert found["window_nats_per_char"] == expected != found["nats_per_char"]
    assert re.search(rf"this model, windows of 3 +{expected:.4f}", run_cli(*command).stdout)


def test_marks_and_the_likeliest_stand_under_their_character() -> None:
    scored = [Scored("a", None), Scored("b", 2.1, BEST), Scored("c", 5.0, BEST), Scored("d", 3.0)]
    glyphs = list(map(marked, scored))
    lines = [line.plain for line in marked_lines(glyphs, 40, colour=False)]
    assert lines == ["abc d", " .# +", "  o", "  ␣", "  界", "  x", "  y"]
    coloured = list(marked_lines(glyphs, 40, colour=True))
    assert [line.plain for line in coloured] == ["abc d", *lines[2:]]
    assert [str(span.style) for span in coloured[0].spans] == [
        "black on cyan",
        "white on red",
        "black on yellow",
    ]


@pytest.mark.parametrize("columns", [40, 78])
def test_lines_fit_and_no_control_character_is_shown(
    columns: int,
    run_cli: Call,
    untrained: Untrained,
    monkeypatch: pytest.MonkeyPatch,
    dangerous: frozenset[str],
) -> None:
    text = "a\x1b[2J\u202e\u0301界\t<b>&\u200b\x9b \n" * 9
    untrained("".join(sorted(set(text)))).save("m.npz")
    Path("t.txt").write_text(text, encoding="utf-8")
    monkeypatch.setenv("COLUMNS", str(columns))
    command = ("eval", "m.npz", "t.txt", "--no-baselines", "--surprise", "--html", "s.html")
    result = run_cli(*command)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    shown = lines[lines.index("") + 1 :][:-6]
    assert len(shown) > 9
    assert max(map(cell_len, shown)) <= columns
    page = Path("s.html").read_text(encoding="utf-8")
    for output in ("\n".join(shown), page):
        assert not dangerous & set(output)
    assert "<U+0301>" in result.stdout
    assert "<b>" not in page
    assert "&lt;b" in re.sub(r"</?span[^>]*>", "", page)


def test_bytes_that_are_utf_8_together_are_added() -> None:
    symbols = [Scored("a", None), Scored("\xc3", 1.0, BEST), Scored("\xa9", 2.0), Scored("\xff", 4)]
    assert list(decoded(symbols)) == [
        Scored("a", None),
        Scored("é", 3.0, BEST, symbols=2),
        Scored("\\xff", 4.0),
    ]


def test_the_page_is_well_formed_and_has_no_script_and_no_address(
    run_cli: Call, finished_run: Path, corpus: Path
) -> None:
    assert (
        run_cli("eval", finished_run, corpus, "--no-baselines", "--html", "s.html").exit_code == 0
    )
    page = Path("s.html").read_text(encoding="utf-8")
    opened: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Parser().feed(page)
    assert opened == []
    assert "prefers-color-scheme: dark" in page
    assert "<script" not in page
    assert "http" not in page


def test_a_surprising_character_has_the_likeliest_under_it_in_the_page() -> None:
    assert html_glyph(Scored("<", 5.0, (("&", 0.5),))) == (
        '<span class="w"><span class="c" title="7.21 bits; likeliest: &amp; 0.500">&lt;</span>'
        "<small>&amp;</small></span>"
    )
