"""Archives of arrays: written atomically, and other files refused when reading."""

import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import random
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from charrnn.checkpointing import npz_file
from charrnn.checkpointing import npz_format as npz
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.npz_format import deserialise, serialise
from charrnn.errors import CheckpointError, StorageError
from charrnn.system.files import remove_stale_temporaries
from charrnn.types import JSON, Array

TAG = b"charrnn sha256 "
DTYPES = ["<f4", "<f8", "|u1", "<u2", "<u4", "<u8", "<i8", "|b1"]

OLD: dict[str, Array] = {"layers.0.W_hh": np.arange(6, dtype=np.float32).reshape(2, 3)}
NEW: dict[str, Array] = {
    "layers.0.W_hh": np.full((2, 3), 0.5, np.float32),
    "cursor": np.array([7, -1], np.int64),
}


def assert_same(found: Array, expected: Array) -> None:
    """Compare bit for bit, so that NaN equals NaN and 0 differs from −0."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


# The format, built a second time and without a line of `charrnn.checkpointing.npz_file`.


@dataclass(frozen=True)
class Entry:
    """A member of a hand-made archive; what is not None or empty is a lie or a flaw."""

    filename: bytes
    body: bytes
    flags: int = 0
    method: int = 0
    crc: int | None = None
    size: int | None = None
    offset: int | None = None
    local_filename: bytes | None = None
    attributes: int = 0
    gap: bytes = b""


def npy(descr: str, shape: str, data: bytes, order: str = "False") -> bytes:
    return npy_of(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}", data)


def npy_of(header: str, data: bytes) -> bytes:
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def sign(sealed: bytes) -> bytes:
    return sealed + hashlib.sha256(sealed).hexdigest().encode()


def build(
    entries: Sequence[Entry],
    count: int | None = None,
    before_directory: bytes = b"",
    in_directory: bytes = b"",
    after_directory: bytes = b"",
    disk: int = 0,
) -> bytes:
    content, directory = bytearray(), bytearray()
    for entry in entries:
        content += entry.gap
        crc = zlib.crc32(entry.body) if entry.crc is None else entry.crc
        size = len(entry.body) if entry.size is None else entry.size
        offset = len(content) if entry.offset is None else entry.offset
        local = entry.filename if entry.local_filename is None else entry.local_filename
        fields = (20, entry.flags, entry.method, 0, 0x21, crc, size, size)
        content += b"PK\3\4" + struct.pack("<5H3I2H", *fields, len(local), 0) + local + entry.body
        tail = (len(entry.filename), 0, 0, 0, 0, entry.attributes, offset)
        directory += b"PK\1\2" + struct.pack("<6H3I5H2I", 20, *fields, *tail) + entry.filename
    content += before_directory
    directory += in_directory
    total = len(entries) if count is None else count
    end = struct.pack(
        "<4H2IH", disk, disk, total, total, len(directory), len(content), len(TAG) + 64
    )
    return sign(bytes(content + directory + after_directory + b"PK\5\6" + end + TAG))


def metadata_entry(text: bytes = b"{}") -> Entry:
    return Entry(b"metadata.npy", npy("'|u1'", f"({len(text)},)", text))


EMPTY = metadata_entry()
TWO = Entry(b"x.npy", npy("'<f4'", "(2,)", bytes(8)))


def with_array(descr: str, shape: str, data: bytes, order: str = "False") -> bytes:
    return build([EMPTY, Entry(b"x.npy", npy(descr, shape, data, order))])


def with_header(header: str, data: bytes = b"") -> bytes:
    return build([EMPTY, Entry(b"x.npy", npy_of(header, data))])


def with_metadata(text: bytes) -> bytes:
    return build([metadata_entry(text)])


def resealed(zipped: bytes) -> bytes:
    """Return a zip without comment as what it would be if charrnn had signed it."""
    return sign(zipped[:-2] + struct.pack("<H", len(TAG) + 64) + TAG)


def metadata_list(items: bytes, times: int) -> bytes:
    return with_metadata(b'{"a":[' + items * times + b"0]}")


def saved_with_numpy(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def deflated(size: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.npy", npy("'|u1'", f"({size},)", bytes(size)))
    return stream.getvalue()


def rejection(content: bytes) -> str:
    """Return why `content` is refused, having checked that the reason is fit to be printed."""
    with pytest.raises(CheckpointError) as caught:
        deserialise(content)
    return checked(caught.value)


def checked(error: Exception) -> str:
    message = str(error)
    assert len(message) <= 200
    assert message.isprintable()
    return message


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside the block, even inside a system call, when its time is over."""

    def stop(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".tmp-" in path.name]


