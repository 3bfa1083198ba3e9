"""Models of pairs with default settings, beside what a user would pick instead.

    python -m tests.benchmarks.pairs [--sets surnames,phonemes] [--minutes 3] [--seeds 0,1,2]
        [--size N] [--inner] [--option=--hidden=256 …] [--json FILE]

A tenth of the pairs, drawn by the seed, is scored; with `--inner` this is done twice, so that the
pairs that the first tenth holds are not looked at: settings are chosen so. Rows:

    charrnn      `charrnn train` on the rest, which validates on a tenth of it, then `charrnn eval`
    logistic     TF-IDF of 1- to 5-grams and logistic regression (scikit-learn); C from a tenth
    naive Bayes  counts of 1- to 4-grams and naive Bayes (scikit-learn)
    copying      the input itself (sequences)
    nearest      the answer of the nearest training input, by the cosine of TF-IDF (sequences)

Needs `pip install '.[bench]'`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measuring import options, show, write_json
from tests.benchmarks.pair_sets import SETS, Pairs, pairs_of, split

Figures = dict[str, float]
"""Accuracy, macro_f1, nats and seconds; those that a row has."""

STRENGTHS = (1.0, 10.0, 100.0)
"""Values of C, the inverse of the regularisation, that logistic regression chooses from."""


def charrnn(
    name: str, train: Pairs, scored: Pairs, folder: Path, given: list[str]
) -> tuple[Figures, dict[str, Any]]:
    """Train by the command; return the figures of the scored pairs, and the run's own result."""
    for part, pairs in (("train", train), ("scored", scored)):
        lines = "".join(f"{source}\t{answer}\n" for source, answer in pairs)
        (folder / f"{part}.tsv").write_text(lines, encoding="utf-8")
    began = time.perf_counter()
    layout = SETS[name].layout
    result = command(folder, "train", "train.tsv", "--layout", layout, "--out", "run", *given)
    seconds = time.perf_counter() - began
    found = command(folder, "eval", "run", "scored.tsv")
    exact = "exact_match" if layout == "many-to-many" else "symbol_accuracy"
    figures = {"accuracy": found[exact], "nats": found["nats_per_symbol"], "seconds": seconds}
    if "macro_f1" in found:
        figures["macro_f1"] = found["macro_f1"]
    return figures, result


def command(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a command of charrnn, and return its JSON."""
    line = [sys.executable, "-m", "charrnn", *arguments, "--json"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def logistic(train: Pairs, scored: Pairs) -> Figures:
    """Fit logistic regression, its C chosen on a tenth of the training pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    began = time.perf_counter()

    def fitted(pairs: Pairs, C: float) -> tuple[Any, Any]:
        vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), lowercase=False)
        model = LogisticRegression(C=C, max_iter=200)
        return vectors, model.fit(vectors.fit_transform(inputs(pairs)), answers(pairs))

    inner, chosen = split(tuple(train), 0)
    known = set(answers(inner))
    chosen = [pair for pair in chosen if pair[1] in known]

    def loss(C: float) -> float:
        vectors, model = fitted(inner, C)
        p = model.predict_proba(vectors.transform(inputs(chosen)))
        return float(log_loss(answers(chosen), p, labels=model.classes_))

    vectors, model = fitted(train, min(STRENGTHS, key=loss))
    p = model.predict_proba(vectors.transform(inputs(scored)))
    return label_figures(model.classes_, p, scored) | {"seconds": time.perf_counter() - began}


