"""Tell which features of a language model say that a bracket is open.

``python docs/studies/brackets.py RUN`` passes held-out text through a run's model and compares what
its last layer reads, feature by feature, behind characters with and without an open bracket: the
area under the ROC curve is 1 or 0 where a feature tells both apart, 0.5 where it says nothing.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from sparsecpu.datasets.text import open_text
from sparsecpu.experiments.language import check_vocabulary
from sparsecpu.experiments.trained_models import read_model
from sparsecpu.files.places import model_path
from sparsecpu.layers import Sequential

#: Behind so many characters of a window without an opening bracket, most likely none is open.
SURE = 16


def open_brackets(text: str) -> list[int]:
    """Return how many brackets of this text are open behind each of its characters."""
    depths, depth = [], 0
    for character in text:
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
        depths.append(depth)
    return depths


def areas(network: Any, windows: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Return the area under the curve of each feature that the last layer reads."""
    below = Sequential(network.layers[:-1], input_shape=network.input_shape)
    features = below.predict(windows).reshape(*windows.shape, -1)
    counted = (depths > 0) | (np.arange(windows.shape[1]) >= SURE)
    is_open = depths[counted] > 0
    return np.array([roc_auc_score(is_open, column) for column in features[counted].T])


def main() -> None:
    """Print the features that tell best, and what they say of a closing bracket."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="A model file, or the folder of a run.")
    parser.add_argument("--text", default="text:python")
    parser.add_argument("--windows", type=int, default=400)
    given = parser.parse_args()
    network, facts = read_model(model_path(given.run))
    tokenizer = check_vocabulary(facts, network, given.run)
    held_out = open_text(given.text, tokenizer=tokenizer).windows(network.input_shape[0]).x_test
    count = min(given.windows, len(held_out))
    windows = np.asarray(held_out[np.arange(count) * len(held_out) // count])
    texts = [tokenizer.decode([int(token) for token in window]) for window in windows]
    depths = np.array([open_brackets(text) for text in texts])
    found = areas(network, windows, depths)
    head = list(network.sparse_parameters().values())[-1].to_scipy()
    weights = head[[int(tokenizer.encode(")")[0])]].toarray()[0]
    print("feature   area  weight to )")
    for feature in np.argsort(-np.abs(found - 0.5), kind="stable")[:6]:
        print(f"{feature:>7}{found[feature]:>7.3f}{weights[feature]:>13.3f}")


if __name__ == "__main__":
    main()
