"""Search for the most probable answers of open length: greedy search and beam search.

Answers of many inputs grow by one symbol per step. Those that have ended leave the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn.inference.prompt_readers import Decoder
from charrnn.nn.ops import log_softmax
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Found:
    """Answers one behind the other, their END left out."""

    ids: Ids  # (N,)
    lengths: Ids  # (n,)
    log_p: Array  # (n,): the sum of ln p of the symbols, END included


@dataclass(frozen=True)
class SearchRules:
    """What an answer is.

    Args:
        end: the id of END.
        limit: most symbols of an answer: one that has not ended by then is cut.
        fed_back: maps symbols of answers to the inputs that are read after them.
    """

    end: int
    limit: int
    fed_back: Callable[[Ids], Ids]


def best_and_log_p(logits: Array) -> tuple[Ids, Array]:
    """Return the most probable symbol of each row (n,) and its ln p, for logits (n, V).

    Example:
        >>> best, log_p = best_and_log_p(np.array([[0.0, 0.0], [0.0, 50.0]]))
        >>> best, np.exp(log_p)
        (array([0, 1]), array([0.5, 1. ]))
    """
    best = logits.argmax(axis=-1)
    largest = logits[np.arange(len(best)), best]
    return best, -np.log(np.exp(logits - largest[:, None]).sum(axis=-1, dtype=np.float64))


def greedy_search(decoder: Decoder, logits: Array, rules: SearchRules) -> Found:
    """Return the answers that take the most probable symbol at each step.

    Args:
        decoder: the answers before their first symbol, n rows.
        logits: the logits (n, V) of that symbol.
        rules: what an answer is.
    """
    n = len(logits)
    total, lengths = np.zeros(n), np.zeros(n, np.int64)
    going = np.arange(n)
    steps: list[tuple[Ids, Ids]] = []
    for step in range(rules.limit):
        best, log_p = best_and_log_p(logits)
        total[going] += log_p
        rows = np.flatnonzero(best != rules.end)
        going, symbols = going[rows], best[rows]
        lengths[going] += 1
        steps.append((going, symbols))
        if not len(going) or step == rules.limit - 1:
            break
        logits = decoder.step(rows, rules.fed_back(symbols))
    starts = np.cumsum(lengths) - lengths
    ids = np.zeros(int(lengths.sum()), np.int64)
    for step, (of, symbols) in enumerate(steps):
        ids[starts[of] + step] = symbols
    return Found(ids, lengths, total)


def beam_search(decoder: Decoder, logits: Array, rules: SearchRules, beam: int) -> Found:
    """Return the most probable answers found with `beam` hypotheses for each input.

    A hypothesis that has ended keeps its score. An input leaves the batch when its best hypothesis
    has ended: all others are less probable already, and longer answers are not more probable.
    Arguments are those of `greedy_search`.
    """
    n, V = logits.shape
    log_p = np.zeros(n)
    last_step = np.zeros(n, np.int64)
    inputs = np.arange(n)  # those that are still searched, P of them
    scores = np.zeros((n, 1))  # (P, K), K hypotheses each, the best first
    ended = np.zeros((n, 1), bool)
    steps: list[tuple[Ids, Ids, Ids]] = []
    for step in range(rules.limit):
        following = np.full((*scores.shape, V), -np.inf)
        following[ended, rules.end] = 0.0  # a finished answer keeps its score
        following[~ended] = log_softmax(logits.astype(np.float64), np.empty(logits.shape))
        totals = (scores[..., None] + following).reshape(len(inputs), -1)
        best = largest_first(totals, min(beam, totals.shape[1]))
        scores = np.take_along_axis(totals, best, axis=-1)
        parents, symbols = np.divmod(best, V)
        steps.append((inputs, parents, symbols))
        row_of = (np.cumsum(~ended) - 1).reshape(ended.shape)  # in the decoder
        ended = np.take_along_axis(ended, parents, axis=-1) | (symbols == rules.end)
        done = ended[:, 0] | (step == rules.limit - 1)
        log_p[inputs[done]] = scores[done, 0]
        last_step[inputs[done]] = step
        if done.all():
            break
        rows = np.take_along_axis(row_of, parents, axis=-1)[~done]
        inputs, scores, ended = inputs[~done], scores[~done], ended[~done]
        logits = decoder.step(rows[~ended], rules.fed_back(symbols[~done][~ended]))
    return traced_back(steps, last_step, log_p, rules.end)


def largest_first(values: Array, count: int) -> Ids:
    """Return the places (P, count) of the largest of each row's values, in descending order.

    Of equal values that are found the first one comes first.
    """
    if count == 1:
        largest: Ids = values.argmax(axis=-1, keepdims=True)
        return largest
    found = np.argpartition(-values, count - 1, axis=-1)[:, :count]
    found.sort(axis=-1)
    order = np.argsort(-np.take_along_axis(values, found, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(found, order, axis=-1)


def traced_back(steps: list[tuple[Ids, Ids, Ids]], last_step: Ids, log_p: Array, end: int) -> Found:
    """Return the answers that end in the best hypothesis of each input's last step.

    Args:
        steps: at each step the inputs (P,), ascending, and the parent and symbol (P, K) of each
            hypothesis.
        last_step: the step (n,) after which each input left the batch.
        log_p: ln p of the answers (n,).
        end: the id of END.
    """
    n = len(log_p)
    symbols = np.full((n, len(steps)), end, np.int64)
    hypotheses = np.zeros(n, np.int64)
    for step in reversed(range(len(steps))):
        of, parents, chosen = steps[step]
        traced = np.flatnonzero(last_step >= step)
        place = np.searchsorted(of, traced), hypotheses[traced]
        symbols[traced, step] = chosen[place]
        hypotheses[traced] = parents[place]
    before_end = np.logical_and.accumulate(symbols != end, axis=1)
    return Found(symbols[before_end], before_end.sum(axis=1), log_p)
