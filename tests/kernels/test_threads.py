"""Threads, forks and the cache of compiled kernels, each in processes of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sparsecpu.errors import ForkError
from sparsecpu.kernels.machine.threads import (
    available_threads,
    chosen_threads,
    current_threads,
    team,
    use_threads,
)
from sparsecpu.kernels.update import refresh
from sparsecpu.layers import SparseLinear
from sparsecpu.layers.sequential import Sequential

ROOT = Path(__file__).parents[2]
SMALL = """
import json, numba, numpy as np
from sparsecpu.kernels.machine.compile import compile_clock
from sparsecpu.kernels.update import refresh
perm = np.arange(3, dtype=np.int32)[::-1].copy()
perm.setflags(write=False)
out = np.empty(3, np.float32)
refresh(np.arange(3, dtype=np.float32), perm, out)
print(json.dumps([out.tolist(), compile_clock.seconds]))
"""
#: Forks for each line that it reads: what a process imports before it calls a kernel is always the
#: same, and takes longest. So does LLVM's first function; this one is in no cache.
FORKING = f"""
import os, sys
import numba, numpy
numba.njit(lambda: 0)()
import sparsecpu.kernels.update
for line in sys.stdin:
    if os.fork() == 0:
        break
    if os.wait()[1]:
        sys.exit("a child has failed")
else:
    sys.exit()
{SMALL}
sys.stdout.flush()
os._exit(0)  # to take everything down costs half a second
"""


def start(code, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def seconds_of(out):
    values, seconds = json.loads(out)
    assert values == [2, 1, 0]
    return seconds


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return seconds_of(out)


def run(**variables):
    return finish(start(SMALL, **variables))


@contextlib.contextmanager
def forking(**variables):
    """Yield what does as ``run``, in forks of one process that has everything imported."""
    if not hasattr(os, "fork"):
        yield lambda: run(**variables)
        return
    process = start(FORKING, **variables)

    def again():
        process.stdin.write("\n")
        process.stdin.flush()
        out = process.stdout.readline()
        assert out, process.communicate(timeout=300)[1]
        return seconds_of(out)

    try:
        yield again
    finally:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def test_the_cache_survives_what_may_happen_to_it(tmp_path):
    folder = str(tmp_path / "kernels")
    both = [start(SMALL, NUMBA_CACHE_DIR=folder) for _ in range(2)]  # compile at once
    for process in both:
        finish(process)
    assert run(NUMBA_CACHE_DIR=folder) == 0
    files = sorted(Path(folder).rglob("*.nb[ic]"))
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    with forking(NUMBA_CACHE_DIR=folder) as again:
        for kind in (".nbi", ".nbc"):
            for damage in (lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"rubbish" * 9):
                for file in files:
                    if file.suffix == kind:
                        file.write_bytes(damage(file.read_bytes()))
                assert again() > 0  # compiled anew
                assert again() == 0  # and kept again


def test_without_a_cache_kernels_are_compiled_each_time():
    nowhere = "import sparsecpu.kernels.machine.cache as c\nc.cache_folder = lambda: None\n"
    for _ in range(2):
        assert finish(start(nowhere + SMALL)) > 0


def test_where_the_usual_folder_cannot_be_written_another_serves(tmp_path):
    variables = {"NUMBA_CACHE_DIR": "/proc/nowhere", "TMPDIR": str(tmp_path)}
    process = start("import warnings; warnings.simplefilter('default')\n" + SMALL, **variables)
    err = process.communicate(timeout=300)[1]
    assert process.returncode == 0
    assert err.count("cannot be written") == 1
    assert run(**variables) == 0
    (kept,) = tmp_path.glob("sparsecpu-kernels-*")
    kept.chmod(0o777)  # others could have put anything there
    assert run(**variables) > 0


def test_reinstalled_kernels_are_found_again_and_old_ones_removed(tmp_path):
    def installed(place):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "sparsecpu", tmp_path / place / "sparsecpu", ignore=ignored)
        for name in ("layers", "datasets", "bench"):
            (tmp_path / place / name).symlink_to(ROOT / name)
        return f"import sys; sys.path.insert(0, {str(tmp_path / place)!r})\n" + SMALL

    def seconds(code):
        return finish(start(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")))

    first, again = installed("first"), installed("again")
    assert seconds(first) > 0
    assert seconds(again) == 0
    (old,) = (tmp_path / "cache" / "kernels").iterdir()
    os.utime(old, (0, 0))
    with open(tmp_path / "again" / "sparsecpu" / "kernels" / "norm.py", "a") as source:
        source.write("# another state\n")
    assert seconds(again) > 0
    (new,) = (tmp_path / "cache" / "kernels").iterdir()
    assert new != old


def test_a_change_of_any_kernel_source_is_noticed(tmp_path):
    stamped = "import sparsecpu.kernels.machine.cache as c\nc.sources_stamp = lambda: 'newer'\n"
    changed = SMALL
    for line in ("from sparsecpu.kernels.update", "from sparsecpu.kernels.machine.compile"):
        changed = changed.replace(line, stamped + line)
    folder = str(tmp_path)
    assert run(NUMBA_CACHE_DIR=folder) > 0
    assert finish(start(changed, NUMBA_CACHE_DIR=folder)) > 0
    assert finish(start(changed, NUMBA_CACHE_DIR=folder)) == 0


def network():
    rng = np.random.default_rng(0)
    return Sequential([SparseLinear(40, 30, density=0.2, rng=rng)])


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_may_predict_at_once(layer):
    code = """
