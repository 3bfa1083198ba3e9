"""Batches (T, B) of examples of any length, as a function of the step alone.

Examples start at time 0 from the zero state; shorter ones are padded at their end. A cell only
looks back, or reads each example reversed within its own length, so that padding changes no state
and no prediction of a real position; its weight of zero keeps it out of loss and gradient. A batch
holds examples of similar length; which ones, and in which order batches come, is drawn in each
epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.data.batch import Batch
from charrnn.data.label_weights import label_weights
from charrnn.data.layouts import Example
from charrnn.errors import TextError
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids, smallest_id_type

MAX_BUCKETS = 8
"""Different lengths T of batches: each has buffers of its own."""

MIN_BATCHES_PER_BUCKET = 2
"""Batches that a bucket fills at least; examples that fill no batch are left out of an epoch."""


@dataclass(frozen=True)
class Examples:
    """Examples one behind the other: example n lies from `starts[n]` to `starts[n + 1]`."""

    inputs: Ids  # (N,)
    targets: Ids  # (N,)
    target_mask: Array  # (N,), bool
    starts: Ids  # (n + 1,)

    @classmethod
    def of(cls, examples: Sequence[Example], inputs: int, outputs: int) -> "Examples":
        """Lay examples out, whose ids lie below `inputs` and `outputs`."""
        starts = np.zeros(len(examples) + 1, np.int64)
        np.cumsum([len(example.inputs) for example in examples], out=starts[1:])
        x, y, scored = (
            np.concatenate([np.zeros(0, np.uint8), *(example[side] for example in examples)])
            for side in range(3)
        )
        return cls(
            x.astype(smallest_id_type(inputs)),
            y.astype(smallest_id_type(outputs)),
            scored.astype(bool),
            starts,
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> Ids:
        """Positions of each example (n,)."""
        return np.diff(self.starts)

    @cached_property
    def first_targets(self) -> Ids:
        """First scored position within each example (n,), which has at least one."""
        scored = np.flatnonzero(self.target_mask)
        found: Ids = scored[np.searchsorted(scored, self.starts[:-1])] - self.starts[:-1]
        return found

    @cached_property
    def predictions(self) -> Ids:
        """Scored positions of each example (n,)."""
        before: Ids = np.concatenate([[0], np.cumsum(self.target_mask)])
        found: Ids = before[self.starts[1:]] - before[self.starts[:-1]]
        return found

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return {
            name: getattr(self, name) for name in ("inputs", "targets", "target_mask", "starts")
        }

    def first(self, characters: int) -> "Examples":
        """Return as many of the first examples as have so many characters between them."""
        count = int(np.searchsorted(self.starts, characters, side="right")) - 1
        end = self.starts[count]
        return Examples(
            self.inputs[:end], self.targets[:end], self.target_mask[:end], self.starts[: count + 1]
        )

    def padded(self, chosen: Ids, T: int) -> tuple[Ids, Ids, Array]:
        """Return inputs, targets and target mask, (T, B) each, of the examples `chosen` (B,)."""
        times = np.arange(T)[:, None]
        real = times < self.lengths[chosen]
        places = np.where(real, self.starts[chosen] + times, 0)
        return self.inputs[places], self.targets[places], self.target_mask[places] & real


@dataclass(frozen=True)
class PairBatchConfig:
    """Batch size and seed of batches of pairs, and the weights of their labels.

    Args:
        B: examples of a batch.
        seed: seed of the order of examples and batches.
        balance: power by which rare targets count for more; see `label_weights`.
        label_smoothing: share of each target that goes to all symbols alike.
    """

    B: int
    seed: int
    balance: float = 0.0
    label_smoothing: float = 0.0

    def batcher(self, arrays: Mapping[str, Array]) -> "PairBatches":
        """Return the batches of these examples."""
        return PairBatches(Examples(**arrays), self.B, self.seed, self.balance)


class PairBatches:
    """Endless batches of examples, in a different order in each epoch."""

    def __init__(self, examples: Examples, B: int, seed: int, balance: float = 0.0) -> None:
        """Sort examples into buckets of like length; `TextError` if they do not fill a batch."""
        if len(examples) < B:
            raise TextError(
                f"{len(examples)} examples do not fill a batch of {B}", "--batch-size 1"
            )
        self.examples, self.B, self.seed = examples, B, seed
        lengths = examples.lengths
        self._T = buckets(lengths, MIN_BATCHES_PER_BUCKET * B)
        bucket = np.searchsorted(self._T, lengths)
        self._members = [np.flatnonzero(bucket == number) for number in range(len(self._T))]
        counts = [len(members) // B for members in self._members]
        self._bucket_of_batch = np.repeat(np.arange(len(counts)), counts)
        self._number_in_bucket = np.concatenate([np.arange(count) for count in counts])
        self.steps_per_epoch = sum(counts)
        read = sum(
            count * B * lengths[members].mean()
            for count, members in zip(counts, self._members, strict=True)
        )
        self.characters_per_step = float(read) / self.steps_per_epoch
        self.buffered = int(self._T.sum()) * B
        self._epoch = -1
        self._target_weights: Array | None = None
        if balance:
            frequencies = np.bincount(examples.targets[examples.target_mask])
            self._target_weights = label_weights(frequencies, balance)

    def at(self, step: int, rows: slice = slice(None)) -> Batch:
        """Return the batch of this step, all of its examples or some."""
        batch = self._batch(step)
        bucket = self._bucket_of_batch[batch]
        first = self._number_in_bucket[batch] * self.B
        chosen = self._order[bucket][first : first + self.B]
        inputs, targets, scored = self.examples.padded(chosen[rows], int(self._T[bucket]))
        count = int(self.examples.predictions[chosen].sum())
        weights = scored / count
        if self._target_weights is not None:
            weights[scored] *= self._target_weights[targets[scored]]
        return Batch(
            inputs,
            targets,
            np.ones(inputs.shape[1], bool),
            weights.astype(np.float32),
            count,
            int(self.examples.lengths[chosen].sum()),
            self.examples.lengths[chosen[rows]],
            self.examples.first_targets[chosen[rows]],
        )

    def positions(self, step: int) -> int:
        """Return T × B of this step, padding included."""
        return int(self._T[self._bucket_of_batch[self._batch(step)]]) * self.B

    def _batch(self, step: int) -> int:
        """Return which batch comes at this step, having drawn the order of its epoch."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = generator(self.seed, Purpose.EPOCH, epoch)
            self._order = [rng.permutation(members) for members in self._members]
            self._batches = rng.permutation(self.steps_per_epoch)
            self._epoch = epoch
        return int(self._batches[number])


def buckets(lengths: Ids, least: int) -> Ids:
    """Choose up to `MAX_BUCKETS` lengths T, ascending, with the least padding in all.

    Every bucket, the examples above the T before and up to its own, has at least `least` members,
    unless all of them are fewer. By dynamic programming over the different lengths.
    """
    T, counts = np.unique(lengths, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # examples shorter than T[j]
    U = len(T)
    # cost[j]: padded positions of all examples shorter than T[j], in as many buckets as so far
    cost = np.where(np.arange(U + 1) == 0, 0.0, np.inf)
    found: list[tuple[float, list[int]]] = []
    choices: list[Ids] = []
    for _ in range(min(MAX_BUCKETS, U)):
        size = before[None, 1:] - before[:, None]  # (first, last): members of such a bucket
        total = cost[:, None] + size * T.astype(float)
        total[(size < min(least, before[-1])) | (size <= 0)] = np.inf
        choices.append(total.argmin(axis=0))
        cost = np.concatenate([[np.inf], total.min(axis=0)])
        last, ends = U, []
        for choice in reversed(choices):
            ends.append(last - 1)
            last = int(choice[last - 1])
        found.append((float(cost[U]), ends[::-1]))
    return T[min(found)[1]]
