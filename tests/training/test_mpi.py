"""Training on several ranks is training on one, and ranks that differ are refused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sparsecpu.callbacks import Callback
from sparsecpu.errors import RankError
from sparsecpu.estimators import SparseMLPClassifier
from sparsecpu.files.model import load
from sparsecpu.layers import (
    BatchNorm,
    Flatten,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    SparseConv2d,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy, TokenCrossEntropy
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from sparsecpu.step.ranks import ALONE
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import checksum, communicator
from tests.ranks import together

SAMPLES, BATCH = 75, 32  # the last batch has 11 samples


def dense_network(dtype, **options):
    described = mlp((40,), (60, 50), 5, **options)
    return described.sparsify(0.2).build(np.random.default_rng(1), dtype=dtype)


def conv_network(dtype, **_):
    rng = np.random.default_rng(1)
    own = {"rng": rng, "density": 0.3, "dtype": dtype}
    inner = [SparseConv2d(8, 8, 3, padding=1, **own), BatchNorm(8, dtype=dtype), ReLU()]
    return Sequential(
        [
            SparseConv2d(3, 8, 3, padding=1, **own), BatchNorm(8, dtype=dtype), ReLU(),
            Residual(inner), MaxPool2d(2), Flatten(), SparseLinear(72, 5, rng=rng, density=0.5,
                                                                   dtype=dtype),
        ],
        (3, 6, 6),
    )  # fmt: skip


def token_network(dtype, **_):
    layers = [LayerSpec("embedding", {"vocabulary": 5, "features": 12}),
              LayerSpec("attention", {"features": 12, "heads": 2, "causal": True}),
              LayerSpec("linear", {"out_features": 5, "nnz": None})]  # fmt: skip
    described = Architecture((20,), tuple(layers)).sparsify(0.4)
    return described.build(np.random.default_rng(1), dtype=dtype)


def samples(network):
    rng = np.random.default_rng(0)
    if network.reads_tokens:
        return rng.integers(0, 5, (2, SAMPLES, *network.input_shape))
    x = rng.standard_normal((SAMPLES, *network.input_shape))
    return x, rng.integers(0, 5, SAMPLES)


def trained(make, comm=None, topology="static", epochs=1, dtype=np.float32, **options):
    network = make(dtype, **options.pop("model", {}))
    every = {} if topology == "static" or "every" in topology else {"update_every": 3}
    trainer = Trainer(
        network, loss=TokenCrossEntropy() if network.reads_tokens else SoftmaxCrossEntropy(),
        topology=make_topology(topology, **every),
        learning_rate=0.05, batch_size=BATCH, epochs=epochs, threads=1, comm=communicator(comm),
        **options,
    )  # fmt: skip
    weights = np.linspace(0.5, 1.5, SAMPLES)
    trainer.fit(*samples(network), sample_weight=weights)
    return network


def compare(one, many, tolerance):
    for name, parameter in one.parameters().items():
        other = many.parameters()[name].data
        scale = max(np.abs(parameter.data).max(), 0.01)  # a bias before a norm learns nothing
        np.testing.assert_allclose(other, parameter.data, rtol=0, atol=tolerance * scale)
    for name, buffer in one.buffers().items():
        np.testing.assert_allclose(many.buffers()[name], buffer, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (dense_network, {}),
        (dense_network, {"model": {"batch_norm": True}}),
        (dense_network, {"lean": True}),
        (conv_network, {}),
        (token_network, {}),
        (token_network, {"topology": "sparse-momentum:source=window", "epochs": 2}),
    ],
    ids=["mlp", "batch-norm", "lean", "cnn", "tokens", "tokens-window"],
)
def test_the_same_weights_as_one_rank(ranks, make, options):
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 1e-5)):
        one = trained(make, dtype=dtype, **options)
        many = together(ranks, lambda comm: trained(make, comm, dtype=dtype, **options))  # noqa: B023
        compare(one, many[0], tolerance)
        assert len({checksum(network.parameters().values()) for network in many}) == 1


def test_ranks_without_a_sample():
    # 12 ranks share a last batch of 11.
    many = together(12, lambda comm: trained(dense_network, comm, dtype=np.float64))
    compare(trained(dense_network, dtype=np.float64), many[0], 1e-11)


def overlap(one, many):
    pairs = zip(one.sparse_parameters().values(), many.sparse_parameters().values(), strict=True)
    return [
        len(np.intersect1d(a.pattern.keys(), b.pattern.keys())) / max(1, a.nnz) for a, b in pairs
    ]


@pytest.mark.parametrize("make", [dense_network, conv_network], ids=["mlp", "cnn"])
@pytest.mark.parametrize(
    "topology",
    ["sparse-momentum", "sparse-momentum:source=candidates,window=2", "rigl", "set",
     "dsr:threshold=0.05,update_every=1", "deep-r", "gse",
     "gse:distribution=grabo", "gse:distribution=graest"],
)  # fmt: skip
def test_all_ranks_have_the_same_pattern(make, topology):
    options = {"topology": topology, "epochs": 4, "dtype": np.float64}
    one = trained(make, **options)
    many = together(2, lambda comm: trained(make, comm, **options))
    assert checksum(many[0].parameters().values()) == checksum(many[1].parameters().values())
    before = make(np.float64)
    assert min(overlap(one, before)) < 1.0  # it did change
    if not (make is conv_network and "graest" in topology):  # signs are drawn rank by rank there
        assert min(overlap(one, many[0])) >= 0.99


def test_dropout_differs_between_ranks_and_is_resumed():
    def streams(comm):
        trainer = Trainer(dense_network(np.float32), loss=SoftmaxCrossEntropy(),
                          comm=communicator(comm))  # fmt: skip
        values, arrays = trainer.state()
        first = trainer.rngs["dropout"].random(), trainer.rngs["order"].random()
        values = comm.bcast(values)  # a checkpoint is rank 0's
        trainer.load_state(values, arrays, SAMPLES)
        return first, (trainer.rngs["dropout"].random(), trainer.rngs["order"].random())

    (a, again_a), (b, again_b) = together(2, streams)
    assert (a, b) == (again_a, again_b)
    assert a[0] != b[0]
    assert a[1] == b[1]


def test_one_rank_is_alone():
    assert together(1, communicator) == [ALONE]


def test_ranks_that_differ_are_refused():
    def work(comm):
        ours = communicator(comm)
        ours.check_same("data", "as good")
        ours.check_same("data", f"rank {ours.rank}")

    with pytest.raises(RankError, match="rank 1"):
        together(2, work)

    def different(comm):
        network = dense_network(np.float32)
        parameter = network.parameters()["0.weight"]
        parameter.data[0] += comm.rank
        communicator(comm).check_network(network.parameters().values())

    with pytest.raises(RankError):
        together(2, different)


def test_an_interruption_ends_all_ranks_at_the_same_step():
    class Break(Callback):
        def __init__(self, mine):
            self.mine = mine

        def on_step(self, trainer, loss):
            if self.mine and trainer.steps_done == 2:
                trainer.interrupted = True

    def work(comm):
        network = dense_network(np.float32)
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), batch_size=8, epochs=3, comm=communicator(comm),
            callbacks=[Break(comm.rank == 1)],
        )  # fmt: skip
        trainer.fit(*samples(network))
        return trainer.steps_done

    assert together(2, work) == [3, 3]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_share_their_batches():
    x, y = samples(dense_network(np.float32))
    names = np.array(list("abcde"))[y]

    def fitted(comm=None):
        model = SparseMLPClassifier(
            (30,), density=0.3, topology="gse", max_iter=4, batch_size=BATCH, comm=comm,
            random_state=None if comm else 3, dtype="float64", early_stopping=True, n_jobs=1,
        )  # fmt: skip
        return model.fit(x, names)

    models = together(2, fitted)  # without a seed of their own: rank 0's
    assert len({checksum(m.network_.parameters().values()) for m in models}) == 1
    np.testing.assert_array_equal(models[0].predict(x), models[1].predict(x))
    assert fitted().loss_curve_  # and one rank needs none of it


needs_mpi = pytest.mark.skipif(
    not shutil.which("mpiexec", path=os.path.dirname(sys.executable)), reason="no mpiexec"
)


def command(ranks, *words):
    launcher = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    return [launcher, "-n", str(ranks), sys.executable, "-m", "sparsecpu", *map(str, words)]


def run(*words):
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=300)


@needs_mpi
def test_mpiexec_trains_resumes_and_refuses(tmp_path):
    pytest.importorskip("mpi4py")
    options = ["digits", "--epochs", 2, "--topology", "gse", "--json"]
    for ranks in (1, 2):
        done = run(ranks, "train", *options, "--out", tmp_path / f"{ranks}")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["ranks"] == ranks
    plain = subprocess.run(
        [sys.executable, "-m", "sparsecpu", "train", *map(str, options), "--out", tmp_path / "0",
         "--no-dense-timing"], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert plain.returncode == 0
    assert (tmp_path / "0/model.npz").read_bytes() == (tmp_path / "1/model.npz").read_bytes()
    one, two = (load(tmp_path / f"{ranks}/model.npz")[0] for ranks in (1, 2))
    assert min(overlap(one, two)) >= 0.99
    # Data that are another's on one rank.
    rng = np.random.default_rng(0)
    script = tmp_path / "data.sh"
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", x=rng.random((60, 4)), y=np.arange(60) % 3)
    script.write_text(
        f"cd {tmp_path}; mkdir w$PMI_RANK\n"
        'if [ "$PMI_RANK" = 0 ]; then cp a.npz w0/d.npz; else cp b.npz w1/d.npz; fi\n'
        f"cd w$PMI_RANK; exec {sys.executable} -m sparsecpu train d.npz --epochs 1\n"
    )
    launcher = command(2)[0]
    done = subprocess.run(
        [launcher, "-n", "2", "sh", script], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("sparsecpu:") == 1
    assert "training data" in done.stderr


@needs_mpi
def test_a_killed_rank_ends_the_job_and_one_rank_goes_on(tmp_path):
    pytest.importorskip("mpi4py")
    words = ["train", "digits", "--epochs", 60, "--out", tmp_path / "run"]
    job = subprocess.Popen(command(2, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(random.Random(0).uniform(0.0, 0.3))
    found = subprocess.run(["pgrep", "-f", f"train digits.*{tmp_path}"], capture_output=True,
                           text=True).stdout.split()  # fmt: skip
    ranks = [int(p) for p in found if "mpiexec" not in Path(f"/proc/{p}/cmdline").read_text()]
    assert len(ranks) >= 2
    os.kill(ranks[-1], signal.SIGKILL)
    began = time.monotonic()
    message = job.communicate(timeout=30)[0]
    assert time.monotonic() - began < 30
    assert job.returncode != 0
    assert message.strip()
    done = subprocess.run(
        [sys.executable, "-m", "sparsecpu", "train", "--resume", tmp_path / "run", "--json",
         "--no-dense-timing"], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test_accuracy"] > 0.9
