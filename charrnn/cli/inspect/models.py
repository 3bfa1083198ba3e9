"""Models to inspect: from checkpoints, or untrained networks described by options."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.analysis.dataset_profile import data_profile
from charrnn.analysis.gradient_profile import GradientProfile
from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint, saved_runs
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.inspect.model_names import distinct_names, model_names, numbered_names
from charrnn.cli.output.console import warn
from charrnn.cli.output.text_columns import listed
from charrnn.cli.runs import load_pairs, load_text
from charrnn.data.builtin_texts import built_in_corpus
from charrnn.data.decoding import TextOptions
from charrnn.data.large_text_files import AnyCorpus
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import PairCorpus, build_examples, read_pairs
from charrnn.data.symbols import Symbols
from charrnn.data.text_files import read_corpus
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CharRNNError, TextError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.types import Ids

MAX_TEXT_CHARACTERS = 1_000_000
MAX_LISTED_CHARACTERS = 20
DEFAULT_HIDDEN = 128
NO_IDS: Ids = np.zeros(0, np.uint8)

REFERENCE_MODELS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("rnn normal:0.01 (2015)", {"cell": "rnn", "init": "normal:0.01", "input_init": "normal:0.01"}),
    ("rnn orthogonal", {"cell": "rnn", "init": "orthogonal"}),
    ("gru", {"cell": "gru"}),
    ("lstm", {"cell": "lstm"}),
)
"""Untrained networks that are compared if there is no run: a plain RNN with the initialisation of
2015, then the three cells with the defaults of `train`."""


@dataclass(frozen=True)
class TextChoice:
    """The options --text and --encoding; None if they are not given."""

    path: str | None = None
    """The file of --text."""
    encoding: str | None = None
    """Its encoding, utf-8 by default."""
    needed: bool = True
    """Whether the view measures on a text; otherwise no text of a trained model is read."""

    def options(self, normalise: str | None = None, *, as_bytes: bool = False) -> TextOptions:
        """Return how to decode the file; UsageError for --encoding with a model of bytes."""
        if as_bytes and self.encoding is not None:
            raise UsageError("--encoding is for characters, this model reads bytes", "without it")
        return TextOptions(self.encoding or "utf-8", as_bytes, normalise)


@dataclass(frozen=True)
class InspectedModel:
    """A model and the data that it is measured on."""

    name: str
    """Name in tables and plots."""
    config: ModelConfig
    parameters: Parameters
    symbols: Symbols
    ids: Ids
    """The text (N,); for pairs the inputs of all examples, one after another."""
    text_name: str
    """Name of the text or of the pairs."""
    trained: bool
    """Whether the weights are trained, not only initialised."""
    normalise: str | None = None
    """Unicode normal form of the texts that the model reads."""
    seq_length: int | None = None
    """Training window in characters; None for pairs, and if it is not known."""
    examples: Examples | None = None
    """The pairs; None for a model of texts."""
    source: str = ""
    """Path of the text or pairs, or the name of a built-in corpus."""

    def profile(self, lags: int, windows: int, seed: int) -> GradientProfile:
        """Measure the gradient profile on the text, or within the examples."""
        data = self.ids if self.examples is None else self.examples
        return data_profile(
            data, self.config, self.parameters, lags=lags, windows=windows, seed=seed
        )

    def prompt(self, text: str) -> tuple[str, Ids]:
        """Return a text in the characters of the model, and the ids before the prediction."""
        return self.symbols.typed_prompt(text, self.normalise)

    @property
    def as_bytes(self) -> bool:
        """Whether the model reads bytes instead of characters."""
        return self.symbols.as_bytes

    def prediction_name(self, target: int) -> str:
        """Return the name of the prediction `target`: a character, an answer, or the end."""
        return self.symbols.name_of(target)


def trained_models(
    paths: Sequence[str], texts: TextChoice, *, at_init: bool
) -> list[InspectedModel]:
    """Load checkpoints, each with the data to measure it on.

    Args:
        paths: checkpoints or run folders.
        texts: the text of --text; without it, each model is measured on its own training text.
        at_init: whether to replace the weights by newly initialised ones.
    """
    if texts.path is not None and not texts.needed:
        raise UsageError("a trained model with --show does not read --text", "without --text")
    models = []
    files = list(map(find_checkpoint, paths))
    for path, name in zip(files, model_names(files), strict=True):
        checkpoint = load_checkpoint(path)
        examples = None
        ids, text_name, source = NO_IDS, "", ""
        if not texts.needed:
            pass
        elif checkpoint.symbols.of_pairs:
            examples, text_name, source = examples_of(checkpoint, path, texts)
            ids = examples.inputs
        else:
            ids, text_name, source = text_of(checkpoint, path, texts)
        config, parameters = checkpoint.config, checkpoint.parameters
        if at_init:
            name = f"{name} at initialisation"
            parameters = initialise(config, generator(0, Purpose.WEIGHTS))
        window = None if checkpoint.training is None else checkpoint.training.config.seq_length
        models.append(
            InspectedModel(
                name,
                config,
                parameters,
                checkpoint.symbols,
                ids,
                text_name,
                normalise=checkpoint.corpus.normalise,
                trained=not at_init,
                seq_length=None if examples else window or seq_length_beside(path),
                examples=examples,
                source=source,
            )
        )
    return with_text_names(models)


def with_text_names(models: Sequence[InspectedModel]) -> list[InspectedModel]:
    """Give each text a name of its own, where several have the same one."""
    paths = [Path(model.source) for model in models]
    names = distinct_names([model.text_name for model in models], paths)
    return [replace(model, text_name=name) for model, name in zip(models, names, strict=True)]


def seq_length_beside(path: Path) -> int | None:
    """Return the training window stored in last.npz beside `path`; None without that file."""
    try:
        training = load_checkpoint(path.with_name("last.npz")).training
    except CharRNNError:
        return None
    return None if training is None else training.config.seq_length


def text_of(checkpoint: Checkpoint, path: Path, texts: TextChoice) -> tuple[Ids, str, str]:
    """Return the ids to measure on, the name of their text, and its source."""
    vocabulary, record = checkpoint.vocabulary, checkpoint.corpus
    corpus: AnyCorpus
    if texts.path is not None:
        options = texts.options(record.normalise, as_bytes=vocabulary.as_bytes)
        corpus = read_corpus([texts.path], options)
    else:
        try:
            corpus = load_text.find_text_again(record, path.parent)
        except CharRNNError as error:
            warn(f"{error.problem}; using {load_text.DEFAULT_CORPUS} instead")
            corpus = built_in_corpus(load_text.DEFAULT_CORPUS)
    start = corpus.part(0, MAX_TEXT_CHARACTERS)
    if unknown := vocabulary.unknown(start):
        names = listed(unknown, limit=MAX_LISTED_CHARACTERS)
        warn(f"left out characters that the model does not know: {names}")
    ids = vocabulary.encode(start, "skip")
    if not len(ids):
        raise TextError(f"the model knows no character of {corpus.name!r}", "another --text")
    return ids, corpus.name, source_of(corpus)


def source_of(corpus: AnyCorpus | PairCorpus) -> str:
    """Return the sources of a corpus as one text."""
    return "+".join(corpus.sources)


def examples_of(checkpoint: Checkpoint, path: Path, texts: TextChoice) -> tuple[Examples, str, str]:
    """Return the pairs to measure on, their name, and their source."""
    pairing, record = checkpoint.pairing, checkpoint.corpus
    if texts.path is not None:
        corpus = read_pairs([texts.path], texts.options(record.normalise))
    else:
        corpus = load_pairs.find_pairs_again(record, pairing.layout, path.parent)
    return (
        build_examples(pairing, corpus.pairs).first(MAX_TEXT_CHARACTERS),
        corpus.name,
        source_of(corpus),
    )


def reference_models(texts: TextChoice) -> list[InspectedModel]:
    """Return the untrained networks of `REFERENCE_MODELS`."""
    return untrained_models(REFERENCE_MODELS, texts, {"hidden": DEFAULT_HIDDEN})


def network_grid(
    cells: Sequence[str], inits: Sequence[str], given: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return name and settings of a network for each cell and recurrent initialiser."""
    rows = []
    for cell, init in product(cells, inits):
        used = given
        if cell in CELLS and CELLS[cell].forget_bias_gate is None:
            used = {key: value for key, value in given.items() if key != "forget_bias"}
        rows.append((f"{cell} {init}" + settings_suffix(used), {"cell": cell, "init": init}))
    if "forget_bias" in given and not any("forget-bias" in name for name, _ in rows):
        raise UsageError("--forget-bias is for cells with a forget gate", "--cells lstm")
    return rows


