"""The options of ``sparsecpu train``: those of a recipe, and what to do beside training."""

from __future__ import annotations

import click

from sparsecpu.cli.grouped_help import option
from sparsecpu.cli.names import data_argument
from sparsecpu.cli.options import data_options, decorated, output_options, scaling_option
from sparsecpu.cli.recipe_options import recipe_options
from sparsecpu.cli.validated import validation_options
from sparsecpu.experiments.recipe import options

#: DATA and all options, in the order of ``--help``.
train_options = decorated(
    (
        data_argument(required=False),
        recipe_options(*options()),
        option("--autotune", is_flag=True, group="training", rare=True,
               help="First time each layer sparse and as a full matrix, and keep the faster form."),
        option("--out", type=click.Path(), group="output",
               help="New folder to keep the run in: model, checkpoint and history."),
        option("--resume", type=click.Path(), group="output",
               help="Folder of a run to go on with; DATA and options are taken from it. Four may "
               "be others from here on: --epochs (or --steps, if the run counts these) trains it "
               "longer, also when it is done; learning rate and prune rate are then those that a "
               "run of that length has at this place, so with the cosine schedule they rise again; "
               "--learning-rate; --schedule."),
        validation_options,
        option("--evaluate-every", type=click.IntRange(1), metavar="STEPS", group="output",
               rare=True, help="Score held-out samples every so many steps; the scores go into the "
               "history, too."),
        option("--spectrum", is_flag=True, group="output", rare=True,
               help="Keep the spectral gap of each pattern in the history."),
        option("--no-dense-timing", is_flag=True, group="output",
               help="Do not time the dense network beside the sparse one."),
        option("--rank-timeout", type=float, metavar="SECONDS", group="training", rare=True,
               help="Under mpiexec, end the job when a rank waits so long for the others; 0 waits "
               "for ever.  [default: 600]"),
        data_options,
        scaling_option,
        output_options,
    )
)  # fmt: skip
