"""What bench says must be right; how fast things are is not tested here."""

import importlib.util
import json
import time

import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner
from sparsecpu.bench.apart import Apart, has_tuned_malloc
from sparsecpu.bench.dense import DenseMLP
from sparsecpu.bench.layer_clock import StepClock, watched, watched_torch
from sparsecpu.bench.limits import Kernels, Loads, level_of
from sparsecpu.bench.linear import Linear, break_even
from sparsecpu.bench.plots import plot
from sparsecpu.bench.ratios import (
    beside_dense,
    dense_is_faster,
    fastest,
    known,
    least_ratio,
    ratio,
    shown,
)
from sparsecpu.bench.scale import Scale
from sparsecpu.bench.step_cases import Case
from sparsecpu.bench.step_rivals import TorchTunedStep
from sparsecpu.bench.steps import RIVALS as STEPS
from sparsecpu.bench.steps import Batches, Ours, Train
from sparsecpu.bench.timing import Timing, compare, summarise

from sparsecpu.bench import blas, limits, published, ranks, rivals, topology
from sparsecpu.cli import main
from sparsecpu.errors import ParameterError
from sparsecpu.layers import GlobalAvgPool2d, Residual, Sequential, SparseConv2d, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.models import find_model
from sparsecpu.optimizers import SGD


