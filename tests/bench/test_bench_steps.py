"""Whole steps as bench times them: ours, the dense twins of NumPy and PyTorch, layer by layer."""

import importlib.util
import json
import time

import numpy as np
import pytest
from commands import run

from sparsecpu.bench.cases import Batches, NetworkCase, Variant
from sparsecpu.bench.measuring.step_clock import StepClock, watched, watched_torch
from sparsecpu.bench.ours.generation import OurToken
from sparsecpu.bench.ours.steps import OurStep
from sparsecpu.bench.rivals.base import installed
from sparsecpu.bench.rivals.dense_children import DenseChildren
from sparsecpu.bench.rivals.numpy_mlp import DenseMLP
from sparsecpu.bench.rivals.step_process import StepProcess, has_tuned_malloc
from sparsecpu.bench.rivals.steps import RIVALS, TorchTunedStep
from sparsecpu.bench.rivals.steps.sparselab import SparseLabStep, twin_densities
from sparsecpu.bench.rivals.steps.text import OneDNNTextStep, TorchTextStep
from sparsecpu.bench.subjects.train import Train
from sparsecpu.errors import ParameterError
from sparsecpu.layers import GlobalAvgPool2d, Residual, Sequential, SparseConv2d, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.models import find_model
from sparsecpu.optimizers import SGD


def test_steps_from_the_command_line():
    result = run("bench", "train", "--model", "20-16-4", "--sparsity", 0.5, "--batch", 16,
                 "--rounds", 1, "--profile", "--json", "--quiet", "--blas", "as-is", "--group",
                 "1,4")  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["train"]["results"][0]
    one, grouped = found["results"]
    assert (one["group"], grouped["group"], grouped["nnz"]) == (1, 4, one["nnz"])
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
    assert not {"forward", "backward"} & (
        vars(block).keys() | vars(block.children()["branch"].layers[0]).keys()
    )
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
    """Its stretches reach our clock, and its memory is its own."""
    case = NetworkCase((20, 16, 4), 8, (0.5,), 1)
    process = StepProcess("ours", case, Variant(0.5))
    clock = StepClock(lambda: clock.take_over(*process.step()))
    clock()
    clock()
    peak = process.peak()
    process.close()
    assert {"linear forward", "linear backward", "update", "rest"} <= clock.by_name().keys()
    assert 0 < clock.by_name()["linear forward"] < clock.least()[0]
    assert 0 <= peak < 2**30
    with pytest.raises(RuntimeError, match="ended"):
        StepProcess("nobody", case)


def test_dense_steps_are_made_beside_a_run():
    """In each precision, as often as they are asked for; a child that fails is not waited for."""
    with DenseChildren(1) as children:
        kinds = children.steps((20, 16, 4), 8)
        assert all(len(kind.turn(0.0)) == 1 for kind in kinds)
        assert all(len(kind.turn(0.01)) >= 2 for kind in kinds)
        kinds[0].child.kill()
        assert kinds[0].turn(0.01) == []
    here = {"fp32", "bf16"} if importlib.util.find_spec("torch") else {"fp32"}
    assert {kind.precision for kind in kinds} == here
    assert {kind.library for kind in kinds} <= {"NumPy", "PyTorch"}
    with DenseChildren(1) as children:
        for _, child, _ in children._children:
            child.kill()
        assert children.steps((20, 16, 4), 8) == []


def test_pytorch_with_another_allocator():
    pytest.importorskip("torch")
    if not has_tuned_malloc():
        pytest.skip("needs glibc")
    case = NetworkCase((3072, 10), 2, (0.5,), 1, "lenet-5-caffe", "uniform")
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


def test_only_the_chosen_rivals_run():
    train = Train("quick", 1, rivals=("dense NumPy",))
    mlp, images, text = (train.case(name, (0.9,), 1) for name in ("4-2", "vgg-like", "gpt-nano"))
    assert [r.name for r in train.rivals_of(mlp)] == ["dense NumPy"]
    assert not train.rivals_of(images)
    assert not train.rivals_of(text)
    with pytest.raises(ParameterError, match="rival"):
        Train("quick", 1, rivals=("nobody",))


