"""`charrnn inspect-text`: dependence between characters on screen, as JSON, CSV and picture."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from charrnn.analysis.text_memory import text_memory
from charrnn.data import large_text_files
from charrnn.data.vocabulary import Vocabulary

Call = Callable[..., Result]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a text whose lines are one of two words, repeated at a distance of 40 characters."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    words = "sun\n", "fog\n"
    content = "".join(
        words[n] + "".join("abcdefgh"[k] for k in rng.integers(0, 8, 36)) + words[n] + "\n"
        for n in rng.integers(0, 2, 800)
    )
    Path("text.txt").write_text(content)
    return content


def test_json_holds_what_the_analysis_measures(run_cli: Call, text: str) -> None:
    result = run_cli("inspect-text", "text.txt", "--json", "--lags", "100")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    expected = text_memory(Vocabulary.from_text(text).encode(text), max_lag=100)
    assert expected is not None
    assert found["schema"] == 1
    assert found["text"] == "text"
    assert found["characters"] == found["characters_counted"] == len(text)
    assert found["lags"] == list(expected.lags)
    assert found["mutual_information_bits"] == list(expected.bits)
    assert found["standard_error_bits"] == list(expected.error_bits)
    assert found["horizon_chars"] == expected.horizon_chars
    assert found["ngram_nats_per_char"] == list(expected.ngram_nats)
    bits = dict(zip(found["lags"], found["mutual_information_bits"], strict=True))
    assert bits[40] > 5 * bits[25] > 0


def test_csv_has_the_same_numbers(run_cli: Call, text: str) -> None:
    options = ("text.txt", "--lags", "50")
    found = json.loads(run_cli("inspect-text", *options, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(run_cli("inspect-text", *options, "--csv").stdout)))
    by_quantity = {
        quantity: [float(row["value"]) for row in rows if row["quantity"] == quantity]
        for quantity in {row["quantity"] for row in rows}
    }
    assert by_quantity == {
        "mutual_information_bits": found["mutual_information_bits"],
        "ngram_nats_per_char": found["ngram_nats_per_char"],
    }


def test_the_screen_fits_80_columns_and_names_the_distances(run_cli: Call, text: str) -> None:
    result = run_cli("inspect-text", "text.txt")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = json.loads(run_cli("inspect-text", "text.txt", "--json").stdout)
    words = " ".join(result.stdout.split())
    assert f"it is detected up to {found['detected_chars']:,}" in words
    quiet = run_cli("inspect-text", "text.txt", "--quiet")
    assert quiet.stdout
    assert words.endswith(" ".join(quiet.stdout.split()))


def test_independent_characters_are_called_so(
    run_cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    letters = np.random.default_rng(1).choice(list("abcdef"), 20_000)
    Path("noise.txt").write_text("".join(letters))
    result = run_cli("inspect-text", "noise.txt", "--quiet")
    assert "No dependence between characters is detected" in " ".join(result.stdout.split())


def test_a_large_text_is_measured_from_its_parts(
    run_cli: Call, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(run_cli("inspect-text", "text.txt", "--json", "--lags", "60").stdout)
    monkeypatch.setattr(large_text_files, "LARGE_TEXT_BYTES", 1)
    parts = json.loads(run_cli("inspect-text", "text.txt", "--json", "--lags", "60").stdout)
    assert parts["characters"] == whole["characters"]
    assert parts["entropy_bits"] == pytest.approx(whole["entropy_bits"], abs=0.01)
    assert parts["mutual_information_bits"] == pytest.approx(
        whole["mutual_information_bits"], abs=6 * max(whole["standard_error_bits"])
    )


def test_bytes_are_counted_as_bytes(
    run_cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("éa" * 1_000, encoding="utf-8")
    characters, as_bytes = (
        json.loads(run_cli("inspect-text", "text.txt", "--json", *option).stdout)
        for option in ((), ("--bytes",))
    )
    assert characters["characters"] == 2_000
    assert characters["entropy_bits"] == pytest.approx(1)
    assert as_bytes["characters"] == 3_000
    assert as_bytes["mutual_information_bits"][0] == pytest.approx(math.log2(3), abs=0.01)


def test_a_picture_is_drawn(run_cli: Call, text: str) -> None:
    pytest.importorskip("matplotlib")
    result = run_cli("inspect-text", "text.txt", "--quiet", "--plot", "memory.svg")
    assert result.exit_code == 0
    picture = Path("memory.svg").read_text(encoding="utf-8")
    assert picture.startswith("<?xml")
    assert "characters between" in picture or "<path" in picture


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("nowhere.txt",), 4, "nowhere.txt"),
        (("text.txt", "--json", "--csv"), 2, "contradict each other"),
        (("text.txt", "--lags", "0"), 2, "--lags is 0"),
        (("text.txt", "--plot", "memory.gif"), 2, ".png, .svg or .pdf"),
        (("text.txt", "--builtin", "france"), 2, "contradict each other"),
        (("short.txt",), 4, "too few to measure"),
    ],
)
def test_mistakes_are_one_line(
    run_cli: Call, text: str, options: tuple[str, ...], code: int, said: str
) -> None:
    Path("short.txt").write_text("too short")
    result = run_cli("inspect-text", *options)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("charrnn: error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
