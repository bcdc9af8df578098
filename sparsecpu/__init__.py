"""Training of always-sparse neural networks on ordinary CPUs.

Public names are resolved when they are first used, so that importing the package costs little.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

# layers, datasets and bench stand beside this package in a checkout and inside it once installed.
# Searching the checkout's root makes them importable as sparsecpu.layers … in both.
if not (Path(__file__).parent / "layers").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

__version__ = "0.1.0"

_HOMES = {
    "Checkpoint": "sparsecpu.files.checkpoint",
    "SparseCNNClassifier": "sparsecpu.estimators",
    "SparseMLPClassifier": "sparsecpu.estimators",
    "SparseMLPRegressor": "sparsecpu.estimators",
    "Trainer": "sparsecpu.trainer",
    "TrainingCurvesDisplay": "sparsecpu.estimators",
    "load": "sparsecpu.files.model",
    "save": "sparsecpu.files.model",
}

#: What users import things from.
_MODULES = (
    "bench", "callbacks", "datasets", "errors", "estimators", "interop", "isoflop", "layers",
    "losses", "models", "optimizers", "schedules", "topology", "trainer",
)  # fmt: skip

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from sparsecpu import bench as bench
    from sparsecpu import callbacks as callbacks
    from sparsecpu import datasets as datasets
    from sparsecpu import errors as errors
    from sparsecpu import estimators as estimators
    from sparsecpu import interop as interop
    from sparsecpu import isoflop as isoflop
    from sparsecpu import layers as layers
    from sparsecpu import losses as losses
    from sparsecpu import models as models
    from sparsecpu import optimizers as optimizers
    from sparsecpu import schedules as schedules
    from sparsecpu import topology as topology
    from sparsecpu import trainer as trainer
    from sparsecpu.estimators import SparseCNNClassifier as SparseCNNClassifier
    from sparsecpu.estimators import SparseMLPClassifier as SparseMLPClassifier
    from sparsecpu.estimators import SparseMLPRegressor as SparseMLPRegressor
    from sparsecpu.estimators import TrainingCurvesDisplay as TrainingCurvesDisplay
    from sparsecpu.files.checkpoint import Checkpoint as Checkpoint
    from sparsecpu.files.model import load as load
    from sparsecpu.files.model import save as save
    from sparsecpu.trainer import Trainer as Trainer


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    hint = "" if name.startswith("_") else _hint(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def _hint(name: str) -> str:
    """Return where else a name is, or which one may have been meant."""
    from sparsecpu.registries.names import suggested

    for place in (f"{__name__}.{module}" for module in _MODULES):
        module = importlib.import_module(place)
        own = getattr(getattr(module, name, None), "__module__", None) == place
        if own or name in getattr(module, "__all__", ()):
            return f"; it is in {place}"
    return suggested(name, __dir__()) or f"; dir({__name__}) shows what there is"


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
