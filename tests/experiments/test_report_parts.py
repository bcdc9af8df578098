"""What pages are made of: charts, pictures of counts, small images, the facts of a run."""

import base64
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pages
import pytest
from commands import run

from sparsecpu.datasets import open_data
from sparsecpu.experiments.networks import build, describe_for
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.report.heat import MOST_CELLS, heat_map
from sparsecpu.experiments.report.html import element, spread, table
from sparsecpu.experiments.report.inputs import frames_of
from sparsecpu.experiments.report.png import as_bytes, picture_of
from sparsecpu.experiments.report.run_facts import RunFacts, read_facts
from sparsecpu.experiments.report.run_page import run_page
from sparsecpu.experiments.report.svg import Axis, Level, Series, bars, chart, ticks
from sparsecpu.networks.description import mlp


def whole(*parts):
    """Return parts as a page that tests can look at."""
    return pages.Page(str(element("html", element("body", element("h1", "x"), *parts), lang="en")))


def test_text_is_escaped_wherever_it_stands():
    name = "\"><script>alert('x')</script>\x00&"
    page = whole(table(name, [name], [[name]]), element("p", name, title=name))
    assert not page.faults
    assert "script" not in {tag for tag, _, _ in page.tags}
    assert page.within["th"] == 2 * name.replace("\x00", "\ufffd")
    assert page.all("p")[0]["title"] == name.replace("\x00", "\ufffd")


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3.2, 17), (0.00012, 0.00034), (5, 5), (1e6, 3e6)]
)
def test_ticks_are_few_round_and_within(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 8
    assert all(low <= tick <= high for tick in found)
    assert all(len(f"{tick:g}") <= 8 for tick in found)


def test_a_curve_goes_where_its_points_are(rng):
    series = [Series("one", [(0, 0.0), (10, 5.0)]), Series("two", [(0, 5.0), (10, 0.0)], [1, 1])]
    drawn = chart("t", Axis("x"), Axis("y"), series, levels=[Level("dense", 2.0, 0.5)])
    page = whole(drawn)
    assert not page.faults
    first, second = (
        np.array([p.split() for p in a["d"][1:].split("L")], float)
        for a in page.all("path")
        if a.get("class", "").startswith("curve") and not a["d"].startswith("M1 6L")  # a legend
    )
    assert first[0, 0] < first[1, 0]
    assert first[0, 1] > first[1, 1]  # paper counts from above
    assert second[0, 1] < second[1, 1]
    for words in ("one", "two", "dense"):
        assert words in page.within["ul"]


@pytest.mark.parametrize(
    "points",
    [[], [(1, 2.0)], [(1, 2.0), (2, 2.0)], [(i, float(i % 7)) for i in range(100_000)]],
)
def test_charts_of_any_length_are_small(points):
    drawn = chart("t", Axis("x", whole=True), Axis("y"), [Series("s", points)])
    assert len(drawn) < 20_000
    assert not whole(drawn).faults
    assert "nan" not in drawn


def test_an_axis_of_densities_is_logarithmic():
    series = [Series("s", [(0.01, 1.0), (0.1, 2.0), (1.0, 3.0)])]
    drawn = whole(chart("t", Axis("d", log=True, marks=(0.01, 0.1, 1.0)), Axis("y"), series))
    (d,) = (a["d"] for a in drawn.all("path") if a.get("class", "").startswith("curve"))
    x = [float(point.split()[0].lstrip("M")) for point in d.split("L")]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)


def test_bars_are_as_long_as_their_numbers():
    drawn = whole(bars("t", "ms", [("a", 1.0), ("b", 4.0)]))
    a, b = (float(p["d"].split("h")[1].split("v")[0]) for p in drawn.all("path"))
    assert b == pytest.approx(4 * a)


def painted(drawn, shape):
    """Return the shades of a picture of counts, read back from its paths."""
    found = np.zeros(shape, int)
    for path in whole(drawn).all("path"):
        for run_ in path["d"].split("M")[1:]:
            x, rest = run_.split(" ")
            y, wide = rest.split("v")[0].split("h")
            found[int(y), int(x) : int(x) + int(wide)] = int(path["class"][1:])
    return found


def test_a_picture_of_counts_has_the_counts(rng):
    counts = rng.integers(0, 9, (5, 7))
    assert np.array_equal(painted(heat_map(counts, 8, "words"), counts.shape), counts)


def test_a_large_picture_of_counts_is_small(rng):
    drawn = heat_map(rng.integers(0, 9, (300, 1000)), 8, "words")
    assert f'viewBox="0 0 {MOST_CELLS} {MOST_CELLS}"' in drawn
    assert len(drawn) < 300_000


