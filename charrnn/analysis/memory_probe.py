"""The recall experiment: over how long a gap does a fresh network learn to remember?

    C q x f … a ?    →  C         a symbol, `gap` characters of filler, a question
    I grew up in France. <…> I speak fluent  →  F(rench)

Tiny networks, one for each cell and beginning, have the same small budget of characters to learn
this. Only the answer is scored, so nothing can be learnt unless the gradient crosses the gap: the
test that Hochreiter & Schmidhuber 1997 (Neural Computation 9(8)) and Bengio, Simard & Frasconi
1994 (IEEE Trans. Neural Networks 5(2)) set. It says how learning begins, not how well a cell
writes text.

`plan_trials` lays out the trials with their budgets; `run_trials` runs them and yields events.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import TypeAlias, cast

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.analysis.memory_tasks import TASKS, ProbeBatch, Task
from charrnn.errors import UsageError
from charrnn.limits import SEED, Limits, unknown
from charrnn.nn.initialisers import chrono_bias
from charrnn.nn.network import FORGET_BIAS, ModelConfig, Network, initialise
from charrnn.optim.clipping import clip_by_norm, norm
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.randomness import Purpose, generator
from charrnn.system.child_processes import GONE, ChildProcess

HIDDEN_SIZE, BATCH_SIZE = 64, 64
OPTIMISER_NAME, LEARNING_RATE, CLIP_NORM = "adam", 2e-3, 1.0
MAX_CHARACTERS = 1_500_000
"""Characters that a network may read, whatever the gap: a longer one leaves fewer steps."""

WINDOW_SIZE_LIMITS = Limits(1, 2**24, 64)
"""Characters of a truncated sequence."""

SOLVED_ACCURACY = 0.99
"""The accuracy at which a trial ends before its budget does."""

EVALUATE_EVERY, EVALUATED_SEQUENCES = 25, 8 * BATCH_SIZE
"""Steps between two looks at the accuracy, and the fresh sequences that each look takes."""


@dataclass(frozen=True)
class ProbeModel:
    """A cell and how its weights begin; biases begin at zero, the forget bias apart.

    An `input_init` of None is what the cell declares, a `forget_bias` of None `chrono_bias(gap)`.
    """

    name: str
    title: str
    cell: str
    init: str = "orthogonal"
    input_init: str | None = None
    readout_init: str = "uniform"
    forget_bias: float | None = FORGET_BIAS

    def config(self, inputs: int, outputs: int, gap: int) -> ModelConfig:
        """Return the network that faces this gap."""
        bias = chrono_bias(gap) if self.forget_bias is None else self.forget_bias
        return ModelConfig(
            inputs,
            outputs,
            cell=self.cell,
            hidden=HIDDEN_SIZE,
            init=self.init,
            input_init=self.input_init,
            readout_init=self.readout_init,
            forget_bias=bias,
        )


SMALL_NORMAL = "normal:0.01"
PROBE_MODELS = {
    probe_model.name: probe_model
    for probe_model in (
        # All weights as in Karpathy's min-char-rnn (2015).
        ProbeModel(
            "rnn-normal", f"rnn {SMALL_NORMAL}", "rnn", SMALL_NORMAL, SMALL_NORMAL, SMALL_NORMAL
        ),
        # Small inputs keep tanh near its linear middle, where an orthogonal matrix loses nothing.
        # Their size is that of Le, Jaitly & Hinton 2015, arXiv 1504.00941, beside the identity.
        ProbeModel("rnn-orthogonal", "rnn orthogonal", "rnn", input_init="normal:0.001"),
        ProbeModel("gru", "gru", "gru"),
        ProbeModel("lstm", f"lstm, forget bias {FORGET_BIAS:g}", "lstm"),
        ProbeModel("lstm-chrono", "lstm, forget bias ln(gap − 1)", "lstm", forget_bias=None),
    )
}


@dataclass(frozen=True)
class Trial:
    """One network against one gap. With a `window`, it is shown no more than that many characters
    of a sequence, the last ones, from the zero state: training truncated before the symbol."""

    task: str
    probe_model: ProbeModel
    gap: int
    steps: int
    seed: int
    window: int | None = None


@dataclass(frozen=True)
class ProbeProgress:
    """The accuracy on fresh sequences after `step` steps."""

    trial: Trial
    step: int
    accuracy: float


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended: after `steps` steps, fewer than planned if it was solved."""

    trial: Trial
    steps: int
    accuracy: float
    chance: float
    seconds: float = field(compare=False)

    @property
    def solved(self) -> bool:
        """Whether nearly every answer was right."""
        return self.accuracy >= SOLVED_ACCURACY


Stop: TypeAlias = Callable[[], bool]


