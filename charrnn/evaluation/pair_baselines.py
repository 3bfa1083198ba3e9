"""Baselines for pairs: frequencies, naive Bayes, copying, the nearest and the commonest answer.

Each is fitted on the training pairs alone, smoothing included. What a network is worth on pairs is
what it adds to these.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from charrnn.data.label_ngrams import ALPHAS, LabelCounts
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_ngrams import DEFAULT_ORDER, Ngrams
from charrnn.evaluation.label_scores import labels_of
from charrnn.evaluation.nearest_pairs import nearest_inputs
from charrnn.evaluation.pairs import confusion, label_scores, macro_f1
from charrnn.nn.ops import cross_entropy
from charrnn.types import Ids

MAX_TRAIN_EXAMPLES = 200_000
"""Training examples that baselines are fitted on: the first ones."""

TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Temperatures of naive Bayes; like α, one is chosen on a tenth of the training examples."""

TENTH = 10


@dataclass(frozen=True)
class PairBaseline:
    """What one baseline reaches on some pairs; None for what it does not define.

    Args:
        name: as tables show it.
        nats_per_symbol: the loss.
        symbol_accuracy: share of right symbols.
        exact_match: share of examples whose answer is right as a whole.
        macro_f1: mean F₁ of the labels, where answers are labels.
        examples: the number of examples that were scored, if only the first ones were.
    """

    name: str
    nats_per_symbol: float | None = None
    symbol_accuracy: float | None = None
    exact_match: float | None = None
    macro_f1: float | None = None
    examples: int | None = None

    @property
    def title(self) -> str:
        """The name, with the number of examples if it is not that of the other rows."""
        return self.name if self.examples is None else f"{self.name} (first {self.examples:,})"

    def as_dict(self) -> dict[str, float | None]:
        """Return the figures by name, without those that are None."""
        figures = {key: value for key, value in vars(self).items() if key != "name"}
        return {key: value for key, value in figures.items() if value is not None}


def pair_baselines(
    pairing: PairVocabulary, train: Examples, scored: Examples
) -> list[PairBaseline]:
    """Return the baselines that a layout has, of the examples `scored`, fitted on `train`."""
    train = head(train, MAX_TRAIN_EXAMPLES)
    layout = pairing.layout_spec
    found = [frequencies(pairing, train, scored)]
    if layout.classifies:
        found.append(naive_bayes(pairing, train, scored))
    if layout.predicts_while_reading:
        found.append(by_input_symbol(pairing, train, scored))
    if layout.source_is_text and layout.answer_is_text:
        found += [copying(pairing, scored), commonest_answer(train, scored)]
        found.append(nearest_answer(pairing, train, scored))
    return found


def head(examples: Examples, count: int) -> Examples:
    """Return the first `count` examples, or all."""
    return examples.first(int(examples.starts[min(count, len(examples))]))


def frequencies(pairing: PairVocabulary, train: Examples, scored: Examples) -> PairBaseline:
    """Predict every symbol by how often it occurs in the answers of the training pairs."""
    counts = np.bincount(train.targets[train.target_mask], minlength=pairing.outputs) + 1.0
    targets = scored.targets[scored.target_mask]
    nats = -np.log(counts / counts.sum())[targets].mean()
    best = int(counts.argmax())
    f1 = None
    if pairing.layout_spec.classifies:
        f1 = f1_of(targets, np.full(len(targets), best), pairing.outputs)
    return PairBaseline(
        "commonest symbol" if pairing.layout_spec.answer_is_text else "commonest label",
        float(nats),
        float(np.mean(targets == best)),
        macro_f1=f1,
    )


def by_input_symbol(pairing: PairVocabulary, train: Examples, scored: Examples) -> PairBaseline:
    """Predict each symbol from the one that is read at the same position."""
    counts = np.full((pairing.inputs, pairing.outputs), 1 / pairing.outputs)
    np.add.at(counts, (train.inputs[train.target_mask], train.targets[train.target_mask]), 1)
    p = counts / counts.sum(axis=1, keepdims=True)
    read, targets = scored.inputs[scored.target_mask], scored.targets[scored.target_mask]
    right = np.zeros(len(scored.inputs), bool)
    right[scored.target_mask] = counts.argmax(axis=1)[read] == targets
    wrong = np.add.reduceat(scored.target_mask & ~right, scored.starts[:-1])
    return PairBaseline(
        "commonest answer to each character",
        float(-np.log(p[read, targets]).mean()),
        float(right[scored.target_mask].mean()),
        float(np.mean(wrong == 0)),
    )


