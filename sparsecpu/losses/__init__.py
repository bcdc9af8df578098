"""What training minimises: the mean over the samples of a loss of the network's raw outputs."""

from sparsecpu.losses.base import Loss
from sparsecpu.losses.checks import check_loss, checked_targets, readable_targets
from sparsecpu.losses.of_samples import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.losses.of_tokens import TokenCrossEntropy
from sparsecpu.registries import Registry

__all__ = [
    "LOSSES",
    "Loss",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "TokenCrossEntropy",
    "check_loss",
    "checked_targets",
    "readable_targets",
]

#: Losses by name.
LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    (SoftmaxCrossEntropy, SigmoidCrossEntropy, SquaredError, TokenCrossEntropy),
    "losses",
    {"squared-error": "Half the squared error, summed over the outputs."},
)
