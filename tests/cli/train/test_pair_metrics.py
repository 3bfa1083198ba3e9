"""Confusions of labels and the sentence about baselines."""

import io

import numpy as np
from rich.console import Console

from charrnn.cli.train.pair_metrics import (
    CONFUSIONS_SHOWN,
    MAX_CONFUSION_LABELS,
    PairMetrics,
    confusion_tables,
    frequent_confusions,
)
from charrnn.data.layouts import PairVocabulary
from charrnn.evaluation.pairs import PairScore
from charrnn.types import Array


def metrics_of(counts: Array, nats: float = 1.0) -> PairMetrics:
    labels = tuple(f"label{number}[b]" for number in range(len(counts)))
    total, right = int(counts.sum()), int(np.diag(counts).sum())
    score = PairScore(nats, right / total, right / total, total, total, np.zeros(total, np.int64))
    return PairMetrics(PairVocabulary("many-to-one", ("a",), labels), score, 0.5, counts)


def shown(table: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(table)
    return stream.getvalue()


def test_many_labels_have_their_most_frequent_confusions() -> None:
    counts = np.diag(np.full(MAX_CONFUSION_LABELS + 1, 90))
    counts[3, 1], counts[0, 12], counts[5, 6] = 7, 30, 1
    table = frequent_confusions(metrics_of(counts))
    rows = [line.split() for line in shown(table).splitlines()[1:]]
    assert rows == [
        ["label0[b]", "label12[b]", "30"],
        ["label3[b]", "label1[b]", "7"],
        ["label5[b]", "label6[b]", "1"],
    ]
    first, each = confusion_tables(metrics_of(counts))
    assert shown(first) == shown(table)
    assert "precision" in shown(each)


def test_there_are_few_of_them_and_none_without_mistakes() -> None:
    counts = np.full((20, 20), 5)
    table = frequent_confusions(metrics_of(counts))
    assert table is not None
    assert table.row_count == CONFUSIONS_SHOWN
    assert frequent_confusions(metrics_of(np.diag(np.full(20, 5)))) is None
    assert len(confusion_tables(metrics_of(np.diag(np.full(20, 5))))) == 1


def test_few_labels_have_a_matrix() -> None:
    matrix, _ = confusion_tables(metrics_of(np.array([[4, 3], [2, 9]])))
    lines = shown(matrix).splitlines()
    assert lines[1].split() == ["label0[b]", "4", "3"]
    assert lines[2].split() == ["label1[b]", "2", "9"]
