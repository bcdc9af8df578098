"""Wrong arguments for the public API: each call works, or refuses in one of our exceptions.

``python -m tests.fuzz.api --calls 20000`` makes so many calls in a process of their own; one that
crashes it, hangs, or raises somebody else's exception is named, with the seed that repeats it.
"""

import argparse
import faulthandler
import itertools
import re
import resource
import subprocess
import sys
import traceback
import warnings

import numpy as np

from sparsecpu.errors import SparseCPUError
from tests.fuzz.api_calls import CALLS, OUT, SAMPLES, World
from tests.fuzz.odd_values import pick

#: Calls on one network, before the next one is made.
ON_ONE = 200
SECONDS, BYTES = 180, 6 << 30  # the first call of a kernel compiles it


def cases(rng):
    """Yield calls without end, each a function of no argument, by its name."""
    while True:
        world = World(rng)
        for _ in range(ON_ONE):
            call = pick(rng, CALLS)
            yield getattr(call, "__name__", "call"), lambda w=world, c=call: (c(w), check(w))


def check(world):
    """Predict: whatever was assigned before, kernels find arrays that fit."""
    assert world.network.predict(world.x).shape == (SAMPLES, OUT)


def run(rng, calls, told=None):
    """Make calls; return what was raised by none of ours, with the number and name of the call.

    So does an exception of ours that is too long, or shows things as NumPy writes them.
    """
    found = []
    for number, (name, call) in enumerate(itertools.islice(cases(rng), calls)):
        if told is not None:
            told(number, name)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                call()
        except SparseCPUError as error:
            if len(str(error)) > 300 or re.search(r"\bnp\.(?!ascontiguous)|array\(", str(error)):
                found.append((number, name, traceback.format_exc()))
        except MemoryError:
            pass
        except Exception:
            found.append((number, name, traceback.format_exc()))
    return found


def worker(calls, seed):
    """Make calls in this process, and print what was found."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))

    def told(number, name):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        sys.stderr.write(f"\r{number} {name}")

    found = run(np.random.default_rng(seed), calls, told)
    for number, name, trace in found:
        sys.stdout.write(f"call {number}, {name}:\n{trace}\n")
    return bool(found)


def main():
    """Make calls in processes of 2,000, each with a seed of its own; exit 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help="make all calls in this process")
    given = parser.parse_args()
    if given.work:
        return worker(given.calls, given.seed)
    bad = 0
    for seed in range(given.seed, given.seed + -(-given.calls // 2000)):
        calls = ["--calls", str(min(2000, given.calls)), "--seed", str(seed)]
        done = subprocess.run([sys.executable, "-m", "tests.fuzz.api", "--work", *calls],
                              capture_output=True, text=True)  # fmt: skip
        bad += done.returncode != 0
        last = "" if done.stdout or not done.returncode else done.stderr.rpartition("\r")[2]
        told = f"seed {seed}: exit {done.returncode}\n{done.stdout}{last}".rstrip()
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
