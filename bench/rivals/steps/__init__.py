"""Training steps of other libraries."""

from __future__ import annotations

from sparsecpu.bench.rivals.networks import StepRival
from sparsecpu.bench.rivals.steps.plain import NumPyStep, ScikitStep
from sparsecpu.bench.rivals.steps.sparselab import SparseLabStep
from sparsecpu.bench.rivals.steps.sparseprop import SparsePropStep
from sparsecpu.bench.rivals.steps.text import AutocastTextStep, OneDNNTextStep, TorchTextStep
from sparsecpu.bench.rivals.steps.torch import (
    AutocastChannelsLastStep,
    AutocastImageStep,
    AutocastStep,
    AutocastTunedStep,
    MaskedStep,
    TorchChannelsLastStep,
    TorchImageStep,
    TorchStep,
    TorchTunedStep,
)

__all__ = ["RIVALS", "StepRival", "TorchChannelsLastStep", "TorchTunedStep"]

#: A new rival is one class and one entry here.
RIVALS: tuple[type[StepRival], ...] = (
    NumPyStep,
    ScikitStep,
    TorchStep,
    AutocastStep,
    MaskedStep,
    TorchImageStep,
    TorchChannelsLastStep,
    TorchTunedStep,
    AutocastImageStep,
    AutocastChannelsLastStep,
    AutocastTunedStep,
    SparsePropStep,
    TorchTextStep,
    OneDNNTextStep,
    AutocastTextStep,
    SparseLabStep,
)
