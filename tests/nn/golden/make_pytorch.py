# mypy: ignore-errors
# (PyTorch is no dependency, not even of the tests: its stubs are not there to check against.)
"""Writes pytorch.npz: what PyTorch, float64, makes of small networks and short optimisations.

    python tests/golden/make_pytorch.py        (made with PyTorch 2.13.0 on a CPU)

NETWORK.w.NAME  weights as PyTorch stores them   NETWORK.s.h, .s.c  the state carried in (L, B, H)
NETWORK.g.NAME  their gradients                  NETWORK.logits (T, B, V), NETWORK.loss (mean nats)
muon.path       the matrix after each step, from `muon.start`, under `muon.gradients`
OPTIMISER.path  the weights after each step (steps, n), under the gradients `gradients`
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

T, B, V, H = 7, 3, 5, 4
STEPS, SIZE = 25, 6
MATRIX, MUON_STEPS = 12, 5

torch.manual_seed(2015)
torch.set_default_dtype(torch.float64)
arrays = {}


def network(name, kind, layers):
    rnn, readout = kind(V, H, layers), nn.Linear(H, V)
    module = nn.ModuleDict({"rnn": rnn, "readout": readout})
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.6)
    ids = torch.randint(V, (T + 1, B))
    states = [torch.randn(layers, B, H) * 0.6 for _ in range(2 if kind is nn.LSTM else 1)]
    x = nn.functional.one_hot(ids[:-1], V).double()
    h, _ = rnn(x, tuple(states) if len(states) > 1 else states[0])
    logits = readout(h)
    loss = nn.functional.cross_entropy(logits.reshape(-1, V), ids[1:].reshape(-1))
    loss.backward()
    arrays[f"{name}.ids"] = ids
    arrays[f"{name}.logits"] = logits
    arrays[f"{name}.loss"] = loss
    for letter, state in zip("hc", states, strict=False):
        arrays[f"{name}.s.{letter}"] = state
    for key, parameter in module.named_parameters():
        arrays[f"{name}.w.{key}"] = parameter
        arrays[f"{name}.g.{key}"] = parameter.grad


def path(name, kind, **options):
    w = nn.Parameter(arrays["start"].clone())
    optimiser = kind([w], **options)
    steps = []
    for gradient in arrays["gradients"]:
        w.grad = gradient.clone()
        optimiser.step()
        steps.append(w.detach().clone())
    arrays[f"{name}.path"] = torch.stack(steps)


for layers in (1, 2):
    network(f"rnn{layers}", nn.RNN, layers)
    network(f"lstm{layers}", nn.LSTM, layers)
    network(f"gru{layers}", nn.GRU, layers)

arrays["start"] = torch.randn(SIZE)
arrays["gradients"] = torch.randn(STEPS, SIZE) * torch.logspace(-3, 2, SIZE)
betas = {"betas": (0.9, 0.99), "eps": 1e-8}
path("adam", torch.optim.Adam, lr=0.01, **betas)
path("adam_decay", torch.optim.Adam, lr=0.01, weight_decay=0.1, **betas)
path("adamw", torch.optim.AdamW, lr=0.01, weight_decay=0.0, **betas)
path("adamw_decay", torch.optim.AdamW, lr=0.01, weight_decay=0.1, **betas)
path("rmsprop", torch.optim.RMSprop, lr=0.01, alpha=0.95, eps=1e-8)
path("sgd", torch.optim.SGD, lr=0.01, momentum=0.9)
path("adagrad", torch.optim.Adagrad, lr=0.1, eps=1e-8)

# PyTorch's Muon takes matrices only, and its Newton-Schulz iterations work in bfloat16.
arrays["muon.start"] = torch.randn(MATRIX, MATRIX)
arrays["muon.gradients"] = torch.randn(MUON_STEPS, MATRIX, MATRIX)
w = nn.Parameter(arrays["muon.start"].clone())
muon = torch.optim.Muon([w], lr=0.1, momentum=0.95, nesterov=False, weight_decay=0.0)
steps = []
for gradient in arrays["muon.gradients"]:
    w.grad = gradient.clone()
    muon.step()
    steps.append(w.detach().clone())
arrays["muon.path"] = torch.stack(steps)

target = Path(__file__).with_name("pytorch.npz")
np.savez_compressed(target, **{name: array.detach().numpy() for name, array in arrays.items()})
print(target, target.stat().st_size, "bytes, PyTorch", torch.__version__)
