"""Where models are: in a file of their own, or in the folder of a run."""

from __future__ import annotations

from pathlib import Path

from sparsecpu.errors import FileFormatError


def model_path(path: Path | str) -> Path:
    """Return the model file of a run's folder (its checkpoint if it has not ended), or the file."""
    given = Path(path)
    if not given.is_dir():
        return given
    for name in ("model.npz", "checkpoint.npz"):
        if (given / name).is_file():
            return given / name
    raise FileFormatError(f"{given} holds no model.npz and no checkpoint.npz")
