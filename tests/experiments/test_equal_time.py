"""What groups reach at equal time lies between the densities that were trained."""

import numpy as np
import pytest

from sparsecpu.experiments.comparison.equal_time import at_equal_time


def results(group, times, scores, seeds=(0, 1, 2)):
    """Runs of one method: a score per density, a little better with each seed."""
    return [
        {"method": "set", "group": group, "density": density, "seed": seed, "step_ms": ms,
         "score": score + 0.01 * seed}
        for density, ms, score in zip((0.1, 0.4), times, scores, strict=True) for seed in seeds
    ]  # fmt: skip


def test_scores_are_read_off_at_the_time_of_rows_alone():
    alone = results("1", (2.0, 8.0), (0.5, 0.7))
    grouped = results("4", (1.0, 4.0), (0.5, 0.7))
    first, second = at_equal_time(alone + grouped, "1")
    # 2 ms lie halfway between 1 and 4 on the logarithmic scale, and 0.2 between 0.1 and 0.4.
    assert (first["density"], first["ms"]) == (0.1, 2.0)
    assert first["equal_density"] == pytest.approx(0.2)
    assert first["difference"] == pytest.approx(0.6 - 0.5)
    assert first["pairs"] == 3
    assert first["significant"]
    # 8 ms are more than the densest takes, which stands for them.
    assert second["equal_density"] == pytest.approx(0.4)
    assert second["difference"] == pytest.approx(0)


def test_what_nobody_could_compare_has_no_row():
    alone = results("1", (2.0, 8.0), (0.5, 0.7))
    slower = results("4", (4.0, 16.0), (0.5, 0.7))
    assert [row["density"] for row in at_equal_time(alone + slower, "1")] == [0.4]
    assert at_equal_time(slower, "1") == []
    for run in alone:
        run["step_ms"] = None  # of an older version
    assert at_equal_time(alone + slower, "1") == []


def test_a_seed_that_diverged_is_left_out():
    alone = results("1", (2.0, 8.0), (0.5, 0.7))
    grouped = results("4", (1.0, 4.0), (0.5, 0.7))
    grouped[0]["score"] = None
    grouped[1]["score"] = np.float64(0.9)
    first, _ = at_equal_time(alone + grouped, "1")
    assert first["pairs"] == 2
