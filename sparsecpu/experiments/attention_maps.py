"""What each head of a network looks at in one text, and which heads and neurons do nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np

from sparsecpu.layers import Attention, Dropout, FeedForward, ReLU, SparseLinear
from sparsecpu.layers.base import Layer, inner_layers
from sparsecpu.layers.chain import Chain
from sparsecpu.layers.smooth_activations import SmoothActivation

#: Tokens of a map that is kept to be drawn: so many first ones.
SHOWN = 64


@dataclass(frozen=True)
class Head:
    """A head: where it stands, how it attends to one text, and what it adds."""

    layer: str
    head: int
    #: Mean over tokens of the entropy of their weights, in nats; its exponential is a number of
    #: tokens.
    entropy: float
    #: Mean number of tokens between one that looks and what it looks at.
    distance: float
    #: Mean length of what it adds to a token, behind the projection of outputs.
    adds: float
    #: Why it does nothing; empty for one that does something.
    dead: str
    #: What each token takes from each, (tokens, tokens), of the first tokens only.
    map: np.ndarray


@dataclass(frozen=True)
class Neurons:
    """The neurons of a feed-forward layer: for each, whether something is amiss."""

    layer: str
    #: Not above 0 at any token.
    never_active: np.ndarray
    without_input: np.ndarray
    without_output: np.ndarray

    @property
    def dead(self) -> np.ndarray:
        """Numbers of the neurons of which anything of this is true."""
        return np.flatnonzero(self.never_active | self.without_input | self.without_output)


def look_at(network: Any, tokens: np.ndarray) -> tuple[list[Head], list[Neurons]]:
    """Return what all heads, and all neurons of feed-forward layers, do with a sequence."""
    seen: dict[str, np.ndarray] = {}
    attentions = [
        (name, layer) for name, layer in inner_layers(network) if isinstance(layer, Attention)
    ]
    wide = list(_feed_forwards(network))
    taps: list[tuple[Layer, Callable]] = []
    for name, layer in attentions:
        query, key, output = (layer.by_name[part] for part in ("query", "key", "output"))
        taps += [
            (query, _keep_output(seen, f"{name}.query")),
            (key, _keep_output(seen, f"{name}.key")),
            (output, _keep_input(seen, f"{name}.output")),
        ]
    for name, _, down, gate in wide:
        tap = _keep_input if gate is None else _keep_output
        taps.append((down if gate is None else gate, tap(seen, name)))
    with _watched(taps):
        network.predict(np.asarray(tokens, dtype=np.int64)[None])
    heads = [head for name, layer in attentions for head in _heads(name, layer, seen)]
    return heads, [_neurons(name, up, down, seen[name]) for name, up, down, _ in wide]


def attention_map(q: np.ndarray, k: np.ndarray, causal: bool) -> np.ndarray:
    r"""Return :math:`p_{ts} = \mathrm{softmax}_s(q_t \cdot k_s / \sqrt d)` of (tokens, d)."""
    scores = q @ k.T / math.sqrt(q.shape[1])
    if causal:
        scores[np.triu_indices(len(q), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def even_attention(tokens: int) -> tuple[float, float]:
    """Return entropy and distance of a head that looks at all alike, from each token back."""
    back = np.arange(tokens)
    return float(np.log(back + 1.0).mean()), float(back.mean() / 2)


def _heads(name: str, layer: Any, seen: dict[str, np.ndarray]) -> Iterator[Head]:
    """Yield what each head of a layer does; scores are made head by head."""
    q, k, a = (seen[f"{name}.{part}"] for part in ("query", "key", "output"))
    size = q.shape[1] // layer.heads
    for head in range(layer.heads):
        own = slice(head * size, (head + 1) * size)
        pair = q[:, own], k[:, own]
        if layer.turns is not None:
            pair = _turned(pair[0], layer.turns), _turned(pair[1], layer.turns)
        p = attention_map(*pair, layer.causal)
        yield Head(name, head, *_sharpness(p), *_added(layer, a, own), p[:SHOWN, :SHOWN].copy())


def _sharpness(p: np.ndarray) -> tuple[float, float]:
    """Return the mean entropy of a map's rows, in nats, and the mean distance looked at."""
    entropy = (p * -np.log(np.where(p > 0, p, 1.0))).sum(axis=1)
    apart = np.abs(np.subtract.outer(np.arange(len(p)), np.arange(len(p))))
    return abs(float(entropy.mean())), float((p * apart).sum(axis=1).mean())


