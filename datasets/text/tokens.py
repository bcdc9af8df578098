"""The tokens of a whole text: in memory, or in a file that is mapped where they are many."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from sparsecpu.datasets.fetching import home
from sparsecpu.datasets.text.sources import Source
from sparsecpu.datasets.text.tokenizers import Tokenizer
from sparsecpu.errors import DataError

#: Tokens of a text with more bytes than this are kept in a file.
_MAPPED = 100_000_000
#: Tokens that are looked at in one go.
_AT_ONCE = 1 << 24


def encoded(source: Source, tokenizer: Tokenizer) -> np.ndarray:
    """Return the tokens of a text, of the tokenizer's type.

    Those of a large text are mapped from a file in the folder for data sets, which the next run
    finds there. Raises ``DataError`` if that cannot be written.
    """
    if source.size <= _MAPPED:
        return np.concatenate([tokenizer.encode(part) for part in source.parts()])
    place = _place(source, tokenizer)
    if place.is_file() and (found := _mapped(place, tokenizer)) is not None:
        return found
    _write(place, source, tokenizer)
    found = _mapped(place, tokenizer)
    if found is None:
        raise DataError(f"{place} is not as it was written a moment ago; check the disk")
    return found


def _place(source: Source, tokenizer: Tokenizer) -> Path:
    """Return where the tokens of a text are kept: by what is in it, and how it is read."""
    known = json.dumps([source.checksum, tokenizer.to_dict()], sort_keys=True)
    mark = hashlib.sha256(known.encode()).hexdigest()[:32]
    return home() / "sparsecpu" / "text" / f"{mark}.{tokenizer.dtype.name}"


def _mapped(place: Path, tokenizer: Tokenizer) -> np.ndarray | None:
    """Return the tokens in a file; None if they cannot be those, so that kernels never see them."""
    size = place.stat().st_size
    if not size or size % tokenizer.dtype.itemsize:
        return None
    tokens = np.memmap(place, tokenizer.dtype, mode="r").view(np.ndarray)
    parts = (tokens[at : at + _AT_ONCE] for at in range(0, len(tokens), _AT_ONCE))
    good = all(part.min() >= 0 and part.max() < tokenizer.vocabulary for part in parts)
    return tokens if good else None


def _write(place: Path, source: Source, tokenizer: Tokenizer) -> None:
    """Write the tokens of a text to a file that appears when it is whole."""
    made = ""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(prefix=f".{place.stem}-", dir=place.parent)
        with os.fdopen(handle, "wb") as file:
            for part in source.parts():
                file.write(tokenizer.encode(part).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, place)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"the tokens of {source.name} cannot be kept in {place.parent} ({reason}); "
            "SCIKIT_LEARN_DATA names another folder for data sets"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(made)
