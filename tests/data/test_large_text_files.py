"""Large text files: reading in chunks gives what reading the whole text gives, errors included."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charrnn.data import large_text_files as large_text
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import find_files, name_of, place
from charrnn.data.large_text_files import LargeCorpus, is_large, mapped
from charrnn.data.text_files import read_corpus
from charrnn.data.vocabulary import Vocabulary, count
from charrnn.errors import StorageError, TextError

TEXT = "Zwölf Boxkämpfer jagen Viktor.\r\nЖизнь – 数学 🦉\n" * 3
Make = Callable[..., LargeCorpus]


@pytest.fixture(params=[1, 2, 3, 7, 64, 2**20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are decoded at a time: characters of several bytes lie across the borders."""
    monkeypatch.setattr(large_text, "READ_CHUNK_BYTES", request.param)
    return int(request.param)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write files, and look at them as a large corpus."""
    monkeypatch.chdir(tmp_path)

    def write(*contents: bytes, options: TextOptions | None = None) -> LargeCorpus:
        names = []
        for number, content in enumerate(contents):
            names.append(f"{number}.txt")
            (tmp_path / names[-1]).write_bytes(content)
        chosen = options or TextOptions()
        files, notes = find_files(names, chosen)
        sources = tuple(map(place, files))
        return LargeCorpus(tuple(files), name_of(names), sources, chosen, tuple(notes))

    return write


def same(large: LargeCorpus, tmp_path: Path) -> None:
    """Compare with the text held in memory."""
    small = read_corpus(list(large.paths), large.options)
    assert "".join(large.chunks()) == small.text
    assert large.fingerprint == small.fingerprint
    assert (large.name, large.sources) == (small.name, small.sources)
    counts = count(small.text)
    np.testing.assert_array_equal(large.counts[: len(counts)], counts)
    assert not large.counts[len(counts) :].any()
    for rarest in (1, 2):
        vocabulary = Vocabulary.from_counts(large.counts, rarest, large.options.as_bytes)
        assert vocabulary == Vocabulary.from_text(small.text, rarest, large.options.as_bytes)
        assert vocabulary.unknown_of(large.counts) == vocabulary.unknown(small.text)
        ids = large.encode(vocabulary, tmp_path / "ids.bin")
        np.testing.assert_array_equal(ids, vocabulary.encode(small.text, "skip"))
        assert ids.dtype == vocabulary.id_type
    assert large.part(5, 40) == small.part(5, 40)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_every_encoding_reads_as_when_held(
    make: Make, tmp_path: Path, chunk: int, codec: str
) -> None:
    encoding = "utf-8" if codec == "utf-8-sig" else codec
    same(make(TEXT.encode(codec), options=TextOptions(encoding)), tmp_path)


def test_bytes_and_several_files_and_gzip(make: Make, tmp_path: Path, chunk: int) -> None:
    content = TEXT.encode()
    same(make(content, options=TextOptions(as_bytes=True)), tmp_path)
    same(make(content, b"", gzip.compress(content), b"end"), tmp_path)


@pytest.mark.parametrize("bad", [b"\xff", b"\xe4\xb8", b"\xc3"])
def test_what_does_not_decode_is_placed(make: Make, chunk: int, bad: bytes) -> None:
    start = "ä\nöü\n".encode()
    corpus = make(start + bad + b"and so on")
    with pytest.raises(
        TextError, match=rf"0\.txt is not UTF-8 \(byte 0x.. at offset {len(start)}, line 3\); try"
    ):
        corpus.fingerprint  # noqa: B018
    cut = make(start + bad[:1])
    with pytest.raises(TextError, match=rf"offset {len(start)}, line 3"):
        cut.fingerprint  # noqa: B018


def test_damaged_gzip_is_named(make: Make) -> None:
    packed = gzip.compress(TEXT.encode() * 100)
    for content in (packed[:-20], packed[:40] + b"!!!" + packed[43:]):
        with pytest.raises(TextError, match="gzip data"):
            make(content).fingerprint  # noqa: B018


def test_a_text_of_one_character_is_none(make: Make) -> None:
    with pytest.raises(TextError, match="two different"):
        make(b"aaaa").counts  # noqa: B018


def test_a_disk_that_refuses_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    corpus = make(b"abab")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot write"):
        corpus.encode(Vocabulary("ab"), tmp_path / "file" / "ids.bin")
    with pytest.raises(TextError, match="knows no character"):
        corpus.encode(Vocabulary("xy"), tmp_path / "ids.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "file"]


def test_a_text_that_changes_while_it_is_read_is_refused(make: Make, tmp_path: Path) -> None:
    corpus = make(b"abab")
    assert corpus.fingerprint["characters"] == 4
    Path("0.txt").write_bytes(b"ababab")
    with pytest.raises(TextError, match="has changed while it was read; try a copy of it"):
        corpus.encode(Vocabulary("ab"), tmp_path / "new" / "folder" / "ids.bin")
    Path("0.txt").write_bytes(b"ab\xff")
    with pytest.raises(TextError, match="not UTF-8"):
        corpus.encode(Vocabulary("ab"), tmp_path / "new" / "folder" / "ids.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["0.txt"]


def test_a_file_that_is_gone_is_named(make: Make) -> None:
    corpus = make(b"abab")
    Path("0.txt").unlink()
    with pytest.raises(TextError, match=r"there is no file 0\.txt"):
        list(corpus.chunks())


def test_only_what_is_large_is_large(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make(b"x" * 100, gzip.compress(b"y" * 100))
    options = TextOptions()
    assert not is_large(["0.txt", "1.txt"], options)
    monkeypatch.setattr(large_text, "LARGE_TEXT_BYTES", 101)
    assert is_large(["0.txt", "1.txt"], options)
    assert not is_large(["0.txt"], options)
    assert not is_large(["0.txt", "-"], options)
    assert not is_large(["0.txt", "1.txt"], TextOptions(normalise="nfc"))


def test_the_ids_are_mapped_and_cannot_be_changed(make: Make, tmp_path: Path) -> None:
    ids = make(b"abab").encode(Vocabulary("ab"), tmp_path / "ids.bin")
    assert type(ids) is np.ndarray
    assert not ids.flags.writeable
    np.testing.assert_array_equal(mapped(tmp_path / "ids.bin", Vocabulary("ab")), [0, 1, 0, 1])
