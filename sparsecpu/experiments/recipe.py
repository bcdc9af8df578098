"""A whole training run as plain values: what the command line asks for, and how it is set up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.errors import ParameterError
from sparsecpu.files.fine_tuning import last_weighted_layer, start_from
from sparsecpu.isoflop import TRANSFORMS
from sparsecpu.layers import Sequential
from sparsecpu.losses import Loss, SoftmaxCrossEntropy, SquaredError
from sparsecpu.networks.at_start import CHOOSERS, choose, draw_batch
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models import MODELS, find_model
from sparsecpu.optimizers import SGD, Adam, Optimizer
from sparsecpu.schedules import Schedule, constant, cosine, one_cycle, warmup
from sparsecpu.sparse.densities import check_density
from sparsecpu.sparse.first_patterns import PATTERNS
from sparsecpu.step.augmentation import AUGMENTATIONS, AugmentedSamples
from sparsecpu.step.precision import PRECISIONS
from sparsecpu.step.standardising import standardise
from sparsecpu.step.streams import streams
from sparsecpu.topology import Topology, make_topology
from sparsecpu.trainer import Trainer

#: Hidden layers of a network that is asked for by its number of neurons.
HIDDEN_LAYERS = 5


@dataclass(frozen=True)
class Recipe:
    """What determines a run, beside its data.

    Parameters
    ----------
    model : str
        A name that ``models.find_model`` knows, or sizes of hidden layers (``"300,100"``).
    width : float
        Multiplies the channels of a convolutional model.
    density : float
        Fraction of the weights to keep, in (0, 1]; not looked at with ``ift``.
    neurons : int or None
        Hidden neurons, in five equal layers with ``per_neuron`` connections each, shared out by
        ``er``; in place of ``model``, ``width``, ``density`` and ``distribution``.
    per_neuron : float
        Connections per neuron, the outputs included.
    lean : bool
        Whether to train without transposed copies and gradient vectors; see ``Trainer``.
    init : str
        A model file to go on from, in place of ``model``, ``width``, ``density``, ``ift`` and
        ``pattern``; "" for none. Its last layer is drawn anew where the outputs differ in number.
    new_head : bool
        Whether that layer is drawn anew in any case.
    layer_rates : str
        Factors of the learning rate by layer, ``"head=10,0=0.1"``; the head is the last layer.
    ift : {"none", "wide", "parallel", "factorized", "doped"}
        Whether to replace dense layers by larger sparse ones of the same FLOPs; see ``isoflop``.
    sparsity : float
        Of these, in [0, 1).
    distribution : {"erk", "er", "uniform"}
        How the layers share them.
    pattern : {"random", "constant-fan-in", "small-world", "snip", "synflow"}
        Where the first weights are; see ``patterns`` and ``foresight``.
    topology : str
        A name in ``topology.TOPOLOGIES``, with options if need be: see ``topology.make_topology``.
    epochs : int
        Passes over the samples.
    batch_size : int or None
        Samples per step; None for 32 with fewer than 10,000 samples and 128 with more.
    learning_rate : float
        Peak of the schedule.
    schedule : {"cosine", "one-cycle", "constant"}
        Its shape, after a warm-up over a twentieth of the run.
    optimizer : {"sgd", "adam"}
        With momentum 0.9 and Nesterov; or AdamW.
    momentum, weight_decay : float
        Of the optimizer.
    label_smoothing : float
        Of classification.
    prune_rate : float or None
        First prune rate of the topology; its own default for None.
    update_every : int or None
        Steps between topology updates; an epoch for None.
    growth_memory : float
        Bytes that sparse momentum may use to watch inactive weights.
    augment : {"none", "crop", "crop-flip", "affine", "affine-flip"}
        How images are varied; see ``augmentation``.
    precision : {"fp32", "bf16", "fp16"}
        How sparse layers read their inputs while training.
    seed : int
        Of everything random.
    """

    model: str = "lenet-300-100"
    width: float = 1.0
    density: float = 0.1
    neurons: int | None = None
    per_neuron: float = 8.0
    lean: bool = False
    init: str = ""
    new_head: bool = False
    layer_rates: str = ""
    ift: str = "none"
    sparsity: float = 0.75
    distribution: str = "erk"
    pattern: str = "random"
    topology: str = "sparse-momentum"
    epochs: int = 40
    batch_size: int | None = None
    learning_rate: float = 0.05
    schedule: str = "cosine"
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    prune_rate: float | None = None
    update_every: int | None = None
    growth_memory: float = 64e6
    augment: str = "none"
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_density(self.density)
        batch_size = 1 if self.batch_size is None else self.batch_size
        for name, value in (("epochs", self.epochs), ("batch_size", batch_size)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise ParameterError(name, value, "an integer of at least 1")
        if self.neurons is not None and not (
            int(self.neurons) == self.neurons and self.neurons >= HIDDEN_LAYERS
        ):
            raise ParameterError("neurons", self.neurons, f"an integer of at least {HIDDEN_LAYERS}")
        if not 0 < self.per_neuron < math.inf:
            raise ParameterError("per_neuron", self.per_neuron, "a number above 0")
        if not 0 < self.width < math.inf:
            raise ParameterError("width", self.width, "a number above 0")
        if not 0 < self.learning_rate < math.inf:
            raise ParameterError("learning_rate", self.learning_rate, "a number above 0")
        if not (int(self.seed) == self.seed and self.seed >= 0):
            raise ParameterError("seed", self.seed, "an integer of at least 0")
        for name, choice, allowed in (
            ("ift", self.ift, ("none", *TRANSFORMS)),
            ("pattern", self.pattern, (*PATTERNS, *CHOOSERS)),
            ("schedule", self.schedule, ("cosine", "one-cycle", "constant")),
            ("optimizer", self.optimizer, ("sgd", "adam")),
            ("augment", self.augment, AUGMENTATIONS),
            ("precision", self.precision, PRECISIONS),
        ):
            if choice not in allowed:
                raise ParameterError(name, choice, f"one of {', '.join(allowed)}")
        if not 0 <= self.sparsity < 1:
            raise ParameterError("sparsity", self.sparsity, "a number in [0, 1)")
        self.make_topology()
        self.rates("0")

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return asdict(self)

    def batch(self, samples: int) -> int:
        """Return the samples per step.

        Parameters
        ----------
        samples : int
            Training samples.

        Returns
        -------
        int
            ``batch_size``, or what stands in for it.
        """
        if self.batch_size is not None:
            return self.batch_size
        return 32 if samples < 10_000 else 128

    def architecture(self, input_shape: tuple[int, ...], n_outputs: int) -> Architecture:
        """Describe the network.

        Parameters
        ----------
        input_shape : tuple of ints
            Of one sample.
        n_outputs : int
            Numbers to put out.

        Returns
        -------
        Architecture
            With its weights shared out among the layers.
        """
        if self.init:
            return self._started(input_shape, n_outputs).architecture
        dense = self.dense(input_shape, n_outputs)
        if self.ift != "none":
            return TRANSFORMS[self.ift](dense, self.sparsity)
        if self.neurons is not None:
            wanted = self.per_neuron * (self.neurons + n_outputs)
            size = sum(math.prod(shape) for shape in dense.weight_shapes())
            return dense.sparsify(min(1.0, wanted / size), "er")
        return dense.sparsify(self.density, self.distribution)

    def dense(self, input_shape: tuple[int, ...], n_outputs: int) -> Architecture:
        """Describe the network with all its weights.

        Parameters
        ----------
        input_shape : tuple of ints
            Of one sample.
        n_outputs : int
            Numbers to put out.

        Returns
        -------
        Architecture
            The dense network.

        Raises
        ------
        ParameterError
            If there is no such model.
        """
        if self.init:
            own = self._started(input_shape, n_outputs).architecture
            return own.with_counts(math.prod(shape) for shape in own.weight_shapes())
        if self.neurons is not None:
            hidden = (self.neurons // HIDDEN_LAYERS,) * HIDDEN_LAYERS
            return mlp(input_shape, hidden, n_outputs)
        described = find_model(self.model)
        if described is not None:
            options = {} if self.width == 1.0 else {"width": self.width}
            try:
                return described(input_shape, n_outputs, **options)
            except TypeError:
                raise ParameterError("width", self.width, "1, for an MLP") from None
        try:
            hidden = tuple(int(size) for size in self.model.split(",") if size)
        except ValueError:
            known = ", ".join([*MODELS, "resnet-DEPTH", "wrn-DEPTH-WIDEN"])
            expected = f"one of {known}, or sizes such as 300,100"
            raise ParameterError("model", self.model, expected) from None
        return mlp(input_shape, hidden, n_outputs)

    def _started(self, input_shape: tuple[int, ...], n_outputs: int) -> Sequential:
        """Return the network of ``init``, with a head of ``n_outputs``."""
        return start_from(self.init, input_shape, n_outputs, self.seed, new_head=self.new_head)

    def rates(self, head: str) -> dict[str, float]:
        """Return factors of the learning rate by layer.

        Parameters
        ----------
        head : str
            Name of the last layer.

        Returns
        -------
        dict of str to float
            As ``Trainer`` takes them.

        Raises
        ------
        ParameterError
            If ``layer_rates`` does not read so.
        """
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

    def loss(self, task: str) -> Loss:
        """Return the loss of a task.

        Parameters
        ----------
        task : {"classification", "regression"}
            What is to be learnt.

        Returns
        -------
        Loss
            Softmax cross-entropy, or the squared error.
        """
        if task == "regression":
            return SquaredError()
        return SoftmaxCrossEntropy(self.label_smoothing)

    @property
    def slots(self) -> int:
        """Numbers that the optimizer keeps per weight."""
        return 2 if self.optimizer == "adam" else 1 if self.momentum > 0 else 0

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer."""
        if self.optimizer == "adam":
            return Adam(self.momentum, weight_decay=self.weight_decay)
        return SGD(self.momentum, weight_decay=self.weight_decay)

    def make_topology(self) -> Topology:
        """Return the topology algorithm."""
        name = self.topology.partition(":")[0]
        options: dict[str, Any] = {}
        if name != "static" and self.update_every is not None:
            options["update_every"] = self.update_every
        if name != "static" and self.prune_rate is not None:
            options["prune_rate"] = self.prune_rate
        if name == "sparse-momentum":
            options["growth_memory"] = self.growth_memory
        return make_topology(self.topology, **options)

    def make_schedule(self, steps: int) -> Schedule:
        """Return the learning rate over a run.

        Parameters
        ----------
        steps : int
            Its length.

        Returns
        -------
        callable
            A function of the step.
        """
        if self.schedule == "one-cycle":
            return one_cycle(self.learning_rate, steps)
        shape = constant(self.learning_rate)
        if self.schedule == "cosine":
            shape = cosine(self.learning_rate, steps)
        return warmup(shape, steps // 20)

    def trainer(
        self,
        network: Sequential,
        task: str,
        samples: int,
        *,
        threads: int | None = None,
        callbacks: Iterable[Callback] = (),
        comm: Any = None,
    ) -> Trainer:
        """Return the trainer of a run.

        Parameters
        ----------
        network : Sequential
            What to train.
        task : {"classification", "regression"}
            What is to be learnt.
        samples : int
            Training samples.
        threads : int, optional
            Threads of the kernels.
        callbacks : iterable of Callback
            Hooks.
        comm : Communicator, optional
            Ranks that share the batches.

        Returns
        -------
        Trainer
            Ready to fit.
        """
        batch = self.batch(samples)
        steps = -(-samples // batch) * self.epochs
        return Trainer(
            network,
            loss=self.loss(task),
            optimizer=self.make_optimizer(),
            topology=self.make_topology(),
            learning_rate=self.make_schedule(steps),
            batch_size=batch,
            epochs=self.epochs,
            seed=self.seed,
            threads=threads,
            precision=self.precision,
            layer_rates=self.rates(last_weighted_layer(network)),
            lean=self.lean,
            comm=comm,
            callbacks=callbacks,
        )

    def varied(self, x: Any, network: Sequential, trainer: Trainer) -> Any:
        """Return the samples as they are trained on.

        Parameters
        ----------
        x : array_like or Source
            The samples.
        network : Sequential
            Knows the shape of its images.
        trainer : Trainer
            Has the stream of random numbers.

        Returns
        -------
        array_like or Source
            ``x``, or a source that varies it.
        """
        if self.augment == "none":
            return x
        rng = trainer.rngs["augmentation"]
        return AugmentedSamples(network.samples(x), network.input_shape, self.augment, rng)

    def network(self, architecture: Architecture, x: Any, y: Any, scaling: str) -> Sequential:
        """Build the network with this recipe's seed, ready to be trained.

        Parameters
        ----------
        architecture : Architecture
            The description.
        x, y : array_like or Source, array_like
            Training samples, which give the scale of the inputs, and a batch to SNIP.
        scaling : str
            See ``scaling.standardise``.

        Returns
        -------
        Sequential
            The network.

        Raises
        ------
        ParameterError
            If the pattern needs what the network or the task has not.
        """
        if self.init:
            network = self._started(architecture.input_shape, architecture.widths()[-1])
            if not network.offset.size:
                standardise(network, x, scaling)
            return network
        pattern = self.pattern if self.pattern in PATTERNS else "random"
        network = architecture.build(streams(self.seed)["init"], pattern=pattern)
        standardise(network, x, scaling)
        if self.pattern in CHOOSERS:
            y = np.asarray(y)
            if self.pattern == "snip" and (y.ndim != 1 or y.dtype.kind not in "iu"):
                raise ParameterError("pattern", "snip", "classes, to take gradients by")
            rows, batch = draw_batch(network, x, self.seed)
            chosen = choose(self.pattern, architecture, self.seed, batch, y[rows])
            network = architecture.build(streams(self.seed)["init"], pattern=chosen)
            standardise(network, x, scaling)
        return network