def stored(path: Path) -> str:
    """Return which of the two archives is at `path`; fail if it is neither."""
    return {bytes(serialise(OLD, {"step": 1})): "old", bytes(serialise(NEW, {"step": 2})): "new"}[
        path.read_bytes()
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of an archive that holds OLD."""
    place = tmp_path / "checkpoint.npz"
    write_archive(place, OLD, {"step": 1})
    return place


# What is written is read.

shapes = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def random_array(code: str, shape: tuple[int, ...], seed: int) -> Array:
    """Return any bits at all: among floats, NaNs of every kind."""
    size = int(np.prod(shape)) * np.dtype(code).itemsize
    bits = np.frombuffer(np.random.default_rng(seed).bytes(size), np.uint8)
    return (bits & 1 if code == "|b1" else bits).view(code).reshape(shape)


any_array = st.builds(random_array, st.sampled_from(DTYPES), shapes, st.integers(0, 2**32))
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**128), 2**128)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(any_array, max_size=4), st.dictionaries(st.text(), any_json, max_size=4))
def test_what_is_written_is_read_bit_for_bit(values: list[Array], metadata: dict[str, Any]) -> None:
    written = {f"layers.{i}.W_hh": value for i, value in enumerate(values)}
    arrays, read = deserialise(bytes(serialise(written, metadata)))
    assert list(arrays) == list(written)
    for name, value in written.items():
        assert_same(arrays[name], value)
        assert arrays[name].flags.writeable
        assert arrays[name].flags.aligned
        assert arrays[name].flags.c_contiguous
    assert read == metadata


@pytest.mark.parametrize(
    "unusual",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0).reshape(3, 4)[::2, ::-1],
        np.arange(6, dtype=">f8"),
        np.arange(5, dtype=">u2")[::2],
        np.zeros((1,) * 64, np.float32),
    ],
)
def test_order_strides_and_byte_order_do_not_survive_but_values_do(unusual: Array) -> None:
    arrays, _ = deserialise(bytes(serialise({"x": unusual}, {})))
    assert_same(arrays["x"], np.array(unusual, unusual.dtype.newbyteorder("="), order="C"))


def test_lone_surrogates_and_numbers_of_128_bits_survive_in_metadata() -> None:
    metadata: dict[str, JSON] = {
        "argv": "caf\udce9",
        "state": 2**128 - 1,
        "emoji": "🙂",
        "nul": "\0",
        "pair": (1, 2),
    }
    _, read = deserialise(bytes(serialise({}, metadata)))
    assert read == metadata | {"pair": [1, 2]}


def test_numpy_alone_reads_an_archive(tmp_path: Path) -> None:
    place = tmp_path / "checkpoint.npz"
    write_archive(place, NEW, {"step": 3, "vocabulary": "aé"})
    with np.load(place, allow_pickle=False) as file:
        assert file.files == ["metadata", *NEW]
        assert json.loads(bytes(file["metadata"])) == {"step": 3, "vocabulary": "aé"}
        for name, value in NEW.items():
            assert_same(file[name], value)
    with zipfile.ZipFile(place) as plain:
        assert plain.testzip() is None
        assert {info.compress_type for info in plain.infolist()} == {zipfile.ZIP_STORED}


def test_the_format_is_the_one_that_was_written_down() -> None:
    """Compared with an archive made by hand, so that no release changes it unawares."""
    by_hand = [
        metadata_entry(b'{"a":[1,0.5,null,true],"b":"\\u00e9"}'),
        Entry(b"s.npy", npy("'<f4'", "()", struct.pack("<f", 2.5))),
        Entry(b"t.npy", npy("'<u2'", "(2, 1)", struct.pack("<2H", 1, 258))),
    ]
    arrays: dict[str, Array] = {
        "s": np.array(2.5, np.float32),
        "t": np.array([[1], [258]], np.uint16),
    }
    metadata = {"b": "é", "a": [1, 0.5, None, True]}
    content = bytes(serialise(arrays, metadata))
    # NumPy pads a header for its first axis to grow; how much is its own business.
    assert re.sub(rb" +\n", b"\n", content[:-64]) == re.sub(rb" +\n", b"\n", build(by_hand)[:-64])
    assert deserialise(build(by_hand))[1] == metadata
    assert_same(deserialise(build(by_hand))[0]["t"], arrays["t"])


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npz", NEW, {"x": 1, "y": 2})
    time.sleep(0.01)
    write_archive(tmp_path / "b.npz", NEW, {"y": 2, "x": 1})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_archive(tmp_path / "a.npz", OLD, {})
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", np.zeros(2, np.complex64)),
        ("x", np.zeros(2, np.float16)),
        ("x", np.zeros(2, np.int32)),
        ("x", np.array([None], object)),
        ("x", np.array(["a"])),
        ("x", np.zeros(2, [("a", "<f4")])),
        ("metadata", np.zeros(2)),
        ("../x", np.zeros(2)),
        ("a/b", np.zeros(2)),
        ("", np.zeros(2)),
        (".x", np.zeros(2)),
        ("x\n", np.zeros(2)),
        ("é", np.zeros(2)),
        ("x" * 101, np.zeros(2)),
    ],
)
def test_a_type_or_a_name_that_could_not_be_read_is_not_written(name: str, value: Array) -> None:
    with pytest.raises(ValueError, match=r"archive cannot hold|called metadata"):
        serialise({name: value}, {})


@pytest.mark.parametrize(
    "metadata",
    [
        {"loss": float("nan")},
        {"loss": float("inf")},
        {"long": "x" * 2**20},
        {"many": [[]] * 10_001},
        {"deep": json.loads("[" * 60 + "]" * 60)},
    ],
)
def test_metadata_that_could_not_be_read_is_not_written(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|has metadata"):
        serialise({}, metadata)


def test_more_than_a_zip_holds_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_ARCHIVE_BYTES", 100_000)
    with pytest.raises(StorageError, match="do not fit"):
        write_archive(path, {"x": np.zeros(100_000, np.uint8)}, {})
    assert stored(path) == "old"


# What is not an archive is refused, each with its own sentence.

HUGE = f"({2**33},)"
WIDE = ", ".join(["0", *["999999999"] * 8])
HOSTILE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty"),
    ("text", b"hello\n", "not an .npz"),
    ("pickle", b"\x80\x04\x8c\x08builtins\x94\x8c\x04eval\x94\x93.", "not an .npz"),
    ("zip without comment", saved_with_numpy(x=np.zeros(2)), "not one that charrnn wrote"),
    ("pickled object", saved_with_numpy(x=np.array([{}])), "not one that charrnn wrote"),
    ("end lost", bytes(serialise(OLD, {}))[:400], "cut short"),
    ("comment lost", bytes(serialise(OLD, {}))[:-79], "cut short"),
    ("last byte lost", bytes(serialise(OLD, {}))[:-1], "cut short"),
    (
        "other beginning",
        sign(b"MZ" + bytes(serialise(OLD, {}))[2:-64]),
        "does not begin as an .npz",
    ),
    ("other digits", bytes(serialise(OLD, {}))[:-64] + b"0" * 64, "is damaged"),
    ("seal only", sign(TAG), "no zip directory"),
    ("seal and noise", sign(b"\xff" * 100 + TAG), "misplaced zip directory|members"),
    ("bomb", resealed(deflated(2**26)), "compressed member, 'metadata.npy'"),
    ("encrypted", build([EMPTY, replace(TWO, flags=1)]), "encrypted member, 'x.npy'"),
    ("compressed", build([EMPTY, replace(TWO, method=8)]), "compressed member, 'x.npy'"),
    ("data descriptor", build([EMPTY, replace(TWO, flags=8)]), "descriptions of 'x.npy'"),
    ("attributes", build([EMPTY, replace(TWO, attributes=1)]), "descriptions of 'x.npy'"),
    ("other local name", build([EMPTY, replace(TWO, local_filename=b"y.npy")]), "descriptions of"),
    ("wrong CRC", build([EMPTY, replace(TWO, crc=1)]), "wrong CRC for 'x.npy'"),
    ("made by numpy", resealed(saved_with_numpy(metadata=np.zeros(2, np.uint8))), "descriptions"),
    ("twice", build([EMPTY, TWO, TWO]), "two members 'x.npy'"),
    ("twice metadata", build([EMPTY, EMPTY]), "two members 'metadata.npy'"),
    ("parent", build([EMPTY, replace(TWO, filename=b"../x.npy")]), "forbidden name '../x.npy'"),
    ("absolute", build([EMPTY, replace(TWO, filename=b"/etc/x.npy")]), "forbidden name"),
    ("backslash", build([EMPTY, replace(TWO, filename=b"..\\x.npy")]), "forbidden name"),
    ("escape code", build([EMPTY, replace(TWO, filename=b"\x1b[2J.npy")]), r"name '\\x1b\[2J"),
    ("no name", build([EMPTY, replace(TWO, filename=b"")]), "forbidden name ''"),
    ("no suffix", build([EMPTY, replace(TWO, filename=b"x")]), "forbidden name 'x'"),
    ("long name", build([EMPTY, replace(TWO, filename=b"x" * 60_000)]), r"name \.\.\.x+'"),
    ("65 000 members", build([EMPTY], count=65_000), "65,000 members"),
    ("zip64", build([EMPTY], count=0xFFFF), "65,535 members"),
    ("fewer members", build([EMPTY, TWO], count=1), "bytes that belong to no member"),
    ("more members", build([EMPTY, TWO], count=3), "more members than it describes"),
    ("no members", build([]), "does not begin as an .npz"),
    ("no metadata", build([TWO]), "does not begin with its metadata"),
    ("metadata last", build([TWO, EMPTY]), "does not begin with its metadata"),
    ("hole", build([EMPTY, replace(TWO, gap=b"x")]), "gap or an overlap before 'x.npy'"),
    ("overlap", build([EMPTY, replace(TWO, offset=0)]), "gap or an overlap before 'x.npy'"),
    ("leading bytes", build([replace(EMPTY, gap=b"MZ")]), "does not begin as an .npz"),
    ("leading member", build([replace(EMPTY, gap=b"PK\3\4")]), "gap or an overlap before"),
    ("bytes before directory", build([EMPTY], before_directory=b"x"), "belong to no member"),
    ("bytes after directory", build([EMPTY], after_directory=b"x"), "misplaced zip directory"),
    ("bytes in directory", build([EMPTY], in_directory=b"x"), "belong to no member"),
    ("second disk", build([EMPTY], disk=1), "misplaced zip directory"),
    ("trailing bytes", build([EMPTY]) + b"x", "cut short"),
    ("size beyond end", build([EMPTY, replace(TWO, size=2**32 - 1)]), "longer than the rest"),
    ("body is text", build([EMPTY, replace(TWO, body=b"hello")]), r"no \.npy"),
    ("body is nothing", build([EMPTY, replace(TWO, body=b"")]), r"no \.npy"),
    ("body is magic", build([EMPTY, replace(TWO, body=b"\x93NUMPY\1\0")]), "no|header"),
    ("version 2", build([EMPTY, replace(TWO, body=b"\x93NUMPY\2\0" + bytes(99))]), r"no \.npy"),
    ("long header", with_header("{" + " " * 2000), "too long a header for 'x'"),
    ("header past end", build([EMPTY, replace(TWO, body=b"\x93NUMPY\1\0\xff\0")]), "too long"),
    ("32 GiB", with_array("'<f4'", HUGE, bytes(8)), "8 bytes for another shape of 'x'"),
    ("short data", with_array("'<f4'", "(2,)", bytes(7)), "7 bytes for another shape"),
    ("long data", with_array("'<f4'", "(2,)", bytes(12)), "12 bytes for another shape"),
    ("no axes", with_array("'<f4'", "()", b""), "0 bytes for another shape"),
    ("empty but endless", with_array("'<f4'", f"({WIDE})", b""), "impossible shape for 'x'"),
    ("65 axes", with_array("'<f4'", f"({', '.join(['1'] * 65)})", bytes(4)), "impossible shape"),
    ("Fortran", with_array("'<f4'", "(2, 1)", bytes(8), order="True"), "Fortran order, 'x'"),
    ("object", with_array("'|O'", "(1,)", bytes(8)), "a type that charrnn does not write, 'x'"),
    (
        "object of a long name",
        build([EMPTY, Entry(b"n" * 100 + b".npy", npy("'|O'", "(1,)", bytes(8)))]),
        r"a type that charrnn does not write, \.\.\.n{36}'",
    ),
    ("structured", with_array("[('a', '<f4')]", "(1,)", bytes(4)), "a type that charrnn"),
    ("void", with_array("'|V8'", "(1,)", bytes(8)), "a type that charrnn"),
    ("big-endian", with_array("'>f4'", "(1,)", bytes(4)), "a type that charrnn"),
    ("dtype list", with_array("['<f4']", "(1,)", bytes(4)), "a type that charrnn"),
    ("dtype call", with_array("exec('1')", "(1,)", bytes(4)), "a type that charrnn"),
    ("dtype number", with_array("3", "(1,)", bytes(4)), "a type that charrnn"),
    ("negative axis", with_array("'<f4'", "(-2,)", bytes(8)), "header that charrnn does not"),
    ("true axis", with_array("'<f4'", "(True,)", bytes(4)), "header that charrnn does not"),
    ("long axis", with_array("'<f4'", f"({'9' * 900},)", b""), "header that charrnn does not"),
    ("list as shape", with_array("'<f4'", "[2]", bytes(8)), "header that charrnn does not"),
    ("missing key", with_header("{'descr': '<f4', 'shape': (), }"), "header that charrnn does"),
    ("other header", with_header("__import__('os').abort()"), "header that charrnn does not"),
    ("half a truth", with_array("'|b1'", "(2,)", b"\1\2"), "neither true nor false in 'x'"),
    (
        "metadata of floats",
        build([replace(TWO, filename=b"metadata.npy")]),
        "metadata that is not text",
    ),
    (
        "metadata of two axes",
        build([Entry(b"metadata.npy", npy("'|u1'", "(1, 2)", b"{}"))]),
        "metadata that is not text",
    ),
    ("metadata list", with_metadata(b"[]"), "not a JSON object"),
    ("metadata null", with_metadata(b"null"), "not a JSON object"),
    ("metadata empty", with_metadata(b""), "not strict JSON: Expecting value"),
    ("metadata Python", with_metadata(b"{'a': 1}"), "not strict JSON: Expecting property"),
    ("metadata and more", with_metadata(b"{} {}"), "not strict JSON: Extra data"),
    ("metadata Latin-1", with_metadata(b'{"a":"\xe9"}'), "not UTF-8"),
    ("metadata UTF-16", with_metadata('{"a": 1}'.encode("utf-16")), "not UTF-8"),
    ("metadata NaN", with_metadata(b'{"a":NaN}'), "not strict JSON: a number is not finite"),
    ("metadata -Infinity", with_metadata(b'{"a":-Infinity}'), "a number is not finite"),
    ("metadata 1e999", with_metadata(b'{"a":1e999}'), "a number is not finite"),
    (
        "metadata digits",
        with_metadata(b'{"a":' + b"9" * 5000 + b"}"),
        "integer has over 40 digits",
    ),
    ("metadata key twice", with_metadata(b'{"b":{"a":1,"a":2}}'), "a key occurs twice"),
    ("metadata deep", with_metadata(b'{"a":' + b"[" * 60 + b"]" * 60 + b"}"), "nested deeper"),
    ("metadata abyss", with_metadata(b'{"a":' + b"[" * 9000), "nested deeper"),
    ("metadata wide", metadata_list(b"[],", 20_000), "10,000 lists"),
    ("metadata long", with_metadata(b'{"a":"' + b"x" * 2**20 + b'"}'), "over 1,048,576 bytes"),
]


@pytest.mark.parametrize(
    ("content", "sentence"), [pytest.param(*case[1:], id=case[0]) for case in HOSTILE]
)
def test_each_way_of_being_broken_is_refused_by_name(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    assert re.search(sentence, rejection(content))
    (tmp_path / "hostile.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        read_archive(tmp_path / "hostile.npz")
    assert checked(caught.value).endswith("; try another checkpoint")


def test_the_gallery_is_refused_for_its_flaws_and_not_for_being_made_by_hand() -> None:
    arrays, metadata = deserialise(build([metadata_entry(b'{"a":[[]]}'), TWO]))
    assert metadata == {"a": [[]]}
    assert_same(arrays["x"], np.zeros(2, np.float32))


def test_a_hostile_file_makes_no_import_no_process_and_no_file(tmp_path: Path) -> None:
    events: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and (
            event in ("import", "exec", "compile", "os.system", "os.exec", "os.posix_spawn")
            or event.startswith(("subprocess.", "socket.", "pickle.", "marshal.", "ctypes."))
            or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        ):
            events.append(event)

    sys.addaudithook(watch)
    place = tmp_path / "hostile.npz"
    for _, content, _ in HOSTILE:
        place.write_bytes(content)
        watching = True
        with contextlib.suppress(CheckpointError):
            read_archive(place)
        watching = False
    assert events == []
    watching = True
    place.write_bytes(b"")
    watching = False
    assert events == ["open"], "the watch was asleep"


# What is not even a file.


def test_a_missing_file_is_a_missing_checkpoint(tmp_path: Path, path: Path) -> None:
    (tmp_path / "dangling.npz").symlink_to(tmp_path / "nowhere.npz")
    for place in (tmp_path / "none.npz", tmp_path / "dangling.npz", path / "below.npz"):
        with pytest.raises(CheckpointError, match=r"^no checkpoint at .*npz'; try ") as caught:
            read_archive(place)
        checked(caught.value)


def test_a_directory_a_pipe_a_socket_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with at_most(5), socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for place, kind in [
            (tmp_path, "a directory"),
            (tmp_path / "pipe", "a pipe or a device"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/zero"), "a pipe or a device"),
        ]:
            with pytest.raises(CheckpointError, match=f"is {kind}, not a file"):
                read_archive(place)


def test_a_symlink_to_an_archive_is_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.npz").symlink_to(path)
    assert read_archive(tmp_path / "latest.npz")[1] == {"step": 1}


def test_a_file_above_the_cap_is_not_read(path: Path) -> None:
    size = path.stat().st_size
    assert read_archive(path, max_bytes=size)[1] == {"step": 1}
    with pytest.raises(CheckpointError, match=f"larger than {size - 1:,} bytes"):
        read_archive(path, max_bytes=size - 1)


def test_a_sparse_file_of_a_terabyte_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "sparse.npz").open("wb") as file:
        file.truncate(2**40)
    with at_most(5), pytest.raises(CheckpointError, match="larger than 4,294,967,294 bytes"):
        read_archive(tmp_path / "sparse.npz")


@pytest.mark.parametrize(
    "tail", [b"", b"PK\5\6", TAG + b"0" * 64, bytes(serialise(OLD, {}))[-200:]]
)
def test_a_sparse_file_takes_neither_memory_nor_time(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sparse.npz"
    with path.open("wb") as file:
        file.write(b"PK\3\4" if tail else b"")
        file.truncate(npz.MAX_ARCHIVE_BYTES - len(tail))
        file.seek(0, os.SEEK_END)
        file.write(tail)
    tracemalloc.start()
    try:
        with at_most(5), pytest.raises(CheckpointError, match=r"is not an|cut short|zip directory"):
            read_archive(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_the_ends_of_a_file_are_checked_before_the_rest_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz_file, "deserialise", lambda _content: pytest.fail("all of it is read"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is cut short"):
        read_archive(path)


def test_a_file_that_grows_while_it_is_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if next(calls) == 2:  # that of the size
            path.write_bytes(path.read_bytes() + b"x")
        return status

    fstat, calls = os.fstat, itertools.count(1)
    monkeypatch.setattr(os, "fstat", stale)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        read_archive(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ELOOP])
def test_a_file_that_the_system_withholds_is_a_matter_of_storage(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StorageError, match=f"cannot read .*: {os.strerror(number)}; ") as caught:
        read_archive(path)
    assert caught.value.exit_code == 5
    checked(caught.value)


def test_messages_stay_short_and_visible_whatever_the_path_holds(tmp_path: Path) -> None:
    for name in ("\x1b[2J\u202e\n.npz", "é" * 120, "\x9b" * 100):
        place = tmp_path / name
        for content in (None, b"", with_metadata(b'{"a":\n}')):
            if content is not None:
                place.write_bytes(content)
            with pytest.raises(CheckpointError) as caught:
                read_archive(place)
            checked(caught.value)
        with pytest.raises(StorageError) as refused:
            write_archive(place / "below", OLD, {})
        checked(refused.value)


# Damage, exhaustively and at random.


def test_every_flipped_bit_and_every_truncation_is_refused() -> None:
    original = bytes(serialise({"x": np.arange(3, dtype=np.float32)}, {"step": 1}))
    deserialise(original)
    damaged = bytearray(original)
    for position in range(len(original)):
        with pytest.raises(CheckpointError):
            deserialise(original[:position])
        for bit in range(8):
            damaged[position] ^= 1 << bit
            with pytest.raises(CheckpointError):
                deserialise(bytes(damaged))
            damaged[position] ^= 1 << bit
    assert bytes(damaged) == original


def mutated(content: bytes, random_: random.Random) -> bytes:
    """Return `content` with one or two random injuries."""
    result = bytearray(content)
    for _ in range(random_.randint(1, 2)):
        start = random_.randrange(len(result) + 1)
        stop = min(len(result), start + random_.choice([1, 1, 1, 2, 4, 64]))
        source = random_.randrange(len(content))
        piece = content[source : source + stop - start]
        interesting = random_.choice([b"\0", b"\xff", b"\x7f", b"-", b"9", b"[", b"'", b"("])
        result[start:stop] = random_.choice(
            [b"", piece, bytes(result[start:stop]) * 2, interesting * (stop - start)]
        )
    return bytes(result)


def test_two_thousand_random_injuries_end_in_a_checkpoint_error_or_in_sound_arrays() -> None:
    """Half of them keep the seal, the CRC and the lengths right, and so reach further inside."""
    random_ = random.Random(20_240_229)
    header = b"{'descr': '|b1', 'fortran_order': False, 'shape': (3, 1), }"
    text = b'{"a":[1,2.5,"x"],"b":{"c":true}}'
    original = build([metadata_entry(text), Entry(b"b.npy", npy_of(header.decode(), b"\0\1\1"))])
    deserialise(original)
    injuries: dict[str, Callable[[], bytes]] = {
        "plain": lambda: mutated(original, random_),
        "signed": lambda: sign(mutated(original[:-64], random_)),
        "header": lambda: with_header(mutated(header, random_).decode("latin-1"), b"\0\1\1"),
        "metadata": lambda: with_metadata(mutated(text, random_)),
    }
    accepted = dict.fromkeys(injuries, 0)
    reasons: set[str] = set()
    for kind in itertools.islice(itertools.cycle(injuries), 2_000):
        content = injuries[kind]()
        if content == original:
            continue
        try:
            arrays, metadata = deserialise(content)
        except CheckpointError as error:
            reasons.add(re.sub(r"[0-9,]+|'.*'", "", checked(error)))
        else:
            accepted[kind] += 1
            assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata
            assert sum(array.nbytes for array in arrays.values()) <= 3
    assert accepted["plain"] == 0
    assert accepted["metadata"] > 20, "no injury reached beyond the syntax"
    assert len(reasons) >= 15, f"the injuries are too much alike: {reasons}"


def many_members() -> bytes:
    return build([EMPTY, *(replace(TWO, filename=b"x%d.npy" % i) for i in range(9_999))])


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: with_array("'<f4'", HUGE, bytes(8)), id="32 GiB"),
        pytest.param(lambda: with_array("'<f4'", f"({WIDE})", b""), id="endless axes"),
        pytest.param(lambda: resealed(deflated(2**26)), id="bomb"),
        pytest.param(lambda: metadata_list(b"[],", 300_000), id="many lists"),
        pytest.param(lambda: metadata_list(b'{"":0},', 9_990), id="many objects"),
        pytest.param(lambda: metadata_list(b'"ab",', 200_000), id="many strings"),
        pytest.param(lambda: metadata_list(b"1e1,", 250_000), id="many numbers"),
        pytest.param(lambda: metadata_list('"🙂",'.encode() * 9, 16_000), id="wide strings"),
        pytest.param(
            lambda: metadata_list(b'"x","\xf0\x9f\x99\x82",' + b'"' + b"x" * 10**6 + b'",', 1),
            id="wide text",
        ),
        pytest.param(many_members, id="many members"),
        pytest.param(lambda: bytes(serialise({"x": np.zeros(2**23)}, {})), id="honest 64 MiB"),
    ],
)
def test_no_file_takes_more_memory_than_two_of_its_size(
    made: Callable[[], bytes], tmp_path: Path
) -> None:
    content = made()
    place = tmp_path / "file.npz"
    place.write_bytes(content)
    size = len(content)
    del content
    tracemalloc.start()
    try:
        with contextlib.suppress(CheckpointError):
            read_archive(place)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size <= peak <= 2 * size + 32 * 2**20


# A save that fails or dies leaves the old file or the new one.


def failing(function: Callable[..., Any], at: int, number: int) -> Callable[..., Any]:
    """Return `function` as it is on a disk that fails at the call `at`, counted from 1."""
    calls = itertools.count(1)

    def called(*arguments: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise OSError(number, os.strerror(number))
        return function(*arguments, **options)

    return called


def short_write(descriptor: int, content: memoryview) -> int:
    """Write a little, as a system may: so that a small archive takes several writes."""
    return os_write(descriptor, content[:100])


os_write = os.write
WRITES = -(-len(serialise(NEW, {"step": 2})) // 100)
FAULTS = [
    ("open", 1),
    *(("write", n) for n in range(1, WRITES + 1)),
    ("fsync", 1),
    ("close", 1),
    ("replace", 1),
]


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EACCES, errno.EROFS]
)
def test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing_else(
    number: int, path: Path, tmp_path: Path
) -> None:
    for name, at in FAULTS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "write", short_write)
            patch.setattr(os, name, failing(getattr(os, name), at, number))
            with pytest.raises(StorageError, match=os.strerror(number)) as caught:
                write_archive(path, NEW, {"step": 2})
        assert caught.value.exit_code == 5
        assert "checkpoint.npz'" in checked(caught.value)
        assert stored(path) == "old"
        assert temporaries(tmp_path) == []
    write_archive(path, NEW, {"step": 2})
    assert stored(path) == "new"


def test_a_folder_that_fails_to_become_durable_is_reported_and_one_that_cannot_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", failing(fsync, 2, errno.EIO))
    with pytest.raises(StorageError, match=os.strerror(errno.EIO)):
        write_archive(path, NEW, {"step": 2})
    assert stored(path) == "new"
    for number in (errno.EINVAL, errno.ENOTSUP):
        monkeypatch.setattr(os, "fsync", failing(fsync, 2, number))
        write_archive(path, OLD, {"step": 1})
    assert stored(path) == "old"


def test_a_folder_that_may_not_be_opened_is_no_obstacle(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", failing(os.open, 2, errno.EACCES))
    write_archive(path, NEW, {"step": 2})
    assert stored(path) == "new"


def test_an_interrupt_during_the_save_passes_through_and_leaves_no_temporary_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_archive(path, NEW, {"step": 2})
    assert (stored(path), temporaries(tmp_path)) == ("old", [])


def test_impossible_places_are_a_matter_of_storage(tmp_path: Path, path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    long = tmp_path / ("x" * 250)
    for place in (tmp_path / "folder.npz", tmp_path / "none" / "a.npz", path / "a.npz", long):
        with pytest.raises(StorageError, match=r"^cannot write .*; try ") as caught:
            write_archive(place, NEW, {})
        checked(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.npz", "folder.npz"]


def test_a_symlink_in_the_place_of_the_temporary_file_is_not_followed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, trap = tmp_path / "victim", tmp_path / f".checkpoint.npz.tmp-{os.getpid()}"
    victim.write_text("untouched", encoding="utf-8")
    trap.symlink_to(victim)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # as if it came a moment later
        with pytest.raises(StorageError, match=os.strerror(errno.EEXIST)):
            write_archive(path, NEW, {"step": 2})
    assert stored(path) == "old"
    write_archive(path, NEW, {"step": 2})
    assert (stored(path), temporaries(tmp_path)) == ("new", [])
    assert victim.read_text(encoding="utf-8") == "untouched"


Event = tuple[str, bytes]


def traced_save(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Save NEW and return what was asked of the system, in order."""
    events: list[Event] = []
    os_fsync, os_replace = os.fsync, os.replace

    def write(descriptor: int, content: memoryview) -> int:
        written = short_write(descriptor, content)
        events.append(("write", bytes(content[:written])))
        return written

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append(("fsync folder" if is_folder else "fsync file", b""))
        os_fsync(descriptor)

    def replace_(source: Path, target: Path) -> None:
        assert source.parent == target.parent, "not atomic across folders"
        events.append(("replace", b""))
        os_replace(source, target)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace_)
    write_archive(path, NEW, {"step": 2})
    return events


