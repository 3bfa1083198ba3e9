"""Options of `inspect-gradients`: each is obeyed or refused, in every combination with a view."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from charrnn.cli.app import app, load_command
from charrnn.cli.inspect.checks import VIEW_PARAMETERS
from charrnn.cli.inspect.model_names import distinct_names, model_names, numbered_names

PARAMETERS = {
    parameter.name: parameter.opts[0]
    for parameter in load_command("inspect-gradients").params
    if parameter.param_type_name == "option" and parameter.name != "help"
}
VIEWS = {
    "the profile": (),
    "--show": ("--show", "the cat"),
    "--context": ("--context",),
    "--probe": ("--probe",),
    "--live": ("--live",),
}
VALUES = {
    "text": "corpus.txt",
    "gaps": "2",
    "cells": "rnn",
    "inits": "identity",
    "hidden": "8",
    "layers": "1",
    "gain": "1",
    "input_init": "uniform",
    "input_gain": "1",
    "forget_bias": "1",
    "lags": "200",
    "windows": "160",
    "seed": "0",
    "encoding": "utf-8",
    "plot": "a.svg",
    "fail_on": "vanishing",
}
UNREAD = [
    (view, name)
    for view in VIEW_PARAMETERS
    for name in PARAMETERS
    if name not in VIEW_PARAMETERS[view] and name not in ("show", "context", "probe", "live")
]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments], catch_exceptions=False)


def inspect(*arguments: str | Path) -> Result:
    return call("inspect-gradients", *arguments)


def test_the_table_names_parameters_and_every_one_of_them() -> None:
    named = {name for names in VIEW_PARAMETERS.values() for name in names}
    assert named == {*PARAMETERS, "checkpoints"}


@pytest.mark.parametrize(("view", "name"), UNREAD)
def test_an_option_that_a_view_does_not_read_is_refused_even_at_its_default(
    view: str, name: str
) -> None:
    words = [PARAMETERS[name]] + ([VALUES[name]] if name in VALUES else [])
    result = inspect(*VIEWS[view], *words)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert PARAMETERS[name] in line
    assert "; try " in line
    assert len(line) <= 200


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--quiet", "--json"], "--quiet and --json contradict"),
        (["--quiet", "--csv"], "--quiet and --csv contradict"),
        (["--quiet", "--all"], "--quiet and --all contradict"),
        (["--show", "a", "--json", "--csv"], "--json and --csv contradict"),
        (["--probe", "--json", "--csv"], "--json and --csv contradict"),
        (["--show", "a", "--context", "--live"], "--show and --context and --live contradict"),
        (["--encoding", "utf-8"], "--encoding is for the file of --text; try --text FILE with it"),
        (["--cells", "gru", "--forget-bias", "2"], "--forget-bias is for cells with a forget gate"),
        (["RUN", "--show", "the", "--text", "corpus.txt"], "does not read --text"),
        (["RUN", "--cells", "rnn"], "cannot be changed by options; try --at-init without"),
        (["--at-init", "--gaps", "5"], "does not use --gaps; try --gaps with --probe"),
    ],
)
def test_a_combination_of_which_one_part_would_be_dropped_is_refused(
    arguments: list[str], fragment: str, finished_run: Path, corpus: Path
) -> None:
    words = [str(finished_run) if word == "RUN" else word for word in arguments]
    result = inspect(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert fragment in line


def test_the_encoding_of_a_text_is_refused_for_bytes(corpus: Path, tiny: tuple[str, ...]) -> None:
    assert call("train", corpus, *tiny, "--bytes", "--out", "run").exit_code == 0
    result = inspect("run", "--text", corpus, "--encoding", "latin-1")
    assert result.exit_code == 2
    assert "this model reads bytes" in result.stderr


def test_the_encoding_of_a_text_is_obeyed(finished_run: Path) -> None:
    Path("other.txt").write_bytes("the cat sat on a mat\n".encode("utf-16") * 20)
    result = inspect(finished_run, "--text", "other.txt", "--encoding", "utf-16", "--lags", "5")
    assert result.exit_code == 0, result.stderr


def test_the_forget_bias_names_only_cells_that_have_one(corpus: Path) -> None:
    small = ("--text", corpus, "--hidden", "4", "--lags", "3", "--windows", "2", "--json")
    result = inspect("--cells", "gru,lstm", "--forget-bias", "2", *small)
    names = [model["name"] for model in json.loads(result.stdout)["models"]]
    assert names == ["gru orthogonal", "lstm orthogonal forget-bias 2.0"]


def test_a_view_of_one_text_does_not_look_for_the_corpus(finished_run: Path) -> None:
    shutil.copytree(finished_run, "run")
    facts = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    facts["sources"] = ["/nowhere/gone.txt"]
    Path("run/run.json").write_text(json.dumps(facts), encoding="utf-8")
    result = inspect("run", "--show", "the cat")
    assert (result.exit_code, result.stderr) == (0, "")


class TestNames:
    def test_equal_names_of_different_paths_get_more_of_their_paths(self) -> None:
        paths = [Path("/a/x/run"), Path("/b/x/run"), Path("/b/y/run"), Path("/c/other")]
        names = distinct_names([path.name for path in paths], paths)
        assert names == ["a/x/run", "b/x/run", "y/run", "other"]

    def test_one_path_named_twice_is_numbered(self) -> None:
        assert distinct_names(["a", "a"], [Path("/x/a"), Path("/x/a")]) == ["a", "a"]
        assert numbered_names(["a", "a", "b", "a"]) == ["a", "a (2)", "b", "a (3)"]

    def test_a_checkpoint_in_this_folder_has_the_folders_name(self) -> None:
        assert model_names([Path("best.npz")]) == [Path().resolve().name]


@pytest.fixture
def two_runs(tiny: tuple[str, ...], sentences: str) -> tuple[str, str]:
    """Two runs of one name, on different texts of one name."""
    for place, text in (("one", sentences), ("two", sentences.upper() * 2)):
        Path(place).mkdir()
        Path(place, "t.txt").write_text(text, encoding="utf-8")
        assert call("train", f"{place}/t.txt", *tiny, "--out", f"{place}/run").exit_code == 0
    return "one/run", "two/run"


def test_models_and_texts_of_equal_names_are_told_apart(two_runs: tuple[str, str]) -> None:
    small = ("--lags", "5", "--windows", "4")
    shown = inspect(*two_runs, *small).stdout
    assert "trained, on one/t.txt, two/t.txt, mean of 4 windows" in " ".join(shown.split())
    for name in two_runs:
        assert f"\n{name}: " in shown
    models = json.loads(inspect(*two_runs, *small, "--json").stdout)["models"]
    assert [(model["name"], model["text"]) for model in models] == [
        ("one/run", "one/t.txt"),
        ("two/run", "two/t.txt"),
    ]
    table = inspect(*two_runs, *small, "--csv").stdout
    assert {line.split(",")[0] for line in table.splitlines()[1:]} == set(two_runs)


def test_every_model_has_a_curve_of_its_own(
    two_runs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []

    def chart(series: dict[str, object], **_: object) -> str:
        drawn.append(list(series))
        return ""

    monkeypatch.setattr("charrnn.cli.inspect.view.log_chart", chart)
    inspect(*two_runs, two_runs[0], "--lags", "5", "--windows", "4")
    assert drawn == [["one/run", "two/run", "one/run (2)"]]
