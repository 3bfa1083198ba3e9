"""Memory probe: the longest gap over which an untrained network learns to remember a symbol.

    C q x f … a ?    →  C         a symbol, `gap` characters of filler, a question
    I grew up in France. <…> I speak fluent  →  F(rench)

Small networks, one for each cell and initialisation, are trained on the same small number of
characters. Only the answer has a loss, so that nothing is learned unless the gradient crosses the
gap. The task is that of Hochreiter & Schmidhuber 1997 (Neural Computation 9(8)) and Bengio, Simard
& Frasconi 1994 (IEEE Trans. Neural Networks 5(2)). It shows how training starts, not how well a
cell models text.

`plan_trials` lays out the trials with their budgets; `run_trials` runs them and yields events.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import cast

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.analysis.memory_tasks import TASKS, ProbeBatch, Task
from charrnn.errors import UsageError
from charrnn.limits import SEED, Limits, unknown
from charrnn.nn.initialisers import chrono_bias
from charrnn.nn.model_config import FORGET_BIAS, ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.optim.clipping import clip_by_norm, norm
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.randomness import Purpose, generator
from charrnn.system.child_processes import DISCONNECTED, ChildProcess
from charrnn.types import StopFlag

HIDDEN_SIZE, BATCH_SIZE = 64, 64
OPTIMISER_NAME, LEARNING_RATE, CLIP_NORM = "adam", 2e-3, 1.0
TRAINING_CHARACTERS = 1_500_000
"""Characters that a network reads in training; with a longer gap these are fewer steps."""

WINDOW_SIZE_LIMITS = Limits(1, 2**24, 64)
"""Limits of the length of a truncated sequence, in characters."""

SOLVED_ACCURACY = 0.99
"""The accuracy at which a trial ends before its budget does."""

EVALUATE_EVERY, EVALUATED_SEQUENCES = 25, 8 * BATCH_SIZE
"""Steps between two measurements of the accuracy, and the new sequences that each uses."""


@dataclass(frozen=True)
class ProbeModel:
    """A cell and its initialisation. All biases but the forget bias start at zero."""

    name: str
    """Key in `PROBE_MODELS`."""
    title: str
    """Name in tables."""
    cell: str
    """Key in `CELLS`."""
    init: str = "orthogonal"
    """Initialiser of the recurrent weights."""
    input_init: str | None = None
    """Initialiser of the input weights; None for the default of the cell."""
    readout_init: str = "uniform"
    """Initialiser of W_hy."""
    forget_bias: float | None = FORGET_BIAS
    """First forget bias; None for `chrono_bias(gap)`."""

    def config(self, inputs: int, outputs: int, gap: int) -> ModelConfig:
        """Return the network for a task of `inputs` and `outputs` characters, and this gap."""
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
        # Small input weights keep tanh near its linear range, in which an orthogonal matrix keeps
        # all norms. Their scale is that of Le, Jaitly & Hinton 2015, arXiv 1504.00941.
        ProbeModel("rnn-orthogonal", "rnn orthogonal", "rnn", input_init="normal:0.001"),
        ProbeModel("gru", "gru", "gru"),
        ProbeModel("lstm", f"lstm, forget bias {FORGET_BIAS:g}", "lstm"),
        ProbeModel("lstm-chrono", "lstm, forget bias ln(gap − 1)", "lstm", forget_bias=None),
    )
}


@dataclass(frozen=True)
class Trial:
    """Training of one network on one gap."""

    task: str
    """Key in `TASKS`."""
    probe_model: ProbeModel
    """The network."""
    gap: int
    """Characters between the symbol and the question."""
    steps: int
    """Most training steps."""
    seed: int
    """Seed of the weights and sequences."""
    window: int | None = None
    """The network reads only this many characters at the end of each sequence, from the zero state,
    as if backpropagation were truncated; None for all of them."""


@dataclass(frozen=True)
class ProbeProgress:
    """Accuracy of a trial while it runs."""

    trial: Trial
    """The trial."""
    step: int
    """Steps trained so far."""
    accuracy: float
    """Share of right answers on new sequences."""


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial."""

    trial: Trial
    """The trial."""
    steps: int
    """Steps trained; fewer than planned if it was solved before."""
    accuracy: float
    """Share of right answers on new sequences at the end."""
    chance: float
    """Accuracy of guessing."""
    seconds: float = field(compare=False)
    """Wall time of the trial."""

    @property
    def solved(self) -> bool:
        """Whether the accuracy reached `SOLVED_ACCURACY`."""
        return self.accuracy >= SOLVED_ACCURACY


