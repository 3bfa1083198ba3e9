"""Predictor: greedy and beam search, probabilities, samples, and scores of pairs."""

import itertools
import math

import numpy as np
import pytest

from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.errors import TextError, UsageError
from charrnn.evaluation.pairs import confusion, label_scores, macro_f1, score
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.ops import log_softmax

PAIRINGS = {
    "one-to-one": PairVocabulary("one-to-one", ("a", "b", "cc"), ("x", "yy")),
    "one-to-many": PairVocabulary("one-to-many", ("red", "blue"), ("x", "y"), longest=3),
    "many-to-one": PairVocabulary("many-to-one", ("a", "b", "c"), ("x", "yy")),
    "many-to-many": PairVocabulary("many-to-many", ("a", "b", "c"), ("x", "y"), longest=2),
    "synced": PairVocabulary("synced", ("a", "b", "c"), ("x", "y", "z")),
}
INPUTS = {
    "one-to-one": ["b", "cc", "a", "b"],
    "one-to-many": ["blue", "red"],
}
WORDS = ["abc", "a", "cba" * 5, "bb", "a", "ccab"]


def predictor(layout: str, cell: str = "lstm", seed: int = 0, size: float = 1.0) -> Predictor:
    pairing = PAIRINGS[layout]
    config = ModelConfig(pairing.inputs, pairing.outputs, cell=cell, hidden=6, layers=2)
    parameters = initialise(config, np.random.default_rng(seed), np.float64)
    parameters.vector[...] = np.random.default_rng(seed).normal(0, size, parameters.vector.shape)
    return Predictor(config, parameters, pairing)


def log_probability(model: Predictor, source: str, answer: str, *, ended: bool = True) -> float:
    """Return ln p of an answer, read in one batch with the example's own layout."""
    pairing = model.pairing
    example = pairing.example(source, answer)
    network = Network(model.config, model.parameters, len(example.inputs), 1)
    nats = (
        network.loss(example.targets[:, None])
        if network.forward(example.inputs[:, None]).any()
        else np.zeros(1)
    )
    scored = (
        example.target_mask if ended else example.target_mask & (example.targets != pairing.end_id)
    )
    return -float(nats[:, 0][scored].sum())


def fields(layout: str) -> list[str]:
    return INPUTS.get(layout, WORDS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(layout: str, cell: str) -> None:
    model = predictor(layout, cell)
    together = model.answer(fields(layout))
    for field, one in zip(fields(layout), together, strict=True):
        (alone,) = model.answer([field])
        assert alone.text == one.text
        assert alone.probability == pytest.approx(one.probability, rel=1e-9)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "one-to-many"])
def test_the_probability_is_that_of_the_answer(layout: str) -> None:
    model = predictor(layout, size=0.8)
    for field, one in zip(fields(layout), model.answer(fields(layout)), strict=True):
        cut = len(one.text) >= model.limit
        assert math.log(one.probability) == pytest.approx(
            log_probability(model, field, one.text, ended=not cut), rel=1e-9
        )


def test_greedy_takes_the_likeliest_symbol_at_every_step() -> None:
    model = predictor("many-to-many", seed=3)
    for field in WORDS:
        written = ""
        while len(written) < model.limit:
            options = [
                (log_probability(model, field, written + symbol, ended=False), symbol)
                for symbol in model.pairing.answers
            ]
            stays = log_probability(model, field, written) if written else -np.inf
            if not written:
                network = Network(model.config, model.parameters, len(field) + 1, 1)
                logits = network.forward(model.pairing.prompt(field)[:, None])[-1, 0]
                stays = float(log_softmax(logits, logits.copy())[model.pairing.end_id])
            best, symbol = max(options)
            if stays >= best:
                break
            written += symbol
        assert model.answer([field])[0].text == written


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_as_wide_as_all_answers_finds_the_likeliest(seed: int) -> None:
    model = predictor("many-to-many", seed=seed)
    # an END that is likely keeps the answers short enough to list all of them
    model.parameters["b_y"][model.pairing.end_id] = 6.0
    found = model.answer(WORDS, beam=400)
    for field, one in zip(WORDS, found, strict=True):
        listed = {
            "".join(symbols): log_probability(model, field, "".join(symbols))
            for length in (1, 2, 3, 4)
            for symbols in itertools.product(model.pairing.answers, repeat=length)
        }
        best = max(listed, key=lambda answer: listed[answer])
        if one.text:
            assert one.text == best
            assert math.log(one.probability) == pytest.approx(listed[best], rel=1e-9)
        else:
            assert math.log(one.probability) >= listed[best]


def test_a_wider_beam_is_never_less_likely_here() -> None:
    model = predictor("many-to-many", seed=7)
    model.parameters["b_y"][model.pairing.end_id] = 3.0
    narrow, wide = model.answer(WORDS), model.answer(WORDS, beam=50)
    for one, other in zip(narrow, wide, strict=True):
        assert other.probability >= one.probability * (1 - 1e-9)