def plan_trials(
    task: str = "recall",
    gaps: Sequence[int] | None = None,
    probe_models: Sequence[str] = tuple(PROBE_MODELS),
    seed: int = 0,
    window: int | None = None,
) -> list[Trial]:
    """Return a trial for every contestant and gap; the sum of their `steps` is the most to come.

    Raises `UsageError` for an unknown task or contestant, and for numbers without meaning.
    """
    if task not in TASKS:
        raise unknown("probe", task, TASKS)
    for name in probe_models:
        if name not in PROBE_MODELS:
            raise unknown("contestant", name, PROBE_MODELS)
    SEED.check("--seed", seed)
    if window is not None:
        WINDOW_SIZE_LIMITS.check("window", window)
    kind = TASKS[task]
    steps = {}
    for gap in kind.default_gaps if gaps is None else gaps:
        steps[gap] = max(EVALUATE_EVERY, MAX_CHARACTERS // (BATCH_SIZE * kind(gap).length))
    return [
        Trial(task, PROBE_MODELS[name], gap, count, seed, window)
        for name in probe_models
        for gap, count in steps.items()
    ]


def run_trials(
    trials: Sequence[Trial], processes: int = 1, stop: Stop | None = None
) -> Iterator[ProbeProgress | TrialResult]:
    """Run the trials, some at a time; yield looks, and a result as each one ends.

    The results do not depend on `processes`, their order does. Ends early once `stop` says so.
    """
    if processes < 1:
        raise UsageError(f"processes is {processes}; it must be at least 1", "processes=1")
    if min(processes, len(trials)) > 1:
        yield from _run_in_processes(trials, processes, stop)
        return
    with threadpool_limits(1, user_api="blas"):  # sums of several threads round differently
        for trial in trials:
            yield from run_trial(trial, stop)


def run_trial(trial: Trial, stop: Stop | None = None) -> Iterator[ProbeProgress | TrialResult]:
    """Train one network; yield looks at its accuracy, and the result at last unless stopped.

    At a gap all contestants meet the same sequences, whatever else is planned.
    """
    started = time.perf_counter()
    task = TASKS[trial.task](trial.gap)
    config = trial.probe_model.config(task.inputs, len(task.answers), trial.gap)
    parameters = initialise(config, generator(trial.seed, Purpose.WEIGHTS))
    gradients = parameters.like()
    T = min(trial.window or task.length, task.length)
    network = Network(
        config, parameters, T, BATCH_SIZE, gradients
    )  # never carries: begins from zero
    optimiser = OPTIMISERS[OPTIMISER_NAME](parameters.vector)
    for step in range(1, trial.steps + 1):
        if stop is not None and stop():
            return
        inputs, targets, weights = draw_batch(trial, task, step)
        network.forward(inputs[-T:])
        network.loss(targets[-T:])
        with np.errstate(over="ignore", invalid="ignore"):  # a step that explodes is not taken
            network.backward(targets[-T:], weights[-T:])
            size = norm(gradients.vector)
        if math.isfinite(size):
            clip_by_norm(gradients.vector, CLIP_NORM, size)
            optimiser.update(parameters.vector, gradients.vector, LEARNING_RATE)
        if step % EVALUATE_EVERY == 0 or step == trial.steps:
            right = 0
            for part in range(1, EVALUATED_SEQUENCES // BATCH_SIZE + 1):
                fresh = draw_batch(trial, task, step, part)
                guesses = np.argmax(network.forward(fresh.inputs[-T:])[-1], axis=-1)
                right += int(np.sum(guesses == fresh.targets[-1]))
            accuracy = right / EVALUATED_SEQUENCES
            yield ProbeProgress(trial, step, accuracy)
            if accuracy >= SOLVED_ACCURACY:
                break
    seconds = time.perf_counter() - started
    yield TrialResult(trial, step, accuracy, 1 / len(task.answers), seconds)


def draw_batch(trial: Trial, task: Task, step: int, look: int = 0) -> ProbeBatch:
    """Draw the sequences of this step, or of a part of the look at it."""
    return task.draw(BATCH_SIZE, generator(trial.seed, Purpose.SAMPLING, trial.gap, step, look))


def _run_in_processes(
    trials: Sequence[Trial], processes: int, stop: Stop | None
) -> Iterator[ProbeProgress | TrialResult]:
    """Let child processes run the trials, each the next one as soon as it is free."""
    waiting = iter(trials)
    children: dict[Connection, ChildProcess] = {}
    try:
        for trial in islice(waiting, processes):
            child = ChildProcess(_serve_trials)
            children[child.connection] = child
            child.connection.send(trial)
        busy = set(children)
        while busy and not (stop is not None and stop()):
            for connection in cast(list[Connection], wait(busy, timeout=0.1)):
                try:
                    event = connection.recv()
                except GONE as error:
                    raise children[connection].failure() from error
                yield event
                if isinstance(event, TrialResult):
                    following = next(waiting, None)
                    if following is None:
                        busy.remove(connection)
                    else:
                        connection.send(following)
    finally:
        for child in children.values():
            child.kill()


def _serve_trials(connection: Connection) -> None:
    """Run trials as they arrive, until the other end of the pipe is closed."""
    threadpool_limits(1, user_api="blas")
    while True:
        for event in run_trial(connection.recv()):
            connection.send(event)
