"""Ensembles: the mean of probabilities, computed independently, and models that do not fit."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.inference.ensemble import Ensemble, generate_mean
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise

TEXT = "xyz zyx\nwxy wé" * 21
"""Longer than two windows of an evaluation, and no multiple of one."""


def make(
    cell: str = "lstm",
    seed: int = 1,
    characters: str = "zyx wé\n",
    as_bytes: bool = False,
    normalise: str | None = None,
) -> Model:
    vocabulary = Vocabulary(characters, as_bytes)
    V = len(vocabulary)
    config = ModelConfig(inputs=V, outputs=V, cell=cell, hidden=5, layers=2, init="normal:0.9")
    parameters = initialise(config, np.random.default_rng(seed))
    parameters.vector *= 3  # probabilities far from uniform
    record = CorpusRecord("nothing", "0" * 64, 0, 0.1, as_bytes=as_bytes, normalise=normalise)
    return Model(Checkpoint(config, vocabulary, parameters, record, 0))


def make_three() -> list[Model]:
    return [make("lstm", 1), make("gru", 2), make("rnn", 3)]


def step_probabilities(model: Model, ids: list[int]) -> list[list[float]]:
    """Return p of the next character after each id, one step and one number at a time."""
    model.reset()
    found = []
    for id_ in ids:
        powers = [math.exp(float(logit)) for logit in model.step(id_)]
        found.append([power / sum(powers) for power in powers])
    return found


def test_the_loss_is_that_of_the_mean_of_the_probabilities() -> None:
    models = make_three()
    ids = [int(id_) for id_ in models[0].vocabulary.encode(TEXT)]
    tables = [step_probabilities(model, ids) for model in models]
    expected = 0.0
    for at, target in enumerate(ids[1:]):
        expected -= math.log(sum(table[at][target] for table in tables) / 3)
    score = Ensemble(models).evaluate(TEXT)
    assert score.whole.nats_per_char == pytest.approx(expected / (len(ids) - 1), rel=1e-5)
    assert score.whole.characters == len(ids)


def test_the_members_are_scored_as_they_are_alone() -> None:
    models = make_three()
    score = Ensemble(models).evaluate(TEXT)
    alone = [model.evaluate(TEXT) for model in models]
    assert [member.characters for member in score.members] == [one.characters for one in alone]
    for member, one in zip(score.members, alone, strict=True):
        assert member.nats_per_char == pytest.approx(one.nats_per_char, rel=1e-6)
    mean = np.mean([one.nats_per_char for one in alone])
    assert score.whole.nats_per_char < mean  # Jensen; equal only for equal models


def test_an_ensemble_of_equal_models_is_the_model() -> None:
    model = make()
    score = Ensemble([model, make()]).evaluate(TEXT)
    assert score.whole.nats_per_char == pytest.approx(model.evaluate(TEXT).nats_per_char, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_characters_are_drawn_from_the_mean_of_the_probabilities(temperature: float) -> None:
    models = make_three()
    prime = models[0].vocabulary.encode("xyz")
    tables = [step_probabilities(model, [int(id_) for id_ in prime])[-1] for model in models]
    mean = np.mean(tables, axis=0) ** (1 / temperature)
    expected = mean / mean.sum()
    draws = 4000
    ids = next(generate_mean(models, prime, Sampling(temperature, seed=3), draws))
    shares = np.bincount(ids, minlength=len(expected)) / draws
    assert np.abs(shares - expected).max() < 4 * math.sqrt(0.25 / draws)


def test_texts_of_one_batch_are_those_of_single_draws() -> None:
    ensemble = Ensemble(make_three())
    texts = ["".join(text) for text in ensemble.samples("xy", 40, Sampling(seed=5), 3)]
    assert texts[0] == "".join(next(ensemble.samples("xy", 40, Sampling(seed=5))))
    assert len(set(texts)) == 3
    assert {len(text) for text in texts} == {40}
    stop = texts[0][10:13]
    stopped = "".join(next(ensemble.samples("xy", 40, Sampling(seed=5), stop=stop)))
    assert stopped == texts[0][: texts[0].index(stop)]


OTHERS: dict[str, tuple[Callable[[], Model], str]] = {
    "fewer": (lambda: make(characters="zyx w\n"), "different vocabularies: b lacks 'é' U+00E9"),
    "more": (lambda: make(characters="zyx wé\nq"), "different vocabularies: a lacks 'q' U+0071"),
    "another order": (lambda: make(characters="xyz wé\n"), "same characters differently"),
    "bytes": (lambda: make(as_bytes=True), "a is a model of characters and b of bytes"),
    "normal form": (lambda: make(normalise="nfc"), "different Unicode normal forms"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_models_that_do_not_fit_together_are_refused_by_name(other: str) -> None:
    build, message = OTHERS[other]
    with pytest.raises(UsageError, match=r"a and b|a is") as caught:
        Ensemble([make(), build()], ["a", "b"])
    assert message in str(caught.value)


def test_one_model_is_no_ensemble() -> None:
    with pytest.raises(UsageError, match="at least two models, not 1"):
        Ensemble([make()])


def test_a_text_of_one_character_has_no_loss() -> None:
    with pytest.raises(TextError, match="1 characters leave nothing to predict"):
        Ensemble([make(), make(seed=2)]).evaluate("x")


def test_checkpoints_are_loaded_by_path(tmp_path: Path) -> None:
    models = make_three()
    for number, model in enumerate(models):
        model.save(tmp_path / f"{number}.npz")
    loaded = Ensemble.load([tmp_path / f"{number}.npz" for number in range(3)])
    assert loaded.evaluate(TEXT) == Ensemble(models).evaluate(TEXT)
    renamed = replace(models[0].checkpoint, symbols=Vocabulary("zyx wä\n"))
    Model(renamed).save(tmp_path / "3.npz")
    with pytest.raises(UsageError, match=r"0\.npz and .*3\.npz have different vocabularies"):
        Ensemble.load([tmp_path / "0.npz", tmp_path / "3.npz"])
