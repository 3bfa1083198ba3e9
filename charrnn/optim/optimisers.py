"""Optimisers: from a gradient to new weights.

Each works on the network's one flat vector, in place. Weight decay is decoupled from the gradient
in all of them (Loshchilov & Hutter 2019, arXiv 1711.05101), except in `adam`, where it is the
classic L2 term: w ← w − lr · decay · w, before the gradient's own step.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from charrnn.types import Array


class Optimiser(ABC):
    """Holds one running array, shaped as the parameters, for each name in `slots`."""

    slots: ClassVar[tuple[str, ...]]
    default_lr: ClassVar[float]
    """The rate to begin with, unless the user says otherwise."""

    def __init__(self, parameters: Array, weight_decay: float = 0.0) -> None:
        self.weight_decay = weight_decay
        self.state = {name: np.zeros_like(parameters) for name in self.slots}
        self.updates = 0
        self._scratch = np.empty_like(parameters)

    def update(self, parameters: Array, gradient: Array, lr: float) -> None:
        """Take one step: overwrites `parameters`, and uses up `gradient`."""
        self.updates += 1
        if self.weight_decay:
            self.decay(parameters, gradient, lr)
        self.step(parameters, gradient, lr)

    def decay(self, parameters: Array, gradient: Array, lr: float) -> None:
        """w ← w − lr · decay · w."""
        parameters *= 1 - lr * self.weight_decay

    @abstractmethod
    def step(self, w: Array, g: Array, lr: float) -> None:
        """Overwrite the weights w, knowing their gradient g."""


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
    """s ← s + g²;  w ← w − lr · g / √(s + ε). The form of Karpathy's min-char-rnn (2015).

    With ε under the root, a weight whose gradients are below √ε = 1e-4 moves less than lr at its
    first step, where Adagrad would move it by lr whatever its gradient: from weights of 0.01 that
    decides what becomes of a plain RNN.
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

    Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1: ε stands outside the bias correction.
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
    """AdamW, but weight decay is part of the gradient: g ← g + decay · w."""

    def decay(self, parameters: Array, gradient: Array, lr: float) -> None:
        gradient += np.multiply(parameters, self.weight_decay, out=self._scratch)


class SGD(Optimiser):
    """m ← μ m + g;  w ← w − lr · m. Polyak 1964; the form of Sutskever et al. 2013."""

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
