import os
import sys

import numpy as np
import pytest
from blob_runs import assert_same, blobs, everything, trainer

from sparsecpu.callbacks import (
    Callback,
)
from sparsecpu.errors import DataError, DivergedError, ParameterError
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer


def test_it_learns():
    x, y = blobs()
    t = trainer(epochs=15).fit(x, y)
    assert (t.network.predict(x).argmax(axis=1) == y).mean() > 0.95


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
@pytest.mark.parametrize("batch", [32, 130])
def test_threads_do_not_change_a_bit(batch):
    x, y = blobs()
    one = trainer(threads=1, batch=batch).fit(x, y)
    two = trainer(threads=2, batch=batch).fit(x, y)
    assert_same(everything(one), everything(two))


def test_seeds_decide():
    x, y = blobs()
    assert_same(everything(trainer().fit(x, y)), everything(trainer().fit(x, y)))
    a, b = trainer(seed=3).fit(x, y), trainer(seed=4).fit(x, y)
    assert not np.array_equal(a.network.layers[0].weight.data, b.network.layers[0].weight.data)


class StopAfter(Callback):
    def __init__(self, steps):
        self.steps = steps

    def on_step(self, trainer, loss):
        if trainer.steps_done == self.steps:
            trainer.interrupted = True


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("steps", [1, 9, 10, 13, 27])
@pytest.mark.parametrize("source", ["window", "tiles", "candidates"])
def test_resume_is_bit_for_bit(steps, source, optimizer, tmp_path):
    from sparsecpu.files.archive import read_arrays, write_arrays

    def make(callbacks=()):
        topology = SparseMomentum(source=source, growth_memory=30_000, window=4)
        return trainer(callbacks, topology=topology, optimizer=optimizer())

    x, y = blobs()
    whole = make().fit(x, y)
    broken = make([StopAfter(steps)]).fit(x, y)
    assert broken.steps_done == steps
    values, arrays = broken.state()
    write_arrays(tmp_path / "state.npz", {"values": values}, arrays)
    header, arrays = read_arrays(tmp_path / "state.npz")
    resumed = make([StopAfter(-1)])
    for name, p in broken.network.parameters().items():
        new = resumed.network.parameters()[name]
        if hasattr(p, "pattern"):
            new.restore(p.pattern, {"data": p.data.copy(), "grad": p.grad.copy()})
        else:
            new.data, new.grad = p.data, p.grad
    for name, buffer in broken.network.buffers().items():
        resumed.network.buffers()[name][...] = buffer
    resumed.load_state(header["values"], arrays, len(x))
    resumed.fit(x, y)
    a, b = everything(whole), everything(resumed)
    assert_same(*({k: v for k, v in d.items() if "grad" not in k} for d in (a, b)))


def test_a_loss_that_is_not_finite_names_the_step():
    x, y = blobs()
    with pytest.raises(DivergedError) as caught:
        trainer(learning_rate=1e12, epochs=30).fit(x, y)
    assert caught.value.step > 0
    assert str(caught.value.step) in str(caught.value)
    x[7, 3] = np.nan
    with pytest.raises(DivergedError):
        trainer(epochs=1).fit(x, y)


def test_sample_weights_choose_what_is_learnt():
    x, y = blobs()
    wrong = (y + 1) % 4
    weights = np.r_[np.ones(len(x)), np.zeros(len(x))]
    t = trainer(epochs=15).fit(np.r_[x, x], np.r_[y, wrong], weights)
    assert (t.network.predict(x).argmax(axis=1) == y).mean() > 0.9


def test_bad_arguments():
    x, y = blobs()
    for bad in (dict(batch=0), dict(epochs=-1), dict(learning_rate=0.0), dict(learning_rate=-1.0)):
        with pytest.raises(ParameterError):
            trainer(**bad)
    for threads in (0, -1, 10_000, 1.5):
        with pytest.raises(ParameterError, match="threads"):
            trainer(threads=threads).fit(x, y)
    with pytest.raises(DataError):
        trainer().fit(x, y[:-1])
    with pytest.raises(DataError):
        trainer().fit(x[:0], y[:0])
    with pytest.raises(DataError):
        trainer().fit(x[:, :5], y)
    with pytest.raises(DataError):
        trainer().fit(x, y, np.ones(3))
    with pytest.raises(ParameterError, match="targets"):
        trainer().fit(x, y + 10)


def test_blas_threads_are_as_before():
    from threadpoolctl import threadpool_info

    def counts():
        return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

    before, inside = counts(), []

    class Look(Callback):
        def on_step(self, trainer, loss):
            inside.append(counts())

    x, y = blobs()
    trainer([Look()], epochs=1).fit(x, y)
    assert set(inside[0]) == {1}
    assert counts() == before


def test_little_work_is_not_shared_unless_asked_for():
    small = trainer()
    assert small.team == 1
    assert trainer(threads=2).team == 2
    small.batch_size = 10**9
    assert small.team is None  # all of them


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_in_16_bits(precision, rng):
    """Wide layers read copies; what is learnt stays near, and any number of threads agrees."""
    from sparsecpu.kernels.machine.threads import use_threads

    x = rng.standard_normal((512, 200)).astype(np.float32)
    y = (x[:, :3] @ rng.standard_normal((3, 4))).argmax(axis=1)

    def train(precision, threads):
        network = mlp((200,), (256, 256), 4).sparsify(0.2).build(np.random.default_rng(0))
        trainer = Trainer(network, loss=SoftmaxCrossEntropy(), epochs=4, batch_size=128,
                          learning_rate=0.1, threads=threads, precision=precision)  # fmt: skip
        assert any(p.nnz >= 12 * p.shape[1] for p in network.sparse_parameters().values())
        with use_threads(threads):
            trainer.fit(x, y)
        return network

    exact, narrow, again = train("fp32", 1), train(precision, 1), train(precision, 2)
    a, b, c = (net.parameters()["2.weight"].data for net in (exact, narrow, again))
    np.testing.assert_array_equal(b, c)
    assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()
    agree = exact.predict(x).argmax(axis=1) == narrow.predict(x).argmax(axis=1)
    assert agree.mean() > 0.97


def test_precision_is_checked():
    network = mlp((4,), (3,), 2).build(np.random.default_rng(0), dtype=np.float64)
    for precision in ("fp8", "bf16"):  # an unknown one, and one that float64 cannot have
        with pytest.raises(ParameterError, match="precision"):
            Trainer(network, loss=SoftmaxCrossEntropy(), precision=precision)


def test_a_step_goes_straight():
    """A warm step of three layers makes few Python calls; what is constant was found out before."""
    x, y = blobs()
    network = mlp(20, (30, 20), 4).sparsify(0.3).build(np.random.default_rng(0))
    t = Trainer(network, loss=SoftmaxCrossEntropy(), batch_size=32, epochs=1, threads=1)
    source, targets, rows = network.samples(x), t.loss.prepare(y, 4), np.arange(32)
    t.start(len(x))
    calls = []
    with t.machine():
        for _ in range(3):
            t.step(source, targets, rows)
        sys.setprofile(lambda frame, event, _: calls.append(frame) if event == "call" else None)
        t.step(source, targets, rows)
        sys.setprofile(None)
    ours = [frame for frame in calls if "hypothesis" not in frame.f_code.co_filename]
    assert len(ours) <= 120
