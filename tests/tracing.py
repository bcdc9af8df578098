"""Networks that are always sparse, trained under a watch for arrays of the size of a dense one."""

import contextlib
import sys
import tracemalloc

import numpy as np

from sparsecpu.layers import (
    BatchNorm,
    GlobalAvgPool2d,
    ReLU,
    Sequential,
    SparseConv2d,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

WIDTH, CHANNELS, DENSITY, BATCH = 3000, 600, 0.003, 16
RULES = [
    "sparse-momentum:source=window,window=3,update_every=4",
    "sparse-momentum:source=tiles,window=1,growth_memory=2e6,update_every=8,prune_rate=0.3",
    "sparse-momentum:source=candidates,window=3,update_every=5",
    "sparse-momentum:source=lowrank,rank=4,window=3,update_every=4",
    "sparse-momentum:source=candidates,proposal=lowrank,rank=4,window=3,update_every=6,"
    "candidate_factor=1.0",
    "sparse-momentum:source=lowrank,growth=random,pruning=global,update_every=4",
    "set:update_every=4",
    "set:update_every=4,variant=paper,revive=true",
    "rigl:update_every=6",
    "gse:update_every=4,subset=2.0",
    "gse:update_every=4,distribution=grabo,scope=global",
    "gse:update_every=4,distribution=graest",
    "dsr:update_every=2",
    "deep-r:update_every=4,noise=1e-2",
    "gradual:update_every=4,density=0.002",
    "static",
]


class Watch:
    """Asks after every instruction of Python's how much memory was taken since the one before."""

    def __init__(self):
        self.most, self.where, self.held = 0, "", 0

    def __call__(self, frame, event, argument):
        frame.f_trace_opcodes = True
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        if peak - self.held > self.most:
            self.most = peak - self.held
            self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        self.held = held
        return self

    def __enter__(self):
        self.before = sys.gettrace()
        tracemalloc.start()
        sys.settrace(self)
        return self

    def __exit__(self, *exception):
        sys.settrace(self.before)
        tracemalloc.stop()


@contextlib.contextmanager
def nothing_dense(shape):
    """Fail if a step of the program allocates a byte per position of a matrix of this shape."""
    with Watch() as watch:
        yield
    assert watch.most < np.prod(shape), watch.where


def linear_network(width=WIDTH, density=DENSITY, **options):
    rng = np.random.default_rng(1)
    kept = max(density, 4 / width)
    return Sequential(
        [SparseLinear(width, width, density=kept, rng=rng, **options), ReLU(),
         SparseLinear(width, width, density=kept, rng=rng, **options), ReLU(),
         SparseLinear(width, 10, density=0.1, rng=rng)],
    )  # fmt: skip


def conv_network(channels=CHANNELS):
    rng = np.random.default_rng(1)
    kept = 3 / channels
    return Sequential(
        [SparseConv2d(channels, channels, 3, padding=1, density=kept, rng=rng, bias=False),
         BatchNorm(channels), ReLU(),
         SparseConv2d(channels, channels, 3, padding=1, density=kept, rng=rng, bias=False),
         BatchNorm(channels), ReLU(), GlobalAvgPool2d(), SparseLinear(channels, 10, rng=rng)],
        (channels, 2, 2),
    )  # fmt: skip


MADE = {"linear": linear_network, "conv": conv_network}
#: The shape of the matrices that must never be.
LARGE = {"linear": (WIDTH, WIDTH), "conv": (CHANNELS, CHANNELS * 9)}


def samples(network):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6 * BATCH, np.prod(network.input_shape)), dtype=np.float32)
    return x, rng.integers(0, 10, 6 * BATCH)


def train(network, rule, optimizer, x, y, **options):
    """Return how many updates there were."""
    updates = []

    class Count:
        def __getattr__(self, hook):
            return lambda *args: None

        def on_update(self, trainer, report):
            updates.append(report)

    Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=optimizer, topology=make_topology(rule),
            learning_rate=0.01, batch_size=BATCH, epochs=2, callbacks=[Count()],
            **options).fit(x, y)  # fmt: skip
    return len(updates)


def watched(action, made):
    """Do something twice: the first time imports and compiles, the second time is watched."""
    network = MADE[made]()
    x, y = samples(network)
    action(network, x, y)
    network = MADE[made]()
    with nothing_dense(LARGE[made]):
        return action(network, x, y)
