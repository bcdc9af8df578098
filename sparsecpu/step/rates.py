"""Which parameters learn at which multiple of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.dense_parameter import Parameter

#: Factors of the learning rate, and the parameters that have each.
RateGroups = list[tuple[float, list[Parameter]]]


class LayerRates:
    """Factors of the learning rate by layer, and the parameters of a network that have each."""

    def __init__(self, factors: Mapping[str, float] | None) -> None:
        self.factors = dict(factors or {})
        self._grouped: tuple[Any, RateGroups] = (None, [])

    def groups(self, network: Any) -> RateGroups:
        """Return a network's parameters by their factors; sorted again for another network."""
        if self._grouped[0] is not network:
            self._grouped = network, rate_groups(network.parameters(), self.factors)
        return self._grouped[1]

    def factor_of(self, network: Any, parameter: Parameter) -> float:
        """Return the factor of one parameter."""
        return next(f for f, some in self.groups(network) if any(p is parameter for p in some))

    def update(
        self, network: Any, optimizer: Any, rate: float, step: int, done: set[int], scale: float
    ) -> None:
        """Let an optimizer use all gradients but those of parameters that are done.

        ``done`` holds their identities; ``scale`` is what the gradients are multiplied by.
        """
        for factor, parameters in self.groups(network):
            left: Iterable[Parameter] = parameters
            if done:
                left = (p for p in parameters if id(p) not in done)
            optimizer.step(left, rate * factor, step, scale)


def rate_groups(parameters: dict[str, Parameter], layer_rates: Mapping[str, float]) -> RateGroups:
    """Sort parameters by the factors of their layers; those of no named layer have factor 1."""
    left, groups = dict(parameters), []
    for layer, factor in layer_rates.items():
        if not 0.0 <= factor < math.inf:
            raise ParameterError("layer_rates", factor, "numbers of at least 0")
        own = [name for name in left if f"{name}.".startswith(f"{layer}.")]
        if not own:
            known = ", ".join(dict.fromkeys(n.rpartition(".")[0] for n in left)) or "none"
            raise ParameterError("layer_rates", layer, f"layers among {known}, each once")
        groups.append((float(factor), [left.pop(name) for name in own]))
    groups.append((1.0, list(left.values())))
    return groups
