"""Chapter 8. A model file: the pattern and the values of every layer, and a description."""

import numpy as np
from scipy.sparse import csr_array

from sparsecpu import load, save
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.networks.description import Architecture

WEIGHTS = np.array([[2, 0, 1, 0], [0, -1, 0, 0], [0, 3, 0, -2]])
SAMPLES = np.array([[1, 2, 3, 4], [0, 1, 0, -1]])
DESCRIPTION = {
    "name": "one layer",
    "input_shape": [4],
    "layers": [{"kind": "linear", "out_features": 3}],
}


def test_written_and_read_back(tmp_path):
    network = Sequential([SparseLinear.from_scipy(csr_array(WEIGHTS), [0.5, 0, -1])])
    path = tmp_path / "model.npz"
    save(network, path, Architecture.from_dict(DESCRIPTION), facts={"note": "chapter 8"})

    with np.load(path) as file:  # an ordinary NumPy archive
        assert file["0.weight.indptr"].tolist() == [0, 2, 3, 5]
        assert file["0.weight.indices"].tolist() == [0, 2, 1, 1, 3]
        assert file["0.weight.data"].tolist() == [2, 1, -1, 3, -2]
        assert file["0.bias.data"].tolist() == [0.5, 0, -1]

    again, facts = load(path)
    assert facts == {"note": "chapter 8"}
    assert again.layers[0].weight.pattern == network.layers[0].weight.pattern
    assert again.predict(SAMPLES).tolist() == [[5.5, -2, -3], [0.5, -1, 4]]
