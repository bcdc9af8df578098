"""Networks that are described by their number of neurons, and how these are trained."""

from __future__ import annotations

from typing import Any

#: Hidden layers of a network that is described by its number of neurons.
HIDDEN_LAYERS = 5
#: What such a network starts from in place of the usual defaults.
OF_NEURONS = {"topology": "gse", "update_every": 8, "epochs": 2, "batch_size": 16}
#: Above so many neurons its last layer learns more slowly: a step moves an output by the learning
#: rate times the number of its inputs.
_FULL_RATE = 1_500


def options_of_neurons(neurons: int) -> dict[str, Any]:
    """Return what a network of so many neurons starts from in place of the usual defaults."""
    factor = min(1.0, _FULL_RATE / max(1, neurons))
    return {**OF_NEURONS, "layer_rates": f"head={factor:.3g}"}
