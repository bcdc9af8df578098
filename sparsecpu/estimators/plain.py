"""Parameters and results of an estimator as plain values, as JSON has them, and back."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, SparseCPUError
from sparsecpu.networks.description import Architecture
from sparsecpu.step.plain_values import refuse
from sparsecpu.topology import TOPOLOGIES, Topology

#: What a result is called; everything else that an estimator holds is no result of a fit.
_RESULT = re.compile(r"[a-z][a-z0-9_]*_")
#: Results that a file has in other places, or that are made from them.
_ELSEWHERE = ("network_", "architecture_", "classes_", "n_features_in_", "feature_names_in_",
              "n_outputs_", "image_shape_")  # fmt: skip


class NotPlain(Exception):
    """A value that cannot be written as plain values."""


class DescribedModel:
    """A model that is a description: a function of image shape and outputs, and picklable."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def __call__(self, image_shape: tuple[int, ...], n_outputs: int) -> Architecture:
        """Return the description with all its weights; it is for one shape of images."""
        shapes = self.architecture.weight_shapes()
        return self.architecture.with_counts(iter([int(np.prod(shape)) for shape in shapes]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DescribedModel) and self.architecture == other.architecture

    def __hash__(self) -> int:
        return hash(self.architecture.name)

    def __repr__(self) -> str:
        return f"DescribedModel({self.architecture.name!r})"


def to_plain(value: Any) -> Any:
    """Return a value as plain ones; ``NotPlain`` if it has no such form."""
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [to_plain(entry) for entry in value]
    if isinstance(value, tuple):
        return {"tuple": [to_plain(entry) for entry in value]}
    if isinstance(value, dict):
        return {"dict": [[to_plain(key), to_plain(entry)] for key, entry in value.items()]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, (np.dtype, type)) and np.dtype(value) in (np.float32, np.float64):
        return np.dtype(value).name
    if isinstance(value, Topology):
        return {"topology": value.name, "options": to_plain(_options_of(value))}
    if isinstance(value, DescribedModel):
        return {"model": value.architecture.to_dict()}
    raise NotPlain


def _options_of(topology: Topology) -> dict[str, Any]:
    """Return the arguments that make the like of a topology, if its attributes are named so."""
    kind = type(topology)
    if TOPOLOGIES.get(topology.name) is not kind:
        raise NotPlain
    try:
        return {name: getattr(topology, name) for name in inspect.signature(kind).parameters}
    except AttributeError:
        raise NotPlain from None


def from_plain(value: Any, where: str) -> Any:
    """Return what ``to_plain`` made a value of; refuse what it cannot have made."""
    if isinstance(value, list):
        return [from_plain(entry, where) for entry in value]
    if not isinstance(value, dict):
        return value
    try:
        return _from_table(value, where)
    except FileFormatError:
        raise
    except (SparseCPUError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise FileFormatError(f"{where}: {error}") from None


def _from_table(value: dict[str, Any], where: str) -> Any:
    names = set(value)
    if names == {"tuple"}:
        return tuple(from_plain(value["tuple"], where))
    if names == {"dict"}:
        return {from_plain(key, where): from_plain(entry, where) for key, entry in value["dict"]}
    if names == {"array", "dtype"}:
        dtype = np.dtype(value["dtype"])
        if dtype.kind in "biuf":
            return np.array(value["array"], dtype)
    if names == {"topology", "options"}:
        return TOPOLOGIES.find(value["topology"])(**from_plain(value["options"], where))
    if names == {"model"}:
        return DescribedModel(Architecture.from_dict(value["model"]))
    return refuse(where, value, "a plain value, or one of those that estimators write")


def parameters_of(estimator: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of an estimator, and the names of those that have no plain form."""
    found, left = {}, []
    for name, value in estimator.get_params(deep=False).items():
        try:
            found[name] = to_plain(value)
        except NotPlain:
            left.append(name)
    return found, left


def results_of(estimator: Any) -> dict[str, Any]:
    """Return what a fit has left, beside the network: numbers and lists of them."""
    found = {}
    for name, value in vars(estimator).items():
        if _RESULT.fullmatch(name) and name not in _ELSEWHERE:
            try:
                found[name] = to_plain(value)
            except NotPlain:
                continue
    return found


def set_results(estimator: Any, results: dict[str, Any], where: str) -> None:
    """Give an estimator what ``results_of`` returned; nothing else can be set so."""
    for name, value in results.items():
        known = _RESULT.fullmatch(name) and name not in _ELSEWHERE
        if not known or hasattr(type(estimator), name):
            refuse(where, name, "a result of a fit, such as loss_curve_")
        setattr(estimator, name, from_plain(value, f"{where}.{name}"))
