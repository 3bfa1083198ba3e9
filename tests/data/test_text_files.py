"""Text files: decoding, joining and splitting, and the messages for files that cannot be read."""

import gzip
import hashlib
import io
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from charrnn.data import text_files as text_module
from charrnn.data.decoding import TextOptions
from charrnn.data.encoding_detection import HEAD_BYTES
from charrnn.data.text_files import Corpus, fingerprint, read_corpus, validation_start
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CharRNNError, StorageError, TextError, UsageError

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=2)


class StandardInput:
    """What `sys.stdin` is to us: something that has bytes in its buffer."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, so that messages hold short relative paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(content: bytes, options: TextOptions | None = None, name: str = "poe.txt") -> Corpus:
    Path(name).write_bytes(content)
    return read_corpus([name], options or TextOptions())


def complaint(action: Callable[[], object], kind: type[CharRNNError] = TextError) -> str:
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    message = str(caught.value)
    assert len(message) <= 200
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "poe.txt is empty; try a longer text"),
        (b"\xef\xbb\xbf", "poe.txt is empty; try a longer text"),
        (b"a", "poe.txt needs at least two different characters; try a longer text"),
        (b"aaaa", "poe.txt needs at least two different characters; try a longer text"),
        (
            b"one\ntwo \x93quoted\x94",
            "poe.txt is not UTF-8 (byte 0x93 at offset 8, line 2); try --encoding cp1252",
        ),
        (
            "one\n\ncaf\u00e9".encode("latin-1"),
            "poe.txt is not UTF-8 (byte 0xe9 at offset 8, line 3); try --encoding latin-1",
        ),
        (
            b"undefined in cp1252: \x81",
            "poe.txt is not UTF-8 (byte 0x81 at offset 21, line 1); "
            "try --bytes, or an undamaged copy",
        ),
        (
            "\u00e9t\u00e9".encode()[:-1],
            "poe.txt is not UTF-8 (byte 0xc3 at offset 3, line 1); "
            "try --bytes, or an undamaged copy",
        ),
        (
            b"\xff\xfe" + "hi".encode("utf-16-le"),
            "poe.txt is not UTF-8 (byte 0xff at offset 0, line 1); try --encoding utf-16",
        ),
        (
            b"\xfe\xff" + "hi".encode("utf-16-be"),
            "poe.txt is not UTF-8 (byte 0xfe at offset 0, line 1); try --encoding utf-16",
        ),
        (
            b"\xff\xfe\0\0" + "hi".encode("utf-32-le"),
            "poe.txt is not UTF-8 (byte 0xff at offset 0, line 1); try --encoding utf-32",
        ),
        (
            "a fine line\n\u00fcber alles".encode("utf-16-le"),
            "poe.txt is not UTF-8 (byte 0xfc at offset 24, line 2); try --encoding utf-16-le",
        ),
        (
            "nothing but ASCII".encode("utf-16-be"),
            "poe.txt looks like UTF-16, zeros are in every other place; "
            "try --encoding utf-16-be, or --bytes to keep the zeros",
        ),
        (
            ("все счастливые семьи похожи, " * 3).encode("utf-16-le"),
            "poe.txt looks like UTF-16, zeros are in every other place; "
            "try --encoding utf-16-le, or --bytes to keep the zeros",
        ),
    ],
)
def test_what_is_not_a_text_is_refused_with_the_place_and_a_way_out(
    content: bytes, message: str, here: Path
) -> None:
    assert complaint(lambda: read(content)) == message


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"say \x93yes\x94", "cp1252"),
        ("caf\u00e9s".encode("latin-1"), "latin-1"),
        ("\ufeffhallo".encode("utf-16-le"), "utf-16"),
        ("a fine line, and \u00fcber".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_the_suggested_encoding_works(content: bytes, encoding: str, here: Path) -> None:
    assert complaint(lambda: read(content)).endswith(f"try --encoding {encoding}")
    corpus = read(content, TextOptions(encoding))
    assert corpus.text == content.decode(encoding)


def test_utf_8_is_suggested_where_another_encoding_fails(here: Path) -> None:
    message = complaint(lambda: read("caf\u00e9".encode(), TextOptions("ascii")))
    assert message == ("poe.txt is not ASCII (byte 0xc3 at offset 3, line 1); try --encoding utf-8")


@pytest.mark.parametrize(
    ("content", "encoding", "text", "notes"),
    [
        (b"ab", "utf-8", "ab", ()),
        (
            b"\xef\xbb\xbfab",
            "utf-8",
            "ab",
            ("poe.txt begins with a byte order mark, dropped",),
        ),
        (
            b"\xff\xfea\0b\0",
            "utf-16-le",
            "ab",
            ("poe.txt begins with a byte order mark, dropped",),
        ),
        (b"\xff\xfea\0b\0", "utf-16", "ab", ()),
        (b"a\r\nb\r\n", "utf-8", "a\r\nb\r\n", ("poe.txt has CRLF line ends, kept",)),
        (
            b"a\r\nb\n",
            "utf-8",
            "a\r\nb\n",
            (r"poe.txt has mixed line ends (CRLF, LF), kept; tr -d '\r' would convert them",),
        ),
        (
            b"a\rb\nc",
            "utf-8",
            "a\rb\nc",
            (r"poe.txt has mixed line ends (CR, LF), kept; tr '\r' '\n' would convert them",),
        ),
        (
            b"a\r\nb\r",
            "utf-8",
            "a\r\nb\r",
            (
                r"poe.txt has mixed line ends (CRLF, CR), kept; "
                r"sed 's/\r$//' | tr '\r' '\n' would convert them",
            ),
        ),
        (
            b"a\rb\r",
            "utf-8",
            "a\rb\r",
            (r"poe.txt has lone CRs, kept; tr '\r' '\n' would convert them",),
        ),
        (
            "\ufeff\ufeffab".encode(),
            "utf-8-sig",
            "ab",
            ("poe.txt begins with a byte order mark, dropped",),
        ),
        (b"a\0b", "utf-8", "a\0b", ("poe.txt has NUL characters, kept",)),
        (b"ab\0c\0" * 9, "utf-8", "ab\0c\0" * 9, ("poe.txt has NUL characters, kept",)),
        (b"a\x85b\x0cc", "latin-1", "a\x85b\x0cc", ()),
    ],
)
def test_a_text_is_kept_to_the_letter_except_its_mark(
    content: bytes, encoding: str, text: str, notes: tuple[str, ...], here: Path
) -> None:
    corpus = read(content, TextOptions(encoding))
    assert (corpus.text, corpus.notes) == (text, notes)
    assert (corpus.name, corpus.sources) == ("poe", (str(here / "poe.txt"),))


def test_an_error_behind_a_mark_is_placed_by_the_bytes_of_the_file(here: Path) -> None:
    assert "byte 0x80 at offset 5" in complaint(lambda: read(b"\xef\xbb\xbfab\x80"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
def test_any_unicode_comes_back_from_its_file(tmp_path: Path, text: str) -> None:
    assume(len(set(text)) > 1 and text[0] != "\ufeff" and "\0" not in text)
    path = tmp_path / "any.txt"
    path.write_bytes(text.encode())
    assert read_corpus([str(path)]).text == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.txt"
    path.write_bytes(content)
    text, message = "ab", ""
    try:
        text = read_corpus([str(path)]).text
    except TextError as refusal:
        message = str(refusal)
    assert len(set(text)) > 1
    assert len(message) <= 200
    assert "\n" not in message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=2))
def test_bytes_mode_keeps_any_bytes(tmp_path: Path, content: bytes) -> None:
    assume(len(set(content)) > 1 and not content.startswith(b"\x1f\x8b"))
    path = tmp_path / "any.bin"
    path.write_bytes(content)
    corpus = read_corpus([str(path)], TextOptions(as_bytes=True))
    assert corpus.text.encode("latin-1") == content


def test_normal_forms_are_applied_only_when_asked_for(here: Path) -> None:
    decomposed = "cafe\u0301".encode()
    assert read(decomposed).text == "cafe\u0301"
    assert read(decomposed, TextOptions(normalise="nfc")).text == "caf\u00e9"
    assert read("\ufb01x".encode(), TextOptions(normalise="nfkd")).text == "fix"


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "", "a\0b", "undefined", "\udc80"])
def test_an_encoding_that_is_none_is_a_usage_error(encoding: str) -> None:
    assert "no text encoding" in complaint(lambda: TextOptions(encoding), UsageError)


def test_options_that_contradict_are_a_usage_error() -> None:
    assert "nfkc" in complaint(lambda: TextOptions(normalise="nfx"), UsageError)
    both = complaint(lambda: TextOptions(as_bytes=True, normalise="nfc"), UsageError)
    assert "--bytes and --normalize" in both


def test_gzip_is_known_by_its_first_bytes_not_by_its_name(here: Path) -> None:
    packed = gzip.compress(b"a line\n") + gzip.compress(b"and another")
    assert read(packed, name="poe.txt.gz").text == "a line\nand another"
    assert read(packed, name="poe.txt.gz").name == "poe"
    assert read(packed, name="poe").text == "a line\nand another"


def test_damaged_gzip_is_refused_at_every_cut_and_for_every_changed_byte(here: Path) -> None:
    whole = gzip.compress(b"It was many and many a year ago", mtime=0)
    for end in range(2, len(whole)):
        assert "poe.txt is gzip data that" in complaint(partial(read, whole[:end]))
    for place in range(10, len(whole)):  # what comes before is a header without a checksum
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        assert "is gzip data that" in complaint(partial(read, bytes(changed)))


def test_a_gzip_bomb_is_stopped_before_it_takes_memory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "SIZE_LIMIT", 50_000_000)
    bomb = gzip.compress(bytes(60_000_000), 1)
    tracemalloc.start()
    message = complaint(lambda: read(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == "poe.txt holds more than 50,000,000 bytes; try a part of it"
    assert peak < 8_000_000


def test_the_size_limit_itself_is_allowed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "SIZE_LIMIT", 10)
    assert len(read(b"0123456789").text) == 10
    assert "more than 10 bytes" in complaint(lambda: read(b"0123456789a"))


def test_a_folder_gives_its_texts_sorted_and_names_the_rest(here: Path) -> None:
    for name, content in {
        "books/b.txt": b"second",
        "books/a/z.txt": b"first",
        "books/c.txt.gz": gzip.compress(b"third"),
        "books/picture.png": b"\x89PNG\r\n\x1a\n\0\0",
        "books/packed.gz": gzip.compress(bytes(100)),
        "books/run.npz": b"called an archive",
        "books/late.bin": b"x" * 5000 + b"\0",
        "books/.hidden.txt": b"hidden",
        "books/.git/config": b"hidden too",
        "books/nothing.txt": b"",
    }.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    os.mkfifo("books/pipe")
    corpus = read_corpus(["books"])
    assert corpus.text == "first\nsecond\nthird"
    assert corpus.name == "books"
    assert corpus.notes == (
        "skipped, not text: books/late.bin, books/packed.gz, books/picture.png and 2 more",
        "books/nothing.txt is empty",
    )
    assert read_corpus(corpus.sources).text == corpus.text


def test_a_head_cut_within_a_character_is_still_text(here: Path) -> None:
    Path("books").mkdir()
    text = "x" + "\u00e9" * HEAD_BYTES
    Path("books/long.txt").write_text(text, encoding="utf-8")
    assert read_corpus(["books"]).text == text


def test_utf_16_in_a_folder_is_text_only_if_it_was_announced(here: Path) -> None:
    Path("books").mkdir()
    Path("books/a.txt").write_bytes("wide".encode("utf-16"))
    assert "no text in the folder books" in complaint(lambda: read_corpus(["books"]))
    assert read_corpus(["books"], TextOptions("utf-16")).text == "wide"


def test_the_current_folder_lends_its_name(here: Path) -> None:
    Path("a.txt").write_text("ab", encoding="utf-8")
    assert read_corpus(["."]).name == here.name


def test_many_skipped_files_are_counted_rather_than_listed(here: Path) -> None:
    Path("a.txt").write_text("ab", encoding="utf-8")
    for number in range(8):
        Path(f"{number}.bin").write_bytes(b"\0")
    assert read_corpus(["."]).notes[0].endswith("2.bin and 5 more")


def test_several_files_are_sorted_joined_by_a_newline_and_read_once(here: Path) -> None:
    Path("b.txt").write_text("bb\n", encoding="utf-8")
    Path("a.txt").write_text("aa", encoding="utf-8")
    corpus = read_corpus(["b.txt", "a.txt", "./b.txt"])
    assert corpus.text == "aa\nbb\n"
    assert corpus.name == "a"
    assert corpus.notes == ("./b.txt is named twice and read once",)


def test_the_order_of_files_does_not_depend_on_where_one_stands(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("m").mkdir()
    Path("z.txt").write_text("from above", encoding="utf-8")
    Path("m/b.txt").write_text("from below", encoding="utf-8")
    above = read_corpus(["z.txt", "m/b.txt"])
    monkeypatch.chdir("m")
    assert read_corpus(["b.txt", str(here / "z.txt")]).text == above.text
    assert read_corpus(above.sources).text == above.text


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StandardInput(b"\xef\xbb\xbffrom a pipe"))
    corpus = read_corpus(["-"])
    assert (corpus.text, corpus.name, corpus.sources) == ("from a pipe", "stdin", ("-",))
    assert corpus.notes == ("standard input begins with a byte order mark, dropped",)


def test_a_closed_standard_input_is_said_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in complaint(lambda: read_corpus(["-"]))


def test_a_named_pipe_is_read_to_its_end(here: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(
        target=Path("pipe").write_bytes, args=(b"through a pipe",), daemon=True
    )
    writer.start()
    corpus = read_corpus(["pipe"])
    writer.join()
    assert (corpus.text, corpus.name) == ("through a pipe", "pipe")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device: str) -> None:
    assert "is a device" in complaint(lambda: read_corpus([device]))


def test_what_does_not_exist_is_said_not_to(here: Path) -> None:
    Path("file").write_text("ab", encoding="utf-8")
    for path in ("nope.txt", "nope/poe.txt", "file/poe.txt"):
        assert f"no file {path}" in complaint(partial(read_corpus, [path]))
    assert "…" in complaint(lambda: read_corpus(["folder/" * 100]))


def test_no_path_or_an_empty_one_is_a_usage_error() -> None:
    assert "empty path" in complaint(lambda: read_corpus([]), UsageError)
    assert "empty path" in complaint(lambda: read_corpus(["a.txt", ""]), UsageError)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_storage_error(here: Path) -> None:
    Path("poe.txt").write_text("ab", encoding="utf-8")
    Path("poe.txt").chmod(0)
    message = complaint(lambda: read_corpus(["poe.txt"]), StorageError)
    assert message == "cannot read poe.txt (Permission denied); try another file"


@pytest.mark.parametrize("path", ["poe.txt", "."])
def test_a_refusal_of_the_system_is_a_storage_error(
    path: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("poe.txt").write_text("ab", encoding="utf-8")
    monkeypatch.setattr(Path, "open", refuse)
    message = complaint(lambda: read_corpus([path]), StorageError)
    assert message == "cannot read poe.txt (Permission denied); try another file"


def test_no_message_is_longer_than_a_line_should_be(here: Path) -> None:
    name = "x" * 250
    for content in (b"", b"a\xff", b"\x1f\x8b", b"a\0" * 50):
        assert "…xxx" in complaint(partial(read, content, name=name))
    Path("empty").write_bytes(b"")
    assert "in 2 places is empty" in complaint(lambda: read_corpus(["empty", "./empty"]))


@given(st.text(min_size=1), st.integers(1, 5))
def test_a_fingerprint_is_the_hash_of_the_utf_8_bytes_whatever_the_chunks(
    text: str, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "READ_CHUNK_BYTES", chunk)
        found = fingerprint(text)
    whole = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert found == {"sha256": whole, "characters": len(text)}
    assert Corpus(text, "any").fingerprint == found


def test_a_fingerprint_survives_lone_surrogates() -> None:
    assert fingerprint("\ud800") != fingerprint("\ud801")


def test_five_megabytes_take_few_bytes_a_character(here: Path) -> None:
    text = "It was many and many a year ago, in a kingdom by the sea.\n" * 90_000
    Path("poe.txt").write_text(text, encoding="utf-8")
    characters = len(text)
    del text
    tracemalloc.start()
    corpus = read_corpus(["poe.txt"])
    after_reading = tracemalloc.get_traced_memory()[1]
    assert corpus.fingerprint["characters"] == characters
    ids = Vocabulary.from_text(corpus.text).encode(corpus.text)
    after_encoding = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(ids) == characters > 5_000_000
    assert after_reading <= 3 * characters
    assert after_encoding <= 10 * characters


@given(st.integers(0, 10_000), st.floats(0, 0.5))
def test_a_split_leaves_something_on_both_sides(length: int, fraction: float) -> None:
    try:
        begin = validation_start(length, fraction)
    except TextError:
        assert length * min(fraction or 1, 1 - fraction) < 3
    else:
        assert 2 <= begin <= length
        assert (begin == length) if fraction == 0 else (length - begin >= 2)
        assert abs((length - begin) - fraction * length) <= 1


def test_validation_is_the_end_of_the_text_as_others_cut_it() -> None:
    assert validation_start(1_115_394, 0.1) == 1_003_854
    assert validation_start(100, 0.0) == 100
    assert validation_start(4, 0.5) == 2


@pytest.mark.parametrize("fraction", [-0.1, 0.51, 1.0, float("nan"), float("inf")])
def test_a_senseless_fraction_is_a_usage_error(fraction: float) -> None:
    assert "--val-fraction" in complaint(lambda: validation_start(1000, fraction), UsageError)


def test_a_text_too_short_to_split_says_how_to_go_on() -> None:
    assert complaint(lambda: validation_start(9, 0.1)) == (
        "a text of 9 characters cannot be split with --val-fraction 0.1, "
        "2 on each side are needed; try a longer text, or --val-fraction 0"
    )
