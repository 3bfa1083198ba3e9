"""Bad files in every way of reading: whole, in chunks, compressed, stdin, folders, pairs."""

import gzip
import io
import os
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charrnn.cli.runs.load_text import read_files
from charrnn.data import large_text_files as large_text
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import find_files
from charrnn.data.large_text_files import LargeCorpus
from charrnn.data.pair_files import read_pairs
from charrnn.data.text_files import read_corpus
from charrnn.errors import CharRNNError, TextError

RUSSIAN = "Все счастливые семьи\tпохожи друг на друга.\n" * 20
ARABIC = "هل ذهبت الي السوق\tاليوم مع اخي\n" * 20
JAPANESE = "吾輩は猫である。\t名前はまだ無い。\n" * 20
CHINESE = "道可道，非常道。\t名可名，非常名。天下皆知美之为美，斯恶已。\n" * 20
KOREAN = "모든 국민은 법 앞에\t평등하다.\n" * 20
GREEK = "Μῆνιν ἄειδε".encode().decode("utf-8") and "Ο Πλάτων ήταν\tαρχαίος Έλληνας\n" * 20
LATIN = "to be or not\tto be\n" * 20

UTF_8 = ""
BAD: dict[str, tuple[bytes, str, str]] = {
    # name: content, encoding, what the message must hold
    "empty": (b"", UTF_8, "is empty"),
    "one character": (b"a", UTF_8, "two different"),
    "mark only": (b"\xef\xbb\xbf", UTF_8, "is empty"),
    "two marks only": (b"\xef\xbb\xbf" * 2, UTF_8, "is empty"),
    "UTF-16": (LATIN.encode("utf-16"), UTF_8, "--encoding utf-16"),
    "UTF-16 BE without mark": (LATIN.encode("utf-16-be"), UTF_8, "--encoding utf-16-be"),
    "UTF-16 LE without mark": (LATIN.encode("utf-16-le"), UTF_8, "--encoding utf-16-le"),
    "UTF-16 LE as cp1252": (LATIN.encode("utf-16-le"), "cp1252", "--encoding utf-16-le"),
    "Russian UTF-16": (RUSSIAN.encode("utf-16-le"), UTF_8, "--encoding utf-16-le"),
    "UTF-32": (LATIN.encode("utf-32"), UTF_8, "--encoding utf-32"),
    "UTF-32 without mark": (RUSSIAN.encode("utf-32-be"), UTF_8, "--encoding utf-32-be"),
    "LE mark, BE asked": (LATIN.encode("utf-16"), "utf-16-be", "contradicts"),
    "BE mark, LE asked": (b"\xfe\xff" + LATIN.encode("utf-16-be"), "utf-16-le", "contradicts"),
    "UTF-16 mark, cp1252": (LATIN.encode("utf-16"), "cp1252", "contradicts"),
    "UTF-8 mark, latin-1": (LATIN.encode("utf-8-sig"), "latin-1", "contradicts"),
    "UTF-8 mark, UTF-16": (LATIN.encode("utf-8-sig") + b"x", "utf-16", "contradicts"),
    "UTF-32 mark, UTF-16 BE": (LATIN.encode("utf-32"), "utf-16-be", "contradicts"),
    "UTF-16 mark, UTF-32": (LATIN.encode("utf-16"), "utf-32", "contradicts"),
    "BE as UTF-16": (LATIN.encode("utf-16-be"), "utf-16", "--encoding utf-16-be"),
    "Russian BE as UTF-16": (RUSSIAN.encode("utf-16-be"), "utf-16", "--encoding utf-16-be"),
    "Chinese BE as UTF-16": (CHINESE.encode("utf-16-be"), "utf-16", "--encoding utf-16-be"),
    "BE as LE": (LATIN.encode("utf-16-be"), "utf-16-le", "--encoding utf-16-be"),
    "UTF-8 as UTF-16": (LATIN.encode(), "utf-16", "--encoding utf-8"),
    "odd last byte": (LATIN.encode("utf-16") + b"a", UTF_8, "the last byte is half a character"),
    "odd, UTF-16 asked": (LATIN.encode("utf-16") + b"a", "utf-16", "last byte is half"),
    "odd, no mark": (LATIN.encode("utf-16-le") + b"a", UTF_8, "last byte is half"),
    "odd, LE asked": (LATIN.encode("utf-16-le") + b"a", "utf-16-le", "last byte is half"),
    "cut surrogate pair": ("abc😀".encode("utf-16")[:-2], "utf-16", "last 2 bytes are half"),
    "cut UTF-32": (LATIN.encode("utf-32")[:-1], "utf-32", "the last 3 bytes are half"),
    "cp1251": (RUSSIAN.encode("cp1251"), UTF_8, "--encoding cp1251 if it is Russian"),
    "koi8-r": (RUSSIAN.encode("koi8-r"), UTF_8, "--encoding koi8-r if it is Russian"),
    "cp866": (RUSSIAN.encode("cp866"), UTF_8, "--encoding cp866 if it is Russian"),
    "cp1256": (ARABIC.encode("cp1256"), UTF_8, "cp1256 if"),
    "shift-jis": (JAPANESE.encode("shift_jis"), UTF_8, "--encoding shift_jis if it is Japanese"),
    "euc-jp": (JAPANESE.encode("euc_jp"), UTF_8, "euc_jp if"),
    "gb18030": (CHINESE.encode("gb18030"), UTF_8, "gb18030 if"),
    "euc-kr": (KOREAN.encode("euc_kr"), UTF_8, "euc_kr if"),
    "cp1253": (GREEK.encode("cp1253"), UTF_8, "cp1253 if it is Greek"),
    "Latin-1": ("café\tau lait\n".encode("latin-1") * 9, UTF_8, "try --encoding latin-1"),
    "cp1252": ("she said\t“no”\n".encode("cp1252") * 9, UTF_8, "try --encoding cp1252"),
    "UTF-8 as ASCII": (RUSSIAN.encode(), "ascii", "--encoding utf-8"),
    "cut UTF-8": ("schön\tund gut".encode() + b"\xc3", UTF_8, "an undamaged copy"),
    "damaged UTF-8": ("schön\tund gut\n".encode() + b"\xff\xfe\nende", UTF_8, "an undamaged copy"),
    "lone surrogate": (b"to be\t\xed\xa0\x80\n" * 9, UTF_8, "half of a surrogate pair"),
    "surrogate in UTF-16": ("ab\ud800cd".encode("utf-16-le", "surrogatepass"), "utf-16-le", "try"),
    "surrogate in UTF-7": (b"to be\t+2AA-x\n" * 9, "utf-7", "half of a surrogate pair"),
    "gzip twice": (gzip.compress(gzip.compress(LATIN.encode())), UTF_8, "gzip twice"),
    "cut gzip": (gzip.compress(LATIN.encode())[:-9], UTF_8, "gzip data that ends too early"),
    "damaged gzip": (b"\x1f\x8bnothing of the kind", UTF_8, "gzip data that is damaged"),
    "gzip and more": (gzip.compress(LATIN.encode()) + b"more", UTF_8, "gzip data that is damaged"),
}