def naive_bayes(train: Pairs, scored: Pairs) -> Figures:
    """Fit naive Bayes on counts of 1- to 4-grams."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    began = time.perf_counter()
    vectors = CountVectorizer(analyzer="char_wb", ngram_range=(1, 4), lowercase=False)
    model = MultinomialNB(alpha=0.1)
    model.fit(vectors.fit_transform(inputs(train)), answers(train))
    p = model.predict_proba(vectors.transform(inputs(scored)))
    return label_figures(model.classes_, p, scored) | {"seconds": time.perf_counter() - began}


def label_figures(classes: Any, p: Any, scored: Pairs) -> Figures:
    """Return accuracy, macro F1 and nats of probabilities (n, classes)."""
    from sklearn.metrics import f1_score

    truth = np.array(answers(scored))
    given = classes[p.argmax(axis=1)]
    column = np.searchsorted(classes, truth).clip(max=len(classes) - 1)
    right = np.where(classes[column] == truth, p[np.arange(len(truth)), column], 0.0)
    return {
        "accuracy": float(np.mean(given == truth)),
        "macro_f1": float(f1_score(truth, given, average="macro", labels=np.unique(truth))),
        "nats": float(-np.log(np.maximum(right, 1e-12)).mean()),
    }


def copying(train: Pairs, scored: Pairs) -> Figures:
    """Answer with the input."""
    return {"accuracy": float(np.mean([source == answer for source, answer in scored]))}


def nearest(train: Pairs, scored: Pairs) -> Figures:
    """Answer as the nearest training input is answered."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    began = time.perf_counter()
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), lowercase=False)
    known = vectors.fit_transform(inputs(train)).T.tocsc()
    asked = vectors.transform(inputs(scored))
    right = 0
    for first in range(0, len(scored), 500):
        best = (asked[first : first + 500] @ known).toarray().argmax(axis=1)
        right += sum(
            train[at][1] == answer
            for at, (_, answer) in zip(best, scored[first : first + 500], strict=True)
        )
    return {"accuracy": right / len(scored), "seconds": time.perf_counter() - began}


def inputs(pairs: Pairs) -> list[str]:
    """Return the inputs of pairs."""
    return [source for source, _ in pairs]


def answers(pairs: Pairs) -> list[str]:
    """Return the answers of pairs."""
    return [answer for _, answer in pairs]


RIVALS = {
    "many-to-one": {"logistic": logistic, "naive Bayes": naive_bayes},
    "many-to-many": {"copying": copying, "nearest": nearest},
}


def main() -> None:
    """Run the sets one after the other, and print a table."""
    parser = options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--size", type=int, help="pairs to train on; default: all")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--inner", action="store_true", help="split inside the training part")
    parser.add_argument("--option", action="append", default=[], help="an option of train")
    parser.add_argument("--alone", action="store_true", help="no other rows")
    asked = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Figures] = {}
    for name in asked.sets.split(","):
        for seed in map(int, asked.seeds.split(",")):
            train, scored = split(pairs_of(name), seed)
            if asked.inner:
                train, scored = split(tuple(train), 100 + seed)
            train = train[: 200 if asked.quick else asked.size]
            scored = scored[:50] if asked.quick else scored
            given = ["--minutes", f"{0.02 if asked.quick else asked.minutes:g}"]
            if any(option.startswith(("--epochs", "--steps")) for option in asked.option):
                given = []
            found: dict[str, Figures] = {}
            with tempfile.TemporaryDirectory() as folder:
                given += [*asked.option, "--seed", str(seed)]
                found["charrnn"], result = charrnn(name, train, scored, Path(folder), given)
            print(f"{name} {seed}: {result.get('epochs', '?')} epochs", flush=True)
            for rival, fit in {} if asked.alone else RIVALS[SETS[name].layout].items():
                found[rival] = fit(train, scored)
            for row, values in found.items():
                figures[f"{name}, seed {seed}, {row}"] = values
                rows.append([name, str(seed), f"{len(train):,}", row, *cells(values)])
                print(*rows[-1], sep="  ", flush=True)
    show(("pairs", "seed", "trained on", "row", "right", "macro F1", "nats", "s"), rows)
    write_json(asked.json, dict(figures))


def cells(values: Figures) -> list[str]:
    """Return the figures of a row as text."""
    forms = {"accuracy": "{:.2%}", "macro_f1": "{:.3f}", "nats": "{:.4f}", "seconds": "{:.0f}"}
    return [form.format(values[key]) if key in values else "-" for key, form in forms.items()]


if __name__ == "__main__":
    main()
