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
from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import UsageError
from charrnn.export.pytorch_weights import MODULES, to_pytorch
from charrnn.export.snippets import pytorch_snippet
from charrnn.inference.loading import load
from charrnn.inference.predictor import Predictor
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `bench`")

CHARACTERS = "abcdefg\n'\\é"
V = len(CHARACTERS)

READINGS = [
    *((layout, False, 0) for layout in LAYOUTS),
    *((name, True, 0) for name, layout in LAYOUTS.items() if layout.backward_use),
    ("many-to-many", True, 1),
    ("many-to-many", True, 2),
]
"""Layouts, each with whether backward cells read the input too, and the heads of attention."""

IN_PYTORCH = ("rnn", "lstm", "gru")
"""The cells of which PyTorch has a module."""

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


@pytest.mark.parametrize("cell", MODULES)
@pytest.mark.parametrize(("layout", "backward", "heads"), READINGS)
def test_the_printed_code_answers_as_predict_does(layout, backward, heads, cell, capsys):
    spec = LAYOUTS[layout]
    sources = tuple("abcd") if spec.source_is_text else ("one", "two", "three")
    answers = tuple("xyz") if spec.answer_is_text else ("good", "bad")
    pairing = PairVocabulary(layout, sources, answers, 4)
    use = spec.backward_use if backward else None
    if backward and cell == "mlstm":
        config = ModelConfig(9, 9, cell=cell, bidirectional=use)
        with pytest.raises(UsageError, match="PyTorch has no form of a bidirectional mlstm"):
            to_pytorch(config, Parameters(config.shapes()))
        return
    config = ModelConfig(
        pairing.inputs,
        pairing.outputs,
        cell=cell,
        hidden=8,
        layers=2,
        bidirectional=use,
        attention=heads,
    )
    parameters = Parameters(config.shapes())
    parameters.vector[...] = np.random.default_rng(3).normal(0, 0.8, parameters.vector.shape)
    record = CorpusRecord("pairs", "0" * 64, 0, 0.1)
    save_checkpoint(Path("m.npz"), Checkpoint(config, pairing, parameters, record, 0))
    done = CliRunner().invoke(app, ["export", "m.npz", "--to", "safetensors"])
    assert done.exit_code == 0, done.stderr
    predictor = Predictor.load("m.npz")
    for field in ("a", "dab", "abcdabcd") if spec.source_is_text else ("two", "three"):
        other = field if spec.source_is_text else [field]
        example = "sources[0]" if spec.source_is_text else "[sources[0]]"
        assert f"text = {example}" in done.stdout
        names = {}
        with torch.no_grad():
            exec(done.stdout.replace(f"text = {example}", f"text = {other!r}"), names)
        said = capsys.readouterr().out
        if spec.answer_is_text:
            assert said == f"{predictor.answer([field])[0].text}\n"
        else:
            p = names["logits"][-1, 0].softmax(-1).numpy()
            np.testing.assert_allclose(
                p, predictor.label_probabilities([field])[0], rtol=0, atol=1e-5
            )
        prompt = predictor.prompt(field)
        fed_back = pairing.fed_back(np.array([2, 0, 1, 1])) if spec.feeds_back else prompt[:0]
        ids = np.append(prompt, fed_back)[:, None]
        lengths = np.array([len(prompt) - (use == "context")])
        expected = Network(config, parameters, len(ids), 1).forward(ids, lengths=lengths)
        with torch.no_grad():
            logits, state = names["model"](torch.from_numpy(ids[: len(prompt)]).long())
            steps = [logits]
            for id_ in fed_back:
                logits, state = names["model"](torch.tensor([[id_]]), state)
                steps.append(logits)
        found = torch.cat(steps).numpy()
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found, expected[-len(found) :], rtol=0, atol=1e-5)


