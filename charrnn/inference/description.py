"""Descriptions of models: for `charrnn info`, and for notebooks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from charrnn.checkpointing.records import Checkpoint, MixtureRecord
from charrnn.data.characters import enumerated, labelled, quoted, repaired
from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.notebook_html import html_table


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return everything in a checkpoint except the arrays, as JSON values."""
    training, ngrams = checkpoint.training, checkpoint.ngrams
    return {
        "step": checkpoint.step,
        "parameters": len(checkpoint.parameters.vector),
        "model": checkpoint.config.as_dict(),
        **describe_symbols(checkpoint.symbols),
        "corpus": vars(checkpoint.corpus),
        "validation": checkpoint.validation,
        "training": None if training is None else training.config.as_dict(),
        "progress": None if training is None else vars(training.progress),
        "finished": None if training is None else training.finished,
        "arrays": {name: list(array.shape) for name, array in checkpoint.parameters.items()},
        **({} if ngrams is None else {"ngrams": label_ngram_facts(ngrams)}),
    }


def label_ngram_facts(ngrams: LabelNgrams) -> dict[str, Any]:
    """Return what is known of the n-grams of a model of labels, as JSON values."""
    return {
        "order": ngrams.order,
        "different": ngrams.different,
        "alpha": ngrams.alpha,
        "network_exponent": ngrams.network,
        "ngrams_exponent": ngrams.ngrams,
        "fitted": ngrams.fitted,
    }


