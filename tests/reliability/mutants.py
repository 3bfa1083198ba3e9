"""Checkpoints that another person has altered, drawn by seeds: most with a checksum that is right.

Whoever alters a file can compute its checksum, so most mutants change what the checksum protects:
values of the metadata, and names, types, shapes and numbers of the arrays.
"""

import copy
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zlib import crc32

import numpy as np

from charrnn.checkpointing import npz_format as npz
from charrnn.checkpointing.checkpoint import save_checkpoint
from charrnn.checkpointing.npz_file import read_archive
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.layouts import PairVocabulary, vocabulary_of_pairs
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.data.vocabulary import Vocabulary
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.dataset import Dataset
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.snapshot import snapshot
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

Arrays = dict[str, Array]
PAIRS = [Pair("ab", "x", ""), Pair("ba", "y", ""), Pair("aab", "x", ""), Pair("bba", "y", "")]


def write_checkpoint(path: Path, cell: str, *, pairs: bool = False, resumable: bool = True) -> None:
    """Write the checkpoint of a run that has taken two of ten steps."""
    symbols: Vocabulary | PairVocabulary
    dataset: Dataset
    if pairs:
        symbols = vocabulary_of_pairs("many-to-one", [(one.input, one.output) for one in PAIRS])
        examples = build_examples(symbols, PAIRS)
        dataset = PairDataset(symbols, examples, examples)
    else:
        symbols = Vocabulary("ab\n")
        ids = np.arange(200, dtype=np.uint8) % 3
        dataset = TextDataset(ids, ids[:40])
    config = ModelConfig(symbols.inputs, symbols.outputs, cell=cell, hidden=2)
    run = TrainingConfig(10, optimiser="sgd", lr=0.01, seq_length=4, batch_size=2, warmup_steps=0)
    initial = initialise(config, np.random.default_rng(0))
    record = CorpusRecord("text", "ab" * 32, 200, 0.1)
    with Trainer(config, run, dataset, initial) as trainer:
        trainer.step()
        trainer.step()
        trainer.evaluate()
        save_checkpoint(path, snapshot(trainer, symbols, record, resumable=resumable))


def seal(arrays: Arrays, text: bytes, known: Mapping[int, bytes] = MappingProxyType({})) -> bytes:
    """Return an archive of any metadata text, with a checksum that is right.

    `known` has the serialised form of some arrays by their identity.
    """
    archive, directory = bytearray(), bytearray()
    for name, array in {"metadata": np.frombuffer(text, np.uint8), **arrays}.items():
        content = known.get(id(array)) or npz.serialise_array(name, array)
        member = npz.Member(f"{name}.npy".encode(), len(content), crc32(content), len(archive))
        archive += member.local_header() + content
        directory += member.directory_entry()
    end = npz.end_record(len(arrays) + 1, len(directory), len(archive))
    archive += directory + end + npz.CHECKSUM_TAG
    return bytes(archive + npz.checksum(archive))


