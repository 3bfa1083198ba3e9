"""The preset min-char-rnn against the loop of 2015, character by character in plain NumPy.

    python -m tests.benchmarks.min_char [--quick] [--json FILE]

With NumPy's kernel, and with Numba's where it is installed (pip install '.[fast]'). The loop is
what a student writes from the published equations: one-hot column vectors, a Python loop forward
and one backward, Adagrad over a list of arrays, float64.
"""

from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.nn.network import initialise
from charrnn.training.backends import default_backend
from charrnn.training.presets import Budget, plan, with_steps
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import BACKENDS
from charrnn.types import Array, Ids
from tests.benchmarks.measuring import Work, in_turn, options, show, spread, write_json

V, H, T = 65, 100, 25
WINDOWS = 400
RATE, LIMIT, EPSILON = 0.1, 5.0, 1e-8


def text() -> Ids:
    """Return random characters, which take as long as any."""
    return np.random.default_rng(0).integers(V, size=T * WINDOWS + 1).astype(np.uint8)


def preset(backend: str) -> Work:
    """Return steps of our preset, batch 1."""
    threadpool_limits(1, user_api="blas")
    planned = plan(
        "min-char-rnn", {"seed": 0, "backend": backend}, V, len(text()) - 1, Budget(steps=1)
    )
    initial = initialise(planned.model, np.random.default_rng(0))
    config = with_steps(planned.training, 10**9, 1)
    run = Trainer(planned.model, config, TextDataset(text()), initial)

    def work() -> float:
        run.step()
        return float(T)

    return work


class StudentsLoop:
    """h′ = tanh(W_xh x + W_hh h + b_h), y = W_hy h + b_y, and the chain rule by hand."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0).standard_normal
        self.W_xh, self.W_hh, self.W_hy = (0.01 * draw(shape) for shape in ((H, V), (H, H), (V, H)))
        self.b_h, self.b_y = np.zeros((H, 1)), np.zeros((V, 1))
        self.weights = [self.W_xh, self.W_hh, self.W_hy, self.b_h, self.b_y]
        self.memory = [np.zeros_like(weight) for weight in self.weights]
        self.h = np.zeros((H, 1))

    def gradients(self, inputs: list[int], targets: list[int]) -> list[Array]:
        """Walk a window forward and back."""
        xs, hs, ps = [], [self.h], []
        loss = 0.0
        for read, guessed in zip(inputs, targets, strict=True):
            x = np.zeros((V, 1))
            x[read] = 1
            h = np.tanh(np.dot(self.W_xh, x) + np.dot(self.W_hh, hs[-1]) + self.b_h)
            e = np.exp(np.dot(self.W_hy, h) + self.b_y)
            p = e / np.sum(e)
            loss -= float(np.log(p[guessed, 0]))
            xs.append(x)
            hs.append(h)
            ps.append(p)
        dW_xh, dW_hh, dW_hy, db_h, db_y = (np.zeros_like(weight) for weight in self.weights)
        dh_next = np.zeros_like(self.h)
        for t in reversed(range(len(inputs))):
            dy = ps[t].copy()
            dy[targets[t]] -= 1
            dW_hy += np.dot(dy, hs[t + 1].T)
            db_y += dy
            da = (1 - hs[t + 1] ** 2) * (np.dot(self.W_hy.T, dy) + dh_next)
            dW_xh += np.dot(da, xs[t].T)
            dW_hh += np.dot(da, hs[t].T)
            db_h += da
            dh_next = np.dot(self.W_hh.T, da)
        self.h = hs[-1]
        return [dW_xh, dW_hh, dW_hy, db_h, db_y]

    def step(self, inputs: list[int], targets: list[int]) -> None:
        """Clip each element, and take an Adagrad step."""
        found = self.gradients(inputs, targets)
        for weight, gradient, memory in zip(self.weights, found, self.memory, strict=True):
            np.clip(gradient, -LIMIT, LIMIT, out=gradient)
            memory += gradient * gradient
            weight -= RATE * gradient / np.sqrt(memory + EPSILON)


def loop() -> Work:
    """Return steps of the student's loop."""
    threadpool_limits(1, user_api="blas")
    student, ids = StudentsLoop(), text().tolist()
    place = 0

    def work() -> float:
        nonlocal place
        student.step(ids[place : place + T], ids[place + 1 : place + T + 1])
        place = (place + T) % (T * WINDOWS)
        return float(T)

    return work


def main() -> None:
    """Compare them."""
    asked = options(__doc__).parse_args()
    kernels = BACKENDS if default_backend() == "numba" else BACKENDS[:1]
    rivals: dict[str, tuple[Any, ...]] = {f"preset, {name}": (preset, name) for name in kernels}
    rates = in_turn(rivals | {"loop": (loop,)}, *((1, 0.1) if asked.quick else (9, 1.0)))
    ratios = {name: rates.ratios(name, "loop") for name in (*rivals, "loop")}
    rows = [
        [name, f"{rates.middle(name) / 1000:.1f}k", spread(ratio)] for name, ratio in ratios.items()
    ]
    show(("min-char-rnn", "characters/s", "of the loop"), rows)
    write_json(asked.json, {name: median(ratio) for name, ratio in ratios.items()})


if __name__ == "__main__":
    main()
