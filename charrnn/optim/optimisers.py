"""Optimisers: rules that turn a gradient into new weights.

Each works on one flat vector of weights, in place. Weight decay is decoupled from the gradient
(Loshchilov & Hutter 2019, arXiv 1711.05101): w ← w − lr · decay · w before the step. `adam` instead
adds the L2 term to the gradient: g ← g + decay · w.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import ClassVar

import numpy as np

from charrnn.optim.newton_schulz import Orthogonaliser
from charrnn.types import Array, Shapes


class Optimiser(ABC):
    """Base class. A subclass declares `slots` and `default_lr`, and defines `step`.

    `OPTIMISERS` makes it known by a name.

    Args:
        parameters: the weights (n,), for their size and dtype; they are not kept.
        weight_decay: 0 or more; see the top of this module.
        shapes: the shapes of the parameters in the vector by name; most optimisers need none.
        threads: threads that may share the work of an update.

    Example:
        >>> w = np.array([1.0, 1.0])
        >>> optimiser = OPTIMISERS["adagrad"](w)
        >>> optimiser.update(w, np.array([5.0, -0.1]), lr=0.1)  # the first step has the size lr
        >>> w.round(6)
        array([0.9, 1.1])
    """

    slots: ClassVar[tuple[str, ...]]
    """Names of the running arrays that it needs besides the weights; checkpoints store them."""
    default_lr: ClassVar[float]
    """Default learning rate, before the factor of the cell (`Cell.lr_scale`)."""
    period: int = 1
    """Updates after which their cost repeats: some do more work at every so many."""

    def __init__(
        self,
        parameters: Array,
        weight_decay: float = 0.0,
        shapes: Shapes | None = None,
        threads: int = 1,
    ) -> None:
        self.weight_decay = weight_decay
        self.state = {name: np.zeros_like(parameters) for name in self.slots}
        """The running arrays by name, each (n,), zero at first."""
        self.updates = 0
        """Number of updates so far; checkpoints store it."""
        self._scratch = np.empty_like(parameters)

    def update(self, parameters: Array, gradient: Array, lr: float) -> None:
        """Update `parameters` (n,) in place.

        Args:
            parameters: the weights, overwritten.
            gradient: their gradient (n,), used as scratch space: undefined afterwards.
            lr: the learning rate of this step.
        """
        self.updates += 1
        if self.weight_decay:
            self.decay(parameters, gradient, lr)
        self.step(parameters, gradient, lr)

    def decay(self, parameters: Array, gradient: Array, lr: float) -> None:
        """w ← w − lr · decay · w: decoupled weight decay, before the step."""
        parameters *= 1 - lr * self.weight_decay

    @abstractmethod
    def step(self, w: Array, g: Array, lr: float) -> None:
        """Overwrite the weights w (n,) and the arrays of `state` from the gradient g (n,).

        May use `self._scratch` (n,), and overwrite g.
        """


class Adagrad(Optimiser):
    """s ← s + g²;  w ← w − lr · g / (√s + ε).

    Duchi, Hazan & Singer 2011, JMLR 12, diagonal form.
    """

    slots: ClassVar = ("sum_of_squares",)
    default_lr: ClassVar = 0.4
    epsilon: ClassVar = 1e-8

    def step(self, w: Array, g: Array, lr: float) -> None:
        s, scratch = self.state["sum_of_squares"], self._scratch
        s += np.multiply(g, g, out=scratch)
        np.sqrt(s, out=scratch)
        scratch += self.epsilon
        w -= np.multiply(np.divide(g, scratch, out=scratch), lr, out=scratch)


class DampedAdagrad(Adagrad):
    """Adagrad with ε inside the square root: s ← s + g²;  w ← w − lr · g / √(s + ε).

    The variant of Karpathy's min-char-rnn (2015). A weight whose gradient is below √ε = 1e-4 moves
    by less than lr at its first step, while `Adagrad` moves it by lr whatever its gradient. For an
    RNN with initial weights of about 0.01 the two give different results.
    """

    default_lr: ClassVar = 0.1

    def step(self, w: Array, g: Array, lr: float) -> None:
        s, scratch = self.state["sum_of_squares"], self._scratch
        s += np.multiply(g, g, out=scratch)
        np.add(s, self.epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        w -= np.multiply(np.divide(g, scratch, out=scratch), lr, out=scratch)


HIDDEN_PER_PERIOD = 64
"""Hidden units per update of the period: the iterations cost H times as much per unit as a step."""

MATRIX_SCALE = 0.125
"""Learning rate of the matrices, as a factor on Adagrad's."""

