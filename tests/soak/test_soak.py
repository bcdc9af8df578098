"""A short soak, and what a soak would say of a program that leaks."""

from dataclasses import replace

from tests.soak.measures import ALLOWED, Measures, faults
from tests.soak.soak import soak


def test_nothing_grows_in_a_few_seconds(tmp_path):
    found = soak(3, tmp_path, warm_up=0)
    assert not found.faults, found.report()
    assert found.report().endswith("flat")


def test_what_grows_is_found():
    flat = Measures(memory=300 << 20, handles=9, threads=4, files=10)
    seen = [replace(flat, memory=flat.memory + (i % 7 << 20)) for i in range(300)]
    assert faults(seen) == []
    for name, leak in (("memory", ALLOWED // 150), ("handles", 1), ("threads", 1), ("files", 1)):
        leaking = [
            replace(m, **{name: getattr(m, name) + leak * i}) for i, m in enumerate(seen)
        ]  # fmt: skip
        (fault,) = faults(leaking)
        assert name in fault