def label_ngram_lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the description of the n-grams of a model of labels as lines, by their titles."""
    return {
        f"{facts['order']}-grams": f"{facts['different']:,} different ones of 1 to "
        f"{facts['order']} characters of the training inputs, counted by label",
        "exponents": f"networks {facts['network_exponent']:.3f}, n-grams "
        f"{facts['ngrams_exponent']:.3f}; fitted on {facts['fitted']:,} validation pairs",
    }


def describe_mixture(mixture: MixtureRecord) -> dict[str, Any]:
    """Return everything in a mixture except the arrays, as JSON values."""
    ngrams = mixture.ngrams
    members = [describe(member) for member in mixture.members]
    arrays = {
        f"members.{number}.{name}": shape
        for number, member in enumerate(members)
        for name, shape in member["arrays"].items()
    }
    counted = {} if ngrams is None else {"ngrams.ids": [len(ngrams.ids)]}
    return {
        "mixture": mixture.title,
        **describe_symbols(mixture.vocabulary),
        "members": members,
        "ngrams": None if ngrams is None else {"characters": len(ngrams.ids), **ngrams.settings()},
        "arrays": arrays | counted,
    }


def mixture_lines(facts: dict[str, Any], symbols: Mapping[str, str]) -> dict[str, str]:
    """Return the description of a mixture as lines of text, by their titles.

    Args:
        facts: what `describe_mixture` returns.
        symbols: lines about the symbols of the model.
    """
    lines = {"model": facts["mixture"], **symbols}
    shown = ("model", "corpus", "imported", "step", "validation")
    for number, member in enumerate(facts["members"], 1):
        own = description_lines(member, {})
        found = [
            own[name] if name == "model" else f"{name} {own[name]}" for name in shown if name in own
        ]
        found = [f"alone: {text}" if text.startswith("validation") else text for text in found]
        lines[f"network {number}"] = "; ".join(found)
    ngrams = facts["ngrams"]
    if ngrams is None:
        return lines
    title = f"{ngrams['order']}-grams"
    lines[title] = (
        f"of {ngrams['characters']:,} characters of the training text, which this file contains"
    )
    fitted = (
        f"fitted on {ngrams['fitted']:,} validation characters" if ngrams["fitted"] else "default"
    )
    lines["exponents"] = (
        f"networks {ngrams['network_unmatched']:.2f} without a known context to "
        f"{ngrams['network_matched']:.2f} with the longest, {title} "
        f"{ngrams['ngrams_unmatched']:.2f} to {ngrams['ngrams_matched']:.2f}; {fitted}"
    )
    return lines


def describe_symbols(symbols: Vocabulary | PairVocabulary) -> dict[str, Any]:
    """Return the input and output symbols of a network."""
    return {symbols.metadata_key: symbols.describe()}


def description_lines(facts: dict[str, Any], symbols: Mapping[str, str]) -> dict[str, str]:
    """Return a description as lines of text, by their titles.

    Args:
        facts: what `describe` returns.
        symbols: lines about the symbols of the model.
    """
    model, corpus = facts["model"], facts["corpus"]
    layers = ModelConfig(**model).layers_line
    dropout = f"dropout {model['dropout']:g}"
    if model["recurrent_dropout"]:
        dropout += f", recurrent {model['recurrent_dropout']:g}"
    per = "byte" if corpus["as_bytes"] else "character"
    lines = {
        "model": f"{layers}, {facts['parameters']:,} parameters, {dropout}",
        "initialised": f"{model['init']}, inputs {model['input_init'] or 'as the cell declares'}",
        **symbols,
        "corpus": f"{corpus['name']}, {corpus['characters']:,} {per}s",
        "fingerprint": f"sha256 {corpus['sha256'][:16]}…",
        "step": f"{facts['step']:,}",
    }
    if corpus["imported"] is not None:
        lines |= imported_lines(corpus)
        del lines["initialised"], lines["step"]  # neither came with the weights
        if not corpus["characters"]:
            del lines["fingerprint"]
    if "networks" in facts["validation"]:
        count = round(facts["validation"]["networks"])
        if count > 1:
            lines["networks"] = f"the mean of {count} networks, whose units stand side by side"
    if facts.get("ngrams") is not None:
        lines |= label_ngram_lines(facts["ngrams"])
    for unit, name in (("char", per), ("symbol", "symbol")):
        nats = facts["validation"].get(f"nats_per_{unit}")
        if nats is not None:
            lines["validation"] = f"{nats:.4f} nats, {nats / math.log(2):.4f} bits per {name}"
    for name in ("exact_match", "symbol_accuracy"):
        if name in facts["validation"]:
            lines[name.replace("_", " ")] = f"{facts['validation'][name]:.2%}"
    if facts["training"] is None:
        lines["training"] = "no training state: can be sampled, evaluated, or used for --init-from"
        return lines
    run = facts["training"]
    each = f"sequences of {run['seq_length']}" if "vocabulary" in facts else "pairs per batch"
    lines["training"] = (
        f"{run['optimiser']}, lr {run['lr']:g} {run['schedule']}, "
        f"{run['batch']} {each}, seed {run['seed']}, backend {run['kernel']}"
    )
    place = f"step {facts['step']:,} of {run['steps']:,}"
    lines["state"] = (
        f"finished, {place}"
        if facts["finished"]
        else f"{place}: charrnn train --resume continues it"
    )
    return lines


def imported_lines(corpus: dict[str, Any]) -> dict[str, str]:
    """Return the lines of a model that charrnn did not train, or that was elsewhere meanwhile."""
    lines = {"imported": f"from {corpus['imported']}"}
    if not corpus["characters"]:
        lines["corpus"] = "not known"
    return lines


def description_html(checkpoint: Checkpoint) -> str:
    """Return the description of a model of texts as an HTML table."""
    unit = "bytes" if checkpoint.vocabulary.as_bytes else "characters"
    symbols = {"vocabulary": f"{len(checkpoint.vocabulary):,} {unit}"}
    lines = description_lines(describe(checkpoint), symbols)
    return html_table([(title, labelled(repaired(line))) for title, line in lines.items()])


MAX_LABELS_SHOWN = 20
"""Labels of a model of pairs that a notebook shows."""


def pairs_html(
    config: ModelConfig,
    parameters: Parameters,
    pairing: PairVocabulary,
    ngrams: LabelNgrams | None = None,
) -> str:
    """Return the description of a model of pairs as an HTML table."""
    kind = pairing.layout_spec
    rows = [
        ("model", f"{config.layers_line}, {len(parameters.vector):,} parameters"),
        ("layout", f"{pairing.layout}: {kind.meaning}"),
        ("reads", symbols_line(pairing.sources, are_characters=kind.source_is_text)),
        ("answers", symbols_line(pairing.answers, are_characters=kind.answer_is_text)),
    ]
    if ngrams is not None:
        rows += label_ngram_lines(label_ngram_facts(ngrams)).items()
    return html_table([(title, labelled(repaired(line))) for title, line in rows])


def symbols_line(symbols: Sequence[str], *, are_characters: bool) -> str:
    """Return the number of characters, or the number of labels and the first of them."""
    if are_characters:
        return f"{len(symbols):,} characters"
    shown = enumerated(map(quoted, symbols[:MAX_LABELS_SHOWN]), len(symbols))
    return f"{len(symbols):,} labels: {shown}"
