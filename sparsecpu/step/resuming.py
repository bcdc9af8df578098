"""What a resumed run needs to go on bit for bit, beside its model."""

from __future__ import annotations

from typing import Any

import numpy as np


def state_of(trainer: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return plain values, and arrays by name."""
    topology, arrays = trainer.topology.state()
    named: dict[str, np.ndarray] = {f"topology/{name}": array for name, array in arrays.items()}
    for name, parameter in trainer.network.parameters().items():
        for slot, array in parameter.slots.items():
            named[f"slot/{name}/{slot}"] = array
    for callback in trainer.callbacks:
        for name, array in callback.arrays().items():
            named[f"callback/{type(callback).__name__}/{name}"] = array
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
        "callbacks": {
            type(callback).__name__: state
            for callback in trainer.callbacks
            if (state := callback.state())
        },
    }
    return values, named


def load_state(
    trainer: Any, values: dict[str, Any], arrays: dict[str, np.ndarray], samples: int
) -> None:
    """Take up what ``state_of`` returned, where an epoch has so many samples."""
    for name, parameter in trainer.network.parameters().items():
        prefix = f"slot/{name}/"
        for key, array in arrays.items():
            if key.startswith(prefix):
                parameter.slot(key[len(prefix) :])[...] = array
    trainer.start(samples)
    held = {k.removeprefix("topology/"): v for k, v in arrays.items() if k[:9] == "topology/"}
    trainer.topology.load_state(values["topology"], held)
    for name, state in values["rngs"].items():
        trainer.rngs[name].bit_generator.state = state
    trainer.ranks.own_streams(trainer.rngs)
    trainer.steps_done, trainer.epochs_done = values["steps_done"], values["epochs_done"]
    trainer.position, trainer.losses = values["position"], values["losses"]
    trainer.order_state, trainer.stop = values["order_state"], values["stop"]
    trainer.learning_rate_factor = values["learning_rate_factor"]
    for callback in trainer.callbacks:
        if type(callback).__name__ in values["callbacks"]:
            callback.load_state(values["callbacks"][type(callback).__name__])
        start = f"callback/{type(callback).__name__}/"
        kept = {k[len(start) :]: a for k, a in arrays.items() if k.startswith(start)}
        if kept:
            callback.load_arrays(kept, trainer)
