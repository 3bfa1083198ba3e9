"""`charrnn sample`: the same seed, the same text; stdout carries it and nothing else."""

import os
import pty
import re
import shlex
import subprocess
import sys
import tty
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from typer.testing import Result

from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]
Untrained = Callable[..., Model]


@pytest.fixture
def sample(run_cli: Call, finished_run: Path) -> Callable[..., str]:
    """Sample from the finished run; return stdout. Only the notes given may be on stderr."""

    def run(*options: str, seed: int = 1, notes: str = "") -> str:
        result = run_cli("sample", finished_run, "--seed", str(seed), *options)
        assert result.exit_code == 0, result.stderr
        assert re.fullmatch(notes, result.stderr), result.stderr
        return result.stdout

    return run


def test_the_same_seed_writes_the_same_text(sample: Callable[..., str]) -> None:
    assert sample() == sample()
    assert sample() != sample(seed=2)


def test_without_a_seed_every_text_is_new(run_cli: Call, finished_run: Path) -> None:
    one, other = (run_cli("sample", finished_run).stdout for _ in range(2))
    assert one != other


@pytest.mark.parametrize("length", [1, 2, 77, 500])
def test_length_is_counted_in_characters_without_the_prime(
    length: int, sample: Callable[..., str]
) -> None:
    text = sample("--length", str(length), "--prime", "the cat")
    assert text.startswith("the cat")
    assert len(text) == 7 + length


def test_the_text_is_what_the_api_generates(finished_run: Path, sample: Callable[..., str]) -> None:
    from charrnn import load

    model = load(finished_run)
    written = "".join(model.generate("the", 200, 0.7, 5, 0.9, seed=4))
    options = ("--temperature", "0.7", "--top-k", "5", "--top-p", "0.9", "--length", "200")
    assert sample(*options, "--prime", "the", seed=4).rstrip("\n") == f"the{written}".rstrip("\n")


def test_a_temperature_of_zero_is_the_limit_of_small_ones(sample: Callable[..., str]) -> None:
    cycle = r"(charrnn: note: the text repeats itself every .* on; try .*\n)?"
    likeliest = sample("--temperature", "0", "--length", "200", notes=cycle)
    assert sample("--temperature", "0", "--length", "200", seed=9, notes=cycle) == likeliest
    for small in ("1e-9", "1e-300"):
        assert sample("--temperature", small, "--length", "200") == likeliest
    for limit in (("--top-k", "1"), ("--top-p", "1e-9")):
        assert sample(*limit, "--length", "200", notes=cycle) == likeliest
    assert sample("--length", "200") != likeliest


def test_the_newest_run_is_the_default_and_is_named_on_stderr(
    run_cli: Call, corpus: Path, tiny: Sequence[str]
) -> None:
    for name, moment in (("old", 1000), ("new", 3000), ("middle", 2000)):
        run_cli("train", "corpus.txt", *tiny, "--steps", "1", "--name", name, "--seed", str(moment))
        os.utime(f"checkpoints/{name}/last.npz", (moment, moment))
    result = run_cli("sample", "--seed", "1")
    assert result.stderr == "charrnn: sampling from checkpoints/new/best.npz\n"
    named = run_cli("sample", "checkpoints/new", "--seed", "1")
    assert named.stdout == result.stdout
    assert named.stderr == ""
    assert run_cli("sample", "checkpoints/new/best.npz", "--seed", "1").stdout == result.stdout


def test_a_prime_can_come_from_a_file_or_standard_input(
    run_cli: Call, finished_run: Path, sample: Callable[..., str]
) -> None:
    expected = sample("--prime", "the cat\nsat")
    Path("prime.txt").write_text("the cat\nsat", encoding="utf-8")
    assert sample("--prime-file", "prime.txt") == expected
    piped = run_cli(
        "sample", finished_run, "--seed", "1", "--prime-file", "-", stdin="the cat\nsat"
    )
    assert piped.stdout == expected
    both = run_cli("sample", finished_run, "--prime", "a", "--prime-file", "prime.txt")
    assert both.exit_code == 2


