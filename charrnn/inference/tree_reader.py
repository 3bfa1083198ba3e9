"""Reader of many prompts: each prefix that they share is read once.

The batched forms of the cells (`batch_steps`) go through the levels of a tree of prefixes
(`prefix_tree`), and write answers row by row.
"""

from collections.abc import Iterator
from typing import Self

import numpy as np

from charrnn.data.prompts import Prompts
from charrnn.inference.batch_steps import BATCH_LAYERS, BatchSteps, LayerStates
from charrnn.inference.block_threads import BlockThreads
from charrnn.inference.fast_step import join_gates
from charrnn.inference.prefix_tree import PrefixTree
from charrnn.inference.prompt_readers import Decoder, NetworkReader, PromptReader
from charrnn.inference.readouts import AttentionReadout, LinearReadout, Readout
from charrnn.inference.sampling import finite_logits
from charrnn.nn.attention import Annotations
from charrnn.nn.bidirectional import W_CTX
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

MIN_TREE_PROMPTS = 16
"""Fewest prompts that are read as a tree: joining the weights takes as long as some prompts."""

GROUP_NUMBERS = 2**23
"""States and logits of the prompts that are read as one tree: some such arrays exist at once, at
most 32 MB each in float32."""


class TreeReader(PromptReader):
    """Reader by prefix trees, for the cells of `BATCH_LAYERS`; see `tree_fits`."""

    def __init__(self, config: ModelConfig, parameters: Parameters) -> None:
        super().__init__(config, parameters)
        names = [config.cell_names(layer) for layer in range(config.layers)]
        self.threads = BlockThreads()
        self.steps = BatchSteps(config, parameters, [name[0] for name in names], self.threads)
        self.backward_steps: BatchSteps | None = None
        if config.bidirectional is not None:
            self.backward_steps = BatchSteps(config, parameters, names[0][1:], self.threads)
        H = config.hidden
        self.W_hy, self.b_y = parameters["W_hy"][:H], parameters["b_y"]
        self.backward_W_hy = parameters["W_hy"][H:]  # no rows where no backward cell is read

    def __enter__(self) -> Self:
        self.open.enter_context(self.threads)
        return self

    def groups(self, prompts: Prompts, beam: int) -> Iterator[Ids]:
        """Yield groups in the order of the prompts, bounded by the numbers that they need."""
        config = self.config
        at_each = config.outputs + (beam + 2) * config.hidden * bool(config.attention)
        needed = beam * config.hidden + prompts.lengths * at_each
        group = np.cumsum(needed) // GROUP_NUMBERS
        yield from np.split(np.arange(len(prompts)), np.flatnonzero(np.diff(group)) + 1)

    def last_logits(self, prompts: Prompts) -> Array:
        """Return the logits (n, V) after each whole prompt."""
        h, rows = last_outputs(self.steps, self._tree(prompts))
        logits = (h @ self.W_hy + self.b_y)[rows]
        if self.backward_steps is not None:
            h, rows = last_outputs(self.backward_steps, self._tree(prompts, reverse=True))
            logits += (h @ self.backward_W_hy)[rows]
        return finite_logits(logits)

    def all_logits(self, prompts: Prompts) -> Array:
        """Return the logits (N, V) at each symbol of all prompts."""
        logits = self._logits_of_paths(self.steps, self._tree(prompts), self.W_hy)
        if self.backward_steps is not None:
            tree = self._tree(prompts, reverse=True)
            logits += self._logits_of_paths(self.backward_steps, tree, self.backward_W_hy)
        logits += self.b_y
        return finite_logits(logits)

    def start(self, prompts: Prompts) -> tuple[Decoder, Array, Ids]:
        """Return a decoder with a row for each different prompt."""
        before = prompts.without_last()
        tree = self._tree(before)
        last = prompts.ids[prompts.starts[1:] - 1]
        _, example, rows = np.unique(
            tree.ends * self.config.inputs + last, return_index=True, return_inverse=True
        )
        nodes: list[Array] = []  # the outputs at all symbols, which only attention needs
        reverse_nodes: list[Array] = []
        attends = self.config.attention > 0
        states, end_rows = end_states(self.steps, tree, nodes if attends else None)
        readout: Readout = LinearReadout(self.W_hy, self.b_y)
        added = None
        if self.backward_steps is not None:
            backward_tree = self._tree(before, reverse=True)
            ends, backward_rows = end_states(
                self.backward_steps, backward_tree, reverse_nodes if attends else None
            )
            context = ends[-1]["h"][backward_rows[example]]
            added = context @ join_gates(self.parameters[W_CTX], self.steps.layers[0].scale)
            if attends:
                both = np.concatenate(nodes)[tree.paths]
                both += np.concatenate(reverse_nodes)[backward_tree.paths]
                annotations = annotations_of(both, before, example, self.config.attention)
                readout = AttentionReadout(self.parameters, annotations)
            else:
                readout = LinearReadout(self.W_hy, context @ self.backward_W_hy + self.b_y)
        states = self.steps.advance(states, end_rows[example], last[example], added=added)
        decoder = TreeDecoder(self.steps, states, readout)
        return decoder, decoder.logits(), rows

    def _tree(self, prompts: Prompts, *, reverse: bool = False) -> PrefixTree:
        return PrefixTree.of(prompts, self.config.inputs, reverse=reverse)

    def _logits_of_paths(self, steps: BatchSteps, tree: PrefixTree, W_hy: Array) -> Array:
        """Return h W_hy (N, V) of every symbol of all prompts."""
        nodes = [states[-1]["h"] @ W_hy for states in levels_of(steps, tree)]
        logits: Array = np.concatenate(nodes)[tree.paths]
        return logits