def test_steps_learn():
    """Every contestant really trains: on one batch again and again, its loss falls."""
    case = Train("quick", 1, models=["20-32-4"], batch=64).cases()[0]
    batches = Batches(case)
    batches.order = batches.order[:1].repeat(8, axis=0)
    ours = OurStep(case, Variant(0.5), batches)
    before = {n: p.data.copy() for n, p in ours.trainer.network.parameters().items()}
    ours.step()
    assert all((p.data != before[n]).any() for n, p in ours.trainer.network.parameters().items())
    for rival in RIVALS:
        if not (rival.images or rival.text) and rival.is_installed():
            rival(case, batches).step()


def test_language_models():
    torch = pytest.importorskip("torch")
    case = Train("quick", 1, models=["gpt:layers=1,heads=2,width=8,block=6"], batch=3).cases()[0]
    assert (case.sizes[0], case.tokens) == (6, 18)
    ours = OurStep(case, Variant(0.5), Batches(case))
    ours.step()
    for rival in (TorchTextStep, OneDNNTextStep):
        theirs = rival(case, Batches(case))
        before = [p.detach().clone() for p in theirs.network.parameters()]
        theirs.step()
        after = theirs.network.parameters()
        assert all(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    ids, whole = torch.arange(12).reshape(2, 6), theirs.network
    with torch.no_grad():
        memory = whole.memory(2)
        found = [whole.step(ids[:, i : i + 1], memory, i) for i in range(6)]
        torch.testing.assert_close(torch.cat(found, dim=1), whole(ids), atol=1e-5, rtol=0)
    token = OurToken(case, Variant(0.5), np.arange(3))
    assert token.predict().shape == (3, case.sizes[1])
    assert np.array_equal(token.predict(), token.predict())


_TINY = "gpt:layers=2,heads=2,width=32,block=6"


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_a_twin_of_fewer_layers_is_as_dense_as_ours(distribution):
    case = NetworkCase.parse(_TINY, (0.9,), 1, distribution=distribution)
    block = [(96, 32), (32, 32), (128, 32), (32, 128)]
    shapes = [*block, *block, (96, 32)]
    found = list(twin_densities(case, 0.9, shapes))
    wanted = case.sparse(Variant(0.9)).build().nnz
    assert sum(d * i * o for d, (i, o) in zip(found, shapes, strict=True)) == pytest.approx(wanted)
    assert (max(found) - min(found) < 0.01) == (distribution == "uniform")


def test_language_models_of_sparselab():
    """As many weights as ours, but for chance; all are trained, and nothing stays behind."""
    torch, sparselab = (pytest.importorskip(name) for name in ("torch", "sparselab"))
    case = NetworkCase.parse(_TINY, (0.8,), 1, batch=3)
    ours = OurStep(case, Variant(0.8), Batches(case))
    theirs, losses = SparseLabStep(case, Batches(case), Variant(0.8)), []
    modules = list(theirs.network.modules())
    layers = [m for m in modules if isinstance(m, sparselab.SparseLinear)]
    assert not any(isinstance(m, torch.nn.Linear) for m in modules)
    assert [(m.out_features, m.in_features) for m in layers[:2]] == [(96, 32), (32, 32)]
    nnz = ours.network.nnz
    assert abs(sum(layer.nnz for layer in layers) - nnz) < 5 * (0.8 * nnz) ** 0.5
    before = [p.detach().clone() for p in theirs.network.parameters()]
    loss = theirs.loss
    theirs.loss = lambda *both: losses.append(loss(*both)) or losses[-1]
    theirs.step()
    after = list(theirs.network.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert torch.isfinite(losses[0])
    theirs.close()
    assert not sparselab.ops._transpose_cache


def test_sparselab_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    here, missing = installed(RIVALS)
    assert SparseLabStep not in here
    assert missing["SparseLab"] == "pip install sparselab"


def test_steps_of_convolutional_networks():
    case = Train("quick", 1, models=["lenet-5-caffe"], batch=16).cases()[0]
    assert (case.batch, case.distribution, str(case)) == (16, "uniform", "lenet-5-caffe")
    batches = Batches(case)
    ours = OurStep(case, Variant(0.9), batches)
    ours.step()
    assert ours.trainer.steps_done == 1
    assert set(ours.parts()) >= {"forward", "backward"}
    for rival in RIVALS:
        if rival.images and rival.is_installed():
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
