"""Estimators in model files, and model files as estimators.

A file has everything that the command line needs, and as ``facts["estimator"]`` the parameters of
the estimator and what its fits have left. What a run of the command line has left becomes an
estimator as well, with the parameters that come nearest to its recipe.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder

from sparsecpu.datasets.columns import Columns
from sparsecpu.errors import DataWarning, FileFormatError, ParameterError
from sparsecpu.estimators.facts import facts_of, labels_from
from sparsecpu.estimators.of_runs import parameters_of_run, results_of_run
from sparsecpu.estimators.parameters import check_parameters
from sparsecpu.estimators.plain import from_plain, parameters_of, results_of, set_results
from sparsecpu.estimators.progress import Progress, begin
from sparsecpu.experiments.trained_models import read_model
from sparsecpu.files.model import save
from sparsecpu.files.places import model_path
from sparsecpu.step.plain_values import anything, maybe, named, one_of, real, table, text, whole

_MLPS = {"regression": "SparseMLPRegressor"}
_NAMES = ("SparseMLPClassifier", "SparseMLPRegressor", "SparseCNNClassifier")
#: Facts of the data that a network was trained on, which stay true when it is trained further.
_OF_DATA = ("columns", "first_feature", "data", "training_data", "scaling")
_SAVED = table(
    {
        "class": one_of(_NAMES),
        "parameters": named(anything),
        "results": named(anything),
        "seed": whole(0),
        "progress": table(
            {"factor": real(0.0), "rate": maybe(real(0.0)), "stopper": maybe(named(anything))}
        ),
    },
    {"label_type": text},
)


def save_estimator(estimator: Any, path: Path | str) -> None:
    """Write a fitted estimator as a model file; see ``SparseMLP.save``."""
    parameters, left = parameters_of(estimator)
    if left := [name for name in left if getattr(estimator, name) is not None]:
        warnings.warn(
            f"{', '.join(left)} cannot be kept in a file, which holds no pickles; the estimator "
            "that comes from it has the usual value",
            DataWarning,
            stacklevel=4,
        )
    progress = estimator._progress
    saved: dict[str, Any] = {
        "class": own_class(type(estimator)),
        "parameters": parameters,
        "results": results_of(estimator),
        "seed": estimator._seed,
        "progress": {
            "factor": progress.factor, "rate": progress.rate, "stopper": progress.stopper
        },
    }  # fmt: skip
    if hasattr(estimator, "classes_"):
        saved["label_type"] = estimator.classes_.dtype.str
    facts = {**facts_of(estimator), "estimator": saved}
    save(estimator.network_, path, facts=facts)


def load_estimator(cls: Any, path: Path | str) -> Any:
    """Return the estimator that a model file or the folder of a run holds; see ``SparseMLP.load``.

    Raises ``FileFormatError`` if the file is damaged or of another kind.
    """
    place = model_path(path)
    regressor = own_class(cls) == _MLPS["regression"]
    network, facts = read_model(place, "regression" if regressor else "classification")
    _check_class(cls, network, facts, path)
    saved = facts.get("estimator")
    if saved is None:
        parameters = parameters_of_run(own_class(cls), network, facts, str(path))
    else:
        _SAVED(saved, f"{place}: the estimator")
        given = saved["parameters"].items()
        parameters = {name: from_plain(value, f"{place}: {name}") for name, value in given}
    try:
        estimator = cls(**parameters)
        check_parameters(estimator)
    except (ParameterError, TypeError) as error:
        raise FileFormatError(f"{place}: parameters of the estimator: {error}") from None
    _fill(estimator, network, facts, str(place))
    if saved is None:
        results, seed = results_of_run(facts, Path(path)), int(parameters.get("random_state", 0))
        vars(estimator).update(results)
        estimator._seed, estimator.group_ = seed, parameters.get("group", 1)
    else:
        set_results(estimator, saved["results"], f"{place}: the results")
        estimator._seed, estimator._progress = saved["seed"], Progress(**saved["progress"])
    return estimator


def own_class(cls: Any) -> str:
    """Return which of the estimators here a class is, or is made from."""
    return next(base.__name__ for base in cls.__mro__ if base.__name__ in _NAMES)


def _check_class(cls: Any, network: Any, facts: dict[str, Any], path: Path | str) -> None:
    """Refuse a model for another estimator, which the message names, or for none."""
    saved = facts.get("estimator")
    known = saved.get("class") if isinstance(saved, dict) else None
    right = _class_for(network, facts) if known not in _NAMES else known
    if right is None:
        what = facts["task"] if network.output_length is None else "language"
        raise FileFormatError(
            f"{path} holds a network for {what} that no estimator has; sparsecpu.load reads it"
        )
    if right != own_class(cls):
        raise FileFormatError(f"{path} holds another kind of model: {right}.load reads it")


def _class_for(network: Any, facts: dict[str, Any]) -> str | None:
    """Return the estimator that a network without one is for; None for none."""
    first = network.layers[0].kind if network.layers else ""
    if network.output_length is not None or network.reads_sequences:
        return None
    if len(network.input_shape) == 1 or first == "flatten":
        return _MLPS.get(facts["task"], "SparseMLPClassifier")
    return None if facts["task"] == "regression" else "SparseCNNClassifier"


def _fill(estimator: Any, network: Any, facts: dict[str, Any], where: str) -> None:
    """Make a new estimator a fitted one, with everything that a file says beside the weights."""
    estimator.network_, estimator.architecture_ = network, network.architecture
    estimator.n_features_in_ = math.prod(network.input_shape)
    estimator.n_outputs_ = network.n_outputs
    columns = None if facts.get("columns") is None else Columns.from_dict(facts["columns"])
    if columns is not None and columns.header:
        estimator.feature_names_in_ = np.array(columns.feature_names, dtype=object)
    estimator._target_name = None if columns is None else columns.target
    if own_class(type(estimator)) == "SparseCNNClassifier":
        estimator.image_shape_ = network.input_shape
    estimator.scaling_ = facts.get("scaling", "feature" if network.offset.size else "none")
    task = facts["task"]
    if task == "regression":
        estimator._one_output = network.n_outputs == 1
        estimator.target_mean_ = np.array(facts["target_mean"], np.float64)
        estimator.target_scale_ = np.array(facts["target_scale"], np.float64)
    else:
        _fill_classes(estimator, facts, where)
    estimator._known = {name: facts[name] for name in _OF_DATA if name in facts}
    begin(estimator)
    network.facts = facts_of(estimator)


def _fill_classes(estimator: Any, facts: dict[str, Any], where: str) -> None:
    estimator._multilabel = facts["task"] == "multilabel"
    try:
        dtype = (facts.get("estimator") or {}).get("label_type")
        estimator.classes_ = labels_from(facts["classes"], dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise FileFormatError(f"{where}: the labels: {error}") from None
    estimator._label_encoder = None
    if not estimator._multilabel:
        estimator._label_encoder = LabelEncoder()
        estimator._label_encoder.classes_ = estimator.classes_
