"""What ``sparsecpu`` shows of itself, and what it says of names that it does not have."""

import importlib
import subprocess
import sys

import pytest

import sparsecpu


def test_dir_shows_all_public_names():
    shown = dir(sparsecpu)
    assert set(sparsecpu.__all__) <= set(shown)
    for name in shown:
        assert getattr(sparsecpu, name) is not None
    for module in ("layers", "models", "datasets", "topology", "losses", "schedules", "isoflop"):
        assert getattr(sparsecpu, module) is importlib.import_module(f"sparsecpu.{module}")


def test_modules_are_there_without_an_import_of_their_own_and_cost_nothing_before():
    script = (
        "import sys, sparsecpu; dir(sparsecpu); before = set(sys.modules); "
        "print('sparsecpu.models' in before, 'numpy' in before, 'resnet' in dir(sparsecpu.models))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False", "True"]


@pytest.mark.parametrize(("name", "hint"), [
    ("SparseMLPClasifier", "did you mean SparseMLPClassifier?"),
    ("modles", "did you mean models?"), ("RigL", "it is in sparsecpu.topology"),
    ("SparseLinear", "it is in sparsecpu.layers"), ("ParameterError", "it is in sparsecpu.errors"),
    ("resnet", "it is in sparsecpu.models"), ("nonsense", "dir(sparsecpu) shows what there is"),
    ("np", "dir(sparsecpu) shows what there is"),
])  # fmt: skip
def test_a_name_that_is_missing_is_helped_with(name, hint):
    with pytest.raises(AttributeError) as refused:
        getattr(sparsecpu, name)
    assert str(refused.value) == f"module 'sparsecpu' has no attribute {name!r}; {hint}"


def test_private_names_are_looked_for_nowhere_else():
    with pytest.raises(AttributeError, match=r"no attribute '__wrapped__'$"):
        getattr(sparsecpu, "__wrapped__")  # noqa: B009