def test_label_probabilities_sum_to_one_and_agree_with_the_answer() -> None:
    model = predictor("many-to-one")
    p = model.label_probabilities(WORDS)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    for row, one in zip(p, model.answer(WORDS), strict=True):
        assert one.text == model.pairing.answers[int(row.argmax())]
        assert one.probability == pytest.approx(row.max(), rel=1e-9)


def test_drawn_answers_have_the_model_s_frequencies() -> None:
    model = predictor("one-to-many", size=0.5)
    model.parameters["b_y"][model.pairing.end_id] = 1.0
    drawn = model.sample("red", Sampling(seed=1), count=4000)
    assert "" not in drawn  # as no text in training is empty
    network = Network(model.config, model.parameters, 1, 1)
    logits = network.forward(model.pairing.prompt("red")[:, None])[0, 0]
    begun = 1 - math.exp(log_softmax(logits, logits.copy())[model.pairing.end_id])
    for answer in ("x", "y", "xy"):
        expected = math.exp(log_probability(model, "red", answer)) / begun
        assert drawn.count(answer) / 4000 == pytest.approx(expected, abs=0.03)
    assert drawn == model.sample("red", Sampling(seed=1), count=4000)
    assert drawn != model.sample("red", Sampling(seed=2), count=4000)
    assert drawn != model.sample("red", Sampling(seed=1), count=4000, which=1)


def test_an_answer_without_an_end_is_cut() -> None:
    model = predictor("many-to-many")
    model.parameters["b_y"][model.pairing.end_id] = -1e6
    assert {len(one.text) for one in model.answer(WORDS)} == {model.limit}
    never = predictor("one-to-many")
    never.parameters["b_y"][never.pairing.end_id] = -1e6
    assert {len(text) for text in never.sample("red", Sampling(), 3)} == {never.limit}


def test_invalid_arguments_are_refused() -> None:
    model = predictor("many-to-many")
    with pytest.raises(UsageError, match="--beam is 0"):
        model.answer(["a"], beam=0)
    with pytest.raises(UsageError, match="--count is 0"):
        predictor("one-to-many").sample("red", Sampling(), count=0)
    with pytest.raises(TextError, match="'ö' never occurred in what the model reads"):
        model.answer(["a", "ö"])
    with pytest.raises(TextError, match="'green' never occurred"):
        predictor("one-to-many").sample("green", Sampling())


# --- scores


def laid_out(model: Predictor, pairs: list[tuple[str, str]]) -> Examples:
    pairing = model.pairing
    return Examples.of([pairing.example(*pair) for pair in pairs], pairing.inputs, pairing.outputs)


@pytest.mark.parametrize("layout", ["many-to-many", "many-to-one", "synced", "one-to-one"])
def test_exact_matches_are_those_of_greedy_answers(layout: str) -> None:
    model = predictor(layout, size=0.6)
    if model.pairing.layout_spec.feeds_back:
        model.parameters["b_y"][model.pairing.end_id] = 2.0
    answers = model.answer(fields(layout))
    alphabet = model.pairing.answers
    pairs = []
    for number, (field, one) in enumerate(zip(fields(layout), answers, strict=True)):
        cut = model.pairing.layout_spec.feeds_back and len(one.text) == model.limit
        right = one.text if one.text and not cut else alphabet[0]
        wrong = "".join(alphabet[0] if symbol != alphabet[0] else alphabet[1] for symbol in right)
        if not model.pairing.layout_spec.answer_is_text:
            wrong = next(label for label in alphabet if label != right)
        pairs.append((field, right if number % 2 else wrong))
    found = score(model.config, model.parameters, laid_out(model, pairs))
    assert found is not None
    agreeing = sum(one.text == wanted for one, (_, wanted) in zip(answers, pairs, strict=True))
    assert found.exact_match * len(pairs) == pytest.approx(agreeing)
    nats = -sum(log_probability(model, *pair) for pair in pairs) / found.symbols
    assert found.nats_per_symbol == pytest.approx(nats, rel=1e-9)
    assert found.bits_per_symbol == pytest.approx(nats / math.log(2), rel=1e-9)


def test_scoring_can_be_stopped() -> None:
    model = predictor("many-to-one")
    examples = laid_out(model, [("ab", "x")])
    assert score(model.config, model.parameters, examples, lambda: True) is None


def test_the_confusion_matrix_counts_and_f1_is_its_harmonic_mean() -> None:
    truth, given = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    counts = confusion(truth, given, 4)
    np.testing.assert_array_equal(counts[:3, :3], [[2, 1, 0], [1, 1, 0], [0, 1, 0]])
    first, second, third, absent = label_scores(counts)
    assert (first.precision, first.recall, first.count) == (2 / 3, 2 / 3, 3)
    assert (second.precision, second.recall) == (1 / 3, 1 / 2)
    assert second.f1 == pytest.approx(2 / (3 + 2))
    assert (third.f1, third.count, absent.count) == (0, 1, 0)
    assert macro_f1([first, second, third, absent]) == pytest.approx((2 / 3 + 0.4) / 3)
