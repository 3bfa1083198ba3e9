"""Corpus checks: one line for each suspicious property, and none for ordinary texts."""

import random
import time
from pathlib import Path

import pytest

from charrnn.data.builtin_pairs import DEMONSTRATIONS, demonstration
from charrnn.data.builtin_texts import built_in_corpus
from charrnn.data.corpus_checks import (
    SAMPLE_CHARS,
    check_character_counts,
    check_labels,
    check_pairs,
    check_text,
    sample_of,
)
from charrnn.data.vocabulary import count

LINE = "the of and a to in he was that his it with had you her she not at on"
WORDS = LINE.split()


def prose(lines: int = 1000, seed: int = 1) -> list[str]:
    """Make lines of words, all of them different."""
    rng = random.Random(seed)
    return [f"{' '.join(rng.choices(WORDS, k=rng.randint(5, 12)))} {n}." for n in range(lines)]


def look(text: str) -> list[str]:
    parts = sample_of(text)
    sampled = len(parts) > 1
    return [*check_text(parts, sampled=sampled), *check_character_counts(count(text))]


def mixed(lines: list[str], line: str, times: int) -> str:
    """Put a line between others, evenly."""
    every = max(1, len(lines) // times)
    found = list(lines)
    for number in range(times):
        found.insert((number * (every + 1)) % len(found), line)
    return "\n".join(found) + "\n"


PLAY = "\n\n".join(
    f"{random.Random(n).choice(['GLOUCESTER', 'KING RICHARD III', 'First Citizen'])}:\n{line}"
    for n, line in enumerate(prose())
)
CODE = "\n".join(
    f"    for (int i = 0; i < n{n}; i++) {{\n        call{n}(i);\n        return NULL;\n    }}\n"
    f"    else {{\n        return -{n};\n    }}\n}}\n"
    for n in range(500)
)
POEM = "\n".join(
    f"{a}\n{b}\nAnd all the night is long,\n" for a, b in zip(prose(15), prose(15, 2), strict=True)
)
TABLE = "\n".join(f"| {n} | {n * n} |\n|---|---|" for n in range(500))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(prose()),
        PLAY,
        CODE,
        POEM,
        TABLE,
        "\n" * 5000 + "\n\n".join(prose(60)),
        "to be\n" * 9,
    ],
    ids=["prose", "play", "code", "poem", "table", "blank", "short"],
)
def test_nothing_is_said_about_ordinary_texts(text: str) -> None:
    assert look(text) == []


@pytest.mark.parametrize("name", ["python-docs", "python-source", "france", "france:500"])
def test_only_rare_characters_are_mentioned_in_built_in_texts(name: str) -> None:
    remarks = look(built_in_corpus(name).text)
    assert all("once" in remark for remark in remarks)
    assert len(remarks) <= 1


SHAKESPEARE = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="the text is not here")
def test_nothing_is_said_about_shakespeare() -> None:
    assert look(SHAKESPEARE.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "times", "lines"),
    [
        ("</html>", 2004, 40_000),
        ("</html>", 60, 3000),
        ("  </HTML>\r", 60, 3000),
        ("Advertisement", 50, 3000),
        ("All rights reserved.", 300, 20_000),
        ("Licensed under the Apache License, Version 2.0", 40, 3000),
    ],
)
def test_a_line_that_repeats_is_named_with_its_count(line: str, times: int, lines: int) -> None:
    remarks = look(mixed(prose(lines), line, times))
    shown = line.strip()[:39]
    assert any(f"{shown}" in r and f" occurs {times:,} times" in r for r in remarks)
    old = mixed(prose(lines), line, times).replace("\n", "\r")  # Macintosh line ends
    assert any(f" occurs {times:,} times" in r for r in look(old))


def test_a_majority_of_repeated_lines_is_told() -> None:
    lines = prose(200)
    assert any("83% of the lines" in r and "repeat" in r for r in look("\n".join(lines * 6)))
    assert look("\n".join(lines + lines[:150])) == []


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\xad", "U+00AD SOFT HYPHEN"),
        ("\xa0", "U+00A0 NO-BREAK SPACE"),
        ("\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("\u200e", "U+200E LEFT-TO-RIGHT MARK"),
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\ufeff", "U+FEFF BYTE ORDER MARK"),
        ("\u2028", "U+2028 LINE SEPARATOR"),
        ("\x92", "U+0092 CONTROL CHARACTER"),
        ("\x00", "U+0000 CONTROL CHARACTER"),
        ("\ue000", "U+E000 PRIVATE USE"),
    ],
)
def test_invisible_characters_are_named_and_counted(character: str, name: str) -> None:
    text = "\n".join(prose())
    assert look(f"a{character}b {text}{character}c") == [f"invisible characters: {name} 2 times"]
    many = f"a{character}b\u2009c\u2009d\u00ad\u00ade\u200f\u200ff\u2060g\u2060"
    (remark,) = look(many * 3 + text)
    assert "and" in remark
    assert "more" in remark
    assert len(remark) < 160
    assert character not in remark


def test_lost_characters_are_told() -> None:
    assert "U+FFFD REPLACEMENT CHARACTER occurs 2 times" in look("a\ufffdb\ufffd" * 1)[0]


