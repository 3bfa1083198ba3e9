"""Pairs through the command line: train, predict, eval, info, resume, inspect, and mistakes."""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from charrnn.cli.app import app

Charrnn = Callable[..., Result]
TINY = ("--hidden", "12", "--steps", "60", "--workers", "1", "--eval-every", "30", "--lr", "0.1")


def write_pairs(path: Path, layout: str) -> Path:
    """Write pairs that a layout can learn, 120 of them."""
    rng = random.Random(5)
    rows: dict[str, tuple[str, str]] = {}
    while len(rows) < 120:
        text = "".join(rng.choice("abc") for _ in range(rng.randint(2, 9)))
        rows[text] = {
            "one-to-many": (f"L{len(rows) % 3}", text),
            "many-to-one": (text, "ends in a" if text[-1] == "a" else "does not"),
            "many-to-many": (text, text[:2]),
            "synced": (text, text.upper()),
            "one-to-one": (text, text[0]),
        }[layout]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in rows.values()), encoding="utf-8")
    return path


@pytest.fixture
def trained(run_cli: Charrnn, empty_folder: Path) -> Callable[[str], Path]:
    """Train on pairs of a layout, quietly; return the run's folder."""

    def make(layout: str) -> Path:
        pairs = write_pairs(empty_folder / f"{layout}.tsv", layout)
        result = run_cli("train", pairs, "--layout", layout, *TINY, "--quiet")
        assert result.exit_code == 0, result.stderr
        return Path("checkpoints") / layout

    return make


LAYOUTS = ("one-to-one", "one-to-many", "many-to-one", "many-to-many", "synced")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_says_what_it_does_and_ends_with_figures(
    run_cli: Charrnn, empty_folder: Path, layout: str, rows: Callable[[Path], list[dict[str, Any]]]
) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", layout)
    result = run_cli("train", pairs, "--layout", layout, *TINY)
    assert result.exit_code == 0, result.stderr
    assert f"{layout}: " in result.stderr
    assert f"--layout {layout}" in result.stderr
    assert "--seq-length" not in result.stderr
    assert "charrnn predict checkpoints/p" in " ".join(result.stdout.split())
    assert "accuracy" in result.stdout
    assert ("exact match" in result.stdout) == (layout in ("many-to-many", "synced"))
    evaluations = [
        row for row in rows(Path("checkpoints/p")) if "validation_nats_per_symbol" in row
    ]
    assert [row["step"] for row in evaluations] in ([30], [30, 60])  # it may be solved
    assert all(0 <= row["validation_symbol_accuracy"] <= 1 for row in evaluations)
    assert all(
        ("validation_exact_match" in row) == (layout != "one-to-many") for row in evaluations
    )


def test_pairs_without_rhyme_or_reason_are_told_so(run_cli: Charrnn, empty_folder: Path) -> None:
    rng = random.Random(2)
    lines = [f"{n:03}\t{'x' if rng.random() < 0.5 else 'y'}\n" for n in range(60)]
    (empty_folder / "noise.tsv").write_text("".join(lines), encoding="utf-8")
    result = run_cli("train", "noise.tsv", "--layout", "many-to-one", *TINY)
    found = " ".join(result.stdout.split())
    assert "It is level with commonest label (accuracy " in found  # of 6 examples
    assert "see whether the answers follow from the inputs at all" in found
    assert "learned little" not in found


def test_json_of_a_run(run_cli: Charrnn, empty_folder: Path) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", "many-to-one")
    result = run_cli("train", pairs, "--layout", "many-to-one", *TINY, "--json", "--quiet")
    found = json.loads(result.stdout)
    assert found["best"] == "checkpoints/p/best.npz"
    assert found["validation"]["layout"] == "many-to-one"
    assert found["validation"]["examples"] == 12
    assert len(found["validation"]["confusion"]) == 2


