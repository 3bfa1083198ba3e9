"""R15: any text through train, sample, inspect and eval, and any pairs through train and predict.

No command ends in a traceback, a terminal receives nothing that steers it, a pipe the exact text.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import charrnn
from charrnn.cli.output.safe_text import utf_8
from charrnn.cli.runs.load_text import read_text
from charrnn.data.decoding import TextOptions
from charrnn.data.layouts import LAYOUTS
from charrnn.errors import CharRNNError
from charrnn.inference.predictor import Predictor
from tests.reliability.scale import tries
from tests.reliability.terminal import (
    DANGEROUS,
    assert_ended_well,
    assert_harmless,
    clear,
    quick_commands,
    run,
)

TRAIN = ("--hidden", "3", "--steps", "3", "--workers", "1", "--backend", "numpy", "--dropout", "0")
TEXT = ("--batch-size", "2", "--seq-length", "4", "--eval-every", "3", "--out", "run")

HOSTILE = "\0\x01\x07\b\t\n\x0b\x0c\r\x1b\x7f\x80\x85\x9b\x9d\u061c\u200b\u200f\u2028\u202e\u2066"
SPECIAL = (
    "\ufeff\ufffe\u0301\u05d0\u0627\u0e33\u1100\u1160\ufe0f\U0001f600\U000e0100[]\\:<>/$%{}\"',;"
)
ALPHABETS = (
    st.characters(codec="utf-8"),
    st.sampled_from(HOSTILE),
    st.sampled_from(HOSTILE + SPECIAL + "ab \n"),
    st.sampled_from("ab\n"),
    st.sampled_from("[]/\\:bold red"),
)
REPEATS = st.sampled_from((1, 9, 60, 400))
MAX_CHARACTERS = 3_000

NAMES = (
    "t.txt",
    "a\x1b]0;x\x07.txt",
    "\u202etxt.exe",
    "é\u0301\u200b.txt",
    "\udcff.txt",
    "[b].txt",
)
OPTIONS: tuple[tuple[str, ...], ...] = (
    *((), (), (), ("--bytes",), ("--encoding", "latin-1"), ("--encoding", "utf-16-le")),
    *(("--normalize", "nfc"), ("--min-count", "2")),
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a file: text, text that is damaged, or anything."""
    kind = draw(st.sampled_from(("text", "text", "text", "surrogates", "bytes", "gzip")))
    repeats = draw(REPEATS)
    if kind == "bytes":
        return (draw(st.binary(max_size=40)) * repeats)[:MAX_CHARACTERS]
    least = draw(st.sampled_from((0, 2, 8)))
    text = draw(st.text(draw(st.sampled_from(ALPHABETS)), min_size=least, max_size=40))
    text = (text * repeats)[:MAX_CHARACTERS]
    if kind == "surrogates":
        return f"{text}\udc80\ud800".encode("utf-8", "surrogatepass")
    content = text.encode()
    return gzip.compress(content) if kind == "gzip" else content


def drawn(
    function: Callable[..., None], count: int, **strategies: st.SearchStrategy[object]
) -> None:
    """Call a function `count` times with drawn arguments, the same ones each time."""
    settle = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    seed(15)(settle(given(**strategies)(function)))()


