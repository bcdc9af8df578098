"""A warning of networks that are too sparse to learn much."""

from __future__ import annotations

import warnings
from typing import Any

from sparsecpu.networks.thin_layers import least_density, thin_layers
from sparsecpu.registries import defaults


def tell_thin(estimator: Any) -> None:
    """Warn of a density below the usual one that leaves most neurons of a layer without weights."""
    weights = estimator.network_.sparse_parameters()
    if estimator.density < defaults.DENSITY and (thin := thin_layers(weights)):
        enough = least_density(weights)
        warnings.warn(
            f"{thin}; such a network learns little: from density={enough:.2g} on there are as "
            "many weights as neurons",
            stacklevel=5,
        )
