"""Tasks of the memory probe: to recall a symbol, or the language of a country, across a gap."""

import random
import string
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from charrnn.data import builtin_texts
from charrnn.errors import UsageError
from charrnn.types import Array, Ids

MAX_PROBE_GAP = 1000


class ProbeBatch(NamedTuple):
    """Sequences of a task, (T, B) each."""

    inputs: Ids
    """Ids of the characters to read."""
    targets: Ids
    """Ids of the answers, at the last step; zero elsewhere."""
    weights: Array
    """Weights of the losses: 1/B at the last step, zero elsewhere."""


class Task(ABC):
    """Sequences of one length, T characters, that end where an answer is due.

    A network reads `inputs` different characters, but its output has only the `answers`. Otherwise
    it would first have to learn which characters are possible answers, and during that time the
    gradient of an orthogonal recurrent matrix explodes.
    """

    default_gaps: ClassVar[tuple[int, ...]]
    inputs: ClassVar[int]
    """Number of different characters that sequences contain."""
    answers: ClassVar[tuple[str, ...]]
    """The possible answers, equally frequent: guessing is right once in their number."""

    def __init__(self, gap: int, least: int, around: int) -> None:
        """Make sequences of `gap` + `around` characters.

        Raises UsageError for a gap below `least` or above `MAX_PROBE_GAP`.
        """
        if not least <= gap <= MAX_PROBE_GAP:
            raise UsageError(f"a gap of {gap} is not within {least} and {MAX_PROBE_GAP} characters")
        self.gap, self.length = gap, gap + around

    @abstractmethod
    def draw(self, B: int, rng: np.random.Generator) -> ProbeBatch:
        """Draw B new sequences."""


class Recall(Task):
    """Answer "?" by the symbol that stands `gap` characters of random filler before it."""

    default_gaps: ClassVar = (5, 10, 20, 40, 80)
    answers: ClassVar = tuple(string.ascii_uppercase[:8])
    filler: ClassVar = tuple(string.ascii_lowercase[:8])
    inputs: ClassVar = len(answers) + len(filler) + 1

    def __init__(self, gap: int) -> None:
        super().__init__(gap, least=1, around=2)

    def draw(self, B: int, rng: np.random.Generator) -> ProbeBatch:
        """Draw symbols 0 … 7 and fillers 8 … 15; the question is 16."""
        A = len(self.answers)
        inputs = np.full((self.length, B), self.inputs - 1, np.uint8)
        inputs[0] = rng.integers(A, size=B)
        inputs[1:-1] = rng.integers(A, A + len(self.filler), size=(self.gap, B))
        return answer_batch(inputs, inputs[0])


class France(Task):
    """Predict the first letter of a language from the country, `gap` characters before it.

    The sentences are those of `builtin_texts.france_sentences`, of as many countries as there are
    first letters of languages: of several with one letter (Finnish, French), the last in the list
    is used. All sequences have the length of the shortest sentence, so that none is padded.
    """

    default_gaps: ClassVar = (30, 40, 60, 80)
    countries: ClassVar = {language[0]: name for name, language in builtin_texts.LANGUAGES.items()}
    answers: ClassVar = tuple(sorted(countries))
    characters: ClassVar = string.ascii_letters + string.punctuation + " "
    inputs: ClassVar = len(characters)

    def __init__(self, gap: int) -> None:
        shortest = min(map(len, self.countries.values()))
        super().__init__(gap, builtin_texts.MIN_GAP_CHARS, len(builtin_texts.OPENING) + shortest)

    def draw(self, B: int, rng: np.random.Generator) -> ProbeBatch:
        """Draw sentences until B of them are about one of `countries`."""
        words = random.Random(int(rng.integers(2**63)))
        readings: list[str] = []
        answers: list[int] = []
        while len(readings) < B:
            for text, country, language in builtin_texts.france_sentences(self.gap, B, words):
                if country == self.countries[language[0]]:
                    end = len(text) - len(f"{language}.")
                    readings.append(text[end - self.length : end])
                    answers.append(self.answers.index(language[0]))
        ids = [[self.characters.index(character) for character in line] for line in readings[:B]]
        return answer_batch(np.array(ids, np.uint8).T.copy(), np.array(answers[:B], np.uint8))


TASKS: dict[str, type[Recall | France]] = {"recall": Recall, "france": France}


def answer_batch(inputs: Ids, answers: Ids) -> ProbeBatch:
    """Return a batch of inputs (T, B) whose only target is the answer (B,) at the last step."""
    targets = np.zeros_like(inputs)
    weights = np.zeros(inputs.shape, np.float32)
    targets[-1], weights[-1] = answers, 1 / len(answers)
    return ProbeBatch(inputs, targets, weights)
