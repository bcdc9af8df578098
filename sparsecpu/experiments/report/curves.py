"""How a run went, epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecpu.experiments.curves import HELD_OUT, TRAINING, VALIDATION, far_apart, looks
from sparsecpu.experiments.report.html import (
    Html,
    Section,
    element,
    note,
    numbers_of,
    paragraph,
    section,
)
from sparsecpu.experiments.report.run_facts import RunFacts
from sparsecpu.experiments.report.svg import MOST_SERIES, Axis, Series, chart, short_of

#: Keys of the history, and what their curves are called, picture by picture.
_LOSSES = {"loss": TRAINING, "validation_loss": VALIDATION}
_SCORES = {"train_score": TRAINING, "validation_score": VALIDATION}
_NUMBERS = {
    "loss": "loss", "validation_loss": "validation loss", "train_score": "training score",
    "validation_score": "validation score", "learning_rate": "learning rate", "seconds": "seconds",
}  # fmt: skip
_EPOCH = Axis("epoch", whole=True)


def number(value: Any) -> float | None:
    """Return a value of a history if it is a finite number."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if good and math.isfinite(value) else None


def curves(run: RunFacts) -> Section:
    """Return the learning curves of a run: what its history holds, and no others."""
    if not run.records:
        words = "The history is empty: no epoch has ended yet, or it was taken away."
        return section("Learning curves", paragraph(words))
    score = {"classification": "accuracy", "regression": "R²"}.get(run.task, "score")
    pictures = [
        _picture(run, "Loss", "loss", _LOSSES, "loss"),
        _picture(run, _capital(score), score, _SCORES, score.replace("R²", "r2")),
        _picture(run, "Learning rate", "learning rate", {"learning_rate": "rate"}, None),
        densities(run),
    ]
    shown = [picture for picture in pictures if picture is not None]
    words = "Training loss is the mean over an epoch while weights change."
    if run.recipe["label_smoothing"] and run.task == "classification":
        words += " With label smoothing it cannot reach 0."
    if run.recipe["steps"] is not None:
        words += " Here “epoch” counts the lines of the history, a pass or a tenth of the run each."
    return section("Learning curves", element("div", *shown, class_="charts"), note(words),
                   _numbers(run))  # fmt: skip


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _picture(
    run: RunFacts, title: str, unit: str, keys: dict[str, str], evaluated: str | None
) -> Html | None:
    """Return a picture of some keys of the history, None if it has none of them."""
    series = []
    for key, label in keys.items():
        found = [(float(r["epoch"]), number(r.get(key))) for r in run.records]
        points = [(x, y) for x, y in found if y is not None]
        if points:
            series.append(Series(label, points))
    held = _evaluations(run, evaluated) if evaluated is not None else []
    if held:
        series.append(Series(HELD_OUT, held))
    numbers = looks(_measured(run))
    drawn = [replace(one, look=numbers.get(one.label)) for one in series]
    return chart(title, _EPOCH, Axis(unit), drawn) if series else None


def _measured(run: RunFacts) -> list[str]:
    """Return what any loss or score of the history was measured on."""
    found = [
        kind for keys in (_LOSSES, _SCORES) for key, kind in keys.items()
        if any(number(record.get(key)) is not None for record in run.records)
    ]  # fmt: skip
    within = any(_evaluations(run, name) for name in ("loss", "accuracy", "r2"))
    return [*found, HELD_OUT] if within else found


def _evaluations(run: RunFacts, name: str) -> list[tuple[float, float]]:
    """Return scores of held-out samples between epochs, at fractions of an epoch."""
    ends = [(r["step"], r["epoch"]) for r in run.records if "step" in r]
    steps, epochs = [0, *(s for s, _ in ends)], [run.records[0]["epoch"] - 1, *(e for _, e in ends)]
    found = []
    for record in run.records:
        listed = record.get("evaluations")
        for entry in listed if isinstance(listed, list) else ():
            step, value = (number(entry.get(key)) for key in ("step", name)) if isinstance(
                entry, dict) else (None, None)  # fmt: skip
            if step is not None and value is not None:
                found.append((float(np.interp(step, steps, epochs)), value))
    return found


def densities(run: RunFacts) -> Html | None:
    """Return a picture of each layer's density over the run, None if none is known."""
    layers = run.network.sparse_parameters()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in layers}
    for record in run.records:
        listed = record.get("densities")
        values = [number(v) for v in listed] if isinstance(listed, list) else []
        if len(values) == len(layers):
            for points, value in zip(found.values(), values, strict=True):
                if value is not None:
                    points.append((float(record["epoch"]), value))
        else:
            for update in record.get("updates", ())[-1:]:
                for name, facts in update["layers"].items():
                    size = math.prod(layers[name].shape)
                    found[name].append((float(record["epoch"]), facts["nnz"] / size))
    known = {name: points for name, points in found.items() if points}
    largest = sorted(known, key=lambda name: -layers[name].nnz)[:MOST_SERIES]
    series = [Series(name, points) for name, points in known.items() if name in largest]
    if not series:
        return None
    title = "Density of each layer"
    if len(series) < len(layers):
        title = f"Density of the {len(series)} layers with the most weights"
    far = far_apart(y for one in series for _, y in one.points)
    return chart(title, _EPOCH, Axis("density", log=far, least=None if far else 0.0), series)


def _numbers(run: RunFacts) -> Html:
    keys = [key for key in _NUMBERS if any(number(r.get(key)) is not None for r in run.records)]
    rows = []
    for record in run.records:
        values = [number(record.get(key)) for key in keys]
        rows.append([record["epoch"], *("" if v is None else short_of(v) for v in values)])
    return numbers_of("The history in numbers", ["epoch", *(_NUMBERS[k] for k in keys)], rows)