STRINGS = (
    *(
        "",
        "\0",
        "\x1b[2J\x1b]0;x\x07",
        "\x9b31m",
        "a\nb",
        "\r",
        "\u202e",
        "\u2028",
        "\ud800",
        "\x7f",
    ),
    *("../../etc/passwd", "/dev/zero", "os.system", "__import__", "%s%n", "{0.__class__}"),
    *("x" * 300, "é" * 5000, "\N{PILE OF POO}" * 100, "[bold]", "utf-8", "rot13", "idna", "numba"),
    *("normal:1e400", "uniform:-1", "normal:nan", "france:20", "france:9999999999", "dates"),
)
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 255, 256, 2**31, 2**32, 2**53 + 1, 2**63, 10**15, 10**16, 10**39, -(10**39)),
    *(10**40, 10**400, 0.0, -0.0, 0.5, 1.0, 1e-320, 1e-30, 1e30, 1e308, -1e308, 3.5e38),
)
ODD: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": 0}, {"\x1b[2J": "\x1b[2J"})
RAW = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"[" * 60 + b"]" * 60,
    b"[" * 9_000,
    b'{"a":1,"a":2}',
    b"1_0",
)
"""Texts that are no JSON, or JSON that is refused."""

HOLE = "\N{LATIN SMALL LETTER TURNED A}HOLE"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += places(value[key], (*path, key))
    return found


def hostile_value(draw: random.Random, old: Any) -> Any:
    """Return another value for a place that has `old`."""
    if type(old) in (int, float) and draw.random() < 0.4:
        half = old + 0.5 if abs(old) < 2**1000 else -1.5  # an int beyond the range of a float
        return draw.choice((old + 1, old - 1, -old, old * 2, half))
    if isinstance(old, str) and draw.random() < 0.3:
        at = draw.randrange(len(old) + 1)
        return old[:at] + draw.choice(STRINGS) + old[at:]
    return copy.deepcopy(draw.choice(draw.choice((STRINGS, NUMBERS, NUMBERS, ODD))))


def alter_metadata(metadata: dict[str, Any], draw: random.Random) -> bytes:
    """Return the metadata as JSON, with one to three values, keys or lengths altered."""
    metadata = copy.deepcopy(metadata)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        *keys, last = draw.choice(places(metadata))
        inner: Any = metadata
        for key in keys:
            inner = inner[key]
        what = draw.random()
        if what < 0.75 or isinstance(inner, list):
            inner[last] = HOLE if what < 0.05 else hostile_value(draw, inner[last])
        elif what < 0.85:
            del inner[last]
        elif what < 0.95:
            inner[draw.choice(STRINGS)] = inner.pop(last)
        else:
            inner[draw.choice((*STRINGS, "x", "rollback", "kernel"))] = hostile_value(draw, None)
    text = json.dumps(metadata).encode()
    return text.replace(json.dumps(HOLE).encode(), draw.choice(RAW))


def alter_array(arrays: Arrays, draw: random.Random) -> Arrays:
    """Return the arrays, with one renamed, left out, added, or of other numbers or shape."""
    arrays = dict(arrays)
    name = draw.choice(list(arrays))
    array = arrays.pop(name)
    changes: tuple[Callable[[], Array], ...] = (
        lambda: array.reshape(-1),
        lambda: array[..., None],
        lambda: np.ascontiguousarray(array.T),
        lambda: array[:0],
        lambda: np.zeros((*array.shape, 0), np.float32),
        lambda: array.astype(draw.choice(("<f8", "<i8", "|u1", "<u8", "|b1"))),
        lambda: np.full_like(array, draw.choice((np.nan, np.inf, 3e38, -3e38, 1e-45, 0))),
        lambda: np.resize(array, tuple(draw.randrange(4) for _ in range(draw.randrange(5)))),
    )
    what = draw.random()
    if what < 0.6:
        arrays[name] = draw.choice(changes)()
    elif what < 0.8:
        arrays[draw.choice(("x", "layers.9.W_xh", "training.x", "W" * 100, f"{name}.x"))] = array
    elif what < 0.9:
        arrays |= {name: array, f"{name}_2": array}
    return arrays


def injure(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with one to three flips, insertions, deletions or copies."""
    result = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        at, source = draw.randrange(len(result)), draw.randrange(len(content))
        end = min(len(result), at + draw.choice((1, 1, 2, 4, 64, 1_000)))
        piece = content[source : source + end - at]
        filler = draw.choice((b"\0", b"\xff", b"[", b"9"))
        flipped = bytes([result[at] ^ 1 << draw.randrange(8)]) + bytes(result[at + 1 : end])
        result[at:end] = draw.choice((b"", piece, filler * (end - at), flipped, flipped))
    return bytes(result)


class Mutants:
    """Makes mutants of some checkpoints.

    Args:
        paths: the checkpoints.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.contents = [path.read_bytes() for path in paths]
        self.archives = [read_archive(path) for path in paths]
        self.known = {
            id(array): npz.serialise_array(name, array)
            for arrays, _ in self.archives
            for name, array in arrays.items()
        }

    def make(self, seed: int) -> tuple[str, bytes]:
        """Return the kind and the content of the mutant of a seed; `plain` keeps the checksum."""
        draw = random.Random(seed)
        number = draw.randrange(len(self.contents))
        (arrays, metadata), content = self.archives[number], self.contents[number]
        kind = draw.choices(
            ("metadata", "array", "both", "spliced", "signed", "plain"), (40, 20, 10, 10, 10, 10)
        )[0]
        text = json.dumps(metadata).encode()
        if kind == "metadata":
            return kind, seal(arrays, alter_metadata(metadata, draw), self.known)
        if kind == "array":
            return kind, seal(alter_array(arrays, draw), text, self.known)
        if kind == "both":
            return kind, seal(alter_array(arrays, draw), alter_metadata(metadata, draw), self.known)
        if kind == "spliced":
            other, other_metadata = draw.choice(self.archives)
            taken = {name: array for name, array in other.items() if draw.random() < 0.5}
            mixed = {
                key: draw.choice((metadata, other_metadata)).get(key, value)
                for key, value in metadata.items()
            }
            return kind, seal(arrays | taken, json.dumps(mixed).encode(), self.known)
        injured = injure(content[: -npz.CHECKSUM_DIGITS], draw)
        if kind == "signed":
            return kind, injured + npz.checksum(bytearray(injured))
        whole = injure(content, draw)
        return kind, whole if whole != content else content[:-1]