@pytest.mark.parametrize("texts", tries(15, whole=2_000))
def test_no_text_ends_a_command_or_reaches_a_terminal_unseen(
    texts: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_figure: Callable[[str, str], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    counts: Counter[str] = Counter()

    def journey(content: bytes, name: str, options: tuple[str, ...]) -> None:
        clear(tmp_path)
        counts.update(["texts"])
        counts.update(through_all_commands(content, name, options))

    with quick_commands():
        drawn(
            journey,
            texts,
            content=contents(),
            name=st.sampled_from(NAMES),
            options=st.sampled_from(OPTIONS),
        )
    assert counts["texts"] >= texts
    assert counts["trained"] >= 0.3 * texts
    assert counts["hostile samples"] >= 0.1 * texts
    record_figure(
        "texts tried",
        f"{counts['texts']:,}: {counts['trained']:,} trained, {counts['commands']:,} commands, "
        f"{counts['hostile samples']:,} samples with control characters",
    )


def through_all_commands(content: bytes, name: str, options: tuple[str, ...]) -> Counter[str]:
    """Train on a text, use the model, and check each command; return what was counted."""
    Path(name).write_bytes(content)
    what = ascii((content, name, options))
    counts = Counter(commands=2)
    trained = run("train", name, *TRAIN, *TEXT, *options, terminal=True)
    measured = run(
        "inspect-text",
        name,
        "--lags",
        "5",
        *options[: 2 * (options[:1] != ("--min-count",))],
        terminal=True,
    )
    for outcome in (trained, measured):
        assert_ended_well(outcome, what)
        assert_harmless(outcome, what)
        assert outcome.code in (0, 4), (what, outcome.messages)
    if trained.code:
        return counts
    counts.update(trained=1)
    model = charrnn.load("run")
    assert_text_survives(model, name, options)
    for words in (
        ("sample", "run", "--length", "20", "--seed", "1"),
        ("eval", "run", name),
        ("inspect-gradients", "run", "--windows", "2", "--lags", "3", "--csv"),
        ("inspect-gradients", "run", "--show", model.vocabulary.characters[:9], "--csv"),
    ):
        outcome = run(*words, terminal=True)
        assert_ended_well(outcome, (words, what))
        assert_harmless(outcome, (words, what))
        assert outcome.code in (0, 2, 4), (words, what, outcome.messages)
        counts.update(commands=1)
    written = "".join(model.generate(length=20, seed=1))
    exact = written.encode("latin-1") if model.vocabulary.as_bytes else utf_8(written)
    piped = run("sample", "run", "--length", "20", "--seed", "1")
    assert (piped.code, piped.output) == (0, exact), what
    counts.update(commands=1)
    counts.update({"hostile samples": bool(DANGEROUS & set(written))})
    return counts


def assert_text_survives(model: charrnn.Model, name: str, options: tuple[str, ...]) -> None:
    """Check decode(encode(t)) == t for the text as it was read."""
    values = dict(zip(options[::2], options[1::2], strict=False))
    how = TextOptions(
        values.get("--encoding", "utf-8"), "--bytes" in options, values.get("--normalize")
    )
    text = "".join(read_text([name], None, how).sample)
    known = "".join(one for one in text if one in model.vocabulary)
    assert "--min-count" in options or known == text
    assert model.vocabulary.decode(model.vocabulary.encode(known)) == known


FIELDS = st.one_of(*(st.text(alphabet, min_size=1, max_size=6) for alphabet in ALPHABETS))
ROWS = st.lists(st.tuples(FIELDS, FIELDS), min_size=3, max_size=12)


def file_of_pairs(rows: list[tuple[str, str]], layout: str, kind: str) -> bytes:
    """Return the rows as a file: .jsonl holds any field, .tsv those without tabs and line ends."""
    if layout == "synced":
        rows = [(source, (answer * 6)[: len(source)]) for source, answer in rows]
    if kind == "raw.tsv":
        return "".join(f"{source}\t{answer}\n" for source, answer in rows).encode()
    if kind == "p.tsv":
        rows = [(" ".join(s.split()) or "x", " ".join(a.split()) or "y") for s, a in rows]
        return "".join(f"{source}\t{answer}\n" for source, answer in rows).encode()
    return "".join(
        f"{json.dumps({'input': source, 'output': answer})}\n" for source, answer in rows
    ).encode()


@pytest.mark.parametrize("files", tries(10, whole=400))
def test_no_file_of_pairs_does_either(
    files: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_figure: Callable[[str, str], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    counts: Counter[str] = Counter()

    def journey(rows: list[tuple[str, str]], layout: str, kind: str) -> None:
        clear(tmp_path)
        content = file_of_pairs(rows, layout, kind)
        Path(kind).write_bytes(content)
        counts.update(files=1)
        counts.update(through_predict(kind, layout, ascii((content, layout))))

    with quick_commands():
        drawn(
            journey,
            files,
            rows=ROWS,
            layout=st.sampled_from(list(LAYOUTS)),
            kind=st.sampled_from(("p.jsonl", "p.jsonl", "p.tsv", "raw.tsv")),
        )
    assert counts["trained"] >= 0.2 * files
    record_figure("files of pairs tried", f"{counts['files']:,}: {counts['trained']:,} trained")


def through_predict(name: str, layout: str, what: str) -> Counter[str]:
    """Train on pairs, answer an input, and check each command; return what was counted."""
    trained = run(
        "train", name, "--layout", layout, *TRAIN, "--out", "run", "--patience", "0", terminal=True
    )
    assert_ended_well(trained, what)
    assert_harmless(trained, what)
    assert trained.code in (0, 2, 4), (what, trained.messages)
    if trained.code:
        return Counter()
    model = Predictor.load("run")
    field = model.pairing.sources[0]
    commands = [("info", "run"), ("eval", "run", name)]
    commands += [
        ("predict", "run", "--seed", "1")
        if model.pairing.layout_spec.is_sampled
        else ("predict", "run")
    ]
    for words in commands:
        outcome = run(*words, terminal=True, stdin=f"{field}\n".encode())
        assert_ended_well(outcome, (words, what))
        assert_harmless(outcome, (words, what))
    if not model.pairing.layout_spec.is_sampled and not set("\r\n") & set(field):
        piped = run("predict", "run", stdin=f"{field}\n".encode())
        try:
            expected = f"{model.answer([field])[0].text}\n"
        except CharRNNError:
            return Counter(trained=1)
        assert piped.output.decode() == expected, what
    return Counter(trained=1)
