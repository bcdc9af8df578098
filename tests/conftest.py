import numpy as np
import pytest
from hypothesis import settings

# Kernels compile inside the first example of a test, which no deadline should judge.
settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("suite")


@pytest.fixture
def rng():
    return np.random.default_rng(12345)
