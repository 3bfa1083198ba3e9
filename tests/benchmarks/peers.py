"""PyTorch as a peer: the same step, in whichever of its ways is the faster one here."""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import nn

from tests.benchmarks.measuring import Work, rate_of

KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
TRIAL = 0.4
"""Seconds of each way, to choose the fastest."""


class Network(nn.Module):
    """Embedding or one-hot, recurrent layers, readout."""

    def __init__(self, cell: str, V: int, H: int, layers: int, *, embedding: bool) -> None:
        super().__init__()
        self.V, self.embedding = V, nn.Embedding(V, H) if embedding else None
        self.body = KINDS[cell](H if embedding else V, H, layers)
        self.readout = nn.Linear(H, V)

    def forward(self, ids, state):  # type: ignore[no-untyped-def]  # torch is untyped here
        """Return logits (T, B, V) and the state to go on from."""
        x = self.embedding(ids) if self.embedding else nn.functional.one_hot(ids, self.V).float()
        h, state = self.body(x, state)
        return self.readout(h), state


OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda weights: torch.optim.Adam(weights, 1e-3, fused=True),
    "adagrad": lambda weights: torch.optim.Adagrad(weights, 1e-2, fused=True),
}


def training(cell: str, V: int, H: int, layers: int, B: int, T: int, threads: int) -> Work:
    """Return the fastest of embedding and one-hot, fused Adam and Adagrad."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    ways = [
        _training(cell, V, H, layers, B, T, embedding=embedding, optimiser=optimiser)
        for embedding, optimiser in product((True, False), OPTIMISERS)
    ]
    for way in ways:
        way()
    return max(ways, key=lambda way: rate_of(way, TRIAL))


def _training(
    cell: str, V: int, H: int, layers: int, B: int, T: int, *, embedding: bool, optimiser: str
) -> Work:
    torch.manual_seed(0)
    net = Network(cell, V, H, layers, embedding=embedding)
    update = OPTIMISERS[optimiser](net.parameters())
    text = torch.from_numpy(np.random.default_rng(0).integers(V, size=(T + 1, B)))
    state = None

    def work() -> float:
        nonlocal state
        logits, carried = net(text[:-1], state)
        state = tuple(s.detach() for s in carried) if cell == "lstm" else carried.detach()
        loss = nn.functional.cross_entropy(logits.reshape(-1, V), text[1:].reshape(-1))
        update.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.25)
        update.step()
        return float(T * B)

    return work


def sampling(V: int, H: int, count: int) -> Work:
    """Return the usual loop: a step of the network, softmax, multinomial, and again."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Network("lstm", V, H, 1, embedding=False)
    step = nn.LSTMCell(V, H)
    steps = 200

    @torch.no_grad()
    def whole() -> float:
        state, ids = None, torch.zeros(1, count, dtype=torch.long)
        for _ in range(steps):
            logits, state = net(ids, state)
            p = torch.softmax(logits[0] / 0.8, dim=-1)
            ids = torch.multinomial(p, 1).T
        return float(steps * count)

    @torch.no_grad()
    def by_cell() -> float:
        state, ids = None, torch.zeros(count, dtype=torch.long)
        for _ in range(steps):
            state = step(nn.functional.one_hot(ids, V).float(), state)
            p = torch.softmax(net.readout(state[0]) / 0.8, dim=-1)
            ids = torch.multinomial(p, 1)[:, 0]
        return float(steps * count)

    return max((whole, by_cell), key=lambda way: rate_of(way, TRIAL))
