"""What a comparison keeps of how its runs went, and what is drawn of it."""

import json
import shutil

import pages
import pytest
from commands import TINY, run

from sparsecpu.experiments.comparison import Cell
from sparsecpu.experiments.comparison.histories import HistoriesFile, by_density, mean_curves
from sparsecpu.experiments.report.comparison_facts import read_comparison


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparisons") / "c"
    made = run("compare", "iris", "--methods", "dense,set", "--densities", "0.2,0.4", "--seeds", 2,
               "--folds", 2, "--model", "30,20", "--epochs", 3, "--learning-rates", "0.05",
               "--out", folder, "--quiet")  # fmt: skip
    assert made.exit_code == 0, made.output
    return folder


def test_every_run_keeps_its_epochs(compared):
    results = [json.loads(line) for line in (compared / "results.jsonl").read_text().splitlines()]
    assert len(results) == 12
    assert not any("history" in result for result in results)
    found = HistoriesFile(compared / "histories.jsonl").read()
    names = ("method", "density", "seed", "fold", "group")
    assert set(found) == {Cell(**{name: result[name] for name in names}) for result in results}
    for records in found.values():
        assert [record["epoch"] for record in records] == [1, 2, 3]
        assert all(len(record["densities"]) == 3 and record["loss"] > 0 for record in records)


def test_curves_are_means_over_runs():
    losses = {0: [3.0, 1.0], 1: [5.0, 2.0]}
    histories = {
        Cell("set", 0.1, seed, 0): [
            {"epoch": n, "step": 10 * n, "loss": loss, "densities": [0.1, 0.3 + 0.2 * seed]}
            for n, loss in enumerate(found, start=1)
        ]
        for seed, found in losses.items()
    }
    (one,) = mean_curves(histories)
    assert (one.method, one.density, one.label) == ("set", 0.1, "set")
    assert one.curves.series("loss") == ([1, 2], [4.0, 1.5])
    assert one.curves.series("loss", "steps")[0] == [10, 20]
    assert one.curves.densities()["layer 2"][1] == pytest.approx([0.4, 0.4])


def test_dense_stands_beside_the_methods_of_each_density(compared):
    shown = by_density(read_comparison(compared).curves)
    assert {density: [one.label for one in some] for density, some in shown.items()} == {
        0.2: ["dense", "set"], 0.4: ["dense", "set"],
    }  # fmt: skip


def test_a_line_that_was_cut_off_goes_and_one_that_stands_twice_counts_once(compared, tmp_path):
    whole = (compared / "histories.jsonl").read_text().splitlines(keepends=True)
    file = HistoriesFile(tmp_path / "h.jsonl")
    file.path.write_text("".join([*whole, whole[0], whole[1][:40]]))
    file.mend()
    assert sorted(file.path.read_text().splitlines(keepends=True)) == sorted(whole)


def test_the_page_and_the_picture_of_a_comparison_show_its_curves(compared, tmp_path):
    made = run("report", compared, "--out", tmp_path / "p.html")
    assert made.exit_code == 0, made.output
    page = pages.read(tmp_path / "p.html")
    assert "Training loss at density 0.2" in page.text
    drawn = run("plot", compared, "--out", tmp_path / "p.png")
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("plot", compared, "--json").stdout)["densities"] == [0.2, 0.4]
    assert (compared.parent / "c-curves.png").is_file()


def test_comparisons_of_older_versions_have_no_curves(compared, tmp_path):
    old = shutil.copytree(compared, tmp_path / "old")
    (old / "histories.jsonl").unlink()
    made = run("report", old, "--out", tmp_path / "p.html")
    assert made.exit_code == 0, made.output
    assert "Training loss" not in pages.read(tmp_path / "p.html").text
    refused = run("plot", old)
    assert refused.exit_code == 2
    assert "histories" in refused.stderr


def test_a_comparison_is_drawn_by_itself(compared, tmp_path):
    other = tmp_path / "run"
    assert run("train", "iris", *TINY, "--out", other).exit_code == 0
    refused = run("plot", other, compared)
    assert refused.exit_code == 2
    assert "by itself" in refused.stderr
