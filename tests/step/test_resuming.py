"""Runs that go on from a checkpoint: from Python, bit for bit; and checkpoints that lie."""

import copy
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import resumed_runs
from resumed_runs import PER_EPOCH, SAMPLES, Stop, X, Y, make_trainer, network_of

from sparsecpu.callbacks import EarlyStopping
from sparsecpu.errors import FileFormatError, ResumeError
from sparsecpu.experiments.run_folder import Checkpoints, RunFolder
from sparsecpu.files.archive import read_arrays
from sparsecpu.files.model import load_all, save
from sparsecpu.topology import SparseMomentum


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory):
    """A run broken off in its third epoch: its model, plain values and arrays."""
    path = tmp_path_factory.mktemp("state") / "c.npz"
    trainer = make_trainer("window", more=[Stop(2 * PER_EPOCH + 6)])
    trainer.fit(X, Y)
    values, arrays = trainer.state()
    save(trainer.network, path, facts={"trainer": values}, extra=arrays)
    return path


def held(path):
    """Return network, plain values and arrays of a checkpoint, to change at will."""
    network, header, extra = load_all(path)
    return network, header["facts"]["trainer"], {n: a.copy() for n, a in extra.items()}


def everything(trainer):
    """Return what a refused checkpoint must leave alone."""
    owners = (trainer, trainer.topology, *trainer.callbacks)
    attributes = [{name: id(value) for name, value in vars(owner).items()} for owner in owners]
    slots = {n: list(p.slots) for n, p in trainer.network.parameters().items()}
    return attributes, slots, {n: r.bit_generator.state for n, r in trainer.rngs.items()}


def put(*path, value):
    """Return a change that puts a value into nested tables."""

    def change(values, arrays):
        for name in path[:-1]:
            values = values[name]
        values[path[-1]] = value

    return change


def without(*path):
    def change(values, arrays):
        for name in path[:-1]:
            values = values[name]
        del values[path[-1]]

    return change


def array(name, change):
    """Return a change to an array."""
    return lambda values, arrays: arrays.update({name: change(arrays[name])})