MATRIX_DECAY = 6.0
"""Weight decay of the matrices, as a factor on that of the other parameters. A step of Muon has the
same length however small the gradient is, so that without a stronger decay the matrices grow, and
the network overfits."""

FULL_LR_HIDDEN = 256


class Muon(Adagrad):
    """Muon for the matrices between hidden units, Adagrad for all other parameters.

    Of every gate's matrix W (H, H), in W_hh and in the W_xh of upper layers:

        M ← μ M + G at every update;  W ← W − p η O(M) at every p-th update,

    where O(M) is M with its singular values brought near 1 by Newton–Schulz iterations, so that a
    step changes every direction by as much, also those in which gradients are small. p is `period`:
    O changes slowly and costs as much as a step of training. η is the learning rate times
    `MATRIX_SCALE`, and does not depend on H as that of Adagrad does. The weight decay of W is
    `MATRIX_DECAY` times that of the other parameters.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; Bernstein & Newhouse 2024, arXiv
    2409.20325. Duchi, Hazan & Singer 2011 for Adagrad. `accumulator` holds M of these matrices and
    the sums of squares of the other parameters. Without the shapes of the parameters it is Adagrad.
    """

    slots: ClassVar = ("accumulator",)
    default_lr: ClassVar = 0.4
    mu: ClassVar = 0.95

    def __init__(
        self,
        parameters: Array,
        weight_decay: float = 0.0,
        shapes: Shapes | None = None,
        threads: int = 1,
    ) -> None:
        super().__init__(parameters, weight_decay)
        self._blocks: list[slice] = []
        """Where each gate's matrix lies in the vector."""
        self._others: list[slice] = []
        self._H = 0
        start = 0
        for name, shape in (shapes or {"": parameters.shape}).items():
            stop = start + prod(shape)
            if is_between_hidden_units(name, shape):
                self._H = shape[-1]
                size = self._H**2
                self._blocks += [slice(at, at + size) for at in range(start, stop, size)]
            elif self._others and self._others[-1].stop == start:
                self._others[-1] = slice(self._others[-1].start, stop)
            else:
                self._others.append(slice(start, stop))
            start = stop
        if self._H:
            self.period = max(1, round(self._H / HIDDEN_PER_PERIOD))
        threads = max(1, min(threads, len(self._blocks)))
        self._orthogonalisers = [Orthogonaliser(self._H, parameters.dtype) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def decay(self, parameters: Array, gradient: Array, lr: float) -> None:
        """w ← w − lr · decay · w, with `MATRIX_DECAY` times the decay for the matrices."""
        for part in self._others:
            parameters[part] *= 1 - lr * self.weight_decay
        for block in self._blocks:
            parameters[block] *= 1 - lr * self.weight_decay * MATRIX_DECAY

    def step(self, w: Array, g: Array, lr: float) -> None:
        a = self.state["accumulator"]
        for part in self._others:
            self.adagrad(w[part], g[part], a[part], self._scratch[part], lr)
        for block in self._blocks:
            a[block] *= self.mu
            a[block] += g[block]
        if self._blocks and self.updates % self.period == 0:
            rate = self.period * lr * MATRIX_SCALE * max(1.0, self._H / FULL_LR_HIDDEN)
            self._update_matrices(w, a, rate)

    def adagrad(self, w: Array, g: Array, s: Array, scratch: Array, lr: float) -> None:
        """Update parameters that are not matrices between hidden units."""
        s += np.multiply(g, g, out=scratch)
        np.sqrt(s, out=scratch)
        scratch += self.epsilon
        w -= np.multiply(np.divide(g, scratch, out=scratch), lr, out=scratch)

    def _update_matrices(self, w: Array, a: Array, rate: float) -> None:
        """Update all matrices, shared out over the threads; each is computed by one of them."""
        threads = len(self._orthogonalisers)

        def work(number: int) -> None:
            for block in self._blocks[number::threads]:
                change = self._orthogonalisers[number](a[block].reshape(self._H, self._H))
                np.multiply(change, rate, out=change)
                w[block] -= change.ravel()

        if self._pool is None:
            work(0)
        else:
            list(self._pool.map(work, range(threads)))


def is_between_hidden_units(name: str, shape: Sequence[int]) -> bool:
    """Return whether a parameter (G, H, H) multiplies hidden units and gives hidden units."""
    square = len(shape) == 3 and shape[1] == shape[2]
    return square and (name.endswith(".W_hh") or is_upper_input(name))


def is_upper_input(name: str) -> bool:
    """Return whether a parameter is the input matrix of a layer above the first."""
    return name.endswith(".W_xh") and not name.startswith(("layers.0.", "layers.0_reverse."))


class RMSprop(Optimiser):
    """s ← ρ s + (1 − ρ) g²;  w ← w − lr · g / (√s + ε). Tieleman & Hinton 2012, lecture 6.5."""

    slots: ClassVar = ("mean_square",)
    default_lr: ClassVar = 2e-3
    rho: ClassVar = 0.95
    epsilon: ClassVar = 1e-8

    def step(self, w: Array, g: Array, lr: float) -> None:
        s, scratch = self.state["mean_square"], self._scratch
        s *= self.rho
        s += np.multiply(np.multiply(g, g, out=scratch), 1 - self.rho, out=scratch)
        np.sqrt(s, out=scratch)
        scratch += self.epsilon
        w -= np.multiply(np.divide(g, scratch, out=scratch), lr, out=scratch)


class AdamW(Optimiser):
    """m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ);  w ← w − lr · m̂ / (√v̂ + ε).

    m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g² are the running means. Kingma & Ba 2015, arXiv
    1412.6980, Algorithm 1 (ε is added after the bias correction), with decoupled weight decay
    (Loshchilov & Hutter 2019).
    """

    slots: ClassVar = ("mean", "mean_square")
    default_lr: ClassVar = 4e-3
    beta1: ClassVar = 0.9
    beta2: ClassVar = 0.99
    epsilon: ClassVar = 1e-8

    def step(self, w: Array, g: Array, lr: float) -> None:
        m, v, scratch = self.state["mean"], self.state["mean_square"], self._scratch
        m *= self.beta1
        m += np.multiply(g, 1 - self.beta1, out=scratch)
        v *= self.beta2
        v += np.multiply(np.multiply(g, g, out=scratch), 1 - self.beta2, out=scratch)
        np.multiply(v, 1 / (1 - self.beta2**self.updates), out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += self.epsilon
        np.divide(m, scratch, out=scratch)
        w -= np.multiply(scratch, lr / (1 - self.beta1**self.updates), out=scratch)


class Adam(AdamW):
    """Adam with L2 regularisation: as `AdamW`, but with the decay in the gradient."""

    def decay(self, parameters: Array, gradient: Array, lr: float) -> None:
        """g ← g + decay · w: the L2 term, before the step."""
        gradient += np.multiply(parameters, self.weight_decay, out=self._scratch)


class SGD(Optimiser):
    """Stochastic gradient descent with momentum: m ← μ m + g;  w ← w − lr · m.

    Polyak 1964, in the form of PyTorch; Sutskever et al. 2013 multiply g by lr before it enters m.
    """

    slots: ClassVar = ("momentum",)
    default_lr: ClassVar = 0.5
    mu: ClassVar = 0.9

    def step(self, w: Array, g: Array, lr: float) -> None:
        m = self.state["momentum"]
        m *= self.mu
        m += g
        w -= np.multiply(m, lr, out=self._scratch)


OPTIMISERS: dict[str, type[Optimiser]] = {
    "adagrad": Adagrad,
    "adagrad-damped": DampedAdagrad,
    "muon": Muon,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
"""Registry of the optimisers, by the name that `--optimizer` takes.

A new optimiser is one class and one line here, or in a module of your own.
"""
