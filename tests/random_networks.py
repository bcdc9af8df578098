"""Compares random networks with PyTorch, in any number: ``tests/layers`` does so with a few.

``python tests/random_networks.py --count 3000 --seed 0`` draws 3,000, compares outputs, losses,
gradients and running statistics in float64 and float32, tries every other way to compute them
(compiled, trained, lean, in 16 bits, while the pattern changes), and prints the worst errors by
kind of layer. Networks run in processes of their own, so that a crash is a failure like any other;
each failure comes with the seed that repeats it.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from all_ways import try_all_ways
from architectures import KINDS, Case, random_case
from torch_twin import Twin

#: Errors, relative to the largest number of their kind, that are let pass. In float32 also so many
#: times PyTorch's own: sums in another order differ by as much.
LIMITS = {"float64": 1e-9, "float32": 2e-4}
_TIMES_TORCH = 20
#: PyTorch refuses to normalise one number, whose gradient is 0: we give rounding, magnified.
_ALONE = 100
#: Gradients below are rounding: that of a softmax over one class, say.
_NOTHING = 1e-6
#: A ReLU or the largest of a window may fall to the other side where float32 rounds otherwise: what
#: is wrong is so for other batches too.
_TRIES = 3


def errors(case: Case, twin: Twin) -> dict[str, float]:
    """Run the case in both; return the errors of outputs, loss, gradients and statistics."""
    network, found = case.network, {}
    before = [b.copy() for b in network.buffers().values()]
    for train in (False, True):
        name = "training" if train else "evaluation"
        loss, gradients = network.loss_and_gradients(case.x, case.y, case.loss, train=train)
        wanted, theirs = twin.loss_and_gradients(train)
        found[f"loss in {name}"] = abs(loss - wanted) / (1 + abs(wanted))
        largest = max((np.abs(g).max(initial=0) for g in theirs.values()), default=0)
        for key, gradient in gradients.items():
            scale = max(np.abs(theirs[key]).max(initial=0), largest / 100, _NOTHING)
            found[f"{key} in {name}"] = _error(gradient, theirs[key], scale)
    for (name, mine), (_, theirs) in zip(
        network.buffers().items(), twin.buffers.items(), strict=True
    ):
        wanted = theirs.detach().numpy().astype(np.float64)
        found[name] = _error(mine, wanted, np.abs(wanted).max(initial=1e-2))
    wanted = twin.predict()  # with the statistics that moved
    found["outputs"] = _error(network.predict(case.x), wanted, np.abs(wanted).max(initial=1e-6))
    for buffer, kept in zip(network.buffers().values(), before, strict=True):
        buffer[:] = kept
    return found


def _error(mine: np.ndarray, wanted: np.ndarray, scale: float) -> float:
    if mine.shape != wanted.shape or not np.isfinite(mine).all():
        return np.inf
    difference = np.abs(mine - wanted).max(initial=0)
    return float(difference / scale) if difference else 0.0


def compare(seed: int, dtype: str) -> tuple[dict[str, float], dict[str, float], Case]:
    """Return our errors, and PyTorch's in the same type, against PyTorch in float64."""
    for again in range(_TRIES if dtype == "float32" else 1):
        case = random_case(seed, np.dtype(dtype), again=again)
        theirs = {}
        if dtype == "float32":
            theirs = _errors_of_torch(case)
        mine = errors(case, Twin(case, np.float64))
        if not wrong(mine, theirs, case):
            break
    return mine, theirs, case


def _errors_of_torch(case: Case) -> dict[str, float]:
    exact, rounded, found = Twin(case, np.float64), Twin(case, np.float32), {}
    for train in (False, True):
        (_, wanted), (_, gradients) = (t.loss_and_gradients(train) for t in (exact, rounded))
        largest = max((np.abs(g).max(initial=0) for g in wanted.values()), default=0)
        for key, gradient in gradients.items():
            scale = max(np.abs(wanted[key]).max(initial=0), largest / 100, _NOTHING)
            name = f"{key} in {'training' if train else 'evaluation'}"
            found[name] = _error(gradient, wanted[key], scale)
    wanted = exact.predict()
    found["outputs"] = _error(rounded.predict(), wanted, np.abs(wanted).max(initial=1e-6))
    return found