def test_a_label_is_predicted(run_cli: Charrnn, trained: Callable[[str], Path]) -> None:
    run = trained("many-to-one")
    result = run_cli("predict", "abca", "abcb", "bbba")
    assert result.stdout == "ends in a\ndoes not\nends in a\n"
    assert "answering with" in result.stderr
    named = run_cli("predict", run, stdin="abca\nabcb\n")
    assert named.stdout == "ends in a\ndoes not\n"
    assert named.stderr == ""
    shares = run_cli("predict", run, "--probabilities", "abca").stdout.rstrip("\n").split("\t")
    assert shares[::2] == ["ends in a", "does not"]
    assert sum(map(float, shares[1::2])) == pytest.approx(1, abs=2e-4)
    (row,) = run_cli("predict", run, "--probabilities", "--json", "abca").stdout.splitlines()
    found = json.loads(row)
    assert found["output"] == "ends in a"
    assert sum(found["probabilities"].values()) == pytest.approx(1)


def test_a_text_becomes_a_text(run_cli: Charrnn, trained: Callable[[str], Path]) -> None:
    run = trained("many-to-many")
    greedy = run_cli("predict", run, "abca", "cb")
    assert len(greedy.stdout.splitlines()) == 2
    beam = run_cli("predict", run, "--beam", "4", "--probabilities", "abca")
    answer, probability = beam.stdout.rstrip("\n").split("\t")
    assert 0 < float(probability) <= 1
    (row,) = run_cli("predict", run, "--beam", "4", "--json", "abca").stdout.splitlines()
    assert json.loads(row)["output"] == answer


def test_a_label_is_written_about(run_cli: Charrnn, trained: Callable[[str], Path]) -> None:
    run = trained("one-to-many")
    one = run_cli("predict", run, "L1", "--count", "5", "--seed", "3", "--temperature", "0.8")
    assert len(one.stdout.splitlines()) == 5
    assert (
        one.stdout
        == run_cli(
            "predict", run, "L1", "--count", "5", "--seed", "3", "--temperature", "0.8"
        ).stdout
    )
    assert one.stdout != run_cli("predict", run, "L1", "--count", "5", "--seed", "4").stdout
    (row,) = run_cli("predict", run, "L1", "--json", "--seed", "4").stdout.splitlines()
    assert json.loads(row)["seed"] == 4


def test_every_character_is_marked(run_cli: Charrnn, trained: Callable[[str], Path]) -> None:
    trained("synced")
    assert run_cli("predict", "abcab", "c").stdout == "ABCAB\nC\n"


