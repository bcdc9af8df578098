"""Runs of so many steps: they end where they should, and go on bit for bit from anywhere."""

import copy
import json

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.callbacks import Callback, History
from sparsecpu.errors import FileFormatError, ParameterError, ResumeError
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import Adam
from sparsecpu.topology import make_topology

SAMPLES, BATCH, STEPS = 50, 8, 23  # a pass has seven steps, an epoch three
RNG = np.random.default_rng(0)
X = RNG.standard_normal((SAMPLES, 6)).astype(np.float32)
Y = RNG.integers(0, 3, SAMPLES)


class Halt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == self.step


class Losses(Callback):
    def __init__(self):
        self.found = []

    def on_step(self, trainer, loss):
        self.found.append(loss)


def made(network=None, callbacks=(), **options):
    network = network or mlp(6, (20,), 3).sparsify(0.4).build(np.random.default_rng(1))
    options = {"steps": STEPS, "topology": make_topology("set:update_every=4"), **options}
    return Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=Adam(), learning_rate=0.01,
                   batch_size=BATCH, callbacks=callbacks, **options)  # fmt: skip


def values_of(trainer):
    return {name: p.data.tobytes() for name, p in trainer.network.parameters().items()}


def test_the_run_ends_after_its_steps():
    history, losses = History(), Losses()
    trainer = made(callbacks=[history, losses]).fit(X, Y)
    assert trainer.steps_done == STEPS
    assert [record["step"] for record in history.records] == [3, 6, 9, 12, 15, 18, 21, 23]
    sizes = [8, 8, 8, 8, 8, 8, 2] * 4
    for record, begun in zip(history.records, range(0, STEPS, 3), strict=True):
        here = slice(begun, record["step"])
        mean = np.average(losses.found[here], weights=sizes[here][: len(losses.found[here])])
        assert record["loss"] == pytest.approx(mean)


def test_steps_are_those_of_a_run_of_epochs():
    """Passes follow one another as they would otherwise, whatever counts as an epoch."""
    whole = made(steps=None, epochs=4).fit(X, Y)
    assert values_of(made(steps=28).fit(X, Y)) == values_of(whole)


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_a_run_goes_on_bit_for_bit(stop):
    whole_history, first, second = History(), History(), History()
    whole = made(callbacks=[whole_history]).fit(X, Y)
    broken = made(callbacks=[first, Halt(stop)]).fit(X, Y)
    assert broken.steps_done == stop
    values, arrays = broken.state()
    values = json.loads(json.dumps(values))
    arrays = {name: array.copy() for name, array in arrays.items()}
    again = made(copy.deepcopy(broken.network), [second])
    again.load_state(values, arrays, SAMPLES)
    again.fit(X, Y)
    assert values_of(again) == values_of(whole)
    assert second.records == whole_history.records


def test_lies_about_where_a_run_is_are_refused():
    broken = made(callbacks=[Halt(10)]).fit(X, Y)
    values, arrays = broken.state()
    for wrong in ({"steps_done": 11}, {"position": 16}, {"epochs_done": 2}, {"steps_done": 99}):
        with pytest.raises((FileFormatError, ResumeError)):
            made(copy.deepcopy(broken.network)).load_state({**values, **wrong}, arrays, SAMPLES)
    for other in ({"steps": 9}, {"steps": None, "epochs": 4}):
        with pytest.raises(ResumeError, match="steps"):
            made(copy.deepcopy(broken.network), **other).load_state(values, arrays, SAMPLES)


def test_schedules_of_the_topology_know_the_steps():
    trainer = made()
    trainer.start(SAMPLES)
    assert trainer.topology.run.total_steps == STEPS
    assert trainer.topology.run.steps_per_epoch == 3


@pytest.mark.parametrize("steps", [0, -1, 1.5, "3", True])
def test_bad_numbers_of_steps(steps):
    with pytest.raises(ParameterError):
        made(steps=steps)
