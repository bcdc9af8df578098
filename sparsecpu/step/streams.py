"""The random streams of a run, all from one seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError

#: Independent streams, all from one seed. "init" is for building the network.
STREAMS = ("init", "order", "augmentation", "dropout", "topology")


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Return the random streams of a run."""
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return dict(zip(STREAMS, map(np.random.default_rng, children), strict=True))


def checked_streams(seed: Any) -> dict[str, np.random.Generator]:
    """Return the random streams of a run; ``ParameterError`` if the seed is none."""
    try:
        return streams(seed)
    except (TypeError, ValueError) as error:
        raise ParameterError("seed", seed, "an integer of at least 0") from error