Read = Callable[[bytes, TextOptions], object]


def as_file(content: bytes, options: TextOptions) -> object:
    Path("x").write_bytes(content)
    return read_corpus(["x"], options)


def as_large_file(content: bytes, options: TextOptions) -> object:
    Path("x").write_bytes(content)
    corpus = read_files(["x"], options)
    assert isinstance(corpus, LargeCorpus)
    return corpus.fingerprint


def packed(read: Read) -> Read:
    return lambda content, options: read(gzip.compress(content), options)


def as_stdin(content: bytes, options: TextOptions) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return read_corpus(["-"], options)


def as_pipe(content: bytes, options: TextOptions) -> object:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    try:
        return read_corpus([f"/dev/fd/{reader}"], options)
    finally:
        os.close(reader)


def as_pairs(content: bytes, options: TextOptions) -> object:
    Path("x").write_bytes(content)
    return read_pairs(["x"], options)


def as_one_of_two(content: bytes, options: TextOptions) -> object:
    Path("x").write_bytes(content)
    Path("y").write_bytes(b"")
    return read_corpus(["x", "y"], options)


WAYS: dict[str, Read] = {
    "file": as_file,
    "large file": as_large_file,
    "packed file": packed(as_file),
    "large packed file": packed(as_large_file),
    "stdin": as_stdin,
    "pipe": as_pipe,
    "one of two": as_one_of_two,
    "pairs": as_pairs,
    "packed pairs": packed(as_pairs),
}