def run(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


def test_everybody_has_turns_and_is_warmed_up():
    calls = []
    contestants = {f"{n}/x": (lambda n=n: calls.append(n)) for n in "ab"}
    times = compare(contestants, rounds=2, seconds=1e-6)
    assert set(times) == {"a/x", "b/x"}
    assert calls[:4] == ["a", "a", "b", "b"]  # warmed up before anybody is timed
    assert calls.index("a", 4) < calls.index("b", 4) < len(calls) - 1 - calls[::-1].index("a")


def test_medians_quartiles_and_how_well_they_are_known():
    sure = summarise([1.0] * 50 + [9.0] * 10)
    assert (sure.ms, sure.low, sure.high, sure.uncertainty) == (1.0, 1.0, 1.0, 0.0)
    assert summarise([1.0, 5.0, 9.0]).uncertainty > 0.5
    rng = np.random.default_rng(0)
    few, many = (summarise(rng.exponential(size=n)).uncertainty for n in (20, 2000))
    assert many < few / 4
    inside = 0
    for _ in range(200):  # the interval holds the true median about 95 times of 100
        values = np.sort(rng.exponential(size=40))
        t = summarise(values)
        inside += abs(t.ms - np.log(2)) <= 2 * t.uncertainty * t.ms
    assert inside > 180


def test_a_ratio_that_means_nothing_is_not_printed():
    clear, vague = Timing(2.0, 1.9, 2.1, 0.01), Timing(2.0, 1.0, 9.0, 0.6)
    assert ratio([clear, clear], [Timing(1.0, 1, 1)]) == 4.0
    assert ratio([vague], [clear]) is None
    assert ratio([clear], [vague]) is None
    assert shown(None) == "too noisy"
    assert (shown(4.0), shown(None, 4.12), shown(None, 34.6)) == ("4.00x", "~4.1x", "~35x")


def timing(least, scatter=0.0, **options):
    return Timing(
        9.0, 9.0, 9.0, **{"uncertainty": 0.9, "least": least, "scatter": scatter} | options
    )


def test_least_times_stand_in_for_noisy_medians():
    assert least_ratio([timing(2.0), timing(4.0)], [timing(1.5)]) == 4.0
    assert least_ratio([timing(2.0, 0.3)], [timing(1.0)]) is None  # not reached again
    found = summarise([3.0, 1.0, 1.05, 9.0, 1.04])
    assert found.least == 1.0
    assert found.scatter == pytest.approx(0.05)
    assert summarise([1.0, 1.0]).scatter == np.inf


def test_beside_the_fastest_dense_by_least_times():
    ours, near, far = [timing(1.0)], [timing(0.9)], [timing(3.0, 0.8)]
    found = beside_dense({"near": near, "far": far}, ours)
    assert (found["dense_speedup"], found["least_speedup"]) == (None, 0.9)
    assert known(found) == 0.9
    assert dense_is_faster(found)
    unsure = [timing(1.1, 0.8)]  # might be faster than what was seen of it
    assert beside_dense({"near": near, "unsure": unsure}, ours)["least_speedup"] is None
    clear = beside_dense({"a": [timing(1.0, uncertainty=0.01)]}, [timing(4.0, uncertainty=0.01)])
    assert known(clear) == clear["dense_speedup"] == 1.0  # a clear median counts
    assert known(beside_dense({}, ours)) is None


def test_the_fastest_is_clear_only_where_nobody_vague_could_be_faster():
    quick, slow = Timing(1.0, 0.9, 1.1, 0.01), Timing(2.0, 1.9, 2.1, 0.01)
    assert fastest({"a": [quick, quick], "b": [slow, slow]}) == ("a", True)
    assert fastest({"a": [quick], "b": [Timing(2.0, 0.5, 9.0, 0.6)]}) == ("a", False)
    assert fastest({"a": [quick], "b": [Timing(5.0, 2.0, 9.0, 0.6)]}) == ("a", True)
    assert fastest({"a": [Timing(1.0, 0.5, 3.0, 0.9)], "b": [slow]}) == ("a", False)


def layer(sparsity, ours, dense):
    return {"sparsity": sparsity, "dense_speedup": dense / ours, "least_speedup": None}


def test_break_even():
    # ours = 0.5 + 10 density against 2: equal at density 0.15
    measured = [layer(s, 0.5 + 10 * (1 - s), 2.0) for s in (0.5, 0.8, 0.9, 0.99)]
    found, inside = break_even(measured)
    assert found == pytest.approx(0.85)
    assert inside
    found, inside = break_even(measured[2:])  # both faster than dense: extrapolated
    assert found == pytest.approx(0.85)
    assert not inside
    found, inside = break_even(measured[:2])
    assert found == pytest.approx(0.85)
    assert not inside
    assert break_even(measured[:1]) == (None, False)


@pytest.mark.parametrize("rival", rivals.present()[0], ids=lambda r: r.name)
def test_rivals_compute_what_they_claim(rival):
    rng = np.random.default_rng(0)
    weight = scipy.sparse.csr_array(
        scipy.sparse.random(48, 64, 0.2, format="csr", dtype=np.float32, rng=rng)
    )
    made = rival(weight.copy(), 32, 1)
    parts = made.parts()
    assert {p for name in parts for p in name.split("+")} <= {"forward", "dx", "dw"}
    w = made.w if rival.dense else weight
    w = np.asarray(w) if rival.dense else w
    found = {name: call() for name, call in parts.items()}
    y = found["forward"]  # None from SparseProp, which writes into arrays that it is given
    y = made.outs[0] if y is None else np.asarray(y)
    y = y.T if y.shape == (32, 48) else y
    if rival.name != "masked PyTorch":  # has weights of its own
        np.testing.assert_allclose(y, w @ made.x, atol=1e-4)


def test_missing_rivals_are_named(monkeypatch):
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    found, missing = rivals.present()
    assert [r.name for r in found] == ["dense NumPy", "SciPy"]
    assert missing["dense PyTorch"].startswith("pip install")
    assert set(missing) == {r.name for r in rivals.RIVALS} - {"dense NumPy", "SciPy"}


def test_linear_from_the_command_line(tmp_path):
    args = ("bench", "linear", "--shape", "64x48", "--sparsity", 0.5, "--sparsity", 0.9, "--batch",
            32, "--rounds", 1, "--quiet", "--blas", "as-is")  # fmt: skip
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {"cpu", "threads", "threading_layer", "versions", "commit", "date"} <= set(
        report["machine"]
    )
    layer = report["linear"]["results"][0]
    assert (layer["n_out"], layer["n_in"]) == (64, 48)
    case, sparser = layer["results"]
    assert (case["nnz"], sparser["nnz"]) == (64 * 48 // 2, round(64 * 48 * 0.1))
    assert case["dense_ms"] == sparser["dense_ms"]  # timed once, beside both
    assert set(case["ms"]) == {"forward", "dx", "dw", "total"}
    assert case["ms"]["total"] == pytest.approx(
        sum(v for k, v in case["ms"].items() if k != "total")
    )
    assert set(case["limit_fraction"]) == {"forward", "dx", "dw"}
    assert {"dense NumPy", "SciPy"} <= case["ratio"].keys()
    assert case["fastest_dense"].startswith("dense")
    picture = tmp_path / "speed.png"
    result = run(*args, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "64x48" in result.stdout
    assert picture.stat().st_size > 10_000


def test_steps_from_the_command_line():
    result = run("bench", "train", "--model", "20-16-4", "--sparsity", 0.5, "--batch", 16,
                 "--rounds", 1, "--profile", "--json", "--quiet", "--blas", "as-is")  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["train"]["results"][0]
    one = found["results"][0]
    assert found["sizes"] == [20, 16, 4]
    assert one["nnz"] == round(0.5 * (20 * 16 + 16 * 4))
    assert sum(one["profile"].values()) == pytest.approx(1)
    assert {"linear forward", "linear backward", "update"} <= one["layers_ms"].keys()
    assert one["least_ms"] <= one["ms"]
    assert {"dense NumPy", "scikit-learn"} <= found["rival_ms"].keys()


def test_least_times_by_kind_of_layer(rng):
    """Calls inside a block are the inner layers' time, and nothing stays behind."""
    block = Residual([SparseConv2d(2, 2, 3, padding=1, rng=rng, density=0.9)])
    network = Sequential([block, GlobalAvgPool2d(), SparseLinear(2, 3, rng=rng)], (2, 4, 4))
    x, y = rng.standard_normal((16, 32), dtype=np.float32), rng.integers(0, 3, 16)
    optimizer, parameters = SGD(), list(network.parameters().values())

    def step():
        network.loss_and_gradients(x, y, SoftmaxCrossEntropy())
        optimizer.step(parameters, 0.1, 0)

    clock = StepClock(step)
    with watched(network, optimizer, clock):
        for _ in range(4):
            clock()
    found = clock.by_name()
    names = {"conv2d forward", "conv2d backward", "residual forward", "linear backward"}
    assert names <= found.keys()
    assert {"update", "rest"} <= found.keys()
    assert min(found.values()) >= 0
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert sum(found.values()) == pytest.approx(clock.least()[0])
    assert not {"forward", "backward"} & (vars(block).keys() | vars(block.branch.layers[0]).keys())
    assert "step" not in vars(optimizer)


def test_least_times_are_those_of_each_stretch():
    """Whoever interferes hits another stretch each time: no step, but every stretch was short."""
    turn = iter(range(4))

    def step():
        held_up = next(turn)
        for part in range(3):
            clock.now(f"part {part}")
            time.sleep(0.03 if part == held_up else 0.001)

    clock = StepClock(step)
    steps = []
    for _ in range(4):
        start = time.perf_counter()
        clock()
        steps.append(time.perf_counter() - start)
    assert sorted(steps)[1] > 0.03
    assert clock.least().shape == (3,)
    assert clock.least()[0] < 15
    assert list(clock.least()) == sorted(clock.least())
    assert clock.by_name().keys() == {"rest", "part 0", "part 1", "part 2"}


def test_pytorch_tells_what_it_does():
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    weight = network[0].weight.detach().clone()

    def step():
        optimizer.zero_grad()
        network(torch.ones(3, 4)).sum().backward()
        optimizer.step()

    clock = StepClock(step)
    with watched_torch(network, optimizer, clock):
        clock()
        clock()
    assert (network[0].weight != weight).any()
    kinds = {f"{kind} {part}" for kind in ("Linear", "ReLU") for part in ("forward", "backward")}
    assert clock.by_name().keys() == kinds | {"update", "rest"}
    step()  # nobody listens any more
    assert clock.name == "rest"


def test_steps_in_a_process_of_their_own():
    """Its stretches are told to our clock, and its memory is its own."""
    case = Case((20, 16, 4), 8, (0.5,), 1)
    apart = Apart("ours", case, 0.5)
    clock = StepClock(lambda: clock.heard(*apart.step()))
    clock()
    clock()
    apart_peak = apart.peak()
    apart.close()
    assert {"linear forward", "linear backward", "update", "rest"} <= clock.by_name().keys()
    assert 0 < clock.by_name()["linear forward"] < clock.least()[0]
    assert 0 <= apart_peak < 2**30
    with pytest.raises(RuntimeError, match="ended"):
        Apart("nobody", case)


def test_pytorch_with_another_allocator():
    pytest.importorskip("torch")
    if not has_tuned_malloc():
        pytest.skip("needs glibc")
    case = Case((3072, 10), 2, (0.5,), 1, "lenet-5-caffe", "uniform")
    rival = TorchTunedStep(case, Batches(case))
    clock = StepClock(rival.step)
    with rival.watched(clock):
        clock()
    rival.close()
    assert {"Conv2d forward", "Conv2d backward", "update"} <= clock.by_name().keys()


def test_numpy_tells_what_it_does(rng):
    network, told = DenseMLP((6, 5, 3), 4), []
    network.now = told.append
    network.step(rng.standard_normal((8, 6), np.float32), rng.integers(0, 3, 8), np.arange(4))
    assert told == ["forward"] * 2 + ["dW", "dx", "update", "dW", "update"]


def test_only_the_rivals_that_are_asked_for():
    train = Train("quick", 1, rivals=("dense NumPy",))
    assert [r.name for r in train.by_kind[False]] == ["dense NumPy"]
    assert not train.by_kind[True]
    with pytest.raises(ParameterError, match="rival"):
        Train("quick", 1, rivals=("nobody",))


def test_steps_learn():
    """Every contestant really trains: on one batch again and again, its loss falls."""
    case = Train("quick", 1, models=["20-32-4"], batch=64).cases()[0]
    batches = Batches(case)
    batches.order = batches.order[:1].repeat(8, axis=0)
    ours = Ours(case, 0.5, batches)
    before = {n: p.data.copy() for n, p in ours.trainer.network.parameters().items()}
    ours.step()
    assert all((p.data != before[n]).any() for n, p in ours.trainer.network.parameters().items())
    for rival in STEPS:
        if not rival.images and (rival.needs is None or importlib.util.find_spec(rival.needs)):
            rival(case, batches).step()


def test_steps_of_convolutional_networks():
    case = Train("quick", 1, models=["lenet-5-caffe"], batch=16).cases()[0]
    assert (case.batch, case.distribution, str(case)) == (16, "uniform", "lenet-5-caffe")
    batches = Batches(case)
    ours = Ours(case, 0.9, batches)
    ours.step()
    assert ours.trainer.steps_done == 1
    assert set(ours.parts()) >= {"forward", "backward"}
    for rival in STEPS:
        if rival.images and importlib.util.find_spec(rival.needs):
            rival(case, batches).step()


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-56", "vgg16-small", "lenet-5-caffe"])
def test_the_dense_twin_of_a_network_computes_the_same(name, rng):
    torch = pytest.importorskip("torch")
    from sparsecpu.interop import torch_network

    described = find_model(name)((3, 20, 20), 5, width=0.25)
    ours, theirs = described.build(rng), torch_network(described)
    for mine, twin in zip(ours.parameters().values(), theirs.parameters(), strict=True):
        twin.data = torch.from_numpy(mine.data.reshape(tuple(twin.shape)).copy())
    x = rng.standard_normal((6, 3, 20, 20)).astype(np.float32)
    with torch.no_grad():
        wanted = theirs.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours.predict(x), wanted, atol=2e-4 * np.abs(wanted).max())


def test_convolutions_from_the_command_line(tmp_path):
    args = ("bench", "conv", "--shape", "4-6-8-3-2", "--sparsity", 0.5, "--batch", 16, "--rounds",
            1, "--quiet")  # fmt: skip
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["conv"]["results"][0]
    assert found["case"] == "4-6 3x3/2 8x8"
    assert found["results"][0]["nnz"] == 4 * 6 * 9 // 2
    assert set(found["results"][0]["ms"]) == {"forward", "dx+dw", "total"}
    picture = tmp_path / "conv.svg"
    if importlib.util.find_spec("torch"):
        plot("conv", [found], {"machine": {"cpu": "a CPU", "instruction_set": "AVX2", "threads": 1,
                                           "date": "2026-01-01"}}, picture)  # fmt: skip
        assert picture.stat().st_size > 1000
    for bad in ("4-6-8", "4-6-8-x", "0-6-8-3"):
        assert run("bench", "conv", "--shape", bad).exit_code == 2


def test_scale_grows_with_width():
    scale = Scale("quick", 1)
    results = [scale.run((n, lean)) for n in (1000, 4000) for lean in (False, True)]
    assert [r["neurons"] for r in results] == [1000, 1000, 4000, 4000]
    assert [r["bytes"] for r in results] == [28, 12, 28, 12]
    assert all(set(r["update_ms"]) == {"gse", "sparse-momentum"} for r in results)
    values, lines = scale.verdict(results)
    assert values["operations_exponent"] == pytest.approx(1, abs=0.02)
    assert values["lean_operations_exponent"] == pytest.approx(1, abs=0.02)
    assert len(lines) == 2
    assert "1,000" in scale.row(results[0])
    assert scale.cases()[0] == (1000, False)
    assert Scale("full", 1).cases()[-1] == (50_000_000, True)


def test_scale_takes_numbers_of_neurons():
    assert Scale("quick", 1, neurons=(3000,)).cases() == [(3000, False), (3000, True)]
    with pytest.raises(ParameterError):
        Scale("quick", 1, neurons=(3000, 10)).cases()


def test_scale_leaves_out_what_does_not_fit(monkeypatch):
    monkeypatch.setattr("sparsecpu.bench.scale.memory_free", lambda: 1000)
    scale = Scale("quick", 1)
    found = scale.run((2000, False))
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


def test_topology_counts_updates(monkeypatch):
    monkeypatch.setattr(topology, "_INTERVAL", 12)
    bench = topology.Topology("quick", 1)
    for algorithm in ("set", "sparse-momentum:source=tiles"):
        found = bench.run((algorithm, (30, 20, 5), 0.8))
        assert found["update_ms"] > 0
        assert (found["watch_ms"] > 0) == (algorithm != "set")
        assert algorithm in bench.row(found)


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


def test_pictures(tmp_path):
    machine = {"cpu": "a CPU", "instruction_set": "AVX2", "threads": 1, "date": "2026-01-01"}
    scale = {"neurons": 10, "ms": 1.0, "level": "L2", "lean": False}
    one = {"algorithm": "set", "sizes": [3, 2], "watch_ms": 1, "update_ms": 2, "interval_ms": 9}
    noisy = {"sparsity": 0.99, "ms": 0.5, "fastest_dense": "dense NumPy", "dense_speedup": None}
    clear = {**noisy, "sparsity": 0.9, "dense_speedup": 4.0}
    steps = {"network": "3-2", "rival_ms": {"dense NumPy": 4.0}, "results": [clear, noisy]}
    loads = {"kib": 32, "random_gflops": 9.0, "forward": 7.0, "dx": 7.0, "dw": 6.0}
    wide = {**scale, "neurons": 20, "ms": 2.0}
    left_out = {"neurons": 30, "lean": False, "skipped": "large"}
    widths = [scale, wide, {**scale, "lean": True}, left_out]
    for kind, results in {
        "scale": widths, "topology": [one], "train": [steps], "kernels": [loads],
    }.items():  # fmt: skip
        path = tmp_path / f"{kind}.svg"
        plot(kind, results, {"machine": machine}, path)
        assert "a CPU" in path.read_text() or path.stat().st_size > 1000


def test_the_fastest_blas_is_looked_for_once(monkeypatch):
    rates = {"default": 100.0, "SkylakeX": 200.0}
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(blas, "survey", lambda threads: rates)
    monkeypatch.setattr(blas, "architecture", lambda: "Haswell")
    assert blas.best_core_type(1) == ("SkylakeX", rates)
    monkeypatch.setattr(blas, "architecture", lambda: "SkylakeX")  # it runs with that already
    assert blas.best_core_type(1)[0] == "default"
    started = {}

    def fake(command, env, check):
        started.update(env)
        return type("Done", (), {"returncode": 7})

    monkeypatch.setattr(blas.subprocess, "run", fake)
    assert blas.start_again_under("Zen", rates) == 7
    assert started["OPENBLAS_CORETYPE"] == "Zen"
    for name, value in started.items():
        if name.startswith("SPARSECPU"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(blas, "survey", lambda threads: pytest.fail("asked again"))
    assert blas.best_core_type(1) == ("Zen", rates)


def test_cases_of_every_scope():
    for kind in (Linear, Train, Scale, Kernels, topology.Topology):
        sizes = [len(kind(scope, 1).cases()) for scope in ("quick", "default", "full")]
        assert 0 < sizes[0] <= sizes[1] <= sizes[2]
    assert limits.cache_sizes() is not None


def test_sources_are_judged_by_the_exact_momentum():
    from sparsecpu.bench.sources import SOURCES, Sources

    bench = Sources("quick", 1)
    found = {name: bench.run(name) for name in bench.cases()}
    assert set(found) == set(SOURCES)
    mass = {name: result["mass"]["0.weight"] for name, result in found.items()}
    assert 0.97 < mass["window"] <= 1.0
    assert mass["lowrank 4"] < mass["lowrank 8"] < mass["lowrank 16"] < mass["lowrank 32"] <= 1.0
    assert all(0 < share <= 1 for share in mass.values())
    assert found["lowrank 4"]["bytes"] < found["lowrank 32"]["bytes"] < found["window"]["bytes"]
    assert "lowrank 16" in bench.row(found["lowrank 16"])


def test_race_to_the_dense_accuracy(tmp_path):
    from sparsecpu.bench.accuracy import Accuracy, reached
    from sparsecpu.bench.plots import plot

    bench = Accuracy("quick", 1, hidden="30", samples=1500, epochs=3, sparsities=(0.5,))
    cases = [case for case in bench.cases() if case["kind"] != "pytorch"]
    results = [bench.run(case) for case in cases]
    assert [r["kind"] for r in results] == ["scikit-learn", "sparsecpu"]
    for result in results:
        assert len(result["seconds"]) == len(result["accuracy"]) == 3
        assert np.all(np.diff(result["seconds"]) > 0)
        assert result["accuracy"][-1] > 0.5
    assert results[1]["compile_seconds"] > 1  # its cache was empty
    assert results[1]["seconds"][-1] > results[1]["compile_seconds"]
    assert results[1]["nnz"] * 2 == results[0]["nnz"]
    values, lines = bench.verdict(results)
    assert values["target"] == results[0]["accuracy"][-1] - 0.003
    assert len(values["times"]) == 2
    assert "scikit-learn" in " ".join(lines)
    assert reached({"seconds": [1, 2, 3], "accuracy": [0.1, 0.9, 0.95]}, 0.9) == 2
    assert reached({"seconds": [1], "accuracy": [0.1]}, 0.9) is None
    document = {"machine": {"cpu": "x", "instruction_set": "y", "threads": 1, "date": "z"}}
    plot("accuracy", results, document, tmp_path / "a.png")
    plot("sources", [{"source": "a", "mass": {"l": 0.5}}], document, tmp_path / "s.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_predictions_are_timed_and_drawn(tmp_path):
    picture = tmp_path / "infer.png"
    result = run("bench", "infer", "--model", "30-20-5", "--sparsity", 0.5, "--batch", 2,
                 "--rounds", 1, "--quiet", "--blas", "as-is", "--json",
                 "--plot", picture)  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["infer"]["results"][0]
    assert (found["network"], found["batch"], found["precision"]) == ("30-20-5", 2, "fp32")
    row = found["results"][0]
    assert row["nnz"] == 350
    assert row["samples_per_second"] == pytest.approx(2e3 / row["ms"])
    assert {"dense NumPy", "SciPy"} <= set(row["ratio"])
    assert picture.stat().st_size > 1000
    for bad in (("--model", "x"), ("--batch", 0), ("--precision", "fp8")):
        assert run("bench", "infer", *bad, "--blas", "as-is").exit_code == 2


def test_infer_contestants_agree(rng):
    """What is timed is the same network: ours and SciPy's on the same weights."""
    from sparsecpu.bench.infer import Ours
    from sparsecpu.bench.step_cases import Case

    case = Case((30, 20, 5), 7, (0.5,), 1)
    x = rng.standard_normal((7, 30)).astype(np.float32)
    made = Ours(case, 0.5, x)
    np.testing.assert_allclose(made.predict(), made.scipy().T, atol=1e-5)
