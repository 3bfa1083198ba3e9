"""Knowledge distillation: targets for a network, the student, from trained models, the teachers.

The target of each character is q, the mean of the teachers' probabilities, in place of the one-hot
character; the loss is the cross-entropy −Σ q ln p (Hinton, Vinyals & Dean 2015, arXiv 1503.02531;
the temperature is 1). Beside the training text the student is trained on a text that the teachers
generate (sequence-level distillation: Kim & Rush 2016, arXiv 1606.07947), which can be of any
length, so that the student overfits less.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.ops import log_softmax
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.system.memory import require_memory
from charrnn.training.presets import Budget, default
from charrnn.types import Array, Ids

GENERATED_PER_CHARACTER = 3
"""Characters that teachers generate by default, for each of the training text."""

TEACHERS, TEACHER_SHARE = 4, 0.5
"""Teachers that a run trains itself, and their share of `--minutes`."""

MIN_TYPICAL_MINUTES = 8.0
"""Least typical minutes of a run that trains teachers by default: with fewer a student has too few
steps. On source code one of 5 was worse than a single network, and one of 10 as good."""

GENERATION_SHARE = 0.15
"""Share of `--minutes` for teachers to generate."""

MEASURED_STEPS = 8
"""Time steps by which the speed of generation is measured."""

PARTS, ROWS = 4, 128
"""Parts of the generated text, each of so many sequences that are generated side by side. Threads
share the parts, so that their number does not change a character."""

WARM_UP = 128
"""Characters that each sequence reads before its first prediction counts."""

MIN_READ, MAX_ROWS = 4 * WARM_UP, 32
"""Fewest characters of the text that a sequence reads, and most sequences side by side."""

SEQ_LENGTH = 128
"""Time steps of one forward pass over the training text."""

PROBABILITY_TYPE = np.dtype(np.float16)
"""Type in which probabilities are kept; the smallest above 0 is 6e-8."""


def teachers_by_time(characters: int, budget: Budget) -> int:
    """Return how many teachers a run on a text trains first by default: `TEACHERS`, or 0.

    A single network overfits a text that is read many times, whatever its dropout: where it would
    need recurrent dropout, the student of several is better.

    Args:
        characters: length of the training text.
        budget: its minutes, with the measured speed; without minutes there are no teachers.
    """
    if budget.minutes is None or budget.typical_minutes < MIN_TYPICAL_MINUTES:
        return 0
    return TEACHERS if "recurrent_dropout" in default(characters, budget, None) else 0


Progress = Callable[[int], None]
"""Called with the number of characters that were done since the last call."""


def nothing_done(characters: int) -> None:
    """Ignore progress."""


class Teacher(Protocol):
    """A trained language model, such as `charrnn.load` returns."""

    @property
    def config(self) -> ModelConfig:
        """The shape of its network."""

    @property
    def parameters(self) -> Parameters:
        """Its weights."""


class Teachers:
    """Trained models of one vocabulary, whose mean probabilities are the targets of a student.

    Args:
        models: one model or several, whose ids stand for the same characters.

    Raises `ValueError` for no model, or for models of different numbers of characters.

    Example:
        >>> import charrnn
        >>> model = charrnn.load("checkpoints/corpus")
        >>> ids = model.vocabulary.encode("the cat sat on a mat " * 20)
        >>> distilled = Teachers([model]).distil(ids, generated=1024, seed=0)
        >>> distilled.probabilities.shape == (len(ids) + 1024, len(model.vocabulary))
        True
    """

    def __init__(self, models: Sequence[Teacher]) -> None:
        self.models = tuple(models)
        if len({model.config.outputs for model in self.models}) != 1:
            raise ValueError("give one teacher or more, all with as many outputs")

    def default_generated(self, characters: int, minutes: float | None) -> int:
        """Return how many characters to generate by default.

        Args:
            characters: length of the training text.
            minutes: time for the whole run; None if time does not matter.
        """
        wanted = GENERATED_PER_CHARACTER * characters
        if minutes is not None:
            wanted = min(wanted, int(GENERATION_SHARE * 60 * minutes * self.generation_speed()))
        return rounded(wanted)

    def generation_speed(self) -> float:
        """Return the characters per second that are generated on all cores, as measured on one."""
        networks = [Network(m.config, m.parameters, 1, ROWS) for m in self.models]
        inputs = np.zeros((1, ROWS), np.int64)
        mean_probabilities(networks, inputs)
        began = time.perf_counter()
        for _ in range(MEASURED_STEPS):
            mean_probabilities(networks, inputs)
        seconds = max(1e-9, time.perf_counter() - began)
        return MEASURED_STEPS * ROWS * min(PARTS, os.cpu_count() or 1) / seconds

    def distil(
        self, ids: Ids, generated: int, seed: int, progress: Progress = nothing_done
    ) -> "Distilled":
        """Generate a text, and return the probabilities of all characters of both texts.

        Args:
            ids: the training text (N,), at least two characters.
            generated: characters to generate, G; rounded up to a multiple of `PARTS` × `ROWS`.
            seed: seed of the generated characters.
            progress: called with the number of characters done, N − 1 + G in all, from several
                threads.

        Raises `StorageError` if the probabilities exceed the memory of this machine.
        """
        N, V = len(ids), self.models[0].config.outputs
        G = rounded(generated)
        require_memory(
            (N + G) * V * PROBABILITY_TYPE.itemsize,
            f"the probabilities of {N + G:,} characters among {V:,}",
            "a smaller --generated",
            "a shorter text",
        )
        generated_ids = np.zeros((PARTS * ROWS, G // (PARTS * ROWS)), ids.dtype)
        probabilities = np.zeros((N + G, V), PROBABILITY_TYPE)
        probabilities[0] = 1 / V
        work = TeacherTasks(self.models, np.asarray(ids), progress)
        tasks = [*work.scoring_tasks(probabilities[:N])]
        drawn = probabilities[N:].reshape(*generated_ids.shape, V)
        for number in range(PARTS if G else 0):
            rows = slice(number * ROWS, (number + 1) * ROWS)
            random = generator(seed, Purpose.GENERATED, number)
            tasks.append(work.generating_task(generated_ids[rows], drawn[rows], random))
        work.run(tasks)
        return Distilled(generated_ids.ravel(), probabilities)


@dataclass(frozen=True)
class Distilled:
    """What teachers generated, and their probabilities."""

    generated: Ids  # (G,)
    probabilities: Array  # (N + G, V), float16
    """Of each character of the training text and then of the generated one, given those before."""


def rounded(characters: int) -> int:
    """Return the next multiple of the sequences that are generated side by side.

    Example:
        >>> rounded(0), rounded(1), rounded(1024)
        (0, 512, 1024)
    """
    return -(-characters // (PARTS * ROWS)) * PARTS * ROWS


Task = Callable[[], None]


@dataclass
class TeacherTasks:
    """Tasks that compute probabilities of teachers, for threads."""

    models: Sequence[Teacher]
    ids: Ids
    progress: Progress
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, tasks: Sequence[Task]) -> None:
        """Do all tasks, as many at a time as there are cores; an exception ends all of them."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self.stopped.set()
                for future in futures:
                    future.cancel()
                raise

    def scoring_tasks(self, out: Array) -> Iterator[Task]:
        """Yield tasks that overwrite `out[1:]` (N − 1, V) with the probabilities of the text."""
        parts = max(1, min(PARTS, len(self.ids) // MIN_READ))
        edges = np.linspace(1, len(self.ids), parts + 1).astype(int)
        for first, end in pairwise(edges):
            yield self.scoring_task(out, int(first), int(end))

    def scoring_task(self, out: Array, first: int, end: int) -> Task:
        """Return a task for the characters from `first` to before `end`."""

        def score() -> None:
            rows = max(1, min(MAX_ROWS, (end - first) // MIN_READ))
            length = -(-(end - first) // rows)
            starts = first + length * np.arange(rows)
            networks = [Network(m.config, m.parameters, SEQ_LENGTH, rows) for m in self.models]
            for window in range(-(-(WARM_UP + length) // SEQ_LENGTH)):
                if self.stopped.is_set():
                    return
                # Where input and prediction of each time step are in the text:
                shift = window * SEQ_LENGTH - WARM_UP + np.arange(SEQ_LENGTH)
                if shift[0] == 0:  # what begins with the text has read nothing before
                    for network in networks:
                        network.reset_state(starts == 1)
                places = starts + shift[:, None]
                inputs = self.ids[np.clip(places - 1, 0, len(self.ids) - 1)]
                mean = mean_probabilities(networks, inputs)
                wanted = (shift[:, None] >= 0) & (shift[:, None] < length) & (places < end)
                out[places[wanted]] = mean[wanted]
                self.progress(int(wanted.sum()))

        return score

    def generating_task(self, ids: Ids, out: Array, random: np.random.Generator) -> Task:
        """Return a task that generates `ids` (B, L) and their probabilities `out` (B, L, V)."""

        def generate() -> None:
            B, L = ids.shape
            networks = [Network(m.config, m.parameters, 1, B) for m in self.models]
            starts = random.integers(max(1, len(self.ids) - WARM_UP), size=B)
            for offset in range(WARM_UP):
                inputs = self.ids[np.minimum(starts + offset, len(self.ids) - 1)]
                mean = mean_probabilities(networks, inputs[None])[0]
            for t in range(L):
                if self.stopped.is_set():
                    return
                out[:, t] = mean
                bounds = np.cumsum(mean, axis=1)
                draws = random.random((B, 1)) * bounds[:, -1:]
                ids[:, t] = np.minimum((bounds <= draws).sum(axis=1), mean.shape[1] - 1)
                self.progress(B)
                mean = mean_probabilities(networks, ids[None, :, t])[0]

        return generate


def mean_probabilities(networks: Sequence[Network], inputs: Ids) -> Array:
    """Return the mean of the probabilities (T, B, V) of what follows `inputs` (T, B)."""
    total = np.zeros_like(networks[0].logits)
    for network in networks:
        total += np.exp(log_softmax(network.forward(inputs), out=network.log_p))
        network.carry_state()
    total /= len(networks)
    return total
