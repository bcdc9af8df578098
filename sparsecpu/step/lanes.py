"""How wide the tiles of a network are."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.cpu import level_two_cache, widest_lanes

#: Time per useful lane, relative to the widest tile, measured at 90-98 % sparsity.
_LANE_COST = {16: 1.6, 32: 1.2, 64: 1.04, 128: 1.0}
#: The same where rows stand in groups: sums of a group fill the registers with fewer lanes.
_LANE_COST_IN_GROUPS = {16: 1.28, 32: 1.08, 64: 1.0, 128: 1.04}
#: Tiles of up to so many lanes add up in one order, two by two; wider ones go one by one
#: (``kernels.linear.wide``).
LANES_ALIKE = 32
#: Bytes of a tile's row of tokens: as many lanes as attention takes at once.
_TOKEN_BYTES = 256


def choose_lanes(batch: int, features: int, dtype: Any = np.float32, group: int = 1) -> int:
    """Choose the width of the tiles for ``batch`` samples per step, most rows in groups of a size.

    A tile of the widest layer, of so many features, should fill about 60 % of the level-2 cache,
    and a batch should waste few lanes of its last tile.
    """
    most = level_two_cache() / (features * np.dtype(dtype).itemsize)
    cost = _LANE_COST if group == 1 else _LANE_COST_IN_GROUPS
    widths = [n for n in cost if n * np.dtype(dtype).itemsize <= widest_lanes() * 4]
    fitting = [lanes for lanes in widths if lanes <= 0.6 * most]
    # Where not even the narrowest tile fits, each read from beyond the cache should bring much.
    fitting = fitting or [lanes for lanes in widths if lanes <= most] or widths
    return min(fitting, key=lambda lanes: -(-batch // lanes) * lanes * cost[lanes])


def token_lanes(dtype: Any) -> int:
    """Return the width of tiles whose lanes are tokens: always the same, as attention's strips."""
    return _TOKEN_BYTES // np.dtype(dtype).itemsize


class TileWidth:
    """The width of a network's tiles, chosen at the first batch and kept until ``forget``."""

    def __init__(self) -> None:
        self._chosen: tuple[Any, int] = (None, 0)  # for which network, and the width

    def of(self, network: Any, ranks: Any, batch_size: int) -> int:
        """Return the width for a network that ranks train together, in batches of one size."""
        if self._chosen[0] is not network:
            self._chosen = network, network.lanes(ranks.largest_part(batch_size))
        return self._chosen[1]

    def forget(self) -> None:
        """Choose anew at the next batch: wide networks choose by their density."""
        self._chosen = (None, 0)
