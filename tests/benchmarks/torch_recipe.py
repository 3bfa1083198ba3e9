"""The recipe of a checkpoint on PyTorch: LSTM, dropout, optimiser, clipping and batches.

The network starts from the weights that charrnn would draw. PyTorch has two biases for each gate;
the second one is kept at zero, since both together would move twice as far.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from charrnn.data.text_batches import TextBatches
from charrnn.export.pytorch_weights import to_pytorch
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.optim import optimisers as ours
from charrnn.optim.newton_schulz import ITERATIONS, NEWTON_SCHULZ
from charrnn.randomness import Purpose, generator
from charrnn.training_config import TrainingConfig
from charrnn.types import Array, Ids


class Recurrent(nn.Module):
    """One-hot characters, LSTM layers with dropout on their outputs, readout."""

    def __init__(self, V: int, H: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.V = V
        self.rnn = nn.LSTM(V, H, layers, dropout=dropout if layers > 1 else 0.0)
        self.drop = nn.Dropout(dropout)
        self.readout = nn.Linear(H, V)

    def forward(self, ids, state):  # type: ignore[no-untyped-def]  # torch is untyped here
        """Return logits (T, B, V) and the state to go on from."""
        h, state = self.rnn(nn.functional.one_hot(ids, self.V).float(), state)
        return self.readout(self.drop(h)), state


@torch.no_grad()
def stream_loss(net: Recurrent, held: Ids) -> float:
    """Return the nats per character of a text, scored as one stream from the zero state.

    With one thread: a step of one row is too short to be shared.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net.eval()
    total, state = 0.0, None
    text = torch.from_numpy(held)
    for begin in range(0, len(text) - 1, 1000):
        piece = text[begin : begin + 1001]
        logits, state = net(piece[:-1, None], state)
        total += float(nn.functional.cross_entropy(logits[:, 0], piece[1:], reduction="sum"))
    net.train()
    torch.set_num_threads(threads)
    return total / (len(held) - 1)


