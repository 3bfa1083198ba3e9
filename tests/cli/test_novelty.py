"""`charrnn novelty`: figures as counted with strings; memorised and fresh models; bad input."""

import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import charrnn
from charrnn.cli import novelty as command
from charrnn.cli.output.console import MAX_COLUMNS
from charrnn.data import large_text_files
from charrnn.inference.sampling import Sampling

Call = Callable[..., Result]


def json_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def novel_share(texts: Sequence[str], training: str, n: int) -> float:
    grams = [text[at : at + n] for text in texts for at in range(len(text) - n + 1)]
    return sum(gram not in training for gram in grams) / len(grams)


@pytest.fixture(scope="session")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has memorised a small text without repetitions: last.npz, not best.npz."""
    from tests.cli.conftest import call  # a fixture of the session cannot use `run_cli`

    place = tmp_path_factory.mktemp("memorised")
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 7))) for _ in range(300)]
    lines = [" ".join(draw.choices(words, k=9)) for _ in range(29)]
    (place / "tiny.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = "--hidden 64 --cell lstm --steps 1000 --lr 0.02 --optimizer adam --ema-decay 0"
    options = "--weight-decay 0 --dropout 0 --seq-length 40 --batch-size 4 --workers 1 -q"
    words = f"{recipe} {options} --eval-every 1000 --backend numpy".split()
    result = call("train", place / "tiny.txt", *words, "--out", place / "run")
    assert result.exit_code == 0, result.stderr
    return place / "run"


def test_a_model_that_has_memorised_a_text_copies(run_cli: Call, memorised: Path) -> None:
    result = run_cli("novelty", memorised / "last.npz", "--temperature", "0.5")
    words = " ".join(result.stdout.split())
    assert "The samples copy more than held-out text does: " in words
    found = json_of(run_cli("novelty", memorised / "last.npz", "--temperature", "0.5", "--json"))
    assert found["verdict"] == "copies"
    samples = found["samples"]
    assert samples["novel_share"][samples["ngram_lengths"].index(20)] < 0.4
    run = found["samples"]["longest_run"]
    text = (memorised.parent / "tiny.txt").read_text()
    at = run["position"]
    assert len(run["text"]) == found["samples"]["longest_run_characters"] >= 50
    assert text[at : at + len(run["text"])] == run["text"]
    assert run["line"] == 1 + text[:at].count("\n")
    assert f"first in line {run['line']} of tiny.txt" in words
    lines = (line[2:].ljust(MAX_COLUMNS - 2) for line in result.stdout.splitlines())
    assert run["text"].replace("\n", "␊") in "".join(lines)


def test_a_fresh_model_does_not(
    run_cli: Call, memorised: Path, tmp_path: Path, tiny: Sequence[str]
) -> None:
    text = memorised.parent / "tiny.txt"
    assert run_cli("train", text, *tiny, "--out", tmp_path / "fresh").exit_code == 0
    result = run_cli("novelty", tmp_path / "fresh", "--json")
    found = json_of(result)
    assert found["verdict"] == "no more than held-out text"
    assert found["samples"]["longest_run_characters"] < 20
    shown = run_cli("novelty", tmp_path / "fresh").stdout
    assert "The samples copy no more than held-out text does: 0.0%" in " ".join(shown.split())


def test_figures_are_those_of_a_count_with_strings(run_cli: Call, finished_run: Path) -> None:
    options = ("--samples", "4", "--length", "60", "--temperature", "0.7", "--seed", "5")
    found = json_of(run_cli("novelty", finished_run, *options, "--json"))
    text = (finished_run.parent / "corpus.txt").read_text()
    begin = int(len(text) * 0.9)
    training, held_out = text[:begin], text[begin:]
    model = charrnn.load(finished_run)
    sampling = Sampling(0.7, seed=5)
    samples = ["".join(one) for one in model.samples("", 60, sampling, 4)]
    last = len(held_out) - 60
    pieces = [held_out[start : start + 60] for start in (0, last // 3, 2 * last // 3, last)]
    assert found["training_characters"] == begin
    for name, texts in (("samples", samples), ("held_out", pieces)):
        group = found[name]
        assert (group["texts"], group["characters"]) == (4, 240)
        for n, share in zip(group["ngram_lengths"], group["novel_share"], strict=True):
            if n > 60:
                assert share is None
                continue
            assert share == pytest.approx(novel_share(texts, training, n)), (name, n)
        run = group["longest_run"]
        size = group["longest_run_characters"]
        assert run["text"] in training
        assert texts[run["text_number"]][run["begin"] :].startswith(run["text"])
        assert novel_share(texts, training, size) < 1
        assert novel_share(texts, training, size + 1) == 1
        assert training.index(run["text"]) == run["position"]


def test_the_table_fits_80_columns(run_cli: Call, finished_run: Path) -> None:
    result = run_cli("novelty", finished_run)
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = json_of(run_cli("novelty", finished_run, "--json"))
    share = found["samples"]["novel_share"][found["samples"]["ngram_lengths"].index(5)]
    (row,) = (line for line in result.stdout.splitlines() if line.split()[:1] == ["5"])
    assert row.split()[1] == f"{share:.1%}"
    assert not re.search("[^\n -~±␊█-▏]", result.stdout)


def test_a_large_text_gives_the_same(
    run_cli: Call, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_cli("novelty", finished_run, "--json")
    monkeypatch.setattr(large_text_files, "LARGE_TEXT_BYTES", 1)
    monkeypatch.setattr(large_text_files, "READ_CHUNK_BYTES", 700)
    monkeypatch.setattr(command, "SHOWN_PROGRESS", 1)
    in_parts = run_cli("novelty", finished_run, "--json")
    assert in_parts.stdout == whole.stdout
    assert json_of(in_parts)["held_out"]["characters"] > 0


def test_characters_that_were_left_out_of_the_vocabulary(
    run_cli: Call, tmp_path: Path, tiny: Sequence[str]
) -> None:
    text = "one two three four five six seven.\n" * 60
    Path("rare.txt").write_text(text[:700] + "%" + text[700:])
    assert run_cli("train", "rare.txt", *tiny, "--min-count", "2", "--out", "run").exit_code == 0
    found = json_of(run_cli("novelty", "run", "--json"))
    assert found["training_characters"] == int(len(text) * 0.9)


def test_greedy_sampling_draws_one_sample(run_cli: Call, finished_run: Path) -> None:
    for options in (("--temperature", "0"), ("--top-k", "1")):
        found = json_of(run_cli("novelty", finished_run, *options, "--json"))
        assert found["samples"]["texts"] == 1
        assert found["held_out"]["texts"] > 1


def test_without_held_out_text_there_is_no_verdict(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    assert run_cli("train", corpus, *tiny, "--val-fraction", "0", "--out", "run").exit_code == 0
    result = run_cli("novelty", "run")
    assert result.exit_code == 0
    assert "charrnn: note: the run held no text out" in result.stderr
    assert "No text was held out, so there is no verdict" in " ".join(result.stdout.split())
    assert json_of(run_cli("novelty", "run", "--json"))["held_out"] is None


def test_held_out_text_that_is_too_short(run_cli: Call, corpus: Path, tiny: Sequence[str]) -> None:
    few = ("--val-fraction", "0.005")
    assert run_cli("train", corpus, *tiny, *few, "--out", "run").exit_code == 0
    result = run_cli("novelty", "run")
    assert "the longest runs cannot be compared directly" in result.stderr
    short = run_cli("train", corpus, *tiny, "--val-fraction", "0.001", "--out", "short")
    assert short.exit_code == 0
    words = " ".join(run_cli("novelty", "short").stdout.split())
    assert "The held-out text has no 20 characters, so there is no verdict" in words


def test_a_model_of_bytes_is_measured_in_bytes(run_cli: Call, tiny: Sequence[str]) -> None:
    Path("text.txt").write_text("grün und blau, schön genug für alle\n" * 60, encoding="utf-8")
    assert run_cli("train", "text.txt", "--bytes", *tiny, "--out", "run").exit_code == 0
    result = run_cli("novelty", "run")
    assert result.exit_code == 0
    assert "share of n-grams of n bytes" in result.stdout
    assert "longest run of held-out text: 100 bytes" in result.stdout
    assert "schön genug für alle␊" in result.stdout


def test_no_control_character_reaches_the_screen(
    run_cli: Call, tiny: Sequence[str], dangerous: frozenset[str]
) -> None:
    Path("text.txt").write_text("\x1b[31m\u202ered\x9b\x07 text\u2028\n" * 90, encoding="utf-8")
    assert run_cli("train", "text.txt", *tiny, "--out", "run").exit_code == 0
    result = run_cli("novelty", "run")
    assert result.exit_code == 0
    assert "␛" in result.stdout
    assert not dangerous & set(result.stdout + result.stderr)


def test_a_text_that_moved_is_named_and_one_that_changed_refused(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    assert run_cli("train", corpus, *tiny, "--out", "run").exit_code == 0
    before = run_cli("novelty", "run", "--json").stdout
    corpus.rename("moved.txt")
    gone = run_cli("novelty", "run")
    assert gone.exit_code == 4
    assert gone.stderr.count("\n") == 1
    assert "try --text FILE" in gone.stderr
    found = json.loads(run_cli("novelty", "run", "--text", "moved.txt", "--json").stdout)
    assert found | {"text": "corpus"} == json.loads(before)
    Path("moved.txt").write_text("another text\n" * 50)
    changed = run_cli("novelty", "run", "--text", "moved.txt")
    assert changed.exit_code == 4
    assert "is not the text of this run" in changed.stderr
    assert not changed.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--samples", "0"), 2, "--samples is 0; it must be a whole number from 1 to 1,000"),
        (("--length", "19"), 2, "--length is 19; it must be a whole number from 20"),
        (("--temperature", "-1"), 2, "temperature is -1"),
        (("--samples", "1000", "--length", "100001"), 2, "--length is 100001"),
        (("--samples", "1000", "--length", "2001"), 2, "more than 2,000,000 characters"),
    ],
)
def test_settings_out_of_range(
    run_cli: Call, finished_run: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    result = run_cli("novelty", finished_run, *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_model_of_pairs_is_refused(run_cli: Call, tiny: Sequence[str]) -> None:
    options = ("--hidden", "4", "--steps", "2", "--workers", "1", "--quiet")
    assert run_cli("train", "--builtin", "vowels", *options, "--out", "pairs").exit_code == 0
    result = run_cli("novelty", "pairs")
    assert result.exit_code == 2
    assert "trained on pairs" in result.stderr
    assert "charrnn predict" in result.stderr
