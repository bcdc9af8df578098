"""How well a network foretells text that it has not seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.datasets.text import tokenizer_from_dict
from sparsecpu.errors import NotFiniteError
from sparsecpu.layers.network.passes import sequences_at_once
from sparsecpu.losses import TokenCrossEntropy
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

#: Windows that are scored at most: more would change the scores by less than their error.
MOST = 2000
#: Windows that pass at once, where nobody says how many.
_AT_ONCE = 12
#: The largest loss whose perplexity a float holds.
_LARGEST = 700.0


def language_scores(
    network: Any, x: Any, y: np.ndarray, facts: dict[str, Any], *, batch_size: int = _AT_ONCE
) -> dict[str, float]:
    """Return ``loss`` (nats per token), ``perplexity`` and ``bits_per_byte`` of windows of tokens.

    The last is the loss of all tokens in bits, over the bytes of UTF-8 that these stand for: it can
    be compared between tokenizers. Of more than ``MOST`` windows so many count, evenly spaced.
    """
    rows = scored(len(x))
    samples, loss, workspace = network.samples(x), TokenCrossEntropy(), Workspace()
    nats, tokens = 0.0, len(rows) * y.shape[1]
    batch_size = sequences_at_once(y.shape[1], batch_size)
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        ctx = Context(workspace, n_valid=len(part), predicts=True, in_parts=loss.takes_parts)
        tiles = network.gather(samples, part, network.lanes(len(part)), ctx)
        mean, _ = loss(network.forward(tiles, ctx)[0], part, y, ctx)
        nats += mean * len(part) * y.shape[1]
    if not math.isfinite(nats):
        raise NotFiniteError
    counts = tokenizer_from_dict(facts["tokenizer"]).byte_counts()
    written = sum(int(counts[y[part]].sum()) for part in np.array_split(rows, 1 + len(rows) // 256))
    return {
        "loss": nats / tokens,
        "perplexity": math.exp(min(nats / tokens, _LARGEST)),
        "bits_per_byte": nats / math.log(2.0) / max(written, 1),
    }


def scored(windows: int) -> np.ndarray:
    """Return the numbers of the windows that are scored, of so many."""
    most = min(windows, MOST)
    return np.arange(most, dtype=np.int64) * windows // max(most, 1)


def in_words(scores: dict[str, float], windows: int) -> str:
    """Return scores of so many windows as people read them."""
    count = len(scored(windows))
    which = f"{count:,} windows" if count == windows else f"{count:,} of {windows:,} windows"
    return (
        f"{scores['loss']:.4f} nats per token (perplexity {scores['perplexity']:.4g}, "
        f"{scores['bits_per_byte']:.4f} bits per byte) on {which}"
    )
