"""A tiny language model and a text that it can learn, for tests of several rooms."""

import pytest

from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models import MODELS

BLOCK = 16
#: What each letter is followed by is nearly certain.
VERSE = "the cat sat on the mat; the rat ate the cat's hat.\n"


def words(input_shape=(64,), n_outputs=256, *, block=BLOCK):
    """Describe a model that foretells each token by the one before it."""
    return Architecture(
        (block,),
        (
            LayerSpec("embedding", {"vocabulary": n_outputs, "features": 24}),
            LayerSpec("linear", {"out_features": 32}),
            LayerSpec("relu"),
            LayerSpec("linear", {"out_features": n_outputs}),
        ),
        "words",
    )


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    """Give the model a name; a test module that imports this has it."""
    monkeypatch.setitem(MODELS, "words", words)


@pytest.fixture
def verse(tmp_path):
    """A file with 150 lines, and how it is called as data."""
    path = tmp_path / "verse.txt"
    path.write_text(VERSE * 150)
    return f"text:{path}"
