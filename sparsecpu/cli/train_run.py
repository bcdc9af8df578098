"""One run of ``sparsecpu train``: opened, trained, scored and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sparsecpu.callbacks import Callback, History, Progress
from sparsecpu.cli.ahead import compile_for
from sparsecpu.cli.group_table import group_table
from sparsecpu.cli.output import Speaker
from sparsecpu.cli.train_facts import fingerprint_of, noted, targets_of, text_facts
from sparsecpu.cli.validated import Validated
from sparsecpu.cli.watchers import Interruption, StepClock
from sparsecpu.datasets.text import TextDataset
from sparsecpu.errors import DivergedError, ResumeError
from sparsecpu.experiments.evaluations import Evaluations
from sparsecpu.experiments.language import open_for
from sparsecpu.experiments.memory import check_memory
from sparsecpu.experiments.networks import build, describe_for, fitted
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.run_folder import Checkpoints, RunFolder, read_checkpoint
from sparsecpu.experiments.trained_models import check_same_columns
from sparsecpu.experiments.trainers import augmented, make_trainer
from sparsecpu.networks.group_choice import GroupChoice, choose_groups
from sparsecpu.networks.groups import AUTO, group_text
from sparsecpu.networks.thin_layers import least_density, thin_layers


@dataclass(frozen=True)
class Request:
    """What is to be trained; a resumed run has a folder, and what it was begun with.

    ``new`` is the folder that a new run is to be kept in, and ``changes`` are what the recipe of a
    resumed one says otherwise from here on. ``fits`` refuses a task, once the data has told it, if
    an option is for another one.
    """

    data: str
    reading: dict[str, Any]
    recipe: Recipe
    folder: RunFolder | None = None
    config: dict[str, Any] | None = None
    new: RunFolder | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    fits: Callable[[str], None] | None = None


class TrainRun:
    """A run from its data to its result; nothing is written before all has been checked."""

    def __init__(
        self, request: Request, options: dict[str, Any], comm: Any, speaker: Speaker
    ) -> None:
        from sparsecpu.kernels.machine.compile import compile_clock
        from sparsecpu.kernels.machine.threads import use_threads

        self.request, self.recipe, self.options = request, request.recipe, options
        self.comm, self.speaker = comm, speaker
        self.validated = Validated(options)
        with use_threads(options["threads"]) as self.allowed_threads:
            pass  # refuses a number of threads that cannot be
        self.began, self.compiled = time.perf_counter(), compile_clock.seconds
        kept = None if request.folder is None else request.folder.checkpoint
        found = open_for(request.data, request.reading, self.recipe.init, kept)
        whole = fitted(self.recipe, found)
        if request.fits is not None:
            request.fits(whole.task)
        self.dataset = self.validated.cut(whole, self.recipe.seed)
        self._say_text()
        if self.recipe.init:
            check_same_columns(self.recipe.init, self.dataset.columns)
        self.samples, self.mark = self.dataset.x_train.shape[0], fingerprint_of(whole)
        self.architecture = describe_for(self.recipe, self.dataset)
        self.group_choice: list[GroupChoice] | None = None
        if self.recipe.group == AUTO:
            self._choose_groups()
        self.tracked = check_memory(self.architecture, self.recipe, self.samples, speaker.say)
        self.targets, facts = targets_of(self.dataset)
        self.facts = facts | noted(whole, request.data)  # samples for validation are known, too
        recipe = self.recipe.to_dict() if request.config is None else request.config["recipe"]
        self.facts |= {"data": request.data, "recipe": recipe | request.changes}
        self.clock, self.stopper = StepClock(), Interruption()
        self._open()

    def _say_text(self) -> None:
        """Say which files a text is made up of, and in what tokens it is read."""
        if isinstance(self.dataset, TextDataset) and self.dataset.text is not None:
            self.speaker.say(self.dataset.text.in_words())

    def _choose_groups(self) -> None:
        """Time groups of each size, and put the fastest ones into the recipe, which a run keeps."""
        recipe, batch = self.recipe, self.recipe.batch(self.samples)
        threads, precision = self.options["threads"], recipe.precision
        choices = choose_groups(self.architecture, batch, threads, precision=precision)
        choices = self.comm.broadcast(choices)  # every rank measures something else: rank 0 decides
        self.group_choice = choices
        self.recipe = replace(recipe, group=group_text(choice.takes for choice in choices))
        self.architecture = describe_for(self.recipe, self.dataset)
        self.speaker.say(group_table(choices, batch))

    def _open(self) -> None:
        """Make or read the network, its trainer and its folder."""
        folder, dataset = self.request.folder, self.dataset
        held = None
        if folder is not None and folder.checkpoint.exists():
            held = read_checkpoint(folder, self.architecture, self.request.config)
            network = held.network
        else:
            x, y = dataset.x_train, dataset.y_train
            network = build(self.recipe, self.architecture, x, y, dataset.scaling)
            if not self.recipe.init:
                self._say_thin(network)
        self._open_validation(network)
        tracked = self.tracked if held is None else held.has_arrays_of("Tracker")
        self.trainer = trainer = self._make_trainer(network, tracked)
        self.x = augmented(self.recipe, dataset.x_train, network, trainer)
        trainer.start(self.samples)
        forms = self._choose_forms(network)
        self.folder = self._open_folder(forms)
        self.keeper = None
        if self.folder is not None and self.comm.rank == 0:
            self.keeper = Checkpoints(self.folder, self.architecture, self.facts)
            trainer.callbacks.append(self.keeper)
        if held is not None:
            self._go_on_from(held, forms)
        self._note_changes()
        if not self.speaker.quiet:
            trainer.callbacks.append(Progress(line=self.speaker.line))

    def _open_validation(self, network: Any) -> None:
        """Read the samples that the run is validated on; a resumed run must have the same."""
        request, validated = self.request, self.validated
        validated.read(request.data, request.reading, network, self.facts)
        if request.config is not None:
            validated.check(request.config)
        for note in () if validated.held is None else validated.held.notes:
            self.speaker.say(f"note: {note}")

    def _say_thin(self, network: Any) -> None:
        """Say which layers of a new network have too few weights to learn much."""
        weights = network.sparse_parameters()
        if thin := thin_layers(weights):
            enough = least_density(weights)
            self.speaker.warn(
                f"note: {thin}; such a network learns little: from --density {enough:.2g} on "
                "there are as many weights as neurons"
            )

    def _make_trainer(self, network: Any, tracked: bool) -> Any:
        from sparsecpu.training.pattern_history import Tracker

        callbacks: list[Callback] = [self.clock, self.stopper, History(in_checkpoints=False)]
        if tracked:
            callbacks.insert(2, Tracker(self.options["spectrum"]))
        if self.options["evaluate_every"] is not None and self.comm.rank == 0:
            every = self.options["evaluate_every"]
            callbacks.insert(0, Evaluations(every, self.scores, self.speaker.say))
        callbacks = [*self.validated.callbacks(self.dataset, self.recipe, self.facts), *callbacks]
        self.comm.check_same("training data", self.mark)
        self.comm.check_network(network.parameters().values())
        return make_trainer(
            self.recipe, network, self.dataset.task, self.samples,
            threads=self.options["threads"], callbacks=callbacks, comm=self.comm,
        )  # fmt: skip

    def _choose_forms(self, network: Any) -> dict[str, str]:
        """Return the layers that are not in sparse form: as a resumed run had them, or timed."""
        from sparsecpu.layers import set_forms, tunable_layers

        if self.request.config is not None:
            set_forms(network, self.request.config.get("forms", {}))
        elif self.options["autotune"]:
            trainer = self.trainer
            for choice in network.autotune(trainer.batch_size, threads=trainer.team):
                self.speaker.say(f"autotune: {choice}")
            # Every rank measures something else: rank 0 decides.
            chosen = {name: layer.form for name, layer in tunable_layers(network)}
            set_forms(network, self.comm.broadcast(chosen))
        layers = tunable_layers(network)
        return {name: layer.form for name, layer in layers if layer.form != "sparse"}

    def _open_folder(self, forms: dict[str, str]) -> RunFolder | None:
        """Return the run's folder (None without one): made if it is new, checked if it is not."""
        from sparsecpu.bench import versions

        request = self.request
        if request.folder is not None and request.config is not None:
            if request.config["fingerprint"] != self.mark:
                path = request.folder.path
                raise ResumeError(f"{request.data} is not the data that {path} was begun with")
            return request.folder
        if request.new is None:
            return None
        request.new.create({
            "data": request.data, "reading": request.reading, "forms": forms,
            "recipe": self.recipe.to_dict(), "fingerprint": self.mark,
            "spectrum": self.options["spectrum"], "versions": versions(),
            "evaluate_every": self.options["evaluate_every"], **self.validated.config(),
            **text_facts(self.dataset),
        })  # fmt: skip
        return request.new

    def _go_on_from(self, checkpoint: Any, forms: dict[str, str]) -> None:
        from sparsecpu.layers import set_forms

        checkpoint.restore(self.trainer, self.samples)
        if self.keeper is not None and self.folder is not None:
            history = self.folder.history
            history.write(history.first(self.trainer.epochs_done))
        set_forms(self.trainer.network, forms)
        before = checkpoint.facts["recipe"]
        if any(before.get(name) != getattr(self.recipe, name) for name in ("epochs", "steps")):
            self.trainer.stop = False  # of whatever ended it: it is to go on

    def _note_changes(self) -> None:
        """Write into the run's folder what it does otherwise from here on."""
        request, trainer = self.request, self.trainer
        if request.changes and request.folder is not None and self.comm.rank == 0:
            assert request.config is not None
            request.folder.change(
                request.config, request.changes, trainer.epochs_done, trainer.steps_done
            )

    @property
    def place(self) -> str | None:
        """Where the run is kept, on whichever rank keeps it."""
        return str(self.folder.path) if self.folder is not None else self.options["out"]

    def train(self) -> bool:
        """Train to the end, or until a signal breaks it off; return False then."""
        trainer = self.trainer
        try:
            with self.stopper.listening(), self.speaker.saying_warnings():
                if self.comm.size == 1:  # else each rank would
                    compile_for(self)
                trainer.fit(self.x, self.targets)
        except DivergedError as error:
            if self.folder is not None and trainer.epochs_done:
                error.add_note(f"{self.folder.checkpoint} is of epoch {trainer.epochs_done}")
            raise
        if trainer.halted and trainer.epochs_done < trainer.epochs:
            if self.keeper is not None:
                self.keeper.write(trainer)
            return False
        return True

    def finish(self) -> tuple[dict[str, float], float]:
        """Score and keep the network; return the scores by name, and the seconds of it all."""
        self.trainer.contexts.free()  # scoring takes some of its own
        with self.trainer.machine():
            scores = self._score_and_keep()
        return scores, time.perf_counter() - self.began

    def _score_and_keep(self) -> dict[str, float]:
        from sparsecpu.files.model import save

        network = self.trainer.network
        found = {f"test_{name}": value for name, value in self.scores(network).items()}
        found |= self.validated.scores(network, next(iter(found)).removeprefix("test_"))
        if self.folder is not None:
            facts = {**self.facts, "metrics": found}
            save(network, self.folder.model, self.architecture, facts=facts)
        return found

    def spent_before(self) -> tuple[float, float]:
        """Return what earlier parts of a resumed run took, as ``RunFolder.spent_before`` does."""
        if self.folder is None or self.request.config is None:
            return 0.0, 0.0
        return self.folder.spent_before(self.trainer.epochs_done - len(self.clock.epochs))

    def scores(self, network: Any) -> dict[str, float]:
        """Return the scores of held-out samples."""
        from sparsecpu.experiments.scoring import scores

        # Batches of the trained size run the kernels that are compiled already.
        x, y, batch = self.dataset.x_test, self.dataset.y_test, self.recipe.batch(self.samples)
        return scores(network, x, y, self.facts, batch_size=batch)
