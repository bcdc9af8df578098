"""Text for language models: what is read, how it becomes tokens, and windows of them."""

from sparsecpu.datasets.text.bpe import BytePairs
from sparsecpu.datasets.text.dataset import (
    LANGUAGE,
    LENGTH,
    TextDataset,
    open_text,
    refuse_options,
)
from sparsecpu.datasets.text.reading import Text, is_text, read_text
from sparsecpu.datasets.text.registry import TOKENIZERS, tokenizer_from_dict
from sparsecpu.datasets.text.sources import Source, find_source
from sparsecpu.datasets.text.tokenizers import Bytes, Characters, Tokenizer, token_type

__all__ = [
    "LANGUAGE",
    "LENGTH",
    "TOKENIZERS",
    "BytePairs",
    "Bytes",
    "Characters",
    "Source",
    "Text",
    "TextDataset",
    "Tokenizer",
    "find_source",
    "is_text",
    "open_text",
    "read_text",
    "refuse_options",
    "token_type",
    "tokenizer_from_dict",
]
