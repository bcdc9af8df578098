"""How pictures look."""

import itertools

import pytest

pytest.importorskip("matplotlib")

from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import (
    legend,
    look,
    plain_log,
    round_numbers,
    styled,
    written_out,
)


def test_the_settings_of_users_stay_theirs(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    with styled():
        drawing, axis = figure()
        assert matplotlib.rcParams["font.size"] != before["font.size"]
        assert not axis.spines["top"].get_visible()
    keep(drawing, tmp_path / "x.svg")
    assert dict(matplotlib.rcParams) == before


def test_series_differ_by_more_than_colour():
    looks = [look(number) for number in range(28)]
    for one, other in itertools.combinations(looks, 2):
        assert one != other
        if one["color"] == other["color"]:
            assert one["marker"] != other["marker"]
    for one, other in itertools.pairwise(looks):
        assert one["linestyle"] != other["linestyle"]


@pytest.mark.parametrize(
    "ends", [(0.01, 0.2), (3, 8), (5, 5.3), (1e-7, 1e7), (0.4, 41), (90, 130), (0.999, 1)]
)
def test_axes_have_a_few_numbers_written_out(ends, tmp_path):
    numbers = round_numbers(*ends)
    assert 3 <= len(numbers) <= 8
    assert all(0.999 * ends[0] <= number <= 1.001 * ends[1] for number in numbers)
    words = [written_out(number) for number in numbers]
    assert len(set(words)) == len(words)
    assert [float(word.replace(",", "")) for word in words] == pytest.approx(numbers)
    assert not any("e" in word for word in words)


def test_legends_stand_beside_the_data(tmp_path):
    for count in (2, 9):
        drawing, axis = figure()
        with styled():
            for number in range(count):
                axis.plot([1, 10], [number + 1, 20], label=f"series {number}", **look(number))
            plain_log(axis, "y")
            legend(axis)
        drawing.canvas.draw()
        assert not axis.get_legend().get_window_extent().overlaps(axis.get_window_extent())
        assert [t.get_text() for t in axis.get_yticklabels()] == ["1", "2", "5", "10", "20"]
        keep(drawing, tmp_path / "x.png")


def test_equal_pictures_are_equal_bytes(tmp_path):
    for kind in ("svg", "png", "pdf"):
        for name in "ab":
            drawing, axis = figure(figsize=(2, 2))
            axis.plot([1, 2], [3, 4])
            keep(drawing, tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