@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 4, 6), (4, 6), (2, 4, 6)])
def test_an_image_holds_its_pixels(shape, rng):
    samples = rng.standard_normal((2, int(np.prod(shape)))).astype(np.float32)
    images = as_bytes(samples, shape)
    assert (images.min(), images.max()) == (0, 255)
    held = base64.b64decode(picture_of(images[0]).partition(",")[2])
    assert held[16:24] == (6).to_bytes(4, "big") + (4).to_bytes(4, "big")
    at = held.index(b"IDAT")
    rows = zlib.decompress(held[at + 4 : at + 4 + int.from_bytes(held[at - 4 : at], "big")])
    rows = np.frombuffer(rows, np.uint8).reshape(4, -1)
    assert np.array_equal(rows[:, 1:].ravel(), images[0].ravel())


def test_places_are_spread_from_first_to_last():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(1001, 11) == list(range(0, 1001, 100))


def test_the_beginning_is_that_of_the_seed(tmp_path):
    for group in ("1", "4"):
        folder = tmp_path / group
        made = run("train", "digits", "--model", "42", "--epochs", 2, "--group", group, "--quiet",
                   "--no-dense-timing", "--out", folder)  # fmt: skip
        assert made.exit_code == 0, made.output
        facts = read_facts(folder)
        recipe, data = Recipe(**facts.recipe), open_data("digits")
        architecture = describe_for(recipe, data)
        drawn = build(recipe, architecture, data.x_train, data.y_train, data.scaling)
        first = next(iter(drawn.sparse_parameters().values())).pattern
        assert np.array_equal(facts.start, first.fan_out)
        frames, words = frames_of(facts)
        assert np.array_equal(frames[0][1], first.fan_out)
        now = facts.network.sparse_parameters()["0.weight"].pattern
        assert np.array_equal(frames[-1][1], now.fan_out)
        assert "beginning" in words
        assert frames_of(replace(facts, start=None))[0][0][0].startswith("step")


def many(epochs, classes, side=64):
    """Return a run as long, and as wide, as there may be."""
    network = mlp((side, side), (50,), classes).sparsify(0.05).build(np.random.default_rng(0))
    layers = {
        name: {"dropped": 1, "grown": 1, "nnz": p.nnz, "explored": 0.5}
        for name, p in network.sparse_parameters().items()
    }
    name, first = next(iter(network.sparse_parameters().items()))
    layers[name]["inputs"] = first.pattern.fan_out.tolist()
    update = {"prune_rate": 0.1, "layers": layers}
    records = [
        {"epoch": e, "step": e, "loss": 1 / e, "learning_rate": 0.1, "validation_score": 1 - 1 / e,
         "train_score": 0.5, "validation_loss": float("nan"), "seconds": 0.1,
         "densities": [0.05, 0.1], "updates": [{"step": e, **update}]}
        for e in range(1, epochs + 1)
    ]  # fmt: skip
    facts = {"task": "classification", "classes": [f"class {i}" for i in range(classes)]}
    reading = {"samples": None, "target": None, "task": "auto"}
    config = {"data": "big.npz", "reading": reading, "recipe": Recipe(epochs=epochs).to_dict()}
    return RunFacts(Path("big"), config, network, facts, records, None, True, None)


def test_the_page_of_a_long_run_with_many_classes_is_bounded(tmp_path, rng):
    x, y = rng.integers(0, 256, (1500, 64, 64)).astype(np.uint8), np.arange(1500) % 300
    np.savez(tmp_path / "big.npz", x=x, y=np.array([f"class {i}" for i in y]))
    reading = {"samples": None, "target": None, "task": "auto"}
    facts = many(epochs=1500, classes=300)
    text, missing = run_page(facts, "x", data=str(tmp_path / "big.npz"), reading=reading)
    assert not missing
    (tmp_path / "page.html").write_text(text)
    page = pages.read(tmp_path / "page.html")
    for words in ("Accuracy", "validation", "lowest F1", "confused most", "moments are shown"):
        assert words in page.text
    assert "Loss" in page.text
    assert len(page.all("img")) == 24


def test_paper_has_a_dozen_of_the_moments(tmp_path, rng):
    x = rng.integers(0, 256, (30, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "small.npz", x=x, y=np.array([f"class {i % 3}" for i in range(30)]))
    facts = many(epochs=30, classes=3, side=8)
    reading = {"samples": None, "target": None, "task": "auto"}
    text, _ = run_page(facts, "x", data=str(tmp_path / "small.npz"), reading=reading)
    (tmp_path / "page.html").write_text(text)
    page = pages.read(tmp_path / "page.html")
    between = [a for a in page.all("figure") if a.get("class") == "between"]
    assert len(between) == 30 - 12
    assert "12 of 30 moments" in page.text