def test_unknown_characters_in_the_prime_are_named_or_skipped(
    run_cli: Call, finished_run: Path, sample: Callable[..., str]
) -> None:
    options = ("sample", finished_run, "--prime", "the ΩcatÄ\x1b", "--seed", "1")
    refused = run_cli(*options)
    assert refused.exit_code == 4
    assert refused.stdout == ""
    for name in ("Ω", "Ä", "U+03A9", "U+001B"):
        assert name in refused.stderr
    assert "\x1b" not in refused.stderr
    skipped = run_cli(*options, "--on-unknown", "skip")
    assert skipped.stdout == sample("--prime", "the cat")
    assert "left out of the prime: ␛ÄΩ" in skipped.stderr
    nothing = run_cli(
        "sample", finished_run, "--prime", "ΩΩ", "--on-unknown", "skip", "--seed", "1"
    )
    assert nothing.stdout == sample()


def test_a_vocabulary_without_space_or_newline_can_be_sampled(
    run_cli: Call, untrained: Untrained
) -> None:
    untrained("xyz").save("odd.npz")
    result = run_cli("sample", "odd.npz", "--length", "40")
    assert result.exit_code == 0
    assert set(result.stdout) == set("xyz")


def test_a_stop_text_ends_the_sample_and_is_not_printed(sample: Callable[..., str]) -> None:
    whole = sample()
    middle = whole[100:103]
    expected = whole[: whole.index(middle)]
    assert sample("--stop", middle).removesuffix("\n") == expected.removesuffix("\n")
    line = sample("--stop", r"\n", "--prime", "the")
    assert line == sample("--prime", "the").partition("\n")[0]
    assert len(line) > 3
    unreachable = r"charrnn: note: --stop can never occur: .* 'Ω' U\+03A9, first at position 0\n"
    assert sample("--stop", "Ω", "--on-unknown", "skip", notes=unreachable) == whole


def test_many_samples_are_parted_by_a_line(sample: Callable[..., str]) -> None:
    three = sample("--count", "3", "--length", "60", "--prime", "the ").split("---\n")
    assert len(three) == 3
    assert len(set(three)) == 3
    assert all(text.startswith("the ") and text.endswith("\n") for text in three)
    assert three[0] == sample("--length", "60", "--prime", "the ") + "\n"
    two = sample("--count", "2", "--length", "60", "--prime", "the ", "--separator", "[b]%%[/b]")
    assert two.split("[b]%%[/b]\n") == three[:2]


def test_a_stop_text_ends_each_of_many_samples(sample: Callable[..., str]) -> None:
    plain = sample("--count", "4", "--length", "200", "--separator", "====")
    stopped = sample("--count", "4", "--length", "200", "--separator", "====", "--stop", " ")
    expected = [text.split(" ")[0] for text in plain.split("====\n")]
    assert [text.rstrip("\n") for text in stopped.split("====\n")] == [
        text.rstrip("\n") for text in expected
    ]


