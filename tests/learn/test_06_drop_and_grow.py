"""Chapter 6. Drop and grow: how SET and RigL choose what to rewire.

    | 2  .  1  . |
    | . -1  .  . |    five weights; an update replaces int(0.45 * 5) = 2 of them
    | .  3  . -2 |

Training lasts two steps, with an update between them. A prune rate of 0.9 at the start falls along
a cosine, so half way it is about 0.45.
"""

import numpy as np
from scipy.sparse import csr_array

from sparsecpu import Trainer
from sparsecpu.callbacks import Callback
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.losses import SquaredError
from sparsecpu.optimizers import SGD
from sparsecpu.topology import SET, RigL

SAMPLES = np.array([[1, 2, 3, 4], [0, 1, 0, -1]])
OUTPUTS = np.array([[5.5, -2, -3], [0.5, -1, 4]])


class Look(Callback):
    """Keeps the matrix as it is right after the update."""

    def on_update(self, trainer, report):
        parameter = trainer.network.layers[0].weight
        self.report, self.pattern = report, parameter.pattern
        self.matrix = parameter.to_scipy().toarray()


def after_one_update(topology, targets):
    weights = np.array([[2, 0, 1, 0], [0, -1, 0, 0], [0, 3, 0, -2]])
    network = Sequential([SparseLinear.from_scipy(csr_array(weights), [0.5, 0, -1])])
    look = Look()
    Trainer(network, loss=SquaredError(), optimizer=SGD(momentum=0.0), topology=topology,
            batch_size=2, epochs=2, callbacks=[look]).fit(SAMPLES, targets)  # fmt: skip
    assert look.report.layers["0.weight"]["dropped"] == look.report.layers["0.weight"]["grown"] == 2
    return look


def test_set_drops_the_smallest_and_grows_at_random():
    # The targets are the outputs, so that gradients are 0 and the step before trains nothing.
    look = after_one_update(SET(prune_rate=0.9, update_every=1), targets=OUTPUTS)
    # 1 and -1 are nearest zero and go. The two new weights, at random, start at 0.
    assert look.matrix.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [0, 3, 0, -2]]
    was, now = {(0, 0), (0, 2), (1, 1), (2, 1), (2, 3)}, {(0, 0), (2, 1), (2, 3)}
    found = {divmod(key, 4) for key in look.pattern.keys().tolist()}
    assert len(found) == 5
    assert now < found
    assert not (found - now) & was  # where a weight was dropped, none comes back at once


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    # The outputs are told [[1, 0, -2], [0, 2, 1]], as in chapter 2, and so the dense gradient is
    #
    #     |  1   2   3   4 |
    #     |  0   2   0  -2 |
    #     | -2  -3  -6  -9 |
    #
    # 1 and -1 are dropped. Where no weight is then, -6 at (2, 2) and 4 at (0, 3) are the largest.
    # The step that RigL looks at trains nothing.
    targets = OUTPUTS - [[2, 0, -4], [0, 4, 2]]
    look = after_one_update(RigL(prune_rate=0.9, update_every=1, stop_after=1.0), targets)
    assert look.matrix.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [0, 3, 0, -2]]
    found = [divmod(key, 4) for key in look.pattern.keys().tolist()]
    assert found == [(0, 0), (0, 3), (2, 1), (2, 2), (2, 3)]
