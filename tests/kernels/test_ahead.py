"""Kernels that are compiled beforehand, in children that rehearse what will be called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import json, os, numpy as np
from sparsecpu.kernels.machine.ahead import compile_ahead
from sparsecpu.kernels.machine.compile import compile_clock
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.kernels.conv.partial_sums import add_parts
from sparsecpu.kernels.update import refresh
told, found = [], []
perm = np.arange(3, dtype=np.int32)[::-1].copy()
perm.setflags(write=False)
out = np.zeros(3, np.float32)

def work():
    with use_threads(THREADS):
        refresh(np.arange(3, dtype=np.float32), perm, out)
        add_parts(np.ones((2, 3), np.float32), perm, out[:2].copy())

def rehearse():
    work()
    out[:] = 7
    ENDING

compile_clock.listeners.append(told.append)
compile_ahead(rehearse, "run")
ahead = [t for t in told]
assert out.tolist() == [0, 0, 0]  # only a child's
work()
assert out.tolist() == [2, 1, 0]
print(json.dumps([ahead, len(told) - len(ahead)]))
"""


def run(folder, threads=1, ending="pass"):
    code = CODE.replace("THREADS", str(threads)).replace("ENDING", ending)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="forks, on several cores"
)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_rehearsal_calls_is_there_when_it_is_called(tmp_path, threads):
    ahead, later = run(tmp_path, threads)
    first, *kernels, last = ahead
    assert last[1:] == [len(kernels), len(kernels), 0]
    assert first[1:3] == [0, len(kernels)]
    assert first[3] > 0
    assert {"update.refresh", "partial_sums.add_parts"} <= {kernel[0] for kernel in kernels}
    assert sorted(kernel[1] for kernel in kernels) == list(range(1, len(kernels) + 1))
    assert later == 0
    assert run(tmp_path, threads) == [[], 0]


@pytest.mark.parametrize("ending", ["1 / 0", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_child_that_ends_early_costs_time_only(tmp_path, ending):
    ahead, later = run(tmp_path, ending=ending)
    assert (len(ahead) == 4 and later == 0) if ending == "1 / 0" else (ahead == [] and later == 2)
