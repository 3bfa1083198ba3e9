"""Vocabulary files: the characters of a model in the order of their ids, as JSON.

Three forms are read: a list `["a", "b"]` or a text `"ab"` in the order of the ids, an object of ids
by character `{"a": 0, "b": 1}`, and one of characters by id `{"0": "a", "1": "b"}`.
"""

import json
from collections.abc import Iterable
from typing import Any

from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError


def vocabulary_json(characters: Iterable[str]) -> str:
    """Return characters in the order of their ids as a JSON list in ASCII.

    Example:
        >>> vocabulary_json("aé")
        '["a", "\\\\u00e9"]'
    """
    return json.dumps(list(characters))


def parse_vocabulary(text: str, *, as_bytes: bool = False) -> Vocabulary:
    """Return the vocabulary in the text of a file.

    Args:
        text: JSON in one of the three forms.
        as_bytes: whether its characters, U+0000 to U+00FF, stand for bytes.

    Raises `CheckpointError` for anything else.

    Example:
        >>> parse_vocabulary('{"b": 1, "a": 0}').characters
        'ab'
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("the vocabulary is not JSON") from error
    characters = in_order(value)
    if not all(isinstance(character, str) and len(character) == 1 for character in characters):
        raise CheckpointError("the vocabulary holds something that is not a single character")
    try:
        return Vocabulary("".join(characters), as_bytes)
    except ValueError as error:
        raise CheckpointError(f"the vocabulary: {error}") from error


def in_order(value: Any) -> list[Any]:
    """Return the characters of a JSON value in the order of their ids."""
    if isinstance(value, str | list):
        return list(value)
    if not isinstance(value, dict):
        raise CheckpointError("the vocabulary is no list, text or object")
    items: list[tuple[Any, Any]] = [(number, character) for character, number in value.items()]
    if not all(type(number) is int for number, _ in items):
        items = [(id_of(key), character) for key, character in value.items()]
    if sorted(number for number, _ in items) != list(range(len(items))):
        raise CheckpointError(f"the vocabulary does not number its entries 0 to {len(items) - 1}")
    return [character for _, character in sorted(items, key=lambda item: item[0])]


def id_of(key: str) -> int:
    """Return the id that a key is, or -1."""
    return int(key) if key.isdecimal() and len(key) < 10 else -1
