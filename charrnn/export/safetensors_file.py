"""Safetensors files: named tensors and metadata of texts, as bytes.

The format is an 8-byte length, a JSON header and the tensors; the package `safetensors` writes and
verifies it. Tensors of F64, F32, F16 and BF16 are read.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charrnn.checkpointing.bounded_json import parse_json
from charrnn.errors import CheckpointError
from charrnn.export.optional import import_package
from charrnn.limits import format_value
from charrnn.types import Array

MAX_HEADER_BYTES = 2**24
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def write_tensors(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file.

    Args:
        tensors: arrays by name, float16, float32 or float64.
        metadata: texts by name.

    Raises `UsageError` if the package `safetensors` is not installed.

    Example:
        >>> content = write_tensors({"w": np.ones(3, np.float32)}, {"cell": "gru"})
        >>> tensors, metadata = read_tensors(content)
        >>> tensors["w"], metadata
        (array([1., 1., 1.], dtype=float32), {'cell': 'gru'})
    """
    content: bytes = import_package("safetensors.numpy").save(dict(tensors), dict(metadata))
    return content


def read_tensors(content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Args:
        content: the bytes of the file, which are not trusted.

    Raises `CheckpointError` if they are no such file or hold tensors that are empty or no
    floating-point numbers, and `UsageError` if the package `safetensors` is not installed.
    """
    package = import_package("safetensors")
    try:
        found = package.deserialize(content)
    except package.SafetensorError as error:
        raise CheckpointError("is no safetensors file, or is damaged") from error
    return {name: decode(name, tensor) for name, tensor in found}, read_metadata(content)


def decode(name: str, tensor: Mapping[str, Any]) -> Array:
    """Return a tensor as an array; one of BF16 as float32."""
    kind = tensor["dtype"]
    if 0 in tensor["shape"]:  # its other axes may be longer than an array can have
        raise CheckpointError(f"has an empty tensor {format_value(name)}")
    if kind == "BF16":
        halves = np.frombuffer(tensor["data"], "<u2").astype("<u4")
        return (halves << 16).view("<f4").reshape(tensor["shape"])
    if kind not in DTYPES:
        raise CheckpointError(f"has a tensor {format_value(name)} of the type {kind}")
    return np.frombuffer(tensor["data"], DTYPES[kind]).reshape(tensor["shape"])


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the texts in the header of a file that `safetensors` has verified."""
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"has a header over {MAX_HEADER_BYTES:,} bytes")
    try:
        header = parse_json(content[8 : 8 + length].decode())
    except ValueError as error:
        raise CheckpointError("has a header that is no strict JSON") from error
    metadata = header.get("__metadata__") or {}
    return {name: text for name, text in metadata.items() if isinstance(text, str)}
