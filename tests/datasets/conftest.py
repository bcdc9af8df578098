"""No test of data asks any other machine."""

from types import SimpleNamespace
from urllib.error import URLError

import pytest


@pytest.fixture
def openml(monkeypatch, tmp_path):
    """Give scikit-learn an empty cache, and no network until ``openml.use(server)``.

    The current folder is an empty one, too.
    """
    from sklearn.datasets import _openml

    def unreachable(request, *args, **options):
        raise URLError("no network")

    monkeypatch.setattr(_openml, "urlopen", unreachable)
    monkeypatch.setattr(_openml, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("SPARSECPU_DATA", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return SimpleNamespace(
        cache=tmp_path / "cache",
        here=here,
        use=lambda server: monkeypatch.setattr(_openml, "urlopen", server.urlopen),
        cut=lambda: monkeypatch.setattr(_openml, "urlopen", unreachable),
    )
