"""`charrnn inspect-gradients`: the right models, in numbers and in pictures, whatever they hold."""

import csv
import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from charrnn.analysis import context, diagnosis
from charrnn.analysis.gradient_profile import gradient_profile
from charrnn.analysis.memory_lengths import dependence, measure_lengths
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.cli.app import app
from charrnn.cli.inspect.inspection import (
    SCHEMA,
    Inspection,
    inspect_model,
    inspections_as_csv,
    inspections_as_json,
)
from charrnn.cli.inspect.models import REFERENCE_MODELS, InspectedModel
from charrnn.cli.inspect.view import TerminalView
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.vocabulary import Vocabulary
from charrnn.inference.model import Model
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
Untrained = Callable[..., Model]

LAGS, WINDOWS = 20, 8
FEW = ("--lags", str(LAGS), "--windows", str(WINDOWS))
SMALL = ("--text", "corpus.txt", "--hidden", "8", *FEW)
REMEMBERS = ("--cells", "rnn", "--inits", "identity", "--input-init", "normal:0.001")
EXPLODES = ("--cells", "rnn", "--recurrent-gain", "2", "--hidden", "32")
FORGETS = ("--cells", "rnn", "--inits", "normal:0.01", "--input-init", "normal:0.01")

MODEL_KEYS = ["name", "text", "trained", "model", "verdict", "profile", "lengths", "jacobians"]
DETAIL_KEYS = ["lyapunov", "units", "truncation", "recurrent_matrices"]
PROFILE_KEYS = ["lags", "windows", "seed", "nats_per_char", "lines", "nonfinite", "notes"]
LINE_KEYS = {
    *("layer", "state", "finite", "zero", "log_norm_at_0"),
    *("ratio", "geometric_mean", "p10", "p90"),
    *("log_ratio", "log_geometric", "log_p10", "log_p90"),
    *("half_life_chars", "horizon_chars", "rate_per_char", "rate_r_squared"),
}
CURVES = ("ratio", "geometric_mean", "p10", "p90")
NUMBERS = ("half_life_chars", "horizon_chars", "rate_per_char")
LENGTHS = (
    *("reach_chars", "max_lag", "used_chars", "full_chars", "text_chars", "text_detected_chars"),
    *("text_max_lag", "gap_chars", "seq_length"),
)

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


