"""How many times as fast our steps are, by rounds in which all take turns."""

import itertools

import pytest

from sparsecpu.bench.measuring import rounds
from sparsecpu.bench.measuring.rounds import Beside, beside_rivals
from sparsecpu.bench.rivals.turns import turn


class Takes:
    """Steps of so many milliseconds: one number for each round, again and again."""

    def __init__(self, *ms, precision="fp32", library="NumPy"):
        self.precision, self.library = precision, library
        self.turns, self._ms = 0, itertools.cycle(ms)

    def turn(self, seconds):
        if not seconds:
            return [1000.0]
        self.turns += 1
        ms = next(self._ms)
        return [] if ms is None else [ms, ms, ms * 50]  # something else had the processor


def test_the_fastest_rival_of_each_precision_counts():
    rivals = [Takes(2.0), Takes(1.5, library="PyTorch"), Takes(4.0, precision="bf16"), Takes(9.0)]
    ours, found = beside_rivals(Takes(0.5).turn, rivals)
    assert ours == 0.5
    assert found == {
        "fp32": Beside("PyTorch", 1.5, 3.0, 3.0, 3.0), "bf16": Beside("NumPy", 4.0, 8.0, 8.0, 8.0),
    }  # fmt: skip
    assert [rival.turns for rival in rivals] == [7, 7, 7, 1]  # one is far from the fastest
    assert all(one.verdict == "ours" for one in found.values())


def test_a_machine_that_gets_slower_slows_both():
    """Ratios are of turns side by side: one timing of each at its time would say 27 here."""
    pace = (1.0, 2.0, 9.0)
    _, found = beside_rivals(Takes(*pace).turn, [Takes(*(3.0 * p for p in pace))])
    assert (found["fp32"].low, found["fp32"].ratio, found["fp32"].high) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        ((1.0,), "alike"),
        ((1.04,), "alike"),
        ((0.9, 1.1), "alike"),
        ((0.8,), "dense"),
        ((1.5, 1.6), "ours"),
        ((0.5, 3.0), "unclear"),
    ],
)
def test_what_is_within_the_noise_is_no_difference(theirs, verdict):
    _, found = beside_rivals(Takes(1.0).turn, [Takes(*theirs)])
    assert found["fp32"].verdict == verdict


def test_who_fails_has_no_figure():
    assert beside_rivals(Takes(1.0).turn, []) == (None, {})
    assert beside_rivals(Takes(None).turn, [Takes(1.0)]) == (None, {})
    _, found = beside_rivals(Takes(1.0).turn, [Takes(2.0, None), Takes(3.0, library="PyTorch")])
    assert found["fp32"].library == "PyTorch"
    assert beside_rivals(Takes(1.0).turn, [Takes(2.0, None)]) == (None, {})


def test_long_steps_have_few_rounds(monkeypatch):
    monkeypatch.setattr(rounds, "_BUDGET", 0.0)
    rival = Takes(2.0)
    beside_rivals(Takes(1.0).turn, [rival])
    assert rival.turns == 3


def test_a_turn_has_enough_steps():
    made = []
    assert len(turn(lambda: made.append(1), 0.0)) == len(made) == 1
    assert len(turn(lambda: made.append(1), 1e-6)) >= 15
