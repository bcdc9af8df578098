"""Learning curves of estimators, drawn as scikit-learn's displays are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.estimators.in_use import reads
from sparsecpu.experiments.curves import Curves

#: What a single axes shows where nobody says what.
_USUAL = "loss"


class TrainingCurvesDisplay:
    """Curves of a training: loss, scores, learning rate and densities, epoch by epoch.

    ``TrainingCurvesDisplay.from_estimator(model)`` draws those of a fitted estimator, as
    ``model.plot_curves()`` does. It needs matplotlib.

    Parameters
    ----------
    history : list of dict
        One per epoch, as ``history_`` of an estimator or the ``history.jsonl`` of a run has them.
    layers : sequence of str, optional
        Names of the layers whose densities the history lists.
    score : str, optional
        What scores are, such as ``"accuracy"``.
    kept_best : bool, optional
        True if the network of the best epoch was kept, which is marked then.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure.
    ax_ : matplotlib.axes.Axes or ndarray of them
        The axes with the curves; one if one kind of curve is drawn.
    """

    figure_: Any
    ax_: Any

    def __init__(
        self,
        history: list[dict[str, Any]],
        *,
        layers: Sequence[str] = (),
        score: str = "score",
        kept_best: bool = False,
    ) -> None:
        self.history, self.layers, self.score = history, layers, score
        self.kept_best = kept_best

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, curves: str | Sequence[str] | None = None
    ) -> TrainingCurvesDisplay:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : SparseMLPClassifier, SparseMLPRegressor or SparseCNNClassifier
            The estimator.
        ax, curves : object
            As ``plot_curves`` takes them.
        """
        check_is_fitted(estimator, "network_")
        names = estimator.network_.sparse_parameters()
        display = cls(
            _history(estimator),
            layers=[name.removesuffix(".weight") for name in names],
            score="accuracy" if is_classifier(estimator) else "R²",
            kept_best=bool(estimator.early_stopping),
        )
        return display.plot(ax, curves=curves)

    def plot(
        self, ax: Any = None, *, curves: str | Sequence[str] | None = None
    ) -> TrainingCurvesDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax, curves : object
            As the ``plot_curves`` of estimators takes them.

        Returns
        -------
        TrainingCurvesDisplay
            Itself.
        """
        import numpy as np

        from sparsecpu.experiments.plots.curves import draw_panel
        from sparsecpu.experiments.plots.style import styled

        single = ax is not None and not np.iterable(ax)
        run = Curves(self.history, layers=self.layers, score=self.score, kept=self.kept_best)
        chosen = _chosen(run, _USUAL if single and curves is None else curves)
        with styled():
            axes = _new_axes(len(chosen)) if ax is None else np.ravel(ax)
            if len(axes) != len(chosen):
                expected = f"{len(chosen)} axes, for {', '.join(chosen)}"
                raise ParameterError("ax", f"{len(axes)} axes", expected)
            for one, panel in zip(axes, chosen, strict=True):
                draw_panel(one, panel, [run])
        self.ax_ = axes[0] if len(axes) == 1 else axes
        self.figure_ = axes[0].figure
        return self


def _history(estimator: Any) -> list[dict[str, Any]]:
    """Return the history of an estimator; of an older version's, losses and scores are known."""
    found = getattr(estimator, "history_", None)
    if found is None:
        found = [{"loss": loss} for loss in getattr(estimator, "loss_curve_", None) or ()]
        scores = getattr(estimator, "validation_scores_", None) or ()
        for record, score in zip(found, scores, strict=False):
            record["validation_score"] = score
        found = [{"epoch": number, **record} for number, record in enumerate(found, start=1)]
    return found


def _chosen(run: Curves, curves: str | Sequence[str] | None) -> list[str]:
    """Return what to draw; refuse what there is not, and what was not measured."""
    from sparsecpu.experiments.plots.curves import PANELS, measured

    there = measured([run])
    if not there:
        raise DataError("there are no curves to draw: no epoch has ended")
    if curves is None:
        return there
    chosen = [curves] if isinstance(curves, str) else list(curves)
    for name in chosen or [""]:
        if name not in PANELS:
            raise ParameterError("curves", curves, f"some of {', '.join(PANELS)}")
        if name not in there:
            why = " (early_stopping=True scores each epoch)" if name == "score" else ""
            expected = f"what was measured: {', '.join(there)}{why}"
            raise ParameterError("curves", curves, expected)
    return chosen


def _new_axes(count: int) -> Any:
    """Return axes of a new figure, two beside each other."""
    import numpy as np
    from matplotlib import pyplot

    across, down = min(count, 2), -(-count // 2)
    size = (4.8 * across, 3.0 * down)
    figure, axes = pyplot.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    for spare in axes.ravel()[count:]:
        figure.delaxes(spare)
    return np.array(axes.ravel()[:count])


class PlotsCurves:
    """Of an estimator: the curves of its training."""

    @reads
    def plot_curves(
        self, ax: Any = None, *, curves: str | Sequence[str] | None = None
    ) -> TrainingCurvesDisplay:
        """Draw loss, scores, learning rate and densities of the epochs. It needs matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, or several, optional
            Where to draw: an axes for each kind of curve. A new figure is made by default.
        curves : str or sequence of str, optional
            What to draw: ``"loss"``, ``"score"``, ``"learning_rate"``, ``"density"``. By default
            all that was measured, and on a single axes the loss.

        Returns
        -------
        TrainingCurvesDisplay
            What was drawn: its figure is ``figure_``, its axes are ``ax_``.
        """
        return TrainingCurvesDisplay.from_estimator(self, ax=ax, curves=curves)
