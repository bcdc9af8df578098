"""What users have told Numba, by variables of the environment or otherwise; refused in a line."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from sparsecpu.errors import ParameterError

#: More threads than so many per core, and than ``_MOST`` in all, are a slip; each takes memory.
_PER_CORE, _MOST = 4, 64
#: Libraries that run threads, in Numba's order, and the modules of Numba that load them.
_LAYERS = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}
#: What else the layer may be called: the libraries that are tried then.
_PROMISES = {
    "safe": ("tbb",),
    "threadsafe": ("tbb", "omp"),
    "forksafe": ("tbb", "workqueue") if sys.platform == "linux" else ("tbb", "omp", "workqueue"),
}


def check_environment() -> None:
    """Raise ``ParameterError`` if a variable has a value that Numba could not be loaded with."""
    most = max(_MOST, _PER_CORE * (os.cpu_count() or 1))
    _check_number("NUMBA_NUM_THREADS", 1, most, f"an integer from 1 to {most}, or to be unset")
    _check_number("NUMBA_DISABLE_JIT", 0, 0, "0, or to be unset: kernels only run compiled")


def _check_number(name: str, least: int, most: int, expected: str) -> None:
    text = os.environ.get(name)
    if text is None:
        return
    try:
        fits = least <= int(text) <= most
    except ValueError:
        fits = False
    if not fits:
        raise ParameterError(name, text, expected)


def check_numba(config: Any) -> None:
    """Raise ``ParameterError`` if Numba, once loaded, is not to compile or cannot run threads."""
    if config.DISABLE_JIT:
        expected = "0: kernels only run compiled"
        raise ParameterError("NUMBA_DISABLE_JIT", config.DISABLE_JIT, expected)
    order = list(config.THREADING_LAYER_PRIORITY)
    if sorted(order) != sorted(_LAYERS):
        expected = "tbb, omp and workqueue in any order, with spaces between"
        raise ParameterError("NUMBA_THREADING_LAYER_PRIORITY", " ".join(order), expected)
    _check_layer(str(config.THREADING_LAYER))


def _check_layer(name: str) -> None:
    known = name.lower()
    if known == "default":
        return
    wanted = (known,) if known in _LAYERS else _PROMISES.get(known)
    if wanted is None:
        expected = f"one of default, {', '.join(_LAYERS)}, {', '.join(_PROMISES)}"
        raise ParameterError("NUMBA_THREADING_LAYER", name, expected)
    if not any(map(_loads, wanted)):
        there = ", ".join(["default", *filter(_loads, _LAYERS)])
        expected = f"one that is there: {there} (pip install 'sparsecpu[tbb]' adds tbb)"
        raise ParameterError("NUMBA_THREADING_LAYER", name, expected)


def _loads(layer: str) -> bool:
    try:
        importlib.import_module(f"numba.np.ufunc.{_LAYERS[layer]}")
    except ImportError:
        return False
    return True