def look(*arguments: str | Path, code: int = 0) -> Result:
    """Run the command in this process."""
    runner = CliRunner()
    words = ["inspect-gradients", *map(str, arguments)]
    result = runner.invoke(app, words, catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return result


def refused(*arguments: str | Path, code: int) -> str:
    """Run a command that must fail; return its one line."""
    result = look(*arguments, code=code)
    assert result.stdout == ""
    *notes, line = result.stderr.splitlines()
    assert all(note.startswith("charrnn: note: ") for note in notes)
    assert line.startswith("charrnn: error: ")
    return line


def strict(text: str) -> Any:
    """Read JSON in which NaN and Infinity are not allowed."""
    return json.loads(text, parse_constant=pytest.fail)


def models(*arguments: str | Path) -> list[dict[str, Any]]:
    """Return the models of `--json`."""
    found: list[dict[str, Any]] = strict(look(*arguments, "--json").stdout)["models"]
    return found


def table(text: str) -> list[dict[str, str]]:
    """Read a CSV with a header."""
    return list(csv.DictReader(io.StringIO(text)))


def assert_fits(text: str, width: int = 80) -> None:
    for line in text.splitlines():
        assert cell_len(line) <= width, line


@pytest.fixture
def run(empty_folder: Path, corpus: Path, finished_run: Path) -> Path:
    """A run under ./checkpoints, of the small text."""
    shutil.copytree(finished_run, "checkpoints/one")
    return Path("checkpoints/one")


class TestWhatIsLookedAt:
    def test_without_any_run_the_reference_models(self, corpus: Path) -> None:
        shown = look("--lags", "50", "--windows", "8")
        verdicts = shown.stdout.splitlines()[-4 * 3 :]
        for name, _ in REFERENCE_MODELS:
            assert f"\n{name} " in shown.stdout
            assert any(line.startswith(f"{name}: ") for line in verdicts)
        assert "at initialisation, on python-docs" in " ".join(shown.stdout.split())
        assert shown.stderr == ""
        assert_fits(shown.stdout)
        names, kinds = [], {}
        for model in models("--lags", "50", "--windows", "8"):
            assert model["model"]["hidden"] == 128
            assert not model["trained"]
            names.append(model["name"])
            kinds[model["name"]] = model["verdict"]["kind"]
        assert names == [name for name, _ in REFERENCE_MODELS]
        assert kinds["rnn normal:0.01 (2015)"] == "vanishing"
        assert kinds["rnn orthogonal"] != "vanishing"

    def test_with_runs_the_newest_and_stderr_says_which(self, run: Path) -> None:
        shutil.copytree(run, "checkpoints/two")
        os.utime("checkpoints/two/last.npz", (1e9, 1e9))
        result = look(*FEW)
        assert result.stderr == (
            "charrnn: note: inspecting the newest run, checkpoints/one/best.npz\n"
        )
        assert result.stdout.startswith("gradient of the loss at one character, trained, on corpus")
        assert "\none " in result.stdout
        assert "lengths in characters" in result.stdout

    def test_files_and_folders_side_by_side(self, run: Path, untrained: Untrained) -> None:
        untrained("abcdefghijklmnopqrstuvwxyz .\n", cell="gru").save("other.npz")
        found = models(run, run / "last.npz", "other.npz", "--text", "corpus.txt", *FEW)
        assert [model["name"] for model in found] == ["one", f"{run}/last.npz", "other.npz"]
        assert [model["model"]["cell"] for model in found] == ["mlstm", "mlstm", "gru"]
        assert all(model["trained"] and model["text"] == "corpus" for model in found)
        shown = look(run, "other.npz", "--text", "corpus.txt", *FEW)
        assert "\none: " in shown.stdout
        assert "\nother.npz: " in shown.stdout
        assert_fits(shown.stdout)

    def test_another_text(self, run: Path) -> None:
        Path("other.txt").write_text("tacos and a hat; so it was\n" * 20, encoding="utf-8")
        result = look(run, "--text", "other.txt", *FEW)
        assert "trained, on other, mean of 8 windows" in result.stdout
        assert "left out characters that the model does not know: ;\n" in result.stderr
        own, other = models(run, *FEW)[0], models(run, "--text", "other.txt", *FEW)[0]
        assert own["text"] == "corpus"
        assert own["profile"]["nats_per_char"] != other["profile"]["nats_per_char"]

    def test_where_the_corpus_is_gone_python_docs_is_read_and_said(self, run: Path) -> None:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        facts["sources"] = ["/nowhere/gone.txt"]
        (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        result = look(run, *FEW)
        assert "gone.txt" in result.stderr
        assert "; using python-docs instead" in result.stderr
        assert "on python-docs" in result.stdout

    def test_a_text_of_nothing_known_is_one_line(self, run: Path) -> None:
        Path("greek.txt").write_text("αβγδ" * 50, encoding="utf-8")
        line = refused(run, "--text", "greek.txt", code=4)
        assert "knows no character of 'greek'" in line

    def test_a_checkpoint_at_initialisation_is_its_network_newly_initialised(
        self, run: Path
    ) -> None:
        [trained], [fresh] = models(run, *FEW), models(run, "--at-init", *FEW)
        assert fresh["name"] == "one at initialisation"
        assert not fresh["trained"]
        assert fresh["model"] == trained["model"]
        assert fresh["profile"]["lines"] != trained["profile"]["lines"]
        assert models(run, "--at-init", *FEW) == [fresh]

    def test_at_init_alone_shows_the_reference_models_even_beside_runs(self, run: Path) -> None:
        result = look("--at-init", "--text", "corpus.txt", *FEW, "--quiet")
        assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [
            name.split(": ")[0] for name, _ in REFERENCE_MODELS
        ]
        assert result.stderr == ""

    def test_a_checkpoint_is_not_described_by_options(self, run: Path) -> None:
        assert "try --at-init without" in refused(run, "--hidden", "9", code=2)

    def test_a_grid_of_cells_and_initialisers(self, corpus: Path) -> None:
        inits = ("orthogonal", "normal:0.01", "identity")
        found = models("--cells", "rnn,lstm,gru", "--inits", ",".join(inits), *SMALL)
        assert [model["name"] for model in found] == [
            f"{cell} {init}" for cell in ("rnn", "lstm", "gru") for init in inits
        ]
        assert {model["model"]["hidden"] for model in found} == {8}
        one = models("--cell", "gru", "--recurrent-init", "identity", *SMALL)
        assert one == [model for model in found if model["name"] == "gru identity"]

    def test_every_cell_is_taken_where_none_is_named(self, corpus: Path) -> None:
        assert [model["model"]["cell"] for model in models(*SMALL)] == list(CELLS)

    def test_the_settings_reach_the_network_and_the_name(self, corpus: Path) -> None:
        options = (
            "--layers",
            "2",
            "--recurrent-gain",
            "0.5",
            "--input-gain",
            "0.25",
            "--forget-bias",
            "3",
        )
        [found] = models("--cells", "lstm", "--input-init", "uniform", *options, *SMALL)
        config = found["model"]
        assert [config[key] for key in ("layers", "gain", "input_gain", "forget_bias")] == [
            *(2, 0.5, 0.25, 3.0)
        ]
        assert config["input_init"] == "uniform"
        assert found["name"] == (
            "lstm orthogonal gain 0.5 input-init uniform input-gain 0.25 forget-bias 3.0 layers 2"
        )

    def test_a_gain_of_2_explodes(self, corpus: Path) -> None:
        found = models(*SMALL, *EXPLODES)
        assert [model["verdict"]["kind"] for model in found] == ["exploding"]
        assert "--recurrent-gain 1" in found[0]["verdict"]["sentence"]
        assert "\nexploding: the gradient grows" in look(*SMALL, *EXPLODES).stdout

    def test_a_higher_forget_bias_has_a_longer_horizon(self, corpus: Path) -> None:
        arrived = [
            models("--cells", "lstm", "--forget-bias", bias, *SMALL)[0]["profile"]["lines"][0]
            for bias in ("0", "2", "5")
        ]
        ratios = [line["geometric_mean"][-1] for line in arrived]
        assert ratios[0] < ratios[1] < ratios[2]

    @pytest.mark.parametrize(
        ("arguments", "code", "fragment"),
        [
            (["nowhere.npz"], 3, "no checkpoint at 'nowhere.npz'"),
            (["--text", "nowhere.txt"], 4, "nowhere.txt"),
            (["--cells", "gnu"], 2, "no cell called 'gnu'"),
            (["--cells", "rnn,"], 2, "no cell called ''"),
            (["--inits", "xavier"], 2, "'xavier'"),
            (["--hidden", "0"], 2, "hidden is 0"),
            (["--lags", "0"], 2, "--lags is 0"),
            (["--windows", "0"], 2, "--windows is 0"),
            (["--seed", "-1"], 2, "--seed"),
            (["--json", "--csv"], 2, "--json and --csv contradict"),
            (["--fail-on", "vanishin"], 2, "no verdict called 'vanishin'; there are nonfinite"),
            (["--fail-on", ""], 2, "no verdict called ''"),
            (["--show", "a", "--context"], 2, "--show and --context contradict"),
            (["--probe", "--live"], 2, "--probe and --live contradict"),
            (["--context", "--plot", "a.png"], 2, "--context has neither a plot nor a verdict"),
            (
                ["--show", "a", "--fail-on", "vanishing"],
                2,
                "--show has neither a plot nor a verdict",
            ),
            (["--live", "--json"], 2, "metrics.jsonl"),
        ],
    )
    def test_a_mistake_is_one_line(
        self, arguments: list[str], code: int, fragment: str, corpus: Path
    ) -> None:
        assert fragment in refused(*arguments, code=code)


class TestTheScreen:
    def test_a_table_a_chart_singular_values_and_a_sentence(self, corpus: Path) -> None:
        text = look("--cells", "rnn", *SMALL).stdout
        for part in (
            "halved after",
            "1% after",
            "per character",
            "gradient norm relative to lag 0",
        ):
            assert part in text
        assert "characters back" in text
        assert re.search(r"^Jacobian of the state +lag +largest σ .* bound *$", text, re.MULTILINE)
        assert re.search(r"^rnn orthogonal +1( +\d\S+){4} *$", text, re.MULTILINE)
        for absent in ("Lyapunov", "above 0.99", "--seq-length", "50% and more"):
            assert absent not in text

    def test_all_adds_what_takes_longer(self, corpus: Path) -> None:
        text = look("--cells", "lstm", "--all", *SMALL).stdout
        for part in ("condition", "Lyapunov", "above 0.99", "spectral radius", "departure"):
            assert part in text
        assert "memory half-life of layer 0" in text
        assert "longest memory: units" in " ".join(text.split())
        assert re.search(r"truncation +--seq-length \d+ keeps the bias", text)
        lags = re.findall(r"^(?:lstm orthogonal)? +(\d+) .*[e-]", text, re.MULTILINE)
        assert {"1", "2", "5", "10", "20"} <= set(lags)

    def test_several_layers_get_a_heat_map(self, corpus: Path) -> None:
        text = look("--cells", "lstm", "--layers", "2", *SMALL).stdout
        assert "50% and more" in text
        for line in ("layer 0 c", "layer 0 h", "layer 1 c", "layer 1 h"):
            assert re.search(rf"^{line} [█▓▒░·▲ ]+$", text, re.MULTILINE)

    @pytest.mark.parametrize(
        "arguments", [[*FORGETS], [*REMEMBERS], [*EXPLODES], ["--layers", "2"]]
    )
    def test_the_sentence_says_the_kind_the_finding_and_what_to_try(
        self, arguments: list[str], corpus: Path
    ) -> None:
        found = models(*SMALL, *arguments)
        for model in found:
            kind, sentence = model["verdict"]["kind"], model["verdict"]["sentence"]
            assert kind in diagnosis.VERDICT_KINDS
            assert re.fullmatch(rf"{kind}: [^.]+(\.\d[^.]*)*(\. Try .+)?", sentence)
            assert (". Try " in sentence) == ("rnn" in model["name"] and kind != "healthy")
        quiet = look(*SMALL, *arguments, "--quiet").stdout.splitlines()
        prefixes = ["" if len(found) == 1 else f"{model['name']}: " for model in found]
        assert quiet == [
            prefix + model["verdict"]["sentence"]
            for prefix, model in zip(prefixes, found, strict=True)
        ]

    def test_the_advice_for_the_recipe_of_2015(self, corpus: Path) -> None:
        assert re.fullmatch(
            r"vanishing: the gradient falls to 1% after \d+ characters\. "
            r"Try --cell lstm\n",
            look(*FORGETS, *SMALL, "--quiet").stdout,
        )

    def test_the_seed_decides_the_positions(self, corpus: Path) -> None:
        first, again, other = (
            models("--cells", "gru", *SMALL, "--seed", seed) for seed in ("3", "3", "4")
        )
        assert first == again
        assert first[0]["profile"]["lines"] != other[0]["profile"]["lines"]

    @pytest.mark.parametrize("charset", ["utf-8", "ascii"])
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--all", "--layers", "2"],
            [*EXPLODES, "--all"],
            ["--cells", "rnn", "--context"],
            ["--show", "the cat sat on a mat and it was happy to see all of them there by noon"],
        ],
    )
    def test_nothing_is_wider_than_the_screen(
        self, charset: str, arguments: list[str], corpus: Path
    ) -> None:
        runner = CliRunner(charset=charset)
        of_text = {"--context", "--show"} & set(arguments)
        small = SMALL[: -len(FEW)] if of_text else SMALL
        result = runner.invoke(
            app, ["inspect-gradients", *small, *arguments], catch_exceptions=False
        )
        assert result.exit_code == 0
        assert_fits(result.stdout)
        if charset == "ascii":
            assert result.stdout.isascii()
            assert "\\x" not in result.stdout
            assert "\\u" not in result.stdout

    def test_a_terminal_without_unicode_is_drawn_for_in_ascii(
        self, corpus: Path, process: Process
    ) -> None:
        line = f"charrnn inspect-gradients {' '.join(SMALL)} --cells rnn"
        done = process(line, {"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0
        text = done.stdout.decode("ascii")
        assert_fits(text)
        assert "\\" not in text


class TestFailOn:
    @pytest.mark.parametrize(
        ("fresh", "kinds", "code"),
        [
            (FORGETS, "vanishing", 1),
            (FORGETS, "exploding, vanishing", 1),
            (FORGETS, "exploding,nonfinite", 0),
            (REMEMBERS, "vanishing,exploding,nonfinite,fading", 0),
            (REMEMBERS, "healthy", 1),
            (EXPLODES, "exploding", 1),
        ],
    )
    def test_a_verdict_named_sets_the_exit_code(
        self, fresh: tuple[str, ...], kinds: str, code: int, corpus: Path
    ) -> None:
        shown = look(*SMALL, *fresh, "--fail-on", kinds, "--quiet", code=code)
        assert shown.stdout.count("\n") == 1
        assert shown.stderr == ""

    def test_the_output_is_printed_in_any_case(self, corpus: Path) -> None:
        shown = look(*FORGETS, *SMALL, "--fail-on", "vanishing", "--json", code=1)
        assert strict(shown.stdout)["models"][0]["verdict"]["kind"] == "vanishing"

    def test_one_model_of_several_is_enough(self, corpus: Path) -> None:
        grid = ("--cells", "rnn", "--inits", "identity,normal:0.01", "--input-init", "normal:0.001")
        look(*grid, *SMALL, "--fail-on", "vanishing", code=1)


class TestJson:
    def test_it_has_the_documented_keys(self, corpus: Path) -> None:
        found = strict(look("--cells", "rnn,lstm", "--layers", "2", *SMALL, "--json").stdout)
        assert list(found) == ["schema", "models"]
        assert found["schema"] == SCHEMA == 1
        for model in found["models"]:
            assert list(model) == MODEL_KEYS
            assert list(model["verdict"]) == ["kind", "sentence", "gradient"]
            assert list(model["profile"]) == PROFILE_KEYS
            for line in model["profile"]["lines"]:
                assert set(line) == LINE_KEYS
                assert all(len(line[curve]) == LAGS + 1 for curve in CURVES)
            assert {(one["layer"], one["lag_chars"]) for one in model["jacobians"]} == {
                (layer, lag) for layer in (0, 1) for lag in (1, 5, 20)
            }

    def test_all_adds_its_own(self, corpus: Path) -> None:
        for cell in CELLS:
            [model] = models("--cells", cell, "--all", *SMALL)
            assert sorted(set(model) - set(MODEL_KEYS)) == sorted(DETAIL_KEYS)
            assert len(model["recurrent_matrices"]) == len(CELLS[cell].gates)
            assert len(model["units"]) == 1
            assert len(model["units"][0]["half_life_chars"]) == (0 if cell == "rnn" else 8)
            assert model["lyapunov"]["windows"] == 16
            assert len(model["jacobians"]) == 5

    def test_its_numbers_are_those_of_the_core(self, run: Path, corpus: Path) -> None:
        [model] = models(run, *FEW, "--seed", "5")
        checkpoint = load_checkpoint(run / "best.npz")
        ids = checkpoint.vocabulary.encode(corpus.read_text(encoding="utf-8"))
        expected = gradient_profile(
            checkpoint.config, checkpoint.parameters, ids, lags=LAGS, windows=WINDOWS, seed=5
        )
        found = model["profile"]
        assert found["nats_per_char"] == expected.nats_per_char
        for line, core in zip(found["lines"], expected.lines, strict=True):
            for key in LINE_KEYS - {"geometric_mean", "p10", "p90"}:
                value = getattr(core, key)
                assert line[key] == (list(value) if isinstance(value, tuple) else value)
            for curve, logs in (
                ("geometric_mean", core.log_geometric),
                ("p10", core.log_p10),
                ("p90", core.log_p90),
            ):
                assert line[curve] == [math.exp(log) for log in logs if log is not None]
        lengths = measure_lengths(
            expected,
            checkpoint.config,
            checkpoint.parameters,
            ids,
            trained=True,
            text=dependence(ids, 5),
            seq_length=16,
            seed=5,
        )
        judged = diagnosis.diagnose(expected, checkpoint.config, trained=True, lengths=lengths)
        assert model["verdict"] == vars(judged)
        assert lengths.text is not None
        assert lengths.used is not None
        assert model["lengths"] == {
            "reach_chars": lengths.reach_chars,
            "max_lag": LAGS,
            "used_chars": lengths.used.chars,
            "full_chars": lengths.used.full_chars,
            "text_chars": lengths.text.horizon_chars,
            "text_detected_chars": lengths.text.detected_chars,
            "text_max_lag": lengths.text.lags[-1],
            "gap_chars": None,
            "seq_length": 16,
        }


class TestCsv:
    def test_a_row_for_each_model_layer_lag_and_quantity(self, corpus: Path) -> None:
        arguments = ("--cells", "rnn,lstm", "--layers", "2", *SMALL)
        text = look(*arguments, "--csv").stdout
        assert text.splitlines()[0] == "model,layer,state,lag,quantity,value"
        rows = table(text)
        lines = 2 + 4
        assert len(rows) == lines * (
            len(CURVES) * (LAGS + 1) + len(NUMBERS)
        ) + 2 * 2 * 3 * 4 + 2 * len(LENGTHS)
        found = {tuple(row.values())[:-1]: row["value"] for row in rows}
        assert len(found) == len(rows)

        def number(*key: object) -> float | None:
            value = found[tuple(map(str, key))]
            return float(value) if value else None

        for model in models(*arguments):
            for line in model["profile"]["lines"]:
                place = model["name"], line["layer"], line["state"]
                for curve in CURVES:
                    for lag, value in enumerate(line[curve]):
                        assert number(*place, lag, curve) == value
                for quantity in NUMBERS:
                    assert number(*place, "", quantity) == line[quantity]
            for one in model["jacobians"]:
                lag = one["lag_chars"]
                for quantity in ("log_largest", "log_smallest", "condition_number", "log_bound"):
                    key = model["name"], one["layer"], "", lag, f"jacobian_{quantity}"
                    assert number(*key) == one[quantity]

    def test_all_adds_the_numbers_that_it_adds_to_json(self, run: Path) -> None:
        (found,) = models(run, *FEW, "--all")
        rows = table(look(run, *FEW, "--all", "--csv").stdout)
        values = {
            (row["quantity"], row["layer"], row["state"], row["lag"]): row["value"] for row in rows
        }
        assert len(values) == len(rows)

        def value(quantity: str, layer: object = "", state: object = "", lag: object = "") -> Any:
            text = values.pop((quantity, str(layer), str(state), str(lag)))
            return json.loads(text) if text else None

        for matrix in found["recurrent_matrices"]:
            layer, gate = matrix.pop("layer"), matrix.pop("gate")
            for name, number in matrix.items():
                assert value(f"W_hh_{name}", layer, gate) == number
        (exponent,), (error,) = (
            found["lyapunov"][name] for name in ("nats_per_char", "standard_error")
        )
        assert value("lyapunov_nats_per_char") == exponent
        assert value("lyapunov_standard_error") == error
        for name in LENGTHS:
            assert value(name) == found["lengths"][name]
        for stats in found["units"]:
            layer = stats["layer"]
            assert value("saturated_share", layer) == stats["saturated_share"]
            assert value("dead_units", layer) == len(stats["dead_units"])
            for gate in stats["gates"]:
                assert value("gate_shut_share", layer, gate["name"]) == gate["shut_share"]
                assert value("gate_open_share", layer, gate["name"]) == gate["open_share"]
            for unit, life in enumerate(stats["half_life_chars"]):
                assert value("unit_half_life_chars", layer, unit) == life
        assert value("truncation_seq_length") == found["truncation"]["seq_length"]
        for length, bias in enumerate(found["truncation"]["bias"]):
            assert value("truncation_bias", lag=length) == bias
        left = {quantity for quantity, *_ in values}
        jacobians = {name for name in left if name.startswith("jacobian_")}
        assert left - jacobians == {*CURVES, *NUMBERS}
        assert set(found["lengths"]) == set(LENGTHS)


class TestShow:
    def test_marks_stand_under_the_text_where_there_are_no_colours(self, run: Path) -> None:
        text, marks, legend = look(run, "--show", "the cat").stdout.splitlines()[1:]
        assert text == "the cat"
        assert len(marks) == len("the cat")
        assert "█" in marks
        assert legend == "marks: ▁ weakest, █ strongest"

    def test_colours_where_there_are(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        shown = look(run, "--show", "the cat").stdout
        assert "\x1b[" in shown
        assert "marks:" not in shown
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
        assert plain[1] == "the cat"
        monkeypatch.setenv("NO_COLOR", "1")
        assert "marks:" in look(run, "--show", "the cat").stdout

    def test_json_and_csv_hold_the_numbers_of_the_core(self, run: Path) -> None:
        text = "the cat sat"
        checkpoint = load_checkpoint(run / "best.npz")
        ids = checkpoint.vocabulary.encode(text)
        core = context.influence(checkpoint.config, checkpoint.parameters, ids)
        found = strict(look(run, "--show", text, "--json").stdout)
        assert found == {
            "schema": 1,
            "influence": [
                {
                    "name": "one",
                    "text": text,
                    "target": checkpoint.vocabulary.characters[core.target],
                    "probability": core.probability,
                    "log_norms": list(core.log_norms),
                    "shares": list(core.shares),
                }
            ],
        }
        rows = table(look(run, "--show", text, "--csv").stdout)
        assert "".join(row["character"] for row in rows) == text
        assert [int(row["position"]) for row in rows] == list(range(len(text)))
        assert [float(row["share"]) for row in rows] == list(core.shares)

    @pytest.mark.parametrize(("text", "fragment"), [("the Ω", "'Ω' U+03A9"), ("", "no character")])
    def test_what_cannot_be_shown_is_one_line(self, text: str, fragment: str, run: Path) -> None:
        assert fragment in refused(run, "--show", text, code=4)

    def test_several_models_one_below_the_other(self, run: Path) -> None:
        shown = look(run, run / "last.npz", "--show", "cat").stdout
        assert shown.count("influence on the prediction") == 2


class TestContext:
    def test_the_loss_by_context_length(
        self, run: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        losses = partial(context.context_losses, lags=(1, 2, 4, 8, 16, 32), windows=32)
        monkeypatch.setattr("charrnn.cli.inspect.command.context_losses", losses)
        checkpoint = load_checkpoint(run / "best.npz")
        ids = checkpoint.vocabulary.encode(corpus.read_text(encoding="utf-8"))
        core = losses(checkpoint.config, checkpoint.parameters, ids)
        shown = look(run, "--context").stdout
        for lag, nats in zip(core.lags, core.nats_per_char, strict=True):
            assert nats is not None
            figures = f"{nats:.3f}  {nats / math.log(2):.3f}"
            assert re.search(rf"^ +{lag}  {re.escape(figures)}\b", shown, re.MULTILINE)
        assert (
            f"effective context: {core.effective_chars} characters (the loss is within 1% of that "
            f"with {core.full_chars})"
        ) in " ".join(shown.split())
        found = strict(look(run, "--context", "--json").stdout)
        assert found["schema"] == 1
        assert found["context"] == [{"name": "one", **json.loads(to_json(vars(core)))}]
        rows = table(look(run, "--context", "--csv").stdout)
        assert [int(row["characters_seen"]) for row in rows] == list(core.lags)
        assert [float(row["nats_per_char"]) for row in rows] == list(core.nats_per_char)


class TestPlot:
    def test_without_matplotlib_one_line_before_any_work(
        self, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert refused(*SMALL, "--plot", "a.png", code=2).endswith("try pip install matplotlib")

    def test_an_ending_without_a_format_is_one_line(self, corpus: Path) -> None:
        assert "names no format" in refused(*SMALL, "--plot", "a.jpg", code=2)
        assert not Path("a.jpg").exists()

    @needs_matplotlib
    @pytest.mark.parametrize("arguments", [["--layers", "2", "--cells", "lstm"], []])
    def test_the_picture_is_written_beside_the_answer(
        self, arguments: list[str], corpus: Path
    ) -> None:
        shown = look(*SMALL, *arguments, "--plot", "a.svg")
        assert "characters back" in shown.stdout
        assert Path("a.svg").read_text(encoding="utf-8").startswith("<?xml")


def model(
    text: str, spoil: Callable[[Any], None] | None = None, name: str = "odd", **settings: Any
) -> InspectedModel:
    """Make a subject of a network with random weights, one of them perhaps spoilt."""
    vocabulary = Vocabulary.from_text(text)
    V = len(vocabulary)
    config = ModelConfig(V, V, **{"hidden": 8} | settings)
    parameters = initialise(config, np.random.default_rng(0))
    if spoil is not None:
        spoil(parameters)
    ids = vocabulary.encode(text)
    return InspectedModel(
        name, config, parameters, vocabulary, ids, "text", trained=True, seq_length=16
    )


def no_readout(parameters: Any) -> None:
    parameters["W_hy"][...] = 0


def not_a_number(parameters: Any) -> None:
    parameters["layers.0.W_hh"].flat[3] = np.nan


def infinite(parameters: Any) -> None:
    parameters["b_y"][0] = np.inf


def enormous(parameters: Any) -> None:
    parameters.vector[...] = parameters.vector * np.float32(1e30)


ABC = "abcde fghij " * 30
DEGENERATE: dict[str, tuple[str, Callable[[Any], None] | None, dict[str, Any], str]] = {
    "a zero gradient": (ABC, no_readout, {}, "vanishing: there is no gradient"),
    "NaN": (ABC, not_a_number, {}, "nonfinite: layers.0.W_hh holds numbers"),
    "infinity": (ABC, infinite, {}, "nonfinite: b_y holds numbers"),
    "one character": ("a" * 200, None, {}, "one character leaves nothing to guess"),
    "one unit": (ABC, None, {"hidden": 1}, ": "),
    "two units of five layers": (ABC, None, {"hidden": 2, "layers": 5}, ": "),
    "a text shorter than the lag": ("abcabcab", None, {}, ": "),
    "three characters": ("abc", None, {}, ": "),
    "the largest weights": (ABC, enormous, {}, ": "),
}


class TestDegenerate:
    @pytest.mark.parametrize("what", DEGENERATE)
    def test_a_sentence_strict_json_and_a_picture_for_anything(
        self, what: str, cell: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text, spoil, settings, fragment = DEGENERATE[what]
        odd = model(text, spoil, cell=cell, **settings)
        found = [inspect_model(odd, lags=LAGS, windows=WINDOWS, seed=0, everything=True)]
        assert fragment in found[0].verdict.sentence
        assert strict(to_json(inspections_as_json(found)))["models"][0]["name"] == "odd"
        assert {len(row) for row in csv.reader(io.StringIO(inspections_as_csv(found)))} == {6}
        TerminalView().show(found, everything=True)
        shown = capsys.readouterr().out
        assert_fits(shown)
        assert "nan" not in re.findall(r"[a-z]+", shown)

    def test_a_short_text_is_followed_as_far_as_it_goes_with_a_note(self) -> None:
        Path("short.txt").write_text("abcdefghij" * 3, encoding="utf-8")
        shown = look("--text", "short.txt", "--hidden", "4", "--cells", "rnn", "--quiet").stdout
        assert "note: 30 characters are few: the gradient is followed for 9 of 200 lags" in shown

    @pytest.mark.parametrize(("text", "fragment"), [("aaaa", "two different"), ("ab", "no past")])
    def test_a_text_without_a_past_is_one_line(self, text: str, fragment: str) -> None:
        Path("few.txt").write_text(text, encoding="utf-8")
        for view in ([], ["--context"]):
            assert fragment in refused("--text", "few.txt", "--hidden", "4", *view, code=4)

    def test_weights_that_are_no_numbers_are_not_loaded(self, run: Path) -> None:
        arrays, facts = read_archive(run / "best.npz")
        spoilt = {name: array.copy() for name, array in arrays.items()}
        next(array for array in spoilt.values() if array.dtype.kind == "f").flat[0] = np.nan
        write_archive(run / "best.npz", spoilt, facts)
        assert "not finite" in refused(run, code=3)


HOSTILE = "a\x1b]0;title\x07[bold red]:smile:[/]\u202e\x9b\u2028"


class TestHostile:
    @pytest.fixture
    def found(self) -> Inspection:
        text = (HOSTILE + "bc d") * 20
        odd = model(text, name=HOSTILE, layers=2)
        return inspect_model(odd, lags=LAGS, windows=WINDOWS, seed=0, everything=True)

    def test_no_name_and_no_vocabulary_steers_the_terminal(
        self, found: Inspection, capsys: pytest.CaptureFixture[str], dangerous: frozenset[str]
    ) -> None:
        model, view = found.model, TerminalView()
        view.show([found, found], everything=True)
        _, ids = model.prompt(HOSTILE)
        for target in range(model.config.outputs):
            moved = context.influence(model.config, model.parameters, ids, target)
            view.influence(model, HOSTILE, moved)
        losses = context.context_losses(
            model.config, model.parameters, model.ids, lags=(1, 2), windows=4
        )
        view.context(model, losses)
        shown = capsys.readouterr().out
        assert not dangerous & set(shown)
        assert "[bold red]:smile:[/]" in shown

    def test_the_name_of_a_file_does_not_either(
        self, untrained: Untrained, dangerous: frozenset[str]
    ) -> None:
        characters = "".join(sorted(set(HOSTILE + "bc d")))
        name = "[red]\x1b[31m\u202e"
        Path(name).mkdir()
        untrained(characters).save(f"{name}/best.npz")
        Path(f"{name}.txt").write_text((HOSTILE + "bc d") * 20, encoding="utf-8")
        read = ("--text", f"{name}.txt")
        for arguments in (
            [*read, *FEW],
            ["--show", HOSTILE],
            [*read, "--context"],
            [*read, *FEW, "--quiet"],
        ):
            shown = look(name, *arguments)
            assert not dangerous & set(shown.stdout + shown.stderr)
            if "--quiet" not in arguments:
                assert_fits(shown.stdout)

    def test_a_long_name_is_folded(self, capsys: pytest.CaptureFixture[str]) -> None:
        long = [
            inspect_model(
                model(ABC, name=letter * 200),
                lags=LAGS,
                windows=WINDOWS,
                seed=0,
                everything=True,
            )
            for letter in "xy漢"
        ]
        TerminalView().show(long, everything=True)
        assert_fits(capsys.readouterr().out)


def quantities(rows: Iterable[dict[str, str]]) -> set[str]:
    return {row["quantity"] for row in rows}


def test_an_empty_value_stands_for_what_is_not_a_number() -> None:
    broken = inspect_model(
        model(ABC, not_a_number), lags=LAGS, windows=WINDOWS, seed=0, everything=False
    )
    rows = table(inspections_as_csv([broken]))
    assert quantities(rows) == {*CURVES, *NUMBERS, *LENGTHS}
    assert {row["value"] for row in rows if row["quantity"] not in LENGTHS} == {""}
