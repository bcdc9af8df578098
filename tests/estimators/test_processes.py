"""Estimators in threads and processes: right results or one clear error, and never a hang."""

import copy
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import estimating
import numpy as np
import pytest
from estimating import X, Y, model
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV

from sparsecpu import SparseCNNClassifier, SparseMLPRegressor
from sparsecpu.errors import InUseError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROOT = Path(__file__).parents[2]
#: Seconds until a process counts as hanging.
LIMIT = 120


def process(code, **variables):
    """Run code in a process of its own, with a limit of time, and return what it prints."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = {**os.environ, "PYTHONPATH": paths, **variables}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, text=True,
        capture_output=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_processes_train_and_predict_as_this_one_does():
    code = f"""
if __name__ == "__main__":
    import multiprocessing, estimating
    fitted = estimating.model().fit(estimating.X, estimating.Y)
    here = estimating.predicted(fitted)
    contexts = map(multiprocessing.get_context, ("spawn", "forkserver"))
    pools = [context.Pool(1) for context in contexts]  # they start at the same time
    waiting = [pool.apply_async(estimating.trained) for pool in pools]
    waiting += [pool.apply_async(estimating.predicted, (fitted,)) for pool in pools]
    for result in waiting:
        there = result.get({LIMIT})
        print(there[0] != here[0] and there[1] == here[1])
    [pool.terminate() for pool in pools]
"""
    assert process(code) == ["True"] * 4


#: Another thread trains all the while; every child trains, and its result is compared.
FORKS = """
import os, sys, threading, time, estimating
from sparsecpu.errors import ForkError
wanted, stop = estimating.trained()[1], threading.Event()
def work():
    while not stop.is_set():
        estimating.trained()
threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
[thread.start() for thread in threads]
ends = set()
for number in range(8):
    time.sleep(0.02 * (number % 4))
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if estimating.trained()[1] == wanted else 1)
        except ForkError:
            os._exit(3)
        finally:
            os._exit(4)
    limit = time.monotonic() + 40
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > limit:
            os.kill(child, 9)
        time.sleep(0.005)
    ends.add(ended[1] if ended[1] < 256 else os.waitstatus_to_exitcode(ended[1]))
stop.set()
[thread.join() for thread in threads]
print(*ends)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("layer", "threads"), [("omp", "1"), ("workqueue", "2")])
def test_a_fork_while_other_threads_train_ends_well(layer, threads):
    """OpenMP's children cannot have its threads: see ``tests/kernels/test_threads.py``."""
    assert process(FORKS, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=threads) == ["0"]


def test_workers_of_joblib_train_and_predict_as_this_process_does():
    """They have their share of the cores, so that there may be fewer threads than jobs."""
    fitted = model().fit(X, Y)
    here = estimating.predicted(fitted)
    tasks = [delayed(estimating.trained)(), delayed(estimating.predicted)(fitted)] * 2
    for who, found in Parallel(2, timeout=LIMIT)(tasks):
        assert who != here[0]
        assert found == here[1]
    search = GridSearchCV(model(), {"n_jobs": [2, -1]}, cv=2, n_jobs=2, error_score="raise")
    assert len(set(search.fit(X, Y).cv_results_["mean_test_score"])) == 1


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_python_threads_train_and_predict_at_once(density):
    """Each its own estimator, or all one that is not trained meanwhile."""
    one = model(density=density).fit(X, Y)
    wanted = one.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(lambda: model(density=density).fit(X, Y)) for _ in range(6)]
        predictions = [pool.submit(one.predict_proba, X) for _ in range(12)]
        for fit in fits:
            np.testing.assert_array_equal(fit.result(LIMIT).predict_proba(X), wanted)
        for prediction in predictions:
            np.testing.assert_array_equal(prediction.result(LIMIT), wanted)


def test_one_estimator_is_trained_by_one_thread_at_a_time():
    shared, inside, go = model().fit(X, Y), threading.Event(), threading.Event()

    class Slow:
        """Samples that come only when they may."""

        shape = X.shape

        def __array__(self, dtype=None, copy=None):
            inside.set()
            assert go.wait(LIMIT)
            return X

    with ThreadPoolExecutor(2) as pool:
        training = pool.submit(shared.partial_fit, Slow(), Y)
        assert inside.wait(LIMIT)
        uses = [
            lambda: shared.predict(X), lambda: shared.predict_proba(X), lambda: shared.fit(X, Y),
            lambda: shared.partial_fit(X, Y), lambda: copy.deepcopy(shared),
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(InUseError, match="in use"):
                use()
        go.set()
        training.result(LIMIT)
        inside.clear(), go.clear()
        reading = pool.submit(shared.predict, Slow())
        assert inside.wait(LIMIT)
        assert shared.predict(X).shape == Y.shape  # any number of threads
        with pytest.raises(InUseError, match="in use"):
            shared.partial_fit(X, Y)
        go.set()
        reading.result(LIMIT)
    shared.partial_fit(X, Y).predict(X)


@pytest.mark.parametrize("jobs", [1, 2, 99, np.int64(2), -1, -2, -99, None])
def test_jobs_are_counted_as_joblib_counts_them(jobs):
    """And are never more than there are; results do not depend on them."""
    alone, many = model(n_jobs=1).fit(X, Y), model(n_jobs=jobs).fit(X, Y)
    np.testing.assert_array_equal(alone.predict_proba(X), many.predict_proba(X))


@pytest.mark.parametrize("jobs", [0, 1.5, "2", True])
@pytest.mark.parametrize("kind", [model, SparseMLPRegressor, SparseCNNClassifier])
def test_what_is_no_number_of_jobs_is_refused_by_its_name(kind, jobs):
    with pytest.raises(ParameterError, match="n_jobs"):
        kind(n_jobs=jobs).fit(X, Y)
    if kind is model:
        fitted = model().fit(X, Y).set_params(n_jobs=jobs)
        with pytest.raises(ParameterError, match="n_jobs"):
            fitted.predict(X)
