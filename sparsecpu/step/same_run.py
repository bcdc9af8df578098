"""Whether a trainer may go on with a run: made alike, and at a place that the run leads to."""

from __future__ import annotations

from typing import Any

from sparsecpu.errors import FileFormatError, ResumeError
from sparsecpu.step.course import Course, Origin
from sparsecpu.step.plain_values import maybe, shown, table, text, truth, whole

_MADE_WITH = table(
    {
        "optimizer": text, "topology": text, "batch_size": whole(1), "shuffle": truth,
        "lean": truth, "precision": text,
    },
    {"accumulate": whole(1), "steps": maybe(whole(1))},  # later than the others
)  # fmt: skip


def made_with(trainer: Any) -> dict[str, Any]:
    """Return what another trainer must have in common, to go on with the run."""
    return {
        "optimizer": type(trainer.optimizer).__name__,
        "topology": type(trainer.topology).__name__,
        "batch_size": trainer.batch_size,
        "shuffle": bool(trainer.shuffle),
        "lean": trainer.lean,
        "precision": trainer.precision,
        "accumulate": trainer.accumulate,
        "steps": trainer.steps,
    }


def refuse_another_run(trainer: Any, values: dict[str, Any]) -> None:
    """Refuse the state of a run that was made with another optimizer, batch size or the like."""
    if "made_with" not in values:
        return
    theirs = _read_made_with(values)
    for name, ours in made_with(trainer).items():
        longer = name == "steps" and None not in (ours, theirs[name])
        if theirs[name] != ours and not longer:
            begun = shown(str(theirs[name]))
            raise ResumeError(f"the run was begun with {name} {begun}; this one has {ours}")


def _read_made_with(values: dict[str, Any]) -> dict[str, Any]:
    found = _MADE_WITH(values["made_with"], "made_with")
    return {"accumulate": 1, "steps": None, **found}


def check_progress(trainer: Any, values: dict[str, Any], samples: int) -> Origin | None:
    """Refuse numbers of steps, epochs and samples that do not fit one another.

    Returns where epochs got or get another length.
    """
    batch = trainer.batch_size * trainer.accumulate
    steps, epochs, position = (values[n] for n in ("steps_done", "epochs_done", "position"))
    if trainer.steps is not None:
        theirs = _read_made_with(values)["steps"] if "made_with" in values else trainer.steps
        origin = Origin(**values["origin"]) if "origin" in values else None
        course = Course(samples, batch, 0, theirs, origin)
        if steps > trainer.steps:
            raise ResumeError(f"the run has done {steps} steps; it is to do {trainer.steps}")
        _check_place(course, steps, epochs, position)
        return origin if theirs == trainer.steps else course.lengthened(steps, trainer.steps)
    if epochs > trainer.epochs:
        raise ResumeError(f"the run has done {epochs} epochs; this one is to do {trainer.epochs}")
    broken = position != samples and position % batch  # all samples: the epoch is to end
    if position and (position > samples or broken or epochs == trainer.epochs):
        raise FileFormatError(
            f"position is {position}; expected 0, {samples}, or a multiple of {batch} below it, "
            f"within the {trainer.epochs} epochs"
        )
    expected = epochs * -(-samples // batch) - (-position // batch)
    if steps != expected:
        raise FileFormatError(
            f"steps_done is {steps}; {epochs} epochs of {samples} samples and {position} samples "
            f"more make {expected}"
        )
    if values["order_state"] is None and steps:
        raise FileFormatError("order_state is missing; expected that of the epoch's first step")
    return None


def _check_place(course: Course, steps: int, epochs: int, position: int) -> None:
    """Refuse a place within a run of so many steps that these do not lead to."""
    origin = course.origin
    if steps > course.total_steps or (origin is not None and steps < origin.step):
        raise FileFormatError(f"steps_done is {steps}, which is no step of this run")
    expected = course.epochs_done(steps), course.position(steps)
    to_end = steps > 0 and course.ends_epoch(steps)  # a callback that keeps the run comes before
    whole = expected[1] == 0 and position == course.samples
    if epochs not in (expected[0], expected[0] - to_end) or not (position == expected[1] or whole):
        raise FileFormatError(
            f"epochs_done and position are {epochs} and {position}; {steps} steps lead to "
            f"{expected[0]} and {expected[1]}"
        )