def orthogonal(M: torch.Tensor) -> torch.Tensor:
    """Return the orthogonal matrices nearest to M (G, n, m), by Newton–Schulz iterations."""
    if M.shape[1] > M.shape[2]:
        return orthogonal(M.mT).mT
    a, b, c = NEWTON_SCHULZ
    X = M / (torch.linalg.matrix_norm(M, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        A = X @ X.mT
        B = torch.baddbmm(A, A, A, beta=b, alpha=c)
        X = torch.baddbmm(X, B, X, beta=a)
    return X


class GateMuon(torch.optim.Optimizer):
    """Muon for parameters (G · H, H) that stack the matrices of G gates.

    Differs from `torch.optim.Muon` in four ways: each gate has an update of its own, made at every
    `period`-th step only and so many times as long; momentum is without Nesterov's correction; the
    iterations are in float32.
    """

    mu: ClassVar = ours.Muon.mu

    def __init__(self, parameters: Sequence[nn.Parameter], weight_decay: float) -> None:
        super().__init__(parameters, {"lr": 0.0, "weight_decay": weight_decay})
        self.steps = 0
        H = parameters[0].shape[1]
        self.period = max(1, round(H / ours.HIDDEN_PER_PERIOD))

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[no-untyped-def]  # torch is untyped here
        """W ← W − lr · decay · W;  M ← μ M + G;  at some steps W ← W − period · lr · O(M)."""
        self.steps += 1
        for group in self.param_groups:
            lr, decay = group["lr"], group["weight_decay"]
            for W in group["params"]:
                state = self.state[W]
                M = state.setdefault("momentum", torch.zeros_like(W))
                W.mul_(1 - lr * decay)
                M.mul_(self.mu).add_(W.grad)
                if self.steps % self.period == 0:
                    H = W.shape[1]
                    change = orthogonal(M.view(-1, H, H))
                    W.sub_(change.view_as(W), alpha=self.period * lr)


def adam(parameters: Sequence[nn.Parameter], kind: Any, decay: float) -> torch.optim.Optimizer:
    """Return Adam or AdamW, whose weight decay is their own."""
    betas, epsilon = (ours.AdamW.beta1, ours.AdamW.beta2), ours.AdamW.epsilon
    optimiser: torch.optim.Optimizer = kind(
        parameters, betas=betas, eps=epsilon, weight_decay=decay, fused=True
    )
    return optimiser


WITHOUT_DECAY: Mapping[str, Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]] = {
    "adagrad": lambda w: torch.optim.Adagrad(w, eps=ours.Adagrad.epsilon, fused=True),
    "rmsprop": lambda w: torch.optim.RMSprop(w, alpha=ours.RMSprop.rho, eps=ours.RMSprop.epsilon),
    "sgd": lambda w: torch.optim.SGD(w, momentum=ours.SGD.mu, fused=True),
}
"""Optimisers whose weight decay in PyTorch is an L2 term: `Recipe` shrinks the weights instead."""

WITH_DECAY = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def require_known(model: ModelConfig, config: TrainingConfig) -> None:
    """Raise `ValueError`, with the names of all settings that this recipe lacks."""
    known = {*WITHOUT_DECAY, *WITH_DECAY, "muon"}
    lacking = {
        f"cell {model.cell}": model.cell != "lstm",
        f"bidirectional {model.bidirectional}": model.bidirectional is not None,
        f"recurrent_dropout {model.recurrent_dropout:g}": model.recurrent_dropout > 0,
        f"optimiser {config.optimiser}": config.optimiser not in known,
        f"loss {config.loss}": config.loss != "mean",
        f"balance {config.balance:g}": config.balance > 0,
        f"ema_decay {config.ema_decay:g}": config.ema_decay > 0,
        f"patience {config.patience}": config.patience > 0,
        f"on_nonfinite {config.on_nonfinite}": config.on_nonfinite != "stop",
    }
    if any(lacking.values()):
        names = ", ".join(name for name, missing in lacking.items() if missing)
        raise ValueError(f"the recipe on PyTorch has no form of {names}")


class Recipe:
    """The training of a checkpoint, step for step, on PyTorch's LSTM.

    Args:
        train: the training text as ids (N,).
        model: the network of the checkpoint.
        config: its training settings; `steps`, `schedule` and `warmup_steps` are not used here.
        weights: the weights to start from; by default those that charrnn draws for the seed.

    Raises `ValueError` for a setting that has no form here.
    """

    def __init__(
        self,
        train: Ids,
        model: ModelConfig,
        config: TrainingConfig,
        weights: Mapping[str, Array] | None = None,
    ) -> None:
        require_known(model, config)
        torch.manual_seed(config.seed)
        self.config = config
        self.net = Recurrent(model.inputs, model.hidden, model.layers, model.dropout)
        if weights is None:
            weights = initialise(model, generator(config.seed, Purpose.WEIGHTS))
        tensors = to_pytorch(model, weights).items()
        self.net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors})
        for layer in range(model.layers):
            getattr(self.net.rnn, f"bias_hh_l{layer}").requires_grad_(False)
        self.batches = TextBatches(
            train, config.seq_length, config.batch_size, config.seed, config.state_reset_prob
        )
        self.state: Any = None
        named = {name: w for name, w in self.net.named_parameters() if w.requires_grad}
        self.parameters = list(named.values())
        self.shrunk: list[nn.Parameter] = []
        """Parameters that `step` shrinks by the weight decay; the optimisers shrink the others."""
        self.optimisers: list[tuple[torch.optim.Optimizer, float]] = []
        """Optimisers with their factors on the learning rate."""
        kind, decay = config.optimiser, config.weight_decay
        if kind in WITH_DECAY:
            self.optimisers.append((adam(self.parameters, WITH_DECAY[kind], decay), 1.0))
            return
        others = named
        if kind == "muon":
            matrices = {name: w for name, w in named.items() if between_hidden_units(name)}
            others = {name: w for name, w in named.items() if name not in matrices}
            factor = ours.MATRIX_SCALE * max(1.0, model.hidden / ours.FULL_LR_HIDDEN)
            muon = GateMuon(list(matrices.values()), ours.MATRIX_DECAY * decay / factor)
            self.optimisers.append((muon, factor))
        self.shrunk = list(others.values())
        plain = WITHOUT_DECAY["adagrad" if kind == "muon" else kind]
        self.optimisers.append((plain(self.shrunk), 1.0))

    def step(self, number: int, lr: float) -> None:
        """Train on the batch of a step, numbered from 0, at a learning rate."""
        config, batch = self.config, self.batches.at(number)
        if self.state is not None:
            keep = torch.from_numpy(~batch.reset_mask).float()[None, :, None]
            self.state = tuple(part.detach() * keep for part in self.state)
        logits, self.state = self.net(torch.from_numpy(batch.inputs), self.state)
        targets = torch.from_numpy(batch.targets)
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), label_smoothing=config.label_smoothing
        )
        for optimiser, _ in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        if config.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, config.clip_value)
        with torch.no_grad():
            for w in self.shrunk:
                w.mul_(1 - lr * config.weight_decay)
        for optimiser, factor in self.optimisers:
            optimiser.param_groups[0]["lr"] = lr * factor
            optimiser.step()


def between_hidden_units(name: str) -> bool:
    """Return whether a parameter of `Recurrent` multiplies hidden units and gives hidden units."""
    upper_input = name.startswith("rnn.weight_ih_") and not name.endswith("_l0")
    return name.startswith("rnn.weight_hh_") or upper_input
