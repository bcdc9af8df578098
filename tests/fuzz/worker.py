"""The process in which cases are tried, one job after the other, as told on standard input.

A job is a line of JSON; so is what comes back: a line for each new find, and one at the job's end.
The number of the case at hand, and when it began, stand in a file that the parent maps as well:
this is how it notices a hang, and knows which case ended this process.
"""

import contextlib
import faulthandler
import json
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
from pathlib import Path
from random import Random

from tests.fuzz.finds import Find
from tests.fuzz.minimise import minimise
from tests.fuzz.target import Folder, Target, attempt, failed, find_target

#: The number of the case at hand and the time at which it began.
CLOCK = struct.Struct("<qd")


def case_of(target: Target, seed: int, number: int) -> dict[str, bytes]:
    """Return a case: the same one wherever and whenever it is asked for."""
    return target.case(Random(f"{target.name} {seed} {number}"))


def memory_folder() -> str | None:
    """Return a folder in memory, where the system has one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main(clock_path: str) -> None:
    """Do jobs until standard input ends."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    warnings.simplefilter("ignore")
    for category in (RuntimeWarning, DeprecationWarning):  # numbers that are not what they seem
        warnings.simplefilter("error", category)
    with open(clock_path, "r+b") as file, mmap.mmap(file.fileno(), CLOCK.size) as clock:
        for line in sys.stdin:
            print_line(do_job(json.loads(line), clock))


def print_line(document: dict) -> None:
    """Send a document to the parent."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def do_job(job: dict, clock: mmap.mmap) -> dict:
    """Try the cases of a job; return how many there were and which comes next."""
    target = find_target(job["target"])
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory_folder()) as name:
        folder = Folder(Path(name))
        limit_memory(None)
        start = measure_valid(target, folder)
        limit_memory(target.extra_bytes)
        known: set[str] = set()
        number, done, began = job["first"], 0, time.monotonic()
        until = began + job["seconds"]
        while done < job["most"] and (now := time.monotonic()) < until:
            CLOCK.pack_into(clock, 0, number, now)
            files, failure = {}, None
            try:
                files = case_of(target, job["seed"], number)
            except Exception as error:
                failure = failed("harness", error)
            failure = failure or attempt(target, folder, files)
            if failure is None and peak_bytes() - start > target.extra_bytes:
                raise SystemExit(f"{(peak_bytes() - start) >> 20} MB above what valid input needs")
            if failure is not None:
                report(target, folder, job, number, files, failure, known)
            number, done = number + job["stride"], done + 1
        limit_memory(None)
        CLOCK.pack_into(clock, 0, -1, time.monotonic())
    seconds, peak = time.monotonic() - began, max(0, peak_bytes() - start)
    return {"done": done, "next": number, "peak": peak, "seconds": seconds}


def measure_valid(target: Target, folder: Folder) -> int:
    """Read the valid examples, which also loads what readers import; return the memory in use."""
    for files in target.valid() * 2:
        failure = attempt(target, folder, files)
        if failure is not None:
            raise SystemExit(f"{target.name} refuses a valid example: {failure.details}")
        target.read(folder.path)  # raises, should it be refused
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    return peak_bytes()


def report(target, folder, job, number, files, failure, known) -> None:
    """Tell the parent of a find; the first of its kind is made small."""
    new = failure.where not in known
    known.add(failure.where)
    if new and files:
        files = minimise(target, folder, files, failure)
    find = Find(
        target.name, job["seed"], number, failure.kind, failure.where, failure.details, files
    )
    print_line({"find": find.to_json() if new else {**find.to_json(), "files": {}}})


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def limit_memory(extra: int | None) -> None:
    """Let this process ask for so many bytes beyond those it has; None lifts the limit."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = hard
    if extra is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main(sys.argv[1])