@pytest.mark.parametrize("use", ["each", "last"])
@pytest.mark.parametrize("cell", IN_PYTORCH)
def test_gradients_of_both_directions_are_those_of_autograd(cell, use):
    config = ModelConfig(V, 5, cell=cell, hidden=6, layers=2, bidirectional=use)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.vector[...] = np.random.default_rng(3).normal(0, 0.5, parameters.vector.shape)
    T = 12
    ids = np.random.default_rng(5).integers(V, size=(T, 2))
    targets = np.random.default_rng(6).integers(5, size=(T, 2))
    weights = np.full((T, 2), 1 / (2 * T))
    if use == "last":
        weights = np.zeros((T, 2))
        weights[-1] = 0.5
    gradients = parameters.like()
    ours = Network(config, parameters, T, 2, gradients)
    ours.forward(ids)
    ours.loss(targets)
    ours.backward(targets, weights)
    pairing = PairVocabulary(
        "synced" if use == "each" else "many-to-one", tuple(CHARACTERS), tuple("vwxyz")
    )
    names = {}
    code, _, _ = pytorch_snippet(config, "none", pairing).partition("with safe_open")
    exec(code, names)
    model = names["model"].double()
    tensors = to_pytorch(config, parameters)
    model.load_state_dict({name: torch.from_numpy(a) for name, a in tensors.items()})
    logits, _ = model(torch.from_numpy(ids))
    wanted = torch.from_numpy(targets if use == "each" else targets[-1:])
    torch.nn.functional.cross_entropy(logits.reshape(-1, 5), wanted.reshape(-1)).backward()
    expected = to_pytorch(config, gradients)
    for name, weight in model.named_parameters():
        if "bias_hh" in name:  # of one bias here
            continue
        assert np.abs(expected[name]).max() > 1e-6
        np.testing.assert_allclose(weight.grad, expected[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("heads", [0, 1, 3])
@pytest.mark.parametrize("cell", IN_PYTORCH)
def test_gradients_of_answers_are_those_of_autograd(cell, heads):
    """The loss of an answer by every weight, those of the context and of attention included."""
    pairing = PairVocabulary("many-to-many", tuple("abcd"), tuple("vwxyz"), 4)
    sizes = {"cell": cell, "hidden": 6, "layers": 1, "bidirectional": "context"}
    config = ModelConfig(pairing.inputs, pairing.outputs, **sizes, attention=heads)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.vector[...] = np.random.default_rng(3).normal(0, 0.5, parameters.vector.shape)
    read = pairing.prompt("dabcabca")
    ids = np.append(read, pairing.fed_back(np.array([2, 0, 1, 4])))[:, None]
    targets = np.random.default_rng(6).integers(6, size=ids.shape)
    n = len(read) - 1
    weights = np.where(np.arange(len(ids))[:, None] >= n, 1.0, 0.0)
    gradients = parameters.like()
    ours = Network(config, parameters, len(ids), 1, gradients)
    ours.forward(ids, lengths=np.array([n]))
    ours.loss(targets)
    ours.backward(targets, weights)
    names = {}
    code, _, _ = pytorch_snippet(config, "none", pairing).partition("with safe_open")
    exec(code, names)
    model = names["model"].double()
    tensors = to_pytorch(config, parameters)
    model.load_state_dict({name: torch.from_numpy(a) for name, a in tensors.items()})
    logits, state = model(torch.from_numpy(ids[: n + 1]))
    steps = [logits]
    for id_ in ids[n + 1 :]:
        logits, state = model(torch.from_numpy(id_)[None], state)
        steps.append(logits)
    wanted = torch.from_numpy(targets[n:, 0])
    torch.nn.functional.cross_entropy(torch.cat(steps)[:, 0], wanted, reduction="sum").backward()
    expected = to_pytorch(config, gradients)
    for name, weight in model.named_parameters():
        if "bias_hh" in name:  # of one bias here
            continue
        assert np.abs(expected[name]).max() > 1e-6
        np.testing.assert_allclose(weight.grad, expected[name], rtol=0, atol=1e-12, err_msg=name)


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
@pytest.mark.parametrize("cell", IN_PYTORCH)
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