def test_characters_that_occur_once_are_counted_and_shown() -> None:
    text = "\n".join(prose())
    assert look(f"{text}é") == ["1 character occurs once: 'é' U+00E9"]
    assert look(f"{text}é数́~ß") == [
        "5 characters occur once: '~' U+007E, 'ß' U+00DF, 'é' U+00E9 and 2 more"
    ]
    assert look(f"{text}$") == []
    assert look("aeiou") == []
    (advice,) = check_character_counts(count(f"{text}éß"), min_count=True)
    assert advice.startswith("2 characters occur once (--min-count 2 leaves them out): ")


@pytest.mark.parametrize("language", ["Le café était fermé hier", "жизнь хороша", "он “сказал”"])
@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
def test_utf_8_read_as_another_encoding_is_recognised(language: str, codec: str) -> None:
    wrong = language.encode().decode(codec, "ignore")
    remarks = look("\n".join(f"{line} {wrong}" for line in prose(60)))
    assert any("looks like UTF-8 that was read as Latin-1" in remark for remark in remarks)
    right = look("\n".join(f"{line} {language}" for line in prose(60)))
    assert right == []


def test_html_is_told_by_its_share() -> None:
    text = "\n".join(f"<p><b>{line}</b></p>" for line in prose(100))
    assert any("HTML tags make up" in remark for remark in look(text))
    assert look("\n".join(f"if a < b and vector<int> > {line}" for line in prose(100))) == []


def test_a_long_text_is_sampled_from_all_over_and_it_is_said() -> None:
    text = "\n".join(prose(200_000))
    assert len(text) > 1.5 * SAMPLE_CHARS
    parts = sample_of(text)
    assert sum(map(len, parts)) == SAMPLE_CHARS
    assert text.startswith(parts[0])
    assert text.endswith(parts[-1])
    (remark,) = look(mixed(prose(200_000), "</html>", 5000))
    assert "in a sample of 4,000,000 characters" in remark


def test_a_look_takes_less_than_a_fifth_of_a_second_per_megabyte() -> None:
    text = "\n".join(prose(60_000))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        look(text)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2 * len(text) / 1e6


def labelled(kind: str, count: int = 200) -> tuple[list[str], list[str]]:
    """Make texts whose label follows from one character."""
    rng = random.Random(3)
    texts, labels = [], []
    for number in range(count):
        text = "".join(rng.choices("bcdefgh", k=rng.randint(6, 12)))
        side = number % 2 if kind != "third" else number % 3
        marked = {
            "last": text + "?!."[side],
            "third": text + "?!."[side],
            "first": "aba"[side] + text,
            "presence": text[:3] + ("x" if side else "") + text[3:],
            "invisible": text[:3] + ("\u200b" if side else "") + text[3:],
            "nothing": text,
        }[kind]
        texts.append(marked)
        labels.append("xyz"[side])
    return texts, labels


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("last", "the last character alone decides 100.0% of the labels"),
        ("third", "the last character alone decides 100.0% of the labels"),
        ("first", "the first character alone decides 100.0%"),
        ("presence", "whether 'x' occurs alone decides 100.0%"),
        ("invisible", "whether U+200B ZERO WIDTH SPACE occurs alone decides"),
    ],
)
@pytest.mark.parametrize("count", [200, 50_000])
def test_a_single_character_that_decides_the_label_is_named(
    kind: str, expected: str, count: int
) -> None:
    (remark,) = check_labels(*labelled(kind, count))
    assert remark.startswith(expected)
    assert "the commonest label has" in remark


def test_one_wrong_label_in_two_hundred_is_forgiven_and_five_are_not() -> None:
    texts, labels = labelled("last")
    for number in range(5):
        labels[2 * number] = "y"
        assert bool(check_labels(texts, labels)) == (number < 2)


def test_nothing_is_said_where_no_character_decides() -> None:
    assert check_labels(*labelled("nothing")) == []
    assert check_labels(["a", "b"], ["x", "y"]) == []
    texts, _ = labelled("last")
    assert check_labels(texts, ["x"] * 199 + ["y"]) == []  # the commonest label does as well
    unique = [chr(0x4E00 + number) for number in range(200)]
    assert check_labels(unique, ["x", "y"] * 100) == []  # each character occurs once
    assert check_labels(texts, [str(number) for number in range(200)]) == []


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for name, made in DEMONSTRATIONS.items() for layout in made]
)
def test_nothing_is_said_about_demonstrations(name: str, layout: str) -> None:
    pairs = [pair[:2] for pair in demonstration(name, layout).pairs]
    label = {"many-to-one": 1, "one-to-many": 0}.get(layout)
    assert check_pairs(pairs, label=label) == []


def test_pairs_are_looked_at_from_the_side_of_their_label() -> None:
    texts, labels = labelled("last")
    forwards = list(zip(texts, labels, strict=True))
    backwards = list(zip(labels, texts, strict=True))
    assert "last character" in check_pairs(forwards, label=1)[0]
    assert "last character" in check_pairs(backwards, label=0)[0]
    assert check_pairs(forwards, label=None) == []
    assert check_pairs([*forwards, ("a\u200b", "b")], label=None)[0].startswith("invisible")
