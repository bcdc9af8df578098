"""What a run must remember of its data: in the model, and in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecpu.datasets.text import LANGUAGE, TextDataset
from sparsecpu.experiments.known_data import mark_of
from sparsecpu.experiments.trainers import standardised_targets


def targets_of(dataset: Any) -> tuple[Any, dict[str, Any]]:
    """Return targets as they are trained on, and what the model must remember of them."""
    if isinstance(dataset, TextDataset):
        return dataset.y_train, {"task": LANGUAGE, "tokenizer": dataset.tokenizer.to_dict()}
    if dataset.task == "classification":
        labels = [label.item() for label in dataset.classes]
        return dataset.y_train, {"task": "classification", "classes": labels}
    targets, scales = standardised_targets(dataset.y_train)
    return targets, {"task": "regression", **{k: v.tolist() for k, v in scales.items()}}


def noted(dataset: Any, data: str) -> dict[str, Any]:
    """Return what the model must remember to read other data as it was trained on these."""
    found: dict[str, Any] = {"scaling": dataset.scaling}
    if dataset.columns is not None:
        found["columns"] = dataset.columns.to_dict()
    if dataset.first_feature is not None:
        found["first_feature"] = dataset.first_feature
    if isinstance(dataset, TextDataset):
        mark = fingerprint_of(dataset)
        found["training_data"] = {"samples": len(dataset.x_train), "mark": mark}
    elif Path(data).exists():
        mark = mark_of(dataset.x_train, dataset.y_train)
        found["training_data"] = {"samples": len(dataset.y_train), "mark": mark}
    return found


def text_facts(dataset: Any) -> dict[str, Any]:
    """Return what a run's configuration says of a text, nothing of other data."""
    text = dataset.text if isinstance(dataset, TextDataset) else None
    return {} if text is None else {"text": text.facts()}


def fingerprint_of(dataset: Any) -> str:
    """Return a mark of the training samples, by which a resumed run knows them."""
    import numpy as np

    from sparsecpu.files.archive import fingerprint

    if isinstance(dataset, TextDataset) and dataset.text is not None:
        return dataset.text.source.checksum
    x = dataset.x_train
    if hasattr(x, "tocsr"):
        return fingerprint(x.data, x.indices, x.indptr, dataset.y_train)
    if hasattr(x, "take_samples"):
        x = x.take_samples(np.arange(min(64, x.shape[0])))[0]
    return fingerprint(x, dataset.y_train)
