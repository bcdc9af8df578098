"""Runs on blobs of points, and what is compared of two of them."""

import numpy as np

from sparsecpu.layers import BatchNorm, Dropout, ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.step.streams import streams
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer


def blobs(samples=300, features=20, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, samples)
    centres = 1.5 * rng.standard_normal((classes, features))
    return (rng.standard_normal((samples, features)) + centres[y]).astype(np.float32), y


def trainer(callbacks=(), threads=None, epochs=4, seed=3, batch=32, **options):
    rng = streams(seed)["init"]
    network = Sequential(
        [
            SparseLinear(20, 150, density=0.2, rng=rng),
            BatchNorm(150),
            ReLU(),
            Dropout(0.2),
            SparseLinear(150, 60, density=0.2, rng=rng),
            ReLU(),
            SparseLinear(60, 4, density=1.0, rng=rng),
        ]
    )
    options.setdefault("learning_rate", 0.03)
    options.setdefault("topology", SparseMomentum())
    return Trainer(
        network,
        loss=SoftmaxCrossEntropy(0.1),
        batch_size=batch,
        epochs=epochs,
        seed=seed,
        threads=threads,
        callbacks=callbacks,
        **options,
    )


def everything(t):
    found = {}
    for name, p in t.network.parameters().items():
        for key, values in p.vectors().items():
            found[f"{name} {key}"] = values
        if hasattr(p, "pattern"):
            found[f"{name} keys"] = p.pattern.keys()
    return {**found, **t.network.buffers()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
