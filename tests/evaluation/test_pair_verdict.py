"""Verdicts on pairs: a difference within the error is no difference."""

import numpy as np
import pytest

from charrnn.evaluation.pair_baselines import PairBaseline
from charrnn.evaluation.pair_verdict import difference, share_error


def test_the_error_is_the_spread_of_drawn_differences(rng: np.random.Generator) -> None:
    for p, q, n in ((0.8, 0.82, 500), (0.5, 0.5, 50), (0.97, 0.9, 2000)):
        drawn = rng.binomial(n, p, 4000) / n - rng.binomial(n, q, 4000) / n
        assert share_error(p, q, n) == pytest.approx(drawn.std(), rel=0.06)
    drawn = rng.binomial(5000, 0.6, 4000) / 5000 - rng.binomial(100, 0.5, 4000) / 100
    assert share_error(0.6, 0.5, 5000, 100) == pytest.approx(drawn.std(), rel=0.06)


def test_a_baseline_of_fewer_examples_has_a_larger_error() -> None:
    model = PairBaseline("this model", exact_match=0.53)
    nearest = PairBaseline("nearest", exact_match=0.49)
    assert difference(model, nearest, 20_000).outcome == "better"
    few = PairBaseline("nearest", exact_match=0.49, examples=1_000)
    assert difference(model, few, 20_000).outcome == "better"
    fewer = PairBaseline("nearest", exact_match=0.49, examples=300)
    assert difference(model, fewer, 20_000).outcome == "level"


@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
def test_two_equally_good_models_are_rarely_told_apart(rng: np.random.Generator, p: float) -> None:
    for n in (12, 300):
        shares = rng.binomial(n, p, (1000, 2)) / n
        told = [
            difference(PairBaseline("", exact_match=a), PairBaseline("", exact_match=b), n).outcome
            for a, b in shares.tolist()
        ]
        assert np.mean([outcome != "level" for outcome in told]) < 0.07


def test_the_accuracy_of_labels_counts_and_not_their_loss() -> None:
    model = PairBaseline("this model", 0.2, 0.82, macro_f1=0.5)
    bayes = PairBaseline("naive Bayes", 0.1, 0.826, macro_f1=0.6)
    found = difference(model, bayes, 2000)
    assert (found.figure, found.outcome) == ("accuracy", "level")
    assert str(found) == "accuracy −0.6 ± 1.2 points"
    poor = PairBaseline("this model", 0.2, 0.7, macro_f1=0.5)
    assert difference(poor, bayes, 2000).outcome == "worse"
    assert difference(bayes, poor, 2000).outcome == "better"


def test_losses_are_compared_where_no_answer_is_right_as_a_whole() -> None:
    model, counts = PairBaseline("this model", 0.5, 0.9), PairBaseline("counts", 0.7, 0.8)
    found = difference(model, counts, 10)
    assert (found.figure, found.error) == ("nats", 0.0)
    assert found.lead == pytest.approx(0.2)
    assert difference(model, counts, 10).outcome == "better"
    assert str(difference(counts, model, 10)) == "0.2000 nats behind"
    assert difference(model, model, 10).outcome == "level"


def test_one_figure_must_be_common() -> None:
    with pytest.raises(ValueError, match="no figure in common"):
        difference(PairBaseline("a", 0.1), PairBaseline("b", exact_match=1.0), 5)
