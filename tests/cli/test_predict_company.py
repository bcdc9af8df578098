"""``sparsecpu predict`` gives a sample the same bits alone and in any file."""

import json

import numpy as np
from commands import TINY, run


def test_a_sample_is_predicted_alike_alone_and_among_others(tmp_path, rng):
    X = rng.standard_normal((140, 30)).astype(np.float32)
    np.savez(tmp_path / "all.npz", x=X, y=np.digitize(X[:, 0], [-0.5, 0.5]))
    done = run("train", tmp_path / "all.npz", *TINY, "--density", "0.3", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output

    def predicted(rows, threads):
        np.savez(tmp_path / "some.npz", x=X[rows])
        done = run("predict", tmp_path / "run", tmp_path / "some.npz", "--proba", "--json",
                   "--threads", threads)  # fmt: skip
        found = json.loads(done.stdout)
        return np.array(found["probabilities"]), np.array(found["predictions"])

    probabilities, labels = predicted(np.arange(140), 1)
    order = rng.permutation(140)
    for number, rows in enumerate((order, order[:40], order[:1], order[1:3], order[3:12])):
        found = predicted(rows, 1 + number % 2)
        np.testing.assert_array_equal(found[0], probabilities[rows])
        np.testing.assert_array_equal(found[1], labels[rows])
