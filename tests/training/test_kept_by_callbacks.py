"""A run that a callback keeps behind any step, those that end an epoch or a pass too, goes on."""

from copy import deepcopy

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.callbacks import Callback
from sparsecpu.errors import FileFormatError
from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.topology import make_topology

SAMPLES = 22  # six steps: in a run of 17, an epoch has 2 of them, and a pass ends within the last


class Watch(Callback):
    """Keep the run behind each step, and what is told about epochs."""

    def __init__(self):
        self.kept, self.records = [], []

    def on_step(self, trainer, loss):
        values, arrays = trainer.state()
        arrays = {name: array.copy() for name, array in arrays.items()}
        network = {name: deepcopy(p) for name, p in trainer.network.parameters().items()}
        self.kept.append((deepcopy(values), arrays, network))

    def on_epoch_end(self, trainer, record):
        self.records.append({k: record[k] for k in ("epoch", "step", "loss", "learning_rate")})


def trainer_of(watch, how, parameters=None):
    rng = np.random.default_rng(0)
    layers = [SparseLinear(6, 9, density=0.5, rng=rng), ReLU(), SparseLinear(9, 3, rng=rng)]
    for i, layer in enumerate(layers if parameters else ()):
        if layer.parameters():
            layers[i] = SparseLinear.from_parameters(
                parameters[f"{i}.weight"], parameters[f"{i}.bias"].data
            )
    return Trainer(
        Sequential(layers, (6,)), loss=SoftmaxCrossEntropy(), optimizer=SGD(), seed=3,
        learning_rate=0.1, topology=make_topology("set:update_every=2"), batch_size=4,
        callbacks=[watch], **how,
    )  # fmt: skip


def data():
    rng = np.random.default_rng(1)
    return rng.standard_normal((SAMPLES, 6)), rng.integers(0, 3, SAMPLES)


@pytest.mark.parametrize("how", [{"epochs": 3}, {"steps": 17}])
def test_it_goes_on_from_each_step(how):
    whole = Watch()
    trainer = trainer_of(whole, how)
    trainer.fit(*data())
    assert len(whole.kept) in (17, 18)
    for values, arrays, network in whole.kept:
        rest = Watch()
        resumed = trainer_of(rest, how, deepcopy(network))
        resumed.load_state(values, arrays, SAMPLES)
        resumed.fit(*data())
        done = values["epochs_done"]
        assert rest.records == whole.records[done:]
        for name, parameter in trainer.network.parameters().items():
            np.testing.assert_array_equal(resumed.network.parameters()[name].data, parameter.data)


@pytest.mark.parametrize("how", [{"epochs": 3}, {"steps": 17}])
@pytest.mark.parametrize(("name", "value"), [("epochs_done", 2), ("position", SAMPLES)])
def test_another_place_is_refused(how, name, value):
    watch = Watch()
    trainer_of(watch, how).fit(*data())
    values, arrays, network = watch.kept[2]
    with pytest.raises(FileFormatError):
        trainer_of(Watch(), how, network).load_state({**values, name: value}, arrays, SAMPLES)
