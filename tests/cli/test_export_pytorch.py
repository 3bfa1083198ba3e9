# mypy: ignore-errors
# (PyTorch is in the extra `bench` only: its types are not there to check against.)
"""The printed code in PyTorch itself: outputs, gradients, training there, models from there."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from charrnn.checkpointing.checkpoint import save_checkpoint
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.app import app
from charrnn.data.vocabulary import Vocabulary
from charrnn.export.pytorch_weights import MODULES, to_pytorch
from charrnn.inference.loading import load
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `bench`")

CHARACTERS = "abcdefg\n'\\é"
V = len(CHARACTERS)

every_network = pytest.mark.parametrize(
    ("cell", "layers"), [(cell, layers) for cell in MODULES for layers in (1, 2, 3)]
)


def network(cell, layers, dtype=np.float32):
    """Return the settings and random weights of a network."""
    config = ModelConfig(V, V, cell=cell, hidden=8, layers=layers)
    parameters = Parameters(config.shapes(), dtype)
    parameters.vector[...] = np.random.default_rng(3).normal(0, 0.5, parameters.vector.shape)
    return config, parameters


def exported(cell, layers):
    """Export a model with the command in the current folder, and run the code that it prints."""
    config, parameters = network(cell, layers)
    record = CorpusRecord("letters", "0" * 64, 0, 0.1)
    path = Path("it's.npz")
    save_checkpoint(path, Checkpoint(config, Vocabulary(CHARACTERS), parameters, record, 0))
    done = CliRunner().invoke(app, ["export", "it's.npz", "--to", "safetensors"])
    assert done.exit_code == 0, done.stderr
    names = {}
    exec(done.stdout, names)
    return config, parameters, names


@every_network
def test_the_printed_code_gives_the_outputs_of_charrnn(cell, layers):
    config, parameters, names = exported(cell, layers)
    assert names["characters"] == list(CHARACTERS)
    assert isinstance(names["model"].rnn, getattr(torch.nn, MODULES[cell]))
    ids = np.random.default_rng(4).integers(V, size=(40, 3))
    ours = Network(config, parameters, 40, 3).forward(ids)
    with torch.no_grad():
        whole, _ = names["model"](torch.from_numpy(ids))
        first, state = names["model"](torch.from_numpy(ids[:15]))
        second, _ = names["model"](torch.from_numpy(ids[15:]), state)
    assert np.abs(ours).max() > 0.5
    np.testing.assert_allclose(whole.numpy(), ours, rtol=0, atol=1e-5)
    np.testing.assert_allclose(torch.cat([first, second]).numpy(), ours, rtol=0, atol=1e-5)


@every_network
def test_gradients_are_those_of_autograd(cell, layers):
    _, _, names = exported(cell, layers)
    config, parameters = network(cell, layers, np.float64)
    ids = np.random.default_rng(5).integers(V, size=(21, 2))
    gradients = parameters.like()
    ours = Network(config, parameters, 20, 2, gradients)
    ours.forward(ids[:-1])
    ours.loss(ids[1:])
    ours.backward(ids[1:], 1 / 40)
    model = names["model"].double()
    tensors = to_pytorch(config, parameters)
    model.load_state_dict({name: torch.from_numpy(a) for name, a in tensors.items()})
    logits, _ = model(torch.from_numpy(ids[:-1]))
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, V), torch.from_numpy(ids[1:].reshape(-1))
    )
    loss.backward()
    expected = to_pytorch(config, gradients)
    for name, weight in model.named_parameters():
        wanted = expected[name]
        if "bias_hh" in name:  # PyTorch's second bias has the gradient of the first
            shared = 16 if cell == "gru" else len(wanted)  # but not inside the reset of the GRU
            wanted[:shared] = expected[name.replace("_hh_", "_ih_")][:shared]
        assert np.abs(wanted).max() > 1e-6
        np.testing.assert_allclose(weight.grad, wanted, rtol=0, atol=1e-12, err_msg=name)


def test_a_model_trained_further_in_pytorch_comes_back():
    from safetensors import safe_open
    from safetensors.torch import save_file

    _, before, names = exported("gru", 2)
    model = names["model"]
    ids = torch.arange(V).repeat(4)[:, None]
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        optimiser.zero_grad()
        logits, _ = model(ids[:-1])
        torch.nn.functional.cross_entropy(logits[:, 0], ids[1:, 0]).backward()
        optimiser.step()
    with safe_open("it's.safetensors", "pt") as file:
        metadata = file.metadata()
    save_file(model.state_dict(), "further.safetensors", metadata)
    done = CliRunner().invoke(app, ["import", "further.safetensors"])
    assert done.exit_code == 0, done.stderr
    again = load("further.npz")
    assert not np.allclose(again.parameters.vector, before.vector, atol=0.01)
    text = "".join(again.generate(CHARACTERS, length=V, temperature=0))
    assert text == CHARACTERS  # it has learnt the order of the alphabet
    ours = Network(again.config, again.parameters, len(ids), 1).forward(ids.numpy())
    with torch.no_grad():
        theirs = model(ids)[0].numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", MODULES)
def test_a_model_from_elsewhere_with_an_embedding_is_read(cell, bias):
    from safetensors.torch import save_model

    torch.manual_seed(1)
    module = torch.nn.Module()
    module.encoder = torch.nn.Embedding(V, 6)
    module.body = getattr(torch.nn, MODULES[cell])(6, 9, num_layers=2, bias=bias)
    module.decoder = torch.nn.Linear(9, V, bias=bias)
    save_model(module, "elsewhere.safetensors")
    ids_of = {character: number for number, character in enumerate(CHARACTERS)}
    Path("chars.json").write_text(json.dumps(ids_of), encoding="utf-8")
    words = ["import", "elsewhere.safetensors", "--vocabulary", "chars.json", "-o", "m.npz"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    model = load("m.npz")
    assert (model.config.cell, model.config.hidden, model.config.layers) == (cell, 9, 2)
    ids = np.random.default_rng(6).integers(V, size=(30, 1))
    ours = Network(model.config, model.parameters, 30, 1).forward(ids)
    with torch.no_grad():
        h, _ = module.body(module.encoder(torch.from_numpy(ids)))
        theirs = module.decoder(h).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
