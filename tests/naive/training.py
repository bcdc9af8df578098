"""Losses and optimizers."""

import numpy as np


def softmax_cross_entropy(z, y, weights=None, smoothing=0.0):
    n, classes = z.shape
    w = np.ones(n) if weights is None else weights
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    q = np.full((n, classes), smoothing / classes)
    q[np.arange(n), y] += 1 - smoothing
    loss = -(q * np.log(p)).sum(axis=1)
    return (w * loss).sum() / w.sum(), (w / w.sum())[:, None] * (p - q)


def sigmoid_cross_entropy(z, t, weights=None):
    w = np.ones(len(z)) if weights is None else weights
    p = 1 / (1 + np.exp(-z))
    loss = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)
    return (w * loss).sum() / w.sum(), (w / w.sum())[:, None] * (p - t)


def squared_error(z, t, weights=None):
    w = np.ones(len(z)) if weights is None else weights
    return (w * ((z - t) ** 2).sum(axis=1) / 2).sum() / w.sum(), (w / w.sum())[:, None] * (z - t)


def sgd(w, g, v, rate, momentum, decay, nesterov):
    g = g + decay * w
    v = momentum * v + g
    return w - rate * (g + momentum * v if nesterov else v), v


def adam(w, g, m, v, rate, b1, b2, eps, decay, decoupled, step):
    if decoupled:
        w = w - rate * decay * w
    else:
        g = g + decay * w
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    mh, vh = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
    return w - rate * mh / (np.sqrt(vh) + eps), m, v
