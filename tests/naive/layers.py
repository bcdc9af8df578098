"""Layers of vectors: linear ones, ReLU, and normalisations."""

import numpy as np


def linear(w, b, x):
    return x @ w.T + b


def linear_backward(w, x, dy):
    return dy @ w, dy.T @ x, dy.sum(axis=0)


def relu(x):
    return np.maximum(x, 0)


def batch_norm(x, gamma, beta, eps):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def layer_norm(x, dy, gamma, beta, eps):
    """Return y, dx, dgamma and dbeta."""
    inverse = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    h, g = (x - x.mean(axis=1, keepdims=True)) * inverse, gamma * dy
    part = (g * h).mean(axis=1, keepdims=True)
    dx = (g - g.mean(axis=1, keepdims=True) - h * part) * inverse
    return gamma * h + beta, dx, (dy * h).sum(axis=0), dy.sum(axis=0)


def rms_norm(x, dy, gamma, eps):
    """Return y, dx and dgamma."""
    inverse = 1 / np.sqrt((x**2).mean(axis=1, keepdims=True) + eps)
    h, g = x * inverse, gamma * dy
    dx = (g - h * (g * h).mean(axis=1, keepdims=True)) * inverse
    return gamma * h, dx, (dy * h).sum(axis=0)
