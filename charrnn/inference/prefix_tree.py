"""Prefix tree of a batch of prompts: prefixes that several prompts share are read once.

Level t holds the different prefixes of t + 1 symbols. The state after a prefix depends on it alone,
so that a recurrent product is needed once for each prefix that goes on, however many prompts share
it. Prompts of a batch that are equal end in one node. In the other direction the same tree shares
suffixes.

    to, tea, ten      t ─ o
                      └── e ─ a
                          └── n        five steps instead of eight
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charrnn.data.prompts import Prompts
from charrnn.types import Ids

MAX_TABLE = 2**22
"""Most (node, symbol) pairs for which children are found by a table instead of by sorting."""


class Level(NamedTuple):
    """The nodes of one depth, sorted by parent."""

    parents: Ids  # (K,): nodes of the level before that have children, ascending
    branches: Ids  # (N,): which of `parents` each node follows, ascending
    symbols: Ids  # (N,): the last symbol of each prefix


@dataclass(frozen=True)
class PrefixTree:
    """The tree of some prompts, read from their beginning or from their end.

    Nodes are numbered from the root, 0, which is the empty prefix, level by level.
    """

    levels: Sequence[Level]
    first_nodes: Ids  # (levels + 1,): number of the first node of each level, and of all nodes
    paths: Ids  # (N,): the node after each symbol of all prompts, in their order
    ends: Ids  # (n,): the node after each whole prompt

    @classmethod
    def of(cls, prompts: Prompts, symbols: int, *, reverse: bool = False) -> "PrefixTree":
        """Build the tree of prompts whose ids are below `symbols`."""
        order = np.argsort(-prompts.lengths, kind="stable")
        lengths, n = prompts.lengths[order], len(prompts)
        first = prompts.starts[1:][order] - 1 if reverse else prompts.starts[:-1][order]
        longest = int(lengths[0]) if n else 0
        counts = np.searchsorted(-lengths, -np.arange(1, longest + 1), side="right")
        nodes: Ids = np.zeros(n, np.int64)  # of each prompt, numbered within its level
        paths = np.zeros(len(prompts.ids), np.int64)
        ends = np.zeros(n, np.int64)
        levels, first_nodes = [], [1]
        before = 1
        for t, count in enumerate(counts.tolist()):
            places = first[:count] - t if reverse else first[:count] + t
            keys = nodes[:count] * symbols + prompts.ids[places]
            children, nodes = numbered(keys, before * symbols)
            level = level_of(children, symbols)
            levels.append(level)
            paths[places] = nodes + first_nodes[-1]
            ends[order[:count]] = paths[places]
            before = len(level.symbols)
            first_nodes.append(first_nodes[-1] + before)
        return cls(levels, np.array(first_nodes), paths, ends)


def numbered(keys: Ids, limit: int) -> tuple[Ids, Ids]:
    """Return the different keys, ascending, and the number of each key among them.

    Keys are below `limit`.
    """
    if limit > MAX_TABLE:
        different, numbers = np.unique(keys, return_inverse=True)
        return different, numbers
    occurs = np.zeros(limit, bool)
    occurs[keys] = True
    different = np.flatnonzero(occurs)
    table = np.empty(limit, np.int64)
    table[different] = np.arange(len(different))
    return different, table[keys]


def level_of(children: Ids, symbols: int) -> Level:
    """Return the level whose nodes are these (parent · symbols + symbol), ascending."""
    parent_of, last = np.divmod(children, symbols)
    opens = np.ones(len(children), bool)
    np.not_equal(parent_of[1:], parent_of[:-1], out=opens[1:])
    return Level(parent_of[opens], np.cumsum(opens) - 1, last)
