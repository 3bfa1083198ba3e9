"""Layouts: sequences in the input, in the output, or in both.

    layout         read                         predicted
    one-to-one     x                            y
    one-to-many    x  y₁ … yₙ                   y₁ … yₙ END
    many-to-one    x₁ … xₙ                      y, at xₙ
    many-to-many   x₁ … xₙ GO y₁ … yₘ           y₁ … yₘ END, from GO on
    synced         x₁ … xₙ                      y₁ … yₙ

A layout is one function that builds an example; the network does not depend on it. Symbols that are
read are numbered separately from those that are predicted: sources, GO if there is one, and answers
if they are fed back; answers, and END if their length is open. A "one" is a whole field, a label; a
"many" is the characters of a field.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from charrnn.data.characters import MAX_NAMED, enumerated, quoted, repaired
from charrnn.data.decoding import MARK
from charrnn.data.typed_text import normal_form
from charrnn.errors import TextError, UsageError
from charrnn.types import JSON, Array, Ids, smallest_id_type


class Example(NamedTuple):
    """One example along time, (T,) each; a position outside the mask has no target."""

    inputs: Ids
    targets: Ids
    target_mask: Array  # bool


@dataclass(frozen=True)
class Layout:
    """A layout: which sides are sequences, and how an example is built.

    What other modules need to know of a layout follows from these fields, so that a new one is a
    function and a `Layout` in `LAYOUTS`.
    """

    name: str
    """Name for `--layout`, stored in checkpoints."""
    meaning: str
    """What is mapped to what, for the help."""
    source_is_text: bool
    """Whether an input is a sequence of characters, not one label."""
    answer_is_text: bool
    """Whether an answer is a sequence of symbols, not one label."""
    feeds_back: bool
    """Whether an answer has an open length: it is read symbol by symbol while it is predicted."""
    build_example: "Callable[[PairVocabulary, Ids, Ids], Example]"
    """Lays out the ids of an input and of its answer along time."""
    predicts_while_reading: bool = False
    """Whether the first prediction is made at the first input, not at the last one."""

    @property
    def is_table(self) -> bool:
        """Whether labels are mapped to labels: no unseen input can be answered."""
        return not self.source_is_text and not self.answer_is_text

    @property
    def classifies(self) -> bool:
        """Whether a text is mapped to a label, so that there is a confusion matrix."""
        return self.source_is_text and not self.answer_is_text

    @property
    def is_sampled(self) -> bool:
        """Whether a label is mapped to texts: answers are drawn, none is right or wrong."""
        return self.answer_is_text and not self.source_is_text

    @property
    def is_searched(self) -> bool:
        """Whether an answer of open length is searched for, greedily or by beam."""
        return self.feeds_back and not self.is_sampled

    @property
    def backward_use(self) -> str | None:
        """How cells that read an input from its end are used (`charrnn.nn.bidirectional`).

        None where there is no input of several symbols that is known before the first prediction.
        """
        if not self.source_is_text:
            return None
        if self.feeds_back:
            return "context"
        return "each" if self.answer_is_text else "last"

    @property
    def label_side(self) -> int | None:
        """Which field of a pair is a label beside a text: 0, 1, or None."""
        return 1 if self.classifies else 0 if self.is_sampled else None


@dataclass(frozen=True)
class PairVocabulary:
    """The symbols of both sides of pairs, and their layout.

    Args:
        layout: the name of a layout in `LAYOUTS`.
        sources: the symbols of inputs: characters, or whole labels.
        answers: the symbols of answers.
        longest: symbols of the longest answer of the training pairs.
        unknown: the one of `sources` as which a character is read that is not among them; None: an
            input with such a character is refused.

    Raises:
        UsageError: for an unknown layout, or symbols that are equal, empty or too long for it.

    Example:
        >>> pairing = PairVocabulary("many-to-one", ("a", "b", "�"), ("x", "y"), unknown="�")
        >>> pairing.source_ids("abc")
        array([0, 1, 2], dtype=uint8)
    """

    layout: str
    sources: tuple[str, ...]
    answers: tuple[str, ...]
    longest: int = 1
    unknown: str | None = None

    format_version: ClassVar[int] = 2
    metadata_key: ClassVar[str] = "pairs"
    size_advice: ClassVar[str] = "a --layout that reads characters"
    of_pairs: ClassVar[bool] = True
    as_bytes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        layout_called(self.layout)
        sides = (("sources", self.sources), ("answers", self.answers))
        texts = (self.layout_spec.source_is_text, self.layout_spec.answer_is_text)
        for (side, symbols), is_text in zip(sides, texts, strict=True):
            if not symbols or len(set(symbols)) < len(symbols) or "" in symbols:
                raise UsageError(f"the {side} must be different symbols, and at least one")
            if is_text and any(len(symbol) != 1 for symbol in symbols):
                raise UsageError(f"the {side} must be single characters")
        if self.longest < 1:
            raise UsageError("the longest answer must have at least one symbol")
        if self.unknown is not None and not (texts[0] and self.unknown in self.sources):
            raise UsageError("the unknown symbol must be one of the characters of inputs")

    @property
    def layout_spec(self) -> Layout:
        """The layout, with what follows from it."""
        return LAYOUTS[self.layout]

    @property
    def go_id(self) -> int | None:
        """The id that is read between an input and an answer of open length; None without one."""
        between = self.layout_spec.feeds_back and self.layout_spec.source_is_text
        return len(self.sources) if between else None

    @property
    def inputs(self) -> int:
        """Number of symbols that can be read."""
        fed_back = len(self.answers) if self.layout_spec.feeds_back else 0
        return len(self.sources) + (self.go_id is not None) + fed_back

    @property
    def outputs(self) -> int:
        """Number of symbols that can be predicted."""
        return len(self.answers) + self.layout_spec.feeds_back

    @property
    def end_id(self) -> int:
        """The id that is predicted at the end of an answer of open length."""
        return len(self.answers)

    def source_ids(self, field: str) -> Ids:
        """Number the symbols of an input (n,); `TextError` for one that cannot be read."""
        symbols: Iterable[str] = field if self.layout_spec.source_is_text else (field,)
        if self.unknown is not None:
            symbols = [one if one in self._source_id else self.unknown for one in symbols]
        return symbol_ids(symbols, self._source_id, "reads")

    def has_unknown(self, text: str) -> bool:
        """Return whether a text has characters that are read as the unknown symbol."""
        return self.unknown is not None and not set(text) <= self._source_id.keys()

    def answer_ids(self, field: str) -> Ids:
        """Number the symbols of an output (n,); `TextError` for one never seen in training."""
        symbols = field if self.layout_spec.answer_is_text else (field,)
        return symbol_ids(symbols, self._answer_id, "answers")

    def fed_back(self, answer: Ids) -> Ids:
        """Return the input ids of the symbols of an answer that is fed back."""
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
        return field if self._reads_marks else field.removeprefix(MARK)

    def prompt(self, field: str) -> Ids:
        """Return the ids read before an answer: the input, and GO if there is one."""
        ids = self.source_ids(field)
        return ids if self.go_id is None else np.append(ids, self.go_id)

    def typed_prompt(self, text: str, normalise: str | None) -> tuple[str, Ids]:
        """Return a typed input as the model reads it, and the ids before its answer.

        Raises `UsageError` if inputs are labels, and `TextError` for unknown symbols.
        """
        if not self.layout_spec.source_is_text:
            raise UsageError(f"--show needs a text, and {self.layout} reads a label")
        spelled = self.typed(text, normalise)
        return spelled, self.prompt(spelled)

    def describe(self) -> dict[str, JSON]:
        """Return the layout, the symbols of both sides, and the length of the longest answer."""
        described: dict[str, JSON] = {
            "layout": self.layout,
            "sources": list(self.sources),
            "answers": list(self.answers),
            "longest": self.longest,
        }
        return described if self.unknown is None else described | {"unknown": self.unknown}

    def name_of(self, output: int) -> str:
        """Return the answer of an id, or `the end`."""
        return "the end" if output == self.end_id else self.answers[output]

    def example(self, source: str, answer: str) -> Example:
        """Build the example of a pair; `TextError` for unknown symbols or lengths that differ."""
        return self.layout_spec.build_example(
            self, self.source_ids(source), self.answer_ids(answer)
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of an answer, up to its END."""
        symbols = []
        for id_ in ids:
            if id_ == self.end_id:
                break
            symbols.append(self.answers[id_])
        return "".join(symbols)

    @cached_property
    def _reads_marks(self) -> bool:
        return any(MARK in source for source in self.sources)

    @cached_property
    def _source_id(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.sources)}

    @cached_property
    def ids_of_codes(self) -> Ids:
        """The id of the input character of each code point.

        Characters that are not among `sources` have the id of the unknown symbol, or −1 if there is
        none. The last entry stands for all code points above it.
        """
        codes = [ord(symbol) for symbol in self.sources]
        others = -1 if self.unknown is None else self._source_id[self.unknown]
        table = np.full(max(codes) + 2, others, np.int64)
        table[codes] = np.arange(len(codes))
        return table

    @cached_property
    def codes_of_answers(self) -> Ids:
        """The code point of each symbol of answers that are texts."""
        return np.array([ord(symbol) for symbol in self.answers], "<u4")

    def id_of_source(self, field: str) -> int:
        """Return the id of an input that is a label; −1 for one that is unknown."""
        return self._source_id.get(field, -1)

    @cached_property
    def _answer_id(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.answers)}


