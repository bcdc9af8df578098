"""What ``sparsecpu bench`` can measure: a subject is a file in ``bench/subjects`` and an entry."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparsecpu.cli.grouped_help import option
from sparsecpu.experiments.options import either
from sparsecpu.registries import Registry, defaults
from sparsecpu.sparse.densities import DISTRIBUTIONS
from sparsecpu.step.precision import PRECISIONS

_SPARSITIES = option(
    "--sparsity", "sparsities", type=float, multiple=True,
    help="Sparsity (1 - density) to measure at; may be given more than once.",
)  # fmt: skip
_ROUNDS = option(
    "--rounds", type=int, rare=True,
    help="How often each contestant is timed, all of them taking turns.",
)  # fmt: skip
_MODELS = option(
    "--model", "models", multiple=True,
    help="A network by name (see sparsecpu list models), or sizes such as 784-300-10; may be given "
    "more than once.",
)  # fmt: skip
_PRECISION = option(
    "--precision", default="fp32", show_default=True, rare=True,
    help=f"How our layers read their inputs: {either(PRECISIONS)}.",
)  # fmt: skip
_DISTRIBUTION = option(
    "--distribution", rare=True,
    help=f"How the layers share the weights: {either(DISTRIBUTIONS)}.  [default: erk for MLPs, "
    "uniform for CNNs]",
)  # fmt: skip
_NO_BF16 = option(
    "--no-dense-bf16", is_flag=True, rare=True,
    help="Leave out dense rivals in bfloat16, which take very long on CPUs without AVX512-BF16 or "
    "AMX; the table says so.",
)  # fmt: skip


def _group(default: str) -> Any:
    return option(
        "--group",
        help="So many neighbouring rows share their columns: 1, 2, 4 or 8, or several with commas "
        f"between.  [default: {default}]",
    )


def _batch(default: str) -> Any:
    return option("--batch", type=int, help=f"Samples at once.  [default: {default}]")


@dataclass(frozen=True)
class Subject:
    """A benchmark: its name, where its class is, what ``--help`` says, and its own options.

    ``uses_blas`` is True if it times dense BLAS products, for which the fastest BLAS is chosen.
    """

    name: str
    place: str
    help: str
    options: Sequence[Any] = ()
    uses_blas: bool = False

    def load(self) -> Any:
        """Import and return the class."""
        module, _, name = self.place.partition(":")
        return getattr(importlib.import_module(f"sparsecpu.bench.subjects.{module}"), name)


#: All subjects, in the order of ``--help``.
SUBJECTS: Registry[Subject] = Registry(
    "benchmark",
    (
        Subject(
            "linear",
            "linear:Linear",
            """Time sparse linear layers beside dense and sparse ones of other libraries.

            All take turns in one process; the figures are medians. Ours include the refresh of the
            transposed values. A ratio counts only the passes that a rival has.
            """,
            (
                option("--shape", "shapes", multiple=True,
                       help="OUTxIN, such as 1000x784; may be given more than once."),
                _SPARSITIES, _group("1,4"), _batch("128"), _ROUNDS, _PRECISION, _NO_BF16,
            ),
            uses_blas=True,
        ),
        Subject(
            "conv",
            "conv:Conv",
            "Time sparse convolutions beside PyTorch's dense ones, in the faster of its layouts.",
            (
                option("--shape", "shapes", multiple=True,
                       help="IN-OUT-SIDE-KERNEL[-STRIDE]; may be given more than once."),
                _SPARSITIES, _group("1,4"), _batch("32"), _ROUNDS, _PRECISION, _NO_BF16,
            ),
        ),
        Subject(
            "attention",
            "attention:Attention",
            "Time attention, which is dense between sparse projections, beside PyTorch's.",
            (
                option("--shape", "shapes", multiple=True,
                       help="SEQUENCES-LENGTH-HEADS-SIZE; may be given more than once."),
                option("--both-ways", is_flag=True,
                       help="Tokens see those behind them, too, as in a vision transformer."),
                _ROUNDS, _NO_BF16,
            ),
        ),
        Subject(
            "train",
            "train:Train",
            """Time whole training steps beside dense ones of NumPy, scikit-learn and PyTorch.

            Convolutional networks (vgg-d, alexnet-s, wrn-16-8, …) see 32x32 colour images.
            """,
            (
                _MODELS, _SPARSITIES, _group("1,4"),
                option("--batch", type=int, help="Samples per step."),
                _ROUNDS, _PRECISION, _NO_BF16,
                option("--rival", "rivals", multiple=True,
                       help="Only this rival, such as 'dense PyTorch'; may be given more "
                       "than once."),
                _DISTRIBUTION,
                option("--profile", is_flag=True,
                       help="Show what fraction of a step each part takes, and the times of "
                       "layers."),
                option("--memory", is_flag=True,
                       help="Measure the memory of steps too, each contestant in a process "
                       "of its own."),
            ),
            uses_blas=True,
        ),
        Subject(
            "infer",
            "infer:Infer",
            "Time predictions, of one sample and of batches, beside NumPy, PyTorch and SciPy.",
            (_MODELS, _SPARSITIES, _group("1,4"), _batch("1, 16 and 128"), _ROUNDS, _PRECISION,
             _NO_BF16, _DISTRIBUTION),
            uses_blas=True,
        ),
        Subject(
            "topology",
            "topology:Topology",
            "Time updates of the topology beside the steps between them.",
            (_MODELS,
             option("--topology", "topologies", multiple=True,
                    help="A rule, with its options, as in train; may be given more than once.  "
                    "[default: all of them]"),
             _group("1")),
        ),
        Subject(
            "sources",
            "sources:Sources",
            "Measure how much of the inactive weights' momentum each source finds in training.",
            (option("--density", type=float,
                    help="Density of the network.  [default: 0.05]"),),
        ),
        Subject(
            "scale",
            "scale:Scale",
            """Time steps and updates as width grows from 1,000 neurons, 8 connections each.

            Up to 1,000,000 neurons; with --full up to 50,000,000, as far as memory goes.
            """,
            (option("--neurons", type=int, multiple=True,
                    help="Hidden neurons; may be given more than once."),
             _group("1")),
        ),
        Subject(
            "published",
            "published:Published",
            "Train SET's networks of up to 1.8 million neurons, beside its published minutes.",
        ),
        Subject(
            "ranks",
            "ranks:Ranks",
            "Time steps that MPI ranks share: mpiexec -n 2 sparsecpu bench ranks.",
        ),
        Subject(
            "kernels",
            "kernels:Kernels",
            "Measure this machine's limits and how near the kernels come to them.",
        ),
        Subject(
            "accuracy",
            "accuracy:Accuracy",
            "Race to the dense network's accuracy: PyTorch, scikit-learn, and sparse networks.",
            (
                option("--hidden", help="Sizes of the hidden layers.  [default: 1000,1000]"),
                option("--samples", type=int,
                       help="Training samples of digits28.  [default: 20000]"),
                option("--epochs", type=int,
                       help="Epochs of every network.  [default: 8]"),
                option("--topology",
                       help=f"Topology of the sparse networks.  [default: {defaults.TOPOLOGY}]"),
                _SPARSITIES, _group("1,4"), _PRECISION, _NO_BF16,
                option("--seed", type=int, help="Seed of every network.  [default: 0]"),
            ),
        ),
    ),
    "benchmarks",
)  # fmt: skip


def sentences() -> dict[str, str]:
    """Return all subjects with a sentence for each."""
    return {name: subject.help.strip().partition("\n")[0] for name, subject in SUBJECTS.items()}


#: What a bare ``sparsecpu bench`` runs, in this order.
ALL = ("kernels", "linear", "conv", "train", "infer", "topology", "scale")