def test_eval_tells_accuracy_a_confusion_matrix_and_f1(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    run = trained("many-to-one")
    result = run_cli("eval", run, "many-to-one.tsv")
    assert result.exit_code == 0, result.stderr
    for words in ("accuracy", "macro F1", "precision", "ends in a", "true"):
        assert words in result.stdout
    found = json.loads(run_cli("eval", run, "many-to-one.tsv", "--json").stdout)
    matrix = found["confusion"]
    assert sum(map(sum, matrix)) == found["examples"] == 120
    right = sum(matrix[n][n] for n in range(2))
    assert found["symbol_accuracy"] == pytest.approx(right / 120)
    assert set(found["labels"]) == {"ends in a", "does not"}


def test_eval_scores_every_row_and_counts_unknown_symbols_as_wrong(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    run = trained("many-to-one")
    right = ["abca\tends in a\n"] * 3 + ["abcb\tdoes not\n"] * 2
    rows = [*right, "abc\tmaybe\n", "aßb\tdoes not\n", "ßß\tmaybe\n"]
    Path("test.tsv").write_text("".join(rows), encoding="utf-8")
    result = run_cli("eval", run, "test.tsv", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["examples"] == found["symbols"] == 8
    assert found["symbol_accuracy"] == found["exact_match"] == pytest.approx(5 / 8)
    assert (found["unknown_inputs"], found["unknown_outputs"]) == (2, 1)
    assert found["commonest_answer_accuracy"] == pytest.approx(3 / 8)
    assert found["confusion"] == [[2, 0], [0, 3]]
    assert found["labels"]["does not"]["recall"] == pytest.approx(2 / 3)
    (note,) = result.stderr.splitlines()
    assert "the input of 2 and the output of 1 rows" in note
    assert "test.tsv line 6" in note
    Path("known.tsv").write_text("".join(right), encoding="utf-8")
    known = json.loads(run_cli("eval", run, "known.tsv", "--json").stdout)
    assert known["nats_per_symbol"] == found["nats_per_symbol"]
    assert known["symbol_accuracy"] == 1
    assert "of 5 examples" in run_cli("eval", run, "test.tsv").stdout


def test_eval_counts_unknown_symbols_of_texts_as_wrong(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    run = trained("many-to-many")
    Path("test.tsv").write_text("abca\tab\nabc\tßß\n", encoding="utf-8")
    found = json.loads(run_cli("eval", run, "test.tsv", "--json").stdout)
    assert (found["examples"], found["symbols"]) == (2, 6)
    assert found["exact_match"] <= 0.5
    assert found["symbol_accuracy"] <= 0.5


def test_info_tells_the_layout_and_the_symbols(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    run = trained("many-to-one")
    shown = run_cli("info", run).stdout
    for words in ("many-to-one", "3: abc", "2: does not, ends in a", "exact match"):
        assert words in shown
    found = json.loads(run_cli("info", run, "--json").stdout)
    assert found["pairs"]["answers"] == ["does not", "ends in a"]


def test_inspect_gradients_looks_back_from_the_label(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    run = trained("many-to-one")
    result = run_cli("inspect-gradients", run)
    assert result.exit_code == 0, result.stderr
    assert "followed for" in result.stdout
    found = json.loads(run_cli("inspect-gradients", run, "--json", "--lags", "3").stdout)
    (line, _) = found["models"][0]["profile"]["lines"]
    assert len(line["ratio"]) == 4
    assert line["ratio"][0] == 1
    moved = run_cli("inspect-gradients", run, "--show", "abca")
    assert "influence on the prediction 'ends in a'" in moved.stdout
    everything = run_cli("inspect-gradients", run, "--all")
    assert everything.exit_code == 0, everything.stderr
    refused = run_cli("inspect-gradients", run, "--context")
    assert refused.exit_code == 2
    watched = run_cli(
        "train", "many-to-one.tsv", "--layout", "many-to-one", *TINY, "--watch-gradients"
    )
    assert "gradient at step" in watched.stderr


@pytest.mark.parametrize("layout", ["many-to-many", "synced"])
def test_an_interrupted_run_is_resumed_exactly(
    run_cli: Charrnn,
    empty_folder: Path,
    layout: str,
    at_step: Callable[[int, Callable[[], None]], None],
    assert_same: Callable[[Path, Path], None],
) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", layout)
    command = ("train", pairs, "--layout", layout, *TINY, "--quiet")
    assert run_cli(*command, "--out", "whole").exit_code == 0
    at_step(41, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run_cli(*command, "--out", "parts").exit_code == 130
    at_step(10**9, lambda: None)
    resumed = run_cli("train", "--resume", "parts")
    assert resumed.exit_code == 0, resumed.stderr
    assert_same(Path("whole"), Path("parts"))
    assert "finished" in run_cli("train", "--resume", "parts").stderr


def test_resume_wants_the_same_pairs(
    run_cli: Charrnn,
    empty_folder: Path,
    at_step: Callable[[int, Callable[[], None]], None],
) -> None:
    pairs = write_pairs(empty_folder / "p.tsv", "synced")
    at_step(20, lambda: os.kill(os.getpid(), signal.SIGINT))
    run_cli("train", pairs, "--layout", "synced", *TINY, "--quiet", "--out", "run")
    pairs.write_text("ab\tAB\nabc\tABC\nc\tC\n", encoding="utf-8")
    result = run_cli("train", "--resume", "run")
    assert result.exit_code == 4
    assert "not the pairs of this run" in result.stderr


def test_a_run_can_begin_from_another_s_weights(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    run = trained("synced")
    result = run_cli("train", "synced.tsv", "--layout", "synced", *TINY, "--init-from", run)
    assert result.exit_code == 0, result.stderr
    other = run_cli("train", "synced.tsv", "--layout", "many-to-many", *TINY, "--init-from", run)
    assert other.exit_code == 2
    assert "the checkpoint's layout is synced" in other.stderr


def test_a_demonstration_needs_no_layout(run_cli: Charrnn) -> None:
    result = run_cli("train", "--builtin", "case", "--steps", "5", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "one-to-one: a symbol to a symbol" in result.stderr


MISTAKES = [
    ("train p.tsv --layout diagonal", 2, ["diagonal", "many-to-one"]),
    ("train no-tab.tsv --layout diagonal", 2, ["diagonal", "many-to-one"]),
    ("train p.tsv --layout synced --seq-length 9", 2, ["--seq-length is for texts"]),
    ("train p.tsv --layout synced --bytes", 2, ["--bytes is for texts"]),
    ("train p.tsv --layout synced --min-count 2", 2, ["--min-count is for texts"]),
    ("train p.tsv --layout synced --preset min-char-rnn", 2, ["min-char-rnn is for texts"]),
    ("train --layout synced", 2, ["needs pairs", "--builtin vowels"]),
    ("train --layout synced --builtin dates", 2, ["dates is not for --layout synced"]),
    ("train p.tsv --layout synced --builtin dates", 2, ["contradict"]),
    ("train --builtin nothing --layout synced", 2, ["no built-in pairs 'nothing'"]),
    ("train no-tab.tsv --layout synced", 4, ["no-tab.tsv line 2 has no tab"]),
    ("train uneven.tsv --layout synced", 4, ["uneven.tsv line 2: 3 characters but 2"]),
    ("train empty.tsv --layout synced", 4, ["empty.tsv line 1: the output is empty"]),
    ("train same.tsv --layout many-to-one", 4, ["the one answer 'x'"]),
    ("train gone.tsv --layout synced", 4, ["no file gone.tsv"]),
    ("eval checkpoints/many-to-one strange.tsv", 4, ["strange.tsv line 1", "'maybe'"]),
    ("eval checkpoints/many-to-one unread.tsv", 4, ["unread.tsv line 1", "'ß'"]),
    ("sample checkpoints/many-to-one", 2, ["trained on pairs (many-to-one)", "charrnn predict"]),
    ("predict checkpoints/many-to-one abß", 4, ["'ß' never occurred"]),
    ("predict checkpoints/many-to-one --beam 3 ab", 2, ["--beam is for many-to-many"]),
    ("predict checkpoints/many-to-one --temperature 1 ab", 2, ["--temperature is for one-to-many"]),
    ("predict checkpoints/many-to-one ab -", 2, ["- is standard input"]),
    ("predict checkpoints/many-to-one ab --encoding utf-8", 2, ["--encoding is for standard"]),
    ("predict checkpoints/many-to-one a\u0301", 4, ["U+0301 COMBINING ACUTE ACCENT never"]),
    ("inspect-gradients checkpoints/many-to-one --context", 2, ["--context is for"]),
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model and files that are wrong in one way each."""
    place = tmp_path_factory.mktemp("mistakes")
    pairs = write_pairs(place / "many-to-one.tsv", "many-to-one")
    options = ("--layout", "many-to-one", *TINY, "--quiet")
    folder = place / "checkpoints" / "many-to-one"
    result = CliRunner().invoke(app, ["train", str(pairs), *options, "--out", str(folder)])
    assert result.exit_code == 0, result.stderr
    for name, content in {
        "p.tsv": "ab\tAB\nabc\tABC\nc\tC\n",
        "no-tab.tsv": "ab\tAB\nabc\n",
        "uneven.tsv": "ab\tAB\nabc\tAB\n",
        "empty.tsv": "ab\t\n",
        "same.tsv": "ab\tx\nabc\tx\n",
        "strange.tsv": "abc\tmaybe\n",
        "unread.tsv": "aß\tdoes not\n",
    }.items():
        (place / name).write_text(content, encoding="utf-8")
    return place


@pytest.mark.parametrize(("line", "code", "words"), MISTAKES, ids=[line for line, *_ in MISTAKES])
def test_every_mistake_has_its_line_and_its_code(
    run_cli: Charrnn,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    code: int,
    words: list[str],
) -> None:
    monkeypatch.chdir(workplace)
    result = run_cli(*line.split())
    assert result.exit_code == code, result.stderr
    (error,) = [row for row in result.stderr.splitlines() if "error" in row]
    assert error.startswith("charrnn: error: ")
    assert "; try " in error or ", try" in error
    for word in words:
        assert word in error
    assert not list(workplace.glob("checkpoints/[!m]*"))


def test_a_wrong_line_of_standard_input_is_named(
    run_cli: Charrnn, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    for stdin, words in (
        ("ab\nabß\nab", "standard input line 2: 'ß'"),
        (b"ab\r\n\xc3", "standard input line 2 is not UTF-8"),
        (b"ab\na\xc3b\nab\n", "standard input line 2 is not UTF-8"),
    ):
        result = run_cli("predict", "checkpoints/many-to-one", stdin=stdin)
        assert result.exit_code == 4
        assert words in result.stderr
        assert result.stdout == "does not\n"  # what came before is answered


def test_wrong_lines_can_be_skipped_and_the_rest_is_answered_in_order(
    run_cli: Charrnn, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    command = ("predict", "checkpoints/many-to-one", "--on-error", "skip")
    stdin = b"ab\nab\xc3\x9f\n\nab\na\xffb\nab\nq\n"
    result = run_cli(*command, stdin=stdin)
    assert (result.exit_code, result.stdout) == (
        0,
        "does not\n\n\ndoes not\n\ndoes not\n\n",
    )
    empty, skipped = result.stderr.splitlines()
    assert "1 empty line has no answer, first line 3" in empty
    assert "skipped 3 lines, the first of them: standard input line 2: 'ß' never" in skipped
    rows = [json.loads(row) for row in run_cli(*command, "--json", stdin=stdin).stdout.splitlines()]
    assert [row["output"] for row in rows] == [
        *("does not", None, None, "does not", None, "does not", None)
    ]
    assert [number for number, row in enumerate(rows, 1) if "error" in row] == [2, 5, 7]
    assert rows[4]["error"] == "a byte does not fit the encoding"
    alone = run_cli(*command, stdin="q\n")
    assert (alone.exit_code, alone.stdout) == (0, "\n")
    assert "skipped 1 line: standard input line 1: 'q'" in alone.stderr
    refused = run_cli(*command, "ab")
    assert refused.exit_code == 2
    assert "--on-error is for standard input" in refused.stderr


def test_skipped_lines_do_not_change_what_is_drawn(
    run_cli: Charrnn, trained: Callable[[str], Path]
) -> None:
    command = ("predict", trained("one-to-many"), "--on-error", "skip", "--seed", "3")
    label = "L1"
    first = run_cli(*command, stdin=f"{label}\nunknown\n{label}\n").stdout.split("\n")
    second = run_cli(*command, stdin=f"{label}\n{label}\n{label}\n").stdout.split("\n")
    assert first[0] != ""
    assert (first[0], first[1], first[2]) == (second[0], "", second[2])


@pytest.mark.parametrize(
    ("layout", "options"),
    [("many-to-many", "--beam 0"), ("many-to-many", "--beam 99999999999999999999")]
    + [("one-to-many", f"--count {count}") for count in (0, 10**12)],
)
def test_widths_and_counts_are_bounded(
    run_cli: Charrnn, trained: Callable[[str], Path], layout: str, options: str
) -> None:
    result = run_cli("predict", trained(layout), *options.split(), "ab")
    assert result.exit_code == 2
    assert "it must be at least 1 and at most" in result.stderr


def test_empty_lines_of_standard_input_are_answered_by_empty_lines(
    run_cli: Charrnn, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    command = ("predict", "checkpoints/many-to-one")
    answers = "\n\ndoes not\n\ndoes not\n"
    for stdin in ("\n\nab\n\nab\n\n\n", "\ufeff\n\nab\n\nab"):
        result = run_cli(*command, "-", stdin=stdin)
        assert (result.exit_code, result.stdout) == (0, answers)
        note = "charrnn: note: 3 empty lines have no answer, first line 1\n"
        assert result.stderr == note
    rows = run_cli(*command, "--json", stdin="\nab\n").stdout.splitlines()
    assert [json.loads(row)["output"] for row in rows] == [None, "does not"]
    trailing = run_cli(*command, stdin="ab\n\n\n")
    assert (trailing.exit_code, trailing.stdout, trailing.stderr) == (0, "does not\n", "")
    assert run_cli(*command, stdin="\n\n").stdout == ""


def test_a_byte_order_mark_on_standard_input_is_dropped(
    run_cli: Charrnn, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    for encoding in ("utf-8-sig", "utf-16"):
        options = ("--encoding", "utf-16") if encoding == "utf-16" else ()
        stdin = "ab\nab\n".encode(encoding)
        result = run_cli("predict", "checkpoints/many-to-one", *options, stdin=stdin)
        assert (result.exit_code, result.stdout) == (0, "does not\ndoes not\n"), result.stderr
    argument = run_cli("predict", "checkpoints/many-to-one", "\ufeffab")
    assert argument.stdout == "does not\n"


def test_inputs_are_brought_into_the_normal_form_of_the_model(run_cli: Charrnn) -> None:
    Path("p.tsv").write_text("é\tx\ne\ty\nè\tx\na\ty\n" * 3, encoding="utf-8")
    options = ("--layout", "many-to-one", "--normalize", "nfd", *TINY)
    assert run_cli("train", "p.tsv", *options, "--val-fraction", "0").exit_code == 0
    composed, decomposed = (
        run_cli("predict", "--probabilities", field, stdin=None) for field in ("é", "e\u0301")
    )
    assert composed.exit_code == 0, composed.stderr
    assert composed.stdout == decomposed.stdout
    piped = run_cli("predict", "--probabilities", "-", stdin="é\n")
    assert piped.stdout == composed.stdout


def test_a_language_model_cannot_predict(run_cli: Charrnn, finished_run: Path) -> None:
    result = run_cli("predict", finished_run, "x")
    assert result.exit_code == 2
    assert "try charrnn sample" in result.stderr


def names_of(language: str, count: int, rng: random.Random) -> list[str]:
    """Draw names whose letters and endings tell the language, most of the time."""
    endings = {"no": ("sen", "stad", "vik"), "it": ("ini", "ello", "ucci")}[language]
    letters = {"no": "abdekls", "it": "abdeklt"}[language]
    stems = ("".join(rng.choice(letters) for _ in range(rng.randint(2, 5))) for _ in range(count))
    return [stem + rng.choice(endings) for stem in stems]


def test_a_run_compares_itself_with_baselines_and_shows_mistakes(run_cli: Charrnn) -> None:
    rng = random.Random(4)
    pairs = [(name, label) for label in ("no", "it") for name in names_of(label, 150, rng)]
    pairs += [(name, "it") for name in names_of("no", 8, rng)]  # which no model can know
    rng.shuffle(pairs)
    Path("n.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    options = ("--layout", "many-to-one", "--hidden", "12", "--workers", "1", "--seed", "1")
    few = run_cli("train", "n.tsv", *options, "--steps", "2", "--out", "few")
    assert "it is level with naive Bayes, 1- to 4-grams (accuracy" in " ".join(few.stdout.split())
    assert "learned little" not in few.stdout
    untrained = ("--steps", "2", "--lr", "1e-6", "--out", "poor")
    poor = run_cli("train", "n.tsv", *options, *untrained)
    assert "does worse than naive Bayes, 1- to 4-grams (accuracy −" in " ".join(poor.stdout.split())
    assert "points), and has learned little" in " ".join(poor.stdout.split())
    good = run_cli("train", "n.tsv", *options, "--steps", "300", "--out", "good")
    assert "answered wrongly, for example:" in good.stdout
    assert "sen → no   (right: it)" in good.stdout or "(right: " in good.stdout
    assert "It beats commonest label" in good.stdout
    facts = json.loads(
        run_cli("train", "n.tsv", *options, "--steps", "2", "--json", "-q", "--out", "j").stdout
    )
    bayes = facts["baselines"]["naive Bayes, 1- to 4-grams"]
    assert set(bayes) == {"nats_per_symbol", "symbol_accuracy", "macro_f1"}
    assert bayes["symbol_accuracy"] > 0.85
    assert 0 < bayes["nats_per_symbol"] < 0.5


def test_copying_is_a_baseline_of_sequences(run_cli: Charrnn) -> None:
    words = [f"{a}{b}{c}" for a in "abcdef" for b in "aeiou" for c in "lmnr"]
    pairs = [(word, word if number % 3 else word[::-1]) for number, word in enumerate(words)]
    Path("w.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    options = ("--layout", "many-to-many", "--hidden", "8", "--workers", "1", "--steps", "5")
    result = run_cli("train", "w.tsv", *options, "--json", "-q")
    baselines = json.loads(result.stdout)["baselines"]
    assert baselines["copying the input"]["exact_match"] == pytest.approx(2 / 3, abs=0.25)
    again = " ".join(run_cli("train", "w.tsv", *options, "--out", "again").stdout.split())
    assert "It beats commonest symbol; it is level with commonest answer (exact match +0.0" in again
    assert "it does worse than copying the input (exact match −" in again
