"""Optimisers: rules that turn a gradient into new weights.

Each works on one flat vector of weights, in place. Weight decay is decoupled from the gradient
(Loshchilov & Hutter 2019, arXiv 1711.05101): w ← w − lr · decay · w before the step. `adam` instead
adds the L2 term to the gradient: g ← g + decay · w.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from charrnn.types import Array


class Optimiser(ABC):
    """Base class. A subclass declares `slots` and `default_lr`, and defines `step`.

    `OPTIMISERS` makes it known by a name.

    Args:
        parameters: the weights (n,), for their size and dtype; they are not kept.
        weight_decay: 0 or more; see the top of this module.

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

    def __init__(self, parameters: Array, weight_decay: float = 0.0) -> None:
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
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
"""Registry of the optimisers, by the name that `--optimizer` takes.

A new optimiser is one class and one line here, or in a module of your own.
"""
