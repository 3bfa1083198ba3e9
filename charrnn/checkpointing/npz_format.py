"""The .npz format of checkpoints: named arrays and JSON metadata, verified by a checksum.

1. An archive is an uncompressed zip; `numpy.load(path, allow_pickle=False)` reads it too.
2. Its first member, `metadata.npy`, is a uint8 array of UTF-8 text: one JSON object.
3. Each further member, `<name>.npy`, is an array in C order, of one of `DTYPES`.
4. Members touch: nothing lies before, between or after them but the zip's own directory.
5. The zip's comment, `charrnn sha256 ` and 64 hexadecimal digits, ends the file. The digits are
   the SHA-256 of all bytes before them, so that any changed bit and any lost byte is detected.
6. Equal content gives equal bytes: keys are sorted, and no time is stored.

A checksum detects damage, but not malice: anybody can compute one. So the reader compares every
length, name and shape with the bytes of the file, and creates arrays only after all checks.
"""

import hashlib
import io
import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import numpy as np

from charrnn.checkpointing.bounded_json import parse_json
from charrnn.errors import CheckpointError, StorageError
from charrnn.system.files import END_BYTES
from charrnn.types import JSON, Array

Header: TypeAlias = tuple[np.dtype[Any], tuple[int, ...], memoryview]
"""The type and shape of an array, and the bytes of its elements."""

DTYPES = {
    f"'{code}'".encode(): np.dtype(code)  # by its representation in the header of an .npy
    for code in ("<f4", "<f8", "|u1", "<u2", "<u4", "<u8", "<i8", "|b1")
}

MAX_ARCHIVE_BYTES = 4 * 2**30 - 2  # from 4 GiB on, a zip needs the longer fields of zip64
MAX_MEMBERS = 10_000
MAX_HEADER_BYTES = 1024  # of an .npy
MAX_METADATA_BYTES = 2**20
MAX_AXES = 64  # the limit of NumPy

CHECKSUM_TAG, CHECKSUM_DIGITS = b"charrnn sha256 ", 64  # the zip's comment
LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # before each member
DIRECTORY_ENTRY = struct.Struct("<4s6H3I5H2I")  # for each member, in the directory
END_RECORD = struct.Struct("<4s4H2IH")  # between the directory and the comment
ZIP_VERSION, ZIP_DATE = 20, 0x21  # version 2.0; 1 January 1980

MEMBER_NAME = re.compile(r"(?!.{101})\w+(?:[.-]\w+)*", re.ASCII)
NPY_HEADER = re.compile(
    rb"\{'descr': (.*?), 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,19},|[0-9]{1,19}(?:, [0-9]{1,19})+)?)\), \} *\n"
)


class Member(NamedTuple):
    """A file inside the zip, and the only headers that an archive may have for it."""

    filename: bytes
    size: int  # bytes
    crc: int
    offset: int  # bytes from the start of the archive

    def description(self) -> tuple[int, ...]:
        """Return the fields that the local header and the directory entry share."""
        lengths = (self.size, self.size, len(self.filename), 0)
        return (ZIP_VERSION, 0, 0, 0, ZIP_DATE, self.crc, *lengths)

    def local_header(self) -> bytes:
        """Return the header before the content."""
        return LOCAL_HEADER.pack(b"PK\3\4", *self.description()) + self.filename

    def directory_entry(self) -> bytes:
        """Return the entry in the zip's directory."""
        fields = (ZIP_VERSION, *self.description(), 0, 0, 0, 0, self.offset)
        return DIRECTORY_ENTRY.pack(b"PK\1\2", *fields) + self.filename


def end_record(count: int, size: int, start: int) -> bytes:
    """Return the record that locates a directory of `count` entries and `size` bytes."""
    return END_RECORD.pack(
        b"PK\5\6", 0, 0, count, count, size, start, len(CHECKSUM_TAG) + CHECKSUM_DIGITS
    )


