"""The five layouts: sequences in the input, in the output, or in both.

    layout         read                         guessed
    one-to-one     x                            y
    one-to-many    x  y₁ … yₙ                   y₁ … yₙ END
    many-to-one    x₁ … xₙ                      y, at xₙ
    many-to-many   x₁ … xₙ GO y₁ … yₘ           y₁ … yₘ END, from GO on
    synced         x₁ … xₙ                      y₁ … yₙ

A layout is one function that arranges an example; the network knows nothing of it. What is read and
what is guessed are numbered apart: sources, GO if there is one, and answers where they are fed
back; answers, and END where their length is open. A one-sided "one" is a whole field, a label; a
"many" is the characters of a field.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from charrnn.data.characters import MAX_NAMED, enumerated, quoted, repaired
from charrnn.data.decoding import MARK
from charrnn.data.typed_text import normal_form
from charrnn.errors import TextError, UsageError
from charrnn.types import Array, Ids, smallest_id_type


class Example(NamedTuple):
    """One example, laid out along time: (T,) each. A position that is not scored has no target."""

    inputs: Ids
    targets: Ids
    scored: Array  # bool


@dataclass(frozen=True)
class Layout:
    """Which sides are sequences, and how an example is arranged.

    With `feeds_back` an answer of open length is read symbol by symbol while it is guessed.
    """

    name: str
    meaning: str
    source_is_text: bool
    answer_is_text: bool
    feeds_back: bool
    arrange: "Callable[[Pairing, Ids, Ids], Example]"


@dataclass(frozen=True)
class Pairing:
    """A layout with the symbols of both sides; `UsageError` if they cannot be.

    `longest` is the length of the longest answer it has seen, in symbols.
    """

    layout: str
    sources: tuple[str, ...]
    answers: tuple[str, ...]
    longest: int = 1

    def __post_init__(self) -> None:
        layout_called(self.layout)
        sides = (("sources", self.sources), ("answers", self.answers))
        texts = (self.kind.source_is_text, self.kind.answer_is_text)
        for (side, symbols), is_text in zip(sides, texts, strict=True):
            if not symbols or len(set(symbols)) < len(symbols) or "" in symbols:
                raise UsageError(f"the {side} must be different symbols, and at least one")
            if is_text and any(len(symbol) != 1 for symbol in symbols):
                raise UsageError(f"the {side} must be single characters")
        if self.longest < 1:
            raise UsageError("the longest answer must have at least one symbol")

    @property
    def kind(self) -> Layout:
        """The layout itself."""
        return LAYOUTS[self.layout]

    @property
    def go(self) -> int | None:
        """The id that is read where reading ends and writing begins, in `many-to-many`."""
        between = self.kind.feeds_back and self.kind.source_is_text
        return len(self.sources) if between else None

    @property
    def inputs(self) -> int:
        """How many symbols can be read."""
        fed_back = len(self.answers) if self.kind.feeds_back else 0
        return len(self.sources) + (self.go is not None) + fed_back

    @property
    def outputs(self) -> int:
        """How many symbols can be guessed."""
        return len(self.answers) + self.kind.feeds_back

    @property
    def end(self) -> int:
        """The id that is guessed where an answer of open length ends."""
        return len(self.answers)

    def source_ids(self, field: str) -> Ids:
        """Number the symbols of an input (n,); `TextError` for one never seen in training."""
        symbols = field if self.kind.source_is_text else (field,)
        return numbered(symbols, self._source_id, "reads")

    def answer_ids(self, field: str) -> Ids:
        """Number the symbols of an output (n,); `TextError` for one never seen in training."""
        symbols = field if self.kind.answer_is_text else (field,)
        return numbered(symbols, self._answer_id, "answers")

    def fed_back(self, answer: Ids) -> Ids:
        """Return as what an answer's symbols are read."""
        return answer.astype(np.int64) + (self.inputs - len(self.answers))

    def typed(self, field: str, normalise: str | None = None) -> str:
        """Return an input that a person typed as those of the model are written.

        Args:
            field: what was typed, or a line of standard input.
            normalise: the normal form of the model's pairs: nfc, nfd, nfkc or nfkd.

        Returns:
            The input without a leading byte order mark, unless the model knows it.
        """
        field = normal_form(repaired(field), normalise)
        knows_mark = any(MARK in source for source in self.sources)
        return field if knows_mark else field.removeprefix(MARK)

    def prompt(self, field: str) -> Ids:
        """Return what is read up to the first guess (of `synced`: all of it)."""
        ids = self.source_ids(field)
        return ids if self.go is None else np.append(ids, self.go)

    def example(self, source: str, answer: str) -> Example:
        """Arrange a pair; `TextError` for symbols never seen, or lengths that do not fit."""
        return self.kind.arrange(self, self.source_ids(source), self.answer_ids(answer))

    def spell(self, ids: Iterable[int]) -> str:
        """Write out an answer, up to its END."""
        symbols = []
        for id_ in ids:
            if id_ == self.end:
                break
            symbols.append(self.answers[id_])
        return "".join(symbols)

    @cached_property
    def _source_id(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.sources)}

    @cached_property
    def _answer_id(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.answers)}


