"""`charrnn eval` of pairs: baselines beside the model, and pairs that it was trained on."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from charrnn.data.decoding import TextOptions
from charrnn.data.pair_files import build_examples, read_pairs, split_pairs
from charrnn.evaluation.pair_baselines import pair_baselines

Charrnn = Callable[..., Result]
QUICK = ("--hidden", "12", "--workers", "1", "--steps", "30", "--quiet", "--out", "run")


def words_of(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return sorted({"".join(rng.choices("abcd", k=rng.randint(3, 7))) for _ in range(count)})


def written(name: str, pairs: list[tuple[str, str]]) -> None:
    Path(name).write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")


def labelled(words: list[str]) -> list[tuple[str, str]]:
    return [(word, "even" if word.count("a") % 2 == 0 else "odd") for word in words]


@pytest.fixture
def run(run_cli: Charrnn, empty_folder: Path) -> str:
    """Train on labelled words; unseen.tsv has other ones."""
    words = words_of(400, 1)
    written("train.tsv", labelled(words[::2]))
    written("unseen.tsv", labelled(words[1::2]))
    layout = ("--layout", "many-to-one", "--seed", "3", *QUICK)
    assert run_cli("train", "train.tsv", *layout).exit_code == 0
    return "run"


def test_baselines_are_fitted_on_the_training_part_alone(run_cli: Charrnn, run: str) -> None:
    result = run_cli("eval", run, "unseen.tsv", "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    found = json.loads(result.stdout)["baselines"]
    corpus = read_pairs(["train.tsv"], TextOptions())
    split = split_pairs(corpus, "many-to-one", 0.1, 3)
    train = build_examples(split.pairing, split.train)
    scored = build_examples(split.pairing, read_pairs(["unseen.tsv"], TextOptions()).pairs)
    expected = {one.name: one.as_dict() for one in pair_baselines(split.pairing, train, scored)}
    assert found == expected
    assert set(found) == {"commonest label", "naive Bayes, 1- to 4-grams"}


def test_the_table_says_which_baselines_the_model_beats(run_cli: Charrnn, run: str) -> None:
    shown = run_cli("eval", run, "unseen.tsv").stdout
    assert "naive Bayes, 1- to 4-grams" in shown
    assert "this model" in shown
    assert "It beats" in shown or "does no better than" in shown
    without = run_cli("eval", run, "unseen.tsv", "--no-baselines").stdout
    assert "naive Bayes" not in without
    as_json = run_cli("eval", run, "unseen.tsv", "--no-baselines", "--json").stdout
    assert json.loads(as_json)["baselines"] is None


def test_pairs_of_the_training_are_counted(run_cli: Charrnn, run: str) -> None:
    count = len(Path("train.tsv").read_text(encoding="utf-8").splitlines())
    trained = count - round(0.1 * count)
    note = run_cli("eval", run, "train.tsv").stderr
    assert f"the model was trained on {trained:,} of these {count:,} pairs" in note


def test_pairs_with_unknown_symbols_are_no_part_of_the_baselines(
    run_cli: Charrnn, run: str
) -> None:
    written("strange.tsv", [*labelled(["abcab", "dcb"]), ("xyz", "odd")])
    shown = run_cli("eval", run, "strange.tsv").stdout
    assert "The baselines are of the 2 pairs whose symbols are all known." in shown


@pytest.mark.parametrize("missing", ["last.npz", "train.tsv"])
def test_without_the_training_pairs_the_model_is_scored_alone(
    run_cli: Charrnn, run: str, missing: str
) -> None:
    if missing == "last.npz":
        shutil.copy("run/best.npz", "alone.npz")
    else:
        Path("train.tsv").unlink()
    result = run_cli("eval", "alone.npz" if missing == "last.npz" else run, "unseen.tsv", "--json")
    assert result.exit_code == 0
    (note,) = result.stderr.splitlines()
    assert "no baselines:" in note
    assert missing in note
    found = json.loads(result.stdout)
    assert found["baselines"] is None
    assert 0 < found["symbol_accuracy"] <= 1


def test_the_nearest_input_is_a_baseline_of_sequences(run_cli: Charrnn, empty_folder: Path) -> None:
    words = words_of(150, 2)
    written("s.tsv", [(f"{word}x", word[:2]) for word in words])
    written("t.tsv", [(f"x{word}", word[:2]) for word in words[:40]])
    assert run_cli("train", "s.tsv", "--layout", "many-to-many", *QUICK).exit_code == 0
    found = json.loads(run_cli("eval", "run", "t.tsv", "--json").stdout)["baselines"]
    assert found["answer of the nearest input"]["exact_match"] > 0.6
    shown = run_cli("eval", "run", "t.tsv").stdout
    assert "does worse than answer of the nearest input" in " ".join(shown.split())
    assert "answer of the nearest input" in shown