def test_the_file_is_durable_before_its_name_and_its_name_before_the_return(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name, _ in traced_save(path, monkeypatch)]
    assert names == ["write"] * WRITES + ["fsync file", "replace", "fsync folder"]


def test_a_loss_of_power_after_any_step_leaves_the_old_file_or_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that keeps what was synchronised, and of the rest whatever is worst."""
    old = path.read_bytes()
    events = traced_save(path, monkeypatch)
    new = path.read_bytes()
    for steps in range(len(events) + 1):
        written, durable = b"", b""
        possible = {old}  # what may be found under the name after the loss
        for name, piece in events[:steps]:
            written += piece
            if name == "fsync file":
                durable = written
            elif name == "replace":
                possible |= {durable, written}  # the name may be durable before the content
            elif name == "fsync folder":
                possible -= {old}
        assert possible <= {old, new}
    assert possible == {new}, "a save that returned can be lost"


def dying_at(step: int, path: Path, after: bool) -> int:
    """Fork, save NEW, die before or after the system call `step`; return the exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        calls = itertools.count(1)

        def dying(function: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                mine = next(calls) == step
                if mine and not after:
                    os._exit(9)
                try:
                    return function(*arguments, **options)
                finally:
                    if mine:
                        os._exit(9)

            return called

        os.write = short_write  # type: ignore[assignment]
        for name in ("open", "write", "fsync", "close", "replace", "unlink"):
            setattr(os, name, dying(getattr(os, name)))
        write_archive(path, NEW, {"step": 2})
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_leaves_the_old_file_or_the_new_one(after: bool, path: Path) -> None:
    outcomes = []
    for step in itertools.count(1):
        write_archive(path, OLD, {"step": 1})
        status = dying_at(step, path, after)
        outcomes.append(stored(path))
        if status == 0:
            break
        assert status == 9
    assert len(outcomes) > WRITES + 6
    assert outcomes == sorted(outcomes, reverse=True), "old, then new, and never back"
    assert set(outcomes) == {"old", "new"}


def test_a_limit_on_the_size_of_files_is_a_full_disk(path: Path, tmp_path: Path) -> None:
    script = f"""
import resource, sys
from pathlib import Path
import numpy as np
from charrnn.checkpointing.npz_file import write_archive
from charrnn.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_archive(Path({str(path)!r}), {{"x": np.zeros(10_000)}}, {{}})
except StorageError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (5, "")
    assert done.stdout.startswith("cannot write ")
    assert os.strerror(errno.EFBIG) in done.stdout
    assert done.stdout.count("\n") == 1
    assert (stored(path), temporaries(tmp_path)) == ("old", [])


def saving_for_ever(path: Path, start: int) -> tuple[int, int]:
    """Fork a process that saves in a loop; return its number and a pipe of 8-byte step counts."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    try:
        weights = np.zeros(50_000, np.float32)
        for step in itertools.count(start):
            weights[:] = step
            write_archive(path, {"W": weights}, {"step": step})
            os.write(writer, struct.pack("<q", step))
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_twenty_kills_lose_no_save_that_was_reported(tmp_path: Path) -> None:
    random_ = random.Random(0)
    place = tmp_path / "checkpoint.npz"
    inside, step = 0, 0
    for _ in range(20):
        child, reader = saving_for_ever(place, step + 1)
        reported = os.read(reader, 8)  # so that it is at work
        time.sleep(random_.uniform(0.005, 0.05))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        while piece := os.read(reader, 4096):
            reported += piece
        os.close(reader)
        (acknowledged,) = struct.unpack("<q", reported[-8:])
        arrays, metadata = read_archive(place)
        step = metadata["step"]
        assert acknowledged <= step <= acknowledged + 1
        assert set(arrays["W"]) == {step}
        inside += len(temporaries(tmp_path))
        remove_stale_temporaries(tmp_path)
        assert temporaries(tmp_path) == []
    assert inside >= 2, "no kill struck inside a save"
