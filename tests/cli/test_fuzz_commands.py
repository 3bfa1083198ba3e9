"""Options at random: commands that use a model end in an answer or in one line, always."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from safetensors.numpy import load, save_file
from typer.testing import CliRunner, Result

from charrnn.cli.app import app
from charrnn.inference.model import Model

Call = Callable[..., Result]
Process = Callable[..., "CompletedProcess[bytes]"]

NUMBERS = ("0", "1", "2", "-1", "7", "1e308", "inf", "nan", "1e-320", "0.5", "9" * 25, "x", "")
TEXTS = ("", "a", "the cat", "é", "e\u0301", "\ufeffab", r"\n", r"\xff", "\\", "\x1b[2J", "\udcff")
ENCODINGS = ("utf-8", "latin-1", "utf-16", "hex", "utf-7", "", "é")
FILES = ("words.txt", "mark.txt", "latin.txt", "nul.bin", "empty.txt", "nowhere", ".", "-", "")
UNKNOWN = ("skip", "error", "ask")
MODELS = (
    "text.npz",
    "mixture.npz",
    "bytes.npz",
    "labels.npz",
    "texts.npz",
    "words.txt",
    "nowhere.npz",
)

SPACES: dict[str, dict[str, Sequence[str]]] = {
    "sample": {
        **dict.fromkeys(("--temperature", "--top-k", "--top-p", "--seed", "--count"), NUMBERS),
        **dict.fromkeys(("--prime", "--stop", "--separator"), TEXTS),
        "--prime-file": FILES,
        "--encoding": ENCODINGS,
        "--on-unknown": UNKNOWN,
        "--raw": (),
    },
    "predict": {
        **dict.fromkeys(
            ("--temperature", "--top-k", "--top-p", "--seed", "--count", "--beam"), NUMBERS
        ),
        "--encoding": ENCODINGS,
        "--probabilities": (),
        "--json": (),
    },
    "eval": {
        "--encoding": ENCODINGS,
        "--on-unknown": UNKNOWN,
        "--json": (),
        "--dynamic": (),
        "--no-baselines": (),
    },
    "neurons": {
        **dict.fromkeys(("--unit", "--layer", "--length", "--seed"), NUMBERS),
        "--span": (*TEXTS, "0:2", "3:1", "0:9999999", "-1:2"),
        "--state": ("h", "c", "x", ""),
        "--encoding": ENCODINGS,
        "--on-unknown": UNKNOWN,
        "--json": (),
    },
    "novelty": {
        **dict.fromkeys(("--temperature", "--top-k", "--top-p", "--seed", "--samples"), NUMBERS),
        "--length": ("20", "0", "-1", "x", ""),
        "--text": FILES,
        "--json": (),
    },
    "combine": {
        "--ngrams": NUMBERS,
        "--member": ("1", "2", "0", "x"),
        "--text": FILES,
        "--output": ("c.npz", ".", "nowhere/x.npz", "x.bin", "a\x1b[2J.npz"),
        "--force": (),
        "--json": (),
        "--quiet": (),
    },
    "info": {"--json": (), "--arrays": ()},
    "runs": {"--json": (), "--sort": ("loss", "name", "size")},
    "plot": {
        "--json": (),
        "--csv": (),
        "--metric": ("loss", "rate", "gradient-norm", "gradient-reach", "speed"),
        "--out": ("plot.svg", "plot.gif", "nowhere/plot.svg", "."),
    },
    "export": {
        "--to": ("safetensors", "onnx", "html", ""),
        "--output": ("exported", ".", "nowhere/x", "-", "a\x1b[2J"),
        "--force": (),
        "--json": (),
        "--quiet": (),
    },
    "import": {
        "--vocabulary": ("words.txt", "vocabulary.json", "nowhere", "."),
        "--output": ("imported.npz", "x.npz", "nowhere/x.npz", "x.bin"),
        "--force": (),
        "--json": (),
    },
}
EXPORTED = ("text.safetensors", "bytes.safetensors", "bare.safetensors", "words.txt", ".")
INPUTS = {
    "sample": (),
    "predict": TEXTS,
    "eval": FILES,
    "neurons": FILES,
    "novelty": (),
    "info": (),
    "runs": (*FILES, "checkpoints", "checkpoints/text"),
    "plot": ("checkpoints/text", "checkpoints/labels", "nowhere"),
    "export": (),
    "import": EXPORTED,
    "combine": ("text.npz", "checkpoints/text", "mixture.npz"),
}
STDIN = (b"", b"a\n\nb\n", b"\xef\xbb\xbfab\n", b"\xff\n", b"\x00", "é\r\n".encode("utf-16"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of every kind, and texts that are odd in one way each."""
    place = tmp_path_factory.mktemp("fuzz")
    small = ("--hidden", "4", "--steps", "2", "--workers", "1", "--quiet", "--batch-size", "2")
    for name, content in {
        "words.txt": b"the cat sat on a mat\n" * 30,
        "mark.txt": b"\xef\xbb\xbfthe cat\n",
        "latin.txt": b"caf\xe9 " * 90,
        "nul.bin": bytes(range(256)),
        "empty.txt": b"",
        "labels.tsv": b"ab\tx\nba\ty\n" * 9,
        "texts.tsv": b"x\tab\ny\tba\n" * 9,
    }.items():
        (place / name).write_bytes(content)
    for name, source, options in (
        ("text", "words.txt", ()),
        ("bytes", "latin.txt", ("--bytes",)),
        ("labels", "labels.tsv", ("--layout", "many-to-one", "--val-fraction", "0")),
        ("texts", "texts.tsv", ("--layout", "one-to-many", "--val-fraction", "0")),
    ):
        folder = place / "checkpoints" / name
        command = ["train", str(place / source), *options, *small, "--out", str(folder)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.stderr
        (place / f"{name}.npz").write_bytes((folder / "best.npz").read_bytes())
    for name in ("text", "bytes"):
        made = place / f"{name}.safetensors"
        words = ["export", str(place / f"{name}.npz"), "--to", "safetensors", "-o", str(made)]
        assert CliRunner().invoke(app, words).exit_code == 0
    words = ["combine", str(place / "checkpoints" / "text"), "--ngrams", "3"]
    assert CliRunner().invoke(app, [*words, "-o", str(place / "mixture.npz")]).exit_code == 0
    tensors = load((place / "text.safetensors").read_bytes())
    save_file(tensors, place / "bare.safetensors")
    (place / "vocabulary.json").write_text('"\\n acehmnost"', encoding="utf-8")
    return place


def draw_command(draw: random.Random) -> list[str]:
    """Return a random command: some options, a model or none, and some inputs."""
    command = draw.choice(sorted(SPACES))
    space = SPACES[command]
    line = [command, *draw.sample(MODELS, draw.random() < 0.9)]
    for option in draw.sample(sorted(space), draw.randint(0, min(3, len(space)))):
        line += [option, draw.choice(space[option])] if space[option] else [option]
    if command == "sample":
        line += ["--length", draw.choice(("0", "3", "40", "-1", "x"))]
    return (
        [*line, "--", *draw.choices(INPUTS[command], k=draw.randint(0, 2))]
        if INPUTS[command]
        else line
    )


@pytest.mark.parametrize("seed", range(12))
def test_every_command_ends_in_an_answer_or_in_one_line(
    seed: int, run_cli: Call, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    draw = random.Random(seed)
    for _ in range(40):
        line = draw_command(draw)
        result = run_cli(*line, stdin=draw.choice(STDIN))
        assert result.exit_code in (0, 2, 3, 4, 5), line
        errors = [row for row in result.stderr.splitlines() if row.startswith("charrnn: error: ")]
        assert len(errors) == (result.exit_code != 0), (line, result.stderr)
        assert all(len(error) <= 200 for error in errors), line
        for row in result.stderr.splitlines():
            assert row.startswith("charrnn: "), (line, result.stderr)


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "| true", "2>&-", "<&-"])
def test_every_command_survives_its_streams(
    redirection: str,
    process: Process,
    workplace: Path,
    untrained: Callable[..., Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(workplace)
    for line in (
        "sample text.npz --seed 1",
        "sample bytes.npz --seed 1 --count 2",
        "predict labels.npz --json ab",
        "predict labels.npz",
        "eval text.npz words.txt",
        "eval labels.npz labels.tsv --json",
        "neurons text.npz words.txt --length 600",
        "neurons bytes.npz words.txt --on-unknown skip --span 3:9 --json",
        "sample mixture.npz --seed 1",
        "eval mixture.npz words.txt --json",
        "info bytes.npz",
        "info text.npz --json",
        "export text.npz --to safetensors --force",
    ):
        done = process(f"charrnn {line} {redirection}")
        told = done.stderr.decode()
        assert "Traceback" not in told, line
        assert "Warning" not in told, line
        answered = line != "predict labels.npz"  # which has no input, and writes nothing
        broken = redirection in (">&-", ">/dev/full") and answered
        refused = redirection == "<&-" and not answered
        expected = 5 if broken else 2 if refused else 0
        if redirection != ">&-" or answered:
            assert done.returncode == expected, (line, told)
        assert told.count("charrnn: error: ") == (done.returncode != 0), (line, told)
