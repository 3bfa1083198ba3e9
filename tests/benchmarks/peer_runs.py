"""Trainings on PyTorch: the recipe of a checkpoint, the classic one, and a small GPT.

Seconds are those of training steps alone. A schedule follows the time and ends with it. A run is
validated at marks, which are seconds, outside its clock.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from charrnn.data.text_batches import TextBatches
from charrnn.nn.model_config import ModelConfig
from charrnn.optim.schedules import SCHEDULES
from charrnn.training.presets import MAX_WARMUP_SHARE
from charrnn.training_config import TrainingConfig
from charrnn.types import Ids
from tests.benchmarks.torch_recipe import Recipe, Recurrent, orthogonal, stream_loss

THREADS = 2

Points = Iterator[tuple[float, float]]
"""Seconds of training and validation loss in nats per character, in order of time."""


def prepare(seed: int) -> None:
    """Set the threads and the seed of PyTorch; denormal numbers, which are slow, become zero."""
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)


class Rate:
    """Factor of the learning rate: a warm-up by steps, then a function of the rest of the run.

    Args:
        warmup_steps: steps of a linear warm-up, which ends with a third of the run at the latest.
        shape: a function from the fraction of the run after the warm-up, 0 to 1, to the factor.
    """

    def __init__(self, warmup_steps: int, shape: Callable[[float], float]) -> None:
        self.warmup_steps, self.shape = warmup_steps, shape
        self.start = 0.0

    def __call__(self, number: int, done: float) -> float:
        """Return the factor of step `number`, when the fraction `done` of the run is over."""
        if number < self.warmup_steps and done < MAX_WARMUP_SHARE:
            self.start = done
            return (number + 1) / self.warmup_steps
        return self.shape((done - self.start) / (1 - self.start))


def timed(
    step: Callable[[int, float], None],
    marks: Sequence[float],
    validate: Callable[[], float],
    steps: int | None = None,
) -> Points:
    """Train, and yield a point at each mark; the last one is the end.

    Args:
        step: makes one step; is given its number and the fraction of the run that is over.
        marks: seconds in rising order.
        validate: returns the validation loss.
        steps: steps after which the run ends, if the time is not over before; by default none.
    """
    spent, number = 0.0, 0
    for mark in marks:
        while spent < mark and number != steps:
            done = spent / marks[-1] if steps is None else number / steps
            began = time.perf_counter()
            step(number, done)
            spent += time.perf_counter() - began
            number += 1
        yield spent, validate()
        if number == steps:
            return


def our_recipe(
    train: Ids, held: Ids, model: ModelConfig, config: TrainingConfig, marks: Sequence[float]
) -> Points:
    """Train with the settings of a checkpoint, except that the schedule ends with the last mark."""
    prepare(config.seed)
    recipe = Recipe(train, model, config)
    rate = Rate(config.warmup_steps, SCHEDULES[config.schedule])

    def step(number: int, done: float) -> None:
        recipe.step(number, config.lr * rate(number, done))

    yield from timed(step, marks, lambda: stream_loss(recipe.net, held))


def char_rnn(train: Ids, held: Ids, V: int, seed: int, marks: Sequence[float]) -> Points:
    """Train the classic recipe, which has no schedule, until the last mark."""
    prepare(seed)
    B = T = 50
    net = Recurrent(V, 128, 2, 0.0)
    update = torch.optim.Adam(net.parameters(), 2e-3, fused=True)
    windows = TextBatches(train, T, B, seed, 0.0)
    state = None

    def step(number: int, done: float) -> None:
        nonlocal state
        window = windows.at(number)
        state = (
            None if window.reset_mask.all() or state is None else tuple(s.detach() for s in state)
        )
        logits, state = net(torch.from_numpy(window.inputs), state)
        targets = torch.from_numpy(window.targets)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        update.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        update.step()

    yield from timed(step, marks, lambda: stream_loss(net, held))


class Block(nn.Module):
    """Causal attention and a perceptron, each added to what comes in (Radford et al. 2019).

    The matrices of queries, keys and values are one product, but three parameters, for Muon.
    """

    def __init__(self, D: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(D, bias=False), nn.LayerNorm(D, bias=False)
        self.qkv = nn.ParameterList(torch.empty(D, D) for _ in range(3))
        self.out = nn.Linear(D, D, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(D, 4 * D, bias=False), nn.GELU(), nn.Linear(4 * D, D, bias=False)
        )

    def forward(self, x):  # type: ignore[no-untyped-def]  # torch is untyped here
        """Return (B, T, D)."""
        B, T, D = x.shape
        projected = nn.functional.linear(self.before(x), torch.cat(list(self.qkv)))
        split = projected.view(B, T, 3, self.heads, D // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, D))
        return x + self.mlp(self.between(x))


class SmallGPT(nn.Module):
    """Token and position embeddings, blocks, a readout that shares the embedding."""

    def __init__(self, V: int, T: int, D: int = 128, heads: int = 4, layers: int = 4) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(V, D), nn.Embedding(T, D)
        self.blocks = nn.Sequential(*(Block(D, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(D, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                last = name.endswith(("out.weight", "mlp.2.weight"))
                nn.init.normal_(weight, 0.0, 0.02 / (math.sqrt(2 * layers) if last else 1.0))

    def forward(self, ids):  # type: ignore[no-untyped-def]  # torch is untyped here
        """Return logits (B, T, V)."""
        x = self.token(ids) + self.place(torch.arange(ids.shape[1]))
        return self.norm(self.blocks(x)) @ self.token.weight.T


class FloatMuon(torch.optim.Optimizer):
    """`torch.optim.Muon` with its iterations in float32, the matrices of a shape together.

    Its own are in bfloat16: 15 times slower on a CPU without instructions for that.

    Args:
        weights: matrices of any shapes.
        lr: learning rate, before the factor √(rows / columns) of a matrix with more rows.
        weight_decay: decoupled from the gradient.
        momentum: decay of the mean of gradients; an update has Nesterov's correction.
    """

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        by_shape: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for weight in weights:
            by_shape.setdefault(tuple(weight.shape), []).append(weight)
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__([{"params": some} for some in by_shape.values()], settings)

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[no-untyped-def]  # torch is untyped here
        """M ← lerp(G, M, μ);  W ← W − lr · decay · W − lr · factor · O(lerp(G, M, μ))."""
        for group in self.param_groups:
            weights, lr, mu = group["params"], group["lr"], group["momentum"]
            G = torch.stack([weight.grad for weight in weights])
            M = self.state[weights[0]].setdefault("momentum", torch.zeros_like(G))
            M.lerp_(G, 1 - mu)
            changes = orthogonal(G.lerp(M, mu))
            factor = max(1.0, G.shape[1] / G.shape[2]) ** 0.5
            for weight, change in zip(weights, changes, strict=True):
                weight.mul_(1 - lr * group["weight_decay"])
                weight.sub_(change, alpha=lr * factor)


LEAST_RATE = 0.1
"""Last learning rate of nanoGPT, as a fraction of the largest."""


def gpt_optimisers(net: SmallGPT, *, muon: bool) -> list[torch.optim.Optimizer]:
    """Return AdamW with nanoGPT's settings, or Muon for the matrices of the blocks beside it.

    Learning rate and weight decay of Muon are those of its authors' README
    (https://github.com/KellerJordan/Muon): 0.02 and 0.01. As they advise, it has the matrices of
    queries, keys and values one by one, and AdamW keeps all other parameters.
    """
    blocks = [weight for weight in net.blocks.parameters() if weight.dim() == 2 and muon]
    given = {id(weight) for weight in blocks}
    others = [weight for weight in net.parameters() if id(weight) not in given]
    groups = [
        {"params": [weight for weight in others if weight.dim() == 2], "weight_decay": 0.1},
        {"params": [weight for weight in others if weight.dim() < 2], "weight_decay": 0.0},
    ]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, 1e-3, betas=(0.9, 0.99), fused=True)
    ]
    if muon:
        optimisers.append(FloatMuon(blocks, 0.02, weight_decay=0.01))
    return optimisers


def gpt(
    train: Ids,
    held: Ids,
    V: int,
    seed: int,
    marks: Sequence[float],
    *,
    muon: bool = False,
    steps: int | None = None,
) -> Points:
    """Train nanoGPT's recipe for a CPU; its cosine ends with the last mark, or after `steps`."""
    prepare(seed)
    T, B = 64, 12
    net = SmallGPT(V, T)
    optimisers = gpt_optimisers(net, muon=muon)
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    largest = [group["lr"] for group in groups]
    rate = Rate(
        100, lambda done: LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * done)) / 2
    )
    text, draw = torch.from_numpy(train), np.random.default_rng(seed)

    def step(number: int, done: float) -> None:
        factor = rate(number, done)
        for group, lr in zip(groups, largest, strict=True):
            group["lr"] = lr * factor
        starts = torch.from_numpy(draw.integers(len(train) - T, size=B))[:, None]
        window = text[starts + torch.arange(T + 1)]
        logits = net(window[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()

    yield from timed(step, marks, lambda: gpt_loss(net, held, T), steps)


@torch.no_grad()
def gpt_loss(net: SmallGPT, held: Ids, T: int) -> float:
    """Score every character with at least T/2 before it, windows half overlapping."""
    text, half = torch.from_numpy(held), T // 2
    starts = torch.arange(0, len(text) - T - 1, half)
    total, count = 0.0, 0
    for some in starts.split(256):
        window = text[some[:, None] + torch.arange(T + 1)]
        logits = net(window[:, :-1])[:, half:]
        targets = window[:, 1 + half :]
        total += float(
            nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        )
        count += targets.numel()
    return total / count
