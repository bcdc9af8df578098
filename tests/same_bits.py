"""What the bits of a trained model depend on: the runs of ``record_runs``, in other surroundings.

Each run is trained as it is here, and again with other threads, another BLAS, other kernels::

    python tests/same_bits.py                  # a table of all of them; minutes, or more
    python tests/same_bits.py --only threads,blas-threads digits  # runs with this word

A cell of the table compares both trained models, and what both predict for the test samples with
the weights of the first: ``same``, or the largest difference, relative to the largest number. Where
patterns differ it is the part of the positions that both have.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def features_without(*families: str) -> str:
    """Return LLVM's features of this CPU, as NUMBA_CPU_FEATURES wants them, without some."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    for name in features:
        if name.startswith(families):
            features[name] = False
    return features.flatten()


def surroundings() -> dict[str, tuple[dict[str, str], list[str]]]:
    """Return variables of the environment, and options, by the name of the surroundings."""
    cache = Path(tempfile.gettempdir(), "same-bits-cache")
    avx2 = {
        "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features_without("avx512", "amx"),
        "NUMBA_CACHE_DIR": str(cache / "avx2"),
    }  # fmt: skip
    portable = {"SPARSECPU_KERNELS": "portable", "NUMBA_CACHE_DIR": str(cache / "portable")}
    return {
        "threads": ({}, ["--threads", "2"]),
        "blas-threads": ({"OPENBLAS_NUM_THREADS": "1"}, []),
        "blas-haswell": ({"OPENBLAS_CORETYPE": "Haswell"}, []),
        "blas-prescott": ({"OPENBLAS_CORETYPE": "Prescott"}, []),
        "portable": (portable, []),
        "avx2": (avx2, []),
    }


#: Trains, and predicts the test samples with the model of another folder.
WORK = """
import sys
import numpy as np
from sparsecpu.cli import main
from sparsecpu.datasets import open_data
from sparsecpu.files.model import load

command, out, other, samples = sys.argv[1].split(), *sys.argv[2:5]
try:
    main(["train", *command, "--out", out, "--quiet", "--no-dense-timing", "--json"])
except SystemExit as end:
    if end.code:
        raise
network = load(other + "/model.npz")[0]
x = open_data(command[0], samples=int(samples) if samples else None).x_test
np.save(out + "/predicted.npy", network.predict(x[:100]))
"""


def train(command: str, out: Path, other: Path, environment: dict, options: list) -> None:
    words = command.split()
    samples = words[words.index("--samples") + 1] if "--samples" in words else ""
    if "--threads" not in words:
        command += " " + " ".join(options or ["--threads", "1"])
    done = subprocess.run(
        [sys.executable, "-c", WORK, command, str(out), str(other), samples],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()[-500:]}")


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "model.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-30))


def compared(base: Path, other: Path) -> str:
    """Return how the weights of two models, and what they predict, differ."""
    if (base / "model.npz").read_bytes() == (other / "model.npz").read_bytes():
        weights = "same"
    else:
        ours, theirs = arrays_of(base), arrays_of(other)
        indices = [name for name in ours if name.endswith(".indices")]
        shared, count = 0, 0
        for name in indices:
            pointers = name.replace(".indices", ".indptr")
            rows = [np.repeat(np.arange(len(m[pointers]) - 1), np.diff(m[pointers]))
                    for m in (ours, theirs)]  # fmt: skip
            keys = [r.astype(np.int64) << 32 | m[name] for r, m in zip(rows, (ours, theirs),
                                                                       strict=True)]  # fmt: skip
            shared, count = shared + len(np.intersect1d(*keys)), count + len(keys[0])
        if shared < count:
            weights = f"{100 * shared / count:.1f} % of positions"
        else:
            data = [name for name in ours if name.endswith(".data")]
            weights = f"{max(difference(ours[name], theirs[name]) for name in data):.0e}"
    predicted = [np.load(folder / "predicted.npy") for folder in (base, other)]
    if np.array_equal(*predicted):
        return f"{weights} / same"
    return f"{weights} / {difference(*predicted):.0e}"


def main() -> None:
    from tests.record_runs import RUNS

    known = surroundings()
    parser = argparse.ArgumentParser(description="What the bits of a trained model depend on.")
    parser.add_argument("words", nargs="*", help="only runs that have one of these words")
    parser.add_argument("--only", default=",".join(known), help="surroundings, with commas")
    given = parser.parse_args()
    names = given.only.split(",")
    runs = [run for run in RUNS if not given.words or any(word in run for word in given.words)]

    def line(run: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder, "base")
            train(run, base, base, {}, [])
            cells = []
            for name in names:
                environment, options = known[name]
                try:
                    train(run, Path(folder, name), base, environment, options)
                    cells.append(compared(base, Path(folder, name)))
                except RuntimeError as error:
                    cells.append(str(error).rpartition("sparsecpu: ")[2])
            return f"| `{run}` | {' | '.join(cells)} |"

    sys.stdout.write(f"| run | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n")
    for run in runs:
        sys.stdout.flush()
        sys.stdout.write(f"{line(run)}\n")


if __name__ == "__main__":
    main()
