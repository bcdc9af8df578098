"""A soak: rounds for some time, and measures after each."""

import time
from dataclasses import dataclass

from tests.soak.measures import Measures, faults, growth, measure
from tests.soak.rounds import TOPOLOGIES, Rounds


@dataclass(frozen=True)
class Soak:
    """What came of it: rounds in all, measures after the warm-up, and what grew."""

    rounds: int
    seconds: float
    seen: list[Measures]
    faults: list[str]

    def report(self):
        """Return it in words."""
        memory = [m.memory / 1e6 for m in self.seen]
        first, last = self.seen[0], self.seen[-1]
        lines = [
            f"{self.rounds} rounds in {self.seconds:.0f} s, {len(self.seen)} of them measured",
            f"memory     {min(memory):.1f} to {max(memory):.1f} MB, "
            f"{growth(memory):+.2f} MB from the first third to the last",
        ]
        lines += [
            f"{name:<11}{getattr(first, name)} at first, {getattr(last, name)} at last"
            for name in ("handles", "threads", "files")
        ]
        return "\n".join([*lines, *(self.faults or ["flat"])])


def soak(seconds, folder, *, warm_up=0.2, say=lambda text: None):
    """Do rounds for so long; the first ones, each topology at least once, are not measured."""
    rounds, seen, began, said = Rounds(folder), [], time.monotonic(), 0.0
    while True:
        rounds.once()
        gone = time.monotonic() - began
        if rounds.number > len(TOPOLOGIES) and gone > warm_up * seconds:
            seen.append(measure(folder))
        if gone - said > 60:
            said = gone
            say(f"{gone / 60:.0f} min, round {rounds.number}: {seen[-1] if seen else 'warming up'}")
        if gone > seconds and len(seen) >= 3:
            return Soak(rounds.number, gone, seen, faults(seen))
