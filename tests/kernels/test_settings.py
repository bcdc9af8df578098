"""What Numba is told by the environment is read as meant, or refused in one line."""

import os
import sys
import types

import pytest
from commands import process

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.settings import check_environment, check_numba

FINE = {"DISABLE_JIT": 0, "THREADING_LAYER": "default",
        "THREADING_LAYER_PRIORITY": ["tbb", "omp", "workqueue"]}  # fmt: skip


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1000000000", "1.5"])
def test_a_number_of_threads_that_cannot_be_is_refused(value, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    with pytest.raises(ParameterError) as caught:
        check_environment()
    assert (caught.value.name, caught.value.value) == ("NUMBA_NUM_THREADS", value)


@pytest.mark.parametrize(("value", "fine"), [("0", True), ("1", False), ("yes", False)])
def test_kernels_cannot_do_without_the_compiler(value, fine, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
    if fine:
        check_environment()
        return
    with pytest.raises(ParameterError, match="NUMBA_DISABLE_JIT"):
        check_environment()


@pytest.mark.parametrize(
    ("changes", "name"),
    [({}, None), ({"DISABLE_JIT": 1}, "NUMBA_DISABLE_JIT"),
     ({"THREADING_LAYER": "nonsense"}, "NUMBA_THREADING_LAYER"),
     ({"THREADING_LAYER": "TBB"}, "NUMBA_THREADING_LAYER"),
     ({"THREADING_LAYER": "safe"}, "NUMBA_THREADING_LAYER"),
     ({"THREADING_LAYER": "workqueue"}, None), ({"THREADING_LAYER": "forksafe"}, None),
     ({"THREADING_LAYER_PRIORITY": ["omp"]}, "NUMBA_THREADING_LAYER_PRIORITY")],
)  # fmt: skip
def test_a_threading_layer_is_there_or_refused(changes, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.tbbpool", None)  # as if it were missing
    config = types.SimpleNamespace(**{**FINE, **changes})
    if name is None:
        check_numba(config)
        return
    with pytest.raises(ParameterError) as caught:
        check_numba(config)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_NUM_THREADS", "0"), ("NUMBA_THREADING_LAYER", "nonsense")]
)
def test_a_command_says_so_in_one_line(name, value):
    environment = {**os.environ, name: value}
    done = process("train", "iris", "--model", "8", "--quiet", env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"sparsecpu: {name} is '{value}'; expected")
    assert done.stderr.count("\n") == 1
    assert process("--version", env=environment).returncode == 0