def serialise(arrays: Mapping[str, Array], metadata: Mapping[str, JSON]) -> bytearray:
    """Return the bytes of an archive.

    Raises StorageError for more than `MAX_ARCHIVE_BYTES`, and ValueError for content that
    `deserialise` would refuse.
    """
    text = json.dumps(dict(metadata), sort_keys=True, allow_nan=False, separators=(",", ":"))
    try:
        parse_metadata(text.encode())
    except CheckpointError as error:
        raise ValueError(f"the archive {error}") from error
    if "metadata" in arrays or len(arrays) >= MAX_MEMBERS:
        raise ValueError(f"an array is called metadata, or there are {MAX_MEMBERS:,}")
    size = len(text) + sum(array.nbytes for array in arrays.values())
    if size + 1024 * (len(arrays) + 2) > MAX_ARCHIVE_BYTES:  # the headers of a member are shorter
        raise StorageError(f"{size:,} bytes do not fit into a checkpoint; try a smaller network")

    archive, directory = bytearray(), bytearray()
    for name, array in {"metadata": np.frombuffer(text.encode(), np.uint8), **arrays}.items():
        content = serialise_array(name, array)
        member = Member(f"{name}.npy".encode(), len(content), crc32(content), len(archive))
        archive += member.local_header() + content
        directory += member.directory_entry()
    archive += directory + end_record(len(arrays) + 1, len(directory), len(archive)) + CHECKSUM_TAG
    archive += checksum(archive)
    return archive


def serialise_array(name: str, array: Array) -> bytes:
    """Return an .npy of version 1.0, little-endian and in C order."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES.values() or not MEMBER_NAME.fullmatch(name):
        raise ValueError(f"an archive cannot hold {array.dtype} under the name {name!r}")
    stream = io.BytesIO()
    array = np.asarray(array, dtype, order="C")
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def checksum(content: bytearray | memoryview) -> bytes:
    """Return the digits at the end of an archive, given all bytes before them."""
    return hashlib.sha256(content).hexdigest().encode()


def require(condition: bool, problem: str) -> None:
    """Raise CheckpointError unless `condition` is true.

    `problem` completes a sentence that begins with the path: "is empty".
    """
    if not condition:
        raise CheckpointError(problem)


def deserialise(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the metadata of an archive, after all of it has been checked.

    Raises CheckpointError as `require` does.
    """
    check_ends(content[:4], content[-END_BYTES:], len(content))
    check_checksum(content)
    members = find_members(content)
    require(next(iter(members), None) == "metadata", "does not begin with its metadata")
    headers = {name: parse_header(name, member) for name, member in members.items()}
    dtype, shape, text = headers.pop("metadata")
    require(dtype == np.uint8 and len(shape) == 1, "has metadata that is not text")
    metadata = parse_metadata(bytes(text[: MAX_METADATA_BYTES + 1]))
    arrays = {
        name: np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
        for name, (dtype, shape, data) in headers.items()
    }
    return arrays, metadata


def check_ends(first: bytes, last: bytes, size: int) -> None:
    """Check the beginning and the end of a file, before the rest of it is read.

    Args:
        first: its first bytes, at least 4 or all of them.
        last: its last bytes, at least those of the longest zip comment and the record before it.
        size: its number of bytes.

    Raises CheckpointError as `require` does; it reports what a file without a checksum is.
    """
    require(size > 0, "is empty")
    if last[-len(CHECKSUM_TAG) - CHECKSUM_DIGITS : -CHECKSUM_DIGITS] == CHECKSUM_TAG:
        find_directory(last, size)
        return require(first.startswith(b"PK\3\4"), "does not begin as an .npz")
    require(first.startswith(b"PK\3\4"), "is not an .npz")
    end = last.rfind(b"PK\5\6") + END_RECORD.size
    declared = int.from_bytes(last[end - 2 : end], "little")  # length of the comment
    require(
        end >= END_RECORD.size and end + declared == len(last),
        "is cut short: its end is missing",
    )
    raise CheckpointError("is an .npz, but not one that charrnn wrote")


def check_checksum(content: bytes) -> None:
    """Check the checksum at the end of an archive."""
    intact = checksum(memoryview(content)[:-CHECKSUM_DIGITS]) == content[-CHECKSUM_DIGITS:]
    require(intact, "is damaged: its content does not match its checksum")


