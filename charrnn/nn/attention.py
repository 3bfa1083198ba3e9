"""Attention: each symbol of an answer attends to all inputs.

    eₛ = h→ₛ + h←ₛ                    the annotation of input s, of both directions (H)
    qₜ = h→ₜ W_query                  the query of answer position t (H)
    αₜₛ = softmaxₛ(qₜ · eₛ / √d)      the attention weights of position t over the n inputs
    cₜ = Σₛ αₜₛ eₛ                    (H)
    rₜ = tanh(h→ₜ W_output + cₜ W_context + b)      what the readout reads (H)

h→ and h← are of the top layer, h→ₜ in W_output after dropout. The bidirectional annotations are
those of Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473), where both directions stand behind each
other; their sum takes half of the time. The global attention after the recurrent layers with a
bilinear score is that of Luong, Pham & Manning 2015 (arXiv 1508.04025, section 3.1), the division
by the root of the length that of Vaswani et al. 2017 (arXiv 1706.03762). With K heads, as there,
the units are divided into K parts of d = H / K, each with α of its own.

The gradient thus passes from an answer to each input in one step, whatever their distance.
"""

from math import sqrt

import numpy as np

from charrnn.nn.ops import rows
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids, Shapes

PREFIX = "attention"
W_QUERY, W_OUTPUT = f"{PREFIX}.W_query", f"{PREFIX}.W_output"
W_CONTEXT, BIAS = f"{PREFIX}.W_context", f"{PREFIX}.b"
WEIGHTS = (W_QUERY, W_OUTPUT, W_CONTEXT)
"""Names of the matrices."""

MASKED = -1e30
"""The score of what is no input."""


def attention_shapes(hidden: int) -> Shapes:
    """Return the name and shape of every parameter of the attention over layers of `hidden`.

    Example:
        >>> attention_shapes(4)["attention.W_query"]
        (4, 4)
    """
    H = hidden
    return {W_QUERY: (H, H), W_OUTPUT: (H, H), W_CONTEXT: (H, H), BIAS: (H,)}


class Annotations:
    """The annotations of the inputs of B rows.

    Args:
        values: eₛ (B, K, S, d), K heads of d numbers each.
        lengths: the inputs (B,) of each row; what follows is masked.
    """

    def __init__(self, values: Array, lengths: Ids) -> None:
        self.values, self.lengths = values, lengths
        S = values.shape[2]
        self.masked = (np.arange(S) >= lengths[:, None])[:, None, None]  # (B, 1, 1, S)

    def chosen(self, numbers: Ids) -> "Annotations":
        """Return those of some rows, (R,); a row may occur several times."""
        return Annotations(self.values[numbers], self.lengths[numbers])

    def attend(self, queries: Array) -> tuple[Array, Array]:
        """Return α (B, K, Q, S) and c (B, K, Q, d) for queries (B, K, Q, d).

        Example:
            >>> values = np.array([1.0, 3.0, 9.0]).reshape(1, 1, 3, 1)
            >>> alpha, c = Annotations(values, np.array([2])).attend(np.zeros((1, 1, 1, 1)))
            >>> alpha[0, 0, 0], c[0, 0, 0]
            (array([0.5, 0.5, 0. ]), array([2.]))
        """
        alpha = np.matmul(queries, self.values.transpose(0, 1, 3, 2))
        alpha *= score_scale(queries)
        np.copyto(alpha, MASKED, where=self.masked)
        alpha -= np.maximum.reduce(alpha.real, axis=-1, keepdims=True)
        np.exp(alpha, out=alpha)
        alpha /= np.add.reduce(alpha, axis=-1, keepdims=True)
        return alpha, np.matmul(alpha, self.values)


def score_scale(queries: Array) -> float:
    """Return 1 / √d for queries (…, d)."""
    return 1 / sqrt(queries.shape[-1])


