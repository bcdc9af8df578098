"""Training: what a step is, what an epoch is, and what a whole run is made of."""

from sparsecpu.trainer.run import Trainer

__all__ = ["Trainer"]
