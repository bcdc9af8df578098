"""Which connections a language model needs to say one token: each is taken away, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.losses import TokenCrossEntropy
from sparsecpu.sparse.parameter import SparseParameter

#: Connections that are taken away in turn: those that matter most by the slope of the loss.
CANDIDATES = 400


@dataclass(frozen=True)
class Edge:
    """A connection: its layer, output, input and value; and what is lost without it."""

    layer: str
    output: int
    input: int
    value: float
    #: How much the log-probability of the token falls, in nats; below 0 if it rises.
    effect: float


@dataclass(frozen=True)
class Circuit:
    """What a network says after some tokens, and the connections that it takes for that."""

    token: int
    #: Log-probability of the token with all connections.
    whole: float
    #: Log-probability without any: norms, biases and tables alone.
    none: float
    #: Connections that were taken away, the largest effect first.
    edges: list[Edge]
    #: Log-probability with the first n edges alone, by n.
    alone: dict[int, float]


def find_circuit(
    network: Any, tokens: np.ndarray, token: int | None = None, candidates: int = CANDIDATES
) -> Circuit:
    r"""Return which connections matter for what a network says after ``tokens``.

    ``token`` is what it is to say, by default its likeliest. Of all connections, ``candidates`` are
    tried: those with the largest :math:`|w\\,g|`, the first-order loss without them. What each is
    worth depends on all others being there; ``Circuit.alone`` says how far the first ones get by
    themselves.
    """
    tokens = np.asarray(tokens, dtype=np.int64)[None]
    scores = _log_probabilities(network, tokens)
    token = int(scores.argmax()) if token is None else token
    weights = network.sparse_parameters()
    places = _candidates(network, tokens, token, weights, candidates)
    whole = float(scores[token])
    found = []
    for name, k in places:
        parameter = weights[name]
        with _changed(parameter):
            value = float(parameter.data[k])
            parameter.data[k] = 0
            parameter.touch()
            effect = whole - float(_log_probabilities(network, tokens)[token])
        row, column = _place_of(parameter, k)
        found.append((effect, name, k, Edge(name, row, column, value, effect)))
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    kept = [(name, k) for _, name, k, _ in found]
    counts = [0, *(2**i for i in range(20) if 2**i < len(kept)), len(kept)]
    alone = {n: _score_alone(network, tokens, token, weights, kept[:n]) for n in counts}
    return Circuit(token, whole, alone.pop(0), [entry[3] for entry in found], alone)


def _log_probabilities(network: Any, tokens: np.ndarray) -> np.ndarray:
    """Return the log-probability of each token behind the last one."""
    z = network.predict(tokens)[0, tokens.shape[1] - 1].astype(np.float64)
    z -= z.max()
    return z - np.log(np.exp(z).sum())


def _candidates(
    network: Any, tokens: np.ndarray, token: int, weights: dict[str, SparseParameter], count: int
) -> list[tuple[str, int]]:
    """Return layer and place of the weights whose loss would change most, to first order."""
    targets = np.full(tokens.shape, -1, dtype=np.int64)
    targets[0, -1] = token
    _, slopes = network.loss_and_gradients(tokens, targets, TokenCrossEntropy(), train=False)
    size = [np.abs(slopes[name] * p.data) for name, p in weights.items()]
    starts = np.cumsum([0, *map(len, size)])
    names = list(weights)
    best = np.argsort(-np.concatenate(size), kind="stable")[:count]
    layers = np.searchsorted(starts, best, side="right") - 1
    return [(names[i], int(k - starts[i])) for i, k in zip(layers, best, strict=True)]


@contextmanager
def _changed(*parameters: SparseParameter) -> Iterator[None]:
    """Give parameters their values back behind the ``with`` block."""
    before = [parameter.data.copy() for parameter in parameters]
    try:
        yield
    finally:
        for parameter, values in zip(parameters, before, strict=True):
            parameter.data = values


def _score_alone(
    network: Any, tokens: np.ndarray, token: int, weights: dict[str, SparseParameter],
    kept: list[tuple[str, int]],
) -> float:  # fmt: skip
    """Return the log-probability of a token with no connections but the ones that are kept."""
    with _changed(*weights.values()):
        for name, parameter in weights.items():
            places = [k for layer, k in kept if layer == name]
            values = np.zeros_like(parameter.data)
            values[places] = parameter.data[places]
            parameter.data = values
        return float(_log_probabilities(network, tokens)[token])


def _place_of(parameter: SparseParameter, k: int) -> tuple[int, int]:
    """Return output and input of the k-th weight."""
    pattern = parameter.pattern
    return int(np.searchsorted(pattern.indptr, k, side="right")) - 1, int(pattern.indices[k])
