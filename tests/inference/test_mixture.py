"""Mixtures as models: whole texts, single steps and samples agree, and parts are named."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn.checkpointing.records import Checkpoint, CorpusRecord, MixtureRecord, NgramRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import DivergedError, TextError, UsageError
from charrnn.evaluation.surprisal import surprisals
from charrnn.inference.ensemble import Ensemble
from charrnn.inference.mixture import Mixture
from charrnn.inference.mixture_fit import mixture_with_ngrams
from charrnn.inference.model import Model
from charrnn.inference.sampling import Sampling
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.types import Ids

LINE = "the cat sat on a mat and it was happy to see all of them there by noon.\n"
VOCABULARY = Vocabulary.from_text(LINE)
TEXT = "the mat sat by a cat there.\n" * 12


def network(seed: int = 0, cell: str = "lstm") -> Checkpoint:
    V = len(VOCABULARY)
    config = ModelConfig(V, V, cell=cell, hidden=6)
    parameters = initialise(config, np.random.default_rng(seed))
    parameters["W_hy"][...] *= 4
    return Checkpoint(config, VOCABULARY, parameters, CorpusRecord("text", "0" * 64, 9, 0.1), 5)


def counted() -> NgramRecord:
    return NgramRecord(VOCABULARY.encode(LINE * 3), 4, 0.5, 0.9, 0.4, 0.2, fitted=7)


def mixtures() -> list[Mixture]:
    """One network with n-grams, two without, and two with."""
    two = (network(1), network(2, "gru"))
    return [
        Mixture(MixtureRecord((network(1),), counted())),
        Mixture(MixtureRecord(two)),
        Mixture(MixtureRecord(two, counted())),
    ]


def ids_of(text: str) -> Ids:
    return VOCABULARY.encode(text)


@pytest.mark.parametrize("number", range(3))
def test_single_steps_are_the_whole_text(number: int) -> None:
    mixture, ids = mixtures()[number], ids_of(TEXT)
    whole = np.concatenate([chunk.whole for chunk in mixture.log_probabilities(ids)])
    steps = np.stack([mixture.step(int(id_)) for id_ in ids[:-1]])
    assert steps == pytest.approx(whole, abs=1e-5)
    assert np.exp(whole).sum(axis=1) == pytest.approx(1, rel=1e-12)
    mixture.reset()
    assert mixture.step(int(ids[0])) == pytest.approx(steps[0], abs=1e-12)
    nats = -whole[np.arange(len(ids) - 1), ids[1:]].mean()
    assert mixture.evaluate(TEXT).nats_per_char == pytest.approx(nats, rel=1e-12)


def test_the_probabilities_are_those_of_the_formula() -> None:
    """Compute one step by hand, from the parts."""
    mixture = mixtures()[2]
    ids = ids_of("the cat")
    [chunk] = mixture.log_probabilities(ids)
    parts = [Model(member) for member in mixture.record.members]
    for at, id_ in enumerate(ids[:-1].tolist()):
        logits = [model.step(id_).astype(float) for model in parts]
        each = [np.exp(y) / np.exp(y).sum() for y in logits]
        mean = (each[0] + each[1]) / 2
        assert mixture.ngrams is not None
        contexts = mixture.ngrams.contexts_of(ids[: at + 1])[:, -1:]
        ngrams = mixture.ngrams.probabilities(contexts)[0]
        x = float(mixture.ngrams.matched(contexts)[0]) / 3
        p = mean ** (0.5 + 0.4 * x) * ngrams ** (0.4 - 0.2 * x)
        assert np.exp(chunk.whole[at]) == pytest.approx(p / p.sum(), rel=1e-4)
        assert np.exp(chunk.networks[at]) == pytest.approx(mean, rel=1e-4)
    assert {0.0, 1.0} & set(chunk.share.tolist())


def test_scores_stand_beside_those_of_the_parts() -> None:
    one, two, both = (mixture.scores(TEXT) for mixture in mixtures())
    alone = Model(network(1)).evaluate(TEXT).nats_per_char
    assert one.members[0].nats_per_char == pytest.approx(alone, rel=1e-5)
    assert one.networks is None
    assert one.ngrams is not None
    assert len({one.whole, one.members[0], one.ngrams}) == 3
    ensemble = Ensemble([Model(network(1)), Model(network(2, "gru"))]).evaluate(TEXT)
    assert two.whole.nats_per_char == pytest.approx(ensemble.whole.nats_per_char, rel=1e-5)
    assert (two.networks, two.ngrams) == (None, None)
    assert both.networks is not None
    assert both.networks.nats_per_char == pytest.approx(two.whole.nats_per_char, rel=1e-12)
    assert both.ngrams == one.ngrams
    assert both.whole.nats_per_char not in (two.whole.nats_per_char, one.whole.nats_per_char)


def test_a_notebook_shows_every_part() -> None:
    scores = mixtures()[2].scores(TEXT)
    assert scores.networks is not None
    assert scores.ngrams is not None
    page = scores._repr_html_()
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    for name, score in (
        ("this mixture", scores.whole),
        ("its networks (mean of probabilities)", scores.networks),
        ("network 1 alone", scores.members[0]),
        ("network 2 alone", scores.members[1]),
        ("its n-grams alone", scores.ngrams),
    ):
        [row] = [row for row in rows if name in row]
        assert f"{score.nats_per_char:.4f}" in row
    assert "n-grams" not in mixtures()[1].scores(TEXT)._repr_html_()


def test_titles() -> None:
    assert [mixture.title for mixture in mixtures()] == [
        "mixture of 1 network and 4-grams",
        "mixture of 2 networks",
        "mixture of 2 networks and 4-grams",
    ]


def test_samples_are_drawn_from_the_mixture() -> None:
    """Greedy samples take the likeliest character of each step, and batches agree with steps."""
    mixture = mixtures()[2]
    greedy = "".join(mixture.generate("the ", length=30, temperature=0))
    text = ids_of("the ").tolist()
    for character in greedy:
        mixture.reset()
        for id_ in text:
            log_p = mixture.step(id_)
        assert VOCABULARY.characters[int(log_p.argmax())] == character
        text.append(int(ids_of(character)[0]))
    several = ["".join(sample) for sample in mixture.samples("the ", 30, Sampling(1.0, seed=4), 3)]
    assert len(set(several)) == 3
    assert "".join(mixture.generate("the ", length=30, seed=4)) == several[0]


def test_two_equal_networks_are_one() -> None:
    twice = Mixture(MixtureRecord((network(1), network(1))))
    [first] = twice.samples("", 40, Sampling(seed=2))
    [alone] = Model(network(1)).samples("", 40, Sampling(seed=2))
    assert "".join(first) == "".join(alone)


def test_surprisals_and_windows() -> None:
    two = Mixture(MixtureRecord((network(1), network(1))))
    ids = ids_of(TEXT)
    member = network(1)
    expected = list(surprisals(member.config, member.parameters, ids, 3, 50))
    found = list(two.surprisals(ids, 3, 50))
    assert [chunk.begin for chunk in found] == [chunk.begin for chunk in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.nats == pytest.approx(other.nats, abs=1e-5)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    with_ngrams = mixtures()[2]
    whole = with_ngrams.mean_surprisal(ids)
    assert whole == pytest.approx(with_ngrams.score(ids).nats_per_char, rel=1e-9)
    window = with_ngrams.mean_surprisal(ids, 5)
    pieces = [
        with_ngrams.score(ids[begin : begin + 6]).nats_per_char * (len(ids[begin : begin + 6]) - 1)
        for begin in range(0, len(ids) - 1, 5)
    ]
    assert window == pytest.approx(math.fsum(pieces) / (len(ids) - 1), rel=1e-6)
    assert window != pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("name", ["checkpoint", "config", "parameters"])
def test_what_belongs_to_one_network_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"a mixture of 2 networks has no {name} of its own; try"):
        getattr(mixtures()[1], name)


@pytest.mark.parametrize("number", range(3))
def test_a_saved_mixture_is_loaded_as_it_was(number: int, tmp_path: Path) -> None:
    mixture = mixtures()[number]
    mixture.save(tmp_path / "mixture.npz")
    loaded = charrnn.load(tmp_path / "mixture.npz")
    assert isinstance(loaded, Mixture)
    assert loaded.title == mixture.title
    assert loaded.scores(TEXT) == mixture.scores(TEXT)
    loaded.save(tmp_path / "again.npz")
    first, again = (tmp_path / name for name in ("mixture.npz", "again.npz"))
    assert first.read_bytes() == again.read_bytes()
    assert mixture.title in loaded._repr_html_()


def test_the_fit_lowers_the_loss_and_scores_halves_with_the_other() -> None:
    rng = np.random.default_rng(5)
    words = LINE.split()
    text = ids_of(" ".join(rng.choice(words, 1500)))
    train, validation = text[:5000], text[5000:]
    record, fit = mixture_with_ngrams([network(1)], train, 5, validation)
    assert fit is not None
    assert record.ngrams is not None
    assert fit.characters == record.ngrams.fitted == len(validation) - 1
    assert record.ngrams.ids.tolist() == train.tolist()
    scores = Mixture(record).score_parts(validation)
    assert scores.ngrams is not None
    assert fit.networks == pytest.approx(scores.members[0].nats_per_char, rel=1e-6)
    assert fit.ngrams == pytest.approx(scores.ngrams.nats_per_char, rel=1e-6)
    # the exponents of the other half do a little worse than those of all
    assert scores.whole.nats_per_char <= fit.whole < min(fit.networks, fit.ngrams)
    assert fit.whole - scores.whole.nats_per_char < 0.02


def test_without_validation_text_the_exponents_are_the_default_ones() -> None:
    record, fit = mixture_with_ngrams([network(1)], ids_of(LINE), 3, ids_of("the"))
    assert fit is None
    assert record.ngrams is not None
    assert record.ngrams.fitted == 0


def test_bad_arguments_are_errors_of_the_user() -> None:
    mixture = mixtures()[2]
    for bad in (-1, len(VOCABULARY)):
        with pytest.raises(UsageError, match="ids go from 0"):
            mixture.step(bad)
    with pytest.raises(TextError, match="leave nothing to predict"):
        mixture.evaluate("t")
    with pytest.raises(TextError):
        mixture.evaluate("THE")
    huge = network(1)
    huge.parameters["W_hy"][...] = 3e38
    with pytest.raises(DivergedError), np.errstate(over="ignore", invalid="ignore"):
        Mixture(MixtureRecord((huge, network(2)))).evaluate(TEXT)
