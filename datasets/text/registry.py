"""The tokenizers by name, and back from a file."""

from __future__ import annotations

from typing import Any

from sparsecpu.datasets.text.bpe import BytePairs
from sparsecpu.datasets.text.tokenizers import Bytes, Characters, Tokenizer
from sparsecpu.errors import FileFormatError
from sparsecpu.registries import Registry

#: Tokenizers by the name that ``tokens=`` takes.
TOKENIZERS: Registry[type[Tokenizer]] = Registry(
    "tokens", (Characters, Bytes, BytePairs), "tokenizers"
)


def tokenizer_from_dict(values: Any) -> Tokenizer:
    """Return the tokenizer that ``Tokenizer.to_dict`` described, checked.

    Raises ``FileFormatError`` if that is none.
    """
    name = values.get("name") if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in TOKENIZERS:
        raise FileFormatError(f"the tokenizer has no name; expected one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name].from_dict(values)