@pytest.mark.parametrize(
    "options",
    [
        *(
            "--temperature -1",
            "--temperature nan",
            "--temperature inf",
            "--temperature warm",
            "--top-k -1",
            "--top-k x",
        ),
        *("--top-p 0", "--top-p 1.5", "--top-p nan", "--seed -1", "--count 0", "--length -1"),
        *("--on-unknown ask", "--length 1.5"),
    ],
)
def test_settings_without_meaning_are_usage_errors(
    options: str, run_cli: Call, finished_run: Path
) -> None:
    result = run_cli("sample", finished_run, *options.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("charrnn: error: ")


MARKUP = "[]/\\:abosmile \n<>&*_`"


@pytest.mark.parametrize("seed", range(5))
def test_text_that_looks_like_markup_is_not_touched(
    seed: int, run_cli: Call, untrained: Untrained
) -> None:
    model = untrained(MARKUP, seed=seed)
    model.save("markup.npz")
    text = "".join(model.generate("[/b]", 2000, 1.5, seed=seed))
    result = run_cli(
        *("sample", "markup.npz", "--prime", "[/b]", "--length", "2000", "--temperature", "1.5"),
        *("--seed", str(seed)),
    )
    assert result.stdout.removesuffix("\n") == f"[/b]{text}".removesuffix("\n")


def test_a_model_of_bytes_writes_exactly_its_bytes(run_cli: Call, untrained: Untrained) -> None:
    model = untrained("".join(map(chr, range(256))), as_bytes=True)
    model.save("bytes.npz")
    text = "".join(model.generate(length=3000, temperature=2, seed=3))
    result = run_cli("sample", "bytes.npz", "--length", "3000", "--temperature", "2", "--seed", "3")
    assert result.stdout_bytes.removesuffix(b"\n") == text.encode("latin-1").removesuffix(b"\n")
    assert len(set(result.stdout_bytes)) > 200


def test_a_prime_for_bytes_is_written_in_utf_8(run_cli: Call, untrained: Untrained) -> None:
    untrained("".join(map(chr, range(256))), as_bytes=True).save("bytes.npz")
    result = run_cli("sample", "bytes.npz", "--length", "1", "--prime", "é", "--seed", "3")
    assert result.stdout_bytes.startswith("é".encode())
    assert len(result.stdout_bytes) in (3, 4)


def test_a_reader_who_has_had_enough_is_no_error(process: Process, finished_run: Path) -> None:
    line = f"charrnn sample {shlex.quote(str(finished_run))} --length 1000000 --seed 1"
    done = process(f"{line} | head -c 10")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout) == 10


@pytest.mark.parametrize(
    ("redirection", "reason"), [(">&-", b"closed"), (">/dev/full", b"No space left on device")]
)
def test_a_stdout_that_takes_nothing_is_an_error_of_one_line(
    redirection: str, reason: bytes, process: Process, finished_run: Path
) -> None:
    done = process(f"charrnn sample {shlex.quote(str(finished_run))} --length 30 {redirection}")
    assert done.returncode == 5
    assert done.stderr.startswith(b"charrnn: error: standard output")
    assert done.stderr.count(b"\n") == 1
    assert reason in done.stderr


def test_a_closed_stderr_does_not_leak_into_the_text(
    process: Process, finished_run: Path, sample: Callable[..., str]
) -> None:
    (Path("checkpoints")).mkdir()
    Path("checkpoints/linked").symlink_to(finished_run)
    done = process("charrnn sample --seed 1 2>&-")
    assert done.returncode == 0
    assert done.stdout.decode() == sample()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"},
    ],
)
def test_a_pipe_gets_exact_utf_8_whatever_the_locale(
    environment: dict[str, str], process: Process, untrained: Untrained
) -> None:
    model = untrained("é語😀 a")
    model.save("accents.npz")
    line = "charrnn sample accents.npz --length 80 --seed 2 --prime é; charrnn info accents.npz"
    done = process(line, environment)
    text = "é" + "".join(model.generate("é", length=80, seed=2))
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout.decode("utf-8").startswith(text)
    assert "1 × 8 lstm" in done.stdout.decode("utf-8")


