"""A whole training run as plain values: what users may choose, with defaults, help and checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from inspect import signature
from typing import Any

from sparsecpu.errors import ConflictError, ParameterError
from sparsecpu.experiments.neurons import HIDDEN_LAYERS, OF_NEURONS
from sparsecpu.experiments.options import (
    Option,
    a_density,
    a_group,
    a_model,
    either,
    integer,
    one_of,
    option,
    spelled,
)
from sparsecpu.isoflop import TRANSFORMS
from sparsecpu.layers import ACTIVATIONS
from sparsecpu.networks.at_start import CHOOSERS
from sparsecpu.networks.models import model_names
from sparsecpu.optimizers import OPTIMIZERS, Optimizer
from sparsecpu.registries import defaults
from sparsecpu.registries.numbers import above_zero, at_least_zero, below_one
from sparsecpu.schedules import SCHEDULES, Schedule, make_schedule
from sparsecpu.sparse.densities import DISTRIBUTIONS
from sparsecpu.sparse.first_patterns import PATTERNS
from sparsecpu.step.augmentation import AUGMENTATIONS
from sparsecpu.step.course import Course
from sparsecpu.step.precision import PRECISIONS
from sparsecpu.topology import TOPOLOGIES, Topology

#: The group of rows that stand alone.
ALONE = str(defaults.GROUP)
#: Fields that came later, with what older runs meant: their folders and models do not name them.
LATER: dict[str, Any] = {"group": ALONE, "clip": 0.0, "accumulate": 1, "steps": None}
#: From so many samples on, batches are larger.
_MANY_SAMPLES = 10_000


_IFT, _STARTS = ("none", *TRANSFORMS), (*PATTERNS, *CHOOSERS)


@dataclass(frozen=True)
class Recipe:
    """What determines a run, beside its data; a field's text is the command line's help too."""

    model: str = option(
        "lenet-300-100",
        f"A named network ({model_names()}), or sizes of hidden layers such as 300,100; with "
        f"options, for example 300,100:activation=gelu. Activations: {', '.join(ACTIVATIONS)}.",
        a_model,
        group="network",
    )
    width: float = option(
        1.0, "Factor for the channels of a convolutional model.", above_zero, group="network"
    )
    density: float = option(
        defaults.DENSITY, "Fraction of the weights to keep, in (0, 1].", a_density, group="sparsity"
    )
    neurons: int | None = option(
        None,
        f"Hidden neurons, in {HIDDEN_LAYERS} equal layers, in place of --model, --width, --density "
        "and --distribution. Unless you say otherwise, steps then have "
        f"{OF_NEURONS['batch_size']} samples, the run has {OF_NEURONS['epochs']} epochs, "
        f"{OF_NEURONS['topology']} updates the topology every {OF_NEURONS['update_every']} steps, "
        "and the last layer of a large network learns more slowly.",
        integer(HIDDEN_LAYERS),
        group="network",
        rare=True,
    )
    per_neuron: float = option(
        8.0,
        "Connections for each of --neurons and each output.",
        above_zero,
        group="network",
        rare=True,
    )
    lean: bool = option(
        False,
        "Train without transposed copies and gradient vectors: 12 bytes per connection instead of "
        "up to 28, but slower. Not for convolutions, nor for a topology that needs stored "
        "gradients.",
        group="network",
        rare=True,
    )
    init: str = option(
        "",
        "A model file or run folder to start from, in place of --model, --width, --density, --ift "
        "and --pattern. Its last layer is drawn anew if the data has another number of outputs. "
        "See sparsecpu import.",
        group="network",
    )
    new_head: bool = option(
        False, "Draw the last layer of --init anew in any case.", group="network", rare=True
    )
    layer_rates: str = option(
        "",
        "Factors of the learning rate by layer, such as head=10,0=0.1; the head is the last layer.",
        rare=True,
    )
    ift: str = option(
        "none",
        "Replace dense layers by larger sparse ones of the same FLOPs (Sparse-IFT): "
        f"{either(_IFT)}. --sparsity says how sparse, in place of --density.",
        one_of(_IFT, "transforms"),
        group="network",
        rare=True,
    )
    sparsity: float = option(
        0.75,
        "Sparsity of the network that --ift builds; without --ift another way to say --density, "
        "which is 1 less this.",
        below_one,
        group="network",
        rare=True,
    )
    distribution: str = option(
        defaults.DISTRIBUTION,
        f"How the layers share the weights: {either(DISTRIBUTIONS)}.",
        one_of(DISTRIBUTIONS),
        group="sparsity",
    )
    pattern: str = option(
        "random",
        f"Where the first weights are: {either(_STARTS)}.",
        one_of(_STARTS, "patterns"),
        group="sparsity",
        rare=True,
    )
    group: str = option(
        ALONE,
        "How many neighbouring outputs of a layer (filters of a convolution) share their inputs: "
        "1, 2, 4 or 8. More of them make steps faster, and the choice of weights coarser. Also one "
        "for each layer, such as 4,4,1 (or dense: alone, and computed as a full matrix); auto "
        "times them on this machine and takes the fastest for each.",
        a_group,
        group="sparsity",
    )
    topology: str = option(
        defaults.TOPOLOGY,
        f"How the pattern changes in training: {either(TOPOLOGIES)}; with options, for example "
        "gse:distribution=grabo,subset=2.",
        spelled(TOPOLOGIES),
        group="sparsity",
    )
    epochs: int = option(defaults.RECIPE.epochs, "Passes over the training samples.", integer(1))
    steps: int | None = option(
        None,
        "Steps of the optimizer, in place of --epochs: the run ends after these. The history then "
        "has a line for each pass over the samples, or for each tenth of the run where that is "
        "shorter.",
        integer(1),
        unset="as many as --epochs makes; for text 2000",
        rare=True,
    )
    batch_size: int | None = option(
        defaults.RECIPE.batch_size,
        "Samples that pass at once.",
        integer(1),
        unset=f"32; 128 from {_MANY_SAMPLES:,} samples on",
    )
    accumulate: int = option(
        1,
        "So many batches make one step of the optimizer, in little more memory than one takes.",
        integer(1),
        rare=True,
    )
    learning_rate: float = option(
        defaults.RECIPE.learning_rate, "Peak of the schedule.", above_zero
    )
    schedule: str = option(
        "cosine",
        f"Course of the learning rate over the run: {either(SCHEDULES)}. All but one-cycle begin "
        "with a warm-up over a twentieth of the run; with options, for example "
        "cosine:floor=0.1,warmup=100 ends at a tenth of the peak and warms up for 100 steps.",
        spelled(SCHEDULES),
    )
    optimizer: str = option(
        defaults.RECIPE.optimizer,
        f"{either(OPTIMIZERS)}: SGD with Nesterov momentum, or AdamW; with options, for example "
        "adam:beta2=0.99.",
        spelled(OPTIMIZERS),
    )
    momentum: float = option(0.9, "Momentum of SGD, or Adam's beta1, in [0, 1).", rare=True)
    weight_decay: float = option(
        5e-4, "Weight decay; it acts on matrices alone, not on biases and norms."
    )
    clip: float = option(
        0.0,
        "Length that the gradient of all weights together may have, such as 1; a longer one is "
        "shortened to it. 0 leaves gradients as they are.",
        at_least_zero,
        rare=True,
    )
    label_smoothing: float = option(
        0.1, "Part of the target that all classes share, in [0, 1); for classification.", rare=True
    )
    prune_rate: float | None = option(
        None,
        "Fraction of the weights that the first update of the topology drops.",
        unset="the topology's own",
        group="sparsity",
    )
    update_every: int | None = option(
        None, "Steps between updates of the topology.", unset="an epoch", group="sparsity"
    )
    growth_memory: float = option(
        64e6,
        "Bytes that sparse momentum may use to watch weights that do not exist.",
        group="sparsity",
        rare=True,
    )
    augment: str = option(
        "none",
        f"How images are varied in training: {either(AUGMENTATIONS)}. Affine images are turned, "
        "resized and shifted; flip mirrors every other one.",
        one_of(AUGMENTATIONS),
    )
    precision: str = option(
        defaults.PRECISION,
        f"How wide layers and convolutions read their inputs in training: {either(PRECISIONS)}.",
        one_of(PRECISIONS),
    )
    seed: int = option(0, "Seed of everything random.", integer(0))

    def __post_init__(self) -> None:
        for name, known in options().items():
            object.__setattr__(self, name, known.read(name, getattr(self, name)))
        self.make_topology()
        self.make_optimizer()
        self.make_schedule(1)
        self.rates("0")
        if self.init and self.group != ALONE:
            reason = "whose weights stand where they are; sparsecpu import has --group, too"
            raise ConflictError("group", "--init", reason)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return asdict(self)

    def batch(self, samples: int) -> int:
        """Return the samples per step, for so many training samples."""
        if self.batch_size is not None:
            return self.batch_size
        return 32 if samples < _MANY_SAMPLES else 128

    def course(self, samples: int) -> Course:
        """Return how long the run is, for so many training samples."""
        return Course(samples, self.batch(samples) * self.accumulate, self.epochs, self.steps)

    def rates(self, head: str) -> dict[str, float]:
        """Return factors of the learning rate by layer; ``head`` is the last layer's name."""
        found = {}
        for part in self.layer_rates.split(",") if self.layer_rates else ():
            layer, _, factor = part.partition("=")
            layer = head if layer.strip() == "head" else layer.strip()
            try:
                found[layer] = float(factor)
            except ValueError:
                expected = "LAYER=FACTOR with commas between, such as head=10,0=0.1"
                raise ParameterError("layer_rates", self.layer_rates, expected) from None
        return found

    def make_topology(self) -> Topology:
        """Return the topology algorithm; one that takes no options never updates."""
        takes = signature(TOPOLOGIES.find(self.topology.partition(":")[0])).parameters
        given: dict[str, Any] = {"update_every": self.update_every, "prune_rate": self.prune_rate}
        given = {name: value for name, value in given.items() if takes and value is not None}
        if "growth_memory" in takes:
            given["growth_memory"] = self.growth_memory
        return TOPOLOGIES.make(self.topology, **given)

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer; the first argument of each is a momentum."""
        first, *_ = signature(OPTIMIZERS.find(self.optimizer.partition(":")[0])).parameters
        given = {first: self.momentum, "weight_decay": self.weight_decay}
        return OPTIMIZERS.make(self.optimizer, **given)

    def make_schedule(self, steps: int) -> Schedule:
        """Return the learning rate of a run of so many steps."""
        return make_schedule(self.schedule, self.learning_rate, steps)


def options() -> dict[str, Option]:
    """Return what is known of every field of a recipe, by name, in the order of the fields."""
    return {field.name: field.metadata["option"] for field in fields(Recipe)}
