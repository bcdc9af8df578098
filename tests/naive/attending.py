"""Attention, with every score in memory."""

import math

import numpy as np


def attention(q, k, v, owner, heads, causal):
    """(tokens, heads * size); tokens see those of the same owner, from 0 on, and not later ones."""
    y = np.zeros(q.shape)
    for rows, part, p in _attention_weights(q, k, owner, heads, causal):
        y[rows, part] = p @ v[rows, part]
    return y


def attention_backward(q, k, v, dy, owner, heads, causal):
    dq, dk, dv = np.zeros((3, *q.shape))
    scale = 1 / math.sqrt(q.shape[1] // heads)
    for rows, part, p in _attention_weights(q, k, owner, heads, causal):
        here = rows, part
        dp = dy[here] @ v[here].T
        ds = p * (dp - (p * dp).sum(axis=1, keepdims=True)) * scale
        dq[here], dk[here], dv[here] = ds @ k[here], ds.T @ q[here], p.T @ dy[here]
    return dq, dk, dv


def _attention_weights(q, k, owner, heads, causal):
    """Yield tokens of a sequence, as a column, features of a head, and the weights of both."""
    size = q.shape[1] // heads
    for one in np.unique(owner[owner >= 0]):
        rows = np.flatnonzero(owner == one)
        for head in range(heads):
            part = np.arange(head * size, (head + 1) * size)
            scores = q[rows[:, None], part] @ k[rows[:, None], part].T / math.sqrt(size)
            if causal:
                scores[np.triu_indices(len(rows), 1)] = -np.inf
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            yield rows[:, None], part, p / p.sum(axis=1, keepdims=True)
