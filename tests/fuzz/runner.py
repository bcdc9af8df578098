"""Hands jobs to worker processes, watches them, and counts."""

import contextlib
import json
import mmap
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.finds import Find
from tests.fuzz.target import find_target
from tests.fuzz.worker import CLOCK, case_of

ROOT = Path(__file__).parents[2]
#: A process may need so long to begin, and to compile kernels for the valid examples.
_START_SECONDS = 300.0
#: A case that only waits may do so for as many times its seconds: others may have the CPUs.
_PATIENCE = 12.0
#: One thread each: what readers do is not parallel, and threads reserve memory.
_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
                           "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
}  # fmt: skip


@dataclass
class Count:
    """What became of one target."""

    executions: int = 0
    seconds: float = 0.0
    peak: int = 0
    finds: dict[str, int] = field(default_factory=dict)


class Campaign:
    """Attacks targets for some time, or until each has had so many executions."""

    def __init__(self, names, *, seed, seconds, most, workers, out: Path, say) -> None:
        self.names, self.seed, self.most, self.workers = names, seed, most, workers
        self.seconds, self.out, self.say = seconds, out, say
        self.counts = {name: Count() for name in names}
        self._lock = threading.Lock()
        #: One find per target and place, or a campaign would end in heaps of equal ones.
        self.finds: dict[tuple[str, str], Find] = {}

    def run(self) -> None:
        """Run to the end; raise what broke the harness itself, rather than a reader."""
        self.until = time.monotonic() + self.seconds
        with ThreadPoolExecutor(self.workers) as pool:
            ends = [pool.submit(self._work, i) for i in range(self.workers)]
            try:
                for end in ends:
                    end.result()
            except BaseException:
                self.until = 0.0
                raise

    def _work(self, index: int) -> None:
        """Attack one target after the other, in turn, with the cases of one worker."""
        following = dict.fromkeys(self.names, index)
        left = dict.fromkeys(self.names, -(-self.most // self.workers))
        slice_ = min(30.0, max(0.5, self.seconds / len(self.names)))
        with WorkerProcess() as process:
            while any(left.values()) and time.monotonic() < self.until:
                for name in self.names:
                    seconds = min(slice_, self.until - time.monotonic())
                    if left[name] and seconds > 0:
                        job = {"target": name, "seed": self.seed, "first": following[name],
                               "stride": self.workers, "most": left[name],
                               "seconds": seconds}  # fmt: skip
                        done, following[name] = self._do(process, job)
                        left[name] -= done

    def _do(self, process: "WorkerProcess", job: dict) -> tuple[int, int]:
        """Run one job; return how many cases were tried and the number of the next one."""
        end = process.do(job, self._found)
        with self._lock:
            count = self.counts[job["target"]]
            count.executions += end["done"]
            count.seconds += end["seconds"]
            count.peak = max(count.peak, end["peak"])
        return end["done"], end["next"]

    def _found(self, find: Find) -> None:
        with self._lock:
            finds = self.counts[find.target].finds
            finds[find.where] = finds.get(find.where, 0) + 1
            if (find.target, find.where) not in self.finds:
                self.finds[find.target, find.where] = find
                path = find.write(self.out)
                last = find.details.strip().splitlines()[-1:] or [""]
                self.say(f"{find.target} {find.number}: {find.kind}, {last[0][:150]} ({path})")


class WorkerProcess:
    """A worker process, begun anew when it ends, and ended when a case takes too long."""

    def __enter__(self) -> "WorkerProcess":
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-run-")
        path = Path(self._folder.name)
        self._clock_path, self._errors = path / "clock", path / "errors"
        self._clock_path.write_bytes(bytes(CLOCK.size))
        with open(self._clock_path, "r+b") as file:
            self._clock = mmap.mmap(file.fileno(), CLOCK.size)
        self._process = None
        return self

    def __exit__(self, *error) -> None:
        self._stop()
        self._clock.close()
        self._folder.cleanup()

    def do(self, job: dict, found) -> dict:
        """Run a job; call ``found`` with each find; return the worker's last document.

        A case that ends the process or takes too long is a find, and ends the job.
        """
        if self._process is None:
            self._start()
        limit = find_target(job["target"]).seconds
        CLOCK.pack_into(self._clock, 0, -1, time.monotonic())
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        before, busy = None, 0.0
        while True:
            try:
                line = self._lines.get(timeout=0.2)
            except queue.Empty:
                now = number, since = CLOCK.unpack_from(self._clock)
                late = time.monotonic() - since > (_START_SECONDS if number < 0 else limit)
                if now != before:  # another case, or read while it was being written
                    before, busy = now, self._busy_seconds()
                elif late and self._hangs(limit, time.monotonic() - since, busy):
                    return self._ended(job, "hang", found)
                continue
            if line is None:
                return self._ended(job, "crash", found)
            document = json.loads(line)
            if "find" not in document:
                return document
            found(Find.from_json(document["find"]))

    def _hangs(self, limit: float, waited: float, busy: float) -> bool:
        """Return True if a case is late by its own fault, not because others have the CPUs."""
        return waited > _PATIENCE * limit or self._busy_seconds() - busy > limit

    def _busy_seconds(self) -> float:
        """Return how long the worker has had a CPU."""
        text = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _start(self) -> None:
        environment = os.environ | _ONE_THREAD
        environment["PYTHONPATH"] = str(ROOT)
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", str(self._clock_path)], cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=environment,
            )  # fmt: skip
        self._lines: queue.Queue = queue.Queue()
        args = self._process.stdout, self._lines
        threading.Thread(target=_read_lines, args=args, daemon=True).start()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process = None

    def _ended(self, job: dict, kind: str, found) -> dict:
        """Make a find of the case that ended the process, or that was ended."""
        number, _ = CLOCK.unpack_from(self._clock)
        if kind == "hang":
            self._process.send_signal(signal.SIGUSR1)  # says where it is
            time.sleep(0.3)
            self._process.kill()
        code = self._process.wait()
        self._stop()
        text = self._errors.read_text(errors="replace")
        if number < 0:
            raise RuntimeError(f"a worker ended ({code}) before its first case: {text}")
        where = f"{kind} {_signal_name(code) if kind == 'crash' else ''} {_place(text)}"
        if "MB above" in text:
            kind, where = "memory", "peak"
        files = case_of(find_target(job["target"]), job["seed"], number)
        found(Find(job["target"], job["seed"], number, kind, where, text[-4000:], files))
        done = (number - job["first"]) // job["stride"] + 1
        return {"done": done, "next": number + job["stride"], "peak": 0, "seconds": 0.0}


def _read_lines(stream, lines: queue.Queue) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _signal_name(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit {code}"


def _place(text: str) -> str:
    """Return the innermost line of a trace by faulthandler."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("File ")]
    return lines[0].rpartition("/")[2] if lines else ""
