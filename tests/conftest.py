import gc
import os
import signal

# Several test processes share the cores, each with a team of threads that would otherwise spin for
# a while after every kernel: the suite takes half the time so. Before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A background job may start with Ctrl-C ignored, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from hypothesis import settings

# Kernels compile inside the first example of a test, which no deadline should judge.
settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("suite")


def pytest_collection_modifyitems(items):
    """tests/learn comes first, as it is to be read first."""
    items.sort(key=lambda item: item.path.parent.name != "learn")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that a test writes to files, in order: what is in them can be looked at."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    figures, save = [], figure.savefig

    def savefig(self, *args, **options):
        save(self, *args, **options)
        figures.append(self)

    monkeypatch.setattr(figure, "savefig", savefig)
    return figures


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture(autouse=True, scope="module")
def _kernels_are_no_garbage():
    """Let Python's search for garbage pass over what the files before have compiled and imported.

    These are millions of objects: a search among them takes a second, and some tests ask for one.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _one_thread():
    """Kernels that a test calls by itself run on one thread, unless it says ``use_threads``.

    Their form for several threads takes four times as long to compile. That both give the same
    bits is what tests of threads are for.
    """
    from sparsecpu.kernels.machine.threads import use_threads

    with use_threads(1):
        yield