def find_members(content: bytes) -> dict[str, memoryview]:
    """Return the members by name. Raises CheckpointError unless the layout is `serialise`'s."""
    view = memoryview(content)
    count, start, end = find_directory(content, len(content))
    members: dict[str, memoryview] = {}
    cursor, entry = 0, start  # where the next member and its directory entry begin
    for _ in range(count):
        require(entry + DIRECTORY_ENTRY.size <= end, "declares more members than it describes")
        fields = DIRECTORY_ENTRY.unpack_from(content, entry)
        _, _, _, flags, method, _, _, crc, _, size, length, *_, offset = fields
        filename = content[entry + DIRECTORY_ENTRY.size : entry + DIRECTORY_ENTRY.size + length]
        name, suffix = filename[:-4].decode("latin-1"), filename[-4:]
        where = bounded_repr(filename.decode("latin-1"), 40)
        well_named = suffix == b".npy" and MEMBER_NAME.fullmatch(name) is not None
        require(well_named, f"has a member with the forbidden name {where}")
        require(name not in members, f"has two members {where}")
        require(flags & 1 == 0, f"has an encrypted member, {where}")
        require(method == 0, f"has a compressed member, {where}")
        require(offset == cursor, f"has a gap or an overlap before {where}")

        member = Member(filename, size, crc, offset)
        body = offset + len(member.local_header())
        next_entry = entry + len(member.directory_entry())
        cursor = body + size
        require(cursor <= start, f"has a member that is longer than the rest, {where}")
        headers = (content[offset:body], content[entry:next_entry])
        agree = headers == (member.local_header(), member.directory_entry())
        require(agree, f"has descriptions of {where} that charrnn does not write")
        require(crc32(view[body:cursor]) == crc, f"has a wrong CRC for {where}")
        members[name], entry = view[body:cursor], next_entry
    require(cursor == start and entry == end, "has bytes that belong to no member")
    return members


def find_directory(last: bytes, size: int) -> tuple[int, int, int]:
    """Return the number of entries of the zip's directory, its start and its end.

    `last` are the last bytes of the archive, `size` is that of the whole.
    """
    behind = CHECKSUM_DIGITS + len(CHECKSUM_TAG) + END_RECORD.size
    end, record = size - behind, last[-behind : -CHECKSUM_DIGITS - len(CHECKSUM_TAG)]
    require(end >= 0, "has no zip directory")
    *_, count, length, start, _ = END_RECORD.unpack(record)
    require(count <= MAX_MEMBERS, f"declares {count:,} members, more than charrnn writes")
    in_place = record == end_record(count, length, start) and start + length == end
    require(in_place, "has a misplaced zip directory")
    return count, start, end


def parse_header(name: str, member: memoryview) -> Header:
    """Return the header of an .npy. Raises CheckpointError unless `serialise` could write it."""
    where = bounded_repr(name, 40)
    first = bytes(member[:8]) == b"\x93NUMPY\1\0"
    require(first, f"has a member that is no .npy of version 1.0, {where}")
    start = 10 + int.from_bytes(member[8:10], "little")
    require(start <= min(len(member), MAX_HEADER_BYTES), f"has too long a header for {where}")
    match = NPY_HEADER.fullmatch(bytes(member[10:start]))
    if match is None:
        raise CheckpointError(f"has a header that charrnn does not write, for {where}")
    require(match[1] in DTYPES, f"has an array of a type that charrnn does not write, {where}")
    require(match[2] == b"False", f"has an array in Fortran order, {where}")
    dtype, data = DTYPES[match[1]], member[start:]
    shape = tuple(int(length) for length in re.findall(rb"[0-9]+", match[3]))
    size = math.prod(shape) * dtype.itemsize
    require(size == len(data), f"has {len(data):,} bytes for another shape of {where}")
    # The size of an empty array does not limit its other axes.
    possible = math.prod(length or 1 for length in shape) * dtype.itemsize < 2**63
    require(possible and len(shape) <= MAX_AXES, f"has an impossible shape for {where}")
    if dtype == np.bool_:
        largest = np.frombuffer(data, np.uint8).max(initial=0)
        require(bool(largest <= 1), f"has a byte that is neither true nor false in {where}")
    return dtype, shape, data


def parse_metadata(text: bytes) -> dict[str, Any]:
    """Return the JSON object in `text`; refuse what is not strict JSON, too long or too deep."""
    require(len(text) <= MAX_METADATA_BYTES, f"has metadata over {MAX_METADATA_BYTES:,} bytes")
    try:
        metadata = parse_json(text.decode())
    except UnicodeDecodeError as error:
        raise CheckpointError("has metadata that is not UTF-8") from error
    except ValueError as error:
        raise CheckpointError(f"has metadata that {error}") from error
    if not isinstance(metadata, dict):
        raise CheckpointError("has metadata that is not a JSON object")
    return metadata


def bounded_repr(text: Path | str, width: int = 70) -> str:
    """Return the representation of `text` on one line; of a long one the last `width` characters.

    Control characters are escaped.

    Example:
        >>> bounded_repr("a\\nb"), bounded_repr("a long name", 8)
        ("'a\\\\nb'", "...name'")
    """
    quoted = repr(str(text))
    return quoted if len(quoted) <= width else "..." + quoted[3 - width :]
