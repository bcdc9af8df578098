"""What a resumed run needs to go on bit for bit, beside its model.

Whatever a file holds is checked before it is used, and a refused one leaves the trainer as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ResumeError, SparseCPUError
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.registries.numbers import whole as whole_argument
from sparsecpu.step.checked_arrays import Arrays, behind, same_names, take
from sparsecpu.step.plain_values import (
    anything,
    brief,
    maybe,
    named,
    real,
    shown,
    table,
    truth,
    whole,
)
from sparsecpu.step.random_states import follows_order, set_state
from sparsecpu.step.same_run import check_progress, made_with, refuse_another_run

_KIND = table(
    {
        "steps_done": whole(0),
        "epochs_done": whole(0),
        "position": whole(0),
        "losses": real(),
        "order_state": maybe(named(anything)),
        "learning_rate_factor": real(0.0),
        "stop": truth,
        "rngs": named(named(anything)),
        "topology": named(anything),
        "callbacks": named(named(anything)),
    },
    # Files of older versions lack these.
    {
        "made_with": named(anything), "topology_start": maybe(named(anything)),
        "origin": table({"step": whole(0), "epoch": whole(0), "epoch_steps": whole(1)}),
    },
)  # fmt: skip


def state_of(trainer: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return plain values, and arrays by name."""
    topology, arrays = trainer.topology.state()
    found: dict[str, np.ndarray] = {f"topology/{name}": array for name, array in arrays.items()}
    for name, parameter in trainer.network.parameters().items():
        for slot, array in parameter.slots.items():
            found[f"slot/{name}/{slot}"] = array
    callbacks = named_callbacks(trainer.callbacks)
    for name, callback in callbacks.items():
        for key, array in callback.arrays().items():
            found[f"callback/{name}/{key}"] = array
    values: dict[str, Any] = {
        "steps_done": trainer.steps_done,
        "epochs_done": trainer.epochs_done,
        "position": trainer.position,
        "losses": trainer.losses,
        "order_state": trainer.order_state,
        "learning_rate_factor": trainer.learning_rate_factor,
        "stop": trainer.stop,
        "rngs": {name: rng.bit_generator.state for name, rng in trainer.rngs.items()},
        "topology": topology,
        "topology_start": trainer.topology_start,
        "callbacks": {n: state for n, c in callbacks.items() if (state := c.state())},
        "made_with": made_with(trainer),
    }
    if trainer.origin is not None:
        values["origin"] = asdict(trainer.origin)
    return values, found


def named_callbacks(callbacks: Iterable[Any]) -> dict[str, Any]:
    """Return callbacks by the names that they have in files: their class, and a number if need be.

    That of the second ``EarlyStopping`` is ``"EarlyStopping 2"``.
    """
    found: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, 0) + 1
        found[name if counts[name] == 1 else f"{name} {counts[name]}"] = callback
    return found


def load_state(trainer: Any, values: dict[str, Any], arrays: Arrays, samples: int) -> None:
    """Take up what ``state_of`` returned, where an epoch has so many samples.

    A trainer that is to do more epochs or steps than the run was begun with trains it longer.
    """
    whole_argument("samples", samples, 1)
    _KIND(values, "the state of the run")
    refuse_another_run(trainer, values)
    origin = check_progress(trainer, values, samples)
    slots = _slots(trainer, arrays)
    with _unchanged_if_refused(trainer):
        trainer.origin = origin
        _start(trainer, values, samples)
        _check_that_slots_are_there(trainer, slots)
        trainer.topology.load_state(values["topology"], behind(arrays, "topology/"))
        _load_streams(trainer, values, samples)
        for name, parameter in trainer.network.parameters().items():
            parameter.slots = {
                slot: aligned_copy(array, parameter.data.dtype)
                for slot, array in slots[name].items()
            }
        _load_callbacks(trainer, values["callbacks"], arrays)
        _check_that_all_was_used(trainer, values, arrays)


def go_on(
    trainer: Any, values: dict[str, Any], arrays: Arrays, samples: int, *, widest: int,
    with_topology: bool,
) -> None:  # fmt: skip
    """Take up, unchecked, what ``state_of`` returned in this program; the network has its slots.

    Calls of ``partial_fit`` may have come with other numbers of samples than the first one, which
    is ``samples``, and ``widest`` is the largest batch so far. Without its state a topology starts
    where the run has come to.
    """
    _start(trainer, values, samples)
    trainer.topology.expect(widest)
    if with_topology:
        trainer.topology.load_state(values["topology"], behind(arrays, "topology/"))
    for name, state in values["rngs"].items():
        set_state(trainer.rngs[name], state, f"rngs.{name}")