def copying(pairing: PairVocabulary, scored: Examples) -> PairBaseline:
    """Answer with the input itself."""
    right = 0
    for number, target in enumerate(answers_of(scored)):
        ids = scored.inputs[scored.starts[number] : scored.starts[number + 1]]
        source = ids[: len(ids) - len(target)] if pairing.go_id is not None else ids
        right += "".join(pairing.sources[i] for i in source) == pairing.decode(target)
    return PairBaseline("copying the input", exact_match=right / len(scored))


def commonest_answer(train: Examples, scored: Examples) -> PairBaseline:
    """Give every input the answer that most training pairs have."""
    counts = Counter(answer.tobytes() for answer in answers_of(train))
    best, _ = counts.most_common(1)[0]
    right = sum(answer.tobytes() == best for answer in answers_of(scored))
    return PairBaseline("commonest answer", exact_match=right / len(scored))


def nearest_answer(pairing: PairVocabulary, train: Examples, scored: Examples) -> PairBaseline:
    """Give every input the answer of the most similar training input; of the first examples.

    See `charrnn.evaluation.nearest_pairs`.
    """
    nearest = nearest_inputs(pairing, train, scored)
    known, wanted = answers_of(train), answers_of(scored)
    right = sum(
        np.array_equal(known[number], answer)
        for number, answer in zip(nearest, wanted, strict=False)
    )
    count = len(nearest)
    return PairBaseline(
        "answer of the nearest input",
        exact_match=right / count,
        examples=count if count < len(scored) else None,
    )


def answers_of(examples: Examples) -> list[Ids]:
    """Return the predicted symbols of each example."""
    ends = np.cumsum(examples.predictions)[:-1]
    return np.split(examples.targets[examples.target_mask].astype(np.int64), ends)


def naive_bayes(pairing: PairVocabulary, train: Examples, scored: Examples) -> PairBaseline:
    """Classify texts by a multinomial naive Bayes model of their n-grams, n = 1 … `DEFAULT_ORDER`.

    log p(label | text) = (log p(label) + Σ log p(n-gram | label)) / τ + const. N-grams of one text
    depend on each other, so that the plain model (τ = 1) is far too sure; τ and the smoothing α are
    those of the lowest loss on a tenth of the training examples, of which the counts know nothing.
    McCallum & Nigam 1998; Guo et al. 2017, arXiv 1706.04599, for the temperature.
    """
    V, L = pairing.inputs, pairing.outputs
    known, labels = Ngrams.of(train.inputs, train.starts, V), labels_of(train)
    chosen = np.arange(len(train)) % TENTH == TENTH - 1
    if not chosen.any() or chosen.all():
        chosen = np.ones(len(train), bool)
    fitted = LabelCounts.of(known if chosen.all() else known.only(~chosen), labels, L)
    best = (np.inf, ALPHAS[-1], TEMPERATURES[-1])
    for alpha in ALPHAS:
        logits = fitted.logits(known.only(chosen), alpha)[chosen]
        buffer = np.empty_like(logits)
        for temperature in TEMPERATURES:
            nats = cross_entropy(logits / temperature, labels[chosen], buffer).mean()
            best = min(best, (float(nats), alpha, temperature))
    _, alpha, temperature = best
    truth = labels_of(scored)
    asked = Ngrams.of(scored.inputs, scored.starts, V)
    logits = LabelCounts.of(known, labels, L).logits(asked, alpha) / temperature
    answers = logits.argmax(axis=1)
    return PairBaseline(
        f"naive Bayes, 1- to {DEFAULT_ORDER}-grams",
        float(cross_entropy(logits, truth, np.empty_like(logits)).mean()),
        float(np.mean(answers == truth)),
        macro_f1=f1_of(truth, answers, L),
    )


def f1_of(truth: Ids, answers: Ids, labels: int) -> float:
    """Return the macro F₁ of answers."""
    return macro_f1(label_scores(confusion(truth, answers, labels)))