def settings_suffix(given: dict[str, Any]) -> str:
    """Return the settings that differ from the defaults, to be added to a name."""
    shown = ("gain", "input_init", "input_gain", "forget_bias", "layers")
    return "".join(f" {key.replace('_', '-')} {given[key]}" for key in shown if key in given)


def untrained_models(
    rows: Sequence[tuple[str, dict[str, Any]]],
    texts: TextChoice,
    given: dict[str, Any],
) -> list[InspectedModel]:
    """Initialise one network for each row of names and settings, with one seed, on one text."""
    corpus = (
        built_in_corpus(load_text.DEFAULT_CORPUS)
        if texts.path is None
        else read_corpus([texts.path], texts.options())
    )
    vocabulary = Vocabulary.from_text(corpus.text)
    ids = vocabulary.encode(corpus.text[:MAX_TEXT_CHARACTERS])
    V = len(vocabulary)
    models = []
    for name, (_, settings) in zip(numbered_names([name for name, _ in rows]), rows, strict=True):
        config = ModelConfig(V, V, **({"hidden": DEFAULT_HIDDEN} | given | settings))
        parameters = initialise(config, generator(0, Purpose.WEIGHTS))
        models.append(
            InspectedModel(name, config, parameters, vocabulary, ids, corpus.name, trained=False)
        )
    return models


def any_run() -> bool:
    """Return whether there is a run with a checkpoint."""
    return bool(saved_runs())


def all_cells() -> str:
    """Return all cells, as the option --cells takes them."""
    return ",".join(CELLS)