def _turned(x: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return (tokens, d) with each pair of features turned by the token's place."""
    cos, sin = turns[:, :, : len(x)].transpose(0, 2, 1)
    first, second = np.split(x, 2, axis=1)
    return np.concatenate([first * cos - second * sin, first * sin + second * cos], axis=1)


def _added(layer: Any, a: np.ndarray, own: slice) -> tuple[float, str]:
    """Return the mean length of what a head adds to a token, and why that is nothing, if it is."""
    value, output = (_linear(layer.by_name[part]) for part in ("value", "output"))
    added = a[:, own]
    into = np.full(added.shape[1], True) if value is None else value.pattern.fan_in[own] > 0
    out = np.full(added.shape[1], True)
    if output is not None:
        out = output.pattern.fan_out[own] > 0
        added = (output.to_scipy()[:, own] @ added.T).T
    adds = float(np.linalg.norm(added, axis=1).mean())
    if not out.any():
        return adds, "no weight reads its output"
    if not into.any():
        return adds, "no weight makes its values"
    if not (into & out).any():
        return adds, "no value that is made is read"
    return adds, "" if adds > 0 else "adds 0 on this text"


def _linear(chain: Any) -> Any:
    """Return the weight of a chain that is one linear layer; None for another chain."""
    only = chain.layers[0] if len(chain.layers) == 1 else None
    return only.weight if isinstance(only, SparseLinear) else None


def _feed_forwards(network: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield name, linear layers before and behind the neurons, and what gates them, if any.

    Neurons are those of ``FeedForward``, and of a linear layer, an activation and a linear layer.
    """
    for name, layer in inner_layers(network):
        if isinstance(layer, FeedForward):
            sides = layer.by_name["up"], layer.by_name["down"]
            if all(_linear(side) is not None for side in sides):
                yield name, *(side.layers[0] for side in sides), layer.by_name.get("gate")
        elif isinstance(layer, Chain):
            for i, bent in enumerate(layer.layers):
                up = layer.layers[i - 1] if i else None
                behind = [x for x in layer.layers[i + 1 :] if not isinstance(x, Dropout)]
                bends = isinstance(bent, ReLU | SmoothActivation) and isinstance(up, SparseLinear)
                if bends and behind and isinstance(behind[0], SparseLinear):
                    yield f"{name}.{i - 1}" if name else f"{i - 1}", up, behind[0], None


def _neurons(name: str, up: Any, down: Any, values: np.ndarray) -> Neurons:
    never = np.asarray(values.max(axis=0) <= 0)
    return Neurons(name, never, up.weight.pattern.fan_in == 0, down.weight.pattern.fan_out == 0)


def _keep_input(seen: dict[str, np.ndarray], name: str) -> Callable:
    return lambda x, y, ctx: seen.__setitem__(name, _of_tokens(x, ctx))


def _keep_output(seen: dict[str, np.ndarray], name: str) -> Callable:
    return lambda x, y, ctx: seen.__setitem__(name, _of_tokens(y, ctx))


def _of_tokens(x: np.ndarray, ctx: Any) -> np.ndarray:
    """Return what tiles have of the only sequence, (tokens, features), in float64."""
    rows = x.transpose(0, 2, 1).reshape(-1, x.shape[1])
    return rows[ctx.sequences.place[0]].astype(np.float64)


@contextmanager
def _watched(taps: list[tuple[Layer, Callable]]) -> Iterator[None]:
    """Call ``take(x, y, ctx)`` behind each forward pass of a layer, inside a ``with`` block."""
    try:
        for layer, take in taps:
            vars(layer)["forward"] = _tapped(layer.forward, take)
            # what is added to an output is none of the layer's: by itself, in its own pass
            vars(layer)["forward_plus"] = MethodType(Layer.forward_plus, layer)
        yield
    finally:
        for layer, _ in taps:
            for name in ("forward", "forward_plus"):
                vars(layer).pop(name, None)


def _tapped(forward: Callable, take: Callable) -> Callable:
    def watched(x: Any, ctx: Any) -> tuple[Any, Any]:
        y, saved = forward(x, ctx)
        take(x, y, ctx)
        return y, saved

    return watched
