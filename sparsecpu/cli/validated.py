"""``--validation``, ``--early-stopping``, ``--best``: what a run does with samples held out."""

from __future__ import annotations

from typing import Any

import click

from sparsecpu.callbacks import BestModel, Callback, EarlyStopping
from sparsecpu.cli.grouped_help import option
from sparsecpu.cli.options import decorated
from sparsecpu.errors import ParameterError, ResumeError
from sparsecpu.experiments.epoch_scores import EpochScores, Scored, few_of
from sparsecpu.experiments.validation import Held, cut_off, fraction_of, read_held, refuse_text

#: Epochs without an improvement after which a run ends, where nobody says how many.
PATIENCE = 10
#: The options, with what runs mean that do not name them.
USUAL: dict[str, Any] = {"validation": None, "early_stopping": None, "best": False}


class _Patience(click.ParamType):
    """A number of epochs; says what to do where a word was meant for DATA."""

    name = "patience"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            found = int(value)
        except ValueError:
            found = 0
        if found < 1:
            expected = (
                f"epochs, at least 1; before DATA or another word write --early-stopping={PATIENCE}"
            )
            raise ParameterError("early_stopping", value, expected)
        return found


validation_options = decorated(
    (
        option(
            "--validation",
            group="training",
            metavar="FRACTION|FILE",
            help="Score the network after every epoch on samples that it does not train on: a part "
            "of the training samples, such as 0.1, drawn by the seed and class by class, or a file "
            "that is read like DATA. The scores go into the history; the test samples stay unseen.",
        ),
        option(
            "--early-stopping",
            group="training",
            is_flag=False,
            flag_value=str(PATIENCE),
            type=_Patience(),
            metavar="[PATIENCE]",
            help="End the run when the validation score has not improved for more than so many "
            f"epochs, {PATIENCE} if you give no number.",
        ),
        option(
            "--best",
            group="training",
            is_flag=True,
            help="Keep the network of the epoch with the best validation score, its patterns "
            "included, instead of the last one.",
        ),
    )
)


class Validated:
    """What a run was told of validation; nothing at all, if it was told nothing."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.chosen = {name: options[name] for name in USUAL}
        self.source: str | None = options["validation"]
        for name in ("early_stopping", "best"):
            if options[name] and self.source is None:
                flag = f"--{name.replace('_', '-')}"
                raise click.UsageError(
                    f"{flag} needs --validation FRACTION|FILE, whose score decides"
                )
        self.fraction = None if self.source is None else fraction_of(self.source)
        self.best = BestModel() if options["best"] else None
        self.stopping: EarlyStopping | None = None
        self.held: Held | None = None
        self._scores: EpochScores | None = None

    def cut(self, dataset: Any, seed: int) -> Any:
        """Return the data set without the part of its training samples that is held out.

        Text is refused.
        """
        if self.source is not None:
            refuse_text(dataset)
        if self.fraction is not None:
            dataset, self.held = cut_off(dataset, self.fraction, seed)
        return dataset

    def read(self, data: str, reading: dict[str, Any], network: Any, facts: dict[str, Any]) -> None:
        """Read the file of samples to validate on, if that is what was asked for."""
        if self.source is not None and self.fraction is None:
            self.held = read_held(self.source, data, network, facts, reading)

    def callbacks(self, dataset: Any, recipe: Any, facts: dict[str, Any]) -> list[Callback]:
        """Return the callbacks that score the network, stop the run, and keep the best network.

        They go before those that keep records.
        """
        if self.held is None:
            return []
        x, y = dataset.x_train, dataset.y_train
        trained = few_of(x, y, len(self.held.y), recipe.seed)
        self._scores = EpochScores(
            Scored(self.held.x, self.held.y), trained, facts,
            label_smoothing=recipe.label_smoothing, batch_size=recipe.batch(x.shape[0]),
        )  # fmt: skip
        found: list[Callback] = [self._scores]
        if self.chosen["early_stopping"]:
            patience = self.chosen["early_stopping"]
            self.stopping = EarlyStopping("validation_score", patience=patience, maximise=True)
            found.append(self.stopping)
        return [*found, self.best] if self.best is not None else found

    def config(self) -> dict[str, Any]:
        """Return what the configuration of a run says of it: nothing, if there is none."""
        if self.held is None:
            return {}
        return {**self.chosen, "validation_mark": self.held.mark}

    def check(self, config: dict[str, Any]) -> None:
        """Refuse other samples than those that a run was begun with."""
        if self.held is not None and config.get("validation_mark") != self.held.mark:
            raise ResumeError(f"{self.source} has other samples than when the run was begun")

    def facts(self) -> dict[str, Any]:
        """Return what a run's document says of it, beside the scores: nothing, if there is none."""
        if self.held is None:
            return {}
        best = None if self.best is None else self.best.epoch
        found = {"validation_samples": len(self.held.y), "best_epoch": best}
        if self.stopping is not None:
            patience, waited = self.stopping.patience, self.stopping.waited
            found["waited_epochs"] = waited if waited > patience else None
        return found

    def scores(self, network: Any, name: str) -> dict[str, float]:
        """Return the scores of a network on the samples held out; ``name`` is that of the score."""
        if self._scores is None:
            return {}
        found = self._scores.of_held(network)
        loss, score = found["validation_loss"], found["validation_score"]
        return {f"validation_{name}": score, "validation_loss": loss}
