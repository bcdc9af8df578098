"""What each parameter of the estimators is and may be, said once: their docstrings are made of it.

What a recipe has too is described in the recipe's words.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.estimators.rates import RATES, SOLVERS
from sparsecpu.estimators.scaling import check_scale
from sparsecpu.estimators.weights import check_class_weight
from sparsecpu.experiments.options import Option, Rule, integer, one_of
from sparsecpu.experiments.recipe import options
from sparsecpu.layers import ACTIVATIONS
from sparsecpu.networks.groups import check_group
from sparsecpu.networks.models import model_names
from sparsecpu.registries.numbers import (
    above_zero,
    at_least_zero,
    below_one,
    float_type,
    truth_value,
)

E = TypeVar("E", bound=type)


def _batch_size(name: str, value: Any) -> None:
    known = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (known and value >= 1) and not (isinstance(value, str) and value == "auto"):
        raise ParameterError(name, value, "'auto' or an integer of at least 1")


def _number(good: Callable[[Any], bool], expected: str) -> Rule:
    """Return the rule that a value is a number, and a good one; NaN never is."""

    def rule(name: str, value: Any) -> None:
        known = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (known and good(value)):
            raise ParameterError(name, value, expected)

    return rule


_between_zero_and_one = _number(lambda value: 0 < value < 1, "a number between 0 and 1")
_power = _number(lambda value: 0 <= value <= 10, "a number from 0 to 10")
_patience = _number(
    lambda value: value >= 1 and (value == np.inf or value == int(value)),
    "an integer of at least 1, or infinity",
)


def _dtype(name: str, value: Any) -> None:
    float_type(value)


def _iterations(name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)):
        raise ParameterError(name, value, "an integer of at least 1")
    integer(1)(name, value)


def check_jobs(name: str, value: Any) -> None:
    """Refuse what is no number of jobs, as joblib counts them."""
    known = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if value is not None and not (known and value != 0):
        expected = (
            "None, an integer of at least 1, or one below 0: -1 for all cores, -2 for all but 1"
        )
        raise ParameterError(name, value, expected)


def _words(name: str, value: Any) -> None:
    if not (isinstance(value, (int, np.integer)) and value >= 0):
        truth_value(name, value)


def _ranks(name: str, value: Any) -> None:
    known = hasattr(value, "Get_size") or (hasattr(value, "rank") and hasattr(value, "size"))
    if value is not None and not known:
        raise ParameterError(name, value, "None, or ranks such as mpi4py.MPI.COMM_WORLD")


_RECIPE, _AS_THERE = options(), Option("As in scikit-learn's ``MLPClassifier``.")
#: By name: the type in words, and the text and rule.
PARAMETERS: dict[str, tuple[str, Option]] = {
    "hidden_layer_sizes": ("int or tuple of ints", Option("Sizes of the hidden layers.")),
    "activation": (
        "str",
        Option(f"Activation of the hidden layers: {', '.join(ACTIVATIONS)}."),
    ),
    "model": (
        "str or callable",
        Option(
            f"The network: {model_names()}, with options as ``models.find_model`` takes them; or a "
            "function of ``(image_shape, n_outputs)`` that returns a description."
        ),
    ),
    "width": ("float", _RECIPE["width"]),
    "image_shape": (
        "tuple of ints or None",
        Option(
            "``(channels, height, width)``, or ``(height, width)`` of grey images. Samples that "
            "come flat are cut by it; by default they are squares of one channel."
        ),
    ),
    "density": ("float", _RECIPE["density"]),
    "distribution": ("str", _RECIPE["distribution"]),
    "group": (
        '{1, 2, 4, 8}, "auto" or list',
        Option(
            "How many neighbouring outputs of a layer (filters of a convolution) share their "
            'inputs. More of them make steps faster, and the choice of weights coarser. "auto" '
            "times them on this machine and takes the fastest for each layer; ``group_`` is what "
            "it took, a list, which makes the same network elsewhere.",
            check_group,
        ),
    ),
    "topology": (
        "str or Topology",
        Option(f"{_RECIPE['topology'].help} See ``topology.make_topology``."),
    ),
    "solver": (
        '{"adam", "sgd"}',
        Option("Adam, or SGD with momentum.", one_of(SOLVERS)),
    ),
    "alpha": (
        "float",
        Option("Strength of the L2 penalty on sparse weights.", at_least_zero),
    ),
    "batch_size": (
        'int or "auto"',
        Option('Samples per step; "auto" for 200, or all if there are fewer.', _batch_size),
    ),
    "learning_rate": (
        '{"constant", "invscaling", "adaptive"}',
        Option(_AS_THERE.help, one_of(RATES)),
    ),
    "learning_rate_init": ("float", Option("The first learning rate.", above_zero)),
    "power_t": ("float", Option(_AS_THERE.help, _power)),
    "max_iter": ("int", Option("Most epochs.", _iterations)),
    "shuffle": ("bool", Option("True if each epoch has an order of its own.", truth_value)),
    "random_state": ("int, RandomState or None", Option("Seed of everything random.")),
    "tol": (
        "float",
        Option("Least improvement that counts; see ``n_iter_no_change``.", at_least_zero),
    ),
    "verbose": (
        "bool or int",
        Option(
            "True to show epochs, loss and speed on a line that is kept up to date, or, where the "
            "output is neither a terminal nor a notebook, the loss of each epoch; 2 for the latter "
            "everywhere.",
            _words,
        ),
    ),
    "warm_start": ("bool", Option("True if ``fit`` goes on from the last network.", truth_value)),
    "momentum": ("float", Option("Momentum of SGD, in [0, 1).", below_one)),
    "nesterovs_momentum": ("bool", Option("True for Nesterov's form of it.", truth_value)),
    "early_stopping": (
        "bool",
        Option(
            "True to hold out samples, stop by their score and keep the best network.", truth_value
        ),
    ),
    "validation_fraction": (
        "float",
        Option("Fraction of the samples that is held out then.", _between_zero_and_one),
    ),
    "beta_1": ("float", Option("Decay of Adam's first moment, in [0, 1).", below_one)),
    "beta_2": ("float", Option("Decay of Adam's second moment, in [0, 1).", below_one)),
    "epsilon": ("float", Option("Added to Adam's root.", above_zero)),
    "n_iter_no_change": (
        "int",
        Option("Epochs without an improvement after which training stops.", _patience),
    ),
    "dropout": (
        "float",
        Option("Rate of dropout behind every hidden layer, in [0, 1).", below_one),
    ),
    "batch_norm": ("bool", Option("True to normalise before every activation.", truth_value)),
    "scale": (
        '{"auto", "feature", "global", "none"} or None',
        Option(
            "How the network scales what it reads, by the samples of the first fit: each feature "
            "to mean 0 and variance 1, or all of them alike (global). Features of a sparse matrix "
            "are divided by their largest size instead, so that zeros stay zeros. auto takes each "
            "feature, of images each channel. Numbers that a regressor learns are scaled in the "
            "same way, and predictions scaled back. None is none.",
            check_scale,
        ),
    ),
    "dtype": ('{"float32", "float64"}', Option("Type of all values.", _dtype)),
    "precision": ("str", _RECIPE["precision"]),
    "class_weight": (
        'dict, "balanced" or None',
        Option("Weights of the classes in the loss.", check_class_weight),
    ),
    "n_jobs": (
        "int or None",
        Option(
            "Threads; None or -1 for as many as speed it up, -2 for all cores but one, and so on; "
            "never more than the process may use. Results do not depend on it.",
            check_jobs,
        ),
    ),
    "comm": (
        "mpi4py.MPI.Comm or None",
        Option(
            "Ranks that share every batch; all of them call ``fit`` with the same samples. See "
            "docs/scaling.md.",
            _ranks,
        ),
    ),
}


def check_parameters(estimator: Any) -> None:
    """Refuse parameters of an estimator that cannot work."""
    for name in PARAMETERS.keys() & inspect.signature(type(estimator)).parameters.keys():
        PARAMETERS[name][1].rule(name, getattr(estimator, name))


def refuse_early_stopping(estimator: Any) -> None:
    """Refuse what ``partial_fit`` cannot do: hold out samples."""
    if estimator.early_stopping:
        expected = "False: partial_fit does not support early_stopping=True"
        raise ParameterError("early_stopping", True, expected)


def refuse_balanced(estimator: Any) -> None:
    """Refuse what ``partial_fit`` cannot know: how many samples of each class are to come."""
    if isinstance(estimator.class_weight, str) and estimator.class_weight == "balanced":
        expected = (
            "a dict or None in partial_fit, which has not seen all samples; sklearn.utils."
            "class_weight.compute_class_weight('balanced', classes=…, y=…) gives weights for one"
        )
        raise ParameterError("class_weight", "balanced", expected)


def documented(cls: E) -> E:
    """Put what is known of a class's parameters in the place of ``{parameters}`` in its words."""
    lines = ["Parameters", "----------"]
    for name, parameter in inspect.signature(cls).parameters.items():
        kind, option = PARAMETERS[name]
        lines.append(f"{name} : {kind}, default={parameter.default!r}")
        lines.append(
            textwrap.indent(textwrap.fill(option.help, 92, break_on_hyphens=False), "    ")
        )
    if cls.__doc__ is not None:  # python -OO leaves none
        cls.__doc__ = inspect.cleandoc(cls.__doc__).replace("{parameters}", "\n".join(lines))
    return cls