@pytest.fixture(params=[1, 2**20])
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An empty folder, where every file is large, and is decoded so many bytes at a time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 0)
    monkeypatch.setattr(large_text, "READ_CHUNK_BYTES", request.param)
    return tmp_path


def problem_of(read: Read, content: bytes, options: TextOptions) -> str:
    """Return what an error says, without the name of the source."""
    with pytest.raises(CharRNNError) as caught:
        read(content, options)
    assert type(caught.value) is TextError
    message = str(caught.value)
    assert len(f"charrnn: error: {message}") <= 200
    for name in ("standard input", "the text in 2 places", "x"):
        if message.startswith(name):
            return message.removeprefix(name)
    return message.removeprefix(message.split(" ")[0])


@pytest.mark.parametrize("name", BAD)
def test_every_way_of_reading_gives_the_same_answer(here: Path, name: str) -> None:
    content, encoding, expected = BAD[name]
    options = TextOptions(encoding or "utf-8")
    first = problem_of(as_file, content, options)
    assert expected in first
    for way, read in WAYS.items():
        found = problem_of(read, content, options)
        if "packed" in way and "gzip" in name:
            assert "gzip" in found
        elif "pairs" not in way:
            assert found == first, way
        elif "empty" in first or "two different" in first:
            assert "holds no pairs" in found or "has no tab" in found
        else:
            assert found.split("; try ")[0] == first.split("; try ")[0], way
            assert "--bytes" not in found
            assert "python-docs" not in found


@pytest.mark.parametrize("name", BAD)
def test_suggested_encodings_decode_the_file(here: Path, name: str) -> None:
    content, encoding, _ = BAD[name]
    message = problem_of(as_file, content, TextOptions(encoding or "utf-8"))
    _, _, advice = message.partition("try --encoding ")
    for one in re.findall(r"(?:^|, )([\w-]+)", advice.partition(", or ")[0]):
        as_file(content, TextOptions(one))


