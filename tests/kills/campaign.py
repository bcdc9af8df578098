"""A campaign: cases by number, each a run that is ended, resumed, and compared with a whole one."""

import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.kills.small_disk import SmallDisk, can_mount
from tests.kills.variants import available, outcome

ROOT = Path(__file__).parents[2]
#: How runs are ended: at a random moment, or at one of their writes; and what they may return.
TIMED = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
WAYS = ("kill", "term", "int", "kill-at", "term-at", "int-at", "full-at", "full-disk")
#: Those below 0 are of a process that had not got so far as to hear signals.
RETURNS = {"kill": {-9}, "term": {143, -15}, "int": {130, -2}, "full": {2}}
#: A program in Python has only what Python makes of these.
PLAIN = {"kill": {-9}, "term": {-15}, "int": {-2}, "full": {1}}
#: No command of ours takes so long.
PATIENCE = 180


@dataclass
class Reference:
    """What a variant leaves undisturbed, how many writes that takes, and how long."""

    left: dict
    writes: int
    began: float
    seconds: float


@dataclass
class Case:
    """One case: what was ended, how, and what is wrong with what came of it."""

    number: int
    variant: str
    ends: list = field(default_factory=list)
    faults: list = field(default_factory=list)

    def __str__(self):
        ends = ", ".join(f"{how} {point}" for how, point in self.ends)
        return f"case {self.number}: {self.variant}, {ends}: {'; '.join(self.faults) or 'the same'}"


class Campaign:
    """Ends runs of some variants; ``say`` is called with each case that is done."""

    def __init__(self, names=(), *, seed=0, ways=WAYS, folder, say=lambda case: None):
        self.variants = {n: v for n, v in available().items() if not names or n in names}
        self.ways = [way for way in ways if way != "full-disk" or can_mount()]
        self.seed, self.folder, self.say = seed, Path(folder), say
        self.ends, self.faulty, self.done = Counter(), [], Counter()
        self._references, self._guard = {}, threading.Lock()
        self._making = {name: threading.Lock() for name in self.variants}
        self.model = self.folder / "model.npz"
        self._make_model()

    def _make_model(self):
        variant = available()["static"]
        if faults := self._finish(variant, self.folder / "first", again=False):
            raise RuntimeError(f"a run that nobody ends fails: {faults}")
        (self.folder / "first/model.npz").rename(self.model)

    def run(self, count, workers=1):
        """Go on until so many runs were ended."""
        self._left, self._number = count, 0
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(self._work) for _ in range(workers)]:
                done.result()

    def _work(self):
        while True:
            with self._guard:
                if self._left <= 0:
                    return
                number, self._number = self._number, self._number + 1
                rng = random.Random(f"{self.seed}/{number}")
                times = min(self._left, rng.choice((1, 1, 2, 3)))
                self._left -= times
            self.say(self.one(number, times))

    def one(self, number, times=None):
        """Do one case."""
        rng = random.Random(f"{self.seed}/{number}")
        drawn = rng.choice((1, 1, 2, 3))
        names = sorted(self.variants)
        case = Case(number, names[(number + rng.randrange(len(names))) % len(names)])
        variant = self.variants[case.variant]
        reference = self._reference(variant)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            out = Path(place, "out")
            out.mkdir()
            for turn in range(drawn if times is None else times):
                case.ends.append(self._end(variant, reference, out, rng, turn > 0, case.faults))
            case.faults += self._finish(variant, out, again=True)
            if not case.faults:
                case.faults += differences(reference.left, outcome(out))
        with self._guard:
            self.done[case.variant] += 1
            self.ends.update(how for how, _ in case.ends)
            self.faulty += [case] if case.faults else []
        return case

    def _reference(self, variant):
        """Return what a whole run leaves; the first that asks makes it."""
        with self._making[variant.name]:
            if variant.name not in self._references:
                out = self.folder / f"whole-{variant.name.replace(':', '-')}"
                out.mkdir()
                count = out.with_suffix(".count")
                began = time.monotonic()
                running = self._start(variant, out, False, under=out, at=f"count:{count}")
                while running.poll() is None and not any(out.iterdir()):
                    time.sleep(0.01)
                first = time.monotonic() - began
                messages = running.communicate(timeout=PATIENCE)[0]
                assert running.returncode == 0, f"{variant.name}: {messages}"
                seconds = time.monotonic() - began
                writes = int(count.read_text())
                self._references[variant.name] = Reference(outcome(out), writes, first, seconds)
            return self._references[variant.name]

    def _start(self, variant, out, again, **stop):
        paths = [str(ROOT)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STOP_")}
        if stop:
            paths.insert(0, str(Path(__file__).parent / "stopper"))
            environment |= {"STOP_UNDER": str(Path(stop["under"]).resolve()), "STOP_AT": stop["at"]}
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        words = variant.words(out, self.model, again)
        return subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def _finish(self, variant, out, again):
        """Run to the end, undisturbed; return what is wrong."""
        running = self._start(variant, out, again)
        try:
            messages = running.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
            return ["it hangs"]
        if running.returncode:
            return [f"exit {running.returncode} when it goes on: {messages.strip()[-400:]}"]
        return []

    def _end(self, variant, reference, out, rng, again, faults):
        """Start a run and end it; return how and when."""
        way = rng.choice(self.ways)
        if variant.ranks > 1 and way not in ("kill", "term"):
            way = "kill"
        how, at = way.partition("-")[::2]
        allowed = {0, *(RETURNS if "sparsecpu" in variant.command else PLAIN)[how]}
        if way == "full-disk":
            pages = rng.randint(4, 40)
            with SmallDisk(out, pages * 4096):
                running = self._start(variant, out, again)
                self._judge(running, allowed, faults)
            return way, f"{pages} pages"
        if at:
            number = rng.randint(1, reference.writes)
            running = self._start(variant, out, again, under=out, at=f"{how}:{number}")
            self._judge(running, allowed, faults)
            return way, f"write {number} of {reference.writes}"
        moment = rng.uniform(0.8 * reference.began, reference.seconds)
        running = self._start(variant, out, again)
        try:
            running.wait(moment)
        except subprocess.TimeoutExpired:
            whole = how == "kill" or variant.ranks > 1
            (os.killpg if whole else os.kill)(running.pid, TIMED[how])
        if variant.ranks > 1:  # what the launcher makes of it
            allowed |= {1, 9, 15, 255}
        self._judge(running, allowed, faults)
        return way, f"after {moment:.2f} s"

    def _judge(self, running, allowed, faults):
        """Wait for a run that was ended; note what it should not have done."""
        try:
            messages = running.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
            faults.append("it hangs after a signal")
            return
        if running.returncode not in allowed:
            faults.append(f"exit {running.returncode}: {messages.strip()[-400:]}")
        elif running.returncode == 2 and messages.strip().count("\n"):
            faults.append(f"more than one line: {messages.strip()[-400:]}")


def differences(whole, found):
    """Return what differs between what two runs left."""
    said = {(True, True): "differs", (True, False): "is missing", (False, True): "is left over"}
    return [
        f"{name} {said[name in whole, name in found]}"
        for name in sorted(whole.keys() | found.keys())
        if whole.get(name) != found.get(name)
    ]
