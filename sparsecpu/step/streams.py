"""The random streams of a run, all from one seed."""

from __future__ import annotations

import numpy as np

#: Independent streams, all from one seed. "init" is for building the network.
STREAMS = ("init", "order", "augmentation", "dropout", "topology")


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Return the random streams of a run."""
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return dict(zip(STREAMS, map(np.random.default_rng, children), strict=True))