def with_entry(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


SLOT, SOURCE = "slot/0.weight/momentum", "topology/0.weight"
TRACKED, BEST = "callback/Tracker/0.weight", "callback/BestModel"
LIES = {
    "epochs beyond the run": put("epochs_done", value=99),
    "steps below 0": put("steps_done", value=-5),
    "steps of no epoch": put("steps_done", value=3),
    "a position below 0": put("position", value=-40),
    "a position within a batch": put("position", value=17),
    "a position behind the end": put("position", value=SAMPLES),
    "a number as text": put("position", value="16"),
    "a position that is true": put("position", value=True),
    "no losses": without("losses"),
    "losses that are none": put("losses", value=float("nan")),
    "a factor below 0": put("learning_rate_factor", value=-1.0),
    "a factor too large for a float": put("learning_rate_factor", value=10**400),
    "a stop of 1": put("stop", value=1),
    "another attribute": put("interrupted", value=True),
    "no order": put("order_state", value=None),
    "another order": lambda v, a: v.update(order_state=v["rngs"]["topology"]),
    "a stream is missing": without("rngs", "dropout"),
    "a stream too many": put("rngs", "more", value={}),
    "a stream of another kind": put("rngs", "order", "bit_generator", value="MT19937"),
    "a state too large": put("rngs", "order", "state", "state", value=2**128),
    "a state below 0": put("rngs", "order", "state", "state", value=-1),
    "an even increment": put("rngs", "dropout", "state", "inc", value=0),
    "half a number of 3": put("rngs", "dropout", "has_uint32", value=3),
    "a state of text": put("rngs", "dropout", "state", value="x"),
    "no callbacks": without("callbacks"),
    "a callback's state is missing": without("callbacks", "EarlyStopping"),
    "a callback that is not there": put("callbacks", "Bogus", value={"x": 1}),
    "a best score of text": put("callbacks", "EarlyStopping", "best", value="0.5"),
    "waited for ever": put("callbacks", "EarlyStopping", "waited", value=10**9),
    "updates of nothing": put("callbacks", "History", "updates", value=[{}]),
    "records without an epoch": put("callbacks", "History", "records", value=[{"loss": 1.0}]),
    "updates without layers": put("callbacks", "History", "updates", value=3),
    "a best model without a score": put("callbacks", "BestModel", "best", value=None),
    "another source": put("topology", "sources", "0.weight", value="tiles"),
    "no sources": put("topology", value={}),
    "more about the topology": put("topology", "rate", value=0.5),
    "no topology": put("topology", value=None),
    "another optimizer": put("made_with", "optimizer", value="Adam"),
    "other batches": put("made_with", "batch_size", value=7),
    "a start that is none": put("topology_start", value={"state": 1}),
    "a slot is missing": lambda v, a: a.pop(SLOT),
    "all slots are missing": lambda v, a: [a.pop(n) for n in list(a) if n.startswith("slot/")],
    "a slot of one entry": array(SLOT, lambda x: x[:1]),
    "a slot too long": array(SLOT, lambda x: np.append(x, x[:1])),
    "a slot of another type": array(SLOT, lambda x: x.astype(np.float64)),
    "a slot that is not finite": array(SLOT, with_entry(np.inf)),
    "a slot that is unknown": lambda v, a: a.update({"slot/0.weight/other": a[SLOT]}),
    "a slot of nobody": lambda v, a: a.update({"slot/9.weight/momentum": a[SLOT]}),
    "an array of nobody": lambda v, a: a.update({"other": a[SLOT]}),
    "an array of another callback": lambda v, a: a.update({"callback/Bogus/x": a[SLOT]}),
    "a window is missing": lambda v, a: a.pop(f"{SOURCE}/x"),
    "a window of another shape": array(f"{SOURCE}/x", lambda x: x[:1]),
    "a window of the future": array(f"{SOURCE}/when", lambda x: x + 100),
    "a window that saw too much": array(f"{SOURCE}/seen", lambda x: x + 10**6),
    "a window that is not finite": array(f"{SOURCE}/dy", with_entry(np.nan)),
    "an attribute of a source": lambda v, a: a.update({f"{SOURCE}/steps": a[f"{SOURCE}/seen"]}),
    "ages are missing": lambda v, a: a.pop(f"{TRACKED}/born"),
    "born after today": array(f"{TRACKED}/born", with_entry(10**6)),
    "too few ages": array(f"{TRACKED}/born", lambda x: x[:-1]),
    "positions that are not sorted": array(f"{TRACKED}/start", lambda x: x[::-1]),
    "positions beyond the end": array(f"{TRACKED}/start", lambda x: x + 10**6),
    "never active": array(f"{TRACKED}/ever", lambda x: x * 0),
    "the best weights are missing": lambda v, a: a.pop(f"{BEST}/vector/0.weight/data"),
    "the best weights are none": array(f"{BEST}/vector/0.weight/data", with_entry(np.nan)),
    "the best pattern is none": array(f"{BEST}/pattern/0.weight/indices", lambda x: x[::-1]),
    "the best network is missing": lambda v, a: [a.pop(n) for n in list(a) if BEST in n],
}


@pytest.mark.parametrize("name", LIES)
def test_a_checkpoint_that_lies_is_refused_and_leaves_the_trainer_alone(name, broken_off):
    network, values, arrays = held(broken_off)
    LIES[name](values, arrays)
    trainer = make_trainer("window", network)
    before = everything(trainer)
    with pytest.raises((FileFormatError, ResumeError)) as caught:
        trainer.load_state(values, arrays, SAMPLES)
    assert "\n" not in str(caught.value)
    assert everything(trainer) == before


def test_a_refused_trainer_trains_as_if_nothing_had_been(broken_off):
    plain, tried = (make_trainer("lowrank") for _ in range(2))
    _, values, arrays = held(broken_off)
    with pytest.raises(ResumeError):
        tried.load_state(values, arrays, SAMPLES)
    assert network_of(plain.fit(X, Y)) == network_of(tried.fit(X, Y))


def test_a_callback_that_fails_is_put_back(broken_off):
    class Odd(EarlyStopping):
        def load_state(self, values):
            self.waited = 99
            raise RuntimeError("something of the user's own")

    network, values, arrays = held(broken_off)
    values["callbacks"]["Odd"] = {"x": 1}
    trainer = make_trainer("window", network, more=[Odd()])
    with pytest.raises(FileFormatError, match="own"):
        trainer.load_state(values, arrays, SAMPLES)
    assert trainer.callbacks[-1].waited == 0


def test_older_checkpoints_are_taken(broken_off):
    """They do not say what they were made with, nor where the topology's stream began."""
    whole = make_trainer("window").fit(X, Y)
    network, values, arrays = held(broken_off)
    del values["made_with"], values["topology_start"]
    trainer = make_trainer("window", network)
    trainer.load_state(values, arrays, SAMPLES)
    assert network_of(trainer.fit(X, Y)) == network_of(whole)


def test_state_taken_up_twice_is_the_same(broken_off):
    """Sketches are drawn when a run begins; a trainer that has begun already draws them again."""
    trainer = make_trainer("lowrank", more=[Stop(2 * PER_EPOCH + 6)])
    trainer.fit(X, Y)
    values, arrays = json.loads(json.dumps(trainer.state()[0])), trainer.state()[1]
    arrays = {name: array.copy() for name, array in arrays.items()}
    again = make_trainer("lowrank", copy.deepcopy(trainer.network))
    again.start(SAMPLES)  # as sparsecpu train does
    again.load_state(values, arrays, SAMPLES)
    assert network_of(again.fit(X, Y)) == network_of(make_trainer("lowrank").fit(X, Y))


def test_two_callbacks_of_one_class_have_a_state_each(broken_off):
    _, values, _ = held(broken_off)
    assert values["callbacks"]["EarlyStopping"] != values["callbacks"]["EarlyStopping 2"]


def test_runs_go_on_from_python_in_another_process(tmp_path):
    """Broken off after every epoch and within each: the same bytes, and all that callbacks say."""
    wanted, cases = {}, {}
    for kind in resumed_runs.TOPOLOGIES:
        whole = make_trainer(kind).fit(X, Y)
        wanted[kind] = resumed_runs.summary(whole)
        last = whole.steps_done
        assert last < whole.epochs * PER_EPOCH  # it was stopped early
        for steps in (*range(PER_EPOCH, last, PER_EPOCH), *range(2, last, PER_EPOCH + 1)):
            path = tmp_path / f"{kind}-{steps}.npz"
            trainer = make_trainer(kind, more=[Stop(steps)])
            trainer.fit(X, Y)
            assert trainer.steps_done == steps
            values, arrays = trainer.state()
            save(trainer.network, path, facts={"trainer": values}, extra=arrays)
            cases[str(path)] = kind
    script = textwrap.dedent("""
        import json, sys
        import resumed_runs
        cases = json.load(sys.stdin).items()
        json.dump({path: resumed_runs.resumed(kind, path) for path, kind in cases}, sys.stdout)
    """)
    paths = os.pathsep.join([os.path.dirname(resumed_runs.__file__), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(cases), capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert len(found) >= 6 * len(resumed_runs.TOPOLOGIES)
    for path, kind in cases.items():
        assert found[path] == wanted[kind], path


def test_checkpoints_hold_what_all_callbacks_have_become(tmp_path):
    """Wherever they stand in the list: what comes behind them hears of the epoch first."""
    folder = RunFolder(tmp_path)
    trainer = make_trainer("window", more=[Stop(2 * PER_EPOCH)])
    trainer.callbacks.insert(0, Checkpoints(folder, trainer.network.architecture, {}))
    trainer.fit(X, Y)
    header, arrays = read_arrays(folder.checkpoint)
    state = header["facts"]["trainer"]
    assert state["callbacks"] == json.loads(json.dumps(trainer.state()[0]["callbacks"]))
    assert any(name.startswith("extra/callback/BestModel/") for name in arrays)
    assert len(folder.history.read()) == 2
    assert "score" in folder.history.read()[0]


def test_the_optimizer_decides_which_slots_there_are(broken_off):
    """One of the user's own need not say which it has; their sizes are checked all the same."""
    from sparsecpu.optimizers import SGD

    class Own(SGD):
        slot_names = None

    network, values, arrays = held(broken_off)
    values["made_with"]["optimizer"] = "Own"
    trainer = make_trainer("window", network, optimizer=Own())
    best = arrays[f"{BEST}/vector/0.weight/momentum"]
    arrays[f"{BEST}/vector/0.weight/more"] = best
    extra = {**arrays, "slot/0.weight/more": arrays[SLOT]}
    trainer.load_state(values, extra, SAMPLES)
    assert set(trainer.network.parameters()["0.weight"].slots) == {"momentum", "more"}
    with pytest.raises(FileFormatError):
        trainer.load_state(values, {**arrays, SLOT: arrays[SLOT][:1]}, SAMPLES)


def test_updates_every_step_need_no_slots():
    """Where every step so far served the topology alone, the optimizer has done nothing yet."""
    from sparsecpu.topology import RigL

    def made(network=None):
        topology = RigL(update_every=1)
        return make_trainer("window", network, topology=topology, more=[Stop(2)])

    trainer = made()
    trainer.fit(X, Y)
    values, arrays = trainer.state()
    assert not any(name.startswith("slot/") for name in arrays)
    follower = made(copy.deepcopy(trainer.network))
    follower.load_state(json.loads(json.dumps(values)), arrays, SAMPLES)
    assert follower.steps_done == 2


def test_candidates_and_tiles_refuse_positions_that_are_active(broken_off):
    for source in ("tiles", "candidates"):
        topology = SparseMomentum(source=source, window=3, growth_memory=20_000)
        trainer = make_trainer("window", topology=topology, more=[Stop(2 * PER_EPOCH + 6)])
        trainer.fit(X, Y)
        values, arrays = trainer.state()
        name = next(n for n, a in arrays.items() if n.endswith("weight/keys") and len(a))
        layer = name.split("/")[1]
        active = trainer.network.parameters()[layer].pattern.keys()[: len(arrays[name])]
        values = json.loads(json.dumps(values))
        again = SparseMomentum(source=source, window=3, growth_memory=20_000)
        follower = make_trainer("window", copy.deepcopy(trainer.network), topology=again)
        lie = {**arrays, name: active, name.replace("keys", "values"): np.zeros(len(active), "f4")}
        with pytest.raises(FileFormatError, match="inactive"):
            follower.load_state(values, lie, SAMPLES)
        follower.load_state(values, arrays, SAMPLES)