def one_to_one(pairing: Pairing, x: Ids, y: Ids) -> Example:
    """A symbol to a symbol: no recurrence is used."""
    return Example(x, y, np.ones(1, bool))


def one_to_many(pairing: Pairing, x: Ids, y: Ids) -> Example:
    """A label, and then the text that follows from it, as a language model writes it."""
    inputs = np.concatenate([x, pairing.fed_back(y)])
    return Example(inputs, np.append(y, pairing.end), np.ones(len(inputs), bool))


def many_to_one(pairing: Pairing, x: Ids, y: Ids) -> Example:
    """A text to a label, guessed from the last state."""
    scored = np.arange(len(x)) == len(x) - 1
    return Example(x, np.where(scored, y, 0), scored)


def many_to_many(pairing: Pairing, x: Ids, y: Ids) -> Example:
    """A text to another text; the state at GO is the only bridge (Sutskever et al. 2014)."""
    inputs = np.concatenate([x, [pairing.inputs - len(pairing.answers) - 1], pairing.fed_back(y)])
    targets = np.concatenate([np.zeros(len(x), np.int64), y, [pairing.end]])
    return Example(inputs, targets, np.arange(len(inputs)) >= len(x))


def synced(pairing: Pairing, x: Ids, y: Ids) -> Example:
    """A symbol for each character, guessed as soon as that character is read."""
    if len(x) != len(y):
        raise TextError(
            f"{len(x)} characters but {len(y)} answers, and synced wants one for each",
            "--layout many-to-many",
        )
    return Example(x, y, np.ones(len(x), bool))


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("one-to-one", "a symbol to a symbol", False, False, False, one_to_one),
        Layout("one-to-many", "a label to a text", False, True, True, one_to_many),
        Layout("many-to-one", "a text to a label", True, False, False, many_to_one),
        Layout("many-to-many", "a text to another text", True, True, True, many_to_many),
        Layout("synced", "a symbol for each character", True, True, False, synced),
    )
}


def layout_called(name: str) -> Layout:
    """Return the layout of this name; `UsageError` if there is none."""
    if name not in LAYOUTS:
        raise UsageError(f"no layout called {quoted(name[:40])}; try {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def pairing_of(layout: str, pairs: Iterable[tuple[str, str]]) -> Pairing:
    """Number the symbols of both sides, sorted; `UsageError` for an unknown layout."""
    kind = layout_called(layout)
    sources: set[str] = set()
    answers: set[str] = set()
    longest = 1
    for source, answer in pairs:
        sources.update(source if kind.source_is_text else (source,))
        answers.update(answer if kind.answer_is_text else (answer,))
        longest = max(longest, len(answer) if kind.answer_is_text else 1)
    return Pairing(layout, tuple(sorted(sources)), tuple(sorted(answers)), longest)


def numbered(symbols: Iterable[str], ids: Mapping[str, int], verb: str) -> Ids:
    """Return the ids (n,) of symbols; `TextError` names those that are unknown."""
    try:
        found = [ids[symbol] for symbol in symbols]
    except KeyError:
        unknown = sorted({symbol for symbol in symbols if symbol not in ids})
        names = enumerated((quoted(one[:40]) for one in unknown[:MAX_NAMED]), len(unknown))
        raise TextError(
            f"{names} never occurred in what the model {verb}",
            "one of its own symbols, which charrnn info lists",
        ) from None
    return np.array(found, smallest_id_type(len(ids)))
