"""Do the estimators' defaults hold? Twelve tables, five seeds, beside scikit-learn's networks.

``python docs/studies/defaults.py --out defaults.jsonl`` fits SparseMLPClassifier and
SparseMLPRegressor as they are on each table, and MLPClassifier and MLPRegressor as they are: on the
table as it comes, and behind a StandardScaler. A quarter of the samples is held out, another one
for each seed; scores are accuracy or R². Each result is kept as it comes, and the same command goes
on. ``--quick`` takes one seed; ``--set density=0.2`` tries another default.
"""

from __future__ import annotations

import argparse
import ast
import functools
import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.datasets import open_data
from sparsecpu.step.samples import as_samples

Table = Callable[[], tuple[np.ndarray, np.ndarray]]
RIVALS = ("sparse", "scikit-learn", "scaled scikit-learn")


def _bundled(load: Any) -> Table:
    return lambda: load(return_X_y=True)


def _digits28() -> tuple[np.ndarray, np.ndarray]:
    """Return 2,000 samples, each a bundled digit under a random map of its own."""
    data = open_data("digits28", samples=2000)
    samples = as_samples(data.x_train, data.x_test.shape[1], np.float32)
    array, at = samples.take_samples(np.arange(samples.shape[0]))
    return array[at].astype(np.float64), data.y_train


CLASSES: dict[str, Table] = {
    "iris": _bundled(datasets.load_iris),
    "wine": _bundled(datasets.load_wine),
    "breast cancer": _bundled(datasets.load_breast_cancer),
    "digits": _bundled(datasets.load_digits),
    "moons": lambda: datasets.make_moons(1000, noise=0.25, random_state=0),
    "classification": lambda: datasets.make_classification(
        2000, 20, n_informative=10, n_classes=4, random_state=0
    ),
    "digits28": _digits28,
}
NUMBERS: dict[str, Table] = {
    "diabetes": _bundled(datasets.load_diabetes),
    "regression": lambda: datasets.make_regression(
        1000, 50, n_informative=10, noise=10.0, random_state=0
    ),
    "friedman1": lambda: datasets.make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: datasets.make_friedman2(1000, noise=50.0, random_state=0),
    "friedman3": lambda: datasets.make_friedman3(1000, noise=0.1, random_state=0),
}
TABLES = CLASSES | NUMBERS


def model(rival: str, name: str, seed: int, chosen: dict[str, Any]) -> Any:
    """Return an estimator that has not been fitted; ``chosen`` is for the sparse one."""
    classes = name in CLASSES
    if rival == "sparse":
        kind = SparseMLPClassifier if classes else SparseMLPRegressor
        return kind(random_state=seed, n_jobs=1, **chosen)
    theirs = (MLPClassifier if classes else MLPRegressor)(random_state=seed)
    return theirs if rival == "scikit-learn" else make_pipeline(StandardScaler(), theirs)


@functools.cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples and targets of a table, which is made once."""
    return TABLES[name]()


def measure(rival: str, name: str, seed: int, chosen: dict[str, Any]) -> dict[str, Any]:
    """Fit and score one estimator on one table; seconds are those of ``fit``, without compiling."""
    X, y = table(name)
    classes = y if name in CLASSES else None
    parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=classes)
    x_train, x_test, y_train, y_test = parts
    if rival == "sparse":  # what the fit will run is compiled, or read from the cache, before it
        first = model(rival, name, seed, {**chosen, "max_iter": 45})
        first.fit(x_train, y_train).score(x_test, y_test)
    estimator = model(rival, name, seed, chosen)
    began, cpu = time.perf_counter(), time.process_time()
    estimator.fit(x_train, y_train)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    last = estimator[-1] if rival == "scaled scikit-learn" else estimator
    score = estimator.score(x_test, y_test)
    result = {"rival": rival, "table": name, "seed": seed, "score": score}
    return {**result, "seconds": seconds, "cpu_seconds": cpu, "epochs": last.n_iter_}


def show(results: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown: score and its deviation, seconds, ratios."""
    lines = [
        "| table | sparse | scikit-learn | scaled scikit-learn | seconds | theirs | scaled | × |",
        "|---|---|---|---|---|---|---|---|",
    ]
    means: dict[str, list[float]] = {}
    for name in TABLES:
        rows = [[r for r in results if (r["table"], r["rival"]) == (name, x)] for x in RIVALS]
        if not all(rows):
            continue
        scores = [np.array([100 * r["score"] for r in of]) for of in rows]
        cpu = [float(np.mean([r["cpu_seconds"] for r in of])) for of in rows]
        means[name] = [*(s.mean() for s in scores), *cpu, cpu[2] / cpu[0]]
        cells = [f"{s.mean():.1f} ± {s.std():.1f}" for s in scores]
        cells += [f"{x:.2f}" for x in cpu] + [f"{cpu[2] / cpu[0]:.1f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for words, some in (("mean of classes", CLASSES), ("mean of numbers", NUMBERS)):
        if mine := [mean for name, mean in means.items() if name in some]:
            mean = np.array(mine)
            cells = [f"{x:.1f}" for x in mean[:, :3].mean(axis=0)]
            cells += [f"{x:.2f}" for x in mean[:, 3:6].mean(axis=0)]
            cells.append(f"{np.exp(np.log(mean[:, 6]).mean()):.1f}")
            lines.append(f"| **{words}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("defaults.jsonl"), help="Results so far.")
    parser.add_argument("--seeds", type=int, default=5, help="How many seeds.")
    parser.add_argument("--quick", action="store_true", help="One seed.")
    parser.add_argument("--tables", default=",".join(TABLES), help="Which tables.")
    parser.add_argument("--rivals", default=",".join(RIVALS), help="Which contestants.")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="chosen")
    given = parser.parse_args()
    chosen = {}
    for each in given.chosen:
        name, _, text = each.partition("=")
        try:
            chosen[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            chosen[name] = text
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    results = [json.loads(line) for line in lines]
    done = {(r["rival"], r["table"], r["seed"]) for r in results}
    warnings.simplefilter("ignore")  # epochs that run out are part of a default
    seeds, names = range(1 if given.quick else given.seeds), given.tables.split(",")
    with threadpool_limits(1):
        for name, seed, rival in itertools.product(names, seeds, given.rivals.split(",")):
            if (rival, name, seed) not in done:
                results.append(measure(rival, name, seed, chosen))
                with given.out.open("a") as file:
                    file.write(json.dumps(results[-1]) + "\n")
                print(".", end="", flush=True, file=sys.stderr)
    print(show(results))


if __name__ == "__main__":
    main()