def on_terminal(arguments: Sequence[str], **environment: str) -> bytes:
    """Run a command whose stdout is a terminal that changes nothing; return what arrives there."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        running = subprocess.Popen(
            [sys.executable, "-m", "charrnn", *arguments],
            stdout=theirs,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"NO_COLOR": "1", "TERM": "xterm"} | environment,
        )
        os.close(theirs)
        arrived = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says EIO where others say end of file
                break
            if not piece:
                break
            arrived += piece
        assert running.wait(timeout=60) == 0
        return arrived
    finally:
        os.close(ours)


@pytest.fixture
def escapes(
    run_cli: Call, dangerous: frozenset[str], tiny: Sequence[str], empty_folder: Path
) -> Any:
    """The outcome of training on a text full of escape codes, and where the model is."""
    text = "".join(f"a{character}b[2J\x1b]0;title\x07\n" for character in sorted(dangerous)) * 3
    (empty_folder / "escapes.txt").write_text(text, encoding="utf-8")
    options = [option for option in tiny if option != "--quiet"]
    return run_cli("train", "escapes.txt", *options, "--optimizer", "adam")


def test_training_on_escape_codes_shows_none_of_them(
    escapes: Any, run_cli: Call, dangerous: frozenset[str]
) -> None:
    assert escapes.exit_code == 0
    assert "\n  | " in escapes.stderr
    assert set(map(chr, range(0x2400, 0x2420))) & set(escapes.stderr)
    info = run_cli("info", "checkpoints/escapes")
    assert "␛" in info.stdout
    for shown in (escapes.stderr, escapes.stdout, info.stdout):
        assert not dangerous & set(shown)


def test_a_terminal_gets_no_control_characters_and_a_pipe_the_exact_text(
    escapes: Any, run_cli: Call, dangerous: frozenset[str]
) -> None:
    options = (
        "sample",
        "checkpoints/escapes",
        "--seed",
        "1",
        "--length",
        "800",
        "--temperature",
        "2",
    )
    exact = run_cli(*options).stdout_bytes
    assert len(dangerous & set(exact.decode())) > 50
    assert on_terminal([*options, "--raw"]) == exact
    shown = on_terminal(options).decode()
    assert not dangerous & set(shown)
    assert "␛" in shown
    assert "<U+202E>" in shown


def test_a_terminal_shows_bytes_and_markup_as_they_are(untrained: Untrained) -> None:
    untrained("".join(map(chr, range(256))), as_bytes=True).save("bytes.npz")
    options = ("sample", "bytes.npz", "--seed", "1", "--length", "300", "--temperature", "3")
    shown = on_terminal(options)
    assert not {*range(9), *range(0x0B, 0x20), 0x7F} & set(shown)
    model = untrained(MARKUP)
    model.save("markup.npz")
    text = "".join(model.samples("", 300, Sampling(seed=1)).__next__())
    arrived = on_terminal(["sample", "markup.npz", "--seed", "1", "--length", "300"])
    assert arrived.decode().removesuffix("\n") == text.removesuffix("\n")


def test_bytes_are_decoded_on_a_terminal_and_exact_in_a_pipe(
    run_cli: Call, untrained: Untrained
) -> None:
    model = untrained("a\xa9\xc3", as_bytes=True)
    model.save("bytes.npz")
    options = ("sample", "bytes.npz", "--seed", "1", "--length", "300")
    exact = run_cli(*options).stdout_bytes
    assert exact == "".join(model.generate(length=300, seed=1)).encode("latin-1")
    shown = on_terminal(options).decode()
    assert shown == exact.decode("utf-8", "backslashreplace") + "\n"
    assert "é" in shown
    assert "\\xc3" in shown
    assert on_terminal([*options, "--raw"]) == exact


def test_only_a_terminal_gets_a_newline_at_the_end(run_cli: Call, untrained: Untrained) -> None:
    untrained("語é").save("model.npz")
    options = ("sample", "model.npz", "--seed", "1", "--length", "20")
    exact = run_cli(*options).stdout_bytes
    assert len(exact.decode()) == 20
    assert on_terminal(options) == exact + b"\n"
    escapes = exact.decode().encode("ascii", "backslashreplace")
    assert on_terminal(options, PYTHONIOENCODING="ascii") == escapes + b"\n"
    empty = ("sample", "model.npz", "--length", "0")
    assert (run_cli(*empty).stdout_bytes, on_terminal(empty)) == (b"", b"")


def test_a_preview_shows_the_characters_that_bytes_spell(
    run_cli: Call, tiny: Sequence[str], empty_folder: Path
) -> None:
    (empty_folder / "fr.txt").write_text("été à la mer\n" * 60, encoding="utf-8")
    options = [option for option in tiny if option != "--quiet"]
    result = run_cli("train", "fr.txt", "--bytes", *options, "--steps", "80")
    assert result.exit_code == 0
    assert "Ã" not in result.stderr
    assert set("éà") & set(result.stderr)
    shown = run_cli("inspect-gradients", "checkpoints/fr", "--show", "été à").stdout
    assert "été à\n" in shown
