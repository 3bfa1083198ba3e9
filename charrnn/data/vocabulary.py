"""Vocabulary: the mapping between the characters of a text and ids, stored with the model.

An id is the index of a character in `Vocabulary.characters`. A new vocabulary is sorted by code
point; a stored one keeps its order, which the rows of the model's weights follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from charrnn.data.characters import MAX_NAMED, byte_name, enumerated, named
from charrnn.data.typed_text import typed
from charrnn.errors import TextError, UsageError
from charrnn.types import JSON, Ids, smallest_id_type

CHUNK_CHARS = 2**18
"""Characters that are encoded or decoded at a time, which limits temporary memory."""

CodePoints: TypeAlias = NDArray[np.unsignedinteger[Any]]

CodeCounts: TypeAlias = NDArray[np.intp]
"""How often each code point occurs, from 0 to the highest that does."""


@dataclass(frozen=True)
class Vocabulary:
    """The characters a model knows, each once.

    With `as_bytes` they stand for bytes, U+0000 to U+00FF. Raises ValueError for characters that
    cannot be a vocabulary: none, one twice, or half of a surrogate pair.
    """

    characters: str
    as_bytes: bool = False

    format_version: ClassVar[int] = 1
    metadata_key: ClassVar[str] = "vocabulary"
    size_advice: ClassVar[str] = "--bytes or a larger --min-count"
    of_pairs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.characters:
            raise ValueError("a vocabulary needs at least one character")
        if len(set(self.characters)) < len(self.characters):
            raise ValueError("a vocabulary has each character once, and this one repeats some")
        if any("\ud800" <= character <= "\udfff" for character in self.characters):
            raise ValueError("a vocabulary holds characters, not halves of surrogate pairs")
        if self.as_bytes and max(self.characters) > "\xff":
            raise ValueError("a vocabulary of bytes holds nothing beyond U+00FF")

    @classmethod
    def from_text(cls, text: str, min_count: int = 1, as_bytes: bool = False) -> "Vocabulary":
        """Take the characters that occur at least `min_count` times in `text`.

        The rarer ones are what `unknown(text)` then names, and `encode(text, "skip")` drops.
        """
        return cls.from_counts(count(text), min_count, as_bytes)

    @classmethod
    def from_counts(
        cls, counts: CodeCounts, min_count: int = 1, as_bytes: bool = False
    ) -> "Vocabulary":
        """Take the code points that were counted at least `min_count` times."""
        if min_count < 1:
            raise UsageError(
                f"--min-count {min_count} is not a count; try 1 to keep all characters"
            )
        kept = np.flatnonzero(counts >= min_count)
        if len(kept) < min(2, min_count):
            raise TextError(
                f"the text has too few characters that occur {min_count} times or more; "
                "try a longer text or a smaller --min-count"
            )
        characters = _characters(kept)
        if any("\ud800" <= character <= "\udfff" for character in characters):
            raise TextError("the text holds halves of surrogate pairs; try another --encoding")
        return cls(characters, as_bytes)

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return len(character) == 1 and character in self.characters

    @property
    def inputs(self) -> int:
        """Number of input symbols of a network: V."""
        return len(self)

    @property
    def outputs(self) -> int:
        """Number of output symbols of a network: V."""
        return len(self)

    @property
    def id_type(self) -> np.dtype[Any]:
        """The type of an id, as small as the vocabulary allows."""
        return smallest_id_type(len(self))

    def encode(self, text: str, on_unknown: Literal["error", "skip"] = "error") -> Ids:
        """Return the ids (N,) of a text. Unknown characters raise TextError, or are skipped."""
        ids = np.empty(len(text), self.id_type)  # (N,)
        end = 0
        for _, codes in _code_points(text):
            found = self._look_up(codes)
            known = found < len(self)
            if not known.all():
                if on_unknown == "error":
                    raise TextError(self.lacking(text), "a text without", "--on-unknown skip")
                found = found[known]
            ids[end : end + len(found)] = found
            end += len(found)
        return ids[:end]

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """Return the characters of ids (N,). Raises ValueError for an id outside the vocabulary."""
        ids = np.asarray(ids)
        if not ids.size:
            return ""
        if ids.dtype.kind not in "ui" or ids.min() < 0 or ids.max() >= len(self):
            raise ValueError(f"an id is not within 0 and {len(self) - 1}")
        chunks = np.split(ids, range(CHUNK_CHARS, len(ids), CHUNK_CHARS))
        return "".join(_characters(self._code_points[chunk]) for chunk in chunks)

    def decode_bytes(self, ids: Ids | Sequence[int]) -> bytes:
        """Ids (N,) to the bytes they stand for: themselves `as_bytes`, else in UTF-8."""
        return self.decode(ids).encode("latin-1" if self.as_bytes else "utf-8")

    def typed_prompt(self, text: str, normalise: str | None) -> tuple[str, Ids]:
        """Return a typed text in the characters of the vocabulary, and its ids."""
        spelled = typed(text, self, normalise)
        return spelled, self.encode(spelled)

    def describe(self) -> dict[str, JSON]:
        """Return size, characters, and whether they stand for bytes."""
        return {"size": len(self), "characters": self.characters, "as_bytes": self.as_bytes}

    def name_of(self, output: int) -> str:
        """Return the character of an id."""
        return self.characters[output]

    def to_model_characters(self, text: str) -> str:
        """Return a typed text in the characters of this vocabulary.

        `as_bytes`, that is one character for each byte of its UTF-8, where bytes of an argument
        that Python could not decode are those bytes again; else it stays as it is.
        """
        if not self.as_bytes:
            return text
        try:
            return text.encode("utf-8", "surrogateescape").decode("latin-1")
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogatepass").decode("latin-1")

    def unknown(self, text: str) -> str:
        """The characters of `text` that are not in the vocabulary, each once and sorted."""
        return self.unknown_of(count(text))

    def unknown_of(self, counts: CodeCounts) -> str:
        """The characters that were counted and are not in the vocabulary, sorted."""
        missing = counts.copy()
        missing[self._code_points[self._code_points < len(missing)]] = 0
        return _characters(np.flatnonzero(missing))

    def named(self, characters: str) -> str:
        """Name the first of some characters, or bytes, for a message."""
        name = byte_name if self.as_bytes else named
        return enumerated(map(name, characters[:MAX_NAMED]), len(characters))

    def lacking(self, text: str) -> str:
        """Say which characters of `text` are unknown, and where the first one is; "" if none."""
        for start, codes in _code_points(text):
            known = self._look_up(codes) < len(self)
            if not known.all():
                position = start + int(np.argmin(known))
                names = self.named(self.unknown(text))
                return f"the vocabulary lacks {names}, first at position {position:,}"
        return ""

    @cached_property
    def _code_points(self) -> CodePoints:
        """The code point of each id."""
        return np.frombuffer(self.characters.encode("utf-32-le"), "<u4")  # (V,)

    @cached_property
    def _id_of(self) -> Ids:
        """The id of each code point; V for unknown ones, and in the last place for all beyond."""
        places = int(self._code_points.max()) + 1
        table = np.full(places + 1, len(self), smallest_id_type(len(self) + 1))
        table[self._code_points] = np.arange(len(self))
        return table

    def _look_up(self, codes: CodePoints) -> Ids:
        found: Ids = self._id_of.take(codes, mode="clip")
        return found


def _code_points(text: str) -> Iterator[tuple[int, CodePoints]]:
    """Yield `text` as code points chunk by chunk, each with its position; a byte each if it can."""
    for start in range(0, len(text), CHUNK_CHARS):
        chunk = text[start : start + CHUNK_CHARS]
        try:
            yield start, np.frombuffer(chunk.encode("latin-1"), np.uint8)
        except UnicodeEncodeError:
            yield start, np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), "<u4")


def count(text: str) -> CodeCounts:
    """Count each code point of `text`, from 0 to the highest that occurs."""
    return add_counts(np.zeros(0x100, np.intp), text)


def add_counts(counts: CodeCounts, text: str) -> CodeCounts:
    """Return counts of code points with those of `text` added."""
    for _, codes in _code_points(text):
        more = np.bincount(codes, minlength=len(counts))
        more[: len(counts)] += counts
        counts = more
    return counts


def _characters(codes: NDArray[np.integer[Any]]) -> str:
    """Code points to characters."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
