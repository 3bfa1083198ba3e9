"""Pair files: parsing, splits without leakage, and errors that name the line."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from charrnn.data.builtin_pairs import DEMONSTRATIONS, demonstration
from charrnn.data.decoding import TextOptions
from charrnn.data.pair_files import PairCorpus, build_examples, read_pairs, split_pairs
from charrnn.data.pair_formats import Pair, parse
from charrnn.errors import TextError, UsageError

ROWS = [("un", "one"), ('say "hi", you', "a\tb"), ("übung", "née"), ("x", "two\nlines")]
TSV = 'un\tone\n\n"say ""hi"", you"\ta b"\r\nübung\tnée\rx\t"two\n'
TSV_ROWS = [("un", "one"), ('"say ""hi"", you"', 'a b"'), ("übung", "née"), ("x", '"two')]
CSV = 'output,note,input\none,n,un\n"a\tb",,"say ""hi"", you"\nnée,,übung\n"two\nlines",,x\n'
JSONL = "\n".join(json.dumps({"input": a, "output": b, "id": 3}) for a, b in ROWS) + "\n\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], str]:
    """Put bytes into a file of the working folder."""
    monkeypatch.chdir(tmp_path)

    def put(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return name

    return put


Write = Callable[[str, bytes], str]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.tsv", TSV),
        ("p.txt", TSV),
        ("p.csv", CSV),
        ("p.jsonl", JSONL),
        ("p.ndjson", JSONL),
        ("p.CSV", CSV),
    ],
)
def test_every_format_holds_the_same_pairs(write: Write, name: str, text: str) -> None:
    corpus = read_pairs([write(name, text.encode())])
    rows = TSV_ROWS if text == TSV else ROWS
    assert [pair[:2] for pair in corpus.pairs] == rows
    assert corpus.name == "p"
    packed = read_pairs([write(name + ".gz", gzip.compress(text.encode()))])
    assert [pair[:2] for pair in packed.pairs] == rows
    assert corpus.fingerprint == packed.fingerprint


def test_encodings_and_normal_forms_are_those_of_texts(write: Write) -> None:
    name = write("p.tsv", "é\tß\n".encode("cp1252"))
    with pytest.raises(TextError, match=r"line 1.*--encoding latin-1"):
        read_pairs([name])
    assert read_pairs([name], TextOptions("cp1252")).pairs[0][:2] == ("é", "ß")
    assert read_pairs([name], TextOptions("cp1252", normalise="nfd")).pairs[0].input == "e\u0301"
    with pytest.raises(UsageError, match="--bytes"):
        read_pairs([name], TextOptions(as_bytes=True))


def test_a_header_of_a_tsv_is_no_pair(write: Write) -> None:
    corpus = read_pairs([write("p.tsv", b"input\toutput\na\tb\ninput\toutput\n")])
    assert [pair[:2] for pair in corpus.pairs] == [("a", "b"), ("input", "output")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("field", ['"tis so', 'end"', '"', '""', '"a"', "a\x0bb\x85c\u2028d", "'"])
def test_a_tsv_has_no_quotes_and_ends_lines_at_line_feeds_and_carriage_returns(
    write: Write, field: str, line_end: str
) -> None:
    rows = [(field, "lab1"), ("x", "lab2"), ("y", field), ("z", "end")]
    lines = ["", *("\t".join(row) for row in rows), "  ", ""]
    corpus = read_pairs([write("p.tsv", line_end.join(lines).encode())])
    assert [pair[:2] for pair in corpus.pairs] == rows
    assert [pair.where for pair in corpus.pairs] == [f"p.tsv line {n}" for n in (2, 3, 4, 5)]
    lone = "".join(f'{{"input": "{n}", "output": "x"}}{line_end}' for n in range(3))
    assert len(read_pairs([write("p.jsonl", lone.encode())]).pairs) == 3


@pytest.mark.parametrize("first", ["input\toutput", "Input\tOutput", "INPUT \tOutput"])
def test_a_header_in_any_letter_case_is_skipped_with_a_note(write: Write, first: str) -> None:
    corpus = read_pairs([write("p.tsv", f"{first}\na\tb\nc\tb\n".encode())])
    assert [pair[:2] for pair in corpus.pairs] == [("a", "b"), ("c", "b")]
    assert corpus.notes == (f"p.tsv line 1 is a header, skipped: {first.replace(chr(9), ', ')}",)
    table = first.replace("\t", ",")
    assert len(read_pairs([write("p.csv", f"{table}\na,b\nc,b\n".encode())]).pairs) == 2


@pytest.mark.parametrize(
    ("rows", "doubtful"),
    [
        ("text\tlabel\na\tx\nb\tx\nc\ty\nd\ty\n", True),
        ("label\ttext\nx\ta\nx\tb\ny\tc\ny\td\n", True),
        ("a\tx\nb\tx\nc\ty\nd\ty\n", False),
        ("text\tlabel\na\tx\nb\tx\nc\ty\n", False),
        ("a\tb\nc\td\n", False),
        ("a\tb\n", False),
    ],
)
def test_a_first_line_whose_label_occurs_once_may_be_a_header(
    write: Write, rows: str, doubtful: bool
) -> None:
    notes = read_pairs([write("p.tsv", rows.encode())]).notes
    assert any("line 1 may be a header" in note for note in notes) == doubtful


def test_long_fields_are_read_in_every_format(write: Write) -> None:
    long = "A" * 140_000
    for name, text in (
        ("p.tsv", f"{long}\tx\nA\ty\n"),
        ("p.csv", f"input,output\n{long},x\nA,y\n"),
        ("p.jsonl", f'{{"input": "{long}", "output": "x"}}\n'),
    ):
        assert read_pairs([write(name, text.encode())]).pairs[0].input == long
    assert csv.field_size_limit() == 131_072


def test_a_pair_is_read_once_however_often_it_stands_there(write: Write) -> None:
    corpus = read_pairs([write("a.tsv", b"a\tb\na\tb\nc\td\n"), write("b.tsv", b"c\td\ne\tf\n")])
    assert [pair[:2] for pair in corpus.pairs] == [("a", "b"), ("c", "d"), ("e", "f")]
    assert corpus.notes == ("2 pairs occur more than once and are read once",)
    assert corpus.pairs[2].where == "b.tsv line 2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.tsv", b"a\tb\nno tab here\n", r"p\.tsv line 2 has no tab; try"),
        ("p.tsv", b"a\tb\tc\n", r"p\.tsv line 1 has 2 tabs; try"),
        ("p.tsv", b"a\tb\n\tc\n", r"p\.tsv line 2: the input is empty; try"),
        ("p.tsv", b"\na\t\n", r"p\.tsv line 2: the output is empty; try"),
        ("p.csv", b'input,output\n"c,d\ne,f\n', r"line 2 cannot be read .*try doubled quotes"),
        ("p.tsv", b"", r"p\.tsv holds no pairs; try"),
        ("p.tsv", b"\n\n", r"p\.tsv holds no pairs; try"),
        ("p.csv", b"", r"p\.csv line 1 names the columns nothing"),
        ("p.csv", b"text,label\na,b\n", r"names the columns text, label, and not input; try"),
        ("p.csv", b"input,output\na\n", r"p\.csv line 2 has 1 columns and the header 2; try"),
        ("p.csv", b"input,output\n", r"p\.csv holds no pairs"),
        ("p.jsonl", b'{"input": "a", "output": "b"}\n{oops\n', r"p\.jsonl line 2 is not JSON; try"),
        ("p.jsonl", b'{"input": "a"}\n', r'line 1 has no texts "input" and "output"; try'),
        ("p.jsonl", b'{"input": 1, "output": "b"}\n', r"line 1 has no texts"),
        ("p.jsonl", b'["a", "b"]\n', r"line 1 has no texts"),
        ("p.jsonl", b'{"input": "\\ud800", "output": "b"}\n', r"line 1 has half a surrogate"),
        ("p.jsonl", b"[" * 100_000, r"line 1 is not JSON"),
        ("p.tsv.gz", b"\x1f\x8bnonsense", r"p\.tsv\.gz is gzip data"),
    ],
)
def test_what_is_no_pair_is_named_by_its_line(
    write: Write, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(TextError, match=message):
        read_pairs([write(name, content)])


def test_a_file_that_is_not_there(write: Write) -> None:
    with pytest.raises(TextError, match=r"there is no file gone\.tsv"):
        read_pairs(["gone.tsv"])
    with pytest.raises(UsageError, match="empty path"):
        read_pairs([])


def corpus_of(*pairs: tuple[str, str]) -> PairCorpus:
    numbered = enumerate(pairs, 1)
    return PairCorpus(tuple(Pair(*pair, f"p.tsv line {n}") for n, pair in numbered), "p")


NUMBERS = corpus_of(*((str(n), "even" if n % 2 == 0 else "odd") for n in range(200)))


def test_the_split_is_disjoint_complete_and_drawn_by_seed() -> None:
    one, again, other = (split_pairs(NUMBERS, "many-to-one", 0.1, seed) for seed in (0, 0, 1))
    assert one == again
    assert set(one.validation) != set(other.validation)
    assert len(one.validation) == 20
    assert sorted(one.train + one.validation) == sorted(NUMBERS.pairs)
    assert not {pair.input for pair in one.train} & {pair.input for pair in one.validation}


def test_an_input_with_two_answers_is_on_one_side_only() -> None:
    doubtful = corpus_of(*((str(n // 2), str(n % 2)) for n in range(100)))
    split = split_pairs(doubtful, "many-to-many", 0.2, 0)
    assert len(split.validation) == 20
    assert not {pair.input for pair in split.train} & {pair.input for pair in split.validation}
    assert split.notes == ("50 inputs have more than one answer, so not all can be right",)


def test_one_to_many_holds_out_pairs_and_one_to_one_nothing() -> None:
    swapped = corpus_of(*((pair.output, pair.input) for pair in NUMBERS.pairs))
    split = split_pairs(swapped, "one-to-many", 0.1, 0)
    assert len(split.validation) == 20
    assert not set(split.train) & set(split.validation)
    table = split_pairs(corpus_of(("a", "A"), ("b", "B")), "one-to-one", 0.1, 0)
    assert table.train == table.validation


def test_nothing_is_held_out_if_nothing_is_asked_for() -> None:
    for layout in ("many-to-one", "one-to-one"):
        split = split_pairs(NUMBERS, layout, 0.0, 0)
        assert len(split.train) == 200
        assert split.validation == ()


@pytest.mark.parametrize(
    ("layout", "pairs", "fraction", "message"),
    [
        ("many-to-one", [("a", "x"), ("b", "x")], 0.1, "all 2 pairs of p have the one answer 'x'"),
        ("many-to-many", [("a", "x")], 0.1, "1 different input is too few"),
        ("many-to-many", [("a", "x"), ("b", "x")], 0.7, "--val-fraction 0.7"),
        ("diagonal", [("a", "x"), ("b", "x")], 0.1, "no layout called 'diagonal'"),
    ],
)
def test_pairs_that_teach_nothing_are_refused(
    layout: str, pairs: list[tuple[str, str]], fraction: float, message: str
) -> None:
    with pytest.raises((TextError, UsageError), match=message):
        split_pairs(corpus_of(*pairs), layout, fraction, 0)


def test_symbols_that_are_not_known_are_named_with_their_line() -> None:
    known = split_pairs(NUMBERS, "many-to-one", 0.1, 0).pairing
    with pytest.raises(TextError, match=r"p\.tsv line 2: 'neither' never occurred"):
        build_examples(known, corpus_of(("12", "even"), ("13", "neither")).pairs)
    with pytest.raises(TextError, match=r"p\.tsv line 1: 'x' never occurred"):
        build_examples(known, corpus_of(("1x", "even")).pairs)
    with pytest.raises(UsageError, match=r"the checkpoint's layout is many-to-one"):
        split_pairs(NUMBERS, "many-to-many", 0.1, 0, known)


def test_unequal_lengths_are_named_with_their_line() -> None:
    pairs = corpus_of(("ab", "xy"), ("abc", "xy"))
    pairing = split_pairs(pairs, "synced", 0.0, 0).pairing
    with pytest.raises(TextError, match=r"p\.tsv line 2: 3 characters but 2 answers"):
        build_examples(pairing, pairs.pairs)


MADE_UP = [(name, layout) for name, makers in DEMONSTRATIONS.items() for layout in makers]


@pytest.mark.parametrize(("name", "layout"), [*MADE_UP, ("france:60", "many-to-one")])
def test_demonstrations_are_the_same_for_the_same_seed_and_fit_their_layout(
    name: str, layout: str
) -> None:
    corpus = demonstration(name, layout)
    assert corpus.pairs == demonstration(name, layout).pairs
    assert len({pair[:2] for pair in corpus.pairs}) == len(corpus.pairs)
    if name != "case":
        assert corpus.pairs != demonstration(name, layout, seed=1).pairs
    split = split_pairs(corpus, layout, 0.1, 0)
    examples = build_examples(split.pairing, split.train)
    assert len(examples) == len(split.train)
    if split.pairing.layout_spec.source_is_text:
        assert not {pair.input for pair in split.train} & {pair.input for pair in split.validation}
        assert not split.notes  # no input has two answers


def test_demonstrations_say_what_they_promise() -> None:
    dates = {pair.input: pair.output for pair in demonstration("dates", "many-to-many").pairs}
    assert len(dates) > 20_000
    assert all(len(iso) == 10 for iso in dates.values())
    vowels = demonstration("vowels", "synced").pairs
    assert {mark for pair in vowels for mark in pair.output} == set("VWc-")
    labels = {pair.output for pair in demonstration("languages", "many-to-one").pairs}
    assert len(labels) == 10
    gaps = demonstration("france:100", "many-to-one").pairs
    sentence, answer = gaps[0][:2]
    country = {"French": "France", "Danish": "Denmark"}.get(answer, answer[:3])
    assert 100 <= len(sentence) - sentence.index(country) - len(country) <= 104


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("dates", "synced", "dates is not for --layout synced; try many-to-many"),
        ("times", "synced", "no built-in pairs 'times'; try one of dates"),
        ("france:1", "many-to-one", "a gap of 1 is not within"),
    ],
)
def test_demonstrations_that_do_not_exist(name: str, layout: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        demonstration(name, layout)


def test_parsing_reads_line_by_line() -> None:
    rows = parse("a\tb\n" * 3 + "oops\n", "p.tsv")
    assert [next(rows).where for _ in range(3)] == [f"p.tsv line {n}" for n in (1, 2, 3)]
    with pytest.raises(TextError, match="line 4"):
        next(rows)


RARE = [(f"{a}{b}", a) for a in "abc" for b in "abcdefgh"]


def test_characters_of_one_input_are_read_as_unknown_where_a_text_has_a_label() -> None:
    split = split_pairs(corpus_of(*RARE, ("a\u00e7", "a"), ("b\u00f1", "b")), "many-to-one", 0.0, 0)
    assert split.pairing.sources == (*"abcdefgh", "\ufffd")
    assert split.pairing.unknown == "\ufffd"
    assert "in 2 of 26 training inputs" in split.notes[-1]
    ids = split.pairing.source_ids("a\u00e7\u4e00")
    assert ids.tolist() == [0, 8, 8]
    table = split.pairing.ids_of_codes
    assert [table[min(ord(one), len(table) - 1)] for one in "a\u00e7\u4e00"] == ids.tolist()


def test_no_validation_input_is_in_the_vocabulary_of_labels() -> None:
    pairs = [(f"{text}{end}", label) for text, label in RARE for end in "abcd"]
    pairs += [(f"a{chr(0x4E00 + n)}", "a") for n in range(8)]
    split = split_pairs(corpus_of(*pairs), "many-to-one", 0.5, 3)
    read = {one for pair in split.train for one in pair.input}
    assert set(split.pairing.sources) - {"\ufffd"} <= read
    assert split.pairing.unknown is not None
    assert len(build_examples(split.pairing, split.validation)) == len(split.validation)


@pytest.mark.parametrize(
    ("layout", "pairs"),
    [
        ("many-to-many", [*RARE, ("a\u00e7", "a")]),
        ("synced", [(pair[0], pair[0]) for pair in [*RARE, ("a\u00e7", "a")]]),
        ("many-to-one", RARE),
        ("many-to-one", [("a", "x"), ("b", "y"), ("c", "x"), ("ab", "y")]),  # rare ones matter
    ],
)
def test_other_pairs_have_no_unknown_symbol(layout: str, pairs: list[tuple[str, str]]) -> None:
    split = split_pairs(corpus_of(*pairs), layout, 0.0, 0)
    assert split.pairing.unknown is None
    assert set(split.pairing.sources) == {one for source, _ in pairs for one in source}


def test_symbols_that_are_known_keep_their_unknown_one() -> None:
    known = split_pairs(corpus_of(*RARE, ("a\u00e7", "a")), "many-to-one", 0.0, 0).pairing
    again = split_pairs(corpus_of(("\u00f1", "a"), ("b", "b")), "many-to-one", 0.0, 0, known)
    assert again.pairing == known