def split_heads(x: Array, heads: int) -> Array:
    """Return (B, K, T, d) of vectors x (T, B, H), of which each head has a part.

    Example:
        >>> split_heads(np.arange(4.0).reshape(1, 1, 4), 2)[0, :, 0]
        array([[0., 1.],
               [2., 3.]])
    """
    T, B, H = x.shape
    parts = x.reshape(T, B, heads, H // heads).transpose(1, 2, 0, 3)
    return np.ascontiguousarray(parts)


def join_heads(x: Array) -> Array:
    """Return vectors (T, B, H) of x (B, K, T, d): the reverse of `split_heads`."""
    B, K, T, d = x.shape
    return np.ascontiguousarray(x.transpose(2, 0, 1, 3)).reshape(T, B, K * d)


class Attention:
    """The attention of a network over batches (T, B), with its backward pass.

    Args:
        parameters: the weights of the network.
        gradients: those of `parameters`, of which the own ones are overwritten; None for a network
            that only goes forward.
        heads: K.
        shape: T, B and H of the network.
    """

    def __init__(
        self,
        parameters: Parameters,
        gradients: Parameters | None,
        heads: int,
        shape: tuple[int, int, int],
    ) -> None:
        self.parameters, self.gradients, self.heads = parameters, gradients, heads
        dtype = parameters.vector.dtype
        self.out = np.zeros(shape, dtype)
        """rₜ (T, B, H); zero before the first answer of a batch begins."""
        _, B, H = shape
        nothing = np.zeros((B, heads, 1, H // heads), dtype)
        self.annotations = Annotations(nothing, np.ones(B, np.int64))
        """Those of the last batch that had inputs."""

    def forward(self, h: Array, h_reverse: Array, outputs: Array, lengths: Ids) -> Array:
        """Return r (T, B, H), a buffer.

        Args:
            h: the outputs (T, B, H) of the top forward cell.
            h_reverse: those of its backward cell (T, B, H), at the input that each belongs to;
                what stands after the inputs of a row is not used.
            outputs: h after dropout (T, B, H).
            lengths: the inputs (B,) of each row, behind which its answer follows. −1 in all rows
                if they go on with an answer: then the annotations are those of `annotations`.
        """
        first = max(0, int(lengths.min()))  # no answer begins before
        if lengths.max() >= 0:
            S = max(1, int(lengths.max()))
            self.annotations = Annotations(split_heads(h[:S] + h_reverse[:S], self.heads), lengths)
        self._first, self._h = first, h[first:]
        self._outputs = np.ascontiguousarray(outputs[first:])
        weights = self.parameters
        self._queries = split_heads(self._h @ weights[W_QUERY], self.heads)
        self._alpha, c = self.annotations.attend(self._queries)
        self._contexts = join_heads(c)
        self.out[:first] = 0
        r = self.out[first:]
        np.matmul(self._outputs, weights[W_OUTPUT], out=r)
        r += self._contexts @ weights[W_CONTEXT]
        r += weights[BIAS]
        np.tanh(r, out=r)
        return self.out

    @property
    def weights(self) -> Array:
        """α (B, K, Q, S) of the last `forward`; Q counts from the first position of an answer."""
        return self._alpha

    def backward(self, dr: Array) -> tuple[Array, Array, Array]:
        """Overwrite the gradients; return those of outputs, h and h_reverse, (T, B, H) each.

        Args:
            dr: the gradient of r (T, B, H), which is overwritten.

        Raises `ValueError` if there are no gradients.
        """
        weights, gradients, first = self.parameters, self.gradients, self._first
        if gradients is None:
            raise ValueError("this network was made without gradients")
        r, da = self.out[first:], dr[first:]
        da *= 1 - r * r
        flat = rows(da)
        np.matmul(rows(self._outputs).T, flat, out=gradients[W_OUTPUT])
        np.matmul(rows(self._contexts).T, flat, out=gradients[W_CONTEXT])
        np.add.reduce(flat, axis=0, out=gradients[BIAS])
        e, alpha, queries = self.annotations.values, self._alpha, self._queries
        dc = split_heads(da @ weights[W_CONTEXT].T, self.heads)
        dalpha = np.matmul(dc, e.transpose(0, 1, 3, 2))
        dscores = alpha * (dalpha - np.add.reduce(dalpha * alpha, axis=-1, keepdims=True))
        dscores *= score_scale(queries)
        dqueries = join_heads(np.matmul(dscores, e))
        np.matmul(rows(self._h).T, rows(dqueries), out=gradients[W_QUERY])
        de = np.matmul(alpha.transpose(0, 1, 3, 2), dc)
        de += np.matmul(dscores.transpose(0, 1, 3, 2), queries)
        dannotations = join_heads(de)
        S = len(dannotations)
        doutputs, dh, dh_reverse = (np.zeros_like(self.out) for _ in range(3))
        np.matmul(da, weights[W_OUTPUT].T, out=doutputs[first:])
        np.matmul(dqueries, weights[W_QUERY].T, out=dh[first:])
        dh[:S] += dannotations
        dh_reverse[:S] = dannotations
        return doutputs, dh, dh_reverse
