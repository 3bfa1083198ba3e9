"""Answers to prompts that are already numbered, as many at a time as memory allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.layouts import PairVocabulary
from charrnn.data.prompts import Prompts, decode_answers
from charrnn.inference.prompt_readers import PromptReader
from charrnn.inference.search import SearchRules, beam_search, best_and_log_p, greedy_search
from charrnn.inference.tree_reader import reader_for
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.ops import log_softmax
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

ANSWER_LENGTH_FACTOR, EXTRA_SYMBOLS = 2, 10
"""An answer may be this many times as long as the longest one in training, and a few symbols."""


def answer_limit(pairing: PairVocabulary) -> int:
    """Return the most symbols of an answer: one that has not ended by then is cut."""
    return ANSWER_LENGTH_FACTOR * pairing.longest + EXTRA_SYMBOLS


def fed_back(pairing: PairVocabulary, answers: Ids) -> Ids:
    """Return the inputs that are read after symbols of answers; any one after END."""
    return pairing.fed_back(np.where(answers == pairing.end_id, 0, answers))


def answers_to(
    prompts: Prompts,
    config: ModelConfig,
    parameters: Parameters,
    pairing: PairVocabulary,
    beam: int = 1,
    ngrams: LabelNgrams | None = None,
) -> tuple[list[str], Array]:
    """Return the most probable answers and their probabilities (n,), in the order of the prompts.

    Args:
        prompts: n prompts of at least one symbol each, such as `encode_prompts` returns.
        config: the shape of the network.
        parameters: its weights.
        pairing: the layout of the pairs, and the symbols of inputs and answers.
        beam: the number of hypotheses of beam search, where answers have an open length.
        ngrams: n-grams that are mixed into labels.

    Raises `DivergedError` if the weights are so large that a logit is not finite.
    """
    texts = np.full(len(prompts), "", object)
    p = np.zeros(len(prompts))
    with quiet_reader(config, parameters, len(prompts)) as reader:
        for numbers in reader.groups(prompts, beam):
            group = prompts.chosen(numbers)
            texts[numbers], p[numbers] = answers_of_group(reader, group, pairing, beam, ngrams)
    found: list[str] = texts.tolist()
    return found, p


@contextmanager
def quiet_reader(config: ModelConfig, parameters: Parameters, count: int) -> Iterator[PromptReader]:
    """Yield a reader for a number of prompts; NumPy does not warn, as in `Network.forward`."""
    with (
        np.errstate(over="ignore", invalid="ignore"),
        reader_for(config, parameters, count) as reader,
    ):
        yield reader


def answers_of_group(
    reader: PromptReader,
    prompts: Prompts,
    pairing: PairVocabulary,
    beam: int,
    ngrams: LabelNgrams | None = None,
) -> tuple[list[str], Array]:
    """Return the answers to prompts that are read together, and their probabilities (n,)."""
    kind = pairing.layout_spec
    rows: Ids = np.arange(len(prompts))
    if kind.feeds_back:
        decoder, logits, rows = reader.start(prompts)
        rules = SearchRules(pairing.end_id, answer_limit(pairing), partial(fed_back, pairing))
        if beam == 1:
            found = greedy_search(decoder, logits, rules)
        else:
            found = beam_search(decoder, logits, rules, beam)
        ids, lengths, log_p = found.ids, found.lengths, found.log_p
    elif kind.predicts_while_reading:
        ids, at_each = best_and_log_p(reader.all_logits(prompts))
        lengths, log_p = prompts.lengths, np.add.reduceat(at_each, prompts.starts[:-1])
    else:
        ids, log_p = best_and_log_p(label_logits(reader, prompts, ngrams))
        lengths = np.ones_like(rows)
    texts = decode_answers(pairing, ids, lengths)
    return [texts[row] for row in rows.tolist()], np.exp(log_p)[rows]


def label_logits(reader: PromptReader, prompts: Prompts, ngrams: LabelNgrams | None) -> Array:
    """Return the logits of the labels after each prompt (n, L), of the mixture if there is one."""
    logits = reader.last_logits(prompts)
    return logits if ngrams is None else ngrams.mixed(logits, prompts.ids, prompts.starts)


def probabilities_of_labels(
    prompts: Prompts,
    config: ModelConfig,
    parameters: Parameters,
    ngrams: LabelNgrams | None = None,
) -> Array:
    """Return the probability of each label after each whole prompt, (n, labels).

    Arguments and errors are those of `answers_to`.
    """
    found = np.zeros((len(prompts), config.outputs))
    with quiet_reader(config, parameters, len(prompts)) as reader:
        for numbers in reader.groups(prompts, 1):
            group = prompts.chosen(numbers)
            logits = label_logits(reader, group, ngrams).astype(np.float64)
            found[numbers] = np.exp(log_softmax(logits, logits))
    return found
