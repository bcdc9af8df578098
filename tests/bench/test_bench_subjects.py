"""What bench measures beside layers and steps, each subject small."""

import importlib.util
import json
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from commands import run

from sparsecpu.bench.cases import NetworkCase, Variant
from sparsecpu.bench.measuring.cache_loads import Loads, cache_sizes, level_of
from sparsecpu.bench.plots import plot
from sparsecpu.bench.subjects import published, ranks, topology
from sparsecpu.bench.subjects.kernels import Kernels
from sparsecpu.bench.subjects.linear import Linear
from sparsecpu.bench.subjects.scale import Scale
from sparsecpu.bench.subjects.train import Train
from sparsecpu.errors import ParameterError

MACHINE = {"cpu": "a CPU", "instruction_set": "AVX2", "threads": 1, "date": "2026-01-01"}


def lines_of(figure):
    """Return the x and y of each line that the legend names."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in figure.axes[0].lines
        if not line.get_label().startswith(("_", "hollow"))
    }


def test_convolutions_from_the_command_line(tmp_path, drawn):
    args = ("bench", "conv", "--shape", "4-6-8-3-2", "--sparsity", 0.5, "--batch", 16, "--rounds",
            1, "--quiet", "--group", 1)  # fmt: skip
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["conv"]["results"][0]
    assert found["case"] == "4-6 3x3/2 8x8"
    assert found["results"][0]["nnz"] == 4 * 6 * 9 // 2
    assert set(found["results"][0]["ms"]) == {"forward", "dx+dw", "total"}
    if importlib.util.find_spec("torch"):
        plot("conv", [found], {"machine": MACHINE}, tmp_path / "conv.svg")
        lines = lines_of(drawn[0])
        one = found["results"][0]
        ratio = one["by_precision"]["fp32"]["dense_ms"] / one["ms"]["total"]
        assert lines == {"4-6 3x3/2 8x8, batch 16": ([0.5], pytest.approx([ratio]))}
    for bad in ("4-6-8", "4-6-8-x", "0-6-8-3"):
        assert run("bench", "conv", "--shape", bad).exit_code == 2


def test_scale_grows_with_width(monkeypatch):
    # It measures each case for two seconds: of a clock that runs twenty times as fast.
    clock = SimpleNamespace(perf_counter=lambda: 20 * time.perf_counter())
    monkeypatch.setattr("sparsecpu.bench.subjects.scale.time", clock)
    scale = Scale("quick", 1)
    results = [scale.run((n, 1, lean)) for n in (1000, 4000) for lean in (False, True)]
    assert [r["neurons"] for r in results] == [1000, 1000, 4000, 4000]
    whole, lean = ([r["bytes"] for r in results[i::2]] for i in (0, 1))
    assert lean == [12, 12]
    assert all(24 < found < 28 for found in whole)  # the first layer needs no second copy
    assert all(set(r["update_ms"]) == {"gse", "sparse-momentum"} for r in results)
    values, lines = scale.verdict(results)
    assert values["operations_exponent"] == pytest.approx(1, abs=0.02)
    assert values["lean_operations_exponent"] == pytest.approx(1, abs=0.02)
    assert len(lines) == 2
    assert "1,000" in scale.row(results[0])
    assert scale.cases()[0] == (1000, 1, False)
    assert Scale("full", 1).cases()[-1] == (50_000_000, 1, True)


def test_scale_takes_numbers_of_neurons():
    assert Scale("quick", 1, neurons=(3000,)).cases() == [(3000, 1, False), (3000, 1, True)]
    grouped = Scale("quick", 1, neurons=(3000,), group="1,4").cases()
    assert [group for _, group, _ in grouped] == [1, 1, 4, 4]
    with pytest.raises(ParameterError):
        Scale("quick", 1, neurons=(3000, 10)).cases()


def test_scale_leaves_out_what_does_not_fit(monkeypatch):
    monkeypatch.setattr("sparsecpu.bench.subjects.scale.free_memory", lambda: 1000)
    scale = Scale("quick", 1)
    found = scale.run((2000, 1, False))
    assert "ms" not in found
    assert "needs" in scale.row(found)
    assert scale.verdict([found]) == ({}, [])


def test_published_epochs(monkeypatch):
    monkeypatch.setitem(published._MINUTES, 50, 1.0)
    bench = published.Published("quick", 1)
    found = bench.run((50, 16))
    assert found["nnz"] == 20 * 3362 + 2 * 2000 + 250
    assert found["ratio"] == pytest.approx(1.0 / found["minutes"])
    assert "published" in bench.heading()
    assert bench.row(found)


def test_ranks_predict_from_what_was_measured():
    bench = ranks.Ranks("quick", 1)
    assert "mpiexec" in bench.missing["other ranks"]
    found = bench.run(("lenet-300-100", 0.9, 64))
    assert found["gradient_mb"] == pytest.approx(4e-6 * (26_620 + 410))
    for by_ranks in found["predicted"].values():
        assert by_ranks[2] <= found["compute_ms"][1] / found["compute_ms"][2]
    assert "lenet-300-100" in bench.row(found)
    # Two ranks send half of it twice; a message takes its latency each time.
    assert ranks.ring_seconds(10**9, 2, 1e9, 0.0, 3) == pytest.approx(1.0)
    assert ranks.ring_seconds(0, 4, 1e9, 1e-3, 2) == pytest.approx(12e-3)


def test_limits():
    kernels = Kernels("quick", 1)
    small = kernels.run(32)
    assert small["random_gflops"] > 0
    assert small["sequential_gbs"] > 0
    assert "forward" not in small
    assert "forward" in kernels.run(128 * 512 // 1024 * 2)
    values, lines = kernels.verdict([small])
    assert values["peak_gflops"] > 0
    assert lines
    assert level_of(1e15) in ("memory", "?")
    assert Loads(10**7).count >= 10**7 / 512  # every run is visited


def test_pictures(tmp_path, drawn):
    scale = {"neurons": 10, "ms": 1.0, "level": "L2", "group": 1, "lean": False}
    one = {"algorithm": "set", "sizes": [3, 2], "watch_ms": 1, "update_ms": 2, "interval_ms": 9,
           "group": 1}  # fmt: skip
    unclear, sure = ({"dense_ms": 4.0, "dense_speedup": ratio} for ratio in (None, 4.0))
    noisy = {"sparsity": 0.99, "group": 1, "ms": 0.5, "by_precision": {"fp32": unclear}}
    clear = {**noisy, "sparsity": 0.9, "by_precision": {"fp32": sure}}
    steps = {"network": "3-2", "batch": 9, "results": [clear, noisy]}
    loads = {"kib": 32, "random_gflops": 9.0, "peak_gflops": 20.0, "forward": 7.0, "dx": 7.0,
             "dw": 6.0}  # fmt: skip
    wide = {**scale, "neurons": 20, "ms": 2.0}
    left_out = {"neurons": 30, "group": 1, "lean": False, "skipped": "large"}
    widths = [scale, wide, {**scale, "lean": True}, left_out]
    for kind, results in {
        "scale": widths, "topology": [one], "train": [steps], "kernels": [loads],
    }.items():  # fmt: skip
        plot(kind, results, {"machine": MACHINE}, tmp_path / f"{kind}.svg")
        assert (tmp_path / f"{kind}.svg").exists()
        assert drawn[-1].get_supxlabel() == "a CPU, AVX2, 1 thread(s); 2026-01-01"
    scales, costs, speedups, roofline = drawn
    assert lines_of(scales) == {
        "normal": ([10, 20], [1.0, 2.0]), "linear": ([10, 20], [1.0, 2.0]), "lean": ([10], [1.0]),
    }  # fmt: skip
    observing, update = costs.axes[0].patches
    assert (observing.get_x(), observing.get_width()) == (0, pytest.approx(1 / 9))
    assert (update.get_x(), update.get_width()) == pytest.approx((1 / 9, 2 / 9))
    assert [text.get_text() for text in costs.axes[0].get_yticklabels()] == ["set\n3-2"]
    assert lines_of(speedups) == {"3-2, batch 9": (pytest.approx([0.01, 0.1]), [8.0, 8.0])}
    hollow = [line for line in speedups.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert list(hollow[0].get_xdata()) == [pytest.approx(0.01)]  # too noisy for a figure
    assert {name.split(",")[0]: y for name, (_, y) in lines_of(roofline).items()} == {
        "the limit of groups: multiply-adds in registers": [20.0, 20.0],
        "the limit: random loads of 512 bytes": [9.0], "forward": [7.0], "dx": [7.0],
        "dw": [6.0],
    }  # fmt: skip


def test_cases_of_every_scope():
    for kind in (Linear, Train, Scale, Kernels, topology.Topology):
        sizes = [len(kind(scope, 1).cases()) for scope in ("quick", "default", "full")]
        assert 0 < sizes[0] <= sizes[1] <= sizes[2]
    assert cache_sizes() is not None


def test_sources_are_judged_by_the_exact_momentum():
    from sparsecpu.bench.subjects.sources import SOURCES, Sources

    bench = Sources("quick", 1)
    found = {name: bench.run(name) for name in bench.cases()}
    assert set(found) == set(SOURCES)
    mass = {name: result["mass"]["0.weight"] for name, result in found.items()}
    assert 0.97 < mass["window"] <= 1.0
    assert mass["lowrank 4"] < mass["lowrank 8"] < mass["lowrank 16"] < mass["lowrank 32"] <= 1.0
    assert all(0 < share <= 1 for share in mass.values())
    assert found["lowrank 4"]["bytes"] < found["lowrank 32"]["bytes"] < found["window"]["bytes"]
    assert "lowrank 16" in bench.row(found["lowrank 16"])


def test_race_to_the_dense_accuracy(tmp_path, drawn):
    from sparsecpu.bench.subjects.accuracy import Accuracy, reached

    options = {"hidden": "30", "samples": 1500, "epochs": 3, "sparsities": (0.5,), "group": "4"}
    bench = Accuracy("quick", 1, topology="static", **options)
    cases = [case for case in bench.cases() if case["kind"] != "pytorch"]
    results = [bench.run(case) for case in cases]
    assert [(r["kind"], r["group"]) for r in results] == [("scikit-learn", 1), ("sparsecpu", 4)]
    for result in results:
        assert len(result["seconds"]) == len(result["accuracy"]) == 3
        assert np.all(np.diff(result["seconds"]) > 0)
        assert result["accuracy"][-1] > 0.5
        fastest = min(np.diff(result["seconds"]))
        assert result["step_ms"] == pytest.approx(1e3 * fastest / 12, abs=0.1)  # of 12 steps
    assert results[0]["compile_seconds"] == 0 <= results[1]["compile_seconds"]
    assert results[1]["nnz"] * 2 == results[0]["nnz"]
    values, lines = bench.verdict(results)
    assert values["target"] == results[0]["accuracy"][-1] - 0.003
    assert len(values["times"]) == 2
    assert "scikit-learn" in " ".join(lines)
    assert (
        max(map(len, "\n".join([bench.heading(), bench.row(results[1]), *lines]).split("\n"))) <= 80
    )
    never = [{**result, "accuracy": [0.1] * 3} for result in results[1:]]
    assert "bought nothing" in " ".join(bench.verdict([results[0], *never])[1])
    assert reached({"seconds": [1, 2, 3], "accuracy": [0.1, 0.9, 0.95]}, 0.9) == 2
    assert reached({"seconds": [1], "accuracy": [0.1]}, 0.9) is None
    plot("accuracy", results, {"machine": MACHINE}, tmp_path / "a.png")
    (trade,) = drawn[0].axes[1].containers[:1]
    assert trade.get_label() == "group 4"
    assert trade[0].get_xdata() == [results[1]["step_ms"]]
    assert list(lines_of(drawn[0]).values()) == [
        (result["seconds"], pytest.approx([100 * (1 - a) for a in result["accuracy"]]))
        for result in results
    ]
    plot("sources", [{"source": "a", "mass": {"l": 0.5}}], {"machine": MACHINE}, tmp_path / "s.png")
    (bar,) = drawn[1].axes[0].patches
    assert bar.get_height() == 0.5
    assert [text.get_text() for text in drawn[1].axes[0].get_xticklabels()] == ["a"]


def test_predictions_of_several_networks_are_printed():
    options = ["--sparsity", 0.5, "--batch", 2, "--rounds", 1, "--group", 1, "--blas", "as-is"]
    models = ["--model", "30-20-5", "--model", "20-10"]
    result = run("bench", "infer", *models, *options, "--quiet", "--no-dense-bf16")
    assert result.exit_code == 0, result.output
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    assert {"30-20-5", "20-10"} <= set(rows)


def test_predictions_are_timed_and_drawn(tmp_path, drawn):
    picture = tmp_path / "infer.png"
    result = run("bench", "infer", "--model", "30-20-5", "--sparsity", 0.5, "--batch", 2,
                 "--rounds", 1, "--quiet", "--blas", "as-is", "--json", "--group", 1,
                 "--plot", picture)  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["infer"]["results"][0]
    assert (found["network"], found["batch"], found["precision"]) == ("30-20-5", 2, "fp32")
    row = found["results"][0]
    assert row["nnz"] == 350
    assert row["samples_per_second"] == pytest.approx(2e3 / row["ms"])
    assert {"dense NumPy", "SciPy"} <= set(row["ratio"])
    assert picture.exists()
    ratio = row["by_precision"]["fp32"]["dense_ms"] / row["ms"]
    assert lines_of(drawn[0]) == {"30-20-5, batch 2": ([0.5], pytest.approx([ratio]))}
    for bad in (("--model", "x"), ("--batch", 0), ("--precision", "fp8")):
        assert run("bench", "infer", *bad, "--blas", "as-is").exit_code == 2


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("infer --model 30-20-5 --batch 2", ("30-20-5", "dense NumPy", "SciPy", "samples/s")),
        ("train --model 30-20-5 --batch 16 --profile", ("30-20-5", "backward", "linear forward")),
        ("conv --shape 4-6-8-3 --batch 16", ("4-6 3x3 8x8", "GFLOP/s")),
        ("attention --shape 2-20-3-8", ("2x20, 3 heads of 8", "GFLOP/s")),
    ],
)
def test_tables(subject, words):
    name, *more = subject.split()
    if name != "attention":
        more += ["--sparsity", 0.5, "--blas", "as-is"]
    result = run("bench", name, *more, "--rounds", 1, "--quiet")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())  # lines break where the terminal ends
    assert all(word in text for word in words), result.stdout


def test_infer_contestants_agree(rng):
    """What is timed is the same network: ours and SciPy's on the same weights."""
    from sparsecpu.bench.ours.predictions import OurPrediction

    case = NetworkCase((30, 20, 5), 7, (0.5,), 1)
    x = rng.standard_normal((7, 30)).astype(np.float32)
    made = OurPrediction(case, Variant(0.5), x)
    np.testing.assert_allclose(made.predict(), made.scipy().T, atol=1e-5)


def test_a_picture_where_nothing_dense_ran(tmp_path, drawn):
    found = {"sparsity": 0.9, "group": 1, "by_precision": {}}
    rows = {
        "train": {"network": "a", "batch": 1, "results": [found | {"ms": 1.0}]},
        "conv": {"case": "c", "batch": 1, "results": [found | {"ms": {"total": 1.0}}]},
    }
    for kind, row in rows.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plot(kind, [row], {"machine": MACHINE}, tmp_path / f"{kind}.png")
        axis = drawn[-1].axes[0]
        assert [text.get_text() for text in axis.texts] == ["nothing dense ran: no ratio to draw"]
        assert not axis.lines