def wrong(mine: dict[str, float], theirs: dict[str, float], case: Case) -> dict[str, float]:
    """Return the errors that are too large; networks without parameters are always float32."""
    limit = max(LIMITS[case.network.dtype.name], _TIMES_TORCH * max(theirs.values(), default=0))
    if len(case.x) == 1 and case.has("batch_norm"):  # which leaves rounding alone, times 1 / sqrt
        limit *= _ALONE
    return {name: error for name, error in mine.items() if not error <= limit}


def one_network(seed: int) -> dict:
    """Compare one network in both types; return what is to be printed of it."""
    found: dict = {"seed": seed, "failures": []}
    for dtype in LIMITS:
        try:
            mine, theirs, case = compare(seed, dtype)
            found["kinds"], found["first"] = sorted(case.kinds), case.network.layers[0].kind
            if case.network.dtype == dtype:
                found[dtype] = max(mine.values(), default=0)
                found[f"{dtype} of torch"] = max(theirs.values(), default=0)
            if bad := wrong(mine, theirs, case):
                found["failures"].append(f"{dtype}: {bad}")
            try_all_ways(case, seed)
        except Exception:
            found["failures"].append(f"{dtype}: {traceback.format_exc(limit=-4)}")
    return found


def run(first: int, count: int, per_process: int = 200):
    """Yield what was found of each network; a process that dies is a failure of its last one."""
    seed, end = first, first + count
    while seed < end:
        last = min(end, seed + per_process)
        command = [sys.executable, __file__, "--work", str(seed), str(last)]
        settings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # other processes want the cores
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found = json.loads(line)
                seed = found.get("begins", seed)
                if "failures" in found:
                    yield found
                    seed += 1
        if process.returncode:
            yield {"seed": seed, "failures": [f"the process died: {process.returncode}"]}
            seed += 1


class Tally:
    """The worst errors by kind of layer, and what 99 of 100 networks stay below.

    A few networks magnify every rounding, ours and PyTorch's.
    """

    columns = (*LIMITS, "float32 of torch")

    def __init__(self) -> None:
        self.networks: collections.Counter = collections.Counter()
        self.firsts: collections.Counter = collections.Counter()
        self.errors: dict = collections.defaultdict(list)

    def add(self, found: dict) -> None:
        """Take in what was found of a network."""
        for kind in (*found.get("kinds", ()), "all"):
            self.networks[kind] += 1
            for column in self.columns:
                self.errors[kind, column].append((found.get(column, 0.0), found["seed"]))
        self.firsts[found.get("first")] += 1

    def __str__(self) -> str:
        heads = ("kind of layer", "networks", "first", *self.columns)
        widths = (18, 10, 7, 34, 34, 34)
        rows = [heads]
        for kind in (*KINDS, "all"):
            cells = (self._words(self.errors[kind, column]) for column in self.columns)
            rows.append((kind, str(self.networks[kind]), str(self.firsts[kind]), *cells))
        return "\n".join(
            "".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )

    def _words(self, errors: list[tuple[float, int]]) -> str:
        if not errors:
            return "-"
        worst, seed = max(errors)
        return f"{np.quantile([e for e, _ in errors], 0.99):.1e}, worst {worst:.1e} ({seed})"


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="how many networks")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        for seed in range(*options.work):
            say(json.dumps({"begins": seed}))
            say(json.dumps(one_network(seed)))
        return 0
    began, failed, tally = time.time(), 0, Tally()
    for found in run(options.seed, options.count):
        tally.add(found)
        for failure in found["failures"]:
            failed += 1
            say(f"seed {found['seed']}: {failure}")
    say(f"{options.count} networks, {failed} failures, {time.time() - began:.0f} s")
    say(tally)
    return int(failed > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
