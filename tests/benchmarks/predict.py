"""Predict: many lines of standard input, against the same lines one by one.

    python -m tests.benchmarks.predict [--quick] [--json FILE]

Models have random weights: a label after each text, a symbol for each character, or an answer of
12 symbols, which never ends before. Inputs are different texts, names made of syllables (8.0
characters in the mean) or random letters (8.5), whose beginnings are shared less. One by one means
one line per batch in the same process. Both ways take turns, and ratios are those within a round,
of processor time and of wall time. The last row starts a process for each line.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from charrnn.cli.answer_writer import MAX_AT_ONCE, MIN_AT_ONCE, AnswerWriter
from charrnn.data.layouts import PairVocabulary
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from tests.benchmarks.measuring import options, show, spread, write_json

SOURCES = tuple("'-abcdefghijklmnopqrstuvwxyz")
CONSONANTS = "b c d f g h j k l m n p r s t v w z ch sh st br gr kr".split()  # noqa: SIM905 - short
ENDINGS = "a e i o u an en in on er ar ov".split()  # noqa: SIM905 - as above
LABELS = tuple(f"label {number:02}" for number in range(18))


class Case(NamedTuple):
    """A model and how it is asked."""

    layout: str
    hidden: int
    backwards: bool
    beam: int = 1
    random_letters: bool = False
    attention: int = 0

    @property
    def name(self) -> str:
        """What the row is called."""
        parts = [self.layout, str(self.hidden)]
        parts += ["both directions"] if self.backwards else []
        parts += ["attention"] if self.attention else []
        parts += [f"beam {self.beam}"] if self.beam > 1 else []
        return ", ".join(parts + (["random letters"] if self.random_letters else []))


CASES = (
    *(
        Case("many-to-one", hidden, backwards)
        for hidden in (128, 256)
        for backwards in (False, True)
    ),
    *(Case("many-to-one", hidden, False, 1, True) for hidden in (128, 256)),
    *(Case("synced", hidden, backwards) for hidden in (128, 256) for backwards in (False, True)),
    *(Case("many-to-many", hidden, False, beam) for hidden in (128, 256) for beam in (1, 4)),
    Case("many-to-many", 256, True),
    *(Case("many-to-many", 256, True, beam, attention=1) for beam in (1, 4)),
)


def texts_of(count: int, *, random_letters: bool) -> list[str]:
    """Return different texts."""
    rng = random.Random(1)
    found: dict[str, None] = {}
    while len(found) < count:
        if random_letters:
            text = "".join(rng.choices(SOURCES[2:], k=rng.randint(4, 13)))
        else:
            syllables = range(rng.choice((2, 2, 3, 3, 4)))
            text = "".join(rng.choice(CONSONANTS) + rng.choice(ENDINGS) for _ in syllables)[:14]
        found[text] = None
    return list(found)


def model_of(case: Case) -> Predictor:
    """Return a model with random weights."""
    answers = LABELS if case.layout == "many-to-one" else SOURCES
    pairing = PairVocabulary(case.layout, SOURCES, answers, longest=1)
    config = ModelConfig(
        *(pairing.inputs, pairing.outputs),
        hidden=case.hidden,
        bidirectional=pairing.layout_spec.backward_use if case.backwards else None,
        attention=case.attention,
    )
    parameters = initialise(config, np.random.default_rng(0))
    if pairing.layout_spec.feeds_back:
        parameters["b_y"][pairing.end_id] = -1e6
    return Predictor(config, parameters, pairing)


def writer_of(model: Predictor, beam: int) -> AnswerWriter:
    """Return what the command answers with."""
    return AnswerWriter(model, proba=False, beam=beam, sampling=Sampling(), count=1, json=False)


def answer(writer: AnswerWriter, texts: Sequence[str], at_once: int) -> None:
    """Answer texts, so many at once."""
    for first in range(0, len(texts), at_once):
        for _ in writer._answer(texts[first : first + at_once], first + 1, ""):
            pass


class Rate(NamedTuple):
    """Lines per second."""

    cpu: float
    wall: float


def rate_of(work: Callable[[], None], lines: int) -> Rate:
    """Measure a piece of work."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Rate(lines / (time.process_time() - cpu), lines / (time.perf_counter() - wall))


def measure(case: Case, many: int, few: int, rounds: int) -> list[tuple[Rate, Rate]]:
    """Return the rates of each round: many lines at once, and one by one."""
    writer = writer_of(model_of(case), case.beam)
    texts = texts_of(many, random_letters=case.random_letters)
    at_once = max(MIN_AT_ONCE, MAX_AT_ONCE // case.beam)
    answer(writer, texts[:at_once], at_once)  # warm
    return [
        (
            rate_of(lambda: answer(writer, texts, at_once), many),
            rate_of(lambda: answer(writer, texts[:few], 1), few),
        )
        for _ in range(rounds)
    ]


def process_seconds(count: int) -> float:
    """Return the median time of a process that answers one line."""
    with TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.tsv"
        pairs.write_text("".join(f"{'ab'[n % 2]}{n}\t{'xy'[n % 2]}\n" for n in range(100)))
        command = [sys.executable, "-m", "charrnn"]
        run = f"{folder}/run"
        train = ["train", str(pairs), "--layout", "many-to-one", "--steps", "2", "--workers", "1"]
        subprocess.run([*command, *train, "--out", run, "--quiet"], check=True)
        times = [time.perf_counter()]
        for _ in range(count):
            subprocess.run([*command, "predict", run, "a1"], check=True, capture_output=True)
            times.append(time.perf_counter())
    return median(after - before for before, after in pairwise(times))


def main() -> None:
    """Measure all cases."""
    asked = options(__doc__).parse_args()
    cases = CASES[:1] if asked.quick else CASES
    figures, rows = {}, []
    for case in cases:
        slow = case.layout == "many-to-many"
        many, few, rounds = (2_000, 20, 1) if asked.quick else (16_384, 100 if slow else 300, 3)
        found = measure(case, many, few, rounds)
        cpu = sorted(together.cpu / alone.cpu for together, alone in found)
        wall = sorted(together.wall / alone.wall for together, alone in found)
        rates = [median(one[way].cpu for one in found) for way in (0, 1)]
        figures[case.name] = {"cpu_ratio": median(cpu), "wall_ratio": median(wall)}
        rows.append([case.name, *(f"{rate:,.0f}" for rate in rates), spread(cpu), spread(wall)])
    seconds = process_seconds(1 if asked.quick else 5)
    rows.append(["one process per line", "", f"{1 / seconds:,.1f}", "", ""])
    show(("predict", "lines/CPU s", "one by one", "ratio, CPU time", "ratio, wall time"), rows)
    write_json(asked.json, figures | {"process_seconds": seconds})


if __name__ == "__main__":
    main()
