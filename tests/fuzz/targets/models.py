"""Model files: networks, and what they know of their data."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from sparsecpu.cli.inspect import examine, table
from sparsecpu.datasets import Columns
from sparsecpu.experiments.trained_models import layout_of, read_model
from sparsecpu.files.model import load_all, save
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from tests.fuzz.alter_saved import Saved
from tests.fuzz.target import Target


def _networks():
    rng = np.random.default_rng(0)
    vector = mlp(6, (9, 7), 3, batch_norm=True, dropout=0.1, activation="all_relu").sparsify(0.4)
    inner = {"out_channels": 3, "kernel_size": 3, "padding": 1, "nnz": None, "bias": False}
    branch = [{"kind": "conv2d", **inner}, {"kind": "batch_norm"}]
    short = [{"kind": "subsample", "channels": 3, "stride": 1}]
    images = Architecture(
        (2, 5, 5),
        (
            LayerSpec("residual", {"branch": branch, "shortcut": short}), LayerSpec("relu"),
            LayerSpec("max_pool2d", {"kernel_size": 2}), LayerSpec("flatten"),
            LayerSpec("linear", {"out_features": 2, "nnz": None, "gain": 1.0}),
        ),
    ).sparsify(0.5)  # fmt: skip
    first = vector.build(rng)
    first.offset, first.scale = rng.random((2, 6)).astype(np.float32)
    for buffer in first.buffers().values():
        buffer[...] = rng.random(buffer.shape)
    classes = {"task": "classification", "classes": ["a", "b", "c"], "metrics": {"accuracy": 0.5}}
    columns = Columns(("p", "q", "7", "s"), "kind", "text", {"q": ("x", "y", "z")}, ("NA",),
                      ("id",), order=("id", "p", "q", "7", "s", "kind"))  # fmt: skip
    classes |= {"columns": columns.to_dict(), "training_data": {"samples": 9, "mark": "0a"}}
    scales = {"task": "regression", "target_mean": [0.0, 1.0], "target_scale": [1.0, 2.0],
              "first_feature": 1}  # fmt: skip
    grouped = mlp(6, (9, 7), 3).sparsify(0.4).in_groups(4).build(rng)
    return (first, classes), (images.build(rng, dtype=np.float64), scales), (grouped, {})


@cache
def _saved():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for network, facts in _networks():
            save(network, Path(folder, "m.npz"), facts=facts)
            found.append(Saved(Path(folder, "m.npz").read_bytes()))
    return found


class Models(Target):
    """``load_all``, and what is done with a model afterwards."""

    name = "models"
    seconds = 15.0  # beside other work on a busy machine

    def valid(self):
        return [{"m.npz": saved.content} for saved in _saved()]

    def case(self, rng):
        return {"m.npz": rng.choice(_saved()).altered(rng)}

    def read(self, folder):
        network, header, _ = load_all(folder / "m.npz")
        for name, parameter in network.sparse_parameters().items():
            assert np.isfinite(parameter.data).all()
            assert parameter.pattern.shape == network.parameters()[name].shape
        assert str(header["architecture"])
        assert len(network.architecture.weight_shapes()) == len(network.sparse_parameters())
        features = int(np.prod(network.input_shape))
        if max(features, *network.widths) <= 1 << 16:
            with np.errstate(all="ignore"):  # weights may be as large as they like
                found = network.predict(np.zeros((3, features)))
            assert found.shape == (3, network.n_outputs)
            assert table(examine(str(folder / "m.npz"))[2])
        if "task" in header["facts"]:
            layout = layout_of(*read_model(folder / "m.npz"))
            assert layout.columns is None or layout.columns.n_features == layout.features


TARGET = Models()
