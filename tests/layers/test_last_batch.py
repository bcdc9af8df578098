"""The last batch of an epoch, which may be a small one, runs the kernels of the others."""

import pytest

from sparsecpu.layers.images.grouped_taps import choose_grouped_strip
from sparsecpu.layers.images.strips import Ring, Tiles, choose_strip

RING = Ring(channels=64, rows=3, step=1, reach=2, strips_held=1)


@pytest.mark.parametrize("width", [2, 4, 8, 14])
def test_few_tiles_are_cut_like_those_of_a_full_batch(width):
    full, few = Tiles(8, 16), Tiles(1, 16)
    assert choose_strip(width, RING, few._replace(most=8)) == choose_strip(width, RING, full)
    for group in (2, 4):
        last = choose_grouped_strip(width, group, few._replace(most=8))
        assert last == choose_grouped_strip(width, group, full)


def test_a_small_batch_that_is_full_is_cut_for_itself():
    few = choose_strip(2, RING, Tiles(1, 16))
    assert few != choose_strip(2, RING, Tiles(8, 16))
    assert choose_strip(2, RING, Tiles(1, 16, most=1)) == few
