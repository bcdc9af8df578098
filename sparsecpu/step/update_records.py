"""What is kept of epochs and of topology updates, in histories and checkpoints."""

from __future__ import annotations

from sparsecpu.step.plain_values import anything, listed, named, real, table, whole

_COUNT, _SHARE = whole(0), real(0.0, 1.0)
#: What is known of a layer after an update; algorithms may add to it.
_LAYER = table(
    {"dropped": _COUNT, "grown": _COUNT, "nnz": _COUNT},
    {
        "shortfall": _COUNT, "explored": _SHARE, "distance": _SHARE, "survivor_age": real(0.0),
        "fan_in": listed(_COUNT, 3), "fan_out": listed(_COUNT, 3), "dead_outputs": _COUNT,
        "dead_inputs": _COUNT, "inputs": listed(_COUNT),
        "spectrum": named(real(), ("sigma1", "sigma2", "gap", "bound", "margin")),
    },
    anything,
)  # fmt: skip
#: An update: after how many steps, with which rate, and what became of each layer.
UPDATE = table({"step": _COUNT, "prune_rate": real(), "layers": named(_LAYER)})
#: An epoch: its number, the updates in it, and what callbacks add.
RECORD = table({"epoch": whole(1)}, {"step": _COUNT, "updates": listed(UPDATE)}, anything)
