"""What is known of caches: from the system's files, as Linux writes them."""

import pytest

from sparsecpu.kernels.machine import cpu
from sparsecpu.layers.images import strips
from sparsecpu.sparse import row_blocks


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Return a function that writes what Linux tells of a cache."""
    monkeypatch.setattr(cpu, "_CACHES", tmp_path)
    for known in (cpu.level_two_cache, cpu.level_three_share):
        known.cache_clear()

    def write(index, size, shared):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "size").write_text(f"{size}\n")
        (folder / "shared_cpu_list").write_text(f"{shared}\n")

    yield write
    for known in (cpu.level_two_cache, cpu.level_three_share):
        known.cache_clear()


@pytest.mark.parametrize(
    ("shared", "share"), [("0", 12), ("0-1", 6), ("0-2,8", 3), ("0,4", 6), ("0-1,6-7\n", 3)]
)
def test_share_of_level_three(caches, shared, share):
    caches(3, "12M", shared)
    assert cpu.level_three_share() == share * 1024**2


@pytest.mark.parametrize("told", [("", "0"), ("many", "0-1"), ("8M", "x")], ids=str)
def test_what_is_not_told_is_no_share_or_that_of_one(caches, told):
    caches(3, *told)
    assert cpu.level_three_share() in (0, 8 * 1024**2)


def test_nothing_is_told(caches):
    assert cpu.level_three_share() == 0
    assert cpu.level_two_cache() == 1024**2


@pytest.mark.parametrize(
    ("two", "three", "wanted"),
    [("1024K", "64M", 4 * 1024**2), ("256K", "4M", 1024**2), ("1024K", "1M", 512 * 1024),
     ("2048K", "64M", 1024**2)],
)  # fmt: skip
def test_rings_may_lie_in_level_three_where_it_is_near(caches, two, three, wanted):
    """In half of a core's share; where level 2 is large, in a part of that."""
    caches(2, two, "0")
    caches(3, three, "0-1")
    assert strips.ring_bytes(0.5) == wanted


@pytest.mark.parametrize(
    ("two", "three", "alone", "groups"),
    [
        # uncut, a block, the sums of a chunk: KiB of rows alone, and of groups
        ("1024K", "64M", (512, 64, 512), (16384, 16384, 16384)),
        ("2048K", "64M", (1024, 512, 1024), (1024, 512, 1024)),
        ("1024K", "1M", (512, 64, 512), (512, 256, 512)),
        ("256K", "0K", (128, 64, 128), (128, 64, 128)),
    ],
)  # fmt: skip
def test_rows_are_cut_as_the_caches_are(caches, two, three, alone, groups, monkeypatch):
    monkeypatch.setattr(row_blocks, "level_one_cache", lambda: 32 * 1024)
    caches(2, two, "0")
    caches(3, three, "0-1")
    for in_groups, wanted in ((False, alone), (True, groups)):
        sizes = row_blocks.uncut_bytes, row_blocks.block_bytes, row_blocks.sums_bytes
        assert tuple(size(in_groups) // 1024 for size in sizes) == wanted
