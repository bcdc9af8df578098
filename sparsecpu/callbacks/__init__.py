"""Hooks into training: the base whose hooks do nothing, and the few that everyone needs."""

from sparsecpu.callbacks.base import Callback, Training
from sparsecpu.callbacks.best_model import BestModel
from sparsecpu.callbacks.early_stopping import AdaptiveLearningRate, EarlyStopping
from sparsecpu.callbacks.history import History, Validation
from sparsecpu.callbacks.progress import Progress

__all__ = [
    "AdaptiveLearningRate",
    "BestModel",
    "Callback",
    "EarlyStopping",
    "History",
    "Progress",
    "Training",
    "Validation",
]
