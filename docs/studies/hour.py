"""What both runs of ``gpt_hour.py`` share: the text, the clock, and what is kept."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.text import open_text
from sparsecpu.experiments.networks import fitted
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.writing import make_folder, write_text
from sparsecpu.step.streams import streams

#: Of both optimizers: weight decay of matrices, and the longest gradient.
DECAY, CLIP = 0.1, 1.0
#: The part of the hour in which the learning rate rises.
WARM_UP = 0.05


class Record:
    """The processor time that training took, and what was measured on the way."""

    def __init__(self, folder: Path, seconds: float, every: float) -> None:
        self.folder, self.seconds, self.every = folder, seconds, every
        self.file, self.checkpoint = folder / "points.jsonl", folder / "checkpoint.npz"
        self.points: list[dict[str, Any]] = []
        self.used, self.losses = 0.0, []
        make_folder(folder)

    def go_on(self, steps: int) -> None:
        """Take up the points of a run whose checkpoint is of so many steps."""
        points = map(json.loads, self.file.read_text().splitlines())
        self.points = [point for point in points if point["steps"] <= steps]
        self.used = self.points[-1]["seconds"]

    def starts(self) -> None:
        """Count from now on."""
        self.last = time.process_time()

    def step_done(self, loss: float) -> bool:
        """Count a step's time; return True if it is time for a point."""
        now = time.process_time()
        self.used, self.last = self.used + now - self.last, now
        self.losses.append(loss)
        return self.ended or self.used >= self.points[-1]["seconds"] + self.every

    @property
    def ended(self) -> bool:
        """True once all of the time has been used."""
        return self.used >= self.seconds

    def rate(self, peak: float) -> float:
        """Return the learning rate of the next step."""
        part = min(self.used / self.seconds, 1.0)
        return peak * min((part + 1e-3) / WARM_UP, 1.0) * (1 + math.cos(math.pi * part)) / 2

    def keep(self, steps: int, loss: float) -> None:
        """Write down the validation loss after so many steps."""
        train = float(np.mean(self.losses)) if self.losses else None
        self.losses = []
        point = {"steps": steps, "seconds": round(self.used, 3), "loss": loss, "train_loss": train}
        self.points.append(point)
        write_text(self.file, "".join(json.dumps(point) + "\n" for point in self.points))
        print(json.dumps(point), flush=True)


@dataclass
class Task:
    """What is learnt: text in windows of a model's block, and the windows to validate on."""

    given: argparse.Namespace
    data: Any
    rows: np.ndarray

    @classmethod
    def of(cls, given: argparse.Namespace) -> Task:
        recipe = Recipe(model=given.model)
        data = fitted(recipe, open_text(given.text))
        count = min(given.windows, len(data.x_test))
        return cls(given, data, np.arange(count) * len(data.x_test) // count)

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows to validate on, and the same one character later."""
        return self.data.x_test[self.rows], self.data.y_test[self.rows]

    def batches(self, done: int) -> Iterator[np.ndarray]:
        """Yield the windows of each step after so many, in the order in which the engine has it."""
        order, count = streams(self.given.seed)["order"], len(self.data.x_train)
        size = self.given.batch
        for step in itertools.count():
            place = step % -(-count // size)
            if not place:
                rows = order.permutation(count)
            if step >= done:
                yield rows[place * size : (place + 1) * size]
