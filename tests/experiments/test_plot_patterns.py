"""Pictures of patterns, and of how they changed, are pages."""

import numpy as np
import pytest

from sparsecpu.experiments.plots.patterns import plot_patterns
from sparsecpu.experiments.plots.updates import as_picture, plot_updates
from sparsecpu.networks.description import mlp


def titles(figure):
    return [axis.get_title("left").split("\n")[0] for axis in figure.axes[:] if axis.images]


@pytest.mark.parametrize("count", [1, 3, 30])
def test_many_layers_stand_on_pages(count, tmp_path, drawn):
    network = mlp(6, (5,) * (count - 1), 4).sparsify(0.5).build(np.random.default_rng(0))
    names = list(network.sparse_parameters())
    note = plot_patterns(network, tmp_path / "p.png")
    (page,) = drawn
    shown = titles(page)
    assert len(shown) == min(count, 12)
    assert (shown[0], shown[-1]) == (names[0], names[-1])
    assert bool(note) == (len(shown) < count)
    width, height = page.get_size_inches()
    assert width < 9
    assert height > 1.3 * width or count < 12
    assert plot_patterns(network, tmp_path / "p.pdf") == ""
    assert [name for figure in drawn[1:] for name in titles(figure)] == names
    assert (tmp_path / "p.pdf").read_bytes().count(b"/Type /Page ") == -(-count // 12)


def test_the_history_of_many_layers_is_a_page(tmp_path, drawn):
    shapes = {f"{i}.weight": (4, 27 if i == 0 else 36) for i in range(40)}
    updates = [
        {"step": step, "layers": {n: {"nnz": 30, "explored": 0.5} for n in shapes}}
        for step in (5, 10)
    ]
    for update in updates:
        update["layers"]["0.weight"]["inputs"] = list(range(27))
    plot_updates(updates, shapes, (3, 8, 8), tmp_path / "h.png")
    (page,) = drawn
    assert page.get_size_inches()[0] < 9
    labels = [line.get_label() for line in page.axes[0].lines]
    assert 2 < len(labels) < 20
    assert (labels[0], labels[-1]) == ("0.weight", "39.weight")
    taps = [axis.images[0].get_array() for axis in page.axes if axis.images]
    assert [picture.shape for picture in taps] == [(3, 11)] * 2


def test_inputs_are_shown_as_what_they_are():
    pixels = as_picture(np.arange(12), (3, 2, 2))
    assert pixels.tolist() == [[12, 15], [18, 21]]  # channels are added up
    taps = as_picture(np.arange(8), (2, 9, 9))
    np.testing.assert_array_equal(taps, [[0, 1, np.nan, 4, 5], [2, 3, np.nan, 6, 7]])
    assert as_picture(np.arange(9), (9,)).shape == (3, 3)
    assert as_picture(np.arange(8), (8,)).shape == (1, 8)
