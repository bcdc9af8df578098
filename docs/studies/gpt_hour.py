"""An hour of one core: gpt-mini, 90 % sparse in this engine, and dense in PyTorch.

    python docs/studies/gpt_hour.py sparse --out hour/sparse --rate 0.004
    python docs/studies/gpt_hour.py dense --out hour/dense --rate 0.001
    python docs/studies/gpt_hour.py draw hour/*/points.jsonl --picture hour.png
    sparsecpu generate hour/sparse --prompt "def "

Both train on the same windows in the same order, with AdamW, gradients clipped to length 1, and a
learning rate that warms up and then falls along a cosine to 0 at the end of the hour. The hour is
one of processor time, so that other programs on the machine take nothing of it; the times of
validation, of writing and of compiling do not count. After every two minutes the loss on the same
windows of the held-out tenth goes into points.jsonl, and the run into checkpoint.npz: the same
command goes on with a run that was ended.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from hour import CLIP, DECAY, Record, Task

from sparsecpu.callbacks import Callback
from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.experiments.language_scores import language_scores
from sparsecpu.experiments.networks import build, describe_for
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import legend, look, styled
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.trainers import make_trainer
from sparsecpu.files.checkpoint import read_run, write_run
from sparsecpu.files.model import save

NAMES = {
    "sparse": "90 % sparse, this engine",
    "dense": "dense, PyTorch",
    "dense-bf16": "dense, PyTorch in bf16",
}


class Watch(Callback):
    """Validates and keeps a run of the engine, and ends it when its time is over."""

    def __init__(self, task: Task, record: Record, facts: dict[str, Any], described: Any) -> None:
        self.task, self.record, self.facts, self.described = task, record, facts, described

    def on_fit_start(self, trainer: Any) -> None:
        if not self.record.points:
            self.validate(trainer)
        self.record.starts()

    def on_step(self, trainer: Any, loss: float) -> None:
        if self.record.step_done(loss):
            self.validate(trainer)
            trainer.interrupted = self.record.ended
            self.record.starts()

    def validate(self, trainer: Any) -> None:
        """Measure, write the point, and then the checkpoint."""
        x, y = self.task.held_out()
        batch = trainer.batch_size
        found = language_scores(trainer.network, x, y, self.facts, batch_size=batch)
        self.record.keep(trainer.steps_done, found["loss"])
        write_run(trainer, self.record.checkpoint, self.described, self.facts)


def train_sparse(task: Task, record: Record) -> None:
    """Train by this engine; at the end the folder is that of a run, for ``generate``."""
    given, data = task.given, task.data
    recipe = Recipe(
        model=given.model, density=given.density, distribution="uniform", group=given.group,
        topology=given.topology, prune_rate=0.1, update_every=100, steps=given.most_steps,
        batch_size=given.batch, learning_rate=given.rate, optimizer="adam", weight_decay=DECAY,
        label_smoothing=0.0, clip=CLIP, seed=given.seed,
    )  # fmt: skip
    described = describe_for(recipe, data)
    facts = {"task": LANGUAGE, "tokenizer": data.tokenizer.to_dict(), "scaling": data.scaling,
             "data": given.text, "recipe": recipe.to_dict()}  # fmt: skip

    def trainer_of(network: Any) -> Any:
        made = make_trainer(recipe, network, LANGUAGE, len(data.x_train), threads=1)
        made.schedule = lambda step: record.rate(given.rate)
        return made

    def new_network() -> Any:
        return build(recipe, described, data.x_train, data.y_train, data.scaling)

    first = trainer_of(new_network())  # compiles all kernels, or reads them from the cache
    with first.machine():
        x = first.network.samples(data.x_train)
        targets = first.loss.prepare(data.y_train, first.network.n_outputs)
        first.step(x, targets, np.arange(given.batch))
    del first
    held = read_run(record.checkpoint) if record.checkpoint.exists() else None
    trainer = trainer_of(new_network() if held is None else held.network)
    trainer.start(len(data.x_train))
    if held is not None:
        held.restore(trainer, len(data.x_train))
        record.go_on(trainer.steps_done)
    if not record.ended:
        trainer.callbacks.append(Watch(task, record, facts, described))
        trainer.fit(data.x_train, data.y_train)
    metrics = {"test_loss": record.points[-1]["loss"]}
    save(
        trainer.network, record.folder / "model.npz", described, facts={**facts, "metrics": metrics}
    )


@styled()
def draw(files: list[Path], path: Path) -> None:
    """Draw validation losses over minutes; a file is named as its run: sparse, dense or so."""
    drawing, axis = figure(1, 1, figsize=(6.4, 3.6))
    for number, file in enumerate(files):
        points = [json.loads(line) for line in file.read_text().splitlines()][1:]
        name = file.parent.name if file.stem == "points" else file.stem.removeprefix("gpt_hour-")
        minutes = [point["seconds"] / 60 for point in points]
        axis.plot(minutes, [point["loss"] for point in points], label=NAMES[name], **look(number))
    axis.set(xlabel="minutes of one core", ylabel="validation loss, nats per character")
    axis.set_xlim(left=0)
    axis.grid(True)
    legend(axis)
    keep(drawing, path)


def main() -> None:
    """Train one network, or draw what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=[*NAMES, "draw"])
    parser.add_argument("files", nargs="*", type=Path, help="What to draw.")
    parser.add_argument("--picture", type=Path, default=Path("gpt_hour.png"))
    parser.add_argument("--out", type=Path, default=Path("gpt_hour"), help="The run's folder.")
    parser.add_argument("--rate", type=float, default=0.001, help="Peak of the learning rate.")
    parser.add_argument("--seconds", type=float, default=3600.0, help="Of processor time.")
    parser.add_argument("--every", type=float, default=120.0, help="Seconds between points.")
    parser.add_argument("--text", default="text:python")
    parser.add_argument("--model", default="gpt-mini")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--windows", type=int, default=256, help="To validate on.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--group", default="1")
    parser.add_argument("--topology", default="set")
    parser.add_argument("--most-steps", type=int, default=6000, help="Of the sparse run.")
    given = parser.parse_args()
    if given.what == "draw":
        draw(given.files, given.picture)
        return
    record = Record(given.out, given.seconds, given.every)
    if given.what == "sparse":
        train_sparse(Task.of(given), record)
    else:
        from hour_torch import train_dense

        train_dense(Task.of(given), record)


if __name__ == "__main__":
    main()