def one_to_one(pairing: PairVocabulary, x: Ids, y: Ids) -> Example:
    """A symbol to a symbol: no recurrence is used."""
    return Example(x, y, np.ones(1, bool))


def one_to_many(pairing: PairVocabulary, x: Ids, y: Ids) -> Example:
    """A label, and then the text that follows from it, as a language model writes it."""
    inputs = np.concatenate([x, pairing.fed_back(y)])
    return Example(inputs, np.append(y, pairing.end_id), np.ones(len(inputs), bool))


def many_to_one(pairing: PairVocabulary, x: Ids, y: Ids) -> Example:
    """A text to a label, predicted from the last state."""
    scored = np.arange(len(x)) == len(x) - 1
    return Example(x, np.where(scored, y, 0), scored)


def many_to_many(pairing: PairVocabulary, x: Ids, y: Ids) -> Example:
    """A text to another text; the state at GO is the only bridge (Sutskever et al. 2014)."""
    inputs = np.concatenate([x, [pairing.inputs - len(pairing.answers) - 1], pairing.fed_back(y)])
    targets = np.concatenate([np.zeros(len(x), np.int64), y, [pairing.end_id]])
    return Example(inputs, targets, np.arange(len(inputs)) >= len(x))


def synced(pairing: PairVocabulary, x: Ids, y: Ids) -> Example:
    """A symbol for each character, predicted when that character is read."""
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
        Layout("synced", "a symbol for each character", True, True, False, synced, True),
    )
}


def layout_called(name: str) -> Layout:
    """Return the layout of this name; `UsageError` if there is none."""
    if name not in LAYOUTS:
        raise UsageError(f"no layout called {quoted(name[:40])}; try {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def vocabulary_of_pairs(layout: str, pairs: Iterable[tuple[str, str]]) -> PairVocabulary:
    """Number the symbols of both sides, sorted; `UsageError` for an unknown layout."""
    kind = layout_called(layout)
    sources: set[str] = set()
    answers: set[str] = set()
    longest = 1
    for source, answer in pairs:
        sources.update(source if kind.source_is_text else (source,))
        answers.update(answer if kind.answer_is_text else (answer,))
        longest = max(longest, len(answer) if kind.answer_is_text else 1)
    return PairVocabulary(layout, tuple(sorted(sources)), tuple(sorted(answers)), longest)


def symbol_ids(symbols: Iterable[str], ids: Mapping[str, int], verb: str) -> Ids:
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
