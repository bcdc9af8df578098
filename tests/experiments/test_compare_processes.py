"""The processes of a comparison end with it, and what goes wrong in them is one line."""

import os
import signal
import subprocess
import sys
import time

import pytest
from commands import run

from sparsecpu.errors import DataError
from sparsecpu.experiments.comparison import Cell, Comparison, worker

QUICK = ("--model", "30,20", "--epochs", 3, "--learning-rates", "0.05", "--quiet")

PARENT = """
import multiprocessing, os, signal, time
from sparsecpu.experiments.comparison import worker
def work():
    import threading
    threading.Thread(target=worker.end_with_parent, daemon=True).start()
    time.sleep(60)
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_processes_of_a_killed_comparison_end(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    child = int(parent.stdout.readline())
    time.sleep(0.2)
    os.kill(child, 0)  # it is at work
    parent.kill()
    parent.wait()
    deadline = time.time() + 30
    while time.time() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("it goes on for nobody")


FAILING = """
import sys, threading
from concurrent.futures import ProcessPoolExecutor
from sparsecpu.cli import main
from sparsecpu.experiments.comparison.result_folder import ResultFolder

def append(self, result, history):
    raise OSError(28, "No space left on device")

def shutdown(self, *args, before=ProcessPoolExecutor.shutdown, **options):
    noisy = threading.Thread(target=lambda: 1 / 0)  # as the pool's own may fail then
    noisy.start()
    noisy.join()
    before(self, *args, **options)
    print(threading.active_count())

ResultFolder.append, ProcessPoolExecutor.shutdown = append, shutdown
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def test_a_full_disk_is_one_line_whatever_the_processes_do(tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    words = [sys.executable, tmp_path / "failing.py", "compare", "iris", "--methods", "static,set",
             "--densities", "0.3", "--jobs", "2", "--out", tmp_path / "c", *QUICK]  # fmt: skip
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
    assert done.stdout == "1\n"  # the threads of the pool have ended


def test_data_that_is_gone_when_a_process_reads_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(worker, "_failure", None)
    worker.prepare(Comparison(str(tmp_path / "gone.csv"), {}, ("static",), (0.3,)))
    with pytest.raises(DataError, match=r"gone\.csv"):
        worker.work((Cell("static", 0.3, 0, 0), 0.1, False))


def test_a_process_that_the_system_ends_is_one_line(tmp_path, monkeypatch):
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    def submit(*args):
        raise BrokenProcessPool

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    result = run("compare", "iris", "--methods", "static,set", "--seeds", 1, "--folds", 2,
                 "--densities", "0.3", "--jobs", 2, "--out", tmp_path / "c", *QUICK)  # fmt: skip
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