def _slots(trainer: Any, arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
    """Return every parameter's slots: all that the optimizer keeps, or none before its first step.

    An optimizer that does not say which it keeps has what the file holds.
    """
    optimizer, found = trainer.optimizer, {}
    parameters = trainer.network.parameters()
    for name, parameter in parameters.items():
        own = behind(arrays, f"slot/{name}/")
        for slot in own:
            least = 0.0 if slot in optimizer.never_negative else None
            take(own, slot, parameter.data.dtype, parameter.data.shape, least=least)
        found[name] = own
    known = optimizer.slot_names
    held = any(found.values())
    for name, own in found.items() if known is not None else ():
        same_names(own, known if held else (), f"the optimizer of {name}")
    every = {f"slot/{name}/{slot}" for name, own in found.items() for slot in own}
    same_names({n: a for n, a in arrays.items() if n.startswith("slot/")}, every, "the optimizer")
    return found


def _start(trainer: Any, values: dict[str, Any], samples: int) -> None:
    """Let the topology begin as it did in the run, with the same random numbers."""
    trainer.steps_done, trainer.epochs_done = values["steps_done"], values["epochs_done"]
    trainer.position, trainer.losses = values["position"], float(values["losses"])
    trainer.stop, trainer.order_state = values["stop"], values["order_state"]
    trainer.learning_rate_factor = float(values["learning_rate_factor"])
    start = values.get("topology_start", trainer.topology_start)
    if start is not None:
        set_state(trainer.rngs["topology"], start, "topology_start")
    trainer.start(samples)


def _check_that_slots_are_there(trainer: Any, slots: dict[str, dict[str, np.ndarray]]) -> None:
    """Refuse a file without slots, unless every step so far served the topology alone."""
    if not trainer.optimizer.slot_names or any(slots.values()):
        return
    if not all(map(trainer.topology.replaces_step, range(trainer.steps_done))):
        raise FileFormatError("all that the optimizer remembers is missing")


def _load_streams(trainer: Any, values: dict[str, Any], samples: int) -> None:
    """Put every random stream where it was; that of the order follows from the epoch's start."""
    states = named(named(anything), trainer.rngs)(values["rngs"], "rngs")
    for name, state in states.items():
        set_state(trainer.rngs[name], state, f"rngs.{name}")
    drawn = samples if trainer.shuffle else 0
    before = values["order_state"]
    if before is not None and not follows_order(
        trainer.rngs["order"], before, drawn, "order_state"
    ):
        raise FileFormatError("rngs.order does not follow from order_state, the epoch's start")
    trainer.ranks.own_streams(trainer.rngs)


def _load_callbacks(trainer: Any, states: dict[str, Any], arrays: Arrays) -> None:
    for name, callback in named_callbacks(trainer.callbacks).items():
        if name in states:
            callback.load_state(states[name])
        kept = behind(arrays, f"callback/{name}/")
        if kept:
            callback.load_arrays(kept, trainer)


def _check_that_all_was_used(trainer: Any, values: dict[str, Any], arrays: Arrays) -> None:
    """Refuse a file that has less or more than what the trainer would write now."""
    again, again_arrays = state_of(trainer)
    for name in values["callbacks"].keys() ^ again["callbacks"].keys():
        raise ResumeError(_other_callbacks(name, name in values["callbacks"]))
    named(anything, again["topology"])(values["topology"], "topology")
    for name in arrays.keys() ^ again_arrays.keys():
        what, _, rest = name.partition("/")
        owner = rest.partition("/")[0]
        if what == "callback" and owner not in again["callbacks"]:
            raise ResumeError(_other_callbacks(owner, name in arrays))
        fault = "unknown" if name in arrays else "missing"
        raise FileFormatError(f"the array {shown(name)} is {fault}")
    for name, array in again_arrays.items():
        if (arrays[name].dtype, arrays[name].shape) != (array.dtype, array.shape):
            was = f"{arrays[name].dtype} of shape {arrays[name].shape}"
            raise FileFormatError(
                f"the array {shown(name)} is {was}; expected {array.dtype} of shape {array.shape}"
            )


def _other_callbacks(name: str, in_file: bool) -> str:
    """Return why a run with other callbacks cannot go on."""
    fact = "is in the file and not among" if in_file else "is not in the file but among"
    return (
        f"the state of {shown(name)} {fact} the trainer's callbacks; go on with those that the "
        "run had, and add others to trainer.callbacks afterwards"
    )


@contextlib.contextmanager
def _unchanged_if_refused(trainer: Any) -> Iterator[None]:
    """Leave trainer, topology, callbacks, streams and slots as they were if the block fails."""
    owners = (trainer, trainer.topology, *trainer.callbacks)
    held = [(vars(owner), dict(vars(owner))) for owner in owners if hasattr(owner, "__dict__")]
    streams = {name: rng.bit_generator.state for name, rng in trainer.rngs.items()}
    slots = [(p, p.slots) for p in trainer.network.parameters().values()]
    try:
        yield
    except BaseException as error:
        for attributes, before in held:
            attributes.clear()
            attributes.update(before)
        for name, state in streams.items():
            trainer.rngs[name].bit_generator.state = state
        for parameter, own in slots:
            parameter.slots = own
        if isinstance(error, SparseCPUError | MemoryError) or not isinstance(error, Exception):
            raise
        raise FileFormatError(f"the state of the run is damaged: {brief(error)}") from error