import json, threading, numpy as np
from sparsecpu.layers import SparseLinear, Sequential
net = Sequential([SparseLinear(400, 300, density=0.2, rng=np.random.default_rng(0))])
x = np.random.default_rng(1).standard_normal((512, 400)).astype(np.float32)  # for all threads
wanted, wrong = net.predict(x), []
def work():
    for _ in range(20):
        if not np.array_equal(net.predict(x), wanted):
            wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not wrong
print(json.dumps([[2, 1, 0], 0]))
"""
    finish(start(code, NUMBA_THREADING_LAYER=layer))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(available_threads() < 2, reason="needs two threads")
def test_a_forked_child_gets_an_error_instead_of_a_signal():
    code = """
import json, os, numba, numpy as np
from sparsecpu.errors import ForkError
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import SparseLinear, Sequential
net = Sequential([SparseLinear(40, 30, density=0.2, rng=np.random.default_rng(0))])
x = np.ones((8, 40), np.float32)
with use_threads(2):
    wanted = net.predict(x)
child = os.fork()
if child == 0:
    with use_threads(1):  # nothing of Numba's threads
        if not np.array_equal(net.predict(x), wanted):
            os._exit(4)
    try:
        with use_threads(2):
            net.predict(x)
    except ForkError:
        os._exit(3)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert os.WIFEXITED(status), status
assert os.WEXITSTATUS(status) == (3 if numba.threading_layer() == "omp" else 0)
print(json.dumps([[2, 1, 0], 0]))
"""
    finish(start(code, NUMBA_THREADING_LAYER="omp"))
    finish(start(code, NUMBA_THREADING_LAYER="workqueue"))


@pytest.fixture
def nothing_chosen():
    with use_threads(None):
        yield


def test_who_decides_on_threads(nothing_chosen):
    assert chosen_threads() is None
    assert current_threads() == available_threads()
    with use_threads(1):
        assert chosen_threads() == current_threads() == 1
        with use_threads(None):
            assert chosen_threads() is None
        found = []
        other = threading.Thread(target=lambda: found.append(chosen_threads()))
        other.start()
        other.join()
        assert found == [None]  # each Python thread has its own
        assert chosen_threads() == 1
    weights = network().sparse_parameters().values()
    assert team(weights, 8, None) == 1  # nothing to share
    assert team(weights, 10**6, None) is None
    assert team(weights, 8, 2) == 2
    assert team(weights, 10**6, 1) == 1


def test_one_thread_has_a_form_of_its_own(nothing_chosen, monkeypatch):
    """It needs nothing of Numba's threads, and computes the same."""
    called = []
    for name in ("alone", "together"):
        form = getattr(refresh, name)
        monkeypatch.setattr(
            refresh, name, lambda *a, form=form, name=name: called.append(name) or form(*a)
        )
    data, perm = np.arange(50, dtype=np.float32), np.arange(50, dtype=np.int32)[::-1].copy()
    perm.setflags(write=False)
    out = np.zeros((2, 50), np.float32)
    with use_threads(1):
        refresh(data, perm, out[0])
    refresh(data, perm, out[1])
    assert called == ["alone", "together" if available_threads() > 1 else "alone"]
    np.testing.assert_array_equal(out, np.stack([data[::-1]] * 2))


def test_the_error_says_what_helps():
    assert "spawn" in str(ForkError())
    assert isinstance(ForkError(), RuntimeError)
    assert threading.active_count() >= 1
    assert network().predict(np.ones((1, 40), np.float32)).shape == (1, 30)


def test_the_environment_stays_as_it_was():
    code = (
        "import os; before = dict(os.environ); from sparsecpu.kernels.machine import threads;"
        "threads.launch(); assert dict(os.environ) == before"
    )
    for more in ({}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "PASSIVE"}):
        clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT",)}
        done = subprocess.run([sys.executable, "-c", code], env=clean | more, check=False)
        assert done.returncode == 0


@pytest.mark.parametrize(("more", "nested"), [({}, 0), ({"OMP_NESTED": "TRUE"}, 1)])
def test_openmp_makes_no_teams_in_teams(more, nested):
    """A library that shares OpenMP with Numba does as before, and as its user says."""
    omppool = pytest.importorskip("numba.np.ufunc.omppool")
    code = (
        "import ctypes, numba; from sparsecpu.kernels.machine import threads; threads.launch();"
        f"print(ctypes.CDLL({omppool.__file__!r}).omp_get_nested())"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    env = clean | more | {"NUMBA_THREADING_LAYER": "omp"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == nested
