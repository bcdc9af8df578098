"""The course of a run, counted step by step."""

import itertools

import pytest

from sparsecpu.step.course import Course


def counted(samples, per_step, steps):
    """Yield the samples of each step, and how many of the pass are used after it."""
    used = 0
    for _ in range(steps):
        taken = min(per_step, samples - used)
        used = (used + taken) % samples
        yield taken, used


@pytest.mark.parametrize(
    ("samples", "per_step", "steps"),
    [(10, 3, 7), (10, 3, 100), (64, 8, 23), (5, 9, 12), (100, 1, 1)],
)
def test_a_run_of_so_many_steps(samples, per_step, steps):
    course = Course(samples, per_step, 99, steps)
    assert course.total_steps == steps
    passed = list(counted(samples, per_step, steps))
    ends = [step for step in range(1, steps + 1) if course.ends_epoch(step)]
    assert ends[-1] == steps
    assert len(ends) == course.total_epochs
    assert max(b - a for a, b in itertools.pairwise([0, *ends])) == course.epoch_steps
    assert course.epoch_steps <= -(-samples // per_step)
    assert course.epoch_steps <= max(1, -(-steps // 10))
    for step in range(1, steps + 1):
        assert course.position(step) == passed[step - 1][1]
        assert course.epochs_done(step) == sum(end <= step for end in ends)
        begun = max([0, *(end for end in ends if end < step)])
        assert course.samples_of_epoch(step) == sum(taken for taken, _ in passed[begun:step])


def test_epochs_of_a_run_of_epochs_are_passes():
    course = Course(10, 3, 4)
    assert (course.total_steps, course.epoch_steps, course.total_epochs) == (16, 4, 4)
    assert [step for step in range(1, 17) if course.ends_epoch(step)] == [4, 8, 12, 16]
    assert course.samples_of_epoch(16) == 10


def test_epochs_of_a_run_that_got_more_steps_go_on_where_the_last_one_ended():
    """In runs that were broken off at any step, or done; and once more later."""
    from dataclasses import replace

    begun = Course(1000, 10, 0, 47)  # epochs of 5 steps, the last one of 2
    for step in range(48):
        origin = begun.lengthened(step, 130)
        longer = replace(begun, steps=130, origin=origin)
        assert longer.epochs_done(step) == begun.epochs_done(step)
        assert longer.epoch_steps == 13
        ends = [s for s in range(max(step, 1), 131) if longer.ends_epoch(s)]
        if step and not begun.ends_epoch(step):
            assert longer.samples_of_epoch(step) == begun.samples_of_epoch(step)
        after = [longer.epochs_done(s) for s in ends if s > step]
        assert after == list(range(begun.epochs_done(step) + 1, longer.total_epochs + 1))
        shorter = replace(longer, steps=131, origin=longer.lengthened(130, 131))
        assert shorter.total_epochs == longer.total_epochs + 1
