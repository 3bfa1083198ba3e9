"""Whole trainings on PyTorch: our recipe, the classic one, and a small GPT. Points of loss by time.

Seconds are those of training alone; each run is validated now and then, outside its clock.
"""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from charrnn.data.text_batches import TextBatches
from charrnn.nn.model_config import ModelConfig
from charrnn.optim.schedules import lr_at_step
from charrnn.training_config import TrainingConfig
from charrnn.types import Ids

THREADS = 2
POINTS = 12
"""Validations of a run."""

Points = Iterator[tuple[float, float]]


class Recurrent(nn.Module):
    """One-hot characters, LSTM layers with dropout on their outputs, readout."""

    def __init__(self, V: int, H: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.V = V
        self.body = nn.LSTM(V, H, layers, dropout=dropout if layers > 1 else 0.0)
        self.drop = nn.Dropout(dropout)
        self.readout = nn.Linear(H, V)

    def forward(self, ids, state):  # type: ignore[no-untyped-def]  # torch is untyped here
        """Return logits (T, B, V) and the state to go on from."""
        h, state = self.body(nn.functional.one_hot(ids, self.V).float(), state)
        return self.readout(self.drop(h)), state


def timed(
    step: Callable[[int], None], steps: int | None, limit: float, validate: Callable[[], float]
) -> Points:
    """Take steps until they or the time are over; yield a dozen points, evenly spread."""
    spent, number, shown = 0.0, 0, 0
    while spent < limit and (steps is None or number < steps):
        began = time.perf_counter()
        step(number)
        spent += time.perf_counter() - began
        number += 1
        progress = max(spent / limit, number / steps if steps else 0.0)
        if progress >= (shown + 1) / POINTS:
            shown += 1
            yield spent, validate()


@torch.no_grad()
def stream_loss(net: Recurrent, held: Ids) -> float:
    """Score a text as one stream from the zero state."""
    net.eval()
    total, state = 0.0, None
    text = torch.from_numpy(held)
    for begin in range(0, len(text) - 1, 1000):
        piece = text[begin : begin + 1001]
        logits, state = net(piece[:-1, None], state)
        total += float(nn.functional.cross_entropy(logits[:, 0], piece[1:], reduction="sum"))
    net.train()
    return total / (len(held) - 1)


def our_recipe(
    train: Ids, held: Ids, model: ModelConfig, config: TrainingConfig, limit: float
) -> Points:
    """Train as the checkpoint says that charrnn did, step for step."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(config.seed)
    net = Recurrent(model.inputs, model.hidden, model.layers, model.dropout)
    H = model.hidden
    with torch.no_grad():
        for layer in range(model.layers):
            W = getattr(net.body, f"weight_hh_l{layer}")
            for gate in range(4):
                nn.init.orthogonal_(W[gate * H : (gate + 1) * H])
            if layer == 0:
                net.body.weight_ih_l0.normal_()
            for name in ("bias_ih", "bias_hh"):
                getattr(net.body, f"{name}_l{layer}").zero_()
            getattr(net.body, f"bias_ih_l{layer}")[H : 2 * H] = model.forget_bias
        net.readout.bias.zero_()
    update = torch.optim.Adagrad(net.parameters(), config.lr, fused=True)
    windows = TextBatches(
        train, config.seq_length, config.batch_size, config.seed, config.state_reset_prob
    )
    state = None

    def step(number: int) -> None:
        nonlocal state
        window = windows.at(number)
        if state is not None:
            keep = torch.from_numpy(~window.reset_mask).float()[None, :, None]
            state = tuple(part.detach() * keep for part in state)
        logits, state = net(torch.from_numpy(window.inputs.copy()), state)
        targets = torch.from_numpy(window.targets.copy())
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        update.zero_grad(set_to_none=True)
        loss.backward()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
        rate = lr_at_step(config.lr, config.schedule, config.warmup_steps, number, config.steps)
        update.param_groups[0]["lr"] = rate
        with torch.no_grad():  # decoupled from the gradient, as ours: PyTorch's Adagrad has L2
            torch._foreach_mul_(list(net.parameters()), 1 - rate * config.weight_decay)
        update.step()

    yield from timed(step, config.steps, limit, lambda: stream_loss(net, held))


def char_rnn(train: Ids, held: Ids, V: int, limit: float) -> Points:
    """Train the classic recipe for as long as there is time."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    B = T = 50
    net = Recurrent(V, 128, 2, 0.0)
    update = torch.optim.Adam(net.parameters(), 2e-3, fused=True)
    windows = TextBatches(train, T, B, 0, 0.0)
    state = None

    def step(number: int) -> None:
        nonlocal state
        window = windows.at(number)
        state = (
            None if window.reset_mask.all() or state is None else tuple(s.detach() for s in state)
        )
        logits, state = net(torch.from_numpy(window.inputs.copy()), state)
        targets = torch.from_numpy(window.targets.copy())
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        update.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        update.step()

    yield from timed(step, None, limit, lambda: stream_loss(net, held))


class Block(nn.Module):
    """Causal attention and a perceptron, each added to what comes in (Radford et al. 2019)."""

    def __init__(self, D: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(D, bias=False), nn.LayerNorm(D, bias=False)
        self.qkv = nn.Linear(D, 3 * D, bias=False)
        self.out = nn.Linear(D, D, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(D, 4 * D, bias=False), nn.GELU(), nn.Linear(4 * D, D, bias=False)
        )

    def forward(self, x):  # type: ignore[no-untyped-def]  # torch is untyped here
        """Return (B, T, D)."""
        B, T, D = x.shape
        split = self.qkv(self.before(x)).view(B, T, 3, self.heads, D // self.heads)
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


def gpt(train: Ids, held: Ids, V: int, limit: float) -> Points:
    """Train nanoGPT's recipe for a CPU."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    T, B, steps, warmup_steps, rate, least = 64, 12, 2000, 100, 1e-3, 1e-4
    net = SmallGPT(V, T)
    decayed = [weight for weight in net.parameters() if weight.dim() == 2]
    plain = [weight for weight in net.parameters() if weight.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    update = torch.optim.AdamW(groups, rate, betas=(0.9, 0.99), fused=True)
    text, draw = torch.from_numpy(train), np.random.default_rng(0)

    def step(number: int) -> None:
        done = max(0, number - warmup_steps) / (steps - warmup_steps)
        cosine = least + 0.5 * (rate - least) * (1 + math.cos(math.pi * done))
        for group in update.param_groups:
            group["lr"] = (
                rate * (number + 1) / (warmup_steps + 1) if number < warmup_steps else cosine
            )
        starts = torch.from_numpy(draw.integers(len(train) - T, size=B))[:, None]
        window = text[starts + torch.arange(T + 1)]
        logits = net(window[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        update.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        update.step()

    yield from timed(step, steps, limit, lambda: gpt_loss(net, held, T))


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
