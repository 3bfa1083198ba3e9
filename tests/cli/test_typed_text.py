"""What is typed: the same text by any option, in any spelling, becomes the model's characters."""

import json
import math
import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.testing import Result

from charrnn import load
from charrnn.cli.app import COMMANDS, load_command
from charrnn.errors import TextError
from charrnn.inference.model import Model

Call = Callable[..., Result]
Untrained = Callable[..., Model]
Process = Callable[..., "CompletedProcess[bytes]"]

FRENCH = "été à la mer où âne naïf garçon"


@pytest.fixture
def french(run_cli: Call, tiny: Sequence[str]) -> Callable[..., str]:
    """Train on accented words with the given options; return the run's folder."""

    def train(*options: str) -> str:
        draw = random.Random(1)
        lines = (" ".join(draw.choices(FRENCH.split(), k=8)) for _ in range(60))
        Path("fr.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        result = run_cli("train", "fr.txt", *tiny, *options)
        assert result.exit_code == 0, result.stderr
        return "checkpoints/fr"

    return train


@pytest.mark.parametrize("form", ["nfc", "nfd"])
def test_every_option_takes_a_text_in_any_normal_form(
    form: str, french: Callable[..., str], run_cli: Call
) -> None:
    run = french("--normalize", form)
    outputs = []
    for typed_form in ("NFC", "NFD"):
        text, letter = (unicodedata.normalize(typed_form, text) for text in ("été", "é"))
        Path("typed.txt").write_text(text, encoding="utf-8")
        Path("mark.txt").write_text(text, encoding="utf-8-sig")
        outputs.append(
            [
                run_cli("sample", run, "--seed", "1", "--length", "9", *options).stdout
                for options in (("--prime", text), ("--prime-file", "typed.txt"))
            ]
            + [run_cli("sample", run, "--seed", "1", "--prime-file", "mark.txt").stdout[:12]]
            + [run_cli("sample", run, "--seed", "1", "--stop", letter).stdout]
            + [run_cli("inspect-gradients", run, "--show", text, "--json").stdout]
            + [run_cli("eval", run, "typed.txt", "--no-baselines").stdout]
        )
        model = load(run)
        outputs[-1].append("".join(model.generate(text, 9, seed=1, stop=text)))
        outputs[-1].append(str(model.evaluate(text)))
    assert outputs[0] == outputs[1]
    assert all(outputs[0])
    assert unicodedata.normalize("NFC", outputs[0][0]).startswith("été")


def test_a_model_of_bytes_stops_at_an_accented_letter(
    french: Callable[..., str], run_cli: Call
) -> None:
    run = french("--bytes")
    whole = run_cli("sample", run, "--seed", "1", "--length", "300", "--prime", "é").stdout_bytes
    place = whole.index(b"\xc3", 2)
    letter = whole[place : place + 2]
    stops = [r"\x{:02x}\x{:02x}".format(*letter)]
    stops += [text for text in "éàùâïç" if text.encode() == letter]
    for stop in stops:
        result = run_cli(
            *("sample", run, "--seed", "1", "--length", "300", "--prime", "é", "--stop", stop)
        )
        assert result.stdout_bytes == whole[: whole.index(letter, 2)]
    model = load(run)
    assert "".join(model.generate("é", 300, seed=1)).encode("latin-1") == whole[2:]
    Path("mark.txt").write_bytes(b"\xef\xbb\xbf" + "é".encode())
    marked = run_cli(*("sample", run, "--seed", "1", "--length", "300", "--prime-file", "mark.txt"))
    assert marked.stdout_bytes == whole


def test_a_separator_of_a_model_of_bytes_is_utf_8(run_cli: Call, untrained: Untrained) -> None:
    untrained("ab", as_bytes=True).save("bytes.npz")
    options = ("--count", "2", "--length", "3", "--separator", r"→\xff\t")
    parts = run_cli("sample", "bytes.npz", *options).stdout_bytes.split("→".encode() + b"\xff\t\n")
    assert [len(part) for part in parts] == [4, 4]


def test_what_never_can_occur_is_refused_by_name(run_cli: Call, untrained: Untrained) -> None:
    model = untrained("ab\r")
    model.save("mac.npz")
    for option in ("--stop", "--prime"):
        result = run_cli("sample", "mac.npz", option, "a\u0301\n")
        assert result.exit_code == 4
        assert result.stdout == ""
        assert "U+000A LINE FEED, U+0301 COMBINING ACUTE ACCENT" in result.stderr
    with pytest.raises(TextError, match=r"the stop text can never occur: .* U\+000A"):
        next(model.generate(stop="\n"))


def test_a_stop_text_unlike_the_line_ends_of_the_text_is_told(
    run_cli: Call, tiny: Sequence[str], sentences: str
) -> None:
    Path("crlf.txt").write_text(sentences.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert run_cli("train", "crlf.txt", *tiny, "--steps", "1").exit_code == 0
    stopped = run_cli("sample", "--seed", "1", "--length", "50", "--stop", r"\n\n")
    assert "--stop did not occur in 50 characters, nor in the training text" in stopped.stderr
    assert r"try --stop '\r\n\r\n'" in stopped.stderr
    known = run_cli(
        "sample", "checkpoints/crlf", "--length", "3", "--stop", r".\r\n", "--seed", "1"
    )
    assert known.stderr == ""


def test_a_prompt_unlike_the_text_is_told_and_an_ordinary_one_is_not(
    run_cli: Call, finished_run: Path, sentences: str
) -> None:
    letters = [character for character in sorted(set(sentences)) if character.isalpha()]
    draw = random.Random(7)
    for _ in range(5):
        prompt = "".join(draw.choices(letters, k=30))
        result = run_cli("sample", finished_run, "--prime", prompt, "--length", "5")
        assert result.exit_code == 0
        assert result.stderr.startswith("charrnn: note: the prompt is unlike the training text: ")
        assert "% of its 4-grams occur in the training text" in result.stderr
        assert "on its validation text" in result.stderr
        assert result.stderr.count("\n") == 1
    for start in range(0, 600, 37):
        prompt = sentences[start : start + 30]
        assert run_cli("sample", finished_run, "--prime", prompt, "--length", "5").stderr == ""
    assert run_cli("sample", finished_run, "--prime", "ttttt", "--length", "5").stderr == ""


def test_a_prompt_is_judged_by_its_surprisal_where_the_text_is_gone(
    run_cli: Call, tiny: Sequence[str], sentences: str
) -> None:
    Path("gone.txt").write_text(sentences, encoding="utf-8")
    assert run_cli("train", "gone.txt", *tiny, "--steps", "150").exit_code == 0
    Path("gone.txt").unlink()
    strange = run_cli("sample", "checkpoints/gone", "--prime", "." * 30, "--length", "5")
    assert "the prompt is unlike the training text: " in strange.stderr
    assert "4-grams" not in strange.stderr
    ordinary = run_cli("sample", "checkpoints/gone", "--prime", sentences[40:90], "--length", "5")
    assert ordinary.stderr == ""


def test_a_greedy_sample_that_repeats_itself_is_told(run_cli: Call, finished_run: Path) -> None:
    for options in (("--temperature", "0"), ("--top-k", "1")):
        result = run_cli("sample", finished_run, "--length", "600", *options)
        period, begin = (
            int(word)
            for word in result.stderr.replace("every character", "every 1 characters").split()
            if word.isdecimal()
        )
        text = result.stdout[begin - 1 :]
        assert text[period:] == text[:-period]
    drawn = run_cli("sample", finished_run, "--length", "600", "--temperature", "1")
    assert drawn.stderr == ""


UNREAD = [
    ("sample RUN --encoding utf-8", "--encoding is for --prime-file"),
    ("sample RUN --prime the --encoding utf-8", "--encoding is for --prime-file"),
    ("sample RUN --separator x", "--separator stands between samples"),
    ("sample RUN --separator --- --count 1", "--separator stands between samples"),
    ("sample RUN --on-unknown skip", "--on-unknown is for --prime"),
    ("sample RUN --prime= --prime-file corpus.txt", "contradict"),
    ("sample BYTES --prime-file corpus.txt --encoding latin-1", "model of bytes"),
    ("eval BYTES corpus.txt --encoding utf-8", "model of bytes"),
]


@pytest.mark.parametrize(("line", "words"), UNREAD, ids=[line for line, _ in UNREAD])
def test_options_that_would_not_be_read_are_refused(
    line: str,
    words: str,
    run_cli: Call,
    finished_run: Path,
    corpus: Path,
    untrained: Untrained,
) -> None:
    untrained("".join(map(chr, range(256))), as_bytes=True).save("bytes.npz")
    names = {"RUN": str(finished_run), "BYTES": "bytes.npz"}
    result = run_cli(*(names.get(word, word) for word in line.split()))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


NUMBERS = ("0", "-1", "1e308", "-1e308", "inf", "-inf", "nan", "1e-320", "9" * 30, "9" * 5000, "x")
FLOATS = ("--temperature", "--top-p")
WHOLE = ("--top-k", "--length", "--count", "--seed")


@pytest.mark.parametrize("option", FLOATS + WHOLE)
def test_numbers_at_the_edge_end_in_a_text_or_in_one_line(
    option: str, run_cli: Call, finished_run: Path
) -> None:
    for number in NUMBERS:
        size = () if option == "--length" else ("--length", "5")
        result = run_cli("sample", finished_run, *size, option, number)
        assert result.exit_code in (0, 2), (option, number)
        if result.exit_code:
            assert result.stdout == ""
            assert result.stderr.startswith("charrnn: error: ")
            assert result.stderr.count("\n") == 1
            assert len(result.stderr) <= 201
        else:
            assert len(result.stdout) == (0 if option == "--length" else 5)


def test_sizes_that_no_machine_has_are_refused(run_cli: Call, finished_run: Path) -> None:
    for options in ("--length " + "9" * 30, "--count 2 --length 99999999999", "--count 99999999"):
        result = run_cli("sample", finished_run, *options.split())
        assert result.exit_code == 2
        assert "--length" in result.stderr
    infinite = run_cli("sample", finished_run, "--temperature", "inf").stderr
    assert "temperature is inf; it must be a finite number" in infinite


@pytest.mark.parametrize(
    "line", ["info RUN", "info RUN --json", "eval RUN corpus.txt", "eval RUN corpus.txt --json"]
)
def test_a_closed_stdout_is_an_error_of_one_line(
    line: str, process: Process, finished_run: Path, corpus: Path
) -> None:
    done = process(f"charrnn {line.replace('RUN', str(finished_run))} >&-")
    assert done.returncode == 5
    assert done.stderr.startswith(b"charrnn: error: standard output is closed; try ")
    assert done.stderr.count(b"\n") == 1


def test_hot_temperatures_draw_all_characters_alike(untrained: Untrained) -> None:
    model = untrained("abcd")
    for temperature in (1e30, 1e31, 1e300, 1.7e308):
        text = "".join(model.generate(length=4_000, temperature=temperature, seed=2))
        for character in "abcd":
            assert math.isclose(text.count(character), 1_000, abs_tol=120)


def test_commands_with_an_object_a_line_say_so(run_cli: Call) -> None:
    for command in COMMANDS:
        for parameter in load_command(command).params:
            if parameter.name == "json" and command != "train":
                assert ("per line" in parameter.help) == (command == "predict")
    run_cli("train", "--builtin", "case", "--steps", "2", "--workers", "1", "-q")
    rows = run_cli("predict", "--json", "a", "b").stdout.splitlines()
    assert [json.loads(row)["input"] for row in rows] == ["a", "b"]


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_messages_that_cannot_be_written_do_not_stop_the_text(
    stderr: str, process: Process, finished_run: Path, corpus: Path
) -> None:
    place = str(finished_run)
    for line in (
        f"sample {place} --temperature 0 --length 600 --seed 1",
        f"sample {place} --prime wwwwwwwwwwwwwwww --length 600 --seed 1",
        f"eval {place} corpus.txt --no-baselines",
    ):
        quiet = process(f"charrnn {line}")
        done = process(f"charrnn {line} {stderr}")
        assert (done.returncode, done.stdout) == (0, quiet.stdout)
        assert quiet.stderr.startswith(b"charrnn: note: ")
    refused = process(f"charrnn sample {place} --temperature -1 {stderr}")
    assert refused.returncode == 2


def test_an_argument_is_utf_8_whatever_the_locale(
    run_cli: Call, process: Process, untrained: Untrained
) -> None:
    untrained("ét ").save("model.npz")
    Path("corpus-é.txt").touch()
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line = "charrnn sample model.npz --prime 'été ' --length 9 --seed 1"
    exact = run_cli("sample", "model.npz", "--prime", "été ", "--length", "9", "--seed", "1")
    assert process(line, ascii_locale).stdout == exact.stdout_bytes
    told = process("charrnn eval model.npz corpus-é.txt", ascii_locale).stderr
    assert rb"corpus-\xe9.txt" in told
