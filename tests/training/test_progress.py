"""What is shown of training."""

import io

import numpy as np
import pytest

from sparsecpu.callbacks import Callback, Progress, Validation
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.reading.live_line import Line, TerminalLine, Word, fitted
from sparsecpu.trainer import Trainer

X = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
Y = np.arange(60) % 3


class Heard(Line):
    """A line that keeps what it is shown; of a terminal if it is live."""

    def __init__(self, live):
        super().__init__(io.StringIO())
        self.live, self.apart, self.shown = live, 0.0, []

    def show(self, words, done=None):
        self.shown.append((fitted(words, None), done))

    def leave(self):
        self.shown.append("left")

    def drop(self):
        self.shown.append("dropped")


def train(line, more=(), **options):
    network = mlp(8, (24, 12), 3).sparsify(0.3).build(np.random.default_rng(1))
    options.setdefault("epochs", 4)
    trainer = Trainer(
        network, loss=SoftmaxCrossEntropy(), batch_size=8, threads=1,
        callbacks=[*more, Progress(line=line)], **options,
    )  # fmt: skip
    trainer.fit(X, Y)


def test_a_log_has_a_line_per_epoch_with_all_that_is_known():
    line = Heard(live=False)
    train(line, [Validation(lambda network: 0.5)])
    assert line.shown.pop() == "left"
    texts = [text for text, _ in line.shown]
    assert [text.split()[1] for text in texts] == ["1/4", "2/4", "3/4", "4/4"]
    assert all("validation 0.5000" in text and "samples/s" in text for text in texts)
    assert [done for _, done in line.shown] == [0.25, 0.5, 0.75, 1.0]


def test_short_epochs_share_a_line_and_the_last_one_has_one():
    log = io.StringIO()
    train(Line(log), epochs=130)
    lines = log.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/130", "130/130"]


def test_up_to_a_hundred_epochs_have_a_line_each():
    log = io.StringIO()
    train(Line(log), epochs=30)
    assert len(log.getvalue().splitlines()) == 30


def test_a_long_epoch_has_lines_within_it(monkeypatch):
    monkeypatch.setattr("sparsecpu.callbacks.progress._LONG", 0.0)
    line = Heard(live=False)
    train(line, epochs=1)
    assert len(line.shown) == 10  # eight steps, the epoch, and what was left


def test_a_terminal_shows_every_step_if_there_is_time():
    line = Heard(live=True)
    train(line, epochs=2)
    assert line.shown.pop() == "left"
    parts = [done for _, done in line.shown]
    assert parts == sorted(parts)
    assert len(set(parts)) == 16
    assert line.shown[0][0].startswith("epoch 1/2")
    assert line.shown[-1][0].startswith("epoch 2/2")


def test_a_run_of_steps_counts_steps():
    line = Heard(live=True)
    train(line, steps=12, epochs=1)
    assert line.shown[4][0].startswith("step 4/12")


class EndsAt(Callback):
    def __init__(self, steps, error=None):
        self.steps, self.error = steps, error

    def on_step(self, trainer, loss):
        if trainer.steps_done == self.steps:
            trainer.interrupted = True
            if self.error:
                raise self.error


def test_what_is_broken_off_leaves_no_line():
    line = Heard(live=True)
    train(line, [EndsAt(5)])
    assert line.shown[-1] == "dropped"
    with pytest.raises(KeyboardInterrupt):
        train(line := Heard(live=True), [EndsAt(5, KeyboardInterrupt())])
    assert line.shown[-1] == "dropped"


def test_compiling_counts_in_no_time(monkeypatch):
    from sparsecpu.kernels.machine.compile import compile_clock

    class Compiles(Callback):
        def on_step(self, trainer, loss):
            compile_clock.seconds += 1000.0

    monkeypatch.setattr(compile_clock, "seconds", compile_clock.seconds)
    line = Heard(live=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sparsecpu.step.training_clock.time.perf_counter", slow_clock())
        train(line, [Compiles()], epochs=8)
    speed = float(line.shown[10][0].split(" samples/s")[0].split()[-1])
    assert 7.0 < speed <= 8.0  # a step of at most eight samples takes a second
    assert "in 1:0" in line.shown[-2][0]


def slow_clock():
    """Return a clock that only goes on with what is compiled, and a second for each step."""
    from sparsecpu.kernels.machine.compile import compile_clock

    begin = compile_clock.seconds
    return lambda: compile_clock.seconds + (compile_clock.seconds - begin) / 1000.0


def test_speed_of_language_models_is_in_tokens():
    from types import SimpleNamespace

    from sparsecpu.step.course import Course

    progress, line = Progress(line=(line := Heard(live=True))), line
    trainer = SimpleNamespace(
        steps_done=0, epochs_done=0, epochs=10, steps=20, stop=False,
        course=Course(100, 10, 1, 20), loss=SimpleNamespace(of_tokens=True),
        network=SimpleNamespace(longest=64),
    )  # fmt: skip
    progress.on_fit_start(trainer)
    for _ in range(3):
        trainer.steps_done += 1
        progress.on_step(trainer, 1.0)
    assert "tokens/s" in line.shown[-1][0]


def test_what_comes_first_can_be_said():
    line = Heard(live=False)
    network = mlp(8, (24, 12), 3).sparsify(0.3).build(np.random.default_rng(1))
    progress = Progress(line=line, before=(Word("run 2/9", "2/9"),))
    Trainer(
        network, loss=SoftmaxCrossEntropy(), batch_size=8, epochs=1, threads=1, callbacks=[progress]
    ).fit(X, Y)
    assert line.shown[0][0].startswith("run 2/9  epoch 1/1")


def test_a_run_that_another_one_follows_on_a_terminal(monkeypatch):
    stream = io.StringIO()
    train(TerminalLine(stream), epochs=2)
    train(TerminalLine(stream), epochs=2)
    assert stream.getvalue().count("\n") == 2