class TreeDecoder(Decoder):
    """Decoder by the batched forms of the cells.

    Args:
        steps: the forward cells.
        states: their states (R, H) after the prompts.
        readout: makes logits of R outputs of the top layer.
    """

    def __init__(self, steps: BatchSteps, states: list[LayerStates], readout: Readout) -> None:
        self.steps, self.states, self.readout = steps, states, readout
        self.places: Ids | None = None
        """Where the state of each row stands; None if they are in the order of the rows."""

    def logits(self) -> Array:
        """Return the logits (R, V) of the present states."""
        logits = finite_logits(self.readout.logits(self.states[-1]["h"]))
        return logits if self.places is None else logits[self.places]

    def step(self, rows: Ids, inputs: Ids) -> Array:
        """Return the logits (R, V) after one more input.

        Rows that continue the same row share its product, and are therefore sorted by it.
        """
        if self.places is not None:
            rows = self.places[rows]
        parents, branches, self.places = rows, None, None
        if np.any(rows[1:] <= rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows, inputs = rows[order], inputs[order]
            parents, branches = np.unique(rows, return_inverse=True)
            self.places = np.empty_like(order)
            self.places[order] = np.arange(len(order))
        self.states = self.steps.advance(self.states, parents, inputs, branches)
        self.readout.choose(rows)
        return self.logits()


def levels_of(steps: BatchSteps, tree: PrefixTree) -> Iterator[list[LayerStates]]:
    """Yield the states (nodes, H) of each level, first those of the root, which are zero."""
    states = steps.zero_states()
    yield states
    for level in tree.levels:
        states = steps.advance(states, level.parents, level.symbols, level.branches)
        yield states


def annotations_of(outputs: Array, prompts: Prompts, numbers: Ids, heads: int) -> Annotations:
    """Return the annotations of some prompts, from the outputs (N, H) at each of all symbols."""
    places = Prompts(np.arange(len(outputs)), prompts.starts).chosen(numbers)
    R, S, H = len(numbers), int(places.lengths.max()), outputs.shape[1]
    rows = np.repeat(np.arange(R), places.lengths)
    values = np.zeros((R, S, H), outputs.dtype)
    values[rows, np.arange(len(rows)) - places.starts[rows]] = outputs[places.ids]
    divided = values.reshape(R, S, heads, H // heads).transpose(0, 2, 1, 3)
    return Annotations(np.ascontiguousarray(divided), places.lengths)


def end_states(
    steps: BatchSteps, tree: PrefixTree, outputs: list[Array] | None = None
) -> tuple[list[LayerStates], Ids]:
    """Return the states (E, H) after the different prompts, and the row (n,) of each prompt.

    The outputs (nodes, H) of the top layer at each level, the root first, are added to `outputs`.
    """
    nodes, rows = np.unique(tree.ends, return_inverse=True)
    starts = np.concatenate([[0], tree.first_nodes])  # the root is a level too
    cuts = np.searchsorted(nodes, starts)
    found: list[list[LayerStates]] = []
    for level, states in enumerate(levels_of(steps, tree)):
        if outputs is not None:
            outputs.append(states[-1]["h"])
        chosen = nodes[cuts[level] : cuts[level + 1]] - starts[level]
        if len(chosen):
            found.append(
                [{name: state[chosen] for name, state in layer.items()} for layer in states]
            )
    return [
        {name: np.concatenate([states[layer][name] for states in found]) for name in first}
        for layer, first in enumerate(found[0])
    ], rows


def last_outputs(steps: BatchSteps, tree: PrefixTree) -> tuple[Array, Ids]:
    """Return the last outputs (E, H) of the top layer, and the row (n,) of each prompt."""
    states, rows = end_states(steps, tree)
    return states[-1]["h"], rows


def tree_fits(config: ModelConfig) -> bool:
    """Return whether a network can be read by prefix trees.

    A second bidirectional layer reads each input with all that follow, so that no prefix is shared.
    """
    return CELLS[config.cell] in BATCH_LAYERS and (
        config.bidirectional is None or config.layers == 1
    )


def reader_for(config: ModelConfig, parameters: Parameters, count: int) -> PromptReader:
    """Return the fastest reader for a number of prompts."""
    if count >= MIN_TREE_PROMPTS and tree_fits(config):
        return TreeReader(config, parameters)
    return NetworkReader(config, parameters)