LANGUAGES = [
    ("cp1251", "Все счастливые семьи похожи друг на друга.", "cp1251 if it is Russian"),
    ("cp1251", "ВСЕ СЧАСТЛИВЫЕ СЕМЬИ", "cp1251 if it is Russian"),
    ("cp1251", "<p class='text'>Все счастливые семьи</p>", "cp1251 if it is Russian"),
    ("cp1251", "Їжак з'їв ґудзик, і ще один є", "cp1251 if it is Russian"),
    ("koi8-r", "Привет, мир! Как дела?", "koi8-r if it is Russian"),
    ("cp1256", "هل ذهبت الي السوق اليوم مع اخي", "cp1256 if it is Arabic"),
    ("iso8859-7", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", "cp1253 if it is Greek"),
    ("cp1255", "דג סקרן שט בים מאוכזב ולפתע מצא חברה", "cp1255 if it is Hebrew"),
    ("cp874", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "cp874 if it is Thai"),
    ("shift_jis", "メロスは激怒した。王を除かなければならぬ", "shift_jis if it is Japanese"),
    ("euc_jp", "メロスは激怒した。王を除かなければならぬ", "euc_jp if it is Japanese"),
    ("gbk", "天下皆知美之为美，斯恶已。我是中国人。", "gb18030 if it is Chinese"),
    ("big5", "天下皆知美之為美，斯惡已。我是中國人。", "big5 if it is Chinese"),
    ("euc_kr", "모든 국민은 법 앞에 평등하다.", "euc_kr if it is Korean"),
    ("cp1250", "Zażółć gęślą jaźń, a potem chodź tu szybko", "cp1250 if it is Polish or Czech"),
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy", "cp1250 if it is Polish or Czech"),
    ("cp1254", "Pijamalı hasta yağız şoföre çabucak güvendi", "cp1254 if it is Turkish"),
    ("cp1252", "L'été dernier, « où étiez-vous ? » — à la forêt", "cp1252"),
    ("cp1252", "Füße größer über Äpfel, „Straße“ – schön", "cp1252"),
    ("latin-1", "Það er gott að búa á Íslandi og þýða ljóð", "latin-1"),
    ("latin-1", "El niño comió jamón en la montaña", "latin-1"),
]


@pytest.mark.parametrize("repeats", [1, 100])
@pytest.mark.parametrize(("encoding", "line", "advice"), LANGUAGES)
def test_the_likeliest_encoding_is_named_first(
    here: Path, encoding: str, line: str, advice: str, repeats: int
) -> None:
    content = f"{line}\n".encode(encoding) * repeats
    message = problem_of(as_file, content, TextOptions())
    assert f"try --encoding {advice}" in message
    if "if it is" in advice:
        assert "latin-1" not in message
        assert "cp1252" not in message


def test_no_encoding_is_suggested_for_what_is_no_text(here: Path) -> None:
    rng = random.Random(1)
    noise = bytes(rng.randrange(256) for _ in range(5000))
    for content in (noise, b"\x89PNG\r\n\x1a\n" + noise, b"PK\x03\x04" + noise, b"%PDF\n" + noise):
        assert "--encoding" not in problem_of(as_file, content, TextOptions())
        assert "--encoding" not in problem_of(as_large_file, content, TextOptions())


GOOD: dict[str, tuple[bytes, str]] = {
    "mark": (LATIN.encode("utf-8-sig"), "utf-8"),
    "two marks": (b"\xef\xbb\xbf" + LATIN.encode("utf-8-sig"), "utf-8"),
    "mark and utf-8-sig": (LATIN.encode("utf-8-sig"), "utf-8-sig"),
    "UTF-16": (RUSSIAN.encode("utf-16"), "utf-16"),
    "UTF-16 BE": (b"\xfe\xff" + RUSSIAN.encode("utf-16-be"), "utf-16"),
    "UTF-16 LE with mark": (RUSSIAN.encode("utf-16"), "utf-16-le"),
    "Chinese UTF-16 LE": (CHINESE.encode("utf-16-le"), "utf-16-le"),
    "Chinese UTF-16 LE as UTF-16": (CHINESE.encode("utf-16-le"), "utf-16"),
    "UTF-32": (RUSSIAN.encode("utf-32"), "utf-32"),
    "NULs": (b"to be\0\tor not\n" * 9, "utf-8"),
    "CRLF": (b"to be\tor not\r\n" * 9, "utf-8"),
    "mixed line ends": (b"to be\tor not\r\nto be\tno\rto be\tnot\n", "utf-8"),
    "shift-jis": (JAPANESE.encode("shift_jis"), "shift_jis"),
    "cp1251": (RUSSIAN.encode("cp1251"), "cp1251"),
    "gzip members": (gzip.compress(b"to be\tor\n") + gzip.compress(b"not\tto be\n"), "utf-8"),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_way_of_reading_gives_the_same_text_and_notes(here: Path, name: str) -> None:
    content, encoding = GOOD[name]
    options = TextOptions(encoding)
    Path("x").write_bytes(content)
    small, large = read_corpus(["x"], options), read_files(["x"], options)
    assert isinstance(large, LargeCorpus)
    assert small.fingerprint == large.fingerprint
    assert small.notes == large.notes[:-1]
    assert all(len(note) <= 150 for note in small.notes)
    assert not small.text.startswith("\ufeff")
    Path("x").write_bytes(gzip.compress(content) if name != "gzip members" else content)
    assert read_corpus(["x"], options).notes == small.notes
    Path("x").unlink()
    Path("folder/below").mkdir(parents=True)
    Path("folder/below/x").write_bytes(content)
    if name != "NULs":
        assert read_corpus(["folder"], options).text == small.text
    pairs = read_pairs(["folder/below/x"], options)
    assert len(pairs.pairs) >= 1
    assert not any("\r" in field for pair in pairs.pairs for field in pair[:2])


def test_many_files_of_a_kind_are_one_note(here: Path) -> None:
    Path("folder").mkdir()
    for number in range(40):
        Path(f"folder/{number:02}.txt").write_bytes(b"to be\r\nor not\r\n")
        Path(f"folder/{number:02}.old").write_bytes(b"caf\xe9 au lait\n")
        Path(f"folder/{number:02}.bin").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    expected = (
        "skipped, not UTF-8: folder/00.old, folder/01.old, folder/02.old and 37 more",
        "skipped, not text: folder/00.bin, folder/01.bin, folder/02.bin and 37 more",
        "40 files have CRLF line ends, kept: folder/00.txt, folder/01.txt, folder/02.txt and "
        "37 more",
    )
    assert read_corpus(["folder"]).notes == expected
    assert read_files(["folder"], TextOptions()).notes[:-1] == expected


@pytest.mark.parametrize("place", [0, 100, 9000, 3_000_000])
def test_where_a_file_of_a_folder_does_not_decode_makes_no_difference(
    here: Path, place: int
) -> None:
    Path("folder").mkdir()
    Path("folder/good").write_bytes(LATIN.encode())
    Path("folder/old").write_bytes(b"x" * place + "café".encode("latin-1") + b"x" * 10_000)
    corpus = read_corpus(["folder"])
    assert corpus.text == LATIN
    assert corpus.notes == ("skipped, not UTF-8: folder/old",)


def test_a_folder_without_text_says_why(here: Path) -> None:
    Path("folder").mkdir()
    for read in (read_corpus, lambda paths: read_files(paths, TextOptions())):
        for content in (b"caf\xe9 au lait\n", LATIN.encode("utf-16-le"), LATIN.encode("utf-16")):
            Path("folder/old").write_bytes(content)
            with pytest.raises(TextError, match=r"not UTF-8 \(folder/old\); try a file, or --enc"):
                read(["folder"])
        Path("folder/old").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
        with pytest.raises(TextError, match="no text in the folder folder; try a file"):
            read(["folder"])
    with pytest.raises(TextError, match="folder is a folder; try one of its files"):
        read_pairs(["folder"])


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_devices_and_missing_files_are_refused_on_every_path(here: Path, device: str) -> None:
    for read in (read_corpus, read_pairs, lambda paths: read_files(paths, TextOptions())):
        with pytest.raises(TextError, match="is a device"):
            read([device])
        with pytest.raises(TextError, match="there is no file gone; try another path"):
            read(["gone"])


def test_a_file_that_vanishes_is_said_to_be_missing(here: Path) -> None:
    Path("x").write_bytes(LATIN.encode())
    large = read_files(["x"], TextOptions())
    files, _ = find_files(["x"], TextOptions())
    Path("x").unlink()
    with pytest.raises(TextError, match="there is no file x"):
        large.fingerprint  # noqa: B018
    with pytest.raises(TextError, match="there is no file x"):
        read_corpus(files)