def plan_trials(
    task: str = "recall",
    gaps: Sequence[int] | None = None,
    probe_models: Sequence[str] = tuple(PROBE_MODELS),
    seed: int = 0,
    window: int | None = None,
) -> list[Trial]:
    """Return a trial for every network and gap.

    Args:
        task: key in `TASKS`.
        gaps: gaps in characters; by default those of the task.
        probe_models: keys in `PROBE_MODELS`.
        seed: seed of all trials.
        window: characters at the end of a sequence that networks read; all by default.

    Raises UsageError for an unknown task or network, and for numbers out of range.
    """
    if task not in TASKS:
        raise unknown("probe", task, TASKS)
    for name in probe_models:
        if name not in PROBE_MODELS:
            raise unknown("probe model", name, PROBE_MODELS)
    SEED.check("--seed", seed)
    if window is not None:
        WINDOW_SIZE_LIMITS.check("window", window)
    kind = TASKS[task]
    steps = {}
    for gap in kind.default_gaps if gaps is None else gaps:
        steps[gap] = max(EVALUATE_EVERY, TRAINING_CHARACTERS // (BATCH_SIZE * kind(gap).length))
    return [
        Trial(task, PROBE_MODELS[name], gap, count, seed, window)
        for name in probe_models
        for gap, count in steps.items()
    ]


def run_trials(
    trials: Sequence[Trial], processes: int = 1, stop: StopFlag | None = None
) -> Iterator[ProbeProgress | TrialResult]:
    """Run trials; yield their progress, and a result when each of them ends.

    Args:
        trials: from `plan_trials`.
        processes: trials to run at the same time. The results do not depend on it, their order
            does.
        stop: the iterator ends early once this returns true.

    Raises UsageError if `processes` is below 1, WorkerError if a process ends unexpectedly.
    """
    if processes < 1:
        raise UsageError(f"processes is {processes}; it must be at least 1", "processes=1")
    if min(processes, len(trials)) > 1:
        yield from _run_in_processes(trials, processes, stop)
        return
    with threadpool_limits(1, user_api="blas"):  # sums of several threads round differently
        for trial in trials:
            yield from run_trial(trial, stop)


def run_trial(trial: Trial, stop: StopFlag | None = None) -> Iterator[ProbeProgress | TrialResult]:
    """Run one trial; yield its accuracy from time to time, and its result unless stopped.

    All networks are trained on the same sequences for a gap, whatever other trials there are.
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
        with np.errstate(over="ignore", invalid="ignore"):  # such a step is skipped
            network.backward(targets[-T:], weights[-T:])
            size = norm(gradients.vector)
        if math.isfinite(size):
            clip_by_norm(gradients.vector, CLIP_NORM, size)
            optimiser.update(parameters.vector, gradients.vector, LEARNING_RATE)
        if step % EVALUATE_EVERY == 0 or step == trial.steps:
            right = 0
            for part in range(1, EVALUATED_SEQUENCES // BATCH_SIZE + 1):
                batch = draw_batch(trial, task, step, part)
                predictions = np.argmax(network.forward(batch.inputs[-T:])[-1], axis=-1)
                right += int(np.sum(predictions == batch.targets[-1]))
            accuracy = right / EVALUATED_SEQUENCES
            yield ProbeProgress(trial, step, accuracy)
            if accuracy >= SOLVED_ACCURACY:
                break
    seconds = time.perf_counter() - started
    yield TrialResult(trial, step, accuracy, 1 / len(task.answers), seconds)


def draw_batch(trial: Trial, task: Task, step: int, part: int = 0) -> ProbeBatch:
    """Draw the training batch of a step, or, with `part` from 1 on, one that measures accuracy."""
    return task.draw(BATCH_SIZE, generator(trial.seed, Purpose.SAMPLING, trial.gap, step, part))


def _run_in_processes(
    trials: Sequence[Trial], processes: int, stop: StopFlag | None
) -> Iterator[ProbeProgress | TrialResult]:
    """Run trials in child processes; each takes the next one when it is free."""
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
                except DISCONNECTED as error:
                    raise children[connection].failure("shorter or fewer --gaps") from error
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
    """Run the trials received from a pipe, until its other end is closed."""
    threadpool_limits(1, user_api="blas")
    while True:
        for event in run_trial(connection.recv()):
            connection.send(event)
