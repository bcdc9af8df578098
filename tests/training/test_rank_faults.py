"""A rank that ends, fails or hangs ends the job, and says which rank it was and why."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sparsecpu.errors import ParameterError, RankError
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator
from sparsecpu.training.rank_watch import check_timeout
from tests.ranks import together

LAUNCHER = shutil.which("mpiexec", path=os.path.dirname(sys.executable))
needs_mpi = pytest.mark.skipif(not LAUNCHER, reason="no mpiexec")
ROOT = Path(__file__).parents[2]

#: Three ranks that add up, until something happens to one of them.
SUMS = """
import os, signal, sys, time
import numpy as np
from sparsecpu.training.mpi import communicator
from mpi4py import MPI  # last: all ranks go on from here together

fault, place = sys.argv[1], int(sys.argv[2])
comm = communicator(MPI.COMM_WORLD, timeout=2)
for step in range(9):
    comm.sum(np.ones(3))
    if step == 5 and comm.rank == place:
        if fault == "exit": sys.exit(0)
        if fault == "stop": os.kill(os.getpid(), signal.SIGSTOP)
        if fault == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if step == 5 and fault == "all raise": raise ValueError("in two\\nlines")
if fault == "late" and comm.rank == place: time.sleep(3)
"""


def launch(*words, ranks=3, limit=60):
    """Run ``words`` on some ranks; a job that does not end in time fails, and leaves nothing."""
    job = subprocess.Popen(
        [LAUNCHER, "-n", str(ranks), *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        out, err = job.communicate(timeout=limit)
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    said = [line for line in err.splitlines() if line.startswith("sparsecpu:")]
    return job.returncode, said, out + err


@needs_mpi
def test_a_rank_that_fails_ends_the_others(tmp_path):
    pytest.importorskip("mpi4py")
    script = tmp_path / "sums.py"
    script.write_text(SUMS)
    wanted = {
        "late 1": (0, []),  # what a rank does alone at the end is nobody's matter
        "exit 1": (1, ["rank 1 has ended"]),
        "all raise 0": (1, ["rank 0 ends the job: ValueError: in two lines"]),
        "stop 1": (1, ["rank 1 did not come within 2 s"]),
        "kill 2": (9, []),  # the launcher says so
    }
    for case, (code, lines) in wanted.items():
        fault, _, place = case.rpartition(" ")
        found, said, everything = launch(sys.executable, script, fault, place)
        assert found == code, (case, everything)
        assert len(said) == len(lines), (case, everything)
        assert all(part in line for part, line in zip(lines, said, strict=True)), (case, everything)


@needs_mpi
def test_wrong_input_is_said_once_with_exit_code_2(tmp_path):
    pytest.importorskip("mpi4py")
    train = f"{sys.executable} -m sparsecpu train digits --topology static"
    lines = {
        "alike": (f"exec {train} --density 7", "--density is 7.0"),
        "one": (f"[ $PMI_RANK = 1 ] && exec {train} --bogus; exec {train}", "rank 1: "),
        "another": (f"exec {train} --epochs 1$PMI_RANK --threads 1", "--epochs: rank 0 has 10, "),
    }
    for name, (line, wanted) in lines.items():
        script = tmp_path / "line.sh"
        script.write_text(line)
        code, said, everything = launch("sh", script, ranks=2)
        assert code == 2, (name, everything)
        assert len(said) == 1, (name, everything)
        assert wanted in said[0], (name, everything)


@needs_mpi
def test_a_rank_that_never_starts_is_not_waited_for(tmp_path):
    pytest.importorskip("mpi4py")
    script = tmp_path / "line.sh"
    train = f"exec {sys.executable} -m sparsecpu train digits --rank-timeout 1"
    script.write_text(f"[ $PMI_RANK = 1 ] && exec sleep 50; {train}")
    began = time.monotonic()
    code, said, everything = launch("sh", script, ranks=2)
    assert code != 0
    assert time.monotonic() - began < 40
    assert len(said) == 1, everything
    assert "did not all start" in said[0]


@pytest.mark.parametrize("seconds", [-1, True, "soon", float("nan"), float("inf"), None])
def test_a_timeout_is_a_number_of_seconds(seconds):
    with pytest.raises(ParameterError, match="rank_timeout"):
        check_timeout(seconds)
    assert check_timeout("2.5") == 2.5


@pytest.mark.parametrize("different", ["samples", "targets", "epochs", "shape"])
def test_ranks_that_would_train_on_other_things_are_refused(different):
    def work(comm):
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((40, 6)).astype(np.float32), rng.integers(0, 3, 40)
        epochs = 2
        if comm.rank == 1:
            if different == "samples":
                x[3, 2] += 1
            elif different == "targets":
                y[20] = (y[20] + 1) % 3
            elif different == "epochs":
                epochs = 3
            else:
                x, y = x[:39], y[:39]
        network = Sequential([SparseLinear(6, 3, density=0.5)], (6,))
        Trainer(
            network, loss=SoftmaxCrossEntropy(), epochs=epochs, batch_size=8, threads=1,
            comm=communicator(comm),
        ).fit(x, y)  # fmt: skip

    with pytest.raises(RankError, match="rank 1"):
        together(2, work)
