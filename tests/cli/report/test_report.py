"""`charrnn report`: what the page and the model card say, and what they must never contain."""

import base64
import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import charrnn
from charrnn.analysis.unit_features import FollowedFeature, UnitCorrelation
from charrnn.analysis.unit_states import unit_states
from charrnn.cli.report.content import Passage, Report, Section
from charrnn.cli.report.page import MARKER
from charrnn.cli.report.page import page as page_of
from charrnn.cli.report.passage import (
    MAX_UNIT_VALUES,
    MIN_PASSAGE_CHARACTERS,
    passage_size,
    units_of,
)
from charrnn.cli.surprisal_output import glyphs_of
from charrnn.inference.model import Model

Call = Callable[..., Result]

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e & \"'</pre>`|*_ ]]> {{ 7 * 7 }}"


class Page(HTMLParser):
    """A parsed page: its elements in order, the text of each, and whether they are nested well."""

    VOID = frozenset({"meta", "input", "circle", "line", "path", "br"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.sections: dict[str, str] = {}
        self._opened: list[int] = []
        self._section = ""
        self.feed(source)
        assert not self._opened

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag == "section":
            self._section = str(dict(attrs)["id"])
        if tag not in self.VOID:
            self._opened.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._opened.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for number in self._opened:
            self.texts[number] += data
        if self._section:
            self.sections[self._section] = self.sections.get(self._section, "") + data

    def attributes(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [str(found[name]) for _, found in self.elements if name in found]

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """Return attributes and text of the elements with a tag."""
        pairs = zip(self.elements, self.texts, strict=True)
        return [(found, text) for (name, found), text in pairs if name == tag]


def read(path: str | Path) -> Page:
    return Page(Path(path).read_text(encoding="utf-8"))


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def written(finished_run: Path, place: Path) -> Path:
    """The page of the finished run."""
    from tests.cli.conftest import call

    result = call("report", finished_run, "--out", place / "page.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{place / 'page.html'}\n"
    return place / "page.html"


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return read(written)


def test_the_page_loads_nothing_and_runs_one_script_only(written: Path, page: Page) -> None:
    source = written.read_text(encoding="utf-8")
    assert not re.search(
        r"https?:|@import|url\(", re.sub(r"<script>.*</script>", "", source, flags=re.S)
    )
    assert not page.attributes("src")
    assert all(target.startswith("#") for target in page.attributes("href"))
    scripts = page.of("script")
    assert [found.get("type") for found, _ in scripts] == ["application/json", None]
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    policy = next(str(found["content"]) for _, found in page.elements if "http-equiv" in found)
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]


def test_ids_are_unique_and_every_link_leads_to_a_section(page: Page) -> None:
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert [target[1:] for target in page.attributes("href")] == ids
    assert ids == list(page.sections)
    assert {"trained", "curve", "score", "samples", "text", "memory", "novelty", "repeat"} <= set(
        ids
    )


def test_the_page_is_for_light_and_dark_for_phones_and_for_readers_without_script(
    written: Path, page: Page
) -> None:
    source = written.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in source
    assert "width=device-width" in source
    hidden = [found.get("class") for _, found in page.elements if "hidden" in found]
    assert hidden == ["controls", "detail"]  # what only the script can serve
    labels = [found.get("aria-label") for found, _ in page.of("svg") if "role" in found]
    assert all(labels)
    assert len(labels) == 4  # two charts, each for a wide and for a narrow screen


def test_the_score_is_that_of_eval_and_beside_the_same_baselines(
    run_cli: Call, finished_run: Path, page: Page
) -> None:
    text = (finished_run.parent / "corpus.txt").read_text(encoding="utf-8")
    begin = int(len(text) * 0.9)
    Path("rest.txt").write_text(text[begin:], encoding="utf-8")
    found = json.loads(run_cli("eval", finished_run, "rest.txt", "--json").stdout)
    score = page.sections["score"]
    assert f"{found['nats_per_char']:.4f}" in score
    assert f"{found['perplexity']:.2f}" in score
    for name in ("5-gram", "xz", "gzip", "unigram", "uniform"):
        assert f"{found['baselines'][name]['nats_per_char']:.4f}" in score
    assert f"It needs {found['bits_per_char']:.3f} bits per character" in flat(page.texts[0])
    assert f"held-out part of {len(text) - begin:,} characters" in flat(score)


def test_the_page_says_what_was_trained_and_how_to_repeat_it(
    finished_run: Path, page: Page, written: Path
) -> None:
    checkpoint = charrnn.load(finished_run).checkpoint
    trained = flat(page.sections["trained"])
    assert checkpoint.corpus.sha256 in trained
    assert "1 × 8 mlstm" in trained
    assert "corpus.txt" in trained
    facts = json.loads((finished_run / "run.json").read_text(encoding="utf-8"))
    (command,) = (text for _, text in page.of("code") if text.startswith("charrnn train"))
    assert command == f"charrnn train corpus.txt {facts['chosen']}"
    source = written.read_text(encoding="utf-8")
    assert str(finished_run.parent) not in source, "the page names folders of this machine"


def test_the_command_of_the_page_repeats_the_run(
    run_cli: Call, finished_run: Path, page: Page, corpus: Path, assert_same: Callable[..., None]
) -> None:
    (command,) = (text for _, text in page.of("code") if text.startswith("charrnn train"))
    result = run_cli(*command.split()[1:], "--out", "again", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert_same(finished_run, Path("again"))


def test_the_samples_are_those_of_the_command_beside_them(
    run_cli: Call, finished_run: Path, page: Page
) -> None:
    (command,) = (text for _, text in page.of("code") if text.startswith("charrnn sample"))
    words = command.split()
    assert words[2] == "run"
    drawn = run_cli("sample", finished_run, *words[3:]).stdout
    assert len(drawn) == 400
    assert [text for _, text in page.of("pre") if text.strip("\n") == drawn.strip("\n")]


def test_novelty_is_that_of_the_command(run_cli: Call, finished_run: Path, page: Page) -> None:
    found = json.loads(run_cli("novelty", finished_run, "--json").stdout)
    section = page.sections["novelty"]
    for group in ("samples", "held_out"):
        shares = dict(zip(found[group]["ngram_lengths"], found[group]["novel_share"], strict=True))
        assert f"{shares[5]:.1%} ± " in section
        assert f"{found[group]['longest_run_characters']:,} characters, line" in flat(section)


def test_hovering_data_is_what_the_model_says(finished_run: Path, page: Page) -> None:
    model = charrnn.load(finished_run)
    (data,) = (json.loads(text) for found, text in page.of("script") if "type" in found)
    (shown,) = (text for found, text in page.of("pre") if found.get("class") == "coloured")
    text = shown.removeprefix("\n").replace("↵\n", "\n")
    whole = (finished_run.parent / "corpus.txt").read_text(encoding="utf-8")
    assert text == whole[int(len(whole) * 0.9) :][: len(text)]
    ids = model.vocabulary.encode(text)
    assert len(data["bits"]) == len(ids)
    bits = np.array(data["bits"][1:])
    expected = model.score(ids).bits_per_char
    assert bits.mean() == pytest.approx(expected, abs=0.006)
    for best, p, t in zip(data["best"][1:], data["p"][1:], range(1, len(ids)), strict=True):
        assert len(best) == len(p) == 5
        if data["symbols"][best[0]] == text[t]:
            assert p[0] == pytest.approx(2 ** -bits[t - 1], abs=0.004)
    units = data["units"]
    assert units["names"] == [f"unit {n}" for n in range(8)]
    values = np.frombuffer(base64.b64decode(units["values"]), np.int8).reshape(len(ids), 8)
    states = unit_states(model.config, model.parameters, ids, ("h",))["layers.0.h"]
    assert np.abs(values / 127 - states).max() <= 0.5 / 127 + 1e-6


def test_the_title_of_each_character_holds_its_bits_for_readers_without_script(page: Page) -> None:
    spans = [found for found, _ in page.of("span") if "title" in found]
    (data,) = (json.loads(text) for found, text in page.of("script") if "type" in found)
    assert len(spans) == len(data["bits"]) - 1
    for found, bits in zip(spans, data["bits"][1:], strict=True):
        assert str(found["title"]).startswith(f"{bits:.2f} bits; likeliest: ")
        css = "c" if bits >= 6.005 else "b" if 4.005 <= bits < 5.995 else None
        assert css is None or found.get("class") == css


@pytest.mark.parametrize(("layers", "hidden"), [(1, 8), (1, 384), (2, 256), (3, 1024), (8, 8192)])
def test_the_units_of_any_model_fit_the_page(layers: int, hidden: int) -> None:
    T, shown = passage_size(layers, hidden)
    assert 1 <= shown <= layers
    assert T >= MIN_PASSAGE_CHARACTERS
    assert min(T * shown * hidden, MAX_UNIT_VALUES) * 4 / 3 < 900_000
    if layers * hidden * MIN_PASSAGE_CHARACTERS <= MAX_UNIT_VALUES:
        assert shown == layers


def test_a_model_of_many_units_gives_a_small_page(untrained: Callable[..., Model]) -> None:
    """Of two layers of 900 units only the last one fits, and the page says so."""
    model = untrained("abcdefgh \n", cell="rnn", hidden=900, layers=2)
    T, layers = passage_size(2, 900)
    ids = np.arange(T) % 10
    glyphs = tuple(glyphs_of(model, ids))
    states = unit_states(model.config, model.parameters, ids, ("h",))
    units = units_of(model, states, glyphs, layers, ())
    assert units.note == "900 of 1,800 units"
    assert units.names[0] == "layer 2, unit 0"
    source = page_of(Report("t", "s", (Section("text", "t", (Passage(glyphs, units),)),), (), "0"))
    assert 800_000 < len(source.encode()) < 1_500_000


def test_units_that_follow_a_feature_can_be_chosen_by_its_name(
    untrained: Callable[..., Model],
) -> None:
    model = untrained("ab\n", hidden=4, layers=2)
    ids = np.arange(30) % 3
    glyphs = tuple(glyphs_of(model, ids))
    states = unit_states(model.config, model.parameters, ids, ("h",))
    features = [
        FollowedFeature("capital letter", (UnitCorrelation(1, 2, -0.9),), 0.5, 0.4),
        FollowedFeature("indentation", (UnitCorrelation(0, 3, 0.3),), 0.2, 0.4),
        FollowedFeature("word boundary", (UnitCorrelation(0, 1, 0.8),), 0.2, 0.4),
    ]
    both = units_of(model, states, glyphs, 2, features)
    assert both.followed == (("capital letter", 6), ("word boundary", 1))
    assert [both.names[number] for _, number in both.followed] == [
        "layer 2, unit 2",
        "layer 1, unit 1",
    ]
    last = units_of(model, states, glyphs, 1, features)  # only the last layer has room
    assert last.followed == (("capital letter", 2),)
    assert last.names[2] == "layer 2, unit 2"
    expected = np.rint(127 * states["layers.1.h"][:, 2])
    assert (last.values[:, 2] == expected).all()
    assert (both.values[:, 6] == expected).all()


def test_a_run_of_an_earlier_version_shows_the_command_that_started_it(
    run_cli: Call, finished_run: Path
) -> None:
    shutil.copytree(finished_run, "old")
    facts = json.loads(Path("old/run.json").read_text(encoding="utf-8"))
    del facts["chosen"]
    facts["command"] = ["charrnn", "train", "/some/where/corpus.txt", "--hidden", "8"]
    Path("old/run.json").write_text(json.dumps(facts), encoding="utf-8")
    assert run_cli("report", "old", "--quiet", "--markdown").exit_code == 0
    card = Path("old/report.md").read_text(encoding="utf-8")
    assert "```sh\ncharrnn train corpus.txt --hidden 8\n```" in card


def hostile_run(run_cli: Call) -> Path:
    """Train on a hostile text from a file with a hostile name, and damage run.json."""
    name = "a<img src=x>&\u202e'\"`|.txt"
    Path(name).write_text((HOSTILE + "\nwords of a text\n") * 40, encoding="utf-8")
    words = ("--hidden", "4", "--steps", "2", "--workers", "1", "--quiet", "--backend", "numpy")
    result = run_cli("train", name, *words, "--batch-size", "2", "--out", "b<i>\u202e*x*")
    assert result.exit_code == 0, result.stderr
    folder = Path("b<i>\u202e*x*")
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    facts |= {"chosen": f"--x {HOSTILE}", "started": HOSTILE, "machine": {HOSTILE: HOSTILE}}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def test_hostile_texts_and_names_stay_text(run_cli: Call, dangerous: frozenset[str]) -> None:
    folder = hostile_run(run_cli)
    result = run_cli("report", folder)
    assert result.exit_code == 0, result.stderr
    source = (folder / "report.html").read_text(encoding="utf-8")
    assert not dangerous & set(source)
    page = Page(source)
    assert {"img", "i"}.isdisjoint(tag for tag, _ in page.elements)
    assert len(page.of("script")) == 2
    assert page.of("h1")[0][1] == "b<i><U+202E>*x*"
    assert "{{ 7 * 7 }}" in page.sections["repeat"]
    assert "<script>alert(1)</script>␛[2J<U+202E>" in page.sections["trained"]
    assert "␛[2J<U+202E>" in page.sections["text"].replace("↵\n", "")
    (data,) = (json.loads(text) for found, text in page.of("script") if "type" in found)
    assert not dangerous & set("".join(data["symbols"]))


def test_hostile_texts_stay_text_in_markdown(run_cli: Call, dangerous: frozenset[str]) -> None:
    folder = hostile_run(run_cli)
    assert run_cli("report", folder, "--markdown").exit_code == 0
    card = (folder / "report.md").read_text(encoding="utf-8")
    assert not dangerous & set(card)
    outside = re.sub(r"^(`{3,}).*?^\1$", "", card, flags=re.S | re.M)
    assert "<" not in outside.replace("<!-- written by charrnn report -->", "")
    assert r"\*x\*" in outside
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    two = [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) == 3]
    assert [row for row in two if "started" in row]


def test_the_model_card_says_the_same(run_cli: Call, finished_run: Path, page: Page) -> None:
    result = run_cli("report", finished_run, "--markdown", "--out", "card.md")
    assert result.exit_code == 0, result.stderr
    card = Path("card.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: charrnn\ntags:\n- charrnn\n")
    titles = [text for _, text in page.of("h2")]
    assert re.findall("^## (.*)$", card, re.M) == titles
    summary = page.of("p")[0][1]
    for figure in re.findall(r"\d+\.\d+", summary):
        assert figure in card
    (command,) = (text for _, text in page.of("code") if text.startswith("charrnn train"))
    assert f"```sh\n{command}\n```" in card
    for cells, _ in ((text.split(), found) for found, text in page.of("tr") if "bits" not in text):
        for figure in cells:
            if re.fullmatch(r"\d+\.\d{3,}%?", figure):
                assert figure in card


def test_text_that_has_moved_is_said_and_the_rest_is_reported(
    run_cli: Call, finished_run: Path, page: Page
) -> None:
    shutil.copytree(finished_run, "moved")
    facts = json.loads(Path("moved/run.json").read_text(encoding="utf-8"))
    Path("moved/run.json").write_text(
        json.dumps(facts | {"sources": ["/nowhere/secret/corpus.txt"]}), encoding="utf-8"
    )
    result = run_cli("report", "moved")
    assert result.exit_code == 0, result.stderr
    assert "is left out" in result.stderr
    without = read("moved/report.html")
    assert list(without.sections) == list(page.sections)
    for name in ("score", "text", "memory", "novelty"):
        assert "The training data could not be read again" in without.sections[name]
    assert flat(without.sections["samples"]) == flat(page.sections["samples"]).replace(
        " run ", " moved "
    )
    assert "secret" not in Path("moved/report.html").read_text(encoding="utf-8")


def test_a_checkpoint_alone_is_reported_too(run_cli: Call, finished_run: Path) -> None:
    shutil.copy(finished_run / "best.npz", "alone.npz")
    result = run_cli("report", "alone.npz")
    assert result.exit_code == 0, result.stderr
    page = read("report.html")
    assert page.of("h1")[0][1] == "alone"
    assert "There is no metrics.jsonl" in page.sections["curve"]
    assert "there is no run.json" in page.sections["repeat"]
    assert "there is no last.npz" in flat(page.sections["trained"])


def test_without_a_held_out_part_there_is_no_score(
    run_cli: Call, corpus: Path, tiny: tuple[str, ...]
) -> None:
    assert run_cli("train", corpus, *tiny, "--val-fraction", "0", "--out", "run").exit_code == 0
    assert run_cli("report", "run", "--quiet").exit_code == 0
    page = read("run/report.html")
    assert "No part of the text was held out" in page.sections["score"]
    assert "the text that the model was trained on" in flat(page.sections["text"])
    assert "It needs" not in page.texts[0]


def test_a_model_of_bytes_shows_characters(run_cli: Call) -> None:
    Path("corpus.txt").write_text("é à la carte, schön\n" * 200, encoding="utf-8")
    words = ("--hidden", "4", "--steps", "2", "--workers", "1", "--quiet", "--backend", "numpy")
    assert run_cli("train", "corpus.txt", "--bytes", *words, "--out", "run").exit_code == 0
    assert run_cli("report", "run", "--quiet").exit_code == 0
    page = read("run/report.html")
    (shown,) = (text for found, text in page.of("pre") if found.get("class") == "coloured")
    assert "schön↵" in shown
    (data,) = (json.loads(text) for found, text in page.of("script") if "type" in found)
    glyphs = len(shown.replace("↵\n", "\n").removeprefix("\n"))
    assert len(data["bits"]) in (glyphs, glyphs + 1)
    values = base64.b64decode(data["units"]["values"])
    assert len(values) == 4 * len(data["bits"])
    assert "bits per byte" in flat(page.texts[0])


@pytest.mark.parametrize("options", [(), ("--markdown",)])
def test_only_an_earlier_report_is_replaced(
    options: tuple[str, ...], run_cli: Call, finished_run: Path
) -> None:
    Path("mine.html").write_text("my own page", encoding="utf-8")
    refused = run_cli("report", finished_run, "--out", "mine.html", *options)
    assert refused.exit_code == 5
    assert "mine.html exists and is no report; try another --out" in refused.stderr
    assert Path("mine.html").read_text(encoding="utf-8") == "my own page"
    assert run_cli("report", finished_run, "--out", "r", *options).exit_code == 0
    first = Path("r").read_bytes()
    assert run_cli("report", finished_run, "--out", "r", *options).exit_code == 0
    assert Path("r").read_bytes() == first
    other = ("--markdown",) if not options else ()
    assert run_cli("report", finished_run, "--out", "r", *other).exit_code == 0
    assert Path("r").read_bytes() != first


@pytest.mark.parametrize(
    ("out", "problem"),
    [("nowhere/x.html", "no folder nowhere"), (".", "directory"), ("/dev/full", "device")],
)
def test_places_that_cannot_be_written_are_refused_before_the_work(
    out: str, problem: str, run_cli: Call, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("nothing should be measured")

    monkeypatch.setattr("charrnn.cli.report.command.collect", work)
    result = run_cli("report", finished_run, "--out", out)
    assert result.exit_code == 5
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_full_disk_keeps_the_earlier_report(
    run_cli: Call, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("r.html").write_text(MARKER, encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("charrnn.system.files.write_all", full)
    refused = run_cli("report", finished_run, "--out", "r.html", "--quiet")
    assert refused.exit_code == 5
    assert refused.stderr == (
        "charrnn: error: cannot write r.html (No space left on device); try another --out\n"
    )
    assert [path.name for path in Path().iterdir()] == ["r.html"]
    assert Path("r.html").read_text(encoding="utf-8") == MARKER


def test_without_jinja2_the_page_is_refused_and_the_card_is_written(
    run_cli: Call, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    refused = run_cli("report", finished_run, "--out", "r.html")
    assert refused.exit_code == 2
    assert "needs Jinja2; try pip install jinja2, or --markdown" in refused.stderr
    assert not Path("r.html").exists()
    assert run_cli("report", finished_run, "--markdown", "--out", "r.md").exit_code == 0


def test_the_page_is_in_the_folder_of_the_run_by_default(run_cli: Call, finished_run: Path) -> None:
    shutil.copytree(finished_run, "checkpoints/here")
    result = run_cli("report")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith("charrnn: reporting on checkpoints/here/best.npz\n")
    assert result.stdout == "checkpoints/here/report.html\n"
    assert MARKER in Path("checkpoints/here/report.html").read_text(encoding="utf-8")
    assert run_cli("info").exit_code == 0  # the folder is still that of a run
