"""The options of ``sparsecpu train``."""

from __future__ import annotations

from collections.abc import Callable

import click

from sparsecpu.cli.common import data_options, output_options

_OPTIONS = (
    click.argument("data", required=False),
    click.option(
        "--model",
        default="lenet-300-100",
        show_default=True,
        help="A named network, or sizes of hidden layers such as 300,100.",
    ),
    click.option(
        "--width", type=float, default=1.0, show_default=True, help="Multiplies a CNN's channels."
    ),
    click.option(
        "--density",
        type=float,
        default=0.1,
        show_default=True,
        help="Fraction of the weights to keep.",
    ),
    click.option(
        "--neurons",
        type=int,
        help="Hidden neurons, in five equal layers, in place of --model and --density. Steps of 16 "
        "samples, 2 epochs, gse with an update every 8 steps and a last layer that learns more "
        "slowly the more there are, unless told otherwise.",
    ),
    click.option(
        "--per-neuron",
        type=float,
        default=8.0,
        show_default=True,
        help="Connections for each of --neurons.",
    ),
    click.option(
        "--lean",
        is_flag=True,
        help="Train without transposed copies and gradient vectors: 12 bytes per connection "
        "instead of 28, slower.",
    ),
    click.option(
        "--ift",
        default="none",
        show_default=True,
        help="Replace dense layers by larger sparse ones of the same FLOPs: wide, parallel, "
        "factorized or doped. --density is not looked at then.",
    ),
    click.option(
        "--init",
        default="",
        help="A model file or run folder to go on from, in place of --model, --density and "
        "--pattern; see sparsecpu import.",
    ),
    click.option("--new-head", is_flag=True, help="Draw the last layer of --init anew."),
    click.option(
        "--layer-rates", default="", help="Factors of the learning rate, such as head=10,0=0.1."
    ),
    click.option("--sparsity", type=float, default=0.75, show_default=True, help="Of --ift."),
    click.option(
        "--distribution",
        default="erk",
        show_default=True,
        help="How the layers share them: erk, er or uniform.",
    ),
    click.option(
        "--pattern",
        default="random",
        show_default=True,
        help="Where the first weights are: random, constant-fan-in, small-world, snip or synflow.",
    ),
    click.option(
        "--topology",
        default="sparse-momentum",
        show_default=True,
        help="sparse-momentum, rigl, gse, set, dsr, deep-r or static; with options, for example "
        "gse:distribution=grabo,subset=2.",
    ),
    click.option("--epochs", type=int, default=40, show_default=True),
    click.option(
        "--batch-size",
        type=int,
        help="Samples per step.  [default: 32; 128 from 10,000 samples on]",
    ),
    click.option(
        "--learning-rate", type=float, default=0.05, show_default=True, help="Peak of the schedule."
    ),
    click.option(
        "--schedule", default="cosine", show_default=True, help="cosine, one-cycle or constant."
    ),
    click.option("--optimizer", default="sgd", show_default=True, help="sgd or adam."),
    click.option("--momentum", type=float, default=0.9, show_default=True),
    click.option("--weight-decay", type=float, default=5e-4, show_default=True),
    click.option("--label-smoothing", type=float, default=0.1, show_default=True),
    click.option("--prune-rate", type=float, help="Fraction that the first update drops."),
    click.option("--update-every", type=int, help="Steps between updates.  [default: an epoch]"),
    click.option(
        "--growth-memory",
        type=float,
        default=64e6,
        show_default=True,
        help="Bytes for watching inactive weights.",
    ),
    click.option(
        "--augment",
        default="none",
        show_default=True,
        help="How images are varied in training: none, crop, affine (turned, resized and shifted); "
        "crop-flip and affine-flip mirror them, too.",
    ),
    click.option(
        "--precision",
        default="fp32",
        show_default=True,
        help="How wide layers and convolutions read inputs while training: fp32, bf16 or fp16.",
    ),
    click.option(
        "--autotune",
        is_flag=True,
        help="Time each layer sparse and as a full matrix first, and keep the faster form.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--out", type=click.Path(), help="Folder for model, checkpoint and history."),
    click.option("--resume", type=click.Path(), help="Folder of a run to go on with."),
    click.option(
        "--spectrum", is_flag=True, help="Keep the patterns' spectral gaps in the history."
    ),
    click.option("--no-dense-timing", is_flag=True, help="Do not time the dense network."),
)


def train_options(command: Callable) -> Callable:
    """Add DATA and all options of ``train``, in the order of ``--help``.

    Parameters
    ----------
    command : callable
        A click command's function.

    Returns
    -------
    callable
        The same.
    """
    command = data_options(output_options(command))
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
